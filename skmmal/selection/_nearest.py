"""The squared distance from every point to its nearest chosen one, updated by blocks of chosen points."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from skmmal.selection._backend import Array, cast, full, gather, like, namespace, to_numpy
from skmmal.selection._embedding import Embedding, sq_distances
from skmmal.selection._terms import Factors

__all__ = ["NearestCentre"]

_CENTRES_PER_PASS = 512
# With fewer new centres than this, finding out which pairs matter costs more than their products.
_SIFT_FROM = 128
# Groups of like rows are looked for within a window, so that memory-mapped rows are read nearly in order.
_WINDOW_ROWS, _GROUP_ROWS = 2**15, 512
# Rows by which it is found out whether sifting rules out half of the pairs.
_PROBED_ROWS = 1_024
# Room for rounding, relative to ‖g‖² + ‖c‖², in bounds got from float32 products.
_SLACK = 1e-4


class NearestCentre:
    """Squared distances of all points to the nearest centre so far.

    One pass over the points serves a whole block of new centres: a matrix product instead of as many
    matrix-vector products. What provably changes nothing is left out of it: points whose norm shows that no new
    centre can be nearer than the present one (``‖g − c‖ ≥ |‖g‖ − ‖c‖|``) and, of outer products, all pairs that
    ``|(a·b)(h·k)| ≤ |a·b| ‖h‖ ‖k‖`` rules out, which takes the narrow factors only.

    Parameters
    ----------
    embedding : Embedding
    counts : ndarray of bool, shape (N,), optional
        Points whose distances matter; those of others stay zero.
    """

    def __init__(self, embedding: Embedding, counts: np.ndarray | None = None) -> None:
        self.embedding = embedding
        self._norms = namespace(embedding.measures.sq_norms).sqrt(embedding.measures.sq_norms)
        self.sq_distances = full(len(embedding), math.inf, embedding.measures.dtype, self._norms)
        if counts is not None:
            self.sq_distances[like(~counts, self._norms)] = 0.0
        self._has_bound = any(term.left is not None for term in embedding.terms)

    def add(self, centres: Embedding, rows: np.ndarray | None = None) -> None:
        """Take further centres; `rows` are those of them that are among the points."""
        if rows is not None:  # before the passes, which then need not find out that these distances are zero
            self.sq_distances[like(np.asarray(rows, dtype=np.intp), self._norms)] = 0.0
        for start in range(0, len(centres), _CENTRES_PER_PASS):
            block = np.arange(start, min(start + _CENTRES_PER_PASS, len(centres)))
            if len(block) >= _SIFT_FROM and self._has_bound:
                self._sifted_pass(centres, block)
            else:
                self._plain_pass(centres, block)

    def _plain_pass(self, centres: Embedding, block: np.ndarray) -> None:
        factors = centres.gather(block, self.embedding.measures.dtype)
        centre_norms = like(np.sort(np.sqrt(to_numpy(centres.measures.sq_norms)[block])), self._norms)
        for rows in self.embedding.chunks():
            active = self._may_improve(rows, centre_norms)
            count = int(active.sum())
            if count > 0.7 * len(active):  # a contiguous chunk is a view, a gathered one a copy
                self._update(rows, centres, block, factors)
            elif count > 0:
                self._update(np.flatnonzero(to_numpy(active)) + rows.start, centres, block, factors)

    def _sifted_pass(self, centres: Embedding, block: np.ndarray) -> None:
        dtype = self.embedding.measures.dtype
        factors = centres.gather(block, dtype)
        narrow = _narrow_factors(centres, block, dtype)
        sq_norms = (1 - _SLACK) * cast(gather(centres.measures.sq_norms, block), dtype)
        some = np.arange(0, len(self.embedding), max(1, len(self.embedding) // _PROBED_ROWS))
        if int(self._possible(some, narrow, sq_norms).sum()) > len(some) * len(block) // 2:
            self._plain_pass(centres, block)  # as where rows have many labels: the bounds rule out hardly anything
            return
        for window, groups in self._groups:
            for rows in groups:
                possible = self._possible(rows, narrow, sq_norms)
                near = rows[to_numpy(possible.any(axis=1))]
                if len(near):
                    index = np.flatnonzero(to_numpy(possible.any(axis=0)))
                    self._update(near, centres, block[index], [factor.take(index) for factor in factors])
            self.embedding.release(window)

    def _possible(self, rows: np.ndarray, narrow: list[Array], sq_norms: Array) -> Array:
        """Which rows the bounds allow to come nearer to which centres than they are to their nearest one."""
        dtype = self.embedding.measures.dtype
        # distance² ≥ ‖g‖² + ‖c‖² − 2·bound: it is below the present one only where 2·bound exceeds the rest
        norms = cast(gather(self.embedding.measures.sq_norms, rows), dtype)
        rest = (1 - _SLACK) * norms - gather(self.sq_distances, rows)
        bounds = 0.0
        for own, their in zip(_narrow_factors(self.embedding, rows, dtype), narrow, strict=True):
            bounds = bounds + abs(own @ their.T)
        bounds *= 2
        bounds -= sq_norms
        return bounds > rest[:, None]

    def _update(self, rows: slice | np.ndarray, centres: Embedding, cols: np.ndarray, factors: list[Factors]) -> None:
        current = gather(self.sq_distances, rows)
        library = namespace(current)
        distances = sq_distances(self.embedding, rows, centres, cols, factors, current)
        self.sq_distances[rows] = library.minimum(current, library.amin(distances, axis=1))

    def _may_improve(self, rows: slice, centre_norms: Array) -> Array:
        norms, current = self._norms[rows], self.sq_distances[rows]
        if not self.embedding.is_euclidean:
            return current > 0
        library = namespace(norms)
        radius = library.sqrt(cast(current, "float64")) * (1 + 1e-3)  # room for rounding
        above = library.searchsorted(centre_norms, norms - radius, side="right")
        below = library.searchsorted(centre_norms, norms + radius, side="left")
        return (below > above) & (current > 0)

    @cached_property
    def _groups(self) -> list[tuple[slice, list[np.ndarray]]]:
        """Windows of the rows, and in each those rows together that are near the same centres.

        Residuals p − onehot(ŷ) of one predicted class are alike; those of different classes are nearly orthogonal.
        """
        left = next(term.left for term in self.embedding.terms if term.left is not None)
        groups = []
        for start in range(0, len(self.embedding), _WINDOW_ROWS):
            window = slice(start, min(start + _WINDOW_ROWS, len(self.embedding)))
            heaviest = to_numpy(abs(left[window]).argmax(axis=1))
            alike = np.argsort(heaviest, kind="stable") + start
            groups.append((window, np.split(alike, range(_GROUP_ROWS, len(alike), _GROUP_ROWS))))
            self.embedding.release(window)
        return groups


def _narrow_factors(embedding: Embedding, rows: slice | np.ndarray, dtype: str) -> list[Array]:
    """The left factors times the norms of the right ones, or these alone where there is no left factor."""
    narrow = []
    for term, right_norms in zip(embedding.terms, embedding.measures.right_norms, strict=True):
        norms = cast(gather(right_norms, rows), dtype)[:, None]
        narrow.append(norms if term.left is None else cast(gather(term.left, rows), dtype) * norms)
    return narrow
