"""Greedy k-centre: index for index against the textbook loop."""

import numpy as np
import pytest

from skmmal.selection import DenseEmbedding, OuterProductEmbedding, StackedEmbedding, k_center_greedy
from skmmal.selection import _k_center as module


def textbook(values, n, initial_points=None, excluded=()):
    """One pass over all points per pick; the lowest index on ties."""
    values = np.asarray(values, dtype=float)
    if initial_points is None or len(initial_points) == 0:
        picked = [int(np.argmax((values**2).sum(1)))]
        nearest = ((values - values[picked[0]]) ** 2).sum(1)
    else:
        picked = []
        nearest = ((values[:, None] - np.asarray(initial_points)[None]) ** 2).sum(-1).min(1)
    nearest[list(excluded) + picked] = -1
    while len(picked) < n:
        index = int(np.argmax(nearest))
        picked.append(index)
        nearest = np.minimum(nearest, ((values - values[index]) ** 2).sum(1))
        nearest[picked] = -1
    return picked


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_candidates", [1, 3, 50, 512])
def test_same_indices_as_the_textbook(seed, n_candidates, monkeypatch):
    monkeypatch.setattr(module, "_CANDIDATES", n_candidates)
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((500, 6)) * rng.gamma(1, 1, (500, 1))
    labelled = rng.standard_normal((7, 6))
    assert k_center_greedy(DenseEmbedding(values), 60).tolist() == textbook(values, 60)
    got = k_center_greedy(DenseEmbedding(values), 60, initial=DenseEmbedding(labelled))
    assert got.tolist() == textbook(values, 60, labelled)
    assert k_center_greedy(values, 60, initial=labelled).tolist() == got.tolist()
    indices = [3, 400, 77]
    got = k_center_greedy(DenseEmbedding(values), 60, initial=indices)
    assert got.tolist() == textbook(values, 60, values[indices], indices)


def test_outer_products_equal_their_multiplied_out_points():
    rng = np.random.default_rng(1)
    left, right = rng.standard_normal((200, 3)), rng.standard_normal((200, 5))
    full = np.einsum("nk,nd->nkd", left, right).reshape(200, -1)
    assert k_center_greedy(OuterProductEmbedding(left, right), 50).tolist() == textbook(full, 50)


def test_ties_duplicates_and_exhausted_distances():
    grid = np.array([[i, j] for i in range(5) for j in range(5)], dtype=float)
    values = np.vstack([grid, grid])
    assert k_center_greedy(values, 50).tolist() == textbook(values, 50)
    assert k_center_greedy(values, 5, initial=[0]).tolist() == textbook(values, 5, values[[0]], [0])
    assert k_center_greedy(np.zeros((4, 2)), 4).tolist() == [0, 1, 2, 3]


def test_returned_distances():
    rng = np.random.default_rng(2)
    values = rng.standard_normal((100, 3))
    indices, found = k_center_greedy(values, 20, return_sq_distances=True)
    assert found[0] == pytest.approx((values**2).sum(axis=1).max())  # without a centre: the squared norm
    for at in range(1, 20):
        assert found[at] == pytest.approx(((values[indices[:at]] - values[indices[at]]) ** 2).sum(1).min())
    assert (np.diff(found[1:]) <= 1e-12).all()


def test_empty_initial_is_no_initial():
    values = np.random.default_rng(3).standard_normal((20, 2))
    expected = k_center_greedy(values, 5).tolist()
    assert k_center_greedy(values, 5, initial=[]).tolist() == expected
    assert k_center_greedy(values, 5, initial=np.empty((0, 2))).tolist() == expected


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda v: k_center_greedy(v, 11), ValueError, "10 points"),
        (lambda v: k_center_greedy(v, 10, initial=[1]), ValueError, "9 points"),
        (lambda v: k_center_greedy(v, 1, initial=[10]), ValueError, "within 0..9"),
        (lambda v: k_center_greedy(v, 1, initial=[0.5]), TypeError, "dtype float64"),
        (lambda v: k_center_greedy(v, 1, initial=np.zeros((2, 5))), ValueError, "does not match"),
        (
            lambda v: k_center_greedy(v, 1, initial=OuterProductEmbedding(np.ones((2, 1)), np.ones((2, 3)))),
            ValueError,
            "does not match",
        ),
    ],
)
def test_helpful_errors(call, error, match):
    with pytest.raises(error, match=match):
        call(np.random.default_rng(0).standard_normal((10, 3)))


def test_labelled_rows_cut_into_other_blocks():
    rng = np.random.default_rng(5)
    points, held = rng.standard_normal((60, 7)), rng.standard_normal((9, 7))
    expected = k_center_greedy(points, 20, initial=DenseEmbedding(held))
    cut = DenseEmbedding([points[:, :3], points[:, 3:]])
    for initial in (DenseEmbedding(held), DenseEmbedding([held[:, :5], held[:, 5:]])):
        np.testing.assert_array_equal(k_center_greedy(cut, 20, initial=initial), expected)
    left, other = rng.standard_normal((60, 2)), rng.standard_normal((9, 2))
    outer = OuterProductEmbedding(left, [points[:, :3], points[:, 3:]])
    whole = k_center_greedy(OuterProductEmbedding(left, points), 20, initial=OuterProductEmbedding(other, held))
    np.testing.assert_array_equal(k_center_greedy(outer, 20, initial=OuterProductEmbedding(other, held)), whole)
    stacked = StackedEmbedding([OuterProductEmbedding(other, held)])
    np.testing.assert_array_equal(k_center_greedy(StackedEmbedding([outer]), 20, initial=stacked), whole)
