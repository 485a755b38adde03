"""L-BFGS for many rows against scikit-learn, against Newton's method and, piece by piece, against dense matrices."""

import numpy as np
import pytest
import torch
from samples import make_blocks
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

import skmmal.heads.coordinates
import skmmal.heads.fitting
from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.datasets import load_emoji
from skmmal.heads.convex import LinearMap
from skmmal.heads.coordinates import Features, coordinates_of
from skmmal.heads.lbfgs import Objective, solve


def clusters(n, widths, n_classes, seed=0, scale=8.0):
    """Overlapping clusters whose directions differ in variance, rows of norm `scale`; uneven classes."""
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.integers(0, n_classes, n), rng.integers(0, n_classes, n))
    blocks = {}
    for name, width in widths.items():
        spread = np.arange(1, width + 1) ** -0.5
        points = rng.normal(size=(n_classes, width))[y] * 0.4 + rng.normal(size=(n, width))
        values = points * spread @ rng.normal(size=(width, width))
        blocks[name] = (scale * values / np.linalg.norm(values, axis=1).mean()).astype(np.float32)
    return MultimodalArray(blocks), y


def objective(head, features, y, C):
    weight, bias = (each.detach().numpy() for each in (head.weight, head.bias))
    losses = -log_softmax(features @ weight.T + bias, axis=1)[np.arange(len(y)), y]
    return C * losses.sum() + 0.5 * (weight**2).sum()


def fit(X, y, **params):
    return LateFusionClassifier(max_iter=1000, **params).fit(X, y)


# --------------------------------------------------------------------------------------------------- the optimum


@pytest.mark.parametrize("n", [60, 700])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_the_optimum_of_every_head_is_that_of_logistic_regression(n, C):
    """Fewer rows than features, and more."""
    X, y = clusters(n, {"a": 20, "b": 600}, 5)
    clf = fit(X, y, solver="lbfgs", C=C)
    blocks = [block.astype(np.float64) for block in X.blocks.values()]
    head = clf.module_.head
    for features, layer in zip([np.hstack(blocks), *blocks], [head.fused, *head.unimodal], strict=True):
        peer = LogisticRegression(C=C, tol=1e-9, max_iter=100_000).fit(features, y)
        theirs = C * -np.log(peer.predict_proba(features)[np.arange(n), y]).sum() + 0.5 * (peer.coef_**2).sum()
        assert objective(layer, features, y, C) <= theirs * (1 + 1e-7)


@pytest.mark.parametrize("fusion", ["concat", "sum"])
@pytest.mark.parametrize("widths", [{"a": 30, "b": 12}, {"a": 300, "b": 200}, {"a": 300, "b": 12}])
def test_both_solvers_agree_with_missing_modalities_weights_and_two_classes(fusion, widths):
    """Coordinates by row, by column and, in sum fusion, both at once."""
    blocks, y = make_blocks(n=150, widths=widths, missing=0.3)
    X = MultimodalArray({name: 2.0 * block for name, block in blocks.items()})
    weights = np.random.default_rng(0).integers(0, 3, 150).astype(float)
    for labels in (y, y == 1):
        found = {
            solver: LateFusionClassifier(fusion=fusion, solver=solver, tol=1e-12, max_iter=1000).fit(X, labels, weights)
            for solver in ("newton-cg", "lbfgs")
        }
        one, other = found.values()
        assert other.loss_curve_[-1] == pytest.approx(one.loss_curve_[-1], rel=1e-8)
        np.testing.assert_allclose(other.predict_proba(X), one.predict_proba(X), atol=1e-6)
        for name, p in other.predict_proba_by_modality(X).items():
            np.testing.assert_allclose(p, one.predict_proba_by_modality(X)[name], atol=5e-5)


@pytest.mark.parametrize("tol", [1e-2, 1e-5, 1e-8, 1e-11])
def test_the_objective_is_within_tol_of_the_optimum(tol):
    X, y = clusters(900, {"a": 40, "b": 560}, 12)
    best = fit(X, y, solver="newton-cg", tol=1e-14).loss_curve_[-1]
    found = fit(X, y, solver="lbfgs", tol=tol)
    assert found.loss_curve_[-1] <= best * (1 + tol)
    assert len(found.loss_curve_) == found.n_iter_ + 1


def test_scaled_features_need_few_iterations():
    X, y = clusters(900, {"a": 40, "b": 560}, 12)
    assert fit(X, y, solver="lbfgs").n_iter_ < 80


@pytest.mark.parametrize("factor", [1e-3, 30.0, 1e3])
def test_features_of_another_scale(factor):
    """Large ones are beyond single precision."""
    X, y = clusters(400, {"a": 20, "b": 40}, 4, scale=8.0 * factor)
    shifted = MultimodalArray({name: block.astype(np.float64) + 5 * factor for name, block in X.blocks.items()})
    solvers = ("newton-cg", "lbfgs")
    one, other = (LateFusionClassifier(solver=s, C=0.1, max_iter=5000).fit(shifted, y) for s in solvers)
    assert other.loss_curve_[-1] == pytest.approx(one.loss_curve_[-1], rel=1e-7)


