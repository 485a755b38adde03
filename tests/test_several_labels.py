"""The classifier on indicator matrices: scikit-learn's logistic regressions, label by label, are the truth."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, make_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import (
    check_classifiers_multilabel_output_format_decision_function,
    check_classifiers_multilabel_output_format_predict,
    check_classifiers_multilabel_output_format_predict_proba,
    check_classifiers_multilabel_representation_invariance,
)

from skmmal import ActiveLearner, LateFusionClassifier, MultimodalArray
from skmmal.query import BMMAL

L = 5


def data(n=140, seed=0, missing=0.2):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n, 6)), rng.standard_normal((n, 4))
    Y = (np.hstack([a, b]) @ rng.standard_normal((10, L)) + rng.standard_normal((n, L)) > 0.4).astype(float)
    b[rng.random(n) < missing] = np.nan
    return MultimodalArray({"a": a, "b": b}), Y


def logistic(X, y, C=1.0, sample_weight=None):
    return LogisticRegression(C=C, tol=1e-12, max_iter=10_000).fit(X, y, sample_weight)


def filled(X):
    return np.nan_to_num(np.hstack(list(X.blocks.values())))


def test_every_head_is_a_logistic_regression_for_each_label():
    X, Y = data()
    Y[::5, 2] = np.nan
    clf = LateFusionClassifier(C=0.3, tol=1e-10).fit(X, Y)
    own = clf.predict_proba_by_modality(X)
    has_b = ~np.isnan(X.blocks["b"]).all(axis=1)
    for label in range(L):
        known = ~np.isnan(Y[:, label])
        truth = logistic(filled(X)[known], Y[known, label], C=0.3)
        np.testing.assert_allclose(clf.coef_[label], truth.coef_[0], atol=1e-5)
        np.testing.assert_allclose(clf.intercept_[label], truth.intercept_[0], atol=1e-5)
        rows = known & has_b
        truth = logistic(X.blocks["b"][rows], Y[rows, label], C=0.3)
        np.testing.assert_allclose(own["b"][has_b, label], truth.predict_proba(X.blocks["b"][has_b])[:, 1], atol=1e-5)


def test_sum_fusion_is_at_its_optimum():
    """No step along a coordinate lowers the sum of the heads' losses and the penalty."""
    X, Y = data(60, missing=0)
    clf = LateFusionClassifier(fusion="sum", C=0.5, tol=1e-10).fit(X, Y)
    maps = clf.heads_.maps

    def objective():
        own = [x @ each.weight.T + each.intercept for x, each in zip(X.blocks.values(), maps, strict=True)]
        losses = [np.logaddexp(0, z) - Y * z for z in (np.mean(own, axis=0), *own)]
        return 0.5 * sum(loss.sum() for loss in losses) + 0.5 * sum((each.weight**2).sum() for each in maps)

    best = objective()
    for array in [each for m in maps for each in (m.weight, m.intercept)]:
        for index in np.ndindex(array.shape):
            for step in (1e-3, -1e-3):
                array[index] += step
                assert objective() > best
                array[index] -= step


def test_sample_and_class_weights():
    X, Y = data()
    weights = np.random.default_rng(1).integers(0, 4, len(Y)).astype(float)
    clf = LateFusionClassifier(tol=1e-10).fit(X, Y, sample_weight=weights)
    truth = logistic(filled(X), Y[:, 0], sample_weight=weights)
    np.testing.assert_allclose(clf.coef_[0], truth.coef_[0], atol=1e-5)
    repeated = np.repeat(np.arange(len(Y)), weights.astype(int))
    again = LateFusionClassifier(tol=1e-10).fit(X[repeated], Y[repeated])
    np.testing.assert_allclose(clf.predict_proba(X), again.predict_proba(X), atol=1e-6)

    balanced = LateFusionClassifier(class_weight="balanced", tol=1e-10).fit(X, Y)
    truth = LogisticRegression(class_weight="balanced", tol=1e-12, max_iter=10_000).fit(filled(X), Y[:, 3])
    np.testing.assert_allclose(balanced.coef_[3], truth.coef_[0], atol=1e-5)
    for given in ({3: {0: 1.0, 1: 2.5}}, [None, None, None, {1: 2.5}, None]):
        clf = LateFusionClassifier(class_weight=given, tol=1e-10).fit(X, Y)
        truth = LogisticRegression(class_weight={0: 1.0, 1: 2.5}, tol=1e-12, max_iter=10_000).fit(filled(X), Y[:, 3])
        np.testing.assert_allclose(clf.coef_[3], truth.coef_[0], atol=1e-5)
        np.testing.assert_allclose(clf.coef_[0], logistic(filled(X), Y[:, 0]).coef_[0], atol=1e-5)
    with pytest.raises(ValueError, match="class_weight names 'x', which is not among the labels"):
        LateFusionClassifier(class_weight={"x": {1: 2.0}}).fit(X, Y)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, lambda Y: pd.DataFrame(Y.astype(bool)), lambda Y: Y.tolist()])
