"""What each modality contributes, row by row: beside a forward pass for every coalition, as the literature has it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import factorial
from typing import Any

import numpy as np
import torch
from harness import Comparison, Side

from skmmal import LateFusionClassifier, MultimodalArray

ROWS_OF_A_PASS = 4096
"""Rows in a forward pass of the literature's way; more of them need more memory and are not faster."""


@dataclass(frozen=True)
class Problem:
    """A classifier with random weights, and rows."""

    classifier: LateFusionClassifier
    X: MultimodalArray


def comparisons(full: bool) -> list[Comparison]:
    """Two modalities, where a forward pass is what costs, and many, where the coalitions are."""
    two = (45_719, (2048, 768), 101) if full else (4_000, (512, 256), 50)
    many = (100_000, (64,) * 8, 300) if full else (2_000, (64,) * 8, 100)
    return [
        _comparison("Shapley values of two modalities", *two, once=1 if full else None),
        _comparison("Shapley values of eight modalities", *many, once=1 if full else None),
    ]


def _comparison(name: str, n_rows: int, widths: tuple[int, ...], n_classes: int, once: int | None) -> Comparison:
    size = f"{n_rows:,} rows, {len(widths)} modalities of {' + '.join(f'{w:,}' for w in widths)}, {n_classes} classes"
    return Comparison(
        name,
        size,
        partial(_problem, n_rows, widths, n_classes),
        (
            Side("skmmal", _ours),
            Side("a forward pass for every coalition", _forward_passes, once),
            Side("sums of partial logits, one softmax a coalition", _sums, once),
            Side("the products with the weights alone", _products),
        ),
        _check,
    )


def _problem(n_rows: int, widths: tuple[int, ...], n_classes: int) -> Problem:
    rng = np.random.default_rng(0)
    X = MultimodalArray({f"m{m}": rng.standard_normal((n_rows, w), dtype=np.float32) for m, w in enumerate(widths)})
    # what the weights are does not matter for the time: fitted on two rows of each class, then drawn
    classifier = LateFusionClassifier(C=1e-3).fit(X[: 2 * n_classes], np.arange(2 * n_classes) % n_classes)
    layer = classifier.module_.head.fused
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(2.0 / np.sqrt(sum(widths)) * rng.standard_normal(layer.weight.shape)))
    return Problem(classifier, X)


def _ours(problem: Problem) -> np.ndarray:
    return problem.classifier.shapley_values(problem.X)


def _layer(problem: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    layer = problem.classifier.module_.head.fused
    return layer.weight.detach(), layer.bias.detach()


def _rows(problem: Problem, start: int) -> list[torch.Tensor]:
    return [torch.from_numpy(block[start : start + ROWS_OF_A_PASS]).double() for block in problem.X.blocks.values()]


def _ways(n_modalities: int) -> list[float]:
    return [factorial(s) * factorial(n_modalities - s - 1) / factorial(n_modalities) for s in range(n_modalities)]


def _add(phi: torch.Tensor, coalition: int, value: torch.Tensor, ways: list[float]) -> None:
    """Count a coalition's value for its members, and take it off for the others."""
    members = [(coalition >> m) & 1 for m in range(phi.shape[1])]
    for m, member in enumerate(members):
        phi[:, m] += (ways[sum(members) - 1] if member else -ways[sum(members)]) * value


def _forward_passes(problem: Problem) -> np.ndarray:
    """Zero the features of the other modalities and predict again, for every coalition."""
    weight, bias = _layer(problem)
    n_modalities = len(problem.X.blocks)
    ways, found = _ways(n_modalities), []
    for start in range(0, len(problem.X), ROWS_OF_A_PASS):
        blocks = _rows(problem, start)
        target = torch.addmm(bias, torch.cat(blocks, dim=1), weight.T).argmax(dim=1, keepdim=True)
        phi = torch.zeros(len(target), n_modalities, dtype=torch.float64)
        for coalition in range(2**n_modalities):
            kept = [z if (coalition >> m) & 1 else torch.zeros_like(z) for m, z in enumerate(blocks)]
            logits = torch.addmm(bias, torch.cat(kept, dim=1), weight.T)
            _add(phi, coalition, torch.softmax(logits, dim=1).gather(1, target)[:, 0], ways)
        found.append(phi)
    return torch.cat(found).numpy()


def _sums(problem: Problem) -> np.ndarray:
    """One product a modality; every coalition adds up its members' logits."""
    weight, bias = _layer(problem)
    weights = weight.split([block.shape[1] for block in problem.X.blocks.values()], dim=1)
    n_modalities = len(weights)
    ways, found = _ways(n_modalities), []
    for start in range(0, len(problem.X), ROWS_OF_A_PASS):
        parts = [z @ w.T for z, w in zip(_rows(problem, start), weights, strict=True)]
        target = sum(parts, bias).argmax(dim=1, keepdim=True)
        phi = torch.zeros(len(target), n_modalities, dtype=torch.float64)
        for coalition in range(2**n_modalities):
            logits = sum((part for m, part in enumerate(parts) if (coalition >> m) & 1), bias.expand_as(parts[0]))
            _add(phi, coalition, torch.softmax(logits, dim=1).gather(1, target)[:, 0], ways)
        found.append(phi)
    return torch.cat(found).numpy()


def _products(problem: Problem) -> None:
    """One product of all features with all weights, which no way can do without."""
    weight, _ = _layer(problem)
    weights = weight.split([block.shape[1] for block in problem.X.blocks.values()], dim=1)
    for start in range(0, len(problem.X), ROWS_OF_A_PASS):
        for z, w in zip(_rows(problem, start), weights, strict=True):
            z @ w.T


def _check(results: dict[str, Any]) -> str:
    found = [phi for phi in results.values() if phi is not None]
    furthest = max(float(np.abs(phi - found[0]).max()) for phi in found[1:])
    assert furthest < 1e-12, f"the ways differ by {furthest}"
    return f"the three ways' values agree to {furthest:.0e}"
