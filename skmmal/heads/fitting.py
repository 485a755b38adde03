"""Fill a network's class layers from labelled rows: the convex solvers, classes without rows, warm starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.nn.functional import one_hot

from skmmal.heads import convex, lbfgs
from skmmal.heads.batches import Batches
from skmmal.heads.convex import LinearMap, warn_if_not_converged
from skmmal.heads.coordinates import Features, coordinates_of
from skmmal.heads.modules import UNSEEN_LOGIT, ConcatFusion, LateFusionModule, SumFusion

__all__ = ["continue_from", "fit_convex", "is_convex", "mute_unseen_classes", "wake_seen_classes"]

_MANY_PRODUCTS = 10**7
"""Rows × features × classes from which on L-BFGS is faster than Newton's method."""


def is_convex(module: LateFusionModule) -> bool:
    """Whether the objective is convex: linear heads on the features themselves."""
    # a learned embedding times its weights is not convex
    return module.is_linear and module.absent is None and type(module.head) in (ConcatFusion, SumFusion)


@torch.no_grad()
def fit_convex(
    module: LateFusionModule,
    data: Batches,
    seen: torch.Tensor,
    *,
    C: float,
    solver: str,
    max_iter: int,
    tol: float,
    warm: bool,
) -> tuple[int, list[float]]:
    """Solve for the head's weights; return the iterations (the most of any head) and the objective's curve.

    Parameters
    ----------
    module : LateFusionModule
        Its head is filled in; with `warm` its present weights are the starting point.
    data : Batches
        In float64, rows of weight zero left out.
    seen : bool tensor of shape (K,)
        Classes with rows. The others get probability zero.
    C, solver, max_iter, tol
        See `LateFusionClassifier`; ``solver="auto"`` is the faster of the two for the size.
    """
    head = module.head
    layers = [(layer, seen) for layer in head.class_layers()]
    classes = torch.nonzero(seen).squeeze(1)
    if len(classes) == 1:  # nothing to tell apart
        for layer, _ in layers:
            layer.weight.zero_()
            layer.bias.zero_()
        mute_unseen_classes(module, seen)
        return 1, [0.0]
    onehot = one_hot(torch.searchsorted(classes, data.labels), len(classes)).to(data.weights.dtype)
    # scikit-learn's two-class objective has one weight vector, the difference of ours
    l2 = 2.0 if len(seen) == 2 else 1.0
    blocks = module.embed(data.blocks, data.present)
    if solver == "auto":
        n_products = len(data) * sum(block.shape[1] for block in blocks) * len(classes)
        solver = "lbfgs" if n_products > _MANY_PRODUCTS else "newton-cg"
    solve = {"newton-cg": _by_newton, "lbfgs": _by_lbfgs}[solver](blocks, onehot, l2, max_iter=max_iter, tol=tol)
    solutions = []
    for task in _tasks(head, data, C):
        initial = [_read(layer, classes) for layer in task.layers] if warm else None
        solution = solve(task, initial)
        for layer, found in zip(task.layers, solution.maps, strict=True):
            _write(layer, classes, found)
        solutions.append(solution)
    mute_unseen_classes(module, seen)
    warn_if_not_converged(solutions, max_iter)
    length = max(len(solution.loss_curve) for solution in solutions)
    curves = [s.loss_curve + s.loss_curve[-1:] * (length - len(s.loss_curve)) for s in solutions]
    return max(solution.n_iter for solution in solutions), [sum(values) for values in zip(*curves, strict=True)]


@dataclass
class _Task:
    """Heads that are solved together.

    Parameters
    ----------
    layers : list of J nn.Linear
    chosen : list of J lists of int
        The blocks that each layer takes.
    row_weights : tensor of shape (H, n)
    mixing : tensor of shape (H, J)
    """

    layers: list[Any]
    chosen: list[list[int]]
    row_weights: torch.Tensor
    mixing: torch.Tensor


def _tasks(head: Any, data: Batches, C: float) -> list[_Task]:
    """With concat fusion the heads share nothing; with sum fusion the fused logits are the mean of the others."""
    weights = C * data.weights
    n_modalities = data.present.shape[1]
    by_modality = [weights * data.present[:, m] for m in range(n_modalities)]
    if isinstance(head, SumFusion):
        mean = weights.new_full((1, n_modalities), 1.0 / n_modalities)
        mixing = torch.cat([mean, torch.eye(n_modalities, dtype=weights.dtype, device=weights.device)])
        chosen = [[m] for m in range(n_modalities)]
        return [_Task([*head.unimodal], chosen, torch.stack([weights, *by_modality]), mixing)]
    alone = weights.new_ones(1, 1)
    tasks = [_Task([head.fused], [list(range(n_modalities))], weights[None], alone)]
    for m, (layer, own) in enumerate(zip(head.unimodal, by_modality, strict=True)):
        tasks.append(_Task([layer], [[m]], own[None], alone))
    return tasks


