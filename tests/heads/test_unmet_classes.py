"""A class whose labelled rows all lack a modality: that modality's own head does not know it."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from samples import make_blocks
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import get_strategy

CONVEX = [
    {"solver": solver, "fusion": fusion} for solver in ("newton-cg", "lbfgs") for fusion in ("concat", "sum")
]
MINI_BATCH = [
    {"solver": "adamw"},
    {"solver": "sgd", "fusion": "sum"},
    {"encoder_dim": 3, "balancing": "ogm"},
    {"encoder_dim": 3, "balancing": "crmt"},
    {"fusion": "gated"},
    {"fusion": "attention", "missing": "token"},
    {"fusion": "nl-gate"},
]


def never_met(n=90, lost=(2,)):
    """Rows of the `lost` classes lack the text."""
    blocks, y = make_blocks(n=n)
    blocks["text"][np.isin(y, lost)] = np.nan
    return MultimodalArray(blocks), y


def full():
    return MultimodalArray(make_blocks(n=90)[0])


@pytest.mark.parametrize("params", [*CONVEX, *MINI_BATCH], ids=str)
def test_the_head_gives_such_a_class_probability_zero(params, tmp_path):
    X, y = never_met()
    if params not in CONVEX:
        params = {**params, "max_iter": 20, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = LateFusionClassifier(**params).fit(X, y)
        if params in CONVEX:
            assert clf.n_iter_ < 100
        clf.save(tmp_path / "model")
    for model in (clf, LateFusionClassifier.load(tmp_path / "model"), pickle.loads(pickle.dumps(clf)), copy.deepcopy(clf)):
        own = model.predict_proba_by_modality(full())
        assert (own["text"][:, 2] < 1e-20).all()
        assert (own["text"][:, :2] > 1e-9).any(axis=0).all()
        assert (own["image"][:, 2] > 0.05).any()
        assert (model.predict_proba(X)[y == 2, 2] > 1e-3).any()
        for p in (*own.values(), model.predict_proba(full()), model.predict_proba_with(full(), [])):
            assert np.isfinite(p).all()
            np.testing.assert_allclose(p.sum(axis=1), 1)
        assert np.isfinite(model.shapley_values(full())).all()
        np.testing.assert_allclose(model.modality_contributions(full()).sum(axis=1), 1)
        assert model.score_by_modality(full(), y)["text"] <= 2 / 3


@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs"])
def test_the_optimum_is_that_over_the_classes_of_its_rows(solver):
    """With concat fusion: the model of the rows that have the modality, alone."""
    X, y = never_met()
    there = y != 2
    clf = LateFusionClassifier(solver=solver, C=0.3).fit(X, y)
    text = MultimodalArray({"text": full()["text"]})
    found = clf.predict_proba_by_modality(full())["text"]
    rows = MultimodalArray({"text": X["text"][there]})
    for given in ([0, 1, 2], None):  # a column for a class without rows changes nothing of the others
        alone = LateFusionClassifier(solver=solver, C=0.3).fit(rows, y[there], classes=given)
        np.testing.assert_allclose(found[:, :2], alone.predict_proba(text)[:, :2], atol=1e-6)
    reference = LogisticRegression(C=0.3, tol=1e-12, max_iter=10_000).fit(X["text"][there], y[there])
    np.testing.assert_allclose(found[:, :2], reference.predict_proba(text["text"]), atol=1e-6)


@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs"])
def test_the_optimum_over_three_of_four_classes(solver):
    blocks, y = make_blocks(n=120)[0], np.arange(120) % 4
    there = y != 1
    blocks["text"][~there] = np.nan
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(solver=solver).fit(X, y)
    found = clf.predict_proba_by_modality(full())["text"]
    reference = LogisticRegression(tol=1e-12, max_iter=10_000).fit(X["text"][there], y[there])
    assert (found[:, 1] < 1e-20).all()
    np.testing.assert_allclose(found[:, [0, 2, 3]], reference.predict_proba(full()["text"]), atol=1e-6)


@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs"])
def test_the_optimum_of_tied_heads_by_brute_force(solver):
    X, y = never_met(n=40)
    blocks = [np.nan_to_num(block) for block in X.blocks.values()]
    there = [np.ones(40, bool), y != 2]
    clf = LateFusionClassifier(fusion="sum", solver=solver).fit(X, y)

    def value(flat):
        maps = np.split(flat, [5 * 3, 5 * 3 + 3, 5 * 3 + 3 + 3 * 3])
        logits = [blocks[0] @ maps[0].reshape(5, 3) + maps[1], blocks[1] @ maps[2].reshape(3, 3) + maps[3]]
        rows = np.arange(40)
        total = -log_softmax((logits[0] + logits[1]) / 2, axis=1)[rows, y].sum()
        total -= log_softmax(logits[0], axis=1)[rows, y].sum()
        total -= log_softmax(logits[1][there[1], :2], axis=1)[np.arange(there[1].sum()), y[there[1]]].sum()
        return total + 0.5 * ((maps[0] ** 2).sum() + (maps[2] ** 2).sum())

    found = minimize(value, np.zeros(30), method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 10**6, "ftol": 1e-15, "gtol": 1e-9})
    assert clf.loss_curve_[-1] == pytest.approx(found.fun, rel=1e-6)
    maps = np.split(found.x, [15, 18, 27])
    logits = blocks[1] @ maps[2].reshape(3, 3) + maps[3]
    np.testing.assert_allclose(clf.predict_proba_by_modality(X)["text"][:, :2], softmax(logits[:, :2], axis=1), atol=1e-3)


@pytest.mark.parametrize("params", [*CONVEX, {"solver": "adamw", "max_iter": 40, "learning_rate": 0.02, "random_state": 0}], ids=str)
@pytest.mark.parametrize("lost", [(1, 2), (0, 1, 2)])
def test_a_head_of_one_class_or_of_none(params, lost):
    X, y = never_met(lost=lost)
    clf = LateFusionClassifier(**params).fit(X, y)
    p = clf.predict_proba_by_modality(full())["text"]
    np.testing.assert_allclose(p.sum(axis=1), 1)
    if len(lost) == 2:
        np.testing.assert_allclose(p, np.tile([1.0, 0.0, 0.0], (90, 1)), atol=1e-20)
    elif params.get("solver") != "adamw":
        np.testing.assert_allclose(p, p[:1].repeat(90, axis=0))  # it says the same of every row
        if params["fusion"] == "concat":
            np.testing.assert_allclose(p, 1 / 3)
    assert clf.score(X, y) > 0.5


@pytest.mark.parametrize("params", [*CONVEX, {"solver": "adamw", "learning_rate": 0.05, "max_iter": 60, "random_state": 0}], ids=str)
@pytest.mark.parametrize("mode", [True, "anchor"])
def test_classes_that_meet_later(params, mode):
    X, y = never_met()
    if mode == "anchor" and params.get("solver") == "adamw":
        with pytest.raises(ValueError, match="is a penalty of the convex solvers"):
            LateFusionClassifier(warm_start=mode, **params).fit(X, y)
        return
    clf = LateFusionClassifier(warm_start=mode, **params).fit(X, y).fit(full(), y)
    p = clf.predict_proba_by_modality(full())["text"]
    assert (p[y == 2, 2] > 0.3).mean() > 0.5
    if mode is True and params in CONVEX:
        cold = LateFusionClassifier(**params).fit(full(), y)
        np.testing.assert_allclose(p, cold.predict_proba_by_modality(full())["text"], atol=1e-5)


@pytest.mark.parametrize("fusion", ["concat", "sum"])
@pytest.mark.parametrize("strategy", ["mvopt", "bmmal", "badge", "uherding", "margin", "bald"])
def test_strategies_ask_such_heads(strategy, fusion):
    X, y = never_met()
    clf = LateFusionClassifier(fusion=fusion).fit(X, y)
    indices, scores = get_strategy(strategy).query(clf, full(), 5, X_labeled=X, y_labeled=y, return_scores=True)
    assert len(set(indices.tolist())) == 5
    assert np.isfinite(scores).all()


def test_what_the_training_of_tied_heads_masks():
    """The own head's loss is over the classes that it knows, the fused head's over all."""
    from skmmal.heads import Encoder, LateFusionModule, SumFusion
    from skmmal.heads._batches import Batches
    from skmmal.heads._classes import classes_met
    from skmmal.heads._training import head_losses

    generator = torch.Generator().manual_seed(0)
    module = LateFusionModule([Encoder(2, (), 0.0, None), Encoder(3, (), 0.0, None)], SumFusion([2, 3], 3, generator))
    present = torch.tensor([[True, True], [True, True], [True, False]])
    blocks = [torch.randn(3, 2, generator=generator), torch.randn(3, 3, generator=generator) * present[:, 1:]]
    data = Batches(blocks, present, torch.tensor([0, 1, 2]), torch.ones(3))
    met = classes_met(data.labels.numpy(), present.numpy(), 3)
    assert met.tolist() == [[True] * 3, [True] * 3, [True, True, False]]
    module.set_met(met)
    sums = head_losses(module, data, blocks, blocks)[0]
    logits = module.head.unimodal_logits(blocks)
    expected = torch.nn.functional.cross_entropy(logits[1][:2, :2], torch.tensor([0, 1]), reduction="sum")
    torch.testing.assert_close(sums[2], expected)
    fused = torch.nn.functional.cross_entropy((logits[0] + logits[1]) / 2, data.labels, reduction="sum")
    torch.testing.assert_close(sums[0], fused)
