"""The convex solver against scikit-learn, against Newton's method and, piece by piece, against dense matrices."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from dense import head_optima
from samples import make_blocks
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

import skmmal.heads
from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.datasets import load_emoji
from skmmal.heads.convex import (
    LabeledRows,
    LinearMap,
    _blocks,
    _fit,
    _lbfgs,
    _preconditioner,
    _problem,
    fit_layers,
    mean_rows,
)
from skmmal.heads.convex._blocks import Blocks
from skmmal.heads.convex._losses import SoftmaxLoss
from skmmal.heads.convex._preconditioner import Preconditioner
from skmmal.heads.convex._problem import Problem, combined


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


def fit(X, y, sample_weight=None, **params):
    return LateFusionClassifier(max_iter=1000, **params).fit(X, y, sample_weight)


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
@pytest.mark.parametrize("widths", [{"a": 30, "b": 12}, {"a": 110, "b": 90}, {"a": 110, "b": 12}])
def test_the_optimum_with_missing_modalities_weights_and_two_classes(monkeypatch, fusion, widths):
    """In single precision, with a preconditioner and without, and to the last digits in double."""
    blocks, y = make_blocks(n=80, widths=widths, missing=0.3)
    blocks = {name: 2.0 * block + 1.0 for name, block in blocks.items()}
    weights = np.random.default_rng(0).integers(0, 3, 80).astype(float)
    X = MultimodalArray(blocks)
    for labels in (y, (y == 1).astype(int)):
        best = sum(head_optima(list(blocks.values()), labels, weights, fusion=fusion))
        exact = fit(X, labels, fusion=fusion, sample_weight=weights)
        assert exact.loss_curve_[-1] == pytest.approx(best, rel=1e-11)
        monkeypatch.setattr(_fit, "_FEW_PRODUCTS", 0)
        for cost in (0.0, 1e9):
            monkeypatch.setattr(_preconditioner, "_COST", cost)
            found = fit(X, labels, fusion=fusion, sample_weight=weights, tol=1e-8)
            assert best * (1 - 1e-12) <= found.loss_curve_[-1] <= best * (1 + 1e-8)
            np.testing.assert_allclose(found.predict_proba(X), exact.predict_proba(X), atol=1e-3)
        monkeypatch.undo()


@pytest.mark.parametrize("tol", [1e-2, 1e-5, 1e-8, 1e-11])
def test_the_objective_is_within_tol_of_the_optimum(tol):
    X, y = clusters(900, {"a": 40, "b": 560}, 12)
    best = fit(X, y, tol=1e-14).loss_curve_[-1]
    found = fit(X, y, tol=tol)
    assert found.loss_curve_[-1] <= best * (1 + tol)
    assert len(found.loss_curve_) == found.n_iter_ + 1


def test_scaled_features_need_few_iterations():
    X, y = clusters(900, {"a": 40, "b": 560}, 12)
    assert fit(X, y).n_iter_ < 80


@pytest.mark.parametrize("factor", [1e-3, 30.0, 1e3])
def test_features_of_another_scale(factor):
    """Large ones are beyond single precision."""
    X, y = clusters(400, {"a": 20, "b": 40}, 4, scale=8.0 * factor)
    blocks = {name: block.astype(np.float64) + 5 * factor for name, block in X.blocks.items()}
    best = sum(head_optima(list(blocks.values()), y, np.ones(400), fusion="concat", C=0.1))
    found = LateFusionClassifier(C=0.1, max_iter=5000).fit(MultimodalArray(blocks), y)
    assert found.loss_curve_[-1] == pytest.approx(best, rel=1e-7)


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


def test_tol_auto_is_tight_on_small_problems_and_loose_on_large(monkeypatch):
    X, y = clusters(600, {"a": 40, "b": 80}, 6)
    best = fit(X, y, tol=1e-13).loss_curve_[-1]
    tight = fit(X, y)
    assert tight.loss_curve_ == fit(X, y, tol=1e-8).loss_curve_
    assert tight.loss_curve_[-1] <= best * (1 + 1e-8)
    monkeypatch.setattr(_fit, "_LARGE", 600 * 120 * 6 - 1)
    loose = fit(X, y)
    assert best * (1 + 1e-10) < loose.loss_curve_[-1] <= best * (1 + 1e-3)  # well below the 1e-2 that it reckons
    assert loose.n_iter_ < tight.n_iter_
    with pytest.raises(ValueError, match="'tol' parameter"):
        fit(X, y, tol="tight")


@pytest.mark.parametrize("solver", ["auto", "newton-cg"])
def test_the_names_of_the_convex_solver_mean_one_thing(solver):
    X, y = clusters(300, {"a": 20, "b": 30}, 4)
    assert fit(X, y, solver=solver).loss_curve_ == fit(X, y, solver="lbfgs").loss_curve_


# -------------------------------------------------------------------------------------------- weights of modalities


def layers_of(widths, n_classes, rows):
    heads = [LinearMap(np.zeros((n_classes, sum(widths))), np.zeros(n_classes))]
    heads += [LinearMap(np.zeros((n_classes, width)), np.zeros(n_classes)) for width in widths]
    return heads, np.ones((len(widths) + 1, n_classes), bool)


def fit_weighted(blocks, present, y, modality_weights, **params):
    rows = LabeledRows(blocks, present, y, np.ones(len(y)))
    layers, met = layers_of([block.shape[1] for block in blocks], 3, rows)
    params = {"C": 1.0, "max_iter": 1000, "tol": 1e-8, **params}
    fit_layers(layers, rows, met, modality_weights=modality_weights, **params)
    return layers


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_weights_of_modalities_are_factors_of_the_blocks_before_the_fused_head(missing):
    blocks, y = make_blocks(n=90, widths={"a": 6, "b": 40}, missing=missing)
    present = np.column_stack([~np.isnan(block[:, 0]) for block in blocks.values()])
    given = [np.nan_to_num(block) + 3.0 for block in blocks.values()]
    factors = [0.3, 2.0]
    weighted = fit_weighted(given, present, y, factors)
    plain = fit_weighted(given, present, y, None)
    scaled = fit_weighted([f * block for f, block in zip(factors, given, strict=True)], present, y, [1.0, 1.0])
    whole = np.repeat(factors, [6, 40])
    np.testing.assert_allclose(weighted[0].weight, scaled[0].weight * whole, atol=1e-6)
    np.testing.assert_allclose(weighted[0].intercept, scaled[0].intercept, atol=1e-6)
    for own, same in zip(weighted[1:], plain[1:], strict=True):
        np.testing.assert_allclose(own.weight, same.weight, atol=1e-8)
    alone = fit_weighted(given, present, y, [0.0, 1.0])[0]
    assert (alone.weight[:, :6] == 0).all()
    if not missing:
        np.testing.assert_allclose(alone.weight[:, 6:], plain[2].weight, atol=1e-6)


def test_a_warm_start_takes_weights_of_modalities_into_account():
    blocks, y = make_blocks(n=90, widths={"a": 6, "b": 40})
    given, present = list(blocks.values()), np.ones((90, 2), bool)
    rows = LabeledRows(given, present, y, np.ones(90))
    layers, met = layers_of([6, 40], 3, rows)
    params = {"C": 1.0, "max_iter": 1000, "tol": 1e-8, "modality_weights": [0.2, 1.5]}
    fit_layers(layers, rows, met, **params)
    n_iter, curve = fit_layers(layers, rows, met, warm=True, **params)
    assert n_iter == 1
    assert curve[0] == pytest.approx(curve[-1], rel=1e-9)


def test_with_sum_fusion_weights_of_modalities_mix_the_logits():
    """At the optimum of the mean of weighted logits and the heads' own, by the gradient."""
    blocks, y = make_blocks(n=30)
    given, factors = list(blocks.values()), [0.3, 2.0]
    layers = [LinearMap(np.zeros((3, block.shape[1])), np.zeros(3)) for block in given]
    rows = LabeledRows(given, np.ones((30, 2), bool), y, np.ones(30))
    params = {"C": 1.0, "max_iter": 1000, "tol": 1e-8}
    fit_layers(layers, rows, np.ones((3, 3), bool), modality_weights=factors, **params)
    own = [block @ each.weight.T + each.intercept for block, each in zip(given, layers, strict=True)]
    fused = softmax(0.5 * (factors[0] * own[0] + factors[1] * own[1]), axis=1) - np.eye(3)[y]
    for block, factor, logits, each in zip(given, factors, own, layers, strict=True):
        residuals = 0.5 * factor * fused + softmax(logits, axis=1) - np.eye(3)[y]
        np.testing.assert_allclose(residuals.T @ block + each.weight, 0, atol=1e-5)


