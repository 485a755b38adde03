"""Strategies on several labels a row, beside a computation label by label."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from samples import quick_strategy
from scipy import sparse
from scipy.special import entr
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal._registry import ENTRIES
from skmmal._targets import SEVERAL_LABELS
from skmmal.query import (
    BADGE,
    BALD,
    BMMAL,
    MMC,
    MVOPT,
    LabelCardinality,
    MarginSampling,
    PowerBALD,
    UHerding,
    get_strategy,
    mutual_information,
    predictive_information,
)
from skmmal.reading import Reading, read, read_with_labels
from skmmal.reading._posterior import LaplacePosterior

SERVING = [entry.name for entry in ENTRIES if entry.kind == "strategy" and entry.multi_label]
REFUSING = [entry.name for entry in ENTRIES if entry.kind == "strategy" and not entry.multi_label]
L = 5


def strategy(name, **params):
    return quick_strategy(name, 0, **params)


@pytest.fixture(scope="module")
def problem():
    """A fitted classifier, a pool some of whose rows lack a modality, labelled rows and their labels."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((110, 6)), rng.standard_normal((110, 4))
    Y = (np.hstack([a, b]) @ rng.standard_normal((10, L)) + rng.standard_normal((110, L)) > 0.4).astype(int)
    b[::7] = np.nan
    X = MultimodalArray({"a": a, "b": b})
    return LateFusionClassifier().fit(X[:50], Y[:50]), X[50:], X[:50], Y[:50]


@pytest.mark.parametrize("name", SERVING)
def test_serves(name, problem):
    clf, pool, labelled, Y = problem
    rows, scores = strategy(name).query(clf, pool, 12, X_labeled=labelled, y_labeled=Y, return_scores=True)
    assert len(set(rows.tolist())) == 12
    assert np.isfinite(scores).all()
    again = strategy(name).query(clf, pool, 12, X_labeled=labelled, y_labeled=pd.DataFrame(Y))
    np.testing.assert_array_equal(rows, again)
    np.testing.assert_array_equal(rows, strategy(name).query(clf, pool, 12, X_labeled=labelled, y_labeled=sparse.csr_array(Y)))


@pytest.mark.parametrize("name", REFUSING)
def test_refuses_and_says_who_serves(name, problem):
    clf, pool, labelled, Y = problem
    with pytest.raises(ValueError, match=r"does not serve several labels a row .* these do: auto, badge, bald, bmmal, .*uherding"):
        strategy(name).query(clf, pool, 3, X_labeled=labelled, y_labeled=Y)


@pytest.mark.parametrize("aggregate", ["mean", "max"])
@pytest.mark.parametrize("name", ["margin", "entropy", "least-confidence"])
def test_uncertainty_is_that_of_each_label(name, aggregate, problem):
    clf, pool, *_ = problem
    p = clf.predict_proba(pool)
    by_label = {
        "margin": -np.abs(2 * p - 1),
        "entropy": entr(p) + entr(1 - p),
        "least-confidence": 1 - np.maximum(p, 1 - p),
    }[name]
    expected = by_label.mean(axis=1) if aggregate == "mean" else by_label.max(axis=1)
    rows, scores = get_strategy(name, aggregate=aggregate).query(clf, pool, len(pool), return_scores=True)
    np.testing.assert_allclose(scores, expected[rows], atol=1e-12)
    assert (np.diff(scores) <= 1e-12).all()


def test_gradients_are_those_of_the_labels_losses(problem):
    clf, pool, *_ = problem
    p, z = clf.predict_proba(pool), np.hstack(list(clf.embed(pool).values()))
    gradients = np.einsum("nl,nd->nld", p - (p >= 0.5), z).reshape(len(z), -1)
    embedding = BADGE().embedding(clf, pool)
    np.testing.assert_allclose(embedding.sq_norms(), (gradients**2).sum(axis=1))
    rows = np.arange(20)
    np.testing.assert_allclose(embedding.inner(rows, rows), gradients[:20] @ gradients[:20].T, atol=1e-10)


