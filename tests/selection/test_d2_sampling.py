"""Exact D² sampling: the blocked algorithm against one-at-a-time sampling."""

from importlib import import_module
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

import skmmal._chunks
from skmmal.selection import DenseEmbedding, OuterProductEmbedding, StackedEmbedding, d2_sampling, k_center_greedy

module = import_module("skmmal.selection._d2_sampling")  # the function has the module's name


def sequence_probabilities(distances, first, length):
    """Probability of every sequence of picks after `first`, by enumeration of one-at-a-time D² sampling."""
    n = len(distances)
    result = {}
    for rest in permutations([i for i in range(n) if i != first], length):
        chosen, probability = [first], 1.0
        for index in rest:
            d2 = distances[chosen].min(axis=0)
            probability *= d2[index] / d2.sum()
            chosen.append(index)
        result[rest] = probability
    return result


def small_embeddings():
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((6, 3)) * np.array([[1], [1], [0.3], [2], [0.1], [1]])
    left, right = rng.standard_normal((6, 2)), rng.standard_normal((6, 3))
    clustered = np.array([[0.0, 0], [0.05, 0], [0, 0.05], [4, 0], [4, 0.1], [0, 9]])
    return {
        "dense": DenseEmbedding(dense),
        "float32": DenseEmbedding(dense.astype(np.float32)),
        "outer": OuterProductEmbedding(left, right),
        "clustered": DenseEmbedding(clustered),
    }


@pytest.mark.parametrize(
    ("name", "block", "is_large"),
    [
        *[("dense", 8, False), ("float32", 8, False), ("outer", 8, False), ("clustered", 8, False)],
        *[("clustered", 1, False), ("outer", 64, False), ("clustered", 8, True)],
    ],
)
def test_joint_distribution_of_the_first_picks_is_exact(name, block, is_large, monkeypatch):
    monkeypatch.setattr(module, "_FIRST_BLOCK", block)
    if is_large:  # blocks grow faster from so many points on
        monkeypatch.setattr(module, "_LARGE_POOL", 1)
    embedding = small_embeddings()[name]
    expected = sequence_probabilities(embedding.sq_distances().astype(float), first=3, length=3)
    counts = dict.fromkeys(expected, 0)
    rng = np.random.RandomState(block)
    n_draws = 4000
    for _ in range(n_draws):
        first, *rest = d2_sampling(embedding, 4, random_state=rng, first=3).tolist()
        assert first == 3
        counts[tuple(rest)] += 1
    # sequences too rare for the chi-square approximation are tested together
    probabilities = np.array(list(expected.values()))
    observed = np.array(list(counts.values()), dtype=float)
    rare = probabilities * n_draws < 5
    if rare.any():
        probabilities = np.append(probabilities[~rare], probabilities[rare].sum())
        observed = np.append(observed[~rare], observed[rare].sum())
        if probabilities[-1] * n_draws < 5:
            assert observed[-1] < 25
            keep = np.arange(len(probabilities) - 1)
            probabilities, observed = probabilities[keep], observed[keep]
            probabilities *= observed.sum() / n_draws / probabilities.sum()
    assert chisquare(observed, probabilities / probabilities.sum() * observed.sum()).pvalue > 1e-4


def test_a_wrong_sampler_would_be_noticed():
    """The test above has power: leaving out the rejection step changes the joint distribution measurably."""
    embedding = small_embeddings()["clustered"]
    expected = sequence_probabilities(embedding.sq_distances(), first=3, length=2)
    d2 = embedding.sq_distances()[3]
    independent = {s: d2[s[0]] / d2.sum() * d2[s[1]] / (d2.sum() - d2[s[0]]) for s in expected}
    n = 6000
    observed, wanted = np.array(list(independent.values())) * n, np.array(list(expected.values())) * n
    keep = wanted > 5
    wanted, observed = wanted[keep], observed[keep]
    assert chisquare(observed / observed.sum() * n, wanted / wanted.sum() * n).pvalue < 1e-4


def test_potential_matches_one_at_a_time_sampling_on_larger_sets():
    """Many blocks: the D² potential left after 60 picks has the same distribution either way."""
    rng = np.random.default_rng(4)
    points = rng.standard_normal((400, 5)) * rng.gamma(1, 1, (400, 1))
    distances = ((points[:, None] - points[None]) ** 2).sum(-1)

    def one_at_a_time(random):
        picked = [int(np.argmax((points**2).sum(1)))]
        d2 = distances[picked[0]].copy()
        for _ in range(59):
            picked.append(int(random.choice(400, p=d2 / d2.sum())))
            d2 = np.minimum(d2, distances[picked[-1]])
        return d2.sum()

    random = np.random.RandomState(5)
    slow = [one_at_a_time(random) for _ in range(300)]
    fast = []
    for seed in range(300):
        picked = d2_sampling(DenseEmbedding(points), 60, random_state=seed)
        fast.append(distances[picked].min(axis=0).sum())
    difference = np.mean(slow) - np.mean(fast)
    assert abs(difference) < 4 * np.sqrt(np.var(slow) / 300 + np.var(fast) / 300)
    assert 0.7 < np.std(fast) / np.std(slow) < 1.4


