"""Preconditioned L-BFGS, mostly in single precision, of several problems in step.

Each problem has its own steps; what the descents have in common are the products with the features, for which each of
them asks. Iterations are made in single precision as long as that is good enough to get on; where the tolerance is
small, double precision has the last word on whether the optimum is reached.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmmal.heads.convex._preconditioner import Preconditioner
from skmmal.heads.convex._problem import Point, Problem, RotatedProblem, combined

__all__ = ["Solution", "reckoned_distance", "solve"]

_MEMORY = 10
"""Steps that L-BFGS remembers."""
_FLATTER = 0.05
"""How much flatter than its start the end of a step must be; a step along a line costs little."""
_MOST_LENGTHS = 40
"""Steps along a line that are tried; the farthest that still goes down is taken if none is flat enough."""
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
_POLISHED = 1e-26
"""Decrement, relative to the objective, at which the weights are right to their last digits but one or two."""


@dataclass
class Solution:
    """What the solver found: parameters, and the objective from the start on."""

    part: np.ndarray
    loss_curve: list[float]
    converged: bool

    @property
    def n_iter(self) -> int:
        """Iterations."""
        return max(1, len(self.loss_curve) - 1)


@dataclass
class _Request:
    """A product that a descent needs: images of parameters, or the gradient of what reaches the maps."""

    problem: Problem
    given: Any
    is_image: bool


_Steps = Generator[_Request, Any, Any]


def solve(
    problems: list[Problem],
    initial: Sequence[np.ndarray | None],
    *,
    max_iter: int,
    tol: float,
    polish: bool = False,
    patient: bool = False,
) -> list[Solution]:
    """Minimise every problem's objective.

    Parameters
    ----------
    problems : list of Problem
        On the same blocks: these are read once for all of them.
    initial : sequence of (ndarray of shape (K, P) or None)
        Parameters at which each starts, if that is better than zero.
    max_iter : int
    tol : float
        Each stops once its optimum is reckoned to be within `tol` times the objective.
    polish : bool, default=False
        Then go on, within `max_iter`, until rounding ends it.
    patient : bool, default=False
        Whether a start from given parameters, too, waits for a preconditioner until it pays: enough for a `tol` so
        large that it does not matter how near the optimum such a start was.

    Returns
    -------
    list of Solution
    """
    descents = [
        _minimize(problem, start, max_iter, tol, polish, patient)
        for problem, start in zip(problems, initial, strict=True)
    ]
    solutions: list[Any] = [None] * len(problems)
    waiting: dict[int, _Request] = {}

    def resume(i: int, answer: Any) -> None:
        try:
            waiting[i] = descents[i].send(answer)
        except StopIteration as end:
            solutions[i] = end.value

    for i in range(len(problems)):
        resume(i, None)
    while waiting:
        # those that ask for the same kind of product get it together
        first = waiting[min(waiting)]
        alike = [i for i, request in waiting.items() if _kind(request) == _kind(first)]
        requests = [waiting.pop(i) for i in alike]
        blocks = first.problem.blocks
        answer = blocks.images if first.is_image else blocks.pulls
        for i, found in zip(alike, answer([(each.problem, each.given) for each in requests]), strict=True):
            resume(i, found)
    return solutions


def _kind(request: _Request) -> tuple:
    dtype = request.given.dtype if request.is_image else request.given[0].dtype
    return id(request.problem.blocks), request.is_image, dtype


def _image(problem: Problem, part: np.ndarray) -> _Steps:
    return problem.mix((yield _Request(problem, part, True)))


def _gradient(problem: Problem, point: Point) -> _Steps:
    residuals = problem.residuals(point)
    pulled = yield _Request(problem, [combined(column, residuals) for column in problem.mixing.T], False)
    pulled += point.part * problem.penalty.astype(pulled.dtype)
    if problem.ties_intercepts or not problem.is_shared:
        return pulled
    # a shift of all intercepts changes nothing; what rounding leaves of its slope would, for want of curvature
    pulled[:, problem.intercepts] -= pulled[:, problem.intercepts].mean(axis=0)
    return pulled


def _minimize(
    given: Problem, initial: np.ndarray | None, max_iter: int, tol: float, polish: bool, patient: bool
) -> Generator[_Request, Any, Solution]:
    at_zero = given.row_curvatures(given.origin(np.float64))
    is_extreme = not given.is_precise_in(np.float64, at_zero)
    problem = RotatedProblem(given) if is_extreme else given
    if initial is not None and isinstance(problem, RotatedProblem):
        initial = problem.turned(initial)
    dtype: Any = np.float32 if given.is_precise_in(np.float32, at_zero) and not polish else np.float64
    descent, converged = _Descent(problem, max_iter), False
    point = yield from _start(problem, initial, dtype)
    if dtype is np.float32:
        # near the optimum only a good metric tells how near
        descent.patience = Preconditioner.n_iterations_worth(problem) if initial is None or patient else 0.0
        point, converged = yield from descent.run(point, max(tol, _SINGLE_ROUNDING), dtype)
    last: Any = np.float32 if converged and tol >= _SINGLE_TOL else np.float64
    if not converged:
        descent.precondition(np.float64, by_column=is_extreme)
    # from the parameters alone: rounding errors have added up along the way
    point = yield from _at(problem, point.part.astype(last))
    point, converged = yield from descent.run(point, tol, dtype)
    if polish and converged:
        point, _ = yield from descent.run(point, _POLISHED, dtype, until_stalled=True)
    part = point.part.astype(np.float64)
    if last is np.float32:  # its sum of small losses is rough
        descent.curve[-1] = problem.point(part, [each.astype(np.float64) for each in point.logits]).value
    if isinstance(problem, RotatedProblem):
        part = problem.turned_back(part)
    return Solution(part, descent.curve, converged)


def _at(problem: Problem, part: np.ndarray) -> Generator[_Request, Any, Point]:
    return problem.point(part, problem.offset_by((yield from _image(problem, part))))


def _start(problem: Problem, initial: np.ndarray | None, dtype: Any) -> Generator[_Request, Any, Point]:
    """Zero or, if that is better, given parameters."""
    origin = problem.origin(dtype)
    if initial is None:
        return origin
    former = yield from _at(problem, initial.astype(dtype))
    return former if former.value < origin.value else origin


# ---------------------------------------------------------------------------------------------------- L-BFGS


class _Memory:
    """The last steps and changes of the gradient, and the direction that they give (Nocedal's two loops)."""

    def __init__(self) -> None:
        self._pairs: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=_MEMORY)

    @property
    def is_empty(self) -> bool:
        """Whether there are no steps."""
        return not self._pairs

    def add(self, step: np.ndarray, change: np.ndarray) -> None:
        """Remember a step; one along which the gradient did not grow, by rounding, is left out."""
        growth = _dot(step, change)
        if growth > 0:
            self._pairs.append((step, change, growth))

    def direction(self, gradient: np.ndarray, preconditioner: Preconditioner | None) -> np.ndarray:
        """Downhill."""
        rest = gradient.copy()
        shares = []
        for step, change, growth in reversed(self._pairs):
            share = _dot(step, rest) / growth
            rest -= rest.dtype.type(share) * change
            shares.append(share)
        if preconditioner is None:
            direction = rest
            if self._pairs:
                _, change, growth = self._pairs[-1]
                direction *= direction.dtype.type(growth / _dot(change, change))
        else:
            direction = preconditioner(rest)
        for (step, change, growth), share in zip(self._pairs, reversed(shares), strict=True):
            direction += direction.dtype.type(share - _dot(change, direction) / growth) * step
        return np.negative(direction, out=direction)


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.vdot(a, b))


