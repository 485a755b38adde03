"""Fitting the three heads: beside scikit-learn's three regressions, the paper's recipe in skorch, and a cold start."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from harness import Comparison, Side
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import MultiStepLR

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.datasets import load_emoji

RTOL = 1e-6
"""How far above the optimum the objective of each head may be."""
THEIR_TOL = 1e-6
"""Power of ten that brings scikit-learn's about that far, at the full size to 1e-6; its default ends at 4e-3."""
TIGHT = 1e-8
"""What ``tol="auto"`` means for small problems."""
ENOUGH = 1e-3
"""Tolerance below which test accuracies no longer change."""
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.01
"""Of the BMMAL paper's heads, and of skmmal's AdamW."""
RECIPES = {15: (10,), 45: (20, 30, 40)}
"""The BMMAL paper's epochs, 15 for Food101 and 45 for videos, and those after which the rate falls to a tenth."""
RECIPE_BATCH, BATCH_SIZE = 32, 128
"""The paper's, and skmmal's default."""
N_TEST = 2000


@dataclass
class Data:
    """Labelled rows, test rows, and for warm starts the model of the round before."""

    X: MultimodalArray
    y: np.ndarray
    X_test: MultimodalArray
    y_test: np.ndarray
    former: LateFusionClassifier | None = None


def make_data(n_rows: int, widths: tuple[int, int], n_classes: int) -> Data:
    """Clusters whose directions differ in variance as real features' do, the second modality the noisier one."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, n_rows + N_TEST)
    blocks = {}
    for name, width, signal in zip(("text", "image"), widths, (0.25, 0.2), strict=True):
        spread = np.arange(1, width + 1) ** -0.5
        centres = signal * rng.standard_normal((n_classes, width))
        points = (centres[y] + rng.standard_normal((len(y), width))) * spread
        blocks[name] = (points @ rng.standard_normal((width, width)) / np.sqrt(width)).astype(np.float32)
    X = MultimodalArray(blocks)
    X = ModalityScaler().fit(X[:n_rows]).transform(X)
    return Data(X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:])


def comparisons(full: bool) -> list[Comparison]:
    """Cold fits, the recipe in small batches, epochs, and the next round's fit."""
    n_rows, widths, n_classes = (7000, (768, 2048), 101) if full else (1000, (128, 384), 30)
    n_new, n_epochs = (500, 10) if full else (70, 40)
    size = f"{n_rows} x ({widths[0]} + {widths[1]}), {n_classes} classes"

    def make() -> Data:
        return make_data(n_rows, widths, n_classes)

    def next_round() -> Data:
        data = make_data(n_rows + n_new, widths, n_classes)
        data.former = LateFusionClassifier(warm_start=True).fit(data.X[:n_rows], data.y[:n_rows])
        return data

    return [
        Comparison(
            "three heads, cold",
            size,
            make,
            (
                Side("skmmal", lambda data: (data, fit_ours(data, tol=RTOL))),
                Side("LogisticRegression x 3", lambda data: (data, three_regressions(data, np.float64))),
                Side("LogisticRegression x 3, float32", lambda data: (data, three_regressions(data, np.float32))),
            ),
            same_objectives,
        ),
        *(
            Comparison(
                f"three heads, cold, emoji, {n_emoji} rows",
                f"{n_emoji} rows x (1280 + 384), 8 classes",
                lambda n=n_emoji: emoji_round(n),
                (
                    Side("skmmal", lambda data: (data, fit_ours(data, tol=RTOL))),
                    Side("LogisticRegression x 3", lambda data: (data, three_regressions(data, np.float64))),
                    Side("LogisticRegression x 3, float32", lambda data: (data, three_regressions(data, np.float32))),
                ),
                same_objectives,
            )
            for n_emoji in (400, 800, 1600)
        ),
        *(
            Comparison(
                f"against the paper's recipe, {n_recipe} epochs",
                f"{size}; {n_recipe} epochs of {RECIPE_BATCH} rows",
                make,
                (
                    Side("skmmal", lambda data: (data, fit_ours(data, tol=ENOUGH))),
                    Side(
                        "skorch, AdamW",
                        lambda data, n=n_recipe: (data, fit_skorch(data, n, RECIPE_BATCH, RECIPES[n])),
                        repeat=1,
                    ),
                ),
                no_less_accurate,
            )
            for n_recipe in RECIPES
        ),
        Comparison(
            "epochs in small batches",
            f"{size}; {n_epochs} epochs of {BATCH_SIZE} rows",
            make,
            (
                Side("skmmal", lambda data: (data, fit_batches(data, n_epochs))),
                Side("skorch, AdamW", lambda data: (data, fit_skorch(data, n_epochs)), repeat=1 if full else None),
            ),
            equally_accurate,
        ),
        Comparison(
            "next round's fit",
            f"{n_rows} + {n_new} rows x ({widths[0]} + {widths[1]}), {n_classes} classes",
            next_round,
            (
                Side("skmmal, warm", lambda data: fit_warm(data, tol=TIGHT)),
                Side("skmmal, cold", lambda data: (data, fit_ours(data, tol=TIGHT))),
            ),
            same_predictions,
        ),
        Comparison(
            "next round's fit, to where accuracy stays",
            f"{n_rows} + {n_new} rows x ({widths[0]} + {widths[1]}), {n_classes} classes",
            next_round,
            (
                Side("skmmal, warm", lambda data: fit_warm(data, tol=ENOUGH)),
                Side("skmmal, cold", lambda data: (data, fit_ours(data, tol=ENOUGH))),
            ),
            same_accuracies,
        ),
        Comparison(
            "next round's fit, emoji",
            "320 + 40 rows x (1280 + 384), 8 classes",
            emoji_round,
            (
                Side("skmmal, warm", lambda data: fit_warm(data, tol=TIGHT)),
                Side("skmmal, cold", lambda data: (data, fit_ours(data, tol=TIGHT))),
            ),
            same_predictions,
        ),
    ]


