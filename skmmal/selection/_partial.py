"""Points of which some lack blocks: distances are those over the blocks that both have, brought to one scale."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from skmmal._arrays import numeric
from skmmal._chunks import row_chunks
from skmmal.selection._backend import Array, as_blocks, as_matrix, cast, like, namespace, row_sq_norms
from skmmal.selection._embedding import Measures, inner_products
from skmmal.selection._factored import DenseEmbedding
from skmmal.selection._terms import Factors, Term

__all__ = ["Moments", "PartialEmbedding", "block_moments", "mean_sq_distances", "scales_of"]


def mean_sq_distances(sets: Sequence[Sequence[Any]], present: Sequence[Any]) -> np.ndarray:
    """Mean squared distance of two random rows in each block, of the rows that have it: twice its total variance.

    Parameters
    ----------
    sets : sequence of sequences of M array-likes of shape (n, D_m)
        Sets of rows with the same blocks, for example the pool and the labelled rows.
    present : sequence of array-likes of bool, shape (n, M)
        Which blocks the rows of each set have.

    Returns
    -------
    ndarray of float64, shape (M,)

    Examples
    --------
    >>> mean_sq_distances([[[[0.0], [2.0], [9.0]]]], [[[True], [True], [False]]])
    array([2.])
    """
    return scales_of([block_moments(blocks, mask) for blocks, mask in zip(sets, present, strict=True)])


class Moments(NamedTuple):
    """Of the rows of a block that are there: how many, their mean, and the sum of their squared distances to it."""

    n_rows: int
    mean: np.ndarray
    squares: float

    def join(self, other: Moments) -> Moments:
        """Those of the rows of both; Chan's update: a difference of large sums would cancel."""
        total = self.n_rows + other.n_rows
        if self.n_rows == 0 or other.n_rows == 0:
            return other if self.n_rows == 0 else self
        apart = other.mean - self.mean
        between = float(np.square(apart).sum()) * other.n_rows * self.n_rows / total
        return Moments(total, self.mean + apart * (other.n_rows / total), self.squares + other.squares + between)


def block_moments(blocks: Sequence[Any], present: Any) -> list[Moments]:
    """Moments of every block over the rows that have it."""
    mask, found = np.asarray(present, dtype=bool), []
    for m, each in enumerate(blocks):
        block = as_matrix(each, "blocks")
        moments = Moments(0, np.zeros(block.shape[1]), 0.0)
        for part in row_chunks(*block.shape):
            rows = block[part].astype(np.float64)[mask[part, m]]
            if len(rows):
                middle = rows.mean(axis=0)
                moments = moments.join(Moments(len(rows), middle, float(np.square(rows - middle).sum())))
        found.append(moments)
    return found


def scales_of(parts: Sequence[Sequence[Moments]]) -> np.ndarray:
    """Mean squared distance of two random rows in each block, of the moments of all parts of the rows."""
    joined = [reduce(Moments.join, of_block) for of_block in zip(*parts, strict=True)]
    return np.array([2.0 * moments.squares / max(moments.n_rows, 1) for moments in joined])


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
        Which blocks a point has.
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

    is_euclidean = False

    def __init__(self, values: Any, present: Any, scales: Any) -> None:
        blocks = as_blocks(values, "values")
        mask = numeric(present, "present", 2)
        weights = numeric(scales, "scales", 1, finite=True)
        shape = (len(blocks[0]), len(blocks))
        if mask.shape != shape or weights.shape != shape[1:]:
            raise ValueError(
                f"present must have shape {shape} (rows and blocks) and scales shape {shape[1:]}, "
                f"found {mask.shape} and {weights.shape}"
            )
        if (weights < 0).any():
            raise ValueError(f"scales must not be negative, got {weights.tolist()}")
        super().__init__(blocks)
        self.terms = (Term(blocks, present=like(mask.astype(bool), blocks[0])),)
        self.scales = weights.astype(np.float64)

    def _measure(self, dtype: str) -> Measures:
        found = super()._measure(dtype)
        shares, _ = self._shares(cast(self.terms[0].present, "float64"))
        return found._replace(sq_norms=found.sq_norms * shares)

    def expanded(
        self, factors: list[Factors], others: list[Factors], sq_norms: Array, other_sq_norms: Array
    ) -> tuple[Array, Array]:
        (own,), (their,) = factors, others
        library, dtype = namespace(own.present), self.measures.dtype
        own_norms, their_norms = (
            cast(library.stack([row_sq_norms(block) for block in each.blocks], axis=1), dtype) for each in (own, their)
        )
        sums = own_norms @ their.present.T + own.present @ their_norms.T
        distances = sums - 2 * inner_products(factors, others)
        shares, apart = self._shares(own.present, their.present)
        for values in (distances, sums):
            values *= shares
            values[apart] = float(self.scales.sum())
        return distances, sums

    def paired(self, factors: list[Factors], others: list[Factors]) -> Array:
        (own,), (their,) = factors, others
        squares = [row_sq_norms(a - b) for a, b in zip(own.blocks, their.blocks, strict=True)]
        both = own.present * their.present
        shares, apart = self._shares(both)
        distances = (namespace(both).stack(squares, axis=1) * both).sum(axis=1) * shares
        distances[apart] = float(self.scales.sum())
        return distances

    def _shares(self, present: Array, other: Array | None = None) -> tuple[Array, Array]:
        """What distances over the blocks seen (by both of all pairs) are multiplied by, and where nothing is seen."""
        library = namespace(present)
        scales = cast(like(self.scales, present), str(present.dtype).removeprefix("torch."))
        total = float(self.scales.sum())
        seen = present @ scales if other is None else present @ (scales * other).T
        apart = seen <= 0
        shares = total / library.where(apart, 1.0, seen)
        # what both have in full is exact
        exact = apart | (abs(seen - total) <= 1e-6 * total)
        return library.where(exact, 1.0, shares), apart & (total > 0)
