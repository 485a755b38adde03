"""Directions that are small beside an offset or beside other columns: the convex solver finds the optimum all the same."""

import warnings

import numpy as np
import pytest
import torch
from dense import head_optima
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.heads._modules import linear_layer
from skmmal.heads.convex._blocks import Blocks, mean_rows
from skmmal.heads.convex._losses import SoftmaxLoss
from skmmal.heads.convex._problem import Problem, RotatedProblem

SOLVERS = ["newton-cg", "lbfgs"]


def overlapping(n=160, widths=(4, 3), n_classes=3, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    blocks = {}
    for name, width in zip("ab", widths, strict=True):
        blocks[name] = rng.normal(size=(n_classes, width))[y] + rng.normal(size=(n, width))
    if missing:
        blocks["a"][rng.random(n) < missing] = np.nan
    return blocks, y


def objective(weight, intercept, features, y, C=1.0):
    """scikit-learn's, with one row of weights for two classes."""
    log_p = log_softmax(features @ weight.T + intercept, axis=1)[np.arange(len(y)), y]
    return -C * log_p.sum() + (1.0 if len(weight) == 2 else 0.5) * (weight**2).sum()


def of_peer(features, y, C=1.0):
    peer = LogisticRegression(C=C, tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(features, y)
    if len(peer.coef_) == 1:
        weight, intercept = np.vstack([-peer.coef_, peer.coef_]) / 2, np.append(-peer.intercept_, peer.intercept_) / 2
    else:
        weight, intercept = peer.coef_, peer.intercept_
    return objective(weight, intercept, features, y, C)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("offset", [1e3, 1e7, -1.7e9])
@pytest.mark.parametrize(("widths", "n_classes"), [((4, 3), 3), ((4, 3), 2), ((60, 50), 3)])
def test_an_offset_loses_no_direction(solver, offset, widths, n_classes):
    """Every head, in the given coordinates, is as good as LogisticRegression on centred features."""
    blocks, y = overlapping(100 if widths[0] > 50 else 160, widths, n_classes)
    blocks["a"][:, 0] += offset  # also carries signal
    blocks["b"] += offset / 10
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = LateFusionClassifier(solver=solver, max_iter=2000).fit(MultimodalArray(blocks), y)
    head = clf.module_.head
    both = np.hstack([blocks["a"], blocks["b"]])
    for layer, features in zip([head.fused, *head.unimodal], [both, blocks["a"], blocks["b"]], strict=True):
        weight, intercept = (each.detach().numpy() for each in (layer.weight, layer.bias))
        # products of 1e9 have seven digits behind the point left
        assert objective(weight, intercept, features, y) == pytest.approx(
            of_peer(features - features.mean(axis=0), y), rel=1e-6
        )


def test_unix_times_beside_the_signal():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    X = np.c_[1.7e9 + 3e7 * rng.random(300), rng.normal(size=300) + 3 * y]
    peer = LogisticRegression().fit((X - X.mean(axis=0)) / X.std(axis=0), y).score((X - X.mean(axis=0)) / X.std(axis=0), y)
    for solver in SOLVERS:
        clf = LateFusionClassifier(solver=solver, max_iter=2000).fit(X, y)
        assert clf.score(X, y) > peer - 0.02


@pytest.mark.parametrize("fusion", ["concat", "sum"])
@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(
    ("offset", "scale", "missing", "n_classes"),
    [(0.0, 1e-6, 0.3, 3), (1e7, 1e6, 0.0, 3), (1e7, 1.0, 0.3, 2), (1e9, 1e-3, 0.0, 20), (1e3, 1e3, 0.3, 5)],
)
def test_the_optimum_is_that_of_dense_matrices(fusion, C, offset, scale, missing, n_classes):
    blocks, y = overlapping(120, (4, 3), n_classes, missing=missing)
    blocks["a"][:, 0] += offset
    blocks["b"][:, 1] *= scale
    weights = np.random.default_rng(1).integers(0, 3, 120).astype(float)
    clf = LateFusionClassifier(fusion=fusion, C=C, max_iter=5000)
    found = clf.fit(MultimodalArray(blocks), y, weights, classes=range(n_classes)).loss_curve_[-1]
    assert found == pytest.approx(sum(head_optima(list(blocks.values()), y, weights, fusion=fusion, C=C)), rel=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_rows_without_the_modality_are_zeros_in_the_given_coordinates(solver):
    """Centring is the solver's own business: the objective is that of zeros where the block with the offset is absent."""
    blocks, y = overlapping(missing=0.3)
    blocks["a"] += 50.0
    clf = LateFusionClassifier(solver=solver, C=0.5).fit(MultimodalArray(blocks), y)
    features = np.hstack([np.nan_to_num(blocks["a"]), blocks["b"]])
    weight, intercept = (each.detach().numpy() for each in (clf.module_.head.fused.weight, clf.module_.head.fused.bias))
    assert objective(weight, intercept, features, y, 0.5) == pytest.approx(of_peer(features, y, 0.5), rel=1e-8)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(30, 80), (80, 30)])
def test_rotated_problems_keep_directions_that_squares_would_lose(shape, missing):
    rng = np.random.default_rng(0)
    X = rng.normal(size=shape)
    X[:, 0] *= 1e9
    there = (rng.random((shape[0], 1)) >= missing) & np.ones((1, 2), bool)
    there[:, 1] = True
    given = [X, rng.normal(size=(shape[0], 3))]
    weights = np.ones(shape[0])
    means = mean_rows(given, there, weights)
    blocks = Blocks(given, there, means, there.mean(axis=0))
    losses = [SoftmaxLoss(rng.integers(0, 2, shape[0]), weights)]
    problem = Problem(blocks, losses, np.ones((1, 1)), [{0: 1.0, 1: 0.5}], 2, 1.0, counts_absent=True)
    rotated = RotatedProblem(problem)
    part = rng.normal(size=(2, rotated.size))
    back = rotated.turned_back(part)
    np.testing.assert_allclose(rotated.turned(back), part, rtol=1e-6, atol=1e-6)
    assert rotated.inner(part, part) == pytest.approx(problem.inner(back, back))
    (image,) = rotated.blocks.images([(rotated, part)])[0]
    (expected,) = blocks.images([(problem, back)])[0]
    np.testing.assert_allclose(image, expected, rtol=1e-6, atol=1e-5)
    zeroed = np.where(there[:, :1], X, 0.0)
    together = np.hstack([zeroed - zeroed.mean(axis=0), 0.5 * (given[1] - means[1])])
    np.testing.assert_allclose(expected, back[:, :-1] @ together.T + back[:, -1:], rtol=1e-6, atol=1e-5)


def test_digits_that_the_dtype_has_lost_are_named():
    blocks, y = overlapping()
    blocks["b"][:, 2] = 1e9 + 30 * blocks["b"][:, 2]
    rounded = MultimodalArray({name: block.astype(np.float32) for name, block in blocks.items()})
    with pytest.warns(UserWarning, match=r"modality 'b': column 2 has mean 1e\+09 .* 64 apart in float32: .* is lost") as caught:
        LateFusionClassifier().fit(rounded, y)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=r"apart in float32, in which this solver computes.*ModalityScaler"):
        LateFusionClassifier(solver="adamw", max_iter=1, random_state=0).fit(MultimodalArray(blocks), y)
    whole = {name: np.round(block).astype(np.int64) for name, block in blocks.items()}
    constant = {**blocks, "c": np.full((160, 1), 5.1, dtype=np.float32)}
    with pytest.warns(UserWarning, match=r"modality 'c': column 0 has mean 1e\+09 and standard deviation 0"):
        LateFusionClassifier().fit(MultimodalArray({**blocks, "c": np.full((160, 1), 1e9, dtype=np.float32)}), y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for good in (blocks, whole, constant):
            LateFusionClassifier().fit(MultimodalArray(good), y)


@pytest.mark.parametrize("shape", [(7, 5), (7, 2, 5), (0, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_say_the_same_whether_they_learn_or_not(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    layer = linear_layer(5, 3, generator).to(dtype)
    values = torch.rand(shape, generator=generator, dtype=dtype, requires_grad=True)
    learning = layer(values).detach()
    with torch.no_grad():
        torch.testing.assert_close(layer(values), learning)
    with torch.inference_mode():
        torch.testing.assert_close(layer(values), learning)
