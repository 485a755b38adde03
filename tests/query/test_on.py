"""What `on` means for each kind of strategy, against brute force."""

import inspect

import numpy as np
import pandas as pd
import pytest
from samples import make_blocks, quick_strategy
from scipy.linalg import block_diag
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skmmal import ActiveLearner, LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal._random import check_rng, draw_seed
from skmmal.query import (
    BADGE,
    BAIT,
    BALD,
    FALCUN,
    GALAXY,
    CoreSet,
    DeepFool,
    DropQuery,
    EntropySampling,
    LeastConfidenceSampling,
    MarginSampling,
    Partitioned,
    QueryStrategy,
    UHerding,
    available_strategies,
    get_strategy,
    mutual_information,
)
from skmmal.query._bait import fisher_batch
from skmmal.reading import read, read_with_labels
from skmmal.selection import DenseEmbedding, d2_sampling
from skmmal.selection._dense import unit_rows
from skmmal.selection._herding import kernel_herding

WIDTHS = {"a": 5, "b": 3, "c": 4}
WITHOUT_ON = ["auto", "bmmal", "head-disagreement", "mmcsal", "mvopt", "random", "refine"]
WITH_ON = [name for name in available_strategies() if name not in WITHOUT_ON]
FEATURES_ONLY = ["coregcn", "coreset", "kmeans", "maxherding", "probcover", "typiclust", "uncertaingcn"]


def seeded(name, on, **params):
    return quick_strategy(name, 3, on=on, **params)


@pytest.fixture(scope="module")
def problem():
    """A linear classifier of three modalities, 90 pool rows, 40 labelled rows; a quarter of the blocks is missing."""
    blocks, y = make_blocks(n=130, widths=WIDTHS, missing=0.25)
    X = MultimodalArray(blocks)
    return LateFusionClassifier(C=0.1).fit(X[:40], y[:40]), X[40:], X[:40], y[:40]


def there(X, name):
    return np.flatnonzero(~np.isnan(X[name]).any(axis=1))


def own_head(clf, name):
    layer = clf.module_.head.unimodal[list(WIDTHS).index(name)]
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def own_probabilities(clf, X, name):
    """The softmax of the modality's own classifier, NaN in the rows that lack it."""
    weight, bias = own_head(clf, name)
    return softmax(X[name] @ weight.T + bias, axis=1)


def heads_of(clf, X):
    return [clf.predict_proba(X), *(own_probabilities(clf, X, name) for name in WIDTHS)]


def margin(p):
    top = np.sort(p, axis=1)
    return top[:, -2] - top[:, -1]


SCORES = {
    MarginSampling: margin,
    EntropySampling: lambda p: entropy(p, axis=1),
    LeastConfidenceSampling: lambda p: 1 - p.max(axis=1),
}


# ------------------------------------------------------------------------------------------- one modality's head


@pytest.mark.parametrize("strategy", SCORES)
@pytest.mark.parametrize("name", WIDTHS)
def test_scores_of_one_modality_are_those_of_its_own_softmax(strategy, name, problem):
    clf, pool, _, _ = problem
    rows = there(pool, name)
    scores = SCORES[strategy](own_probabilities(clf, pool, name)[rows])
    order = np.argsort(-scores, kind="stable")[:20]
    picked, found = strategy(on=name).query(clf, pool, 20, return_scores=True)
    np.testing.assert_array_equal(picked, rows[order])
    np.testing.assert_allclose(found, scores[order], atol=1e-12)


