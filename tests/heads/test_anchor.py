"""Going on from a trained model: ``warm_start=True`` says what it forgets, ``"anchor"`` stays near."""

import pickle
import warnings

import numpy as np
import pytest
from samples import make_blocks
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.base import clone

from skmmal import ActiveLearner, LateFusionClassifier, MultimodalArray
from skmmal.datasets import load_digits_views

SOLVERS = ["newton-cg", "lbfgs"]


def pretrained(n=60, n_classes=3, **params):
    blocks, y = make_blocks(n=90)
    blocks = {name: block + 2.0 for name, block in blocks.items()}
    y = y % n_classes
    X = MultimodalArray(blocks)
    params = {"warm_start": "anchor", **params}
    return LateFusionClassifier(**params).fit(X[:n], y[:n]), X, y


def weights_of(clf):
    head = clf.module_.head
    layers = [head.fused, *head.unimodal] if hasattr(head, "fused") else [*head.unimodal]
    return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in layers]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_optimum_by_brute_force(solver, n_classes):
    """Of every head: losses, distance of the weights, distance of the mean row's logits."""
    clf, X, y = pretrained(solver=solver, n_classes=n_classes, C=0.3)
    before = weights_of(clf)
    blocks = [np.asarray(block) for block in X.blocks.values()]
    clf.fit(X[60:72], y[60:72], np.arange(12) % 3)
    kept = np.arange(12) % 3
    l2 = 2.0 if n_classes == 2 else 1.0
    for (W0, b0), (W, b), features in zip(before, weights_of(clf), [np.hstack(blocks), *blocks], strict=True):
        W0, b0 = W0 - W0.mean(axis=0), b0 - b0.mean()
        mean, new = features[:60].mean(axis=0), features[60:72]

        def value(flat, W0=W0, b0=b0, mean=mean, new=new):
            V, c = np.split(flat, [W0.size])
            V = V.reshape(W0.shape)
            losses = -log_softmax(new @ V.T + c, axis=1)[np.arange(12), y[60:72]]
            moved = (V @ mean + c) - (W0 @ mean + b0)
            return 0.3 * (kept * losses).sum() + 0.5 * l2 * (((V - W0) ** 2).sum() + (moved**2).sum())

        best = minimize(value, np.concatenate([W0.ravel(), b0]), options={"gtol": 1e-9, "maxiter": 5000})
        found = np.concatenate([(W - W.mean(axis=0)).ravel(), b - b.mean()])
        assert value(found) <= best.fun * (1 + 1e-7)
        np.testing.assert_allclose(found, best.x, atol=2e-4)


@pytest.mark.parametrize("fusion", ["concat", "sum"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_from_the_old_model_to_forgetting_it(solver, fusion):
    clf, X, y = pretrained(solver=solver, fusion=fusion)
    before = clf.predict_proba(X)
    wrong = (y[60:] + 1) % 3
    clf.set_params(C=1e-9).fit(X[60:], wrong)
    np.testing.assert_allclose(clf.predict_proba(X), before, atol=1e-6)
    clf.set_params(C=1.0).fit(X[60:], wrong)
    moved = clf.predict_proba(X)
    assert np.abs(moved - before).max() > 0.1
    cold = LateFusionClassifier(solver=solver, fusion=fusion, C=1.0)
    n_times = 3000.0  # as that many rows would
    clf.fit(X, wrong_of(y), np.full(90, n_times))
    np.testing.assert_allclose(clf.predict_proba(X), cold.fit(X, wrong_of(y), np.full(90, n_times)).predict_proba(X), atol=0.05)


def wrong_of(y):
    return np.where(np.random.default_rng(0).random(len(y)) < 0.4, (y + 1) % 3, y)


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_both_solvers_agree(fusion):
    found = []
    for solver in SOLVERS:
        clf, X, y = pretrained(solver=solver, fusion=fusion, tol=1e-12)
        blocks = {name: block.copy() for name, block in X[60:80].blocks.items()}
        blocks["text"][::3] = np.nan
        clf.fit(MultimodalArray(blocks), y[60:80])
        found.append((clf.loss_curve_[-1], clf.predict_proba(X)))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-8)
    np.testing.assert_allclose(found[1][1], found[0][1], atol=1e-6)


@pytest.mark.parametrize("C", [0.01, 1.0])
@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
def test_five_rows_do_not_ruin_a_model(solver, C):
    """Five rows of some of ten classes, on features with an offset; the unique optimum without an anchor forgets."""
    X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(y))[:400]
    X, y = X[rows], np.asarray(y)[rows]
    clf = LateFusionClassifier(C=C, solver=solver, warm_start="anchor", max_iter=2000).fit(X[:200], y[:200])
    before = clf.score(X[205:], y[205:])
    learner = ActiveLearner(clf, "random")
    learner.teach(X[200:205], y[200:205])
    assert clf.classes_.tolist() == list(range(10))
    assert clf.score(X[205:], y[205:]) > before - 0.04
    cold = LateFusionClassifier(C=C, max_iter=2000).fit(X[200:205], y[200:205])
    assert cold.score(X[205:], y[205:]) < before - 0.2