def test_bmmal_weighs_by_the_mean_probability_of_the_predicted_states(problem):
    clf, pool, *_ = problem
    states = clf.predict(pool)

    def value(kept):
        p = clf.predict_proba_with(pool, kept)
        return np.where(states == 1, p, 1 - p).mean(axis=1)

    both, a, b, none = value(["a", "b"]), value(["a"]), value(["b"]), value([])
    phi = 0.5 * np.column_stack([both - b + a - none, both - a + b - none])
    shares = np.abs(phi) / np.abs(phi).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(clf.modality_contributions(pool), shares, atol=1e-10)
    weights = 1 - (shares.max(axis=1, keepdims=True) - shares)
    p = clf.predict_proba(pool)
    blocks = [w[:, None] * z for w, z in zip(weights.T, clf.embed(pool).values(), strict=True)]
    gradients = np.einsum("nl,nd->nld", p - (p >= 0.5), np.hstack(blocks)).reshape(len(p), -1)
    np.testing.assert_allclose(BMMAL().embedding(clf, pool).sq_norms(), (gradients**2).sum(axis=1))


def test_mmc_by_hand(problem):
    clf, pool, labelled, Y = problem
    p, known = clf.predict_proba(pool), clf.predict_proba(labelled)

    def shares(probabilities):
        ordered = np.sort(probabilities, axis=1)[:, ::-1]
        return ordered / ordered.sum(axis=1, keepdims=True)

    counts = LogisticRegression(max_iter=1000).fit(shares(known), Y.sum(axis=1)).predict(shares(p))
    expected = []
    for row, count in zip(p, counts, strict=True):
        members = set(np.argsort(-row, kind="stable")[:count].tolist())
        expected.append(sum((1 - (1 if label in members else -1) * (2 * v - 1)) / 2 for label, v in enumerate(row)))
    rows, scores = MMC().query(clf, pool, 15, X_labeled=labelled, y_labeled=Y, return_scores=True)
    np.testing.assert_allclose(scores, np.sort(expected)[::-1][:15])
    np.testing.assert_allclose(np.asarray(expected)[rows], scores)


def test_label_cardinality_by_hand(problem):
    clf, pool, labelled, Y = problem
    p = clf.predict_proba(pool)
    expected = np.abs((p > 0.5).sum(axis=1) - Y.sum(axis=1).mean())
    rows, scores = LabelCardinality().query(clf, pool, 15, X_labeled=labelled, y_labeled=Y, return_scores=True)
    np.testing.assert_allclose(scores, expected[rows], atol=2e-6)
    assert scores.min() >= np.sort(expected)[::-1][14] - 2e-6


def test_sets_of_one_label(problem):
    """With one class a row MMC is least confidence, and label cardinality asks for rows without a majority."""
    _, pool, labelled, Y = problem
    classes = Y[:, 0] + 2 * Y[:, 1]
    clf = LateFusionClassifier().fit(labelled, classes)
    known = {"X_labeled": labelled, "y_labeled": classes}
    expected = get_strategy("least-confidence").query(clf, pool, 20, **known)
    rows, scores = MMC().query(clf, pool, 20, **known, return_scores=True)
    np.testing.assert_array_equal(rows, expected)
    largest = clf.predict_proba(pool).max(axis=1)
    np.testing.assert_allclose(scores, 2 * (1 - largest[rows]))
    n_without = int((largest < 0.5).sum())
    assert (largest[LabelCardinality().query(clf, pool, n_without, **known)] < 0.5).all()


@pytest.mark.parametrize("name", ["mmc", "label-cardinality"])
def test_without_labeled_rows_counts_are_by_the_probabilities(name, problem):
    clf, pool, labelled, Y = problem
    assert len(strategy(name).query(clf, pool, 5)) == 5
    unknown = Y.astype(float)
    unknown[:, 0] = np.nan
    np.testing.assert_array_equal(
        strategy(name).query(clf, pool, 5, X_labeled=labelled, y_labeled=unknown), strategy(name).query(clf, pool, 5)
    )


def test_uherding_tempers_by_the_states_that_are_known(problem):
    clf, pool, labelled, Y = problem
    partly = Y.astype(float)
    partly[::3, 1] = np.nan
    rows = UHerding().query(clf, pool, 8, X_labeled=labelled, y_labeled=partly)
    assert len(set(rows.tolist())) == 8