@pytest.mark.parametrize("name", WITH_ON)
@pytest.mark.parametrize("n_instances", [1, 15])
def test_one_modality_is_the_strategy_on_that_modality_alone(name, n_instances, problem):
    """Every strategy on a unimodal classifier that has the head's weights, with its rows and nothing else."""
    clf, pool, labelled, y = problem
    rows, known = there(pool, "b"), there(labelled, "b")
    alone = LateFusionClassifier(C=0.1).fit(labelled["b"][known], y[known])
    layer, own = alone.module_.head.fused, clf.module_.head.unimodal[1]
    layer.weight.data, layer.bias.data = own.weight.data.clone(), own.bias.data.clone()
    expected = seeded(name, "fused").query(
        alone, pool["b"][rows], n_instances, X_labeled=labelled["b"][known], y_labeled=y[known], return_scores=True
    )
    picked, scores = seeded(name, "b").query(
        clf, pool, n_instances, X_labeled=labelled, y_labeled=y, return_scores=True
    )
    np.testing.assert_array_equal(picked, rows[expected[0]])
    np.testing.assert_allclose(scores, expected[1], atol=1e-9)


@pytest.mark.parametrize("name", FEATURES_ONLY)
def test_features_of_one_modality_need_no_model(name, problem):
    _, pool, labelled, y = problem
    rows, known = there(pool, "c"), there(labelled, "c")
    params = {"n_clusters": 4} if name == "probcover" else {}  # otherwise a model tells the number of classes
    expected = seeded(name, "fused", **params).query(None, pool["c"][rows], 12, X_labeled=labelled["c"][known])
    plain = LogisticRegression().fit(np.nan_to_num(np.asarray(labelled)), y)
    for estimator in (None, LateFusionClassifier(), plain):
        found = seeded(name, "c", **params).query(estimator, pool, 12, X_labeled=labelled)
        np.testing.assert_array_equal(found, rows[expected])
    matrix, layout = np.asarray(pool), LateFusionClassifier(WIDTHS)
    found = seeded(name, "c", **params).query(layout, matrix, 12, X_labeled=np.asarray(labelled))
    np.testing.assert_array_equal(found, rows[expected])


def test_a_plain_matrix_is_one_modality():
    X = np.random.default_rng(0).standard_normal((20, 3))
    assert CoreSet(on="X").query(None, X, 4).tolist() == CoreSet().query(None, X, 4).tolist()


@pytest.mark.parametrize("name", ["margin", "coreset", "badge", "kmeans", "bald", "galaxy"])
def test_rows_that_lack_the_modality_fill_up_by_the_fused_head(name, problem):
    clf, pool, labelled, y = problem
    rows = there(pool, "a")
    left = np.setdiff1d(np.arange(len(pool)), rows)
    held = {"X_labeled": labelled, "y_labeled": y}
    picked = seeded(name, "a").query(clf, pool, len(pool), **held)
    assert sorted(picked[: len(rows)].tolist()) == rows.tolist()
    assert sorted(picked.tolist()) == list(range(len(pool)))
    few = seeded(name, "a").query(clf, pool, len(rows) + 5, **held)
    np.testing.assert_array_equal(few[: len(rows)], picked[: len(rows)])
    if name in ("margin", "coreset"):  # they draw nothing, so that the rest can be asked for alone
        rest = seeded(name, "fused").query(clf, pool[left], 5, **held)
        np.testing.assert_array_equal(few[len(rows) :], left[rest])
    exactly = seeded(name, "a").query(clf, pool, len(rows), **held)
    np.testing.assert_array_equal(exactly, picked[: len(rows)])


@pytest.mark.parametrize("name", WITH_ON)
def test_a_modality_that_no_row_has_leaves_all_to_the_fused_head(name, problem):
    clf, pool, labelled, y = problem
    blocks = {key: block.copy() for key, block in pool[np.r_[0:30]].blocks.items()}
    blocks["a"] = np.nan_to_num(blocks["a"])
    blocks["b"][:] = np.nan
    X = MultimodalArray(blocks)
    answers = [
        seeded(name, on).query(clf, X, 6, X_labeled=labelled, y_labeled=y).tolist() for on in ("fused", "b", "all")
    ]
    assert answers[0] == answers[1]
    assert len(set(answers[2])) == 6


