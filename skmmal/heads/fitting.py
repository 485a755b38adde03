"""Fill a network's class layers from labelled rows by the convex solvers: which heads are solved together, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from skmmal.heads import convex, lbfgs
from skmmal.heads.axes import PrincipalAxes, weighted_mean
from skmmal.heads.batches import Batches, mean_row
from skmmal.heads.classes import mute_unmet_classes
from skmmal.heads.convex import OUT_OF_REACH, LinearMap, Solution, warn_if_not_converged
from skmmal.heads.coordinates import Features, coordinates_of
from skmmal.heads.modules import ConcatFusion, LateFusionModule, SumFusion

__all__ = ["fit_convex", "is_convex"]

_MANY_PRODUCTS = 10**7
"""Rows × features × classes from which on L-BFGS is faster than Newton's method."""
_FEW_PRODUCTS = 10**5
"""Rows × features × classes up to which the last digits of the optimum cost next to nothing."""


def is_convex(module: LateFusionModule) -> bool:
    """Whether the objective is convex: linear heads on the features themselves."""
    # a learned embedding times its weights is not convex
    return module.is_linear and module.absent is None and type(module.head) in (ConcatFusion, SumFusion)


@torch.no_grad()
def fit_convex(
    module: LateFusionModule,
    data: Batches,
    met: torch.Tensor,
    *,
    C: float,
    solver: str,
    max_iter: int,
    tol: float,
    warm: bool,
    anchor: LateFusionModule | None = None,
    anchored: torch.Tensor | None = None,
) -> tuple[int, list[float]]:
    """Solve for the head's weights; return the iterations (the most of any head) and the objective's curve.

    Parameters
    ----------
    module : LateFusionModule
        Its head is filled in; with `warm` its present weights are the starting point.
    data : Batches
        In float64, rows of weight zero left out.
    met : bool tensor of shape (M + 1, K)
        Which classes each head knows, the fused head first. The others get probability zero there.
    C, solver, max_iter, tol
        See `LateFusionClassifier`; ``solver="auto"`` is the faster of the two for the size.
    warm : bool
    anchor : LateFusionModule, optional
        Weights that the penalty pulls towards, and logits of its mean row (`centre`): intercepts are not free then.
    anchored : bool tensor of shape (M + 1, K), optional
        Which classes each of the anchor's heads knows; it pulls the others towards zero.
    """
    blocks = module.embed(data.blocks, data.present)
    n_products = len(data) * sum(block.shape[1] for block in blocks) * int(met[0].sum())
    if solver == "auto":
        solver = "lbfgs" if n_products > _MANY_PRODUCTS else "newton-cg"
    options = {"max_iter": max_iter, "tol": tol, "polish": n_products <= _FEW_PRODUCTS}
    solve = {"newton-cg": _by_newton, "lbfgs": _by_lbfgs}[solver](blocks, options)
    tasks = _tasks(module.head, data, met, C)
    if anchor is not None and anchored is not None:
        centre = mean_row(data) if anchor.centre is None else anchor.centre
        centres = centre.split([block.shape[1] for block in blocks])
        for task, former in zip(tasks, _tasks(anchor.head, data, met, C), strict=True):
            known = anchored[task.head][task.classes]
            task.anchor = [_centred(_read(layer, task.classes), known) for layer in former.layers]
            task.centres = [torch.cat([centres[m] for m in some]) for some in task.chosen]
    solutions = []
    for task in tasks:
        start = [_read(layer, task.classes) for layer in task.layers] if warm else None
        found = solve(task, _to_anchor(task, start)) if task.is_needed else _nothing(task)
        solution = _from_anchor(task, found)
        for layer, new in zip(task.layers, solution.maps, strict=True):
            _write(layer, task.classes, new)
        solutions.append(solution)
    mute_unmet_classes(module, met)
    warn_if_not_converged(solutions, max_iter)
    length = max(len(solution.loss_curve) for solution in solutions)
    curves = [s.loss_curve + s.loss_curve[-1:] * (length - len(s.loss_curve)) for s in solutions]
    return max(solution.n_iter for solution in solutions), [sum(values) for values in zip(*curves, strict=True)]


