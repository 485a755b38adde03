"""The convex case with many rows: preconditioned L-BFGS, mostly in single precision.

The objective is that of `skmmal.heads.convex`; the optimum is unique, so both solvers find the same one. Here no
eigenvectors are needed: the preconditioner is about ``l2 + c ZᵀZ``, the Hessian if all rows and classes had the same
curvature c. Iterations are made in single precision as long as that is good enough to get on; where the tolerance is
small, double precision has the last word on whether the optimum is reached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from skmmal.heads.convex import POLISHED, LinearMap, Solution
from skmmal.heads.coordinates import Coordinates

Tensors = list[torch.Tensor]

_MEMORY = 6
"""Steps that L-BFGS remembers; more hardly help with this preconditioner."""
_FLATTER = 0.05
"""How much flatter than its start the end of a step must be; a step along a line costs little."""
_MOST_LENGTHS = 40
"""Steps along a line that are tried; the farthest that still goes down is taken if none is flat enough."""
_TYPICAL = 0.35
"""What the preconditioner takes of the mean curvature, which a few rows make large."""
_STALE = 2.0
"""The preconditioner is made anew when the curvature has changed by that factor."""
_FLAT = 1e-12
"""Least mean curvature that is reckoned with."""
_SINGLE_TOL = 1e-7
"""Smallest tolerance for which the word of single precision is taken."""
_SINGLE_ROUNDING = 1e-9
"""Distance from the optimum, relative to the objective, down to which iterations are made in single precision."""
_SAFETY = 4.0
"""How much farther off the optimum may be than is reckoned from the decrements."""
_PACE = 8
"""Least number of iterations over which the decrements' fall is measured; it is the last quarter of many."""
_STALL = 20
"""Iterations without a lower decrement after which single precision is taken to be at its end."""
_SLOWEST = 0.998
"""Largest share of a decrement that the next one is taken to be."""


@dataclass
class Vector:
    """Coordinates of all maps, each followed by its intercept, (P, K); inner products are ``part · dual``."""

    part: torch.Tensor
    dual: torch.Tensor

    def dot(self, part: torch.Tensor) -> float:
        """Inner product with a vector of which only the coordinates are known."""
        return float(torch.dot(self.dual.view(-1), part.view(-1)))

    def times(self, factor: float) -> Vector:
        """``factor · self``."""
        part = factor * self.part
        return Vector(part, part if self.dual is self.part else factor * self.dual)

    def plus(self, length: float, other: Vector) -> Vector:
        """``self + length · other``."""
        part = torch.add(self.part, other.part, alpha=length)
        same = self.dual is self.part and other.dual is other.part
        return Vector(part, part if same else torch.add(self.dual, other.dual, alpha=length))


@dataclass
class Point:
    """Parameters and what follows from them without another product with the features."""

    parameters: Vector
    logits: Tensors
    value: float
    probabilities: Tensors
    residuals: Tensors


