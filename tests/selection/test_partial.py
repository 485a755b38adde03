"""Distances between points of which some lack blocks, and greedy k-centre on them, against plain loops."""

import numpy as np
import pytest

from skmmal.selection import DenseEmbedding, PartialEmbedding, k_center_greedy
from skmmal.selection._partial import mean_sq_distances

WIDTHS = (4, 3, 5)


def make_points(n=120, missing=0.3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    blocks = [(m + 1.0) * rng.standard_normal((n, width)) for m, width in enumerate(WIDTHS)]
    blocks[0][1], blocks[1][1], blocks[2][1] = (block[0] for block in blocks)  # two that are equal
    present = rng.random((n, len(WIDTHS))) >= missing
    present[:2] = True
    present[~present.any(axis=1), rng.integers(0, 3)] = True
    for m, block in enumerate(blocks):
        block[~present[:, m]] = 0.0
    return [block.astype(dtype) for block in blocks], present


def distances_by_hand(blocks, present, scales):
    n = len(present)
    out = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            both = [m for m in range(len(blocks)) if present[i, m] and present[j, m]]
            seen = sum(scales[m] for m in both)
            found = sum(((blocks[m][i].astype(np.float64) - blocks[m][j]) ** 2).sum() for m in both)
            out[i, j] = found * sum(scales) / seen if seen > 0 else sum(scales)
    return out


def textbook(distances, norms, n, initial=()):
    nearest = distances[:, list(initial)].min(axis=1) if len(initial) else None
    picked, found = [], []
    for _ in range(n):
        candidates = norms.copy() if nearest is None else nearest.copy()
        candidates[[*initial, *picked]] = -1
        picked.append(int(candidates.argmax()))
        found.append(candidates.max())
        row = distances[picked[-1]]
        nearest = row.copy() if nearest is None else np.minimum(nearest, row)
    return picked, found


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_distances_are_over_what_both_have(dtype):
    blocks, present = make_points(60, dtype=dtype)
    scales = mean_sq_distances([blocks], [present])
    points = PartialEmbedding(blocks, present, scales)
    expected = distances_by_hand(blocks, present, scales)
    off_diagonal = ~np.eye(60, dtype=bool)
    rtol = 1e-4 if dtype != np.float64 else 1e-10
    np.testing.assert_allclose(points.sq_distances()[off_diagonal], expected[off_diagonal], rtol=rtol)
    assert points.sq_distances()[0, 1] == 0.0
    there = present @ scales
    norms = sum((block.astype(np.float64) ** 2).sum(axis=1) for block in blocks) * scales.sum() / there
    np.testing.assert_allclose(points.sq_norms(), norms, rtol=1e-5)
    some = np.array([3, 0, 50])
    np.testing.assert_allclose(points.take(some).sq_distances(), points.sq_distances(some, some), rtol=1e-5)


def test_mean_squared_distances_are_those_of_all_pairs():
    blocks, present = make_points(50)
    halves = [[block[:20] for block in blocks], [block[20:] for block in blocks]]
    found = mean_sq_distances(halves, [present[:20], present[20:]])
    for m, block in enumerate(blocks):
        rows = block[present[:, m]] + 0.0
        assert found[m] == pytest.approx(((rows[:, None] - rows) ** 2).sum(axis=2).mean())
    far, whole = [block + 1e7 for block in blocks], [np.ones_like(present)]
    np.testing.assert_allclose(mean_sq_distances([far], whole), mean_sq_distances([blocks], whole), rtol=1e-6)
    assert mean_sq_distances([[blocks[0]]], [np.zeros((50, 1))]).tolist() == [0.0]


@pytest.mark.parametrize("n_initial", [0, 1, 40])
@pytest.mark.parametrize("missing", [0.05, 0.5])
def test_k_center_is_the_textbook_loop(missing, n_initial):
    blocks, present = make_points(700, missing, seed=n_initial)
    scales = mean_sq_distances([blocks], [present])
    points = PartialEmbedding(blocks, present, scales)
    distances = points.sq_distances()
    expected, gains = textbook(distances, points.sq_norms(), 90, range(n_initial))
    picked, found = k_center_greedy(points, 90, initial=np.arange(n_initial), return_sq_distances=True)
    assert picked.tolist() == expected
    np.testing.assert_allclose(found, gains, rtol=1e-10)
    if n_initial:
        centres = points.take(np.arange(n_initial))
        rest = points.take(np.arange(n_initial, 700))
        again = k_center_greedy(rest, 90, initial=centres)
        assert (again + n_initial).tolist() == expected


def test_points_that_have_everything_are_points_in_space():
    blocks, present = make_points(300, missing=0.0)
    plain = DenseEmbedding(blocks)
    points = PartialEmbedding(blocks, present, [1.0, 7.0, 0.3])
    np.testing.assert_allclose(points.sq_distances(), plain.sq_distances(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(points.sq_norms(), plain.sq_norms())
    np.testing.assert_array_equal(k_center_greedy(points, 50), k_center_greedy(plain, 50))


def test_what_shares_nothing_is_as_far_apart_as_usual():
    blocks, present = [np.ones((2, 1)), np.ones((2, 1))], np.array([[True, False], [False, True]])
    assert PartialEmbedding(blocks, present, [2.0, 3.0]).sq_distances()[0, 1] == 5.0
    # nothing varies: all is the same
    assert PartialEmbedding(blocks, present, [0.0, 0.0]).sq_distances().max() == 0.0


def test_wrong_masks_and_scales():
    blocks, present = make_points(10)
    with pytest.raises(ValueError, match=r"present must have shape \(10, 3\)"):
        PartialEmbedding(blocks, present[:9], [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="scales must not be negative"):
        PartialEmbedding(blocks, present, [1.0, -1.0, 1.0])