# --------------------------------------------------------------------------------------------------- warm starts


@pytest.mark.parametrize("widths", [{"a": 40, "b": 60}, {"a": 400, "b": 500}])
@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_warm_start_reaches_the_same_optimum_in_fewer_iterations(fusion, widths):
    X, y = clusters(500, widths, 6)
    params = {"fusion": fusion, "solver": "lbfgs", "max_iter": 1000}
    warm = LateFusionClassifier(warm_start=True, **params).fit(X[:460], y[:460])
    warm.fit(X, y)
    cold = LateFusionClassifier(**params).fit(X, y)
    np.testing.assert_allclose(warm.predict_proba(X), cold.predict_proba(X), atol=1e-4)
    assert warm.n_iter_ < cold.n_iter_
    assert warm.loss_curve_[0] < 0.5 * cold.loss_curve_[0]
    assert warm.fit(X, y).n_iter_ == 1


def test_auto_takes_lbfgs_for_many_rows(monkeypatch):
    X, y = clusters(300, {"a": 20, "b": 30}, 4)
    curves = {solver: fit(X, y, solver=solver).loss_curve_ for solver in ("newton-cg", "lbfgs")}
    assert fit(X, y).loss_curve_ == curves["newton-cg"]
    monkeypatch.setattr(skmmal.heads.fitting, "_MANY_PRODUCTS", 300 * 50 * 4 - 1)
    assert fit(X, y).loss_curve_ == curves["lbfgs"] != curves["newton-cg"]


# -------------------------------------------------------------------------------------------------- coordinates