@pytest.mark.parametrize("name", WITH_ON)
def test_no_labelled_row_has_the_modality(name, problem):
    clf, pool, labelled, y = problem
    without = np.setdiff1d(np.arange(40), there(labelled, "b"))
    held = {"X_labeled": labelled[without], "y_labeled": y[without]}
    picked, scores = seeded(name, "b").query(clf, pool, 5, **held, return_scores=True)
    assert set(picked.tolist()) <= set(there(pool, "b").tolist())
    assert np.isfinite(scores).all() or name == "coreset"
    assert len(set(seeded(name, "all").query(clf, pool, 5, **held).tolist())) == 5


def test_a_given_first_row_is_a_row_of_the_pool(problem):
    clf, pool, _, _ = problem
    rows = there(pool, "a")
    lacking = int(np.setdiff1d(np.arange(len(pool)), rows)[0])
    assert BADGE(first=int(rows[-1]), on="a", random_state=0).query(clf, pool, 3)[0] == rows[-1]
    by_norm = BADGE(on="a", random_state=0).query(clf, pool, 3)
    np.testing.assert_array_equal(BADGE(first=lacking, on="a", random_state=0).query(clf, pool, 3), by_norm)
    everything = BADGE(first=int(rows[2]), on="a", random_state=0).query(clf, pool, len(pool))
    assert everything[0] == rows[2]
    with pytest.raises(ValueError, match="first must be an index"):
        BADGE(first=len(pool), on="a").query(clf, pool, 3)


def test_dropout_draws_are_those_of_the_modalitys_head():
    blocks, y = make_blocks(n=90)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(dropout=0.5, max_iter=20, random_state=0, device="cpu").fit(X[:40], y[:40])
    head = read(clf, X[40:]).heads["text"]
    draws = np.stack(list(head.draws(400, 0)))
    layer = clf.module_.head.unimodal[1]
    masks = np.random.default_rng(0).random((4000, 50, 3)) >= 0.5
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    by_hand = softmax((2 * blocks["text"][40:] * masks) @ weight.T + bias, axis=2)
    np.testing.assert_allclose(draws.mean(axis=0), by_hand.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(mutual_information(draws), mutual_information(by_hand), atol=0.1)
    for p in head.draws(3, 0, joint=True):
        kept = {tuple(np.round(row, 9)) for row in p}
        assert len(kept) > 1


class Learner:
    def __init__(self, estimator):
        self.estimator = estimator


class Committee:
    def __init__(self, *members):
        self.learner_list = [Learner(member) for member in members]
        self.classes_ = np.arange(3)

    def predict_proba(self, X):
        return np.mean([learner.estimator.predict_proba(X) for learner in self.learner_list], axis=0)


def test_a_committees_head_is_its_members_heads(problem):
    clf, pool, labelled, y = problem
    other = make_pipeline(ModalityScaler(), LateFusionClassifier()).fit(labelled[:25], y[:25])
    whole = Committee(clf, other)
    scaled = other[:-1].transform(pool)
    draws = np.stack([own_probabilities(clf, pool, "b"), own_probabilities(other[-1], scaled, "b")])
    rows = there(pool, "b")
    order = np.argsort(-margin(draws.mean(axis=0)[rows]), kind="stable")[:10]
    np.testing.assert_array_equal(MarginSampling(on="b").query(whole, pool, 10), rows[order])
    scores = mutual_information(draws[:, rows])
    np.testing.assert_array_equal(BALD(on="b").query(whole, pool, 10), rows[np.argsort(-scores, kind="stable")[:10]])


# ---------------------------------------------------------------------------------------------------- all heads


def mean_over_heads(values):
    return np.nanmean(values, axis=0)


@pytest.mark.parametrize("strategy", SCORES)
def test_scores_of_all_are_the_mean_over_the_heads_a_row_has(strategy, problem):
    clf, pool, _, _ = problem
    scores = mean_over_heads([SCORES[strategy](p) for p in heads_of(clf, pool)])
    order = np.argsort(-scores, kind="stable")
    picked, found = strategy(on="all").query(clf, pool, len(pool), return_scores=True)
    np.testing.assert_array_equal(picked, order)
    np.testing.assert_allclose(found, scores[order], atol=1e-12)


def test_deep_fool_on_all_is_the_mean_distance(problem):
    clf, pool, _, _ = problem

    def distances(p, weight, name=None):
        out = np.full(len(pool), np.nan)
        for row in range(len(pool)) if name is None else there(pool, name):
            top = p[row].argmax()
            present = [name] if name else [each for each in WIDTHS if row in there(pool, each)]
            kept = np.concatenate([np.full(WIDTHS[each], each in present) for each in ([name] if name else WIDTHS)])
            out[row] = min(
                np.log(p[row, top] / p[row, k]) / np.linalg.norm((weight[top] - weight[k])[kept])
                for k in range(3)
                if k != top
            )
        return out

    fused, *own = heads_of(clf, pool)
    by_head = [distances(fused, clf.module_.head.fused.weight.detach().numpy())]
    by_head += [distances(p, own_head(clf, name)[0], name) for p, name in zip(own, WIDTHS, strict=True)]
    _, scores = DeepFool(on="all").query(clf, pool, len(pool), return_scores=True)
    np.testing.assert_allclose(np.sort(-scores), np.sort(mean_over_heads(by_head)), atol=1e-9)


@pytest.mark.parametrize("name", ["bald", "powerbald", "epig", "dropquery"])
def test_draws_of_all_heads_are_averaged(name, problem):
    clf, pool, labelled, _ = problem
    params = {"n_passes": 2000} if name == "dropquery" else {"n_draws": 3000}
    if name == "powerbald":
        params["beta"] = 0.0  # the noise alone
        base = seeded(name, "all", **params).query(clf, pool, 20, X_labeled=labelled)
        assert len(set(base.tolist())) == 20
        return
    if name == "epig":
        params = {"n_draws": 400, "n_targets": len(pool)}
    found = {}
    for on in ("fused", *WIDTHS, "all"):
        picked, scores = seeded(name, on, **params).query(
            clf, pool, len(pool), X_labeled=labelled, return_scores=True
        )
        found[on] = np.full(len(pool), np.nan)
        own = np.isin(picked, np.arange(len(pool)) if on in ("fused", "all") else there(pool, on))
        found[on][picked[own]] = scores[own]
    expected = mean_over_heads([found[on] for on in ("fused", *WIDTHS)])
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found["all"] / scale, expected / scale, atol=0.12)
    assert np.corrcoef(found["all"], expected)[0, 1] > 0.99


