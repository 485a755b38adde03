"""What each strategy is: the paper's own numbers and brute force."""

import numpy as np
import pytest
from samples import make_blocks
from scipy.stats import chisquare
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import (
    BADGE,
    BMMAL,
    CoreSet,
    EntropySampling,
    KMeansSampling,
    LeastConfidenceSampling,
    MarginSampling,
    Partitioned,
    RandomSampling,
    available_strategies,
    get_strategy,
)


class Reference:
    """The reference values as a fitted classifier."""

    def __init__(self, values):
        self.values = values
        self.classes_ = np.arange(5)

    def predict_proba(self, X):
        return self.values["probs"]

    def embed(self, X):
        return {"m1": self.values["z1"], "m2": self.values["z2"]}

    def modality_contributions(self, X):
        return np.column_stack([self.values["contribution1"], self.values["contribution2"]])


@pytest.fixture
def pool(reference):
    return np.hstack([reference["z1"], reference["z2"]])


def test_gradient_embeddings_are_the_papers(reference, pool):
    bmmal = BMMAL().embedding(Reference(reference), pool)
    np.testing.assert_allclose(bmmal.inner(), reference["bmmal_gram"], atol=1e-10)
    np.testing.assert_allclose(bmmal.sq_norms(), reference["bmmal_sqnorm"], atol=1e-10)
    badge = BADGE().embedding(Reference(reference), pool)
    np.testing.assert_allclose(badge.inner(), reference["badge_gram"], atol=1e-10)


def test_the_papers_entropy_ranking(reference, pool):
    picked = EntropySampling().query(Reference(reference), pool, 25)
    np.testing.assert_array_equal(picked, reference["entropy_indices"])


def test_the_papers_coreset(reference, pool):
    labelled = reference["labeled"].astype(int)
    rest = np.setdiff1d(np.arange(len(pool)), labelled)
    picked = CoreSet().query(None, pool[rest], 25, X_labeled=pool[labelled])
    np.testing.assert_array_equal(rest[picked], reference["coreset_indices"])


