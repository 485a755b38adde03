"""MMCSAL against ActiveFT and MaxHerding written out, and what the alignment term is for."""

from itertools import combinations

import numpy as np
import pytest
import torch
from samples import make_blocks
from sklearn.cross_decomposition import CCA
from torch.nn.functional import normalize

from skmmal import CrossModalEncoder, LateFusionClassifier, MultimodalArray
from skmmal.query import MMCSAL, get_strategy
from skmmal.selection._alignment import canonical_alignment, mean_over_pairs
from skmmal.selection._centroids import activeft_loss, nearest_rows, optimise_centroids
from skmmal.selection._dense import equal_rows


def unit(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def pool_of(n=60, widths=None, seed=0, missing=0.0):
    return MultimodalArray(make_blocks(n=n, widths=widths or {"a": 5, "b": 4}, seed=seed, missing=missing)[0])


# ------------------------------------------------------------------------------------------------ continuous


def objective(blocks, present, free, there, fixed, temperature, balance, lambda_align):
    """The objective as it is written, term by term, for autograd."""
    total = 0.0
    theta = [normalize(each, dim=1) for each in free]
    for m, block in enumerate(blocks):
        centroids = torch.cat([fixed[m], theta[m][there[:, m]]])
        if len(centroids) == 0:
            continue
        for i in np.flatnonzero(present[:, m]):
            products = torch.stack([block[i] @ centroid for centroid in centroids])
            c = int(products.argmax())
            own = torch.exp(products[c] / temperature)
            others = sum(torch.exp(other.detach() @ centroids[c] / temperature) for other in centroids)
            total = total - torch.log(own / (own + balance * others)) / len(block)
    pairs = list(combinations(range(len(blocks)), 2))
    for a, b in pairs:
        for j in range(len(there)):
            if there[j, a] and there[j, b]:
                total = total + lambda_align * (1 - theta[a][j] @ theta[b][j]) / (len(pairs) * len(there))
    return total


def descend(blocks, present, initial, fixed, temperature, balance, lambda_align, max_iter, learning_rate):
    there = present[initial]
    free = [block[initial].clone().requires_grad_() for block in blocks]
    adam = torch.optim.Adam(free, lr=learning_rate)
    for _ in range(max_iter):
        adam.zero_grad()
        objective(blocks, present, free, there, fixed, temperature, balance, lambda_align).backward()
        adam.step()
        with torch.no_grad():
            for each in free:
                each.copy_(normalize(each, dim=1))
    return [each.detach() for each in free]


def snap(blocks, centroids):
    taken = []
    for j in range(len(centroids[0])):
        similarity = sum(block @ theta[j] for block, theta in zip(blocks, centroids, strict=True))
        similarity[taken] = -np.inf
        taken.append(int(similarity.argmax()))
    return taken


def test_one_modality_is_active_ft():
    X = pool_of(40, {"only": 4}, seed=3)
    initial = np.random.RandomState(7).permutation(40)[:5]
    strategy = MMCSAL("raw", init="random", max_iter=40, learning_rate=0.02, temperature=0.2, random_state=7)
    features = torch.tensor(unit(X["only"]))
    centroids = descend(
        [features], np.ones((40, 1), bool), initial, [features[:0]], 0.2, 1.0, 0.0, max_iter=40, learning_rate=0.02
    )
    expected = snap([features], centroids)
    assert expected != initial.tolist()  # the optimiser has something to do
    np.testing.assert_array_equal(strategy.query(None, X, 5), expected)


@pytest.mark.parametrize("with_known", [False, True])
@pytest.mark.parametrize("balance", [1.0, 0.3])
def test_the_optimiser_follows_the_written_objective(with_known, balance):
    blocks, _ = make_blocks(n=25, widths={"a": 4, "b": 4, "c": 4}, missing=0.25, seed=1)
    present = np.column_stack([~np.isnan(block[:, 0]) for block in blocks.values()])
    features = [torch.tensor(np.nan_to_num(unit(block))) for block in blocks.values()]
    initial = np.array([0, 3, 4, 9])
    known = [block[10:14] for block in features] if with_known else None
    known_present = torch.tensor(present[10:14]) if with_known else None
    fixed = [block[:0] for block in features]
    if with_known:
        fixed = [block[10:14][present[10:14, m]] for m, block in enumerate(features)]
    expected = descend(features, present, initial, fixed, 0.3, balance, 2.0, max_iter=6, learning_rate=0.05)
    found, there = optimise_centroids(
        features,
        torch.tensor(present),
        initial,
        known=known,
        known_present=known_present,
        temperature=0.3,
        balance=balance,
        lambda_align=2.0,
        max_iter=6,
        learning_rate=0.05,
        batch_size=100,
        generator=torch.Generator(),
    )
    np.testing.assert_array_equal(there, present[initial])
    assert not there.all()
    for m in range(3):
        torch.testing.assert_close(found[m][there[:, m]], expected[m][there[:, m]], rtol=1e-8, atol=1e-8)
        assert (found[m][~there[:, m]] == 0).all()


def test_the_closed_gradient_is_autograds():
    rng = np.random.default_rng(0)
    features = torch.tensor(unit(rng.standard_normal((30, 4))))
    centroids = torch.tensor(unit(rng.standard_normal((5, 4))), requires_grad=True)
    for balance in (0.0, 0.5, 2.0):
        products = features @ centroids.T / 0.1
        positive, c = products.exp().max(dim=1)
        negative = (centroids.detach() @ centroids.T / 0.1).exp().sum(dim=0)[c]
        expected = -(positive / (positive + balance * negative)).log().mean()
        (gradient,) = torch.autograd.grad(expected, centroids)
        loss, found = activeft_loss(features, centroids.detach(), 0.1, balance)
        assert loss == pytest.approx(expected.item(), rel=1e-10, abs=1e-12)
        torch.testing.assert_close(found, gradient, rtol=1e-9, atol=1e-12)


def test_every_centroid_takes_its_nearest_free_row():
    rng = np.random.default_rng(0)
    blocks = [torch.tensor(unit(rng.standard_normal((300, d)))) for d in (4, 3)]
    centroids = [torch.tensor(unit(rng.standard_normal((150, d)))) for d in (4, 3)]
    rows, scores = nearest_rows(blocks, centroids, np.zeros(300), np.arange(300))
    assert rows.tolist() == snap(blocks, centroids)
    np.testing.assert_allclose(
        scores, [sum(float(b[i] @ t[j]) for b, t in zip(blocks, centroids, strict=True)) for j, i in enumerate(rows)]
    )


# ---------------------------------------------------------------------------------------------------- greedy


def kernel(values, width=1.0):
    return np.exp(-((values[:, None] - values[None]) ** 2).sum(axis=2) / width**2)


def test_one_modality_without_weights_is_max_herding():
    X = pool_of(80, {"only": 4})
    k = kernel(unit(X["only"]))
    covered, expected, gains = np.zeros(80), [], []
    for _ in range(30):
        gain = np.maximum(k - covered, 0).mean(axis=1)
        gain[expected] = -1
        expected.append(int(gain.argmax()))
        gains.append(gain.max())
        covered = np.maximum(covered, k[expected[-1]])
    strategy = MMCSAL("raw", "greedy", lambda_div=0, lambda_align=0)
    rows, scores = strategy.query(None, X, 30, return_scores=True)
    assert rows.tolist() == expected
    np.testing.assert_allclose(scores, 30 * np.array(gains), rtol=1e-8)


@pytest.mark.parametrize("n_labelled", [0, 15])
@pytest.mark.parametrize(("lambda_div", "lambda_align"), [(0.0, 0.0), (1.0, 0.0), (0.5, 2.0), (20.0, 1.0)])
def test_greedy_is_the_written_gain(n_labelled, lambda_div, lambda_align):
    everything = pool_of(75, {"a": 4, "b": 5, "c": 3}, missing=0.2, seed=4)
    X, labelled = everything[n_labelled:], everything[:n_labelled] if n_labelled else None
    present = np.column_stack([~np.isnan(block[:, 0]) for block in everything.blocks.values()])
    features = [np.nan_to_num(unit(block)) for block in everything.blocks.values()]
    kernels = [kernel(f, 0.8) * np.outer(present[:, m], present[:, m]) for m, f in enumerate(features)]
    shared = np.maximum(present.astype(float) @ present.T, 1)
    similarity = sum(f @ f.T for f in features) / shared
    pool = np.arange(n_labelled, 75)
    aligned = canonical_alignment([torch.tensor(f[pool]) for f in features], present[pool], seed=0)
    taken, found = list(range(n_labelled)), []
    for _ in range(12):
        gains = np.full(75, -np.inf)
        for i in set(pool) - set(found):
            covered = [k[:, taken].max(axis=1) if taken else np.zeros(75) for k in kernels]
            rise = sum(np.maximum(k[pool, i] - c[pool], 0).mean() for k, c in zip(kernels, covered, strict=True))
            closest = similarity[i, taken].max() if taken else 0.0
            gains[i] = 12 * rise - lambda_div * closest + lambda_align * aligned[i - n_labelled]
        best = int(gains.argmax())
        taken.append(best)
        found.append(best)
    strategy = MMCSAL(
        "raw", "greedy", lambda_div=lambda_div, lambda_align=lambda_align, bandwidth=0.8, random_state=0
    )
    assert strategy.query(None, X, 12, X_labeled=labelled).tolist() == [i - n_labelled for i in found]


def test_greedy_is_equivariant_to_permuted_rows():
    X = pool_of(70, missing=0.2)
    order = np.random.default_rng(1).permutation(70)
    strategy = MMCSAL("raw", "greedy", random_state=0)
    np.testing.assert_array_equal(order[strategy.query(None, X[order], 20)], strategy.query(None, X, 20))


def test_a_few_references_find_nearly_the_coverage_of_all():
    X = pool_of(600, {"a": 4, "b": 4})
    kernels = [kernel(unit(block)) for block in X.blocks.values()]

    def coverage(rows):
        return sum(k[rows].max(axis=0).mean() for k in kernels)

    settings = {"lambda_div": 0, "lambda_align": 0, "random_state": 0}
    exact = coverage(MMCSAL("raw", "greedy", **settings).query(None, X, 10))
    some = coverage(MMCSAL("raw", "greedy", max_references=200, **settings).query(None, X, 10))
    chance = np.mean([coverage(np.random.default_rng(s).permutation(600)[:10]) for s in range(20)])
    assert exact >= some > chance
    assert exact - some < 0.25 * (exact - chance)


# ------------------------------------------------------------------------------------------------- alignment


def shuffled_pairs(n=240, seed=0):
    """Two views of one latent cause; in the last quarter of the rows the second view is another row's."""
    rng = np.random.default_rng(seed)
    latent = 2 * rng.standard_normal((8, 6))[rng.integers(8, size=n)] + 0.6 * rng.standard_normal((n, 6))
    a, b = latent @ rng.standard_normal((6, 16)), latent @ rng.standard_normal((6, 12))
    wrong = np.arange(n) >= 3 * n // 4
    b[wrong] = np.roll(b[wrong], 7, axis=0)
    return MultimodalArray({"a": a, "b": b}), wrong


@pytest.mark.parametrize("optimizer", ["continuous", "greedy"])
@pytest.mark.parametrize("on_features", ["raw", "encoder"])
def test_mismatched_pairs_are_taken_less_as_the_weight_grows(on_features, optimizer):
    weights = (0.0, 1.0, 10.0)
    share = {weight: [] for weight in weights}
    for seed in range(3):
        X, wrong = shuffled_pairs(seed=seed)
        for weight in weights:
            strategy = MMCSAL(on_features, optimizer, lambda_align=weight, random_state=seed)
            share[weight].append(wrong[strategy.query(None, X, 24)].mean())
    means = [np.mean(share[weight]) for weight in weights]
    assert means[0] > means[1] > means[2], means
    assert means[2] < 0.1
    assert means[0] > 0.15  # without the term, mismatched pairs are taken about as often as they come


def test_canonical_alignment_is_canonical_correlation():
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((400, 2))
    a = np.column_stack([latent, rng.standard_normal((400, 2))]) @ rng.standard_normal((4, 4))
    b = np.column_stack([latent + 0.3 * rng.standard_normal((400, 2)), rng.standard_normal((400, 1))])
    present = np.ones((400, 2), dtype=bool)
    found = canonical_alignment([torch.tensor(a), torch.tensor(b)], present, seed=0)
    u, v = CCA(3, max_iter=5000, tol=1e-12).fit_transform(a, b)
    u, v = u / u.std(axis=0), v / v.std(axis=0)
    correlation = (u * v).mean(axis=0)  # the cosine under the canonical correlations
    inner = (u * correlation * v).sum(axis=1)
    lengths = np.sqrt((u**2 * correlation).sum(axis=1) * (v**2 * correlation).sum(axis=1))
    np.testing.assert_allclose(found, inner / lengths, atol=1e-3)
    # no linear change of a modality matters
    turned = canonical_alignment([torch.tensor(a @ rng.standard_normal((4, 4)) + 5), torch.tensor(b)], present, seed=0)
    np.testing.assert_allclose(turned, found, atol=1e-8)


def test_canonical_alignment_without_anything_to_align_is_zero():
    flat, lively = (
        torch.ones(30, 3, dtype=torch.float64),
        torch.randn(30, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
    )
    np.testing.assert_array_equal(canonical_alignment([flat, lively], np.ones((30, 2), bool), 0), np.zeros(30))
    apart = np.repeat([[True, False], [False, True]], 15, axis=0)
    np.testing.assert_array_equal(canonical_alignment([lively, lively], apart, 0), np.zeros(30))


def test_rows_without_a_pair_get_the_average():
    values = np.array([[0.2, 0.4, 0.6], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    present = np.array([[True, True, True], [True, True, False], [False, False, True]])
    np.testing.assert_allclose(mean_over_pairs(values, present), [0.4, 1.0, 0.7])


# --------------------------------------------------------------------------------------------- what it is for


@pytest.mark.parametrize("optimizer", ["continuous", "greedy"])
@pytest.mark.parametrize("on_features", ["raw", "encoder"])
def test_a_first_batch_meets_more_clusters_than_chance(on_features, optimizer):
    rng = np.random.default_rng(0)
    sizes = np.array([60, 60, 30, 30, 20, 20, 15, 15])
    label = np.repeat(np.arange(8), sizes)
    X = {
        name: 3 * rng.standard_normal((8, d))[label] + 0.5 * rng.standard_normal((250, d))
        for name, d in (("a", 12), ("b", 9))
    }
    met = len(set(label[MMCSAL(on_features, optimizer, random_state=0).query(None, X, 8)]))
    chance = np.mean([len(set(label[np.random.default_rng(s).permutation(250)[:8]])) for s in range(50)])
    assert met >= 7
    assert met > chance + 1


def test_labelled_regions_are_left_alone():
    rng = np.random.default_rng(0)
    label = np.arange(120) % 4
    X = MultimodalArray({n: 3 * rng.standard_normal((4, 8))[label] + 0.3 * rng.standard_normal((120, 8)) for n in "ab"})
    labelled, pool = np.isin(label, [0, 1]) & (np.arange(120) < 40), np.arange(120) >= 40
    for on_features in ("raw", "encoder"):
        strategy = MMCSAL(on_features, "greedy", random_state=0)
        assert set(label[pool][strategy.query(None, X[pool], 2, X_labeled=X[labelled])]) == {2, 3}


@pytest.mark.parametrize("optimizer", ["continuous", "greedy"])
@pytest.mark.parametrize("on_features", ["raw", "encoder"])
def test_copies_are_taken_last(on_features, optimizer):
    distinct = pool_of(9, missing=0.2)
    X = distinct[np.tile(np.arange(9), 5)]
    rows = MMCSAL(on_features, optimizer, random_state=0).query(None, X, 20)
    assert len(set(rows.tolist())) == 20
    assert set((rows[:9] % 9).tolist()) == set(range(9))


def test_equal_rows():
    X = MultimodalArray({"a": [[0.0, 1], [-0.0, 1], [2, 1], [0, 1]], "b": [[1.0], [1.0], [1.0], [np.nan]]})
    assert equal_rows(list(X.blocks.values())).tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("optimizer", ["continuous", "greedy"])
@pytest.mark.parametrize("on_features", ["raw", "encoder"])
def test_rows_of_one_modality_and_pools_larger_than_a_batch(on_features, optimizer):
    blocks, _ = make_blocks(n=150, widths={"a": 4, "b": 3, "c": 5})
    for m, name in enumerate(blocks):
        blocks[name][np.arange(150) % 3 != m] = np.nan  # no row has two modalities
    X = MultimodalArray({name: block.astype(np.float32) for name, block in blocks.items()})
    strategy = MMCSAL(on_features, optimizer, batch_size=32, max_references=50, max_iter=30, random_state=0)
    rows, scores = strategy.query(None, X, 30, return_scores=True)
    assert len(set(rows.tolist())) == 30
    assert np.isfinite(scores).all()
    assert set((rows % 3).tolist()) == {0, 1, 2}
    np.testing.assert_array_equal(strategy.query(None, X, 30), rows)


@pytest.mark.parametrize("optimizer", ["continuous", "greedy"])
def test_the_order_of_modalities_never_shows(optimizer):
    blocks, y = make_blocks(n=90, widths={"b": 4, "a": 4}, missing=0.2)
    swapped = MultimodalArray({"a": blocks["a"], "b": blocks["b"]})
    X = MultimodalArray(blocks)
    fitted = LateFusionClassifier().fit(X[:30], y[:30])
    for on_features in ("raw", "encoder"):
        strategy = MMCSAL(on_features, optimizer, random_state=0)
        expected = strategy.query(None, X[30:], 10)
        np.testing.assert_array_equal(strategy.query(None, swapped[30:], 10), expected)
        np.testing.assert_array_equal(strategy.query(fitted, swapped[30:], 10), expected)


def test_a_given_encoder_is_cloned_and_used():
    X = pool_of(60)
    encoder = CrossModalEncoder({"other": 9}, n_components=3, max_iter=2, random_state=5)
    rows = MMCSAL(encoder=encoder, random_state=0).query(None, X, 6)
    assert not hasattr(encoder, "module_")
    projected = CrossModalEncoder(n_components=3, max_iter=2, random_state=5).fit_transform(X)
    on_projected = MMCSAL("raw", "greedy", lambda_align=0, random_state=0).query(None, projected, 6)
    by_encoder = MMCSAL("encoder", "greedy", lambda_align=0, encoder=encoder, random_state=0).query(None, X, 6)
    np.testing.assert_array_equal(by_encoder, on_projected)
    assert len(set(rows.tolist())) == 6


def test_bad_parameters_are_named():
    for bad in ({"on_features": "pixels"}, {"optimizer": "sgd"}, {"lambda_align": -1}, {"encoder": "mine"}):
        with pytest.raises(ValueError, match=f"'{next(iter(bad))}' parameter"):
            get_strategy("mmcsal", **bad).query(None, np.zeros((4, 2)), 1)