def test_uherding_weighs_by_the_mean_over_the_heads(problem):
    clf, pool, labelled, _ = problem
    weights = mean_over_heads([1 + margin(p) for p in heads_of(clf, pool)])
    Z, L = (np.nan_to_num(np.asarray(X)) for X in (pool, labelled))
    expected = kernel_herding(unit_rows(Z), 20, weights=weights, initial=unit_rows(L))[0]
    np.testing.assert_array_equal(UHerding(on="all").query(clf, pool, 20, X_labeled=labelled), expected)


def test_falcun_on_all_draws_by_mean_uncertainty_and_summed_distances(problem):
    clf, pool, _, _ = problem
    heads = heads_of(clf, pool)
    u = np.clip(mean_over_heads([1 + margin(p) for p in heads]), 0, 1)
    vectors = np.hstack([np.nan_to_num(p) for p in heads]) / 4
    r, left, expected = u.copy(), np.ones(len(u), dtype=bool), []
    for _ in range(25):
        low, high = r[left].min(), r[left].max()
        expected.append(int(np.where(left, (r - low) / (high - low) + u, -np.inf).argmax()))
        left[expected[-1]] = False
        r = np.minimum(r, np.abs(vectors - vectors[expected[-1]]).sum(axis=1))
    assert FALCUN(gamma=1e5, on="all", random_state=0).query(clf, pool, 25).tolist() == expected