def test_mvopt_compares_beliefs_about_every_label(problem):
    clf, pool, *_ = problem
    from skmmal.query._mvopt_beliefs import beliefs_of

    fused, by_modality = clf.predict_proba(pool), clf.predict_proba_by_modality(pool)
    (a, _) = beliefs_of(read(clf, pool), [0, 1], np.float64, {})

    def sq_hellinger(p):  # mean over the labels of the squared distances of two-state distributions
        roots = np.sqrt(np.stack([p, 1 - p], axis=2))
        return ((roots[:, None] - roots[None]) ** 2).sum(axis=3).mean(axis=2)

    found = ((a[:, None] - a[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(found, (sq_hellinger(fused) + sq_hellinger(by_modality["a"])) / 2, atol=1e-12)
    assert len(MVOPT().query(clf, pool, 5)) == 5


@pytest.mark.parametrize(
    "model",
    [
        OneVsRestClassifier(LogisticRegression()),
        MLPClassifier(max_iter=30, random_state=0),
        RandomForestClassifier(n_estimators=5, random_state=0),
        KNeighborsClassifier(),
        MultiOutputClassifier(LogisticRegression()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_scikit_learns_classifiers_say_that_they_have_several_labels(model, problem):
    _, pool, labelled, Y = problem
    rows, known = (np.nan_to_num(np.hstack(list(X.blocks.values()))) for X in (pool, labelled))
    Y = Y.copy()
    Y[:, -1] = 0 if isinstance(model, RandomForestClassifier | KNeighborsClassifier) else Y[:, -1]  # one state only
    with warnings.catch_warnings(action="ignore"):  # few iterations will do
        model.fit(known, Y)
    p = model.predict_proba(rows)
    if isinstance(p, list):
        p = np.column_stack([each[:, -1] if each.shape[1] == 2 else np.zeros(len(each)) for each in p])
    picked, scores = MarginSampling().query(model, rows, 6, X_labeled=known, y_labeled=Y, return_scores=True)
    np.testing.assert_allclose(scores, -np.abs(2 * p - 1).mean(axis=1)[picked], atol=1e-12)


def test_labels_must_fit_the_model(problem):
    clf, pool, labelled, Y = problem
    with pytest.raises(ValueError, match="give an indicator matrix"):
        MarginSampling().query(clf, pool, 2, X_labeled=labelled, y_labeled=Y[:, 0])
    with pytest.raises(ValueError, match="y_labeled has 3 labels, LateFusionClassifier 5"):
        MarginSampling().query(clf, pool, 2, X_labeled=labelled, y_labeled=Y[:, :3])
    single = LateFusionClassifier().fit(labelled, Y[:, 0])
    with pytest.raises(ValueError, match="fitted on one class a row: fit it on an indicator matrix"):
        MarginSampling().query(single, pool, 2, X_labeled=labelled, y_labeled=Y)
    with pytest.raises(ValueError, match="zeros and ones"):
        MarginSampling().query(clf, pool, 2, X_labeled=labelled, y_labeled=Y + 1)


def test_columns_of_a_frame_are_found_by_name(problem):
    _, pool, labelled, Y = problem
    names = list("vwxyz")
    clf = LateFusionClassifier().fit(labelled, pd.DataFrame(Y, columns=names))
    assert clf.classes_.tolist() == names
    turned = pd.DataFrame(Y, columns=names)[names[::-1]]
    expected = MMC().query(clf, pool, 6, X_labeled=labelled, y_labeled=Y)
    np.testing.assert_array_equal(MMC().query(clf, pool, 6, X_labeled=labelled, y_labeled=turned), expected)


def test_arrays_of_another_model():
    p = np.array([[0.9, 0.9, 0.1], [0.6, 0.5, 0.4], [0.2, 0.8, 0.9]])
    pool = Reading.from_arrays(p, features=np.eye(3), multilabel=True)
    assert MarginSampling().query(None, pool, 1).tolist() == [1]
    with pytest.raises(ValueError, match="between 0 and 1, but row 1 of the reading has 1.5"):
        Reading.from_arrays(p * [[1.0], [2.5], [1.0]], multilabel=True)


def test_two_columns_of_one_class_rank_as_the_class_does():
    """Heads of the labels 'is class 0' and 'is class 1' see a problem of two classes as its own heads do."""
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((120, 4)), rng.integers(0, 2, 120)
    X[y == 1] += 0.8
    single = LateFusionClassifier().fit(X[:60], y[:60])
    several = LateFusionClassifier().fit(X[:60], np.column_stack([y == 0, y == 1])[:60].astype(int))
    # the objective of two classes has one weight vector, each label's the same one
    np.testing.assert_allclose(several.predict_proba(X), single.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(
        MarginSampling().query(several, X[60:], 20), MarginSampling().query(single, X[60:], 20)
    )


# ------------------------------------------------------------------------------------- what a posterior says of labels


def binary_information(draws):
    """Mutual information of each label's state and the draws, label by label; summed over the labels."""
    found = 0.0
    for label in range(draws.shape[2]):
        states = np.stack([1 - draws[:, :, label], draws[:, :, label]], axis=2)  # (S, N, 2)
        mean = states.mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(states > 0, states * np.log(states / mean), 0.0)
        found = found + terms.sum(axis=2).mean(axis=0)  # the mean divergence of a draw from the mean of all
    return found


class LabelCommittee:
    """Members that say what they were given, or that are classifiers; several labels a row."""

    def __init__(self, members):
        self.learner_list = [SimpleNamespace(estimator=member) for member in members]
        self.classes_ = np.arange(L)

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return np.mean([member.estimator.predict_proba(X) for member in self.learner_list], axis=0)


def test_bald_of_a_committee_is_the_sum_over_labels(problem):
    _, pool, labelled, Y = problem
    rng = np.random.default_rng(3)
    members = []
    for _ in range(4):
        rows = rng.integers(0, len(Y), len(Y))
        members.append(LateFusionClassifier().fit(labelled[rows], Y[rows]))
    draws = np.stack([member.predict_proba(pool) for member in members])
    expected = binary_information(draws)
    np.testing.assert_allclose(mutual_information(draws, multilabel=True), expected, atol=1e-12)
    whole = LabelCommittee(members)
    rows, scores = BALD().query(whole, pool, len(pool), return_scores=True)
    np.testing.assert_allclose(scores, expected[rows], atol=1e-12)
    np.testing.assert_array_equal(rows, np.argsort(-expected, kind="stable"))
    own = np.stack([member.predict_proba_by_modality(pool)["a"] for member in members])
    rows, scores = BALD(on="a").query(whole, pool, 10, return_scores=True)
    np.testing.assert_allclose(scores, binary_information(own)[rows], atol=1e-12)
    # contributions are the members' Shapley values, averaged, of the committee's states
    states = (draws.mean(axis=0) > 0.5).astype(int)
    phi = np.abs(np.mean([read(member, pool).source.shapley_values(states)[0] for member in members], axis=0))
    np.testing.assert_allclose(read(whole, pool).contributions, phi / phi.sum(axis=1, keepdims=True), atol=1e-12)
    assert len(set(BMMAL(random_state=0).query(whole, pool, 6).tolist())) == 6


def test_epig_of_a_committee_is_the_mean_over_labels(problem):
    """Every joint distribution of a row's and a target's state of a label, written down."""
    _, pool, labelled, Y = problem
    rng = np.random.default_rng(5)
    members = [LateFusionClassifier().fit(labelled[rows], Y[rows]) for rows in rng.integers(0, len(Y), (4, len(Y)))]
    draws = np.stack([member.predict_proba(pool) for member in members])
    n = draws.shape[1]
    expected = np.zeros(n)
    for row in range(n):
        for target in range(n):
            for label in range(L):
                ways = [np.stack([1 - draws[:, each, label], draws[:, each, label]]) for each in (row, target)]
                joint = np.einsum("is,js->ij", *ways) / len(members)
                apart = np.outer(joint.sum(axis=1), joint.sum(axis=0))
                expected[row] += (joint * np.log(joint / apart)).sum() / (n * L)
    np.testing.assert_allclose(predictive_information(draws, draws, multilabel=True), expected, atol=1e-12)
    chosen = get_strategy("epig", n_targets=n, random_state=0)
    rows, scores = chosen.query(LabelCommittee(members), pool, n, return_scores=True)
    np.testing.assert_allclose(scores, expected[rows], atol=1e-12)
    # rows of high BALD come first where only some are looked at, and BALD's mean over labels is a bound
    assert (expected <= mutual_information(draws, multilabel=True) / L + 1e-12).all()
    # labels that each belong to one class, in both forms
    p = draws[:, :, :1]
    both = predictive_information(np.concatenate([1 - p, p], axis=2), np.concatenate([1 - p, p], axis=2))
    np.testing.assert_allclose(predictive_information(p, p, multilabel=True), both, atol=1e-12)


def test_bald_of_a_forest_is_that_of_its_trees(problem):
    _, pool, labelled, Y = problem
    rows, known = (np.nan_to_num(np.hstack(list(X.blocks.values()))) for X in (pool, labelled))
    Y = Y.copy()
    Y[:, -1] = 1  # one state only
    forest = RandomForestClassifier(n_estimators=6, max_depth=3, random_state=0).fit(known, Y)
    draws = np.stack([
        np.column_stack([each[:, -1] for each in tree.predict_proba(rows)]) for tree in forest.estimators_
    ])
    picked, scores = BALD(source="committee").query(forest, rows, 12, return_scores=True)
    np.testing.assert_allclose(scores, binary_information(draws)[picked], atol=1e-12)


def test_bald_with_dropout(problem):
    _, pool, labelled, Y = problem
    clf = LateFusionClassifier(dropout=0.4, max_iter=15, random_state=0).fit(labelled, Y)
    draws = np.stack(list(read(clf, pool).head.draws(30, 0)))
    assert draws.std(axis=0).max() > 0.02
    np.testing.assert_allclose(
        mutual_information(draws, multilabel=True), binary_information(draws), atol=1e-12
    )
    assert len(set(BALD(n_draws=5, random_state=0).query(clf, pool, 6).tolist())) == 6


@pytest.mark.parametrize("weight", [None, "balanced"])
def test_laplace_posterior_of_each_label(problem, weight):
    """With the same probabilities in every labelled row the factors are exact: a posterior for each label."""
    rng = np.random.default_rng(0)
    Z, p = rng.standard_normal((12, 4)), rng.uniform(0.1, 0.9, 3)
    pool = rng.standard_normal((6, 4))
    fitted = LaplacePosterior(Z, np.tile(p, (12, 1)), precision=0.7, target=SEVERAL_LABELS)
    design, at = np.column_stack([Z, np.ones(12)]), np.column_stack([pool, np.ones(6)])
    for label in range(3):
        hessian = 0.7 * np.eye(5) + p[label] * (1 - p[label]) * design.T @ design
        variance = np.einsum("nd,de,ne->n", at, np.linalg.inv(hessian), at)
        np.testing.assert_allclose(fitted.logit_deviations(pool)[:, label] ** 2, variance, atol=1e-9)
    draw = np.random.RandomState(0)
    samples = np.stack([at @ fitted.weight_sample(draw) for _ in range(4000)])
    np.testing.assert_allclose(samples.std(axis=0), fitted.logit_deviations(pool), rtol=0.1)
    # states that nobody knows teach their label nothing, and class weights are those that the labels were fitted with
    clf, rows, labelled, Y = problem
    Y = Y.astype(float)
    Y[10:40, 2] = np.nan
    clf = LateFusionClassifier(class_weight=weight).fit(labelled, Y)
    head = read_with_labels(clf, rows, labelled, Y).head
    p = clf.predict_proba(labelled)
    factors = np.where(np.isnan(Y), 0.0, 1.0)
    if weight is not None:
        n_known, n_has = (~np.isnan(Y)).sum(axis=0), np.nansum(Y, axis=0)
        factors *= np.where(Y == 1, n_known / (2 * n_has), n_known / (2 * (n_known - n_has)))
    curvature = (factors * p * (1 - p)).mean(axis=0)
    design = np.column_stack([head.labelled.layer_features, np.ones(len(Y))])
    at = np.column_stack([head.layer_features, np.ones(len(rows))])
    svd = np.linalg.svd(design, full_matrices=True)
    squares = np.zeros(at.shape[1])
    squares[: len(svd[1])] = svd[1] ** 2
    expected = np.square(at @ svd[2].T) @ (1 / (1.0 + squares[:, None] * curvature))
    np.testing.assert_allclose(head.laplace.logit_deviations(head.layer_features) ** 2, expected, atol=1e-9)


def test_one_label_with_two_columns_has_the_information_of_two_classes():
    """A label's state is a class of two: the information about it is that about the class."""
    p = np.random.default_rng(0).uniform(size=(7, 20, 1))
    both = mutual_information(np.concatenate([1 - p, p], axis=2))
    np.testing.assert_allclose(mutual_information(p, multilabel=True), both, atol=1e-12)


def test_power_bald_draws_labels_in_proportion(problem):
    clf, pool, labelled, Y = problem
    known = {"X_labeled": labelled, "y_labeled": Y}
    few = pool[:8]
    rows, scores = BALD(n_draws=40, random_state=0).query(clf, few, 8, **known, return_scores=True)
    information = np.empty(8)
    information[rows] = scores
    head = read_with_labels(clf, few, labelled, Y).head
    draws = np.stack(list(head.draws(40, np.random.RandomState(0))))
    np.testing.assert_allclose(information, binary_information(draws), atol=1e-12)
    reading = read_with_labels(clf, few, labelled, Y)
    seen = np.bincount([PowerBALD(n_draws=40, random_state=seed).query(None, reading, 1)[0] for seed in range(400)], minlength=8)
    assert np.corrcoef(seen, information)[0, 1] > 0.8
