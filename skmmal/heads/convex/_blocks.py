"""Blocks of features as the solver sees them: centred, in the precision asked for, multiplied once for all heads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Blocks", "Layout", "Piece", "mean_rows"]

_CHUNK = 1024
_SAMPLED_ROWS = 1024
"""Rows, evenly spaced, that the preconditioner knows the features by: a thousand do nearly as well as all of them."""
_HELD_TWICE = 2**20
"""Numbers of a block up to which it is held in two precisions; a larger one is held in the wider one asked for."""


def mean_rows(blocks: Sequence[np.ndarray], present: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """Weighted mean of every block over the rows that have it.

    Parameters
    ----------
    blocks : list of M arrays of shape (n, D_m)
        What stands in rows that lack the modality does not matter.
    present : bool ndarray of shape (n, M)
        Which row has which modality.
    weights : ndarray of shape (n,)
        Of the rows, not negative.

    Returns
    -------
    list of M ndarrays of float64, shape (D_m,)
        Zero where no row has the modality.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.heads.convex import mean_rows
    >>> mean_rows([np.array([[2.0], [4.0], [9.0]])], np.array([[True], [True], [False]]), np.ones(3))
    [array([3.])]
    """
    means = []
    for m, block in enumerate(blocks):
        share = weights * present[:, m]
        share /= max(share.sum(), np.finfo(np.float64).tiny)
        mean = np.zeros(block.shape[1])
        for start in range(0, len(block), _CHUNK):
            rows = slice(start, start + _CHUNK)
            mean += share[rows] @ _filled(block[rows], present[rows, m])
        means.append(mean)
    return means


def _filled(rows: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Some rows in float64, zero where the modality is absent."""
    values = rows.astype(np.float64)
    values[~present] = 0.0
    return values


@dataclass(frozen=True)
class Piece:
    """Columns of the parameters that belong to one map and one block, which it multiplies by a factor."""

    map: int
    block: int
    factor: float
    columns: slice


class Layout:
    """What the columns of parameters (K, P) are: for every map those of its blocks, and its intercept.

    Parameters
    ----------
    widths : list of int
        Of the blocks.
    factors : list of J dicts of int to float
        The blocks that each map takes, and their factors.
    n_classes : int
    counts_absent : bool
        Whether rows that lack a modality are rows of zeros, not of weight zero.
    """

    def __init__(
        self, widths: list[int], factors: Sequence[dict[int, float]], n_classes: int, counts_absent: bool
    ) -> None:
        self.n_classes, self.counts_absent = n_classes, counts_absent
        self.pieces: list[Piece] = []
        self.intercepts: list[int] = []
        start = 0
        for j, of_map in enumerate(factors):
            for m, factor in of_map.items():
                self.pieces.append(Piece(j, m, factor, slice(start, start + widths[m])))
                start += widths[m]
            self.intercepts.append(start)
            start += 1
        self.size, self.shape = start, (n_classes, start)