@pytest.mark.parametrize("name", FEATURES_ONLY)
def test_features_of_all_are_the_fused_features(name, problem):
    clf, pool, labelled, y = problem
    for estimator in (None, clf, LogisticRegression().fit(np.nan_to_num(np.asarray(labelled)), y)):
        X = pool if estimator is not None and hasattr(estimator, "embed") else np.nan_to_num(np.asarray(pool))
        held = labelled if X is pool else np.nan_to_num(np.asarray(labelled))
        answers = [seeded(name, on).query(estimator, X, 12, X_labeled=held).tolist() for on in ("fused", "all")]
        assert answers[0] == answers[1]


def dense_gradients(clf, X):
    """Gradient of each head's cross-entropy at its predicted class by its weights, side by side; zero if absent."""
    fused, *own = heads_of(clf, X)
    Z = np.nan_to_num(np.asarray(X))
    parts = [np.einsum("nk,nd->nkd", fused - np.eye(3)[fused.argmax(axis=1)], Z)]
    for p, name in zip(own, WIDTHS, strict=True):
        g = np.zeros((len(X), 3, WIDTHS[name]))
        rows = there(X, name)
        g[rows] = np.einsum("nk,nd->nkd", p[rows] - np.eye(3)[p[rows].argmax(axis=1)], X[name][rows])
        parts.append(g)
    return [part.reshape(len(X), -1) for part in parts]


def test_badges_embedding_on_each_head(problem):
    clf, pool, _, _ = problem
    fused, *own = dense_gradients(clf, pool)
    for name, g in zip(WIDTHS, own, strict=True):
        found = BADGE(on=name).embedding(clf, pool)
        np.testing.assert_allclose(found.inner(), g @ g.T, atol=1e-10)
        assert len(found) == len(pool)
    everything = np.hstack([fused, *own])
    found = BADGE(on="all").embedding(clf, pool)
    np.testing.assert_allclose(found.inner(), everything @ everything.T, atol=1e-10)
    np.testing.assert_allclose(found.sq_norms(), (everything**2).sum(axis=1), atol=1e-10)
    exact = ((everything[:, None] - everything) ** 2).sum(axis=2)
    np.testing.assert_allclose(found.sq_distances(), exact, atol=1e-9)
    # in factors: K ≪ D would show if a block of features were stored for every head
    assert sum(term.n_columns for term in found.terms) == sum(WIDTHS.values()) + 2 * 3 * 3


def test_the_gradient_of_all_heads_is_the_gradient():
    """Against automatic differentiation of the sum of the heads' cross-entropies at their predicted classes."""
    import torch

    blocks, y = make_blocks(n=40)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier().fit(X, y)
    found = BADGE(on="all").embedding(clf, X)
    head = clf.module_.head
    gradients = []
    for row in range(12):
        head.zero_grad()
        z = [torch.from_numpy(block[row : row + 1]) for block in blocks.values()]
        for logits in (head(z), *head.unimodal_logits(z)):
            torch.nn.functional.cross_entropy(logits, logits.argmax(dim=1)).backward()
        layers = (head.fused, *head.unimodal)
        gradients.append(np.concatenate([layer.weight.grad.numpy().ravel() for layer in layers]))
    head.zero_grad(set_to_none=True)
    gradients = np.stack(gradients)
    np.testing.assert_allclose(found.inner(range(12), range(12)), gradients @ gradients.T, atol=1e-10)


@pytest.mark.parametrize("n_parts", [1, 3])
def test_badge_on_all_is_d2_sampling_of_the_dense_gradients(n_parts, problem):
    clf, pool, _, _ = problem
    everything = np.hstack(dense_gradients(clf, pool))
    for seed in range(4):
        badge = BADGE(on="all", random_state=seed)
        chosen = badge if n_parts == 1 else Partitioned(badge, n_parts, random_state=seed)
        picked, scores = chosen.query(clf, pool, 30, return_scores=True)
        if n_parts == 1:
            seed_of_sampling = draw_seed(check_rng(seed))
            expected = d2_sampling(
                DenseEmbedding(everything), 30, random_state=seed_of_sampling, return_sq_distances=True
            )
            np.testing.assert_array_equal(picked, expected[0])
            np.testing.assert_allclose(scores, expected[1], rtol=1e-9)
        else:
            assert len(set(picked.tolist())) == 30


