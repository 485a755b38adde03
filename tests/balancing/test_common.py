"""What every balancing method must do, whatever it does."""

import pickle
from inspect import signature

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from samples import make_blocks
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils._param_validation import InvalidParameterError

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.balancing import (
    CRMT,
    OGM,
    OPM,
    Balancing,
    DiagnosingRelearning,
    MMPareto,
    ModalityDropout,
    available_balancings,
    get_balancing,
)

NAMES = available_balancings()
WIDTHS = {2: {"image": 5, "text": 3}, 3: {"image": 5, "text": 3, "sound": 4}}
QUICK = {"encoder_dim": 6, "max_iter": 8, "learning_rate": 0.03, "batch_size": 32, "random_state": 0}
# so that all of a method happens within 8 epochs
BUSY = {
    "ogm": {"stop": 1.0},
    "ogm-ge": {"stop": 1.0},
    "opm": {"start": 0},
    "opm+ogm": {"start": 0, "ogm_start": 0, "ogm_stop": 1.0},
    "relearning": {"period": 2},
    "sample-valuation": {"warm_up": 1},
    "modality-valuation": {"warm_up": 1},
}
LOGGED = {
    "crmt": {"factor", "margin"},
    "mmpareto": {"fused_weight", "conflict"},
    "modality-dropout": set(),
    "modality-valuation": {"valuation", "copies"},
    "ogm": {"coefficient", "slowed"},
    "ogm-ge": {"coefficient", "slowed"},
    "opm": {"drop_probability", "dropped"},
    "opm+ogm": {"drop_probability", "dropped", "coefficient", "slowed"},
    "relearning": {"purity_train", "purity_holdout", "weight"},
    "sample-valuation": {"valuation", "copies"},
}


def busy(name):
    return get_balancing(name, **BUSY.get(name, {}))


def data(n_modalities=2, missing=0.3, n=96):
    blocks, y = make_blocks(n=n, widths=WIDTHS[n_modalities], missing=missing)
    return MultimodalArray(blocks), y


def weights_of(clf):
    return {name: p.detach().numpy() for name, p in clf.module_.named_parameters()}