def test_returned_distances_are_those_at_the_time_of_the_pick():
    embedding = small_embeddings()["outer"]
    indices, found = d2_sampling(embedding, 6, random_state=1, return_sq_distances=True)
    distances = embedding.sq_distances()
    assert found[0] == pytest.approx(embedding.sq_norms()[indices[0]])
    for at in range(1, 6):
        assert found[at] == pytest.approx(distances[indices[:at], indices[at]].min())


def test_first():
    embedding = small_embeddings()["dense"]
    assert d2_sampling(embedding, 1)[0] == np.argmax(embedding.sq_norms())
    assert d2_sampling(embedding, 2, first=4, random_state=0)[0] == 4
    firsts = {int(d2_sampling(embedding, 1, first="random", random_state=s)[0]) for s in range(60)}
    assert firsts == set(range(6))


@pytest.mark.parametrize("n", [1, 5, 40])
def test_duplicates_and_constant_rows_end_in_uniform_distinct_picks(n):
    values = np.tile(np.array([[1.0, 2.0], [3.0, 4.0]]), (20, 1))
    picked = d2_sampling(DenseEmbedding(values), n, random_state=0)
    assert len(set(picked.tolist())) == n
    if n > 1:
        assert set(picked[:2] % 2) == {0, 1}  # the two distinct points come first
    counts = np.zeros(40)
    for seed in range(400):
        counts[d2_sampling(DenseEmbedding(np.zeros((40, 3))), 4, random_state=seed)] += 1
    assert chisquare(counts).pvalue > 1e-4


def test_all_points_once_when_n_samples_is_the_number_of_points():
    rng = np.random.default_rng(0)
    picked = d2_sampling(OuterProductEmbedding(rng.random((300, 3)), rng.random((300, 4))), 300, random_state=0)
    assert sorted(picked.tolist()) == list(range(300))


def test_seeded_and_independent_of_the_global_state():
    embedding = small_embeddings()["outer"]
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    a = d2_sampling(embedding, 5, random_state=3)
    d2_sampling(embedding, 5)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert (a == d2_sampling(embedding, 5, random_state=3)).all()
    assert (a == d2_sampling(embedding, 5, random_state=np.random.RandomState(3))).all()
    generator = np.random.Generator(np.random.MT19937(3))
    assert len(d2_sampling(embedding, 5, random_state=generator)) == 5


def test_chunk_size_does_not_change_the_picks(monkeypatch):
    rng = np.random.default_rng(7)
    left, right = rng.random((3000, 5)), rng.standard_normal((3000, 40))
    reference = d2_sampling(OuterProductEmbedding(left, right), 150, random_state=0)
    for elements in (2**12, 2**15, 2**18):
        monkeypatch.setattr(skmmal._chunks, "CHUNK_ELEMENTS", elements)
        assert (d2_sampling(OuterProductEmbedding(left, right), 150, random_state=0) == reference).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_do_not_change_the_picks(dtype):
    rng = np.random.default_rng(9)
    left, right = rng.random((4000, 12)).astype(dtype), rng.standard_normal((4000, 200)).astype(dtype)
    embedding = OuterProductEmbedding(left, right)
    before, found = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2, 4):
            torch.set_num_threads(n_threads)
            found.append((d2_sampling(embedding, 200, random_state=0), k_center_greedy(right, 100)))
    finally:
        torch.set_num_threads(before)
    for picks, centres in found[1:]:
        np.testing.assert_array_equal(picks, found[0][0])
        np.testing.assert_array_equal(centres, found[0][1])


def test_skipping_rows_by_their_norm_changes_nothing():
    """Confident pools: most rows have tiny norms and are skipped; distances stay those of a full update."""
    from skmmal.selection._nearest import NearestCentre

    rng = np.random.default_rng(8)
    left = rng.standard_normal((500, 4)) * 10.0 ** rng.uniform(-6, 0, (500, 1))
    embedding = OuterProductEmbedding(left, rng.standard_normal((500, 6)))
    nearest = NearestCentre(embedding)
    picks = d2_sampling(embedding, 80, random_state=0)
    for part in np.split(picks, [1, 5, 20]):
        nearest.add(embedding.take(part), part)
    full = embedding.sq_distances()[picks].min(axis=0)
    np.testing.assert_allclose(nearest.sq_distances, full, rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda e: d2_sampling(e, 0), ValueError, "at least 1, got 0"),
        (lambda e: d2_sampling(e, 7), ValueError, "got 7"),
        (lambda e: d2_sampling(e, 2.0), TypeError, "integer"),
        (lambda e: d2_sampling(e, True), TypeError, "integer"),
        (lambda e: d2_sampling(e, 2, first="best"), ValueError, "'norm', 'random' or an index"),
        (lambda e: d2_sampling(e, 2, first=6), ValueError, "within 0..5"),
        (lambda e: d2_sampling("e", 2), TypeError, "embedding"),
        (lambda e: d2_sampling(np.empty((0, 3)), 1), ValueError, "0 points"),
    ],
)
def test_helpful_errors(call, error, match):
    with pytest.raises(error, match=match):
        call(small_embeddings()["dense"])