def test_forms_of_the_indicator_matrix(form):
    X, Y = data()
    expected = LateFusionClassifier().fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(LateFusionClassifier().fit(X, form(Y.astype(int))).predict_proba(X), expected)


def test_names_of_labels():
    X, Y = data()
    names = ["sea", "sky", "sun", "tree", "snow"]
    clf = LateFusionClassifier().fit(X, pd.DataFrame(Y, columns=names))
    assert clf.classes_.tolist() == names
    assert clf.multilabel_
    assert LateFusionClassifier().fit(X, Y, classes=names).classes_.tolist() == names
    turned = pd.DataFrame(Y, columns=names)[names[::-1]]
    assert clf.score(X, turned) == clf.score(X, Y)
    with pytest.raises(ValueError, match="classes names"):
        LateFusionClassifier().fit(X, Y, classes=names[:3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda Y: Y * 2, "zeros and ones .* found 2 in row"),
        (lambda Y: np.full_like(Y, np.nan), "y is NaN throughout"),
        (lambda Y: Y[:-1], "inconsistent|rows"),
    ],
)
def test_what_is_no_indicator_matrix(change, message):
    X, Y = data()
    with pytest.raises(ValueError, match=message):
        LateFusionClassifier().fit(X, change(Y))


def test_labels_in_one_state_are_said_at_a_smoothed_rate():
    X, Y = data(missing=0)
    Y[:, 1], Y[:, 2] = 0, 1
    Y[:20, 1] = np.nan
    p = LateFusionClassifier().fit(X, Y).predict_proba(X)
    np.testing.assert_allclose(p[:, 1], 0.5 / 121)
    np.testing.assert_allclose(p[:, 2], 140.5 / 141)
    # one modality's head knows less than the fused one
    blocks = {name: block.copy() for name, block in X.blocks.items()}
    blocks["b"][Y[:, 0] == 1] = np.nan
    for fusion in ("concat", "sum"):
        clf = LateFusionClassifier(fusion=fusion).fit(blocks, Y)
        n_rows = int((Y[:, 0] == 0).sum())
        np.testing.assert_allclose(clf.predict_proba_by_modality(blocks)["b"][:, 0], 0.5 / (n_rows + 1))
        assert np.ptp(clf.predict_proba(blocks)[:, 0]) > 0.1
        # the same heads as a network, whose layers the sum shares
        known = [torch.from_numpy(np.nan_to_num(block)) for block in blocks.values()]
        with torch.inference_mode():
            by_network = clf.module_.head.own_logits(known)
        there = ~np.isnan(blocks["b"]).all(axis=1)
        own = clf.predict_proba_by_modality(blocks)
        np.testing.assert_allclose(torch.sigmoid(by_network[0]).numpy(), own["a"], atol=1e-12)
        np.testing.assert_allclose(torch.sigmoid(by_network[1]).numpy()[there], own["b"][there], atol=1e-12)