def test_the_gradient_embedding_is_the_gradient():
    """BADGE's embedding against automatic differentiation of the cross-entropy at the predicted class."""
    import torch

    blocks, y = make_blocks(n=30)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier().fit(X, y)
    embedding = BADGE().embedding(clf, X)
    layer = clf.module_.head.fused
    for row in range(5):
        z = torch.from_numpy(np.concatenate([blocks["image"][row], blocks["text"][row]]))
        weight = layer.weight.detach().clone().requires_grad_(True)
        logits = weight @ z + layer.bias.detach()
        torch.nn.functional.cross_entropy(logits[None], logits.argmax()[None]).backward()
        gradient = np.outer(embedding.left[row], embedding.right[row])
        np.testing.assert_allclose(gradient, weight.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_bmmal_weighs_the_blocks_of_three_modalities(missing):
    widths = {"a": 3, "b": 4, "c": 2}
    blocks, y = make_blocks(n=60, widths=widths, missing=missing)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier().fit(X, y)
    share = clf.modality_contributions(X)
    weights = 1 - (share.max(axis=1, keepdims=True) - share)
    probabilities = clf.predict_proba(X)
    residuals = probabilities - np.eye(3)[probabilities.argmax(axis=1)]
    scaled = np.hstack([weights[:, [m]] * np.nan_to_num(block) for m, block in enumerate(blocks.values())])
    full = np.einsum("nk,nd->nkd", residuals, scaled).reshape(60, -1)
    np.testing.assert_allclose(BMMAL().embedding(clf, X).inner(), full @ full.T, atol=1e-10)


def test_bmmal_with_one_modality_is_badge():
    blocks, y = make_blocks()
    clf = LateFusionClassifier().fit(blocks["image"], y)
    a = BMMAL(random_state=0).query(clf, blocks["image"], 20)
    b = BADGE(random_state=0).query(clf, blocks["image"], 20)
    np.testing.assert_array_equal(a, b)


def test_badge_follows_d2_sampling_of_the_gradients():
    blocks, y = make_blocks(n=8)
    clf = LogisticRegression().fit(blocks["image"], y)
    probabilities = clf.predict_proba(blocks["image"])
    residuals = probabilities - np.eye(3)[probabilities.argmax(axis=1)]
    full = np.einsum("nk,nd->nkd", residuals, blocks["image"]).reshape(8, -1)
    first = int(np.argmax((full**2).sum(1)))
    d2 = ((full - full[first]) ** 2).sum(1)
    counts = np.zeros(8)
    for seed in range(1500):
        picked = BADGE(random_state=seed).query(clf, blocks["image"], 2)
        assert picked[0] == first
        counts[picked[1]] += 1
    others = np.delete(np.arange(8), first)
    assert chisquare(counts[others], d2[others] / d2.sum() * 1500).pvalue > 1e-3


def test_uncertainty_scores_by_hand():
    class Fixed:
        def predict_proba(self, X):
            return np.array([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [1.0, 0.0, 0.0], [0.6, 0.2, 0.2]])

    X = np.zeros((4, 1))
    picked, scores = MarginSampling().query(Fixed(), X, 4, return_scores=True)
    assert picked.tolist() == [0, 1, 3, 2]
    np.testing.assert_allclose(scores, [0.0, -0.1, -0.4, -1.0])
    picked, scores = LeastConfidenceSampling().query(Fixed(), X, 4, return_scores=True)
    assert picked.tolist() == [1, 0, 3, 2]
    np.testing.assert_allclose(scores, [0.6, 0.5, 0.4, 0.0])
    picked, scores = EntropySampling().query(Fixed(), X, 4, return_scores=True)
    assert picked.tolist() == [1, 3, 0, 2]
    np.testing.assert_allclose(scores[[2, 3]], [np.log(2), 0.0])


def test_k_means_picks_the_row_nearest_to_each_centre():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [20, 0], [0, 20], [20, 20.0]])
    X = np.repeat(centres, 15, axis=0) + rng.standard_normal((60, 2))
    picked, scores = KMeansSampling(random_state=0).query(None, X, 4, return_scores=True)
    for row, score in zip(picked, scores, strict=True):
        members = np.arange(60) // 15 == row // 15
        distances = np.linalg.norm(X - X[members].mean(axis=0), axis=1)
        assert distances[row] == distances[members].min() == pytest.approx(-score)
    assert sorted(picked // 15) == [0, 1, 2, 3]


def test_random_is_uniform():
    counts = np.zeros(10)
    for seed in range(2000):
        counts[RandomSampling(seed).query(None, np.zeros((10, 1)), 3)] += 1
    assert chisquare(counts).pvalue > 1e-3


def test_coreset_starts_away_from_what_is_labelled():
    X = np.array([[0.0], [1.0], [2.0], [10.0]])
    assert CoreSet().query(None, X, 2, X_labeled=[[10.0]]).tolist() == [0, 2]
    assert CoreSet().query(None, X, 1).tolist() == [3]
    assert CoreSet().query(None, X, 1, X_labeled=np.empty((0, 1))).tolist() == [3]


def test_bmmal_asks_for_what_it_needs():
    X = np.random.default_rng(0).standard_normal((20, 3))
    clf = LogisticRegression().fit(X, np.arange(20) % 2)
    with pytest.raises(TypeError, match="LogisticRegression has no embed.*use a LateFusionClassifier"):
        BMMAL().query(clf, X, 2)


@pytest.mark.parametrize(
    ("build", "error", "match"),
    [
        (lambda: get_strategy("best"), ValueError, "unknown strategy 'best'; there are"),
        (lambda: get_strategy(3), TypeError, "must be a string"),
        (lambda: get_strategy("bmmal", seed=0), TypeError, "seed"),
        (lambda: BADGE(first="longest").query(None, np.zeros((3, 1)), 1), ValueError, "'first' parameter"),
        (lambda: Partitioned(BADGE(), 0).query(None, np.zeros((3, 1)), 1), ValueError, "'n_parts' parameter"),
        (lambda: Partitioned("badge", 2).query(None, np.zeros((3, 1)), 1), ValueError, "'strategy' parameter"),
        (lambda: Partitioned(KMeansSampling(0), 2).query(None, np.zeros((3, 1)), 1), ValueError, "'max_iter' parameter"),
        (lambda: KMeansSampling(max_iter=0).query(None, np.zeros((3, 1)), 1), ValueError, "'max_iter' parameter"),
        (lambda: RandomSampling("seven").query(None, np.zeros((3, 1)), 1), ValueError, "'random_state' parameter"),
    ],
)
def test_helpful_errors(build, error, match):
    with pytest.raises(error, match=match):
        build()


def test_registry():
    for name in available_strategies():
        assert type(get_strategy(name)) is type(get_strategy(name.upper().replace("-", "_")))
    assert get_strategy("kmeans", max_iter=7).max_iter == 7


@pytest.mark.parametrize(
    ("estimator", "arguments", "match"),
    [
        (LateFusionClassifier, {}, r"estimator is the class LateFusionClassifier; give an object"),
        (None, {"X_labeled": np.zeros((1, 2)), "y_labeled": 3}, "^y_labeled: "),
        (None, {"X_labeled": np.zeros((1, 2)), "y_labeled": [None]}, "y_labeled is missing"),
        (None, {"X_labeled": [[1.0, 2.0], [3.0]]}, "^X_labeled: "),
        (None, {"X_labeled": np.zeros((1, 3))}, r"X_labeled has blocks of \[3\] columns, X_pool of \[2\]"),
    ],
)
def test_arguments_are_named(estimator, arguments, match):
    with pytest.raises((TypeError, ValueError), match=match):
        get_strategy("coreset").query(estimator, np.eye(2), **arguments)
