"""The inverse of the Hessian if the classes of a row were alike, from some of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from skmmal.heads.convex._problem import Problem

__all__ = ["Preconditioner"]

_STALE = 0.5
"""Change of the rows' curvatures, as a share of their sum, after which it is made anew."""
_LEAST_CURVATURE = 1e-3
"""Of a row, as a share of the mean: rows that are told apart today may not be tomorrow."""
_TYPICAL = 0.5
"""How much is taken of the rows' curvatures: all slow warm starts down, a third is slower with 101 classes."""
_COST = 1.0
"""Of a multiplication on the way to it, beside one in an iteration's products."""
_INTERCEPT = 0.01
"""What is added to the curvature along an intercept, as a share: it has no penalty."""
_TINY = 1e-30
"""Curvature along an intercept where there is none."""


class Preconditioner:
    """For every map, ``(Λ + Σ_i c_i z_i z_iᵀ)⁻¹`` with Λ the penalty, z a row and c its curvature.

    Parameters
    ----------
    problem : Problem
    dtype : type
    by_column : bool, default=False
        Factor matrices of columns × columns also where there are fewer rows: what differs in scale loses nothing then.
    """

    def __init__(self, problem: Problem, dtype: Any, by_column: bool = False) -> None:
        self._problem, self._dtype = problem, dtype
        self._maps = [_OfMap(problem, j, dtype, by_column) for j in range(len(problem.intercepts))]
        self._curvatures: list[np.ndarray] | None = None

    @staticmethod
    def n_iterations_worth(problem: Problem) -> float:
        """How many iterations without one cost about as much as making one."""
        n_sampled = problem.blocks.n_sampled
        return _COST * n_sampled * min(n_sampled, problem.size) / (problem.blocks.n_rows * problem.n_classes)

    def update(self, curvatures: list[np.ndarray]) -> None:
        """Make it for given curvatures (n,) of the rows along every map's logits, unless it was made for such."""
        former = self._curvatures
        if former is not None:
            pairs = list(zip(curvatures, former, strict=True))
            if all(np.abs(now - before).sum() <= _STALE * before.sum() for now, before in pairs):
                return
        self._curvatures = curvatures
        for of_map, of_rows in zip(self._maps, curvatures, strict=True):
            raised = np.maximum(of_rows, _LEAST_CURVATURE * of_rows.mean() * (of_rows > 0))
            of_map.update(self._problem.blocks.sampled(_TYPICAL * raised))

    def __call__(self, gradient: np.ndarray) -> np.ndarray:
        """Apply it to a gradient (K, P)."""
        given = gradient.astype(self._dtype, copy=False)
        solved = np.hstack([of_map(part) for of_map, part in zip(self._maps, self._split(given), strict=True)])
        return solved.astype(gradient.dtype, copy=False)

    def _split(self, gradient: np.ndarray) -> list[np.ndarray]:
        return np.split(gradient, [column + 1 for column in self._problem.intercepts[:-1]], axis=1)


class _OfMap:
    """The part of one map: columns of its weights, and its intercept last."""

    def __init__(self, problem: Problem, j: int, dtype: Any, by_column: bool) -> None:
        self._sample = problem.design(j, dtype, problem.blocks.step)
        self._by_row = not by_column and len(self._sample) < self._sample.shape[1]
        self._products = problem.sample_products(j, dtype) if self._by_row else None
        self._l2, self._of_intercept = problem.l2, problem.l2 if problem.ties_intercepts else 0.0

    def update(self, curvatures: np.ndarray) -> None:
        """Take other curvatures of the sampled rows."""
        dtype = self._sample.dtype
        total = float(curvatures.sum())
        self._inverse = dtype.type(1.0 / self._l2)
        self._of_bias = dtype.type(1.0 / (self._of_intercept + _INTERCEPT * total + _TINY))
        if self._by_row:
            self._roots = np.sqrt(curvatures).astype(dtype)
            inner = self._products * self._inverse
            inner += self._of_bias
            inner *= self._roots
            inner *= self._roots[:, None]
            inner.flat[:: len(inner) + 1] += 1.0
        else:
            design = np.hstack([self._sample, np.ones((len(self._sample), 1), dtype)])
            weighted = np.sqrt(curvatures).astype(dtype)[:, None] * design
            inner = weighted.T @ weighted
            inner.flat[:: len(inner) + 1] += self._l2
            inner[-1, -1] += 1.0 / self._of_bias - self._l2
        self._factor = _factored(inner)

    def __call__(self, gradient: np.ndarray) -> np.ndarray:
        """Apply to a part (K, P) of a gradient."""
        if not self._by_row:
            return cho_solve(self._factor, gradient.T, check_finite=False).T
        scaled = gradient * self._inverse
        scaled[:, -1] = gradient[:, -1] * self._of_bias
        inner = scaled[:, :-1] @ self._sample.T
        inner += scaled[:, -1:]
        inner *= self._roots
        inner = cho_solve(self._factor, inner.T, check_finite=False).T * self._roots
        scaled[:, :-1] -= (inner @ self._sample) * self._inverse
        scaled[:, -1] -= inner.sum(axis=1) * self._of_bias
        return scaled


def _factored(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """Cholesky's factor; of a matrix with a larger diagonal where rounding has taken its definiteness."""
    diagonal = matrix.diagonal().copy()
    if not np.isfinite(diagonal).all():
        raise ValueError("the objective's curvature is not finite: scale the features first (skmmal.ModalityScaler)")
    eps = float(np.finfo(matrix.dtype).eps)
    added = 0.0
    while added < 1.0:
        try:
            return cho_factor(matrix, lower=True, check_finite=False)
        except LinAlgError:
            added = max(10 * added, 10 * eps)
            matrix.flat[:: len(matrix) + 1] = diagonal * (1 + added)
    # nothing but the diagonal is left of it: that is a preconditioner, too
    return cho_factor(np.diag(np.maximum(diagonal, eps * diagonal.max() or 1.0)), lower=True, check_finite=False)