@pytest.mark.parametrize(("n", "widths"), [(30, (20, 25)), (80, (20, 25))])
def test_coordinates_are_those_of_dense_matrices(n, widths):
    rng = np.random.default_rng(0)
    blocks = [torch.from_numpy(rng.normal(size=(n, width)) + 3) for width in widths]
    Z = torch.cat([block - block.mean(dim=0) for block in blocks], dim=1)
    maps = coordinates_of(Features(blocks), [0, 1])
    weight = Z.T @ torch.from_numpy(rng.normal(size=(n, 3)))  # in the rows' span
    part = maps.from_features(weight)
    torch.testing.assert_close(maps.to_features(part), weight, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(maps.image(part), Z @ weight, rtol=1e-6, atol=1e-6)
    rows = torch.from_numpy(rng.normal(size=(n, 3)))
    torch.testing.assert_close(maps.to_features(maps.pull(rows)), Z.T @ rows)
    pulled = maps.pull(rows)
    inner = torch.sum(maps.dual(part) * pulled)
    torch.testing.assert_close(inner, torch.sum(weight * (Z.T @ rows)), rtol=1e-6, atol=1e-6)
    maps.set_curvature(0.7, 0.2)
    solved, dual = maps.precondition(pulled)
    expected = torch.linalg.solve(0.7 * torch.eye(45, dtype=torch.float64) + 0.2 * Z.T @ Z, Z.T @ rows)
    torch.testing.assert_close(maps.to_features(solved).double(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(dual, maps.dual(solved), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n_sampled", [100, 400])
def test_some_of_the_rows_make_a_good_preconditioner(monkeypatch, n_sampled):
    """By Woodbury's identity, and with more of them than features."""
    monkeypatch.setattr(skmmal.heads.coordinates, "_SAMPLED_ROWS", n_sampled)
    rng = np.random.default_rng(0)
    block = torch.from_numpy(rng.normal(size=(2000, 120)) * np.arange(1, 121) ** -1.0 @ rng.normal(size=(120, 120)))
    maps = coordinates_of(Features([block]), [0])
    maps.set_curvature(1.0, 0.5)
    identity = torch.eye(120, dtype=torch.float64)
    Z = block - block.mean(dim=0)
    rows = Z[:: 2000 // n_sampled]
    found = maps.precondition(identity)[0]
    expected = torch.linalg.inv(identity + 0.5 * 2000 / len(rows) * rows.T @ rows)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    hessian = identity + 0.5 * Z.T @ Z
    values = torch.linalg.eigvals(found @ hessian).real
    assert float(values.max() / values.min()) < 0.02 * float(torch.linalg.cond(hessian))


@pytest.mark.parametrize("n", [30, 300])
def test_a_preconditioner_of_features_beyond_all_measure_exists(n):
    """Where the penalty is lost beside the curvature, as with features that nobody has scaled."""
    block = torch.from_numpy(np.random.default_rng(0).normal(size=(n, 60)) * 1e9)
    maps = coordinates_of(Features([block]), [0])
    for curvature in (1e-12, 1.0):  # first one that single precision would do for
        maps.set_curvature(1.0, curvature)
        rows = torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        pulled = maps.pull(rows)
        solved, dual = maps.precondition(pulled)
        assert torch.isfinite(solved).all()
        assert float(torch.sum(dual * pulled)) > 0


@pytest.mark.parametrize(("n", "kind"), [(45, "ByColumn"), (44, "ByRow"), (41, "ByRow")])
def test_few_rows_are_the_coordinates_where_there_are_fewer_than_features(monkeypatch, n, kind):
    monkeypatch.setattr(skmmal.heads.coordinates, "_MOST_BY_ROW", 44)
    blocks = [torch.randn(n, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) for width in (20, 30)]
    assert type(coordinates_of(Features(blocks), [0, 1])).__name__ == kind
    assert type(coordinates_of(Features(blocks), [0])).__name__ == "ByColumn"


def test_gradient_and_curvature_by_automatic_differentiation():
    """Two heads over two maps, one of them in coordinates of the rows."""
    rng = np.random.default_rng(1)
    blocks = [torch.from_numpy(rng.normal(size=(25, width))) for width in (40, 6)]
    onehot = torch.eye(4, dtype=torch.float64)[rng.integers(0, 4, 25)]
    row_weights = torch.from_numpy(rng.random((2, 25)))
    mixing = torch.tensor([[0.5, 0.5], [0.0, 1.0]], dtype=torch.float64)
    features = Features(blocks)
    problem = Objective([coordinates_of(features, [m]) for m in (0, 1)], onehot, row_weights, mixing, 0.3)
    span = blocks[0] - blocks[0].mean(dim=0)
    weights = [span.T @ torch.from_numpy(rng.normal(size=(25, 4))) * 0.1, torch.from_numpy(rng.normal(size=(6, 4)))]
    maps = [LinearMap(weight, torch.from_numpy(rng.normal(size=4))) for weight in weights]

    def value(first, second):
        logits = [block @ w + m.intercept for block, w, m in zip(blocks, (first, second), maps, strict=True)]
        heads = [0.5 * logits[0] + 0.5 * logits[1], logits[1]]
        losses = [-(w * (torch.log_softmax(h, 1) * onehot).sum(1)).sum() for w, h in zip(row_weights, heads, strict=True)]
        return sum(losses) + 0.15 * (first.square().sum() + second.square().sum())

    point = problem.point(problem.parameters(maps))
    assert point.value == pytest.approx(float(value(*weights)), rel=1e-9)
    found = problem.maps(problem.vector(problem.gradient(point)))
    expected = torch.autograd.functional.jacobian(value, tuple(weights))
    centred = [block.mean(dim=0) for block in blocks]
    # the intercepts here stand for the logits of a mean row: the means' share of the gradient belongs to them
    totals = [sum(c * r for c, r in zip(mixing[:, j], point.residuals, strict=True)).sum(dim=0) for j in (0, 1)]
    for mine, theirs, mean, total in zip(found, expected, centred, totals, strict=True):
        torch.testing.assert_close(mine.weight, theirs - torch.outer(mean, total), rtol=1e-5, atol=1e-5)


def test_a_bend_so_sharp_that_no_step_is_flat_is_passed():
    """Where nearly separated rows have large weights, the objective along a line is like two straight pieces."""
    emoji = load_emoji()
    rows = np.random.default_rng(0).permutation(len(emoji.target))[:120]
    X, y = ModalityScaler().fit_transform(emoji.data)[rows], emoji.target[rows]
    ends = [fit(X, y, solver=solver, C=100.0).loss_curve_[-1] for solver in ("newton-cg", "lbfgs")]
    assert ends[1] == pytest.approx(ends[0], rel=1e-6)


@pytest.mark.parametrize("tol", [1e-6, 1e-10])
def test_where_single_precision_gets_no_farther_double_goes_on(monkeypatch, tol):
    """A problem that single precision should not have been used for."""
    monkeypatch.setattr(skmmal.heads.coordinates, "_SINGLE_PRECISION", np.inf)
    X, y = clusters(500, {"a": 60}, 5, scale=50.0)
    best = fit(X, y, solver="newton-cg", tol=1e-12, C=100.0).loss_curve_[-1]
    found = LateFusionClassifier(max_iter=5000, tol=tol, C=100.0, solver="lbfgs").fit(X, y).loss_curve_[-1]
    assert best * (1 - 1e-9) <= found <= best * (1 + 5 * tol)


def test_a_start_that_is_worse_than_zero_is_not_taken():
    X, y = clusters(200, {"a": 30}, 3)
    features = Features([torch.from_numpy(X.blocks["a"].astype(np.float64))])
    onehot = torch.eye(3, dtype=torch.float64)[y]
    problem = Objective([coordinates_of(features, [0])], onehot, torch.ones(1, 200).double(), torch.ones(1, 1), 1.0)
    far = LinearMap(torch.full((30, 3), 100.0).double() * torch.arange(3), torch.zeros(3).double())
    assert solve(problem, initial=[far]).loss_curve[0] == pytest.approx(200 * np.log(3))