@pytest.mark.parametrize("fisher", ["full", "trace"])
def test_bait_on_all_is_the_search_in_block_diagonal_information(fisher, problem):
    clf, pool, labelled, _ = problem

    def factors(X):
        fused, *own = heads_of(clf, X)
        features = [np.nan_to_num(np.asarray(X)), *(X[name] for name in WIDTHS)]
        rows = []
        for row in range(len(X)):
            blocks = []
            for p, Z in zip((fused, *own), features, strict=True):
                z, q = np.nan_to_num(Z[row]), p[row]
                if np.isnan(q).any():
                    q = np.full(3, 1 / 3)  # z is zero there
                if fisher == "trace":
                    blocks.append(np.sqrt(1 - (q**2).sum()) * z[None])
                else:
                    blocks.append(np.stack([np.sqrt(q[c]) * np.kron(np.eye(3)[c] - q, z) for c in range(3)]))
            rows.append(block_diag(*blocks))
        return np.stack(rows)

    expected = fisher_batch([factors(pool)], 6, labelled=[factors(labelled)], n_labelled=40)
    found = BAIT(fisher=fisher, on="all").query(clf, pool, 6, X_labeled=labelled, return_scores=True)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-9)


class SurestOfClassZero(QueryStrategy):
    """A strategy of one's own in which the heads take turns."""

    _heads_take_turns = True

    def __init__(self, *, on="fused"):
        self.on = on

    def _select(self, pool, labelled, n_instances, rng):
        return pool.highest(pool.head.probabilities[:, 0], n_instances)


@pytest.mark.parametrize("n_instances", [1, 3, 5, 30, 90])
def test_heads_take_turns(n_instances, problem):
    clf, pool, _, _ = problem
    heads = heads_of(clf, pool)
    lists = [[r for r in np.argsort(-p[:, 0], kind="stable") if not np.isnan(p[r, 0])] for p in heads]
    expected, scores = [], []
    while len(expected) < n_instances:
        for p, rows in zip(heads, lists, strict=True):
            left = [r for r in rows[:n_instances] if r not in expected]
            if left and len(expected) < n_instances:
                expected.append(left[0])
                scores.append(p[left[0], 0])
    picked, found = SurestOfClassZero(on="all").query(clf, pool, n_instances, return_scores=True)
    assert picked.tolist() == expected
    np.testing.assert_allclose(found, scores, atol=1e-12)


def test_galaxy_takes_turns(problem):
    clf, pool, labelled, y = problem
    held = {"X_labeled": labelled, "y_labeled": y}
    picked = GALAXY(on="all", random_state=3).query(clf, pool, 9, **held)
    # the fused head chooses first, with the generator as it is for on="fused"
    assert picked[0] == GALAXY(random_state=3).query(clf, pool, 9, **held)[0]
    assert len(set(picked.tolist())) == 9


# ------------------------------------------------------------------------------------------ estimators and input


@pytest.mark.parametrize("name", ["margin", "badge", "coreset", "bald", "deepfool"])
@pytest.mark.parametrize("on", ["text", "all"])
def test_pipelines_with_a_scaler(name, on):
    blocks, y = make_blocks(n=100, missing=0.2)
    X = np.hstack([50 * blocks["image"] + 7, blocks["text"]])
    widths = {"image": 5, "text": 3}
    pipeline = make_pipeline(ModalityScaler(widths), LateFusionClassifier(widths)).fit(X[:30], y[:30])
    Z = pipeline[0].transform(X)
    held = {"y_labeled": y[:30]}
    expected = seeded(name, on).query(pipeline[1], Z[30:], 12, X_labeled=Z[:30], **held)
    np.testing.assert_array_equal(seeded(name, on).query(pipeline, X[30:], 12, X_labeled=X[:30], **held), expected)
    frames = [pd.DataFrame(part, columns=[f"f{i}" for i in range(8)]) for part in (X[30:], X[:30])]
    layout = {"image": ["f0", "f1", "f2", "f3", "f4"], "text": ["f5", "f6", "f7"]}
    by_name = make_pipeline(ModalityScaler(layout), LateFusionClassifier(widths)).fit(frames[1], y[:30])
    found = seeded(name, on).query(by_name, frames[0], 12, X_labeled=frames[1], **held)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("encoder_dim", [None, 4])