def test_the_anchor_is_the_first_model_until_it_is_let_go():
    clf, X, y = pretrained()
    first = clf.heads_
    assert not hasattr(clf, "anchor_")
    clf.fit(X[60:65], y[60:65])
    assert clf.anchor_ is first
    clf.fit(X[60:70], y[60:70])  # the labelled set grows: its rows are not counted twice
    assert clf.anchor_ is first
    again, _, _ = pretrained()
    again.fit(X[60:70], y[60:70])
    np.testing.assert_allclose(again.predict_proba(X), clf.predict_proba(X), atol=1e-6)
    present = clf.heads_
    del clf.anchor_
    clf.fit(X[70:75], y[70:75])
    assert clf.anchor_ is present
    assert not hasattr(clone(clf), "anchor_")
    clf.set_params(warm_start=False).fit(X, y)
    assert not hasattr(clf, "anchor_")


def test_classes_that_come_and_go():
    blocks, y = make_blocks(n=90)
    names = np.array(["bee", "cow", "ant"])[y]
    X, early = MultimodalArray(blocks), y != 2
    clf = LateFusionClassifier(warm_start="anchor").fit(X[early][:50], names[early][:50])
    assert clf.classes_.tolist() == ["bee", "cow"]
    few = np.array([2, 5, 8])  # ants alone
    clf.fit(X[few], names[few])
    assert clf.classes_.tolist() == ["ant", "bee", "cow"]
    p = clf.predict_proba(X)
    assert (p[few, 0] > 0.5).all()
    assert (p[early].argmax(axis=1) == np.where(y[early] == 0, 1, 2)).mean() > 0.8  # the old ones are known still
    given = LateFusionClassifier(warm_start="anchor").fit(X[early], names[early], classes=["cow", "bee", "ant", "elk"])
    given.fit(X[few], names[few], classes=["cow", "bee", "ant", "elk"])
    assert (given.predict_proba(X)[:, 3] < 1e-30).all()
    assert given.score(X, names) > 0.8


def test_models_of_mini_batches_and_saved_ones_are_anchors(tmp_path):
    blocks, y = make_blocks(n=90)
    X = MultimodalArray(blocks)
    trained = LateFusionClassifier(solver="adamw", learning_rate=0.05, random_state=0).fit(X[:60], y[:60])
    trained.set_params(solver="auto", warm_start="anchor")
    trained.save(tmp_path / "first")
    loaded = LateFusionClassifier.load(tmp_path / "first")
    expected = trained.fit(X[60:66], y[60:66]).predict_proba(X)
    np.testing.assert_allclose(loaded.fit(X[60:66], y[60:66]).predict_proba(X), expected, atol=1e-9)
    loaded.save(tmp_path / "second")
    expected = trained.fit(X[60:80], y[60:80]).predict_proba(X)
    for again in (LateFusionClassifier.load(tmp_path / "second"), pickle.loads(pickle.dumps(loaded))):
        assert hasattr(again, "anchor_")
        np.testing.assert_allclose(again.fit(X[60:80], y[60:80]).predict_proba(X), expected, atol=1e-9)


@pytest.mark.parametrize("params", [{"solver": "adamw"}, {"encoder_dim": 3}, {"dropout": 0.1}, {"fusion": "gated"}])
def test_mini_batches_have_no_anchor(params):
    blocks, y = make_blocks()
    with pytest.raises(ValueError, match="warm_start='anchor' is a penalty of the convex solvers"):
        LateFusionClassifier(warm_start="anchor", **params).fit(MultimodalArray(blocks), y)


def test_other_features_are_refused():
    clf, X, y = pretrained()
    with pytest.raises(ValueError, match="declared as 5"):
        clf.fit({"image": np.zeros((4, 6)), "text": np.zeros((4, 3))}, [0, 1, 2, 0])
    with pytest.raises(ValueError, match="warm_start='anchor', but the network's shape has changed"):
        clf.set_params(fusion="sum").fit(X, y)
    with pytest.raises(ValueError, match="'warm_start' parameter"):
        clf.set_params(warm_start="Anchor").fit(X, y)


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_a_warm_fit_on_fewer_rows_says_that_it_forgets(fusion, tmp_path):
    clf, X, y = pretrained(warm_start=True, fusion=fusion)
    clf.save(tmp_path)
    loaded = LateFusionClassifier.load(tmp_path)
    for model in (clf, loaded):
        with pytest.warns(UserWarning, match=r"5 rows given.*60 rows of the last fit is forgotten.*'anchor'") as caught:
            model.fit(X[60:65], y[60:65])
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.fit(X[60:66], y[60:66]).fit(X[60:66], y[60:66]).fit(X, y)  # more, or as many
        pretrained(warm_start="anchor")[0].fit(X[60:65], y[60:65])
        clf.set_params(warm_start=False).fit(X[:9], y[:9])  # asked for