# ------------------------------------------------------------------------------------------------------- products


def test_heads_share_their_products(monkeypatch):
    """All heads move at once: as many passes over the features as the slowest head has iterations, not the sum."""
    X, y = clusters(900, {"a": 40, "b": 560}, 12)
    counts = {"images": 0, "pulls": 0}

    def counted(name):
        original = getattr(Blocks, name)

        def call(self, asked):
            counts[name] += 1
            return original(self, asked)

        return call

    for name in counts:
        monkeypatch.setattr(Blocks, name, counted(name))
    n_iter = fit(X, y, tol=1e-6).n_iter_
    assert n_iter <= max(counts.values()) <= n_iter + 3


def make_problem(n, widths, *, missing=0.0, counts_absent=True, n_classes=3, factors=None, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    given = [scale * (rng.normal(size=(n, width)) + 3) for width in widths]
    present = rng.random((n, len(widths))) >= missing
    shares = present.mean(axis=0)
    blocks = Blocks(given, present, mean_rows(given, present, np.ones(n)), shares)
    loss = SoftmaxLoss(rng.integers(0, n_classes, n), rng.random(n) * (1 if counts_absent else present.all(axis=1)))
    factors = factors or dict.fromkeys(range(len(widths)), 1.0)
    problem = Problem(blocks, [loss], np.ones((1, 1)), [factors], n_classes, 0.7, counts_absent=counts_absent)
    zeroed = [np.where(p[:, None], block, 0.0) for p, block in zip(present.T, given, strict=True)]
    centred = [factors[m] * (block - block.mean(axis=0)) for m, block in enumerate(zeroed)]
    return problem, np.hstack([*centred, np.ones((n, 1))])


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize(("n", "widths"), [(30, (20, 25)), (80, (20, 25))])
def test_products_are_those_of_dense_matrices(n, widths, missing):
    problem, Z = make_problem(n, widths, missing=missing, factors={0: 0.5, 1: 2.0})
    rng = np.random.default_rng(1)
    part, rows = rng.normal(size=(3, 46)), rng.normal(size=(3, n))
    np.testing.assert_allclose(problem.blocks.images([(problem, part)])[0][0], part @ Z.T, atol=1e-10)
    np.testing.assert_allclose(problem.blocks.pulls([(problem, [rows])])[0], rows @ Z, atol=1e-10)
    np.testing.assert_allclose(problem.design(0), Z[:, :-1], atol=1e-10)
    single = problem.blocks.images([(problem, part.astype(np.float32))])[0][0]
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, part @ Z.T, rtol=1e-4, atol=1e-3)
    (found,) = problem.maps(part)
    changed = problem.parameters([found]) - part  # the intercepts, all of them alike
    np.testing.assert_allclose(changed, np.tile(changed.mean(axis=0), (3, 1)), atol=1e-9)


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize(("n", "widths"), [(30, (20, 25)), (80, (20, 25))])
def test_the_preconditioner_is_the_inverse_of_a_dense_matrix(n, widths, by_column, missing):
    problem, Z = make_problem(n, widths, missing=missing)
    curvatures = np.random.default_rng(2).random(n) + 0.1
    made = Preconditioner(problem, np.float64, by_column=by_column)
    made.update([curvatures])
    taken = _preconditioner._TYPICAL * curvatures
    matrix = np.diag(problem.penalty) + (Z.T * taken) @ Z
    matrix[-1, -1] += _preconditioner._INTERCEPT * taken.sum()
    gradient = np.random.default_rng(3).normal(size=(3, 46))
    np.testing.assert_allclose(made(gradient), np.linalg.solve(matrix, gradient.T).T, rtol=1e-7, atol=1e-8)
    made.update([1.1 * curvatures])  # near enough
    np.testing.assert_allclose(made(gradient), np.linalg.solve(matrix, gradient.T).T, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("n_sampled", [100, 400])
def test_some_of_the_rows_make_a_good_preconditioner(monkeypatch, n_sampled):
    """By Woodbury's identity, and with more of them than features."""
    monkeypatch.setattr(_blocks, "_SAMPLED_ROWS", n_sampled)
    rng = np.random.default_rng(0)
    block = rng.normal(size=(2000, 120)) * np.arange(1, 121) ** -1.0 @ rng.normal(size=(120, 120))
    ones = np.ones(2000)
    blocks = Blocks([block], np.ones((2000, 1), bool), [block.mean(axis=0)], np.ones(1))
    loss = SoftmaxLoss(np.zeros(2000, int), ones)
    problem = Problem(blocks, [loss], np.ones((1, 1)), [{0: 1.0}], 2, 1.0, counts_absent=True)
    made = Preconditioner(problem, np.float64)
    made.update([0.5 * ones / _preconditioner._TYPICAL])
    found = made(np.eye(121))[:120, :120]
    Z = block - block.mean(axis=0)
    hessian = np.eye(120) + 0.5 * Z.T @ Z
    values = np.linalg.eigvals(found @ hessian).real
    assert values.max() / values.min() < 0.02 * np.linalg.cond(hessian)


@pytest.mark.parametrize("n", [30, 300])
@pytest.mark.parametrize("by_column", [False, True])
def test_a_preconditioner_of_features_beyond_all_measure_exists(n, by_column):
    """Where the penalty is lost beside the curvature, as with features that nobody has scaled."""
    problem, _ = make_problem(n, (60,), scale=1e9)
    problem = _problem.RotatedProblem(problem)
    made = Preconditioner(problem, np.float64, by_column=by_column)
    gradient = np.random.default_rng(0).normal(size=(3, problem.size))
    for curvature in (1e-12, 1.0):
        made.update([np.full(n, curvature)])
        solved = made(gradient)
        assert np.isfinite(solved).all()
        assert (solved * gradient).sum() > 0


def test_a_matrix_that_is_no_number_has_no_factor():
    with pytest.raises(ValueError, match="not finite"):
        _preconditioner._factored(np.full((2, 2), np.nan))


def test_gradient_and_curvature_by_automatic_differentiation():
    """Two heads over two maps."""
    rng = np.random.default_rng(1)
    given = [rng.normal(size=(25, width)) for width in (40, 6)]
    labels, of_heads = rng.integers(0, 4, 25), rng.random((2, 25))
    mixing = np.array([[0.5, 0.5], [0.0, 1.0]])
    present = np.ones((25, 2), bool)
    blocks = Blocks(given, present, [block.mean(axis=0) for block in given], np.ones(2))
    losses = [SoftmaxLoss(labels, weights) for weights in of_heads]
    problem = Problem(blocks, losses, mixing, [{0: 1.0}, {1: 1.0}], 4, 0.3, counts_absent=True)
    centred = [torch.from_numpy(block - block.mean(axis=0)) for block in given]

    def value(part):
        first, one, second, other = part.split([40, 1, 6, 1], dim=1)
        maps = [centred[0] @ first.T + one.T, centred[1] @ second.T + other.T]
        heads = [0.5 * maps[0] + 0.5 * maps[1], maps[1]]
        rows = [torch.nn.functional.cross_entropy(h, torch.from_numpy(labels), reduction="none") for h in heads]
        total = sum((torch.from_numpy(w) * each).sum() for w, each in zip(of_heads, rows, strict=True))
        return total + 0.15 * (first.square().sum() + second.square().sum())

    part, change = 0.1 * rng.normal(size=(4, 48)), rng.normal(size=(4, 48))
    point = problem.point(part, problem.mix(blocks.images([(problem, part)])[0]))
    tensor = torch.from_numpy(part)
    assert point.value == pytest.approx(float(value(tensor)), rel=1e-12)
    (pulled,) = blocks.pulls([(problem, [combined(column, problem.residuals(point)) for column in mixing.T])])
    expected = torch.autograd.functional.jacobian(value, tensor).numpy()
    np.testing.assert_allclose(pulled + part * problem.penalty, expected, atol=1e-10)
    bend = torch.autograd.functional.hvp(value, tensor, torch.from_numpy(change))[1]
    images = problem.mix(blocks.images([(problem, change)])[0])
    found = problem.inner(change, change) + sum(
        loss.curvature_along(p, c) for loss, p, c in zip(losses, point.probabilities, images, strict=True)
    )
    assert found == pytest.approx(float((bend * torch.from_numpy(change)).sum()), rel=1e-10)


def test_the_curvature_of_a_row_is_the_mean_over_directions():
    rng = np.random.default_rng(0)
    p = softmax(rng.normal(size=(5, 7)), axis=0)
    found = SoftmaxLoss(np.zeros(7, int), np.full(7, 2.0)).row_curvatures(p)
    for row, value in zip(p.T, found, strict=True):
        matrix = 2.0 * (np.diag(row) - np.outer(row, row))
        assert value == pytest.approx(np.trace(matrix) / 4)


def test_a_bend_so_sharp_that_no_step_is_flat_is_passed():
    """Where nearly separated rows have large weights, the objective along a line is like two straight pieces."""
    emoji = load_emoji()
    rows = np.random.default_rng(0).permutation(len(emoji.target))[:120]
    X, y = ModalityScaler().fit_transform(emoji.data)[rows], emoji.target[rows]
    clf = fit(X, y, C=100.0)
    features = np.hstack(list(X.blocks.values())).astype(np.float64)
    codes = np.searchsorted(clf.classes_, y)
    peer = LogisticRegression(C=100.0, tol=1e-9, max_iter=100_000).fit(features, y)
    theirs = -100 * log_softmax(features @ peer.coef_.T + peer.intercept_, axis=1)[np.arange(120), codes].sum()
    assert objective(clf.module_.head.fused, features, codes, 100.0) <= (theirs + 0.5 * (peer.coef_**2).sum()) * (1 + 1e-6)


@pytest.mark.parametrize("tol", [1e-6, 1e-10])
def test_where_single_precision_gets_no_farther_double_goes_on(monkeypatch, tol):
    """A problem that single precision should not have been used for."""
    X, y = clusters(500, {"a": 60}, 5, scale=50.0)
    best = fit(X, y, tol=1e-12, C=100.0).loss_curve_[-1]
    monkeypatch.setattr(_fit, "_FEW_PRODUCTS", 0)
    monkeypatch.setattr(Problem, "is_precise_in", lambda self, dtype, curvatures: True)
    found = LateFusionClassifier(max_iter=5000, tol=tol, C=100.0).fit(X, y).loss_curve_[-1]
    assert best * (1 - 1e-9) <= found <= best * (1 + 5 * tol)


def test_a_start_that_is_worse_than_zero_is_not_taken():
    problem, _ = make_problem(200, (30,))
    problem.losses = [SoftmaxLoss(np.arange(200) % 3, np.ones(200))]
    far = 100.0 * np.arange(3)[:, None] * np.ones((1, 31))
    (solution,) = _lbfgs.solve([problem], [far], max_iter=100, tol=1e-8)
    assert solution.loss_curve[0] == pytest.approx(200 * np.log(3))
    assert solution.converged


def test_the_convex_heads_import_no_torch():
    code = """
import sys
import numpy as np
from skmmal.heads import NLGate
from skmmal.heads.convex import LabeledRows, LinearMap, fit_layers
from skmmal.heads._precision import warn_of_lost_digits
rng = np.random.default_rng(0)
X, y = rng.normal(size=(20, 3)), np.arange(20) % 2
layers = [LinearMap(np.zeros((2, 3)), np.zeros(2)) for _ in range(2)]
rows = LabeledRows([X], np.ones((20, 1), bool), y, np.ones(20))
fit_layers(layers, rows, np.ones((2, 2), bool), C=1.0, max_iter=100, tol=1e-8)
print("torch" in sys.modules, bool(np.abs(layers[0].weight).max() > 0))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_what_the_heads_export_is_there():
    assert {name for name in skmmal.heads.__all__ if getattr(skmmal.heads, name) is not None} <= set(dir(skmmal.heads))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = skmmal.heads.nonsense


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_blocks_of_any_number_type_are_read_in_chunks(monkeypatch, dtype):
    monkeypatch.setattr(_blocks, "_CHUNK", 7)
    blocks, y = make_blocks(n=50, widths={"a": 4})
    given = np.round(4 * blocks["a"]).astype(dtype)
    present = np.ones((50, 1), bool)
    found, expected = (fit_weighted([each], present, y, None)[0] for each in (given, given.astype(np.float64)))
    np.testing.assert_array_equal(found.weight, expected.weight)