def assert_same(a, b):
    for (name, p), q in zip(weights_of(a).items(), weights_of(b).values(), strict=True):
        np.testing.assert_array_equal(p, q, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_modalities", [2, 3])
@pytest.mark.parametrize("solver", ["auto", "sgd"])
def test_it_learns(name, n_modalities, solver):
    X, y = data(n_modalities)
    rate = {"learning_rate": 0.1 if solver == "sgd" else 0.03}
    clf = LateFusionClassifier(**{**QUICK, **rate, "max_iter": 15}, solver=solver, balancing=busy(name)).fit(X, y)
    assert clf.score(X, y) > 0.85
    shares = clf.modality_contributions(X)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert all(np.isfinite(p).all() for p in weights_of(clf).values())
    frame = pd.DataFrame(clf.balancing_log_)
    assert set(frame.columns) - {"epoch", "modality"} == LOGGED[name]
    if len(frame):
        assert set(frame["modality"]) == set(WIDTHS[n_modalities])
        assert not frame.duplicated(["epoch", "modality"]).any()


@pytest.mark.parametrize("name", NAMES)
def test_it_does_something(name):
    X, y = data()
    plain = LateFusionClassifier(**QUICK).fit(X, y)
    balanced = LateFusionClassifier(**QUICK, balancing=busy(name)).fit(X, y)
    assert not np.allclose(plain.predict_proba(X), balanced.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_leaves_the_object_as_it_is(name):
    X, y = data()
    method = busy(name)
    before = pickle.dumps(method)
    first = LateFusionClassifier(**QUICK, balancing=method)
    assert first.balancing is method
    first.fit(X, y)
    second = LateFusionClassifier(**QUICK, balancing=method).fit(X, y)
    assert first.balancing is method
    assert pickle.dumps(method) == before
    assert set(vars(method)) == set(signature(type(method).__init__).parameters) - {"self"}
    assert_same(first, second)
    assert first.balancing_log_ == second.balancing_log_ or "relearning" in name  # NaN differs from itself
    assert_same(first, clone(first).fit(X, y))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_the_object_with_its_defaults(name):
    X, y = data()
    a = LateFusionClassifier(**QUICK, balancing=name).fit(X, y)
    b = LateFusionClassifier(**QUICK, balancing=get_balancing(name)).fit(X, y)
    assert_same(a, b)
    shouted = LateFusionClassifier(**QUICK, balancing=name.upper().replace("-", "_")).fit(X, y)
    assert_same(a, shouted)


@pytest.mark.parametrize("name", NAMES)
def test_random_state(name):
    X, y = data()
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    params = {**QUICK, "dropout": 0.2, "balancing": busy(name)}
    other = LateFusionClassifier(**{**params, "random_state": 1}).fit(X, y)
    once = LateFusionClassifier(**params).fit(X, y)
    assert_same(once, LateFusionClassifier(**params).fit(X, y))
    assert not np.allclose(once.predict_proba(X), other.predict_proba(X))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    np.testing.assert_array_equal(once.predict_proba(X), once.predict_proba(X))  # dropout is off again


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_weight_zero_are_rows_that_are_not_there(name):
    X, y = data()
    weights = np.random.default_rng(0).random(96) + 0.5
    weights[::7] = 0.0
    kept = np.flatnonzero(weights)
    a = LateFusionClassifier(**QUICK, balancing=busy(name)).fit(X, y, weights)
    b = LateFusionClassifier(**QUICK, balancing=busy(name)).fit(X[kept], y[kept], weights[kept])
    assert_same(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_labels_classes_and_class_weights(name):
    X, y = data()
    names = np.array(["zebra", "ant", "moth", "bee"])
    clf = LateFusionClassifier(**QUICK, balancing=busy(name), class_weight="balanced")
    clf.fit(X, names[y], classes=names)
    p = clf.predict_proba(X)
    assert clf.classes_.tolist() == names.tolist()
    assert (p[:, 3] < 1e-6).all()
    assert all((q[:, 3] < 1e-6).all() for q in clf.predict_proba_by_modality(X).values())
    assert set(clf.predict(X)) <= set(names[:3])
    heavy = LateFusionClassifier(**QUICK, balancing=busy(name), class_weight={"ant": 50.0}).fit(X, names[y])
    assert (heavy.predict(X) == "ant").mean() >= (clf.predict(X) == "ant").mean()


@pytest.mark.parametrize("name", NAMES)
def test_save_load_pickle_clone(name, tmp_path):
    X, y = data()
    clf = LateFusionClassifier(**QUICK, balancing=busy(name)).fit(X, y)
    clf.save(tmp_path / "model")
    joblib.dump(clf, tmp_path / "model.joblib")
    for again in (
        LateFusionClassifier.load(tmp_path / "model"),
        pickle.loads(pickle.dumps(clf)),
        joblib.load(tmp_path / "model.joblib"),
    ):
        np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
        assert repr(again) == repr(clf)
        pd.testing.assert_frame_equal(pd.DataFrame(again.balancing_log_), pd.DataFrame(clf.balancing_log_))
        assert again.loss_curve_by_head_ == clf.loss_curve_by_head_
        assert again.discrepancy_ == clf.discrepancy_
        assert_same(clone(again).fit(X, y), clf)
    by_name = LateFusionClassifier(**QUICK, balancing=name).fit(X, y)
    by_name.save(tmp_path / "named")
    assert LateFusionClassifier.load(tmp_path / "named").balancing == name


@pytest.mark.parametrize("name", NAMES)
def test_warm_start_with_a_new_class(name):
    X, y = data(missing=0.0)
    few = np.flatnonzero(y != 2)
    clf = LateFusionClassifier(**{**QUICK, "max_iter": 20}, balancing=busy(name), warm_start=True)
    clf.fit(X[few], y[few], classes=[0, 1, 2])
    assert (clf.predict_proba(X)[:, 2] < 1e-6).all()
    clf.fit(X, y, classes=[0, 1, 2])
    assert clf.score(X, y) > 0.85


@pytest.mark.parametrize("fusion", ["sum", "gated", "attention"])
@pytest.mark.parametrize("missing", ["zero", "token"])
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"crmt"}))
def test_with_every_fusion(name, fusion, missing):
    X, y = data()
    clf = LateFusionClassifier(**{**QUICK, "max_iter": 15}, fusion=fusion, missing=missing, balancing=busy(name))
    assert clf.fit(X, y).score(X, y) > 0.7


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"modality-dropout"}))
def test_without_encoders_it_says_why_not(name):
    X, y = data()
    for params in ({}, {"dropout": 0.2}, {"encoder_dim": {"image": None}}):
        with pytest.raises(ValueError, match=r"(?s)on fixed features there is nothing to balance. Set encoder_dim"):
            LateFusionClassifier(balancing=name, **params).fit(X, y)
    with pytest.raises(ValueError, match="evens out modalities, and X has one"):
        LateFusionClassifier(balancing=name, encoder_dim=3).fit(MultimodalArray({"image": np.ones((4, 2))}), [0, 1, 0, 1])
    one = LateFusionClassifier(**{**QUICK, "encoder_dim": {"text": 4}}, balancing=busy(name)).fit(X, y)
    assert one.score(X, y) > 0.7


# ------------------------------------------------------------------------------------------------ the parameter


