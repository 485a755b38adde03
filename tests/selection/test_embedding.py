"""Embeddings against the outer products multiplied out."""

import warnings

import numpy as np
import pytest
import torch

from skmmal.selection import DenseEmbedding, OuterProductEmbedding, StackedEmbedding, d2_sampling, k_center_greedy
from skmmal.selection._factored import as_embedding


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


def stacked(dtype=np.float64, n=300):
    """An embedding of three parts, and the same points multiplied out."""
    rng = np.random.default_rng(4)
    left, right, scale = rng.standard_normal((n, 3)), rng.standard_normal((n, 6)), rng.random((n, 2))
    other, dense = (rng.standard_normal((n, 5)), rng.standard_normal((n, 2))), rng.standard_normal((n, 4))
    other[0][n // 2 :] = 0.0  # an absent modality
    left, right, dense, *other = (values.astype(dtype) for values in (left, right, dense, *other))
    parts = [
        OuterProductEmbedding(left, [right[:, :4], right[:, 4:]], scale),
        StackedEmbedding([OuterProductEmbedding(*other)]),
        DenseEmbedding(dense),
    ]
    weighted = np.hstack([right[:, :4] * scale[:, :1], right[:, 4:] * scale[:, 1:]])
    full = np.hstack([multiplied_out(left, weighted), multiplied_out(*other), dense]).astype(np.float64)
    return StackedEmbedding(parts), full


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_stacked_parts_are_points_side_by_side(dtype):
    e, full = stacked(dtype)
    rtol = 1e-12 if dtype is np.float64 else 1e-5
    np.testing.assert_allclose(e.inner(), full @ full.T, rtol=rtol, atol=100 * rtol)
    np.testing.assert_allclose(e.sq_norms(), (full**2).sum(1), rtol=rtol)
    np.testing.assert_allclose(e.sq_distances(), sq_distances(full), rtol=100 * rtol, atol=100 * rtol)
    some = np.array([5, 2, 170])
    np.testing.assert_allclose(e.take(some).inner(), (full @ full.T)[np.ix_(some, some)], rtol=rtol, atol=100 * rtol)
    assert len(e) == 300
    assert repr(e) == "StackedEmbedding(300 rows, 3 ⊗ 6 columns | 5 ⊗ 2 columns | 4 columns)"
    np.testing.assert_allclose(e.to("cpu").inner([0], [1]), e.inner([0], [1]), rtol=10 * rtol)


@pytest.mark.parametrize("chunk_elements", [None, 512])
def test_selection_among_stacked_points_is_that_among_the_points(chunk_elements, monkeypatch):
    if chunk_elements:
        monkeypatch.setattr("skmmal._chunks.CHUNK_ELEMENTS", chunk_elements)
    e, full = stacked()
    dense = DenseEmbedding(full)
    for seed in range(3):
        expected = d2_sampling(dense, 120, random_state=seed)
        np.testing.assert_array_equal(d2_sampling(e, 120, random_state=seed), expected)
    np.testing.assert_array_equal(k_center_greedy(e, 80), k_center_greedy(dense, 80))
    pool, held = np.arange(100, 300), np.arange(100)
    np.testing.assert_array_equal(
        k_center_greedy(e.take(pool), 50, initial=e.take(held)),
        k_center_greedy(dense.take(pool), 50, initial=dense.take(held)),
    )


def test_equal_and_nearly_equal_stacked_points():
    e, _ = stacked()
    twice = StackedEmbedding([e.take(np.arange(20)), DenseEmbedding(np.zeros((20, 1)))])
    moved = StackedEmbedding([e.take(np.tile(np.arange(20), 2)), DenseEmbedding(np.repeat([[0.0], [1e-9]], 20, axis=0))])
    assert (twice.sq_distances().diagonal() == 0).all()
    np.testing.assert_allclose(moved.sq_distances()[:20, 20:].diagonal(), 1e-18, rtol=1e-6)


def test_stacked_parts_must_share_their_rows():
    with pytest.raises(ValueError, match="parts is empty"):
        StackedEmbedding([])
    with pytest.raises(ValueError, match="the parts differ in rows or device: DenseEmbedding.3 rows, 3 columns. and"):
        StackedEmbedding([DenseEmbedding(np.eye(3)), DenseEmbedding(np.eye(4))])


def test_a_single_reversed_row():
    # numpy's ascontiguousarray leaves its negative stride, which torch refuses
    row = np.array([[1.0, 2.0]])[::-1]
    np.testing.assert_array_equal(DenseEmbedding(row).values, row)


@pytest.mark.parametrize("values", [[[1.0], [2.0, 3.0]], np.full((2, 2), {}, dtype=object)], ids=["ragged", "objects"])
def test_ragged_and_object_matrices_are_named(values):
    with pytest.raises(TypeError, match="^(embedding|values) must"):
        d2_sampling(values, 1)
    with pytest.raises(TypeError, match="^left must be numeric"):
        OuterProductEmbedding(values, np.zeros((2, 2)))


@pytest.mark.parametrize("seed", [-1, 2**32, "a", 1.5])
def test_a_seed_that_is_none(seed):
    with pytest.raises(ValueError, match="random_state must be None, an integer from 0"):
        d2_sampling(np.eye(3), 2, random_state=seed)


@pytest.mark.parametrize("left", [0.0, 1e-15])
def test_a_large_factor_behind_a_small_one(left):
    # ‖g‖² fits into float32, the product of the right factors alone does not: 0 · ∞ was NaN
    right = np.array([[1e25, 0.0], [1e20, 1.0], [1.0, 1.0]], dtype=np.float32)
    points = OuterProductEmbedding([[left], [left], [1.0]], right)
    dense = np.array([[left], [left], [1.0]]) * right.astype(float)
    np.testing.assert_allclose(points.inner(), dense @ dense.T, rtol=1e-6)
    np.testing.assert_allclose(StackedEmbedding([points, points]).inner(), 2 * dense @ dense.T, rtol=1e-6)
    assert sorted(d2_sampling(points, 3, random_state=0).tolist()) == [0, 1, 2]


def test_a_hidden_factor_that_cannot_be_squared():
    with pytest.raises(ValueError, match="too large to be squared"):
        OuterProductEmbedding([[0.0]], [[1e200]]).inner()