class _Descent:
    """One problem's way to its optimum, in one precision or in two.

    It begins without a preconditioner, and gets one where iterations have cost as much as that would.

    Parameters
    ----------
    problem : Problem
    max_iter : int

    Attributes
    ----------
    curve : list of float
        Values of the objective.
    patience : float
        Iterations after which a preconditioner is made.
    """

    def __init__(self, problem: Problem, max_iter: int) -> None:
        self.curve: list[float] = []
        self.patience = 0.0
        self._problem, self._max_iter = problem, max_iter
        self._memory = _Memory()
        self._preconditioner: Preconditioner | None = None
        self._decrements: list[float] = []

    def precondition(self, dtype: Any, *, by_column: bool = False) -> None:
        """Make a preconditioner in place of the present one."""
        self._preconditioner = Preconditioner(self._problem, dtype, by_column=by_column)

    def run(
        self, point: Point, tol: float, dtype: Any, *, until_stalled: bool = False
    ) -> Generator[_Request, Any, tuple[Point, bool]]:
        """Go on until the optimum is reckoned to be within `tol` times the objective; also return whether it is.

        It is not where iterations have run out, or single precision gets no farther (or any, with `until_stalled`). A
        later run, from where the last one ended, takes up its count. A preconditioner is made in `dtype`.
        """
        problem = self._problem
        is_single = point.part.dtype == np.float32
        until_stalled = until_stalled or is_single
        # the point is the one that the last run ended at: its value and decrement are measured again
        self.curve[-1:] = [point.value]
        del self._decrements[-1:]
        first = len(self._decrements)
        gradient = yield from _gradient(problem, point)
        while True:
            if self._preconditioner is None and len(self.curve) > self.patience:
                self.precondition(dtype)
            if self._preconditioner is not None:
                self._preconditioner.update(problem.row_curvatures(point))
            direction = self._memory.direction(gradient, self._preconditioner)
            decrement = -_dot(direction, gradient)
            if self._distance(decrement) <= tol * abs(point.value):
                return point, True
            if len(self.curve) > self._max_iter or (until_stalled and self._is_stalled(first)):
                return point, False
            changes = yield from _image(problem, direction)
            length = 1.0
            if self._preconditioner is None and self._memory.is_empty:  # the gradient's length means nothing
                length = decrement / (_bend(problem, point, changes) + problem.inner(direction, direction))
            found = _line_search(problem, point, direction, changes, decrement, length)
            if found is None:  # rounding leaves no better point along the direction
                return point, not is_single
            new, length = found
            new_gradient = yield from _gradient(problem, new)
            direction *= direction.dtype.type(length)
            self._memory.add(direction, new_gradient - gradient)
            point, gradient = new, new_gradient
            self.curve.append(point.value)

    def _distance(self, decrement: float) -> float:
        """How far the objective is above the optimum, now that its decrement is this."""
        self._decrements.append(decrement)
        return float(reckoned_distance(self._decrements))

    def _is_stalled(self, first: int) -> bool:
        """Whether decrements, from the first one of a run on, have long not become smaller."""
        ran = self._decrements[first:]
        return len(ran) > _STALL and min(ran[-_STALL:]) >= min(ran[:-_STALL])


