"""Embeddings against the outer products multiplied out."""

import warnings

import numpy as np
import pytest
import torch

from skmmal.selection import DenseEmbedding, OuterProductEmbedding
from skmmal.selection.embedding import as_embedding


def multiplied_out(left, right):
    return np.einsum("nk,nd->nkd", left, right).reshape(len(left), -1)


def sq_distances(values):
    return ((values[:, None] - values[None]) ** 2).sum(-1)


@pytest.fixture
def factors():
    rng = np.random.default_rng(0)
    return rng.standard_normal((37, 4)), rng.standard_normal((37, 9))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_outer_product_equals_multiplied_out(factors, dtype):
    left, right = (values.astype(dtype) for values in factors)
    full = multiplied_out(left.astype(float), right.astype(float))
    e = OuterProductEmbedding(left, right)
    rtol = 1e-12 if dtype is np.float64 else 1e-5
    np.testing.assert_allclose(e.sq_norms(), (full**2).sum(1), rtol=rtol)
    np.testing.assert_allclose(e.inner(), full @ full.T, rtol=rtol, atol=20 * rtol)
    np.testing.assert_allclose(e.inner([3, 1], slice(5, 9)), (full @ full.T)[[3, 1], 5:9], rtol=rtol, atol=20 * rtol)
    np.testing.assert_allclose(e.sq_distances(), sq_distances(full), rtol=100 * rtol, atol=100 * rtol)
    assert len(e) == 37
    np.testing.assert_array_equal(e.left, left)
    np.testing.assert_array_equal(e.right, right.astype(e.right.dtype))


def test_blocks_and_scale_equal_scaled_concatenation(factors):
    left, right = factors
    scale = np.random.default_rng(1).random((37, 2))
    weighted = np.hstack([right[:, :5] * scale[:, :1], right[:, 5:] * scale[:, 1:]])
    e = OuterProductEmbedding(left, [right[:, :5], right[:, 5:]], scale)
    np.testing.assert_allclose(e.right, weighted)
    np.testing.assert_allclose(e.inner(), OuterProductEmbedding(left, weighted).inner(), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equal_and_nearly_equal_points(dtype):
    rng = np.random.default_rng(2)
    left = rng.standard_normal((3, 4)).astype(dtype)
    right = (100 * rng.standard_normal((3, 600))).astype(dtype)
    left, right = np.vstack([left, left, left]), np.vstack([right, right, right])
    right[6:] += dtype(1e-3)  # close neighbours: a difference of inner products would lose every digit
    e = OuterProductEmbedding(left, right)
    distances = e.sq_distances()
    assert (distances[:3, 3:6].diagonal() == 0).all()
    exact = sq_distances(multiplied_out(left.astype(float), right.astype(float)))
    np.testing.assert_allclose(distances[:3, 6:].diagonal(), exact[:3, 6:].diagonal(), rtol=1e-4)
    dense = DenseEmbedding(right)
    assert (dense.sq_distances()[:3, 3:6].diagonal() == 0).all()


def test_tiny_and_huge_values_are_not_lost_to_float32():
    rng = np.random.default_rng(3)
    for size in (1e-18, 1e18):
        values = (rng.standard_normal((6, 3)) * size).astype(np.float32)
        np.testing.assert_allclose(DenseEmbedding(values).sq_distances(), sq_distances(values.astype(float)), rtol=1e-5)
        a, h = rng.standard_normal((6, 2)).astype(np.float32), values
        full = multiplied_out(a.astype(float), h.astype(float))
        np.testing.assert_allclose(OuterProductEmbedding(a, h).sq_norms(), (full**2).sum(1), rtol=1e-5)


def test_read_only_memory_mapped_and_strided_inputs(tmp_path, factors):
    left, right = factors
    np.save(tmp_path / "right.npy", right)
    mapped = np.load(tmp_path / "right.npy", mmap_mode="r")
    frozen = left.copy()
    frozen.setflags(write=False)
    expected = OuterProductEmbedding(left, right).inner()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(OuterProductEmbedding(frozen, mapped).inner(), expected)
        reversed_ = OuterProductEmbedding(left[::-1], right[::-1])
    np.testing.assert_allclose(reversed_.inner(), expected[::-1, ::-1], atol=1e-12)
    np.testing.assert_allclose(
        OuterProductEmbedding(torch.from_numpy(left), torch.from_numpy(right)).inner(), expected, atol=1e-12
    )


def test_integers_and_lists():
    e = DenseEmbedding([[0, 0], [3, 4]])
    assert e.sq_distances().tolist() == [[0, 25], [25, 0]]
    assert as_embedding(np.eye(2)).sq_norms().tolist() == [1, 1]


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: OuterProductEmbedding(np.zeros((3, 2)), np.zeros((4, 2))), ValueError, "3 rows, right has 4"),
        (lambda: OuterProductEmbedding(np.zeros(3), np.zeros((3, 2))), ValueError, "left must have shape"),
        (lambda: DenseEmbedding(np.array([["a"]])), TypeError, "values must be numeric"),
        (lambda: DenseEmbedding([[1.0], [np.nan]]).sq_norms(), ValueError, "row 1 of the embedding"),
        (lambda: DenseEmbedding([[np.inf], [1.0]]).sq_distances(), ValueError, "row 0 of the embedding"),
        (
            lambda: OuterProductEmbedding(np.ones((3, 2)), [np.ones((3, 1)), np.ones((3, 1))], np.ones((3, 3))),
            ValueError,
            "scale must have shape",
        ),
        (lambda: as_embedding("abc"), TypeError, "embedding must be an Embedding"),
        (lambda: as_embedding([1.0, 2.0]), TypeError, "embedding must be an Embedding"),
    ],
)
def test_helpful_errors(make, error, match):
    with pytest.raises(error, match=match):
        make()
