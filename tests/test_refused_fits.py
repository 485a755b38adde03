"""Whatever ends a fit early, the estimator stays as it was."""

import numpy as np
import pytest
from samples import make_blocks

import skmmal.classifier._counted_rows
import skmmal.classifier._fitting
import skmmal.heads._training
import skmmal.heads.convex._lbfgs
import skmmal.heads.convex._preconditioner
from skmmal import LateFusionClassifier, MultimodalArray


def data(names="abc"):
    blocks, y = make_blocks(n=45)
    return MultimodalArray(blocks), np.array(list(names))[y]


def state(clf):
    return dict(vars(clf)), {key: value.clone() for key, value in clf.module_.state_dict().items()}


def check_unchanged(clf, before, X, expected):
    attributes, weights = before
    assert vars(clf).keys() == attributes.keys()
    for name, value in attributes.items():
        assert vars(clf)[name] is value, name
    for key, value in clf.module_.state_dict().items():
        assert value.equal(weights[key]), key
    np.testing.assert_array_equal(clf.predict_proba(X), expected)


MODES = [{}, {"warm_start": True}, {"warm_start": "anchor"}]
BATCH = {"solver": "adamw", "max_iter": 2, "random_state": 0}


def bad_fits():
    X, _ = data()
    partly = {name: block.copy() for name, block in X.blocks.items()}
    partly["text"][3, 0] = np.nan
    new = np.array(["a", "b", "d"])[np.arange(45) % 3]
    return {
        "partly NaN": (lambda clf: clf.fit(partly, new)),
        "other modalities": (lambda clf: clf.fit({"sound": np.ones((45, 2))}, [None] * 45)),
        "a frame's names, then no labels": (lambda clf: clf.fit(X, None)),
        "labels": (lambda clf: clf.fit(X, np.linspace(0, 1, 45))),
        "classes": (lambda clf: clf.fit(X, new, classes=["a", "b"])),
        "weights": (lambda clf: clf.fit(X, new, np.zeros(45))),
        "class weights": (lambda clf: clf.set_params(class_weight={"x": 1.0, "y": 2.0}).fit(X, new)),
        "contradictory": (lambda clf: clf.set_params(solver="newton-cg", dropout=0.5).fit(X, new)),
        "unknown value": (lambda clf: clf.set_params(C=-1.0).fit(X, new)),
        "no balancing": (lambda clf: clf.set_params(balancing="ogm").fit(X, new)),
        "no device": (lambda clf: clf.set_params(device="nothing").fit(X, new)),
        "beyond the range": (lambda clf: clf.fit({k: b * 1e200 for k, b in X.blocks.items()}, new)),
    }


@pytest.mark.parametrize("params", [*MODES, BATCH], ids=str)
@pytest.mark.parametrize("name", bad_fits())
def test_a_refused_fit_leaves_the_model(params, name):
    X, y = data()
    clf = LateFusionClassifier(**params).fit(X, y)
    expected, given = clf.predict_proba(X), clf.get_params()
    before = state(clf)
    with pytest.raises((TypeError, ValueError)):
        bad_fits()[name](clf)
    clf.set_params(**given)
    check_unchanged(clf, before, X, expected)
    clf.fit(X, y)  # it fits again


DEPTHS = [
    (skmmal.classifier._counted_rows, "encode_labels"),
    (skmmal.classifier._counted_rows, "class_weights"),
    (skmmal.classifier._counted_rows, "LabeledRows"),
    (skmmal.classifier._fitting, "classes_met"),
    (skmmal.classifier._fitting, "fit_layers"),
    (skmmal.heads.convex._lbfgs, "_line_search"),
    (skmmal.heads.convex._preconditioner, "_factored"),
]


@pytest.mark.filterwarnings("ignore:warm_start=True only starts")
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
@pytest.mark.parametrize("params", MODES, ids=str)
@pytest.mark.parametrize(("module", "function"), DEPTHS, ids=[name for _, name in DEPTHS])
def test_a_fit_that_is_broken_off_at_any_depth(monkeypatch, module, function, params, error):
    X, y = data()
    clf = LateFusionClassifier(**params).fit(X, y)
    expected = clf.predict_proba(X)
    before = state(clf)
    original, calls = getattr(module, function), []

    def breaks(*arguments, **keywords):
        calls.append(1)
        if len(calls) > (2 if module.__name__.startswith("skmmal.heads.convex") else 0):  # on the way
            raise error("broken off")
        return original(*arguments, **keywords)

    monkeypatch.setattr(module, function, breaks)
    with pytest.raises(error):
        clf.fit(X[:40], np.array(list("dea"))[np.arange(40) % 3])
    monkeypatch.undo()
    check_unchanged(clf, before, X, expected)


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_training_that_is_broken_off(monkeypatch, warm_start):
    X, y = data()
    clf = LateFusionClassifier(encoder_dim=3, warm_start=warm_start, **BATCH).fit(X, y)
    expected = clf.predict_proba(X)
    before = state(clf)
    original, calls = skmmal.heads._training._train_on, []

    def breaks(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(skmmal.heads._training, "_train_on", breaks)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, y[::-1])
    check_unchanged(clf, before, X, expected)


def test_a_first_fit_that_is_refused_leaves_nothing():
    X, y = data()
    clf = LateFusionClassifier(solver="newton-cg", dropout=0.5)
    before = dict(vars(clf))
    with pytest.raises(ValueError, match="needs the convex case"):
        clf.fit(X, y)
    assert vars(clf) == before