@dataclass
class _Task:
    """Heads that are solved together.

    Parameters
    ----------
    head : int
        The first of the heads: 0 is the fused one.
    layers : list of J nn.Linear
    chosen : list of J lists of int
        The blocks that each layer takes.
    classes : int tensor of shape (k,)
        Those that any of the heads knows.
    known : bool tensor of shape (H, k)
        Which of them each head knows.
    onehot : tensor of shape (n, k)
    row_weights : tensor of shape (H, n)
    mixing : tensor of shape (H, J)
    anchor : list of J LinearMap, optional
        What the penalty pulls towards. Learned are then, in place of weights and free intercepts, the change of the
        weights and, below it, that of the logits of the mean row.
    centres : list of J tensors of shape (D,), optional
        That row.
    """

    head: int
    layers: list[Any]
    chosen: list[list[int]]
    classes: torch.Tensor
    known: torch.Tensor
    onehot: torch.Tensor
    row_weights: torch.Tensor
    mixing: torch.Tensor
    anchor: list[LinearMap] | None = None
    centres: list[torch.Tensor] = field(default_factory=list)

    @property
    def l2(self) -> float:
        """Strength of the penalty: scikit-learn's two-class objective has one weight vector, the difference of ours."""
        return 2.0 if len(self.classes) == 2 else 1.0

    @property
    def rows(self) -> torch.Tensor:
        """Which rows count, (n,)."""
        return (self.row_weights > 0).any(dim=0)

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to tell apart, and a row to learn it from."""
        return len(self.classes) > 1 and bool(self.rows.any())

    @property
    def map_weights(self) -> torch.Tensor:
        """Weights of the rows for each map, (J, n)."""
        return self.mixing.T @ self.row_weights


def _tasks(head: Any, data: Batches, met: torch.Tensor, C: float) -> list[_Task]:
    """With concat fusion the heads share nothing; with sum fusion the fused logits are the mean of the others."""
    weights = C * data.weights
    n_modalities = data.present.shape[1]
    by_modality = [weights * data.present[:, m] for m in range(n_modalities)]

    def task(first: int, n_heads: int, layers: list, chosen: list, row_weights: list, mixing: torch.Tensor) -> _Task:
        classes = torch.nonzero(met[first]).squeeze(1)
        known = met[first : first + n_heads, classes]
        # an absent row's class may be none of an own head's: it is a row of zeros, of weight zero
        onehot = (data.labels[:, None] == classes).to(weights.dtype)
        return _Task(first, layers, chosen, classes, known, onehot, torch.stack(row_weights), mixing)

    if isinstance(head, SumFusion):
        mean = weights.new_full((1, n_modalities), 1.0 / n_modalities)
        mixing = torch.cat([mean, torch.eye(n_modalities, dtype=weights.dtype, device=weights.device)])
        chosen = [[m] for m in range(n_modalities)]
        return [task(0, 1 + n_modalities, [*head.unimodal], chosen, [weights, *by_modality], mixing)]
    alone = weights.new_ones(1, 1)
    tasks = [task(0, 1, [head.fused], [list(range(n_modalities))], [weights], alone)]
    for m, (layer, own) in enumerate(zip(head.unimodal, by_modality, strict=True)):
        tasks.append(task(m + 1, 1, [layer], [[m]], [own], alone))
    return tasks


def _nothing(task: _Task) -> Solution:
    """Weights of zero: one class has probability one, and without rows all classes are alike."""
    more, k = int(task.anchor is not None), len(task.classes)
    maps = [
        LinearMap(layer.weight.new_zeros(layer.in_features + more, k), layer.bias.new_zeros(k)) for layer in task.layers
    ]
    return Solution(maps, 0.0, 1, [0.0], True)


_Solve = Callable[[_Task, list[LinearMap] | None], Solution]


def _by_newton(blocks: list[torch.Tensor], options: dict[str, Any]) -> _Solve:
    def solve(task: _Task, initial: list[LinearMap] | None) -> Solution:
        rows = task.rows
        row_weights = task.row_weights[:, rows]
        axes = []
        for j, weights in enumerate(task.map_weights[:, rows]):
            features = torch.cat(_inputs(blocks, task, j, rows), dim=1)
            mean = weighted_mean(features, weights) if task.anchor is None else None
            axes.append(PrincipalAxes(features, mean, stiffness=_largest(row_weights) / task.l2))
        problem = convex.LinearHeads(
            axes, task.onehot[rows], row_weights, task.mixing, task.l2, _offset(blocks, task, rows), task.anchor is None
        )
        return convex.solve(problem, initial=initial, **options)

    return solve


def _by_lbfgs(blocks: list[torch.Tensor], options: dict[str, Any]) -> _Solve:
    shared: list[Features] = []  # of all rows: what the heads share is computed once

    def features_of(task: _Task, rows: torch.Tensor) -> tuple[Features, list[list[int]]]:
        if task.anchor is None and bool(rows.all()):
            if not shared:
                shared.append(Features(blocks, task.row_weights[0]))
            return shared[0], task.chosen
        given: list[torch.Tensor] = []
        chosen: list[list[int]] = []
        for j in range(len(task.chosen)):
            own = _inputs(blocks, task, j, rows)
            chosen.append(list(range(len(given), len(given) + len(own))))
            given += own
        return Features(given, task.row_weights.sum(dim=0)[rows], centred=task.anchor is None), chosen

    def solve(task: _Task, initial: list[LinearMap] | None) -> Solution:
        rows = task.rows
        row_weights = task.row_weights[:, rows]
        features, chosen = features_of(task, rows)
        maps = [coordinates_of(features, some, _largest(row_weights) / task.l2) for some in chosen]
        offset = _offset(blocks, task, rows)
        problem = lbfgs.Objective(
            maps, task.onehot[rows], row_weights, task.mixing, task.l2, offset, intercepts=task.anchor is None
        )
        return lbfgs.solve(problem, initial=initial, **options)

    return solve


def _largest(row_weights: torch.Tensor) -> float:
    return float(row_weights.max()) if row_weights.numel() else 0.0


def _inputs(blocks: list[torch.Tensor], task: _Task, j: int, rows: torch.Tensor) -> list[torch.Tensor]:
    """What map j takes of some rows; with an anchor less its mean row, and with a column of ones."""
    own = [blocks[m][rows] for m in task.chosen[j]]
    if task.anchor is None:
        return own
    centres = task.centres[j].split([block.shape[1] for block in own])
    return [*(block - centre for block, centre in zip(own, centres, strict=True)), torch.ones_like(own[0][:, :1])]


def _offset(blocks: list[torch.Tensor], task: _Task, rows: torch.Tensor) -> list[torch.Tensor] | None:
    """What stands beside the logits that are learned: those of the anchor, and which classes a head does not know."""
    if task.anchor is None and bool(task.known.all()):
        return None
    barred = task.row_weights.new_zeros(task.known.shape).masked_fill_(~task.known, OUT_OF_REACH)
    if task.anchor is None:
        return list(barred[:, None])
    images = [
        torch.cat([blocks[m][rows] for m in some], dim=1) @ each.weight + each.intercept
        for some, each in zip(task.chosen, task.anchor, strict=True)
    ]
    return [
        sum(c * image for c, image in zip(mix, images, strict=True)) + bar
        for mix, bar in zip(task.mixing, barred, strict=True)
    ]


def _to_anchor(task: _Task, maps: list[LinearMap] | None) -> list[LinearMap] | None:
    """Maps as what is learned (see `_Task`)."""
    if task.anchor is None or maps is None:
        return maps
    found = []
    for m, at, centre in zip(maps, task.anchor, task.centres, strict=True):
        change = m.weight - at.weight
        of_mean_row = m.intercept - at.intercept + centre @ change
        found.append(LinearMap(torch.cat([change, of_mean_row[None]]), torch.zeros_like(of_mean_row)))
    return found


def _from_anchor(task: _Task, solution: Solution) -> Solution:
    """Invert `_to_anchor` in what the solver found."""
    if task.anchor is not None:
        solution.maps = [
            LinearMap(at.weight + m.weight[:-1], at.intercept + m.weight[-1] - centre @ m.weight[:-1])
            for m, at, centre in zip(solution.maps, task.anchor, task.centres, strict=True)
        ]
    return solution


def _centred(given: LinearMap, known: torch.Tensor) -> LinearMap:
    """A map less its mean over the classes it knows, which changes no probability; zero for the others.

    A class that is new is then anchored at the mean logit of the others.
    """
    known = known.to(given.weight.dtype)
    n_known = known.sum().clamp_min(1.0)
    weight = (given.weight - (given.weight @ known / n_known)[:, None]) * known
    return LinearMap(weight, (given.intercept - given.intercept @ known / n_known) * known)


def _read(layer: nn.Linear, classes: torch.Tensor) -> LinearMap:
    return LinearMap(layer.weight[classes].T, layer.bias[classes])


def _write(layer: nn.Linear, classes: torch.Tensor, found: LinearMap) -> None:
    layer.weight[classes] = found.weight.T
    layer.bias[classes] = found.intercept