class Blocks:
    """Features of M modalities, less a mean row that only rows which have the modality are centred by.

    A row that lacks modality m is zeros to a head that counts it. With p the indicator of presence and s a share, what
    such a head sees is ``p (x − μ) + (p − s) μ``, the features less ``s μ``: all heads use the same centred block, and
    those that count rows without the modality add the second term, of rank one.

    Parameters
    ----------
    blocks : list of M arrays of shape (n, D_m)
        Of any number type. What stands in rows that lack the modality does not matter.
    present : bool ndarray of shape (n, M)
    means : list of M float64 arrays of shape (D_m,)
        The mean rows μ.
    shares : ndarray of shape (M,)
        The shares s: mean presence where features are to have mean zero, one where μ is to be taken off all rows.

    Raises
    ------
    ValueError
        Values are too large to be squared.
    """

    def __init__(
        self, blocks: Sequence[np.ndarray], present: np.ndarray, means: list[np.ndarray], shares: np.ndarray
    ) -> None:
        self.n_rows = len(present)
        self.widths = [block.shape[1] for block in blocks]
        self.means, self.shares = means, shares
        self.offsets: list[np.ndarray | None] = [
            None if np.all(there == share) else there - share for there, share in zip(present.T, shares, strict=True)
        ]
        self._blocks, self._present = blocks, present
        self.step = math.ceil(self.n_rows / _SAMPLED_ROWS)
        self.n_sampled = math.ceil(self.n_rows / self.step)
        self._cache: dict[Any, np.ndarray] = {}
        self.powers = [self._power(m) for m in range(len(blocks))]

    def _power(self, m: int) -> float:
        """Sum of the squares of a block, offsets included."""
        power, largest, offset = 0.0, 0.0, self.offsets[m]
        with np.errstate(over="ignore"):
            for _, values in self._centred(m):
                power += float(np.vdot(values, values))
                largest = max(largest, float(np.abs(values).max(initial=0.0)))
            if offset is not None:
                power += float(offset @ offset) * float(self.means[m] @ self.means[m])
        if not math.isfinite(power):
            raise ValueError(
                f"X holds values up to {largest:.3g}, too large to be squared: scale the features first "
                "(skmmal.ModalityScaler)"
            )
        return power

    def _centred(self, m: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows of the centred block, some at a time, in float64."""
        for start in range(0, self.n_rows, _CHUNK):
            rows = slice(start, start + _CHUNK)
            values = _filled(self._blocks[m][rows], self._present[rows, m])
            values -= self.means[m]
            values[~self._present[rows, m]] = 0.0
            yield rows, values

    def _values(self, m: int, dtype: Any) -> Iterator[tuple[slice, np.ndarray]]:
        """The centred block (n, D_m), zero in rows that lack the modality; or some rows of it after the others.

        It is held once it was asked for. In double precision it takes the place of a large one in single precision,
        which is then made of it, some rows at a time.
        """
        dtype, is_large = np.dtype(dtype), self.n_rows * self.widths[m] > _HELD_TWICE
        wider = self._cache.get((m, np.dtype(np.float64)))
        if is_large and wider is not None and dtype != np.float64:
            for start in range(0, self.n_rows, _CHUNK):
                rows = slice(start, start + _CHUNK)
                yield rows, wider[rows].astype(dtype)
            return
        if (m, dtype) not in self._cache:
            if is_large:
                self._cache.pop((m, np.dtype(np.float32)), None)
            whole = np.empty((self.n_rows, self.widths[m]), dtype)
            for rows, values in self._centred(m):
                whole[rows] = values
            self._cache[m, dtype] = whole
        yield slice(None), self._cache[m, dtype]

    def rows(self, m: int, counts_absent: bool, dtype: Any, step: int = 1) -> np.ndarray:
        """Every `step`-th row of the block, with the offset if rows that lack the modality count."""
        parts = [(part.start or 0, values) for part, values in self._values(m, dtype)]
        if step == 1 and len(parts) == 1:
            rows = parts[0][1]
        else:  # copies: a view would hold the whole block
            rows = np.concatenate([values[-at % step :: step] for at, values in parts])
        offset = self.offsets[m]
        if not counts_absent or offset is None:
            return rows
        return rows + np.outer(offset[::step], self.means[m]).astype(dtype)

    def sampled(self, of_rows: np.ndarray) -> np.ndarray:
        """The same rows of something else, scaled to stand for all."""
        some = of_rows[:: self.step]
        return some * (self.n_rows / len(some))

    def sample_products(self, m: int, counts_absent: bool, dtype: Any) -> np.ndarray:
        """``S Sᵀ`` of the sample S, which heads share."""
        counts_absent = counts_absent and self.offsets[m] is not None
        key = m, np.dtype(dtype), counts_absent
        if key not in self._cache:
            some = self.rows(m, counts_absent, dtype, self.step)
            self._cache[key] = some @ some.T
        return self._cache[key]

    # ----------------------------------------------------------------------- products, of several problems at once

    def images(self, asked: list[tuple[Layout, np.ndarray]]) -> list[list[np.ndarray]]:
        """Logits (K, n) of every map of some problems, for parameters (K, P) of each."""
        answers: list[list[np.ndarray]] = [
            [np.repeat(part[:, column, None], self.n_rows, axis=1) for column in problem.intercepts]
            for problem, part in asked
        ]
        for m in range(len(self.widths)):
            users = [(i, piece) for i, (problem, _) in enumerate(asked) for piece in problem.pieces if piece.block == m]
            if not users:
                continue
            stacked = np.concatenate([piece.factor * asked[i][1][:, piece.columns] for i, piece in users])
            product = np.empty((len(stacked), self.n_rows), stacked.dtype)
            for of_rows, values in self._values(m, stacked.dtype):
                np.matmul(stacked, values.T, out=product[:, of_rows])
            offset = self._offset(m, [asked[i][0] for i, _ in users], stacked.dtype)
            if offset is not None:
                product += (stacked @ self.means[m].astype(stacked.dtype))[:, None] * offset
            ends = np.cumsum([len(asked[i][1]) for i, _ in users])[:-1]
            for (i, piece), image in zip(users, np.split(product, ends), strict=True):
                answers[i][piece.map] += image
        return answers

    def pulls(self, asked: list[tuple[Layout, list[np.ndarray]]]) -> list[np.ndarray]:
        """Gradients (K, P) of ``Σ_j <rows_j, image_j>`` for rows (K, n) of every map of some problems."""
        answers = []
        for problem, rows in asked:
            answer = np.empty((len(rows[0]), problem.size), rows[0].dtype)
            for of_map, column in zip(rows, problem.intercepts, strict=True):
                answer[:, column] = of_map.sum(axis=1)
            answers.append(answer)
        for m in range(len(self.widths)):
            users = [(i, piece) for i, (problem, _) in enumerate(asked) for piece in problem.pieces if piece.block == m]
            if not users:
                continue
            stacked = np.concatenate([asked[i][1][piece.map] for i, piece in users])
            product = np.zeros((len(stacked), self.widths[m]), stacked.dtype)
            for of_rows, values in self._values(m, stacked.dtype):
                product += stacked[:, of_rows] @ values
            offset = self._offset(m, [asked[i][0] for i, _ in users], stacked.dtype)
            if offset is not None:
                product += (stacked * offset).sum(axis=1)[:, None] * self.means[m].astype(stacked.dtype)
            ends = np.cumsum([len(asked[i][1][0]) for i, _ in users])[:-1]
            for (i, piece), pulled in zip(users, np.split(product, ends), strict=True):
                answers[i][:, piece.columns] = piece.factor * pulled
        return answers

    def _offset(self, m: int, users: list[Layout], dtype: Any) -> np.ndarray | None:
        """Offset (ΣK, n) of the rows of a stack, zero for problems that do not count rows without the modality."""
        offset = self.offsets[m]
        if offset is None or not any(problem.counts_absent for problem in users):
            return None
        counts = np.repeat([problem.counts_absent for problem in users], [problem.n_classes for problem in users])
        return np.outer(counts, offset).astype(dtype)