@pytest.mark.parametrize("name", WITH_ON)
def test_networks(name, encoder_dim):
    blocks, y = make_blocks(n=70, missing=0.2)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(
        encoder_dim=encoder_dim, dropout=0.3, max_iter=5, solver="adamw", random_state=0, device="cpu"
    ).fit(X[:30], y[:30])
    for on in ("text", "all"):
        picked, scores = seeded(name, on).query(clf, X[30:], 8, X_labeled=X[:30], y_labeled=y[:30], return_scores=True)
        assert len(set(picked.tolist())) == 8
        assert np.isfinite(scores).all()
        if on == "text":
            assert set(picked.tolist()) <= set(there(X[30:], "text").tolist())


class Duck:
    """A classifier of one's own: it has what `on` asks for, and no `embed`; NaN where a modality is absent."""

    def __init__(self, spoilt=None):
        self.classes_ = np.arange(2)
        self.spoilt = spoilt

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)

    def predict_proba_by_modality(self, X):
        p = 1 / (1 + np.exp(-X["u"][:, 0]))
        found = {"u": np.column_stack([1 - p, p]), "v": np.full((len(X), 2), 0.5)}
        if self.spoilt is not None:
            found["u"][self.spoilt] = np.nan
        return found


def test_any_classifier_with_heads():
    u = np.array([[3.0], [np.nan], [0.1], [-0.5], [9.0]])
    X = MultimodalArray({"u": u, "v": np.zeros((5, 2))})
    assert MarginSampling(on="u").query(Duck(), X, 4).tolist() == [2, 3, 0, 4]
    assert MarginSampling(on="u").query(Duck(), X, 5).tolist() == [2, 3, 0, 4, 1]
    assert MarginSampling(on="all").query(Duck(), X, 2).tolist() == [1, 2]
    for strategy in (BADGE(on="u", random_state=0), DeepFool(on="all"), DropQuery(on="u", random_state=0)):
        picked, scores = strategy.query(Duck(), X, 5, return_scores=True)
        assert sorted(picked.tolist()) == [0, 1, 2, 3, 4]
        assert np.isfinite(scores).all()
    with pytest.raises(ValueError, match="Duck.predict_proba_by_modality is not finite in row 3 of X_pool"):
        MarginSampling(on="u").query(Duck(spoilt=3), X, 2)


def test_labelled_rows_in_another_order_of_modalities():
    blocks, _ = make_blocks(n=60, missing=0.2)
    pool, held = MultimodalArray(blocks)[20:], MultimodalArray(blocks)[:20]
    swapped = {"text": held["text"], "image": held["image"]}
    for on in ("fused", "text"):
        expected = CoreSet(on=on).query(None, pool, 8, X_labeled=held)
        np.testing.assert_array_equal(CoreSet(on=on).query(None, pool, 8, X_labeled=swapped), expected)


def test_learners_pass_it_on(problem):
    clf, pool, labelled, y = problem
    learner = ActiveLearner(LateFusionClassifier(C=0.1), MarginSampling(on="b"), X_training=labelled, y_training=y)
    rows, _ = learner.query(pool, n_instances=6)
    np.testing.assert_array_equal(rows, MarginSampling(on="b").query(clf, pool, 6))


@pytest.mark.parametrize("name", WITH_ON)
def test_unknown_modalities_are_named(name, problem):
    clf, pool, _, _ = problem
    with pytest.raises(ValueError, match=r"on='d', but the pool's modalities are \['a', 'b', 'c'\]; .* 'fused' or 'all'"):
        get_strategy(name, on="d").query(clf, pool, 2)
    for wrong in (None, 1, ["a"]):
        with pytest.raises(TypeError, match="on must be 'fused', 'all' or the name of a modality, got"):
            get_strategy(name, on=wrong).query(clf, pool, 2)


