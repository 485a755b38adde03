"""Weights of rows and classes: zero is absence, two is twice, and balanced weights count them."""

import numpy as np
import pytest
from samples import make_blocks
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal._labels import class_weights

SETTINGS = [
    {},
    {"solver": "newton-cg", "fusion": "sum"},
    {"solver": "lbfgs"},
    {"solver": "lbfgs", "fusion": "sum"},
    {"solver": "adamw", "max_iter": 5, "random_state": 0},
    {"solver": "sgd", "max_iter": 5, "random_state": 0, "encoder_dim": 3, "balancing": "ogm"},
    {"fusion": "gated", "max_iter": 3, "random_state": 0, "modality_dropout": 0.2},
    {"missing": "token", "max_iter": 3, "random_state": 0},
]


def unlike_the_others(blocks, y, seed=0):
    """Rows to be weighted zero: far off, of a class of their own, some without a modality that no other row lacks."""
    rng = np.random.default_rng(seed)
    blocks = {name: block.copy() for name, block in blocks.items()}
    nothing = np.sort(rng.choice(len(y), len(y) // 3, replace=False))
    y = y.copy()
    y[nothing[::2]] = 7
    for block in blocks.values():
        block[nothing] += 100.0
    blocks["text"][nothing[:3]] = np.nan
    weights = rng.random(len(y)) + 0.5
    weights[nothing] = 0.0
    return MultimodalArray(blocks), y, weights


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 1: 0.5}])
@pytest.mark.parametrize("params", SETTINGS, ids=str)
def test_a_row_of_weight_zero_changes_nothing(params, class_weight):
    X, y, weights = unlike_the_others(*make_blocks(n=60))
    kept = weights > 0
    if isinstance(class_weight, dict):
        class_weight = {**class_weight, 2: 1.0}
    params = {**params, "class_weight": class_weight}
    with_zeros = LateFusionClassifier(**params).fit(X, y, weights)
    without = LateFusionClassifier(**params).fit(X[kept], y[kept], weights[kept])
    assert with_zeros.classes_.tolist() == without.classes_.tolist() == [0, 1, 2]
    assert with_zeros.loss_curve_ == without.loss_curve_
    assert with_zeros.n_iter_ == without.n_iter_
    np.testing.assert_array_equal(with_zeros.predict_proba(X), without.predict_proba(X))
    for name, p in with_zeros.predict_proba_by_modality(X).items():
        np.testing.assert_array_equal(p, without.predict_proba_by_modality(X)[name])


def test_a_third_class_of_weight_zero_leaves_two_classes():
    """With two, the penalty is on one row of weights."""
    blocks, y = make_blocks(n=60)
    X = blocks["image"]
    weights = np.where(y == 2, 0.0, 1.0)
    clf = LateFusionClassifier().fit(X, y, weights)
    peer = LogisticRegression(tol=1e-10, max_iter=10_000).fit(X[y != 2], y[y != 2])
    np.testing.assert_allclose(clf.predict_proba(X), peer.predict_proba(X), atol=1e-6)
    given = LateFusionClassifier().fit(X, y, weights, classes=[2, 1, 0])
    assert given.classes_.tolist() == [2, 1, 0]
    assert (given.predict_proba(X)[:, 0] < 1e-30).all()


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("fusion", ["concat", "sum"])
@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs"])
def test_an_integer_weight_repeats_the_row(solver, fusion, class_weight):
    blocks, y = make_blocks(n=40, missing=0.2)
    weights = np.random.default_rng(0).integers(0, 4, 40)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(solver=solver, fusion=fusion, class_weight=class_weight)
    weighted = clf.fit(X, y, weights).decision_function(X)
    rows = np.repeat(np.arange(40), weights)
    np.testing.assert_allclose(clf.fit(X[rows], y[rows]).decision_function(X), weighted, rtol=1e-7, atol=1e-8)


def test_balanced_weights_count_sample_weights():
    codes, weights = np.array([0, 0, 0, 1, 1, 2]), np.array([1.0, 2.0, 0.5, 4.0, 0.5, 2.0])
    found = class_weights("balanced", codes, np.array(list("abcd")), weights)
    np.testing.assert_allclose(found[:3] * [3.5, 4.5, 2.0], 10 / 3)  # every class has the same total
    assert found[3] == 0.0


@pytest.mark.parametrize(
    ("class_weight", "match"),
    [
        ({0: 1.0, 5: 2.0}, "class_weight: The classes, .* are not in class_weight"),
        ({0: -1.0}, "class_weight of the class 0 is -1.0"),
        ({0: np.nan}, "class_weight of the class 0 is nan"),
        ({0: 0.0, 1: 0.0, 2: 0.0}, "is zero for the class of every row"),
    ],
)
def test_class_weights_that_are_none(class_weight, match):
    blocks, y = make_blocks()
    with pytest.raises(ValueError, match=match):
        LateFusionClassifier(class_weight=class_weight).fit(MultimodalArray(blocks), y)


def test_class_weights_of_classes_that_come_later():
    blocks, y = make_blocks()
    X, early = MultimodalArray(blocks), y != 2
    found = LateFusionClassifier(class_weight={0: 2.0, 2: 5.0}).fit(X[early], y[early], classes=[0, 1, 2])
    plain = LateFusionClassifier().fit(X[early], y[early], np.where(y[early] == 0, 2.0, 1.0), classes=[0, 1, 2])
    np.testing.assert_allclose(found.predict_proba(X), plain.predict_proba(X))