@pytest.mark.parametrize("params", [{}, {"fusion": "sum"}, {"encoder_dim": 8, "random_state": 0, "max_iter": 30}])
def test_answers_agree_with_each_other(params, tmp_path):
    X, Y = data()
    Y[:, 4] = 0
    clf = LateFusionClassifier(**params).fit(X, Y)
    p = clf.predict_proba(X)
    np.testing.assert_array_equal(clf.predict(X), (p > 0.5).astype(int))
    np.testing.assert_allclose(1 / (1 + np.exp(-clf.decision_function(X))), p, atol=1e-12)
    assert clf.score(X, Y) == (clf.predict(X) == Y).all(axis=1).mean()
    by_modality = clf.score_by_modality(X, Y)
    assert list(by_modality) == ["a", "b", "fused"]
    assert by_modality["fused"] == clf.score(X, Y)

    def value(kept):
        states, kept_p = clf.predict(X), clf.predict_proba_with(X, kept)
        return np.where(states == 1, kept_p, 1 - kept_p).mean(axis=1)

    both, a, b, none = value(["a", "b"]), value(["a"]), value(["b"]), value([])
    phi = 0.5 * np.column_stack([both - b + a - none, both - a + b - none])
    np.testing.assert_allclose(clf.shapley_values(X), phi, atol=1e-10)
    clf.save(tmp_path / "model")
    loaded = LateFusionClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), p)
    np.testing.assert_array_equal(loaded.predict_proba_by_modality(X)["b"], clf.predict_proba_by_modality(X)["b"])
    assert loaded.multilabel_


@pytest.mark.parametrize("params", [{"fusion": "gated"}, {"encoder_dim": 16}, {"solver": "sgd", "learning_rate": 0.1}])
def test_networks_learn_labels(params):
    X, Y = data(300)
    Y[::4, 1] = np.nan
    clf = LateFusionClassifier(random_state=0, learning_rate=0.02, max_iter=60).set_params(**params).fit(X[:200], Y[:200])
    _, truth = data(300)
    assert average_precision_score(truth[200:], clf.predict_proba(X[200:])) > 0.8


def test_balancing_goes_by_one_class():
    X, Y = data()
    with pytest.raises(ValueError, match="balancing='ogm' .* several labels a row"):
        LateFusionClassifier(encoder_dim=4, balancing="ogm").fit(X, Y)


def test_warm_starts_and_anchors():
    X, Y = data()
    cold = LateFusionClassifier(tol=1e-10).fit(X, Y)
    warm = LateFusionClassifier(tol=1e-10, warm_start=True).fit(X[:60], Y[:60])
    warm.fit(X, Y)
    np.testing.assert_allclose(warm.coef_, cold.coef_, atol=1e-5)
    for y, then in ((Y, Y[:, 0]), (Y[:, 0], Y)):
        with pytest.raises(ValueError, match="warm_start=True, but the model was fitted on"):
            LateFusionClassifier(warm_start=True).fit(X, y).fit(X, then)
    anchored = LateFusionClassifier(C=1e-9, warm_start="anchor").fit(X, Y)
    before = anchored.predict_proba(X)
    anchored.fit(X[:10], 1 - Y[:10])
    np.testing.assert_allclose(anchored.predict_proba(X), before, atol=1e-5)


def test_searches_and_scorers():
    X, Y = data(missing=0)
    search = GridSearchCV(LateFusionClassifier(), {"C": [0.01, 1.0]}, cv=3).fit(X, Y)
    assert search.best_params_["C"] in (0.01, 1.0)
    scorer = make_scorer(average_precision_score, response_method="predict_proba", average="macro")
    assert cross_val_score(LateFusionClassifier(), X, Y, cv=3, scoring=scorer).min() > 0.7


@pytest.mark.parametrize(
    "check",
    [
        check_classifiers_multilabel_output_format_decision_function,
        check_classifiers_multilabel_output_format_predict,
        check_classifiers_multilabel_output_format_predict_proba,
        check_classifiers_multilabel_representation_invariance,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learns_checks(check):
    with warnings.catch_warnings(action="ignore"):
        check("LateFusionClassifier", clone(LateFusionClassifier()))


@pytest.mark.parametrize(
    "form", [np.asarray, sparse.csr_array, lambda Y: pd.DataFrame(Y, columns=list("vwxyz"))], ids=["array", "sparse", "frame"]
)
def test_a_learner_is_taught_sets_of_labels(form):
    X, Y = data()
    learner = ActiveLearner(
        LateFusionClassifier(), query_strategy=BMMAL(random_state=0), X_training=X[:30], y_training=form(Y[:30])
    )
    rows, instances = learner.query(X[30:], 8)
    learner.teach(instances, form(Y[30:][rows]))
    taught = np.concatenate([np.arange(30), 30 + rows])
    expected = LateFusionClassifier().fit(X[taught], form(Y[taught]))
    assert learner.estimator.classes_.tolist() == expected.classes_.tolist()
    np.testing.assert_array_equal(learner.predict_proba(X), expected.predict_proba(X))
    learner.undo()
    assert learner.y_training.shape == (30, L)