def reckoned_distance(decrements: Sequence[Any]) -> Any:
    """Reckon how far an objective is above its optimum, from its decrements and how fast they fall.

    A step takes off half the decrement; where each next one takes off the share r of that before, all that are to come
    take off ``1 / (1 − r)`` as much. Before the first step, one that ends at the optimum is hoped for.

    Parameters
    ----------
    decrements : sequence of float, or of ndarray of shape (n_problems,)
        One for each iteration.

    Returns
    -------
    float, or ndarray of shape (n_problems,)
    """
    seen = decrements[-1 - max(_PACE, len(decrements) // 4) :]
    if len(seen) == 1:
        return 0.5 * seen[0]
    first, last = np.maximum(seen[0], 0.0), np.maximum(seen[-1], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = np.where(np.minimum(first, last) > 0, (last / first) ** (1 / (len(seen) - 1)), 0.0)
    # decrements may be small by chance, as the first of a run is, that knows no steps yet
    return _SAFETY * 0.5 * np.max(seen[-3:], axis=0) / (1.0 - np.minimum(fall, _SLOWEST))


def _line_search(
    problem: Problem, point: Point, direction: np.ndarray, changes: list[np.ndarray], decrement: float, length: float
) -> tuple[Point, float] | None:
    """Go along `direction` to where the objective is nearly flat; ``None`` where it does not fall.

    The objective along a line is convex, and costs no product with the features: Newton's method on its slope, kept
    within the bracket of slopes of different sign, which is halved where Newton's method is slow to narrow it.
    """
    linear, quadratic = problem.inner(point.part, direction), problem.inner(direction, direction)
    constant = 0.5 * problem.inner(point.part, point.part)
    dtype = direction.dtype
    allowance = 100 * float(np.finfo(dtype).eps) * abs(point.value)
    low, high = 0.0, float("inf")
    reached: tuple[Point, float] | None = None
    for attempt in range(_MOST_LENGTHS):
        logits = [a + dtype.type(length) * b for a, b in zip(point.logits, changes, strict=True)]
        trial = problem.point(direction, logits, constant + length * linear + 0.5 * length**2 * quadratic)
        slope = linear + length * quadratic
        slope += sum(_dot(a, b) for a, b in zip(problem.residuals(trial), changes, strict=True))
        is_flat = abs(slope) <= _FLATTER * decrement
        if trial.value <= point.value + allowance and (slope < 0 or is_flat):
            low, reached = length, (trial, length)
            if is_flat:
                break
        else:
            high = length
        bend = quadratic + _bend(problem, trial, changes)
        newton = length - slope / bend if bend > 0 else float("nan")
        middle = 0.5 * (low + high) if high < float("inf") else 4 * length
        length = newton if low < newton < min(high, 10 * length) and attempt % 3 < 2 else middle
    if reached is None:
        return None
    trial, length = reached
    trial.part = point.part + dtype.type(length) * direction
    return trial, length


def _bend(problem: Problem, point: Point, changes: list[np.ndarray]) -> float:
    """Second derivative of the losses along changes of the logits."""
    pairs = zip(problem.losses, point.probabilities, changes, strict=True)
    return sum(loss.curvature_along(p, change) for loss, p, change in pairs)
