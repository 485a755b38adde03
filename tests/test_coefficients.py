"""coef_ and intercept_ of the fused head: scikit-learn's form, held against the predictions."""

import numpy as np
import pytest
from samples import containers, make_blocks
from scipy.special import softmax
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier, MultimodalArray

BLOCKS, Y = make_blocks(n=60, missing=0.2)
LINEAR = [
    {},
    {"fusion": "sum"},
    {"solver": "lbfgs"},
    {"solver": "adamw", "max_iter": 5, "random_state": 0},
    {"solver": "adamw", "max_iter": 5, "dropout": 0.2, "random_state": 0},
]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("settings", LINEAR)
@pytest.mark.parametrize("form", ["multimodal", "matrix", "frame", "multiindex"])
def test_they_are_the_predictions(form, settings, n_classes):
    X, modalities = containers(BLOCKS)[form]
    y = np.minimum(Y, n_classes - 1)
    clf = LateFusionClassifier(modalities, **settings).fit(X, y)
    assert clf.coef_.shape == ((1, 8) if n_classes == 2 else (n_classes, 8))
    assert clf.intercept_.shape == (len(clf.coef_),)
    assert clf.coef_.dtype == clf.intercept_.dtype == np.float64
    logits = np.nan_to_num(np.asarray(X, dtype=float)) @ clf.coef_.T + clf.intercept_
    expected = clf.decision_function(X)
    np.testing.assert_allclose(logits[:, 0] if n_classes == 2 else logits, expected, rtol=1e-9, atol=1e-9)


def test_columns_are_those_of_the_packed_matrix():
    """Also where a modality's columns lie apart, and in another order than the modalities."""
    X = np.hstack(list(make_blocks(n=60)[0].values()))
    clf = LateFusionClassifier({"a": [7, 0, 3], "b": slice(1, 3), "c": [6, 5, 4]}).fit(X, Y)
    logits = X @ clf.coef_.T + clf.intercept_
    np.testing.assert_allclose(softmax(logits, axis=1), clf.predict_proba(X), atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_modality_is_logistic_regression(n_classes):
    X, y = make_blocks(n=60)[0]["image"], np.minimum(Y, n_classes - 1)
    ours = LateFusionClassifier().fit(X, y)
    theirs = LogisticRegression(tol=1e-10, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    if n_classes == 2:
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-5)
    else:  # a constant added to all intercepts changes no prediction
        difference = ours.intercept_ - theirs.intercept_
        np.testing.assert_allclose(difference, difference.mean(), atol=1e-5)


def test_a_learned_embedding_stands_in_for_what_is_absent():
    X = MultimodalArray(BLOCKS)
    clf = LateFusionClassifier(missing="token", max_iter=5, random_state=0).fit(X, Y)
    filled = np.asarray(X)
    for name, token in zip(X.modalities, clf.module_.absent, strict=True):
        block = filled[:, clf.modalities_[name]]
        block[:] = np.where(np.isnan(block), token.detach().numpy(), block)
    np.testing.assert_allclose(filled @ clf.coef_.T + clf.intercept_, clf.decision_function(X), atol=1e-9)


def test_a_class_without_rows():
    X = MultimodalArray(BLOCKS)[Y > 0]
    clf = LateFusionClassifier().fit(X, Y[Y > 0], classes=[0, 1, 2])
    assert clf.coef_.shape == (3, 8)
    logits = np.nan_to_num(np.asarray(X)) @ clf.coef_.T + clf.intercept_
    np.testing.assert_allclose(softmax(logits, axis=1), clf.predict_proba(X), atol=1e-12)


def test_they_are_the_callers_own():
    clf = LateFusionClassifier().fit(BLOCKS, Y)
    before = clf.predict_proba(BLOCKS)
    clf.coef_[:] = 0
    clf.intercept_[:] = 0
    np.testing.assert_array_equal(clf.predict_proba(BLOCKS), before)


@pytest.mark.parametrize(
    "settings", [{"encoder_dim": 4}, {"fusion": "gated"}, {"fusion": "attention"}, {"fusion": "nl-gate"}, {"encoder_dim": {"text": 4}}]
)
def test_no_linear_head_has_none(settings):
    clf = LateFusionClassifier(**settings, max_iter=2, random_state=0)
    assert not hasattr(clf, "coef_")
    with pytest.raises(NotFittedError):
        _ = clf.coef_
    clf.fit(BLOCKS, Y)
    for name in ("coef_", "intercept_"):
        assert not hasattr(clf, name)
        with pytest.raises(AttributeError, match=f"has no {name}: its fused head is not linear .*(fusion|encoder_dim)="):
            getattr(clf, name)


def test_features_can_be_chosen_by_them():
    X = make_blocks(n=60)[0]["image"]
    X = np.hstack([X, np.zeros((60, 1))])
    chosen = SelectFromModel(LateFusionClassifier(), threshold=1e-6).fit(X, Y).get_support()
    assert chosen.tolist() == [True] * 5 + [False]
