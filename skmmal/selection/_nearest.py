"""The squared distance from every point to its nearest chosen one, updated by blocks of chosen points."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch

from skmmal.selection._embedding import Embedding, Factors, _sq_distances, gather_rows

_CENTRES_PER_PASS = 512
# With fewer new centres than this, finding out which pairs matter costs more than their products.
_SIFT_FROM = 32
# Groups of like rows are looked for within a window, so that memory-mapped rows are read nearly in order.
_WINDOW_ROWS, _GROUP_ROWS = 2**15, 512
# Room for rounding, relative to ‖g‖² + ‖c‖², in bounds got from float32 products.
_SLACK = 1e-4


class NearestCentre:
    """Squared distances of all points to the nearest centre so far.

    One pass over the points serves a whole block of new centres: a matrix product instead of as many
    matrix-vector products. What provably changes nothing is left out of it: points whose norm shows that no new
    centre can be nearer than the present one (``‖g − c‖ ≥ |‖g‖ − ‖c‖|``) and, where the embedding knows a bound of
    the inner products that is cheaper than they are, all pairs that the bound rules out.
    """

    def __init__(self, embedding: Embedding) -> None:
        self.embedding = embedding
        dtype = embedding.compute_dtype
        self.sq_distances = torch.full((len(embedding),), math.inf, dtype=dtype, device=embedding.device)
        self._norms = embedding._norms64().sqrt()

    def add(self, centres: np.ndarray, source: Embedding | None = None) -> None:
        """Take points of `source` (by default of the embedding itself) as further centres."""
        other = self.embedding if source is None else source
        for start in range(0, len(centres), _CENTRES_PER_PASS):
            index = torch.as_tensor(centres[start : start + _CENTRES_PER_PASS], device=other.device)
            if len(index) >= _SIFT_FROM and self.embedding._has_bound:
                self._sifted_pass(other, index)
            else:
                self._plain_pass(other, index)
            other._release()
        if source is None:
            self.sq_distances[torch.as_tensor(centres, device=self.embedding.device)] = 0

    def _plain_pass(self, source: Embedding, centres: torch.Tensor) -> None:
        factors = source._gather(centres, self.embedding.compute_dtype)
        centre_norms = source._norms64()[centres].sqrt().sort().values
        for rows in self.embedding._chunks():
            active = self._may_improve(rows, centre_norms)
            count = int(active.sum())
            if count == 0:
                continue
            if count > 0.7 * len(active):  # a contiguous chunk is a view, a gathered one a copy
                self._update(rows, source, centres, factors)
            else:
                self._update(torch.nonzero(active).squeeze(1) + rows.start, source, centres, factors)

    def _sifted_pass(self, source: Embedding, centres: torch.Tensor) -> None:
        dtype = self.embedding.compute_dtype
        factors = source._gather(centres, dtype)
        narrow = source._bound_factors(centres, dtype)
        sq_norms = source._norms64()[centres].to(dtype)
        for window, groups in self._groups:
            for rows in groups:
                row_there, column_there = self._possible(rows, narrow, sq_norms)
                if len(row_there):
                    columns = torch.nonzero(column_there).squeeze(1)
                    chosen = tuple(gather_rows(factor, columns) for factor in factors)
                    self._update(row_there, source, centres[columns], chosen)
            self.embedding._release(window)

    def _possible(
        self, rows: torch.Tensor, narrow: Factors, sq_norms: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows that the bounds allow to come nearer to some centre, and a mask of these centres."""
        dtype = self.embedding.compute_dtype
        norms = self.embedding._norms64()[rows].to(dtype)
        # distance² ≥ ‖g‖² + ‖c‖² − 2·bound: it is below the present one only where 2·bound exceeds the rest
        rest = (1 - _SLACK) * norms - self.sq_distances[rows]
        bounds = self.embedding._bounds(self.embedding._bound_factors(rows, dtype), narrow)
        possible = bounds.mul_(2).sub_((1 - _SLACK) * sq_norms) > rest[:, None]
        return rows[possible.any(dim=1)], possible.any(dim=0)

    def _update(self, rows: slice | torch.Tensor, source: Embedding, centres: torch.Tensor, factors: Factors) -> None:
        current = self.sq_distances[rows]
        distances = _sq_distances(self.embedding, rows, source, centres, factors, current)
        self.sq_distances[rows] = torch.minimum(current, distances.min(dim=1).values)

    def _may_improve(self, rows: slice, centre_norms: torch.Tensor) -> torch.Tensor:
        norms, current = self._norms[rows], self.sq_distances[rows]
        if not self.embedding._is_euclidean:
            return current > 0
        radius = current.to(torch.float64).sqrt() * (1 + 1e-3)  # room for rounding
        above = torch.searchsorted(centre_norms, norms - radius, right=True)
        below = torch.searchsorted(centre_norms, norms + radius, right=False)
        return (below > above) & (current > 0)

    @cached_property
    def _groups(self) -> list[tuple[slice, tuple[torch.Tensor, ...]]]:
        """Windows of the rows, and in each those rows together that are near the same centres."""
        n_rows = len(self.embedding)
        groups = []
        for start in range(0, n_rows, _WINDOW_ROWS):
            window = slice(start, min(start + _WINDOW_ROWS, n_rows))
            groups.append((window, self.embedding._alike(window).split(_GROUP_ROWS)))
            self.embedding._release(window)
        return groups
