"""Points of which some lack blocks: distances are those over the blocks that both have, brought to one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from skmmal._arrays import numeric
from skmmal._chunks import row_chunks
from skmmal.selection._embedding import DenseEmbedding, Embedding, Factors, gather_rows

__all__ = ["PartialEmbedding", "mean_sq_distances"]


def mean_sq_distances(sets: Sequence[Sequence[Any]], present: Sequence[Any]) -> np.ndarray:
    """Mean squared distance of two random rows in each block, of the rows that have it: twice its total variance.

    Parameters
    ----------
    sets : sequence of sequences of M array-likes of shape (n, D_m)
        Sets of rows with the same blocks, for example the pool and the labelled rows.
    present : sequence of array-likes of bool, shape (n, M)

    Returns
    -------
    ndarray of float64, shape (M,)

    Examples
    --------
    >>> mean_sq_distances([[[[0.0], [2.0], [9.0]]]], [[[True], [True], [False]]])
    array([2.])
    """
    masks = [np.asarray(mask, dtype=bool) for mask in present]
    found = np.zeros(masks[0].shape[1])
    for m in range(len(found)):
        count, mean, squares = 0, 0.0, 0.0
        for blocks, mask in zip(sets, masks, strict=True):
            block = np.asarray(blocks[m])
            for part in row_chunks(*block.shape):
                rows = block[part].astype(np.float64)[mask[part, m]]
                if len(rows):  # Chan's update: a difference of large sums would cancel
                    middle, total = rows.mean(axis=0), count + len(rows)
                    between = np.square(middle - mean).sum() * count * len(rows) / total
                    squares += float(np.square(rows - middle).sum() + between)
                    mean, count = mean + (middle - mean) * (len(rows) / total), total
        found[m] = 2.0 * squares / max(count, 1)
    return found


class PartialEmbedding(DenseEmbedding):
    """Points given by blocks of coordinates, which not every point has.

    ``d²(i, j) = Σ_m s_m / Σ_{m ∈ i, j} s_m · Σ_{m ∈ i, j} ‖x_i^m − x_j^m‖²``, the last two sums over the blocks that
    both have and s_m how far apart two points are in block m on average: what is not seen is taken to be as far apart,
    for its scale, as what is seen. Points that share no block (or only blocks in which no points differ) are as far
    apart as two points are on average, Σ_m s_m. Between points that have everything these are Euclidean distances. The
    squared norm of a point is brought to the scale of all blocks in the same way.

    Parameters
    ----------
    values : sequence of M array-likes of shape (N, D_m)
        Zero where absent.
    present : array-like of bool, shape (N, M)
    scales : array-like of shape (M,)
        s_m, for example of `mean_sq_distances`; not negative.

    Examples
    --------
    >>> points = PartialEmbedding([[[0.0], [3.0], [0.0]], [[0.0], [4.0], [2.0]]], [[1, 1], [1, 1], [0, 1]], [1.0, 3.0])
    >>> points.sq_distances()
    array([[ 0.        , 25.        ,  5.33333333],
           [25.        ,  0.        ,  5.33333333],
           [ 5.33333333,  5.33333333,  0.        ]])
    """

    _is_euclidean = False

    def __init__(self, values: Any, present: Any, scales: Any) -> None:
        super().__init__(values)
        mask = numeric(present, "present", 2)
        weights = numeric(scales, "scales", 1, finite=True)
        if mask.shape != (self._n_rows, len(self._blocks)) or weights.shape != (len(self._blocks),):
            raise ValueError(
                f"present must have shape {(self._n_rows, len(self._blocks))} (rows and blocks) and scales shape "
                f"{(len(self._blocks),)}, found {mask.shape} and {weights.shape}"
            )
        if (weights < 0).any():
            raise ValueError(f"scales must not be negative, got {weights.tolist()}")
        self._present = torch.as_tensor(mask.astype(bool), device=self.device)
        self._scales = torch.as_tensor(weights.astype(np.float64), device=self.device)

    @property
    def _n_factors(self) -> int:  # type: ignore[override]
        return len(self._blocks) + 1

    def _gather(self, rows: slice | torch.Tensor, dtype: torch.dtype) -> Factors:
        return *super()._gather(rows, dtype), gather_rows(self._present, rows).to(dtype)

    def _inner(self, left: Factors, right: Factors) -> torch.Tensor:
        return super()._inner(left[:-1], right[:-1])

    def _sq_norms(self, rows: Factors) -> torch.Tensor:
        seen = (rows[-1].double() @ self._scales).clamp_max_(self._scales.sum())
        share = torch.where(seen > 0, self._scales.sum() / seen, 1.0)
        return super()._sq_norms(rows[:-1]) * share

    def _sums_and_scales(
        self, rows: slice | torch.Tensor, other: Embedding, cols: torch.Tensor, col_factors: Factors
    ) -> tuple[torch.Tensor, torch.Tensor]:
        factors = self._gather(rows, self.compute_dtype)
        *left, row_there = factors
        *right, col_there = col_factors
        left_norms, right_norms = (
            torch.stack([torch.linalg.vecdot(block, block) for block in blocks], dim=1) for blocks in (left, right)
        )
        sums = left_norms @ col_there.T + row_there @ right_norms.T
        distances = sums.add(self._inner(factors, col_factors), alpha=-2)
        shares, apart = self._shares(row_there @ (self._scales.to(col_there.dtype) * col_there).T)
        for values in (distances, sums):
            values.mul_(shares).masked_fill_(apart, float(self._scales.sum()))
        return distances, sums

    def _paired_sq_distances(self, left: Factors, right: Factors) -> torch.Tensor:
        both = left[-1] * right[-1]
        squares = torch.stack([(a - b).square().sum(dim=1) for a, b in zip(left[:-1], right[:-1], strict=True)], dim=1)
        shares, apart = self._shares(both @ self._scales.to(both.dtype))
        return (squares * both).sum(dim=1).mul_(shares).masked_fill_(apart, float(self._scales.sum()))

    def _shares(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What distances over `seen` of the scales are multiplied by, and where nothing is seen."""
        total = self._scales.sum().to(seen.dtype)
        apart = seen <= 0
        shares = torch.where(apart, 1.0, total / seen)
        # what both have in full is exact
        return torch.where((seen - total).abs() <= 1e-6 * total, 1.0, shares), apart & (total > 0)

    def to(self, device: torch.device | str) -> PartialEmbedding:
        """Return the same embedding with its values on `device`."""
        blocks = [block.to(device) for block in self._blocks]
        return PartialEmbedding(blocks, self._present.cpu(), self._scales.cpu())

    def take(self, rows: np.ndarray) -> PartialEmbedding:
        """Return the embedding of some rows only."""
        index = self._index(rows)
        blocks = [block[index] for block in self._blocks]
        return PartialEmbedding(blocks, self._present[index].cpu(), self._scales.cpu())