# ---------------------------------------------------------------------------------------------------------- sides


def fit_ours(data: Data, **params: Any) -> LateFusionClassifier:
    """All heads, to their optima."""
    return LateFusionClassifier(**params).fit(data.X, data.y)


def fit_warm(data: Data, **params: Any) -> tuple[Data, LateFusionClassifier]:
    """All heads, from the optima of the round before."""
    return data, copy.deepcopy(data.former).set_params(**params).fit(data.X, data.y)


def fit_batches(data: Data, n_epochs: int) -> LateFusionClassifier:
    """The paper's optimiser in skmmal."""
    return fit_ours(data, solver="adamw", max_iter=n_epochs, random_state=0)


def three_regressions(data: Data, dtype: type) -> list[LogisticRegression]:
    """The same heads, one after the other: fused, then the modalities' own."""
    blocks = [block.astype(dtype) for block in data.X.blocks.values()]
    return [
        LogisticRegression(tol=THEIR_TOL, max_iter=10_000).fit(features, data.y)
        for features in (np.hstack(blocks), *blocks)
    ]


class ThreeHeads(torch.nn.Module):
    """A linear head on both modalities and one on each."""

    def __init__(self, widths: list[int], n_classes: int) -> None:
        super().__init__()
        self.fused = torch.nn.Linear(sum(widths), n_classes)
        self.unimodal = torch.nn.ModuleList(torch.nn.Linear(width, n_classes) for width in widths)

    def forward(self, **blocks: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits of the fused head, and of the modalities' own."""
        own = [head(block) for head, block in zip(self.unimodal, blocks.values(), strict=True)]
        return self.fused(torch.cat(list(blocks.values()), dim=1)), *own


class MeanOfLosses(torch.nn.CrossEntropyLoss):
    """Mean of the heads' cross-entropies."""

    def forward(self, logits: tuple[torch.Tensor, ...], target: torch.Tensor) -> torch.Tensor:
        """Losses of all heads on a batch."""
        return torch.stack([super(MeanOfLosses, self).forward(each, target) for each in logits]).mean()


def fit_skorch(
    data: Data, n_epochs: int, batch_size: int = BATCH_SIZE, milestones: tuple[int, ...] = ()
) -> NeuralNetClassifier:
    """The paper's recipe in skorch: the mean of the cross-entropies, AdamW, small batches."""
    net = NeuralNetClassifier(
        ThreeHeads,
        module__widths=[block.shape[1] for block in data.X.blocks.values()],
        module__n_classes=int(data.y.max()) + 1,
        criterion=MeanOfLosses,
        optimizer=torch.optim.AdamW,
        lr=LEARNING_RATE,
        optimizer__weight_decay=WEIGHT_DECAY,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        max_epochs=n_epochs,
        train_split=None,
        verbose=0,
        predict_nonlinearity=None,
        callbacks=[("schedule", LRScheduler(MultiStepLR, milestones=list(milestones)))],
    )
    with torch.random.fork_rng(devices=[]):  # skorch draws from torch's global state: it is put back
        torch.random.default_generator.manual_seed(0)
        return net.fit(dict(data.X.blocks), data.y)


# --------------------------------------------------------------------------------------------------------- checks


def objective(features: np.ndarray, y: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> float:
    """Sum of losses plus half the squared weights, as scikit-learn's with C=1."""
    losses = -log_softmax(features @ weight.T + bias, axis=1)[np.arange(len(y)), y]
    return float(losses.sum() + 0.5 * (weight.astype(np.float64) ** 2).sum())


def same_objectives(results: dict[str, Any]) -> str:
    """Our heads are within RTOL of the optimum (from a far smaller tolerance), scikit-learn's within twice that."""
    data, _ = next(iter(results.values()))
    best = linear_layers(fit_ours(data, tol=1e-10))
    blocks = [block.astype(np.float64) for block in data.X.blocks.values()]
    everything = (np.hstack(blocks), *blocks)
    optimum = [objective(features, data.y, *head) for features, head in zip(everything, best, strict=True)]
    said = []
    for label, (_, model) in results.items():
        heads = linear_layers(model) if label == "skmmal" else [(each.coef_, each.intercept_) for each in model]
        found = [objective(features, data.y, *head) for features, head in zip(everything, heads, strict=True)]
        worst = max(a / b - 1 for a, b in zip(found, optimum, strict=True))
        assert worst <= (RTOL if label == "skmmal" else 2 * RTOL), (label, worst)
        said.append(f"{label} {worst:.1e}")
    accuracy = best_accuracy(data, best[0])
    return f"worst head's objective above the optimum: {', '.join(said)}; fused test accuracy {accuracy:.3f}"


def linear_layers(model: LateFusionClassifier) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and intercepts: fused, then the modalities'."""
    head = model.module_.head
    return [(each.weight.detach().numpy(), each.bias.detach().numpy()) for each in (head.fused, *head.unimodal)]


def best_accuracy(data: Data, head: tuple[np.ndarray, np.ndarray]) -> float:
    """Of a fused head on the test rows."""
    features = np.hstack(list(data.X_test.blocks.values()))
    return float(((features @ head[0].T + head[1]).argmax(axis=1) == data.y_test).mean())


def accuracies(results: dict[str, Any]) -> tuple[float, float]:
    """Test accuracy of the fused head of skmmal and of skorch's network."""
    data, ours = results["skmmal"]
    theirs = results["skorch, AdamW"][1]
    predicted = theirs.forward(dict(data.X_test.blocks))[0].argmax(dim=1).numpy()
    return float(ours.score(data.X_test, data.y_test)), float((predicted == data.y_test).mean())


def no_less_accurate(results: dict[str, Any]) -> str:
    """The optimum is at least as accurate as what the recipe ends at, up to five thousandths."""
    ours, theirs = accuracies(results)
    assert ours >= theirs - 0.005, (ours, theirs)
    return f"test accuracy of the fused head: skmmal {ours:.3f}, skorch {theirs:.3f}"


def equally_accurate(results: dict[str, Any]) -> str:
    """Both did the same training, from different initial weights."""
    ours, theirs = accuracies(results)
    assert abs(ours - theirs) < 0.08, (ours, theirs)
    return f"test accuracy of the fused head: skmmal {ours:.3f}, skorch {theirs:.3f}"


def same_predictions(results: dict[str, Any]) -> str:
    """Warm and cold reach the same optimum."""
    (data, warm), (_, cold) = results.values()
    difference = float(np.abs(warm.predict_proba(data.X_test) - cold.predict_proba(data.X_test)).max())
    assert difference < 1e-3, difference
    assert warm.loss_curve_[-1] <= cold.loss_curve_[-1] * (1 + 2e-8)
    iterations = f"{warm.n_iter_} and {cold.n_iter_} iterations"
    return f"largest difference of a test probability {difference:.0e}; {iterations}"


def same_accuracies(results: dict[str, Any]) -> str:
    """Warm and cold are as accurate, up to five thousandths."""
    (data, warm), (_, cold) = results.values()
    found = [model.score(data.X_test, data.y_test) for model in (warm, cold)]
    assert abs(found[0] - found[1]) < 0.005, found
    iterations = f"{warm.n_iter_} and {cold.n_iter_} iterations"
    return f"test accuracy of the fused head: warm {found[0]:.3f}, cold {found[1]:.3f}; {iterations}"


def emoji_round(n_rows: int = 360) -> Data:
    """A round of active learning on real features."""
    emoji = load_emoji()
    order = np.random.default_rng(0).permutation(len(emoji.target))
    X, y = ModalityScaler().fit_transform(emoji.data)[order], emoji.target[order]
    former = LateFusionClassifier(warm_start=True).fit(X[: n_rows - 40], y[: n_rows - 40])
    return Data(X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:], former)