_Solve = Callable[[_Task, list[LinearMap] | None], convex.Solution]


def _by_newton(blocks: list[torch.Tensor], onehot: torch.Tensor, l2: float, **options: Any) -> _Solve:
    def solve(task: _Task, initial: list[LinearMap] | None) -> convex.Solution:
        rows = (task.row_weights > 0).any(dim=0)
        axes = [convex.PrincipalAxes(torch.cat([blocks[m][rows] for m in some], dim=1)) for some in task.chosen]
        problem = convex.LinearHeads(axes, onehot[rows], task.row_weights[:, rows], task.mixing, l2)
        return convex.solve(problem, initial=initial, **options)

    return solve


def _by_lbfgs(blocks: list[torch.Tensor], onehot: torch.Tensor, l2: float, **options: Any) -> _Solve:
    features = Features(blocks)  # what the heads share is computed once

    def solve(task: _Task, initial: list[LinearMap] | None) -> convex.Solution:
        maps = [coordinates_of(features, some) for some in task.chosen]
        problem = lbfgs.Objective(maps, onehot, task.row_weights, task.mixing, l2)
        return lbfgs.solve(problem, initial=initial, **options)

    return solve


def _read(layer: nn.Linear, classes: torch.Tensor) -> LinearMap:
    return LinearMap(layer.weight[classes].T, layer.bias[classes])


def _write(layer: nn.Linear, classes: torch.Tensor, found: LinearMap) -> None:
    layer.weight[classes] = found.weight.T
    layer.bias[classes] = found.intercept


@torch.no_grad()
def mute_unseen_classes(module: LateFusionModule, seen: torch.Tensor) -> None:
    """Give classes without rows probability zero in every head."""
    for layer in module.head.class_layers():
        layer.weight[~seen] = 0.0
        if layer.bias is not None:
            layer.bias[~seen] = UNSEEN_LOGIT


@torch.no_grad()
def wake_seen_classes(module: LateFusionModule, seen: torch.Tensor) -> None:
    """Let classes that were muted and now have rows start level with the least likely of the others."""
    for layer in module.head.class_layers():
        if layer.bias is None:
            continue
        muted = layer.bias <= UNSEEN_LOGIT / 2
        lowest = layer.bias[~muted].min() if (~muted).any() else layer.bias.new_zeros(())
        layer.bias[muted & seen] = lowest


def continue_from(former: LateFusionModule, former_classes: Any, module: LateFusionModule, classes: Any) -> None:
    """Start `module` from the weights of the last fit; classes are matched by label.

    Raises
    ------
    ValueError
        The networks differ in more than their classes.
    """
    if _shape(former) != _shape(module):
        raise ValueError(
            "warm_start=True, but the network's shape has changed since the last fit; set warm_start=False"
        )
    _copy_class_rows(former, module, pd.Index(classes).get_indexer(pd.Index(former_classes)).tolist())


def _shape(module: LateFusionModule) -> list:
    """What two networks must share to continue each other: all but the classes."""
    layers = module.head.class_layers()
    by_class = {id(p) for layer in layers for p in layer.parameters()}
    others = [(name, tuple(p.shape)) for name, p in module.named_parameters() if id(p) not in by_class]
    return [type(module.head), others, [layer.in_features for layer in layers]]


@torch.no_grad()
def _copy_class_rows(source: LateFusionModule, target: LateFusionModule, position: list[int]) -> None:
    """Copy all weights, and class k of `source` to class ``position[k]`` of `target` (−1: dropped)."""
    by_class = {id(p) for layer in target.head.class_layers() for p in layer.parameters()}
    for former, parameter in zip(source.parameters(), target.parameters(), strict=True):
        if id(parameter) not in by_class:
            parameter.copy_(former)
    kept = [k for k, at in enumerate(position) if at >= 0]
    places = [position[k] for k in kept]
    mute_unseen_classes(target, torch.zeros(target.head.n_classes, dtype=torch.bool))
    for old, new in zip(source.head.class_layers(), target.head.class_layers(), strict=True):
        new.weight[places] = old.weight[kept]
        if new.bias is not None:
            new.bias[places] = old.bias[kept]