@pytest.mark.parametrize("confidence", [1.0, 8.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stacked", [False, True])
def test_pairs_left_out_by_their_bound_change_no_distance(stacked, confidence, dtype, monkeypatch):
    """Nearest distances after many blocks, with and without leaving pairs out, against all pairs at once."""
    nearest = import_module("skmmal.selection._nearest")
    rng = np.random.default_rng(0)
    logits = confidence * rng.standard_normal((1500, 7))
    left = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    left[np.arange(1500), left.argmax(1)] -= 1
    right = np.maximum(rng.standard_normal((1500, 12)), 0).astype(dtype)
    left[::100], right[7] = 0.0, 0.0  # points at the origin
    embedding = OuterProductEmbedding(left, [right[:, :5], right[:, 5:]], scale=rng.random((1500, 2)))
    if stacked:
        other = OuterProductEmbedding(-left[:, ::-1].copy(), right)  # inner products of both signs
        embedding = StackedEmbedding([embedding, other, DenseEmbedding(0.1 * right)])
    centres = rng.permutation(1500)[:300]
    answers, products = [], []
    for sift_from in (8, 10_000):
        monkeypatch.setattr(nearest, "_SIFT_FROM", sift_from)
        monkeypatch.setattr(nearest, "_GROUP_ROWS", 64)
        count = [0]
        update = nearest.NearestCentre._update

        def counted(self, rows, source, cols, factors, count=count, update=update):
            count[0] += len(np.arange(1500)[rows]) * len(cols)
            update(self, rows, source, cols, factors)

        with monkeypatch.context() as patch:
            patch.setattr(nearest.NearestCentre, "_update", counted)
            found = nearest.NearestCentre(embedding)
            for block in np.split(centres, [8, 40, 140]):
                found.add(embedding.take(block), block)
        answers.append(found.sq_distances)
        products.append(count[0])
    expected = embedding.sq_distances(None, centres).min(axis=1)
    scale = embedding.sq_norms().max()
    for answer in answers:
        np.testing.assert_allclose(answer, expected, atol=scale * (1e-6 if dtype == "float32" else 1e-12))
    assert products[0] < 0.9 * products[1]


def test_pairs_are_not_sifted_where_bounds_rule_out_hardly_any():
    """Residuals of many labels have something in common in all rows: one pass over these, without groups, is left."""
    nearest = import_module("skmmal.selection._nearest")
    rng = np.random.default_rng(0)
    p = (1 / (1 + np.exp(2 - 2 * rng.standard_normal((2000, 300))))).astype(np.float32)
    right = rng.standard_normal((2000, 20)).astype(np.float32)
    embedding = OuterProductEmbedding(p - (p >= 0.5), right)
    centres = rng.permutation(2000)[:160]
    found = nearest.NearestCentre(embedding)
    found.add(embedding.take(centres[:5]), centres[:5])
    found.add(embedding.take(centres[5:]), centres[5:])
    assert "_groups" not in vars(found)
    expected = embedding.sq_distances(None, centres).min(axis=1)
    np.testing.assert_allclose(found.sq_distances, expected, atol=1e-5 * embedding.sq_norms().max())


def test_batches_of_large_pools_follow_the_law(monkeypatch):
    """The second and third pick of many runs, in blocks that grow fast, beside their exact distribution."""
    monkeypatch.setattr(module, "_LARGE_POOL", 1)
    embedding = small_embeddings()["dense"]
    expected = sequence_probabilities(embedding.sq_distances().astype(float), first=3, length=2)
    rng, counts = np.random.RandomState(0), dict.fromkeys(expected, 0)
    for _ in range(3000):
        counts[tuple(d2_sampling(embedding, 3, random_state=rng, first=3).tolist()[1:])] += 1
    probabilities, observed = np.array(list(expected.values())), np.array(list(counts.values()))
    often = probabilities * 3000 >= 5
    statistic = chisquare(observed[often], probabilities[often] / probabilities[often].sum() * observed[often].sum())
    assert statistic.pvalue > 1e-4
