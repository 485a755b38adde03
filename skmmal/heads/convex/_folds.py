"""Out-of-fold logits of a fused head, for one strength of its penalty on each block after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from skmmal.heads.convex._blocks import Blocks, mean_rows
from skmmal.heads.convex._fit import LabeledRows, Task, task_of_fused_head
from skmmal.heads.convex._lbfgs import solve
from skmmal.heads.convex._stacked import StackedFolds

__all__ = ["Fold", "FusedFolds"]

_SMALL = 2 * 10**7
"""Rows × features × classes up to which an iteration costs what its calls cost, not its products."""


@dataclass
class Fold:
    """One division of labelled rows.

    Parameters
    ----------
    train : bool ndarray of shape (n,)
        Rows that heads are fitted on.
    test : int ndarray
        Rows they are asked about; those of classes without a row to train on have no say.
    met : bool ndarray of shape (M + 1, K)
        Classes that each head meets among the rows to train on, the fused head first.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.heads.convex import Fold
    >>> fold = Fold(np.array([True, True, True, False]), np.array([3]), np.ones((2, 2), dtype=bool))
    >>> fold.train[fold.test]
    array([False])
    """

    train: np.ndarray
    test: np.ndarray
    met: np.ndarray


class FusedFolds:
    """A fused head, fitted on the training rows of every fold and asked about the others.

    A row that a fold holds out has weight zero in it. With one class a row, small problems are solved as one array;
    others, or those whose columns differ in scale by more than rounding allows, in step on the same blocks.

    Parameters
    ----------
    rows : LabeledRows
        Of all folds.
    folds : list of Fold
        Which rows each trains on, and which it holds out.
    is_sum : bool
        Whether the fused head is the mean of the others.
    tol : float
        How far, relatively, objectives may be above their optimum.
    max_iter : int
        Most iterations of a fit.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.heads.convex import Fold, FusedFolds, LabeledRows
    >>> x, labels = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])
    >>> rows = LabeledRows([x], np.ones((4, 1), dtype=bool), labels, np.ones(4))
    >>> fold = Fold(np.array([True, False, True, True]), np.array([1]), np.ones((2, 2), dtype=bool))
    >>> logits, _ = FusedFolds(rows, [fold], is_sum=False, tol=1e-6, max_iter=100).fitted(1.0, None)
    >>> logits.argmax(axis=1)  # of the row that was held out
    array([0])
    """

    def __init__(self, rows: LabeledRows, folds: Sequence[Fold], *, is_sum: bool, tol: float, max_iter: int) -> None:
        blocks = [_in_span(block, there) for block, there in zip(rows.blocks, rows.present.T, strict=True)]
        self._rows = replace(rows, blocks=blocks)
        means = mean_rows(blocks, rows.present, rows.weights)
        self._blocks = Blocks(blocks, rows.present, means, rows.weights @ rows.present / rows.weights.sum())
        self._folds, self._is_sum, self._tol, self._max_iter = folds, is_sum, tol, max_iter

    def fitted(self, C: float, factors: Sequence[float] | None, start: Any = None) -> tuple[np.ndarray, Any]:
        """Fit the head of every fold.

        Parameters
        ----------
        C : float
            Inverse strength of the penalty.
        factors : sequence of M floats or None
            Of the blocks before the fused head; with ``None`` all are one.
        start : optional
            Parameters, as returned, of other strengths: where to start.

        Returns
        -------
        logits : ndarray of shape (n_tested, K)
            Of the test rows, fold after fold; minus infinity for classes that the fold has not met.
        parameters : list of ndarray, or ndarray
            Of every fold.
        """
        tasks = []
        for fold in self._folds:
            rows = replace(self._rows, weights=self._rows.weights * fold.train)
            tasks.append(task_of_fused_head(self._blocks, rows, fold.met, C, factors, is_tied=self._is_sum))
        n_products = len(self._rows) * sum(self._blocks.widths) * len(tasks[0].classes)
        is_apart = self._is_sum or self._rows.has_several_labels or n_products > _SMALL
        precision = None if is_apart else _precision(tasks)
        if precision is None:
            return self._in_step(tasks, start if isinstance(start, list) else None)
        return self._at_once(tasks, precision, start if isinstance(start, np.ndarray) else None)

    def _in_step(self, tasks: list[Task], start: list[np.ndarray] | None) -> tuple[np.ndarray, list[np.ndarray]]:
        """Each fold with steps of its own."""
        problems = [task.problem for task in tasks]
        given = [None] * len(tasks) if start is None else start
        found = solve(problems, given, max_iter=self._max_iter, tol=self._tol, patient=True)
        parts = [solution.part for solution in found]
        images = self._blocks.images([(problem, part) for problem, part in zip(problems, parts, strict=True)])
        return self._of_test_rows(
            tasks, [task.problem.mix(image)[0].T for task, image in zip(tasks, images, strict=True)]
        ), parts

    def _at_once(self, tasks: list[Task], dtype: Any, start: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """All folds as one array; what is returned for a start are logits, or weights where these are fewer."""
        problem = tasks[0].problem
        design = problem.design(0)
        pieces = problem.pieces
        of_columns = np.repeat([each.factor for each in pieces], [self._blocks.widths[each.block] for each in pieces])
        is_wide = design.shape[1] > len(design)
        if is_wide:  # another design of the same products of rows, no wider than they are many
            design = _root(design @ design.T)
        if start is not None:  # the same logits by other factors
            own = _solved(design, start[:, :, :-1]) if is_wide else start[:, :, :-1] / of_columns
            start = np.concatenate([own, start[:, :, -1:]], axis=2)
        met = np.array([fold.met[0] for fold in self._folds])
        counts = np.array([task.problem.losses[0].weights for task in tasks])
        l2 = np.array([task.problem.l2 for task in tasks])
        folds = StackedFolds(self._rows.labels, counts, met, l2, dtype)
        parts = folds.solve(design, start, tol=self._tol, max_iter=self._max_iter).astype(np.float64)
        images = parts[:, :, :-1] @ design.T
        with_intercepts = images + parts[:, :, -1:]
        logits = self._of_test_rows(
            tasks, [image[task.classes].T for task, image in zip(tasks, with_intercepts, strict=True)]
        )
        parts = np.concatenate([images if is_wide else parts[:, :, :-1] * of_columns, parts[:, :, -1:]], axis=2)
        return logits, parts

    def _of_test_rows(self, tasks: list[Task], images: list[np.ndarray]) -> np.ndarray:
        """Logits of every fold's test rows, from those (n, k) of all rows for the classes that it has met."""
        of_folds = []
        for fold, task, image in zip(self._folds, tasks, images, strict=True):
            logits = np.full((len(fold.test), fold.met.shape[1]), -np.inf)
            logits[:, task.classes] = image[fold.test]
            of_folds.append(logits)
        return np.concatenate(of_folds)


