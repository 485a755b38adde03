"""Rows that may be picked, while all others still count: every kernel against its textbook loop."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chisquare

from skmmal.selection import DenseEmbedding, OuterProductEmbedding, PartialEmbedding, d2_sampling, k_center_greedy
from skmmal.selection._ball_cover import ball_cover, mixed_cover
from skmmal.selection._herding import kernel_herding
from skmmal.selection._k_means import cluster, representatives
from skmmal.selection._v_optimal import v_optimal_dense, v_optimal_features


def points_and_candidates(seed=0, n=160, width=5):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, width)), np.sort(rng.permutation(n)[: n // 3])


def squared(values):
    return ((values[:, None] - values[None]) ** 2).sum(axis=2)


def test_d2_sampling_has_the_law_of_one_at_a_time_among_candidates():
    values, candidates = np.random.default_rng(0).standard_normal((9, 3)), [1, 3, 4, 6, 8]
    distances, expected = squared(values), {}
    for rest in permutations([1, 4, 6, 8], 2):
        chosen, probability = [3], 1.0
        for row in rest:
            d2 = distances[chosen].min(axis=0)[candidates]
            probability *= distances[chosen].min(axis=0)[row] / d2.sum()
            chosen.append(row)
        expected[rest] = probability
    counts, rng = dict.fromkeys(expected, 0), np.random.RandomState(0)
    for _ in range(1200):
        first, *rest = d2_sampling(values, 3, random_state=rng, first=3, candidates=candidates).tolist()
        assert first == 3
        counts[tuple(rest)] += 1
    wanted = 1200 * np.array(list(expected.values()))
    assert chisquare(list(counts.values()), wanted * (1200 / wanted.sum())).pvalue > 1e-3


@pytest.mark.parametrize("form", ["rows", "mask"])
def test_d2_sampling_among_candidates_is_that_of_a_smaller_pool(form):
    values, candidates = points_and_candidates()
    given = candidates if form == "rows" else np.isin(np.arange(len(values)), candidates)
    for embedding in (DenseEmbedding(values), OuterProductEmbedding(values[:, :2], values[:, 2:])):
        for first in ("norm", "random"):
            found = d2_sampling(embedding, 30, random_state=1, first=first, candidates=given)
            alone = d2_sampling(embedding.take(candidates), 30, random_state=1, first=first)
            np.testing.assert_array_equal(found, candidates[alone])
    found = d2_sampling(np.zeros((6, 2)), 3, random_state=0, candidates=[1, 2, 5])
    assert sorted(found.tolist()) == [1, 2, 5]


@pytest.mark.parametrize("kind", ["dense", "partial"])
@pytest.mark.parametrize("n_initial", [0, 4])
def test_k_center_is_the_textbook_loop_among_candidates(kind, n_initial):
    values, candidates = points_and_candidates(1)
    embedding = DenseEmbedding(values)
    if kind == "partial":
        present = np.random.default_rng(2).random((len(values), 2)) > 0.3
        present[~present.any(axis=1)] = True
        blocks = [values[:, :2] * present[:, :1], values[:, 2:] * present[:, 1:]]
        embedding = PartialEmbedding(blocks, present, [1.0, 2.0])
    distances, norms, initial = embedding.sq_distances(), embedding.sq_norms(), [0, 7, 11, 100][:n_initial]
    nearest = distances[initial].min(axis=0) if initial else norms.copy()
    is_open = np.isin(np.arange(len(values)), np.setdiff1d(candidates, initial))
    expected = []
    for turn in range(25):
        row = int(np.argmax(np.where(is_open, nearest, -1)))
        expected.append(row)
        is_open[row] = False
        nearest = distances[row].copy() if turn == 0 and not initial else np.minimum(nearest, distances[row])
    found = k_center_greedy(embedding, 25, initial=initial or None, candidates=candidates)
    assert found.tolist() == expected


@pytest.mark.parametrize("weighted", [False, True])
def test_herding_is_the_plain_greedy_loop_among_candidates(weighted):
    values, candidates = points_and_candidates(2)
    weights = np.random.default_rng(3).random(len(values)) if weighted else np.ones(len(values))
    kernel, covered, expected = np.exp(-squared(values)), np.zeros(len(values)), []
    for _ in range(20):
        gains = np.maximum(kernel - covered, 0.0) @ weights / len(values)
        left = np.setdiff1d(candidates, expected)
        expected.append(int(left[np.argmax(gains[left])]))
        covered = np.maximum(covered, kernel[expected[-1]])
    found, _ = kernel_herding(values, 20, weights=weights, candidates=candidates)
    assert found.tolist() == expected


def test_ball_covers_are_the_plain_greedy_loops_among_candidates():
    values, candidates = points_and_candidates(4)
    near, uncertainty = squared(values) < 1.5**2, np.random.default_rng(5).random(len(values))
    for share in (None, 0.4):
        is_open, expected = np.ones(len(values), dtype=bool), []
        for _ in range(12):
            left = np.setdiff1d(candidates, expected)
            degrees = (near & is_open).sum(axis=1)
            score = degrees.astype(float)
            if share is not None:
                score = share * uncertainty / uncertainty[left].max() + (1 - share) * degrees / max(degrees[left].max(), 1)
            expected.append(int(left[np.argmax(score[left])]))
            is_open &= ~near[expected[-1]]
        if share is None:
            found, _ = ball_cover(values, 12, radius=1.5, candidates=candidates, random_state=0)
        else:
            found, _ = mixed_cover(values, 12, radius=1.5, uncertainty=uncertainty, share=share, candidates=candidates)
        assert found.tolist() == expected
    found, gains = ball_cover(np.zeros((6, 1)), 3, radius=1.0, candidates=[1, 4, 5], random_state=0)
    assert found[0] == 1
    assert sorted(found.tolist()) == [1, 4, 5]
    assert gains.tolist() == [1.0, 0.0, 0.0]


def test_representatives_are_the_candidates_nearest_to_centres():
    values, candidates = points_and_candidates(6)
    labels, centres = cluster(values, 7, np.random.RandomState(0))
    distances = np.linalg.norm(values - centres[labels], axis=1)
    expected = []
    for label in range(7):
        members = candidates[labels[candidates] == label]
        if len(members):
            expected.append(int(members[np.argmin(distances[members])]))
    rows, found = representatives(values, 7, np.random.RandomState(0), candidates=candidates)
    assert rows[: len(expected)].tolist() == expected
    np.testing.assert_allclose(found, distances[rows])
    few, _ = representatives(values, 7, np.random.RandomState(0), candidates=candidates[:7])
    assert sorted(few.tolist()) == candidates[:7].tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_v_optimal_is_the_plain_loop_among_candidates(dtype):
    values, candidates = points_and_candidates(7)
    weights = np.random.default_rng(8).random(len(values))
    phi = values.astype(dtype)
    covariance, expected = phi.astype(np.float64) @ phi.astype(np.float64).T, []
    kernel = covariance.copy()
    for _ in range(25):
        gains = (covariance**2) @ weights / (covariance.diagonal() + 0.1)
        left = np.setdiff1d(candidates, expected)
        expected.append(int(left[np.argmax(gains[left])]))
        column = covariance[:, expected[-1]]
        covariance = covariance - np.outer(column, column) / (column[expected[-1]] + 0.1)
    assert v_optimal_dense(kernel, 25, weights=weights, candidates=candidates)[0].tolist() == expected
    assert v_optimal_features(phi, 25, weights=weights, candidates=candidates)[0].tolist() == expected


@pytest.mark.parametrize(
    "pick",
    [
        lambda n, candidates: d2_sampling(np.eye(6), n, random_state=0, candidates=candidates),
        lambda n, candidates: k_center_greedy(np.eye(6), n, candidates=candidates),
        lambda n, candidates: kernel_herding(np.eye(6), n, candidates=candidates),
        lambda n, candidates: ball_cover(np.eye(6), n, radius=1.0, candidates=candidates),
        lambda n, candidates: v_optimal_dense(np.eye(6), n, candidates=candidates),
    ],
)
def test_candidates_that_cannot_be(pick):
    with pytest.raises(ValueError, match="the 2 points there are to pick from"):
        pick(3, [1, 4])
    with pytest.raises(ValueError, match="candidates must hold row numbers within 0..5"):
        pick(1, [6])
    with pytest.raises(TypeError, match="candidates must hold row numbers"):
        pick(1, [0.5])


def test_the_first_pick_is_a_candidate():
    with pytest.raises(ValueError, match="first must be one of the candidates"):
        d2_sampling(np.eye(4), 2, first=0, candidates=[1, 2])
