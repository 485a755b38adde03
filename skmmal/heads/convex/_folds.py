"""Out-of-fold logits of a fused head, for one strength of its penalty on each block after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skmmal.heads.convex._blocks import Blocks, mean_rows
from skmmal.heads.convex._fit import LabeledRows, task_of_fused_head
from skmmal.heads.convex._lbfgs import solve

__all__ = ["Fold", "FusedFolds"]


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

    All folds are solved in step, on the same blocks: a row that a fold holds out has weight zero in it.

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

    def fitted(
        self, C: float, factors: Sequence[float] | None, start: list[np.ndarray] | None = None
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Fit the head of every fold.

        Parameters
        ----------
        C : float
            Inverse strength of the penalty.
        factors : sequence of M floats or None
            Of the blocks before the fused head; with ``None`` all are one.
        start : list of ndarray, optional
            Parameters, as returned, of other strengths: where to start.

        Returns
        -------
        logits : ndarray of shape (n_tested, K)
            Of the test rows, fold after fold; minus infinity for classes that the fold has not met.
        parameters : list of ndarray
            Of every fold.
        """
        tasks = []
        for fold in self._folds:
            rows = replace(self._rows, weights=self._rows.weights * fold.train)
            tasks.append(task_of_fused_head(self._blocks, rows, fold.met, C, factors, is_tied=self._is_sum))
        problems = [task.problem for task in tasks]
        given = [None] * len(tasks) if start is None else start
        found = solve(problems, given, max_iter=self._max_iter, tol=self._tol, patient=True)
        parts = [solution.part for solution in found]
        images = self._blocks.images([(problem, part) for problem, part in zip(problems, parts, strict=True)])
        of_folds = []
        for fold, task, image in zip(self._folds, tasks, images, strict=True):
            logits = np.full((len(fold.test), fold.met.shape[1]), -np.inf)
            logits[:, task.classes] = task.problem.mix(image)[0].T[fold.test]
            of_folds.append(logits)
        return np.concatenate(of_folds), parts


def _in_span(block: np.ndarray, present: np.ndarray) -> np.ndarray:
    """A block in coordinates of its rows' span, where that is smaller: no product of its rows changes."""
    if block.shape[1] <= len(block):
        return block
    values = np.where(present[:, None], block, 0.0).astype(np.float64)
    return np.asarray(np.linalg.qr(values.T, mode="r")).T
