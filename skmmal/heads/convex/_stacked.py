"""L-BFGS for the folds of a softmax head, as one array: many small problems cost what one does.

The folds share their rows' features and differ in the rows' weights and the classes they know. Where problems are
small, an iteration costs what its calls cost, not its products; here all folds take theirs together.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from skmmal.heads.convex._lbfgs import reckoned_distance

__all__ = ["StackedFolds"]

_OUT_OF_REACH = -1e30
"""Logit of a class that a fold does not know."""
_MEMORY = 10
"""Steps that L-BFGS remembers."""
_FLATTER = 0.25
"""How much flatter than its start the end of a step must be."""
_MOST_LENGTHS = 20
"""Steps along a line that are tried."""
_TYPICAL, _LEAST = 0.7, 1e-3
"""Share of the rows' curvatures that the metric takes, and the least curvature of a row beside the mean."""
_STALE = 0.5
"""Change of the rows' curvatures, as a share of their sum, after which the metric is made anew."""
_INTERCEPT = 0.01
"""What the metric adds to the curvature along an intercept, as a share."""


@dataclass
class _Point:
    """Parameters (F, K, P + 1) of F folds, and what follows from them."""

    part: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray
    losses: np.ndarray


class StackedFolds:
    """The folds of a softmax head.

    ``Σ_i w_fi loss(W_f z_i + b_f) + l2_f / 2 ‖W_f‖²`` is minimised for every fold f, z_i the rows of a design.

    Parameters
    ----------
    labels : int ndarray of shape (n,)
        Classes; those of rows of weight zero need not be known.
    weights : ndarray of shape (F, n)
        Of the rows in every fold; zero for rows that it holds out.
    known : bool ndarray of shape (F, K)
        Classes of every fold.
    l2 : ndarray of shape (F,)
        Strengths of the penalty.
    dtype : type
        Precision of the iterations.
    """

    def __init__(self, labels: np.ndarray, weights: np.ndarray, known: np.ndarray, l2: np.ndarray, dtype: Any) -> None:
        self._labels, self._rows, self._known = labels, np.arange(len(labels)), known
        self._of_rows, self._weights = weights, weights.astype(dtype)
        self._l2, self._dtype = l2.astype(dtype)[:, None, None], dtype
        self._hidden = np.where(known, 0.0, _OUT_OF_REACH).astype(dtype)[:, :, None]

    def solve(self, design: np.ndarray, start: np.ndarray | None, *, tol: float, max_iter: int) -> np.ndarray:
        """Minimise every fold's objective.

        Parameters
        ----------
        design : ndarray of shape (n, P)
            What the head sees of the rows, without a column for the intercept.
        start : ndarray of shape (F, K, P + 1), optional
            Parameters, the intercept last; a fold starts there if that is better than zero.
        tol : float
            A fold stops once its optimum is reckoned to be within `tol` times the objective.
        max_iter : int

        Returns
        -------
        ndarray of shape (F, K, P + 1)
        """
        self._design = np.hstack([design, np.ones((len(design), 1))]).astype(self._dtype)
        point = self._start(start)
        metric = _Metric(self._design, self._weights, self._known, float(self._l2.mean()))
        steps: deque[tuple[np.ndarray, np.ndarray, np.ndarray]] = deque(maxlen=_MEMORY)
        decrements: list[np.ndarray] = []
        is_done = np.zeros(len(self._known), dtype=bool)
        gradient = self._gradient(point)
        while len(decrements) < max_iter:
            metric.update(point.probabilities)
            direction = _downhill(gradient, steps, metric)
            decrements.append(-_dots(direction, gradient))
            value = point.losses + 0.5 * self._inner(point.part, point.part)
            is_done |= reckoned_distance(decrements) <= tol * np.abs(value)
            if is_done.all():
                break
            point, lengths = self._along(point, direction, value, decrements[-1], is_done)
            is_done |= lengths == 0.0  # rounding leaves no better point along the direction
            former, gradient = gradient, self._gradient(point)
            step, change = _scaled(lengths, direction), gradient - former
            growth = _dots(step, change)
            steps.append((step, change, np.where(growth > 0, 1.0 / np.where(growth > 0, growth, 1.0), 0.0)))
        return point.part

    def _start(self, given: np.ndarray | None) -> _Point:
        """Zero or, for folds in which that is better, given parameters."""
        zero = np.zeros((*self._known.shape, self._design.shape[1]), self._dtype)
        point = self._at(zero, self._images(zero))
        if given is None:
            return point
        part = given.astype(self._dtype) * self._known[:, :, None]
        other = self._at(part, self._images(part))
        is_better = other.losses + 0.5 * self._inner(part, part) < point.losses
        chosen = _scaled(is_better, part)
        return self._at(chosen, self._images(chosen))

    def _images(self, part: np.ndarray) -> np.ndarray:
        """Changes (F, K, n) of the logits."""
        n_folds, n_classes, width = part.shape
        return (part.reshape(-1, width) @ self._design.T).reshape(n_folds, n_classes, -1)

    def _at(self, part: np.ndarray, logits: np.ndarray) -> _Point:
        shifted = logits + self._hidden
        shifted -= shifted.max(axis=1, keepdims=True)
        of_true_class = shifted[:, self._labels, self._rows]
        probabilities = np.exp(shifted, out=shifted)
        totals = probabilities.sum(axis=1)
        probabilities /= totals[:, None]
        losses = np.log(totals.astype(np.float64)) - of_true_class
        return _Point(part, logits, probabilities, np.einsum("fn,fn->f", self._of_rows, losses))

    def _residuals(self, point: _Point) -> np.ndarray:
        residuals = point.probabilities * self._weights[:, None]
        residuals[:, self._labels, self._rows] -= self._weights
        return residuals

    def _gradient(self, point: _Point) -> np.ndarray:
        residuals = self._residuals(point)
        gradient = (residuals.reshape(-1, residuals.shape[2]) @ self._design).reshape(point.part.shape)
        # a shift of all intercepts changes nothing; what rounding leaves of its slope would, for want of curvature
        of_intercepts = np.where(self._known, gradient[:, :, -1], 0.0)
        of_intercepts -= of_intercepts.sum(axis=1, keepdims=True) / self._known.sum(axis=1, keepdims=True)
        gradient[:, :, :-1] += self._l2 * point.part[:, :, :-1]
        gradient[:, :, -1] = of_intercepts
        gradient *= self._known[:, :, None]
        return gradient

    def _inner(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Inner products (F,) in which the penalty is half of a square."""
        return self._l2[:, 0, 0] * _dots(a[:, :, :-1], b[:, :, :-1])

    def _along(
        self, point: _Point, direction: np.ndarray, value: np.ndarray, decrement: np.ndarray, is_done: np.ndarray
    ) -> tuple[_Point, np.ndarray]:
        """Go along a direction to where each objective is nearly flat: Newton's method within a bracket.

        Folds that are done stay where they are, and so do those whose objective does not fall.
        """
        changes = self._images(direction)
        linear, quadratic = self._inner(point.part, direction), self._inner(direction, direction)
        allowance = 100 * float(np.finfo(self._dtype).eps) * np.abs(value)
        start = value - point.losses
        low, high = np.zeros(len(value)), np.full(len(value), np.inf)
        lengths, is_found = np.where(is_done, 0.0, 1.0), is_done.copy()
        for attempt in range(_MOST_LENGTHS):
            trial = self._at(point.part, point.logits + _scaled(lengths, changes))
            reached = trial.losses + start + lengths * linear + 0.5 * lengths**2 * quadratic
            slope = _dots(self._residuals(trial), changes) + linear + lengths * quadratic
            is_flat = np.abs(slope) <= _FLATTER * decrement
            is_lower = (reached <= value + allowance) & ((slope < 0) | is_flat)
            low = np.where(is_lower, lengths, low)
            high = np.where(is_lower | is_found, high, lengths)
            is_found |= is_lower & is_flat
            if is_found.all():
                break
            bend = quadratic + self._bend(trial, changes)
            newton = lengths - slope / np.where(bend > 0, bend, np.nan)
            middle = np.where(np.isfinite(high), 0.5 * (low + high), 4 * lengths)
            is_newton = (low < newton) & (newton < np.minimum(high, 10 * lengths)) & (attempt % 3 < 2)
            lengths = np.where(is_found, lengths, np.where(is_newton, newton, middle))
        if not is_found.all():
            lengths = np.where(is_found, lengths, low)
            trial = self._at(point.part, point.logits + _scaled(lengths, changes))
        trial.part = point.part + _scaled(lengths, direction)
        return trial, lengths

    def _bend(self, point: _Point, changes: np.ndarray) -> np.ndarray:
        """Second derivatives of the losses along changes of the logits."""
        scaled = point.probabilities * changes
        of_rows = np.einsum("fkn,fkn->fn", scaled, changes) - scaled.sum(axis=1) ** 2
        return np.einsum("fn,fn->f", self._of_rows, of_rows.astype(np.float64))


def _dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner product (F,) of every fold."""
    return np.einsum("fkp,fkp->f", a, b).astype(np.float64)


def _scaled(factors: np.ndarray, arrays: np.ndarray) -> np.ndarray:
    """Arrays of every fold, times the fold's factor."""
    return factors.astype(arrays.dtype)[:, None, None] * arrays


class _Metric:
    """The inverse of the Hessian that all folds have about, if the classes of a row were alike."""

    def __init__(self, design: np.ndarray, weights: np.ndarray, known: np.ndarray, l2: float) -> None:
        self._design, self._l2 = design, l2
        self._weights = weights / max(known.sum(axis=1).mean() - 1, 1)
        self._curvatures: np.ndarray | None = None

    def update(self, probabilities: np.ndarray) -> None:
        """Make it for given probabilities (F, K, n), unless it was made for such."""
        spread = 1.0 - np.einsum("fkn,fkn->fn", probabilities, probabilities)
        of_rows, former = (self._weights * spread).mean(axis=0), self._curvatures
        if former is not None and np.abs(of_rows - former).sum() <= _STALE * former.sum():
            return
        self._curvatures = of_rows
        raised = (_TYPICAL * np.maximum(of_rows, _LEAST * of_rows.mean())).astype(self._design.dtype)
        weighted = np.sqrt(raised)[:, None] * self._design
        hessian = weighted.T @ weighted
        hessian.flat[:: len(hessian) + 1] += self._l2
        hessian[-1, -1] += _INTERCEPT * raised.sum() - self._l2
        self._factor = cho_factor(hessian, lower=True, check_finite=False)

    def __call__(self, gradient: np.ndarray) -> np.ndarray:
        """Apply it to gradients (F, K, P + 1)."""
        solved = cho_solve(self._factor, gradient.reshape(-1, gradient.shape[2]).T, check_finite=False)
        return np.ascontiguousarray(solved.T).reshape(gradient.shape)


def _downhill(
    gradient: np.ndarray, steps: deque[tuple[np.ndarray, np.ndarray, np.ndarray]], metric: _Metric
) -> np.ndarray:
    """Direction that the last steps and changes of the gradient give, of every fold (Nocedal's two loops)."""
    rest, shares = gradient.copy(), []
    for step, change, by_growth in reversed(steps):
        shares.append(_dots(step, rest) * by_growth)
        rest -= _scaled(shares[-1], change)
    direction = metric(rest)
    for (step, change, by_growth), share in zip(steps, reversed(shares), strict=True):
        direction += _scaled(share - _dots(change, direction) * by_growth, step)
    return np.negative(direction, out=direction)