def _precision(tasks: list[Task]) -> Any:
    """The least precision that leaves the penalty's share of the curvature in all folds; ``None``: none does."""
    problems = [task.problem for task in tasks]
    curvatures = [problem.row_curvatures(problem.origin(np.float64)) for problem in problems]
    for dtype in (np.float32, np.float64):
        if all(problem.is_precise_in(dtype, of_rows) for problem, of_rows in zip(problems, curvatures, strict=True)):
            return dtype
    return None


def _solved(root: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Weights (F, K, n) whose products with a root's rows are given."""
    found = solve_triangular(root, images.reshape(-1, len(root)).T, lower=True, check_finite=False)
    return np.ascontiguousarray(found.T).reshape(images.shape)


def _root(products: np.ndarray) -> np.ndarray:
    """A lower triangle whose rows have given products, but for rounding."""
    products.flat[:: len(products) + 1] += 1e-9 * products.trace() / len(products) + np.finfo(np.float64).tiny
    return np.linalg.cholesky(products)


def _in_span(block: np.ndarray, present: np.ndarray) -> np.ndarray:
    """A block in coordinates of its rows' span, where that is smaller: no product of its rows changes."""
    if block.shape[1] <= len(block):
        return block
    values = np.where(present[:, None], block, 0.0).astype(np.float64)
    return np.asarray(np.linalg.qr(values.T, mode="r")).T