class Objective:
    """The objective, its gradient and its curvature.

    Parameters
    ----------
    maps : list of J Coordinates
    onehot : tensor of shape (n, K)
    row_weights : tensor of shape (H, n)
        C × sample weight; zero where a head does not see a row.
    mixing : tensor of shape (H, J)
        c_hj.
    l2 : float
    offset : list of H tensors of shape (n, K) or (1, K), optional
        Fixed logits, and which classes a head does not know, as in `skmmal.heads.convex.LinearHeads`.
    intercepts : bool, default=True
        Whether there are intercepts; otherwise they are held at zero.

    Notes
    -----
    Everything is of the dtype of `row_weights`.
    """

    def __init__(
        self,
        maps: list[Coordinates],
        onehot: torch.Tensor,
        row_weights: torch.Tensor,
        mixing: torch.Tensor,
        l2: float,
        offset: Tensors | None = None,
        intercepts: bool = True,
    ) -> None:
        self.coordinates, self.l2, self.dtype = maps, l2, row_weights.dtype
        self._given = onehot, row_weights, mixing
        self._offset, self._intercepts = offset, intercepts
        self._mixing, self._n_classes = mixing, onehot.shape[1]
        self._single_head = mixing.numel() == 1
        self._weights = [weights[:, None] for weights in row_weights]
        self._targets = [weights * onehot for weights in self._weights]
        self._sizes = [size for each in maps for size in (each.size, 1)]
        self._penalty = row_weights.new_full((sum(self._sizes), 1), l2)
        self._penalty[torch.tensor(self._sizes).cumsum(0)[1::2] - 1] = 0.0
        self.curvature = [0.0] * len(maps)

    # ------------------------------------------------------------------------------- between maps and heads

    def _pieces(self, part: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        pieces = part.split(self._sizes)
        return list(zip(pieces[::2], pieces[1::2], strict=True))

    def _mix(self, images: Tensors) -> Tensors:
        if self._single_head:
            return images
        return [sum(c * image for c, image in zip(row, images, strict=True)) for row in self._mixing]

    def images(self, vector: Vector) -> Tensors:
        """Changes (n, K) of the heads' logits along a vector."""
        found = []
        for each, (part, intercept), (dual, _) in zip(
            self.coordinates, self._pieces(vector.part), self._pieces(vector.dual), strict=True
        ):
            found.append((dual if each.dual_is_image else each.image(part)) + intercept)
        return self._mix(found)

    def _pull(self, per_head: Tensors) -> torch.Tensor:
        """Coordinates of the gradient of Σ_h <per_head_h, logits_h>."""
        parts = []
        for j, each in enumerate(self.coordinates):
            total = (
                per_head[0]
                if self._single_head
                else sum(c * rows for c, rows in zip(self._mixing[:, j], per_head, strict=True))
            )
            slope = total.sum(dim=0, keepdim=True)
            parts += [each.pull(total), slope if self._intercepts else torch.zeros_like(slope)]
        return torch.cat(parts)

    # ------------------------------------------------------------------------------------------- the objective

    def zeros(self) -> Vector:
        """Parameters that are all zero."""
        nothing = self._penalty.new_zeros(len(self._penalty), self._n_classes)
        return self.vector(nothing)

    def no_logits(self) -> Tensors:
        """The heads' logits at zero."""
        return self._offset_by([torch.zeros_like(targets) for targets in self._targets])

    def _offset_by(self, images: Tensors) -> Tensors:
        if self._offset is None:
            return images
        return [image + fixed for image, fixed in zip(images, self._offset, strict=True)]

    def vector(self, part: torch.Tensor) -> Vector:
        """A vector of its coordinates."""
        if not any(each.dual_is_image for each in self.coordinates):
            return Vector(part, part)
        duals = []
        for each, (own, intercept) in zip(self.coordinates, self._pieces(part), strict=True):
            duals += [each.dual(own), intercept]
        return Vector(part, torch.cat(duals))

    def losses(self, logits: Tensors) -> tuple[float, Tensors]:
        """Sum of the heads' losses, and their probabilities."""
        value, probabilities = 0.0, []
        for targets, each in zip(self._targets, logits, strict=True):
            log_p = torch.log_softmax(each, dim=1)
            value -= float(torch.sum(targets * log_p))
            probabilities.append(log_p.exp_())
        return value, probabilities

    def residuals(self, probabilities: Tensors) -> Tensors:
        """Gradients (n, K) with respect to the heads' logits."""
        return [
            (weights * p).sub_(targets)
            for targets, weights, p in zip(self._targets, self._weights, probabilities, strict=True)
        ]

    def penalty(self, a: Vector, b: Vector) -> float:
        """``l2 <a, b>`` without the intercepts."""
        return float(torch.sum(self._penalty * a.part * b.dual))

    def point(self, parameters: Vector, logits: Tensors | None = None) -> Point:
        """The objective at given parameters."""
        if logits is None:
            logits = self._offset_by(self.images(parameters))
        value, probabilities = self.losses(logits)
        value += 0.5 * self.penalty(parameters, parameters)
        return Point(parameters, logits, value, probabilities, self.residuals(probabilities))

    def gradient(self, point: Point) -> torch.Tensor:
        """Coordinates of the gradient."""
        return torch.addcmul(self._pull(point.residuals), self._penalty, point.parameters.part)

    def bend(self, changes: Tensors, probabilities: Tensors) -> Tensors:
        """Product of the losses' Hessian with changes of the logits, (n, K) for each head."""
        curved = []
        for weights, p, change in zip(self._weights, probabilities, changes, strict=True):
            scaled = p * change
            curved.append(weights * (scaled - p * scaled.sum(dim=1, keepdim=True)))
        return curved

    # -------------------------------------------------------------------------------------- the preconditioner

    def mean_curvatures(self, probabilities: Tensors) -> list[float]:
        """For each map, the losses' curvature along one logit, on average over rows and classes."""
        per_head = [
            float((w[:, 0] * (1 - p.square().sum(dim=1))).sum()) / p.numel()
            for w, p in zip(self._weights, probabilities, strict=True)
        ]
        return [
            max(sum(float(c) ** 2 * each for c, each in zip(column, per_head, strict=True)), _FLAT)
            for column in self._mixing.T
        ]

    def set_curvatures(self, curvatures: list[float]) -> None:
        """Make the preconditioner for given mean curvatures."""
        self.curvature = curvatures
        for each, curvature in zip(self.coordinates, curvatures, strict=True):
            each.set_curvature(self.l2, _TYPICAL * curvature)

    def is_stale(self, curvatures: list[float]) -> bool:
        """Whether the preconditioner was made for other curvatures."""
        return any(not 1 / _STALE <= a / b <= _STALE for a, b in zip(curvatures, self.curvature, strict=True))

    def precondition(self, part: torch.Tensor) -> Vector:
        """Product of the approximate inverse Hessian with a vector of which only the coordinates are known."""
        parts, duals = [], []
        n_rows = len(self._weights[0])
        for each, curvature, (own, intercept) in zip(
            self.coordinates, self.curvature, self._pieces(part), strict=True
        ):
            solved, dual = each.precondition(own)
            intercept = intercept / (_TYPICAL * curvature * n_rows)
            parts += [solved, intercept]
            duals += [dual, intercept]
        joined = torch.cat(parts)
        same = not any(each.dual_is_image for each in self.coordinates)
        return Vector(joined, joined if same else torch.cat(duals))

    def in_single(self) -> Objective | None:
        """The same problem in single precision, where that comes close to the optimum."""
        at_zero = self.mean_curvatures([torch.softmax(each, dim=1) for each in self.no_logits()])
        if not all(each.single_will_do(self.l2, c) for each, c in zip(self.coordinates, at_zero, strict=True)):
            return None
        onehot, row_weights, mixing = (each.float() for each in self._given)
        offset = None if self._offset is None else [each.float() for each in self._offset]
        single = Objective(self.coordinates, onehot, row_weights, mixing, self.l2, offset, self._intercepts)
        single.curvature = self.curvature
        return single

    # ------------------------------------------------------------------------------------------ from and to maps

    def maps(self, parameters: Vector) -> list[LinearMap]:
        """The parameters as maps of the features; intercepts are centred over the classes."""
        found = []
        for each, (part, intercept) in zip(self.coordinates, self._pieces(parameters.part.double()), strict=True):
            weight = each.to_features(part)
            bias = intercept[0] - each.mean_logits(weight)
            found.append(LinearMap(weight, bias - bias.mean()))
        return found

    def parameters(self, maps: list[LinearMap]) -> Vector:
        """The parameters of given maps (their part in the rows' span)."""
        parts = []
        for each, m in zip(self.coordinates, maps, strict=True):
            parts += [each.from_features(m.weight), (m.intercept + each.mean_logits(m.weight))[None]]
        return self.vector(torch.cat(parts))


def solve(
    problem: Objective,
    *,
    initial: list[LinearMap] | None = None,
    max_iter: int = 100,
    tol: float = 1e-8,
    polish: bool = False,
) -> Solution:
    """Minimise the objective; the parameters and the result are those of `skmmal.heads.convex.solve`.

    Iterations stop once the optimum is reckoned to be within `tol` times the objective.
    """
    single = problem.in_single()
    working = problem if single is None else single
    descent = _Descent(max_iter)
    point = _start(problem, working, initial)
    point, converged = descent.run(working, point, max(tol, _SINGLE_ROUNDING) if single else tol)
    last = working if converged and tol >= _SINGLE_TOL and not polish else problem
    # from the parameters alone: rounding errors have added up along the way
    last.curvature = working.curvature
    point = last.point(last.vector(point.parameters.part.to(last.dtype)))
    point, converged = descent.run(last, point, tol)
    if polish and converged and last is problem:
        point, _ = descent.run(problem, point, POLISHED, until_stalled=True)
    curve = descent.curve
    if last is single:  # its sum of small losses is rough
        curve[-1] += problem.losses([each.double() for each in point.logits])[0] - last.losses(point.logits)[0]
    return Solution(problem.maps(point.parameters), curve[-1], max(1, len(curve) - 1), curve, converged)


def _start(problem: Objective, working: Objective, initial: list[LinearMap] | None) -> Point:
    """Zero or, if that is better, given maps; makes the preconditioner for it."""
    point = working.point(working.zeros(), working.no_logits())
    if initial is not None:
        part = problem.parameters(initial).part
        former = working.point(working.vector(part.to(working.dtype)))
        if former.value < point.value:
            point = former
    working.set_curvatures(working.mean_curvatures(point.probabilities))
    return point


# ---------------------------------------------------------------------------------------------------- L-BFGS


class _Memory:
    """The last steps s, changes of the gradient y and preconditioned changes u, and the direction they give.

    The inverse Hessian of L-BFGS in its compact form: Byrd, Nocedal and Schnabel, "Representations of quasi-Newton
    matrices and their use in limited memory methods", Mathematical Programming 63 (1994), theorem 2.2.
    """

    def __init__(self, like: Vector) -> None:
        shape = (2, _MEMORY, like.part.numel())
        # s and u, in a ring
        self._parts = like.part.new_zeros(shape)
        self._duals = self._parts if like.dual is like.part else like.part.new_zeros(shape)
        self._changes = like.part.new_zeros(shape[1:])
        self._order: list[int] = []  # slots, the oldest step first
        self._step_change = np.zeros((_MEMORY, _MEMORY))
        self._change_change = np.zeros((_MEMORY, _MEMORY))

    def add(self, step: Vector, change: torch.Tensor, preconditioned: Vector) -> None:
        """Remember a step; one along which the gradient did not grow, by rounding, is left out."""
        if step.dot(change) <= 0:
            return
        slot = len(self._order) if len(self._order) < _MEMORY else self._order.pop(0)
        self._order.append(slot)
        self._changes[slot] = change.view(-1)
        self._put(0, slot, step)
        self._step_change[:, slot] = (self._duals[0] @ self._changes[slot]).tolist()
        self._put(1, slot, preconditioned)
        self._change_change[slot] = (self._changes @ self._duals[1, slot]).tolist()
        self._change_change[:, slot] = self._change_change[slot]

    def clear(self) -> None:
        """Forget all steps."""
        self._order.clear()

    def _put(self, which: int, slot: int, vector: Vector) -> None:
        self._parts[which, slot] = vector.part.view(-1)
        if self._duals is not self._parts:
            self._duals[which, slot] = vector.dual.view(-1)

    def direction(self, gradient: torch.Tensor, scaled: Vector) -> Vector:
        """Downhill, from the gradient and the preconditioned gradient."""
        if not self._order:
            return scaled.times(-1.0)
        order = self._order
        step_change = np.triu(self._step_change[np.ix_(order, order)])
        change_change = self._change_change[np.ix_(order, order)]
        products = (self._duals.view(2 * _MEMORY, -1) @ gradient.view(-1)).double().cpu().numpy()
        of_steps, of_preconditioned = products[order], products[_MEMORY:][order]
        diagonal = step_change.diagonal()
        scale = diagonal[-1] / change_change[-1, -1]
        inverse = np.linalg.inv(step_change)
        along_changes = inverse @ of_steps
        along_steps = inverse.T @ (
            diagonal * along_changes + scale * (change_change @ along_changes - of_preconditioned)
        )
        coefficients = np.zeros((2, _MEMORY))
        coefficients[0, order], coefficients[1, order] = -along_steps, scale * along_changes
        factors = torch.as_tensor(coefficients.ravel(), dtype=gradient.dtype, device=gradient.device)
        parts = torch.addmv(scaled.part.view(-1), self._parts.view(2 * _MEMORY, -1).T, factors, beta=-scale)
        if self._duals is self._parts:
            part = parts.view_as(gradient)
            return Vector(part, part)
        duals = torch.addmv(scaled.dual.view(-1), self._duals.view(2 * _MEMORY, -1).T, factors, beta=-scale)
        return Vector(parts.view_as(gradient), duals.view_as(gradient))


class _Descent:
    """L-BFGS in the metric of the preconditioner.

    That metric is close to the Hessian, and an iteration, which costs one gradient, does about what an iteration of
    conjugate gradients would do for one of Newton's steps.

    Parameters
    ----------
    max_iter : int

    Attributes
    ----------
    curve : list of float
        Values of the objective.
    """

    def __init__(self, max_iter: int) -> None:
        self.curve: list[float] = []
        self._max_iter = max_iter
        self._decrements: list[float] = []

    def run(
        self, problem: Objective, point: Point, tol: float, *, until_stalled: bool = False
    ) -> tuple[Point, bool]:
        """Go on until the optimum is reckoned to be within `tol` times the objective; also return whether it is.

        It is not where iterations have run out, or single precision gets no farther (or any, with `until_stalled`). A
        later run, from where the last one ended, takes up its count.
        """
        until_stalled = until_stalled or problem.dtype is torch.float32
        # the point is the one that the last run ended at: its value and decrement are measured again
        self.curve[-1:] = [point.value]
        del self._decrements[-1:]
        first = len(self._decrements)
        memory = _Memory(point.parameters)
        gradient = problem.gradient(point)
        scaled = problem.precondition(gradient)
        while True:
            direction = memory.direction(gradient, scaled)
            decrement = -direction.dot(gradient)
            if self._distance(decrement) <= tol * abs(point.value):
                return point, True
            if len(self.curve) > self._max_iter or (until_stalled and self._is_stalled(first)):
                return point, False
            moved = _line_search(problem, point, direction, decrement)
            if moved is None:  # rounding leaves no better point along the direction
                return point, problem.dtype is torch.float64
            new, step = moved
            new_gradient = problem.gradient(new)
            curvatures = problem.mean_curvatures(new.probabilities)
            stale = problem.is_stale(curvatures)
            if stale:  # what was learned at other curvatures misleads
                problem.set_curvatures(curvatures)
                memory.clear()
            new_scaled = problem.precondition(new_gradient)
            if not stale:
                memory.add(step, new_gradient - gradient, new_scaled.plus(-1.0, scaled))
            point, gradient, scaled = new, new_gradient, new_scaled
            self.curve.append(point.value)

    def _distance(self, decrement: float) -> float:
        """How far the objective is above the optimum, from the decrement and how fast it falls.

        A step takes off half the decrement; where each next one takes off the share r of that before, all that are to
        come take off ``1 / (1 − r)`` as much. Before the first step, one that ends at the optimum is hoped for.
        """
        self._decrements.append(decrement)
        seen = self._decrements[-1 - max(_PACE, len(self._decrements) // 4) :]
        if len(seen) == 1:
            return 0.5 * decrement
        fall = (decrement / seen[0]) ** (1 / (len(seen) - 1)) if min(seen[0], decrement) > 0 else 0.0
        # decrements may be small by chance, as the first of a run is, that knows no steps yet
        return _SAFETY * 0.5 * max(seen[-3:]) / (1.0 - min(fall, _SLOWEST))

    def _is_stalled(self, first: int) -> bool:
        """Whether decrements, from the first one of a run on, have long not become smaller."""
        ran = self._decrements[first:]
        return len(ran) > _STALL and min(ran[-_STALL:]) >= min(ran[:-_STALL])


def _line_search(problem: Objective, point: Point, direction: Vector, decrement: float) -> tuple[Point, Vector] | None:
    """Go along `direction` to where the objective is nearly flat; ``None`` where it does not fall.

    The objective along a line is convex, and costs no product with the features: Newton's method on its slope, kept
    within the bracket of slopes of different sign, which is halved where Newton's method is slow to narrow it.
    """
    changes = problem.images(direction)
    linear, quadratic = problem.penalty(point.parameters, direction), problem.penalty(direction, direction)
    penalty = 0.5 * problem.penalty(point.parameters, point.parameters)
    low, high, length = 0.0, float("inf"), 1.0
    rounding = 100 * torch.finfo(changes[0].dtype).eps
    reached: tuple[float, Tensors, float, Tensors, Tensors] | None = None
    for attempt in range(_MOST_LENGTHS):
        logits = [torch.add(a, b, alpha=length) for a, b in zip(point.logits, changes, strict=True)]
        value, probabilities = problem.losses(logits)
        value += penalty + length * linear + 0.5 * length**2 * quadratic
        residuals = problem.residuals(probabilities)
        slope = sum(float(torch.sum(a * b)) for a, b in zip(residuals, changes, strict=True))
        slope += linear + length * quadratic
        falls = value <= point.value + rounding * abs(point.value)
        is_flat = abs(slope) <= _FLATTER * decrement
        if falls and (slope < 0 or is_flat):
            low, reached = length, (length, logits, value, probabilities, residuals)
            if is_flat:
                break
        else:
            high = length
        bend = quadratic + sum(
            float(torch.sum(a * b)) for a, b in zip(problem.bend(changes, probabilities), changes, strict=True)
        )
        newton = length - slope / bend if bend > 0 else float("nan")
        middle = 0.5 * (low + high) if high < float("inf") else 4 * length
        takes_newton = low < newton < min(high, 10 * length) and attempt % 3 < 2
        length = newton if takes_newton else middle
    if reached is None:
        return None
    length, logits, value, probabilities, residuals = reached
    step = direction.times(length)
    return Point(point.parameters.plus(1.0, step), logits, value, probabilities, residuals), step