def test_a_modality_named_all_is_refused():
    X = {"all": np.eye(4), "b": np.eye(4)}
    with pytest.raises(ValueError, match="on='all' means all heads, but one modality"):
        CoreSet(on="all").query(None, X, 2)
    assert len(CoreSet(on="b").query(None, X, 2)) == 2


@pytest.mark.parametrize("name", [name for name in WITH_ON if name not in [*FEATURES_ONLY, "tcm"]])  # tcm: at first
@pytest.mark.parametrize("on", ["X", "all"])
def test_classifiers_without_heads_are_refused(name, on):
    X = np.random.default_rng(0).standard_normal((20, 3))
    clf = LogisticRegression().fit(X, np.arange(20) % 2)
    with pytest.raises(TypeError, match="LogisticRegression has no predict_proba_by_modality.*LateFusionClassifier"):
        seeded(name, on).query(clf, X, 2)


@pytest.mark.parametrize("name", ["bald", "batchbald", "epig", "powerbald"])
def test_members_without_heads_are_not_asked(name):
    X = np.random.default_rng(0).standard_normal((20, 3))
    forest = RandomForestClassifier(3, random_state=0).fit(X, np.arange(20) % 2)
    with pytest.raises(TypeError, match="RandomForestClassifier has no predict_proba_by_modality"):
        seeded(name, "all").query(forest, X, 2)


@pytest.mark.parametrize("name", available_strategies())
def test_every_strategy_says_what_on_means(name):
    strategy = type(get_strategy(name))
    parameters = inspect.signature(strategy).parameters
    if name in WITHOUT_ON:
        assert "on" not in parameters
        return
    assert parameters["on"].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["on"].default == "fused"
    assert '    on : str, default="fused"' in strategy.__doc__
    chosen = clone(get_strategy(name, on="text"))
    assert chosen.get_params()["on"] == "text"
    assert repr(chosen) == f"{strategy.__name__}(on='text')"


def test_readings_of_heads(problem):
    clf, pool, labelled, y = problem
    whole = read_with_labels(clf, pool, labelled, y)
    assert whole.modality_names == list(WIDTHS)
    np.testing.assert_array_equal(whole.present, np.column_stack([~np.isnan(b[:, 0]) for b in pool.blocks.values()]))
    np.testing.assert_array_equal(
        whole.labelled.present, np.column_stack([~np.isnan(b[:, 0]) for b in labelled.blocks.values()])
    )
    head = whole.heads["b"]
    np.testing.assert_array_equal(head.positions, there(pool, "b"))
    np.testing.assert_array_equal(head.features, pool["b"][head.positions])
    np.testing.assert_array_equal(head.labelled.features, labelled["b"][there(labelled, "b")])
    np.testing.assert_array_equal(head.labelled.codes, y[there(labelled, "b")])
    own = whole.on("b")
    np.testing.assert_array_equal(own.rows, head.positions)
    np.testing.assert_array_equal(own.head.features, head.features)
    np.testing.assert_array_equal(own.labelled.rows, there(labelled, "b"))
    weight, bias = head.linear
    np.testing.assert_array_equal(weight, own_head(clf, "b")[0])
    np.testing.assert_array_equal(bias, own_head(clf, "b")[1])
    assert [len(each) for each in whole.on("all").listening] == [90, *(len(there(pool, name)) for name in WIDTHS)]


def test_thirds_of_the_largest_score_stay_finite():
    largest = np.finfo(np.float64).max
    X = MultimodalArray({name: np.ones((3, 1)) for name in "ab"})
    reading = read(LateFusionClassifier().fit(X, [0, 1, 1]), X).on("all")
    with np.errstate(all="raise"):
        scores = reading.mean_score(lambda head: np.full(len(head), largest))
    np.testing.assert_allclose(scores, largest)