def test_names():
    expected = {"ogm", "ogm-ge", "opm", "opm+ogm", "mmpareto", "relearning", "crmt"}
    assert expected | {"sample-valuation", "modality-valuation", "modality-dropout"} == set(NAMES)
    assert all(isinstance(get_balancing(name), Balancing) for name in NAMES)
    with pytest.raises(ValueError, match=r"unknown balancing method 'ogme'; there are \['crmt'"):
        get_balancing("ogme")
    with pytest.raises(ValueError, match="unknown balancing method 'ogme'"):
        LateFusionClassifier(balancing="ogme", encoder_dim=3).fit(*data())
    with pytest.raises(TypeError, match="name must be a string"):
        get_balancing(OGM())
    with pytest.raises(InvalidParameterError, match="'balancing' parameter"):
        LateFusionClassifier(balancing=3.0, encoder_dim=3).fit(*data())


@pytest.mark.parametrize(
    ("method", "match"),
    [
        (OGM(alpha=-1), "'alpha' parameter of OGM"),
        (OGM(start=-1), "'start' parameter of OGM"),
        (OGM(stop=1.5), "'stop' parameter of OGM"),
        (OGM(modulate="nothing"), "'modulate' parameter of OGM"),
        (OPM(base_rate=1.1), "'base_rate' parameter of OPM"),
        (OPM(execution_rate=-0.1), "'execution_rate' parameter of OPM"),
        (MMPareto(gamma=0), "'gamma' parameter of MMPareto"),
        (DiagnosingRelearning(period=0), "'period' parameter of DiagnosingRelearning"),
        (DiagnosingRelearning(holdout=1.0), "'holdout' parameter of DiagnosingRelearning"),
        (CRMT(rho=-1), "'rho' parameter of CRMT"),
        (ModalityDropout(p=1.0), "'p' parameter of ModalityDropout"),
    ],
)
def test_parameters_are_checked(method, match):
    with pytest.raises(InvalidParameterError, match=match):
        LateFusionClassifier(balancing=method, encoder_dim=3).fit(*data())


def test_nested_parameters_and_a_grid_over_methods():
    X, y = data(missing=0.0, n=90)
    clf = LateFusionClassifier(**{**QUICK, "max_iter": 3}, balancing=OGM())
    assert clf.get_params()["balancing__alpha"] == 0.8
    assert clf.set_params(balancing__alpha=0.3).balancing.alpha == 0.3
    grid = GridSearchCV(clf, {"balancing__alpha": [0.0, 0.5], "solver": ["sgd"]}, cv=2).fit(X, y)
    assert isinstance(grid.best_estimator_.balancing, OGM)
    methods = [None, "opm", OGM(), MMPareto(), CRMT(second_step=0)]
    grid = GridSearchCV(clf, {"balancing": methods}, cv=2, error_score="raise").fit(X, y)
    assert len(grid.cv_results_["params"]) == 5
    assert np.isfinite(grid.cv_results_["mean_test_score"]).all()


def test_what_does_not_go_together():
    X, y = data()
    for fusion in ("sum", "gated"):
        with pytest.raises(ValueError, match=rf"balancing='crmt' brings its own fusion.*got fusion='{fusion}'"):
            LateFusionClassifier(encoder_dim=3, balancing="crmt", fusion=fusion).fit(X, y)
    with pytest.raises(ValueError, match="would drop modalities twice; set one of them"):
        LateFusionClassifier(balancing=ModalityDropout(0.2), modality_dropout=0.2).fit(X, y)
    with pytest.raises(ValueError, match="needs the convex case.*no balancing"):
        LateFusionClassifier(balancing="modality-dropout", solver="lbfgs").fit(X, y)


def test_a_method_of_ones_own(tmp_path):
    class Freeze(Balancing):
        """Leaves one encoder as it was drawn."""

        def __init__(self, modality=0):
            self.modality = modality

        def gradients(self, step):
            for parameter in self.run.module.encoders[self.modality].parameters():
                parameter.grad = None

    X, y = data()
    clf = LateFusionClassifier(**QUICK, balancing=Freeze(1)).fit(X, y)
    untrained = LateFusionClassifier(**{**QUICK, "learning_rate": 1e-30}).fit(X, y)
    a, b = weights_of(clf), weights_of(untrained)
    np.testing.assert_array_equal(a["encoders.1.layers.0.weight"], b["encoders.1.layers.0.weight"])
    assert not np.allclose(a["encoders.0.layers.0.weight"], b["encoders.0.layers.0.weight"])
    with pytest.raises(TypeError, match="balancing=.* cannot be saved"):
        clf.save(tmp_path / "never-written")


@pytest.mark.parametrize("encoder_dim", [None, 6])
def test_modality_dropout_is_the_classifiers_own(encoder_dim):
    X, y = data()
    params = {**QUICK, "encoder_dim": encoder_dim}
    a = LateFusionClassifier(**params, balancing=ModalityDropout(p=0.4)).fit(X, y)
    b = LateFusionClassifier(**params, modality_dropout=0.4).fit(X, y)
    assert_same(a, b)
    plain = LateFusionClassifier(**params, solver="adamw").fit(X, y)
    assert_same(LateFusionClassifier(**params, balancing=ModalityDropout(p=0.0)).fit(X, y), plain)
    assert not np.allclose(a.predict_proba(X), plain.predict_proba(X))
