"""The squared distance from every point to its nearest chosen one, updated by blocks of chosen points."""

from __future__ import annotations

import math

import numpy as np
import torch

from skmmal.selection.embedding import Embedding, _sq_distances

_CENTRES_PER_PASS = 256


class NearestCentre:
    """Squared distances of all points to the nearest centre so far.

    One pass over the points serves a whole block of new centres: a matrix product instead of as many
    matrix-vector products. Points whose norm shows that no new centre can be nearer than the present one
    (``‖g − c‖ ≥ |‖g‖ − ‖c‖|``) are left out of the pass.
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
            self._pass(other, index)
        if source is None:
            self.sq_distances[torch.as_tensor(centres, device=self.embedding.device)] = 0

    def _pass(self, source: Embedding, centres: torch.Tensor) -> None:
        factors = source._gather(centres, self.embedding.compute_dtype)
        centre_norms = source._norms64()[centres].sqrt().sort().values
        for rows in self.embedding._chunks():
            current = self.sq_distances[rows]
            active = self._may_improve(rows, current, centre_norms)
            count = int(active.sum())
            if count == 0:
                continue
            if count > 0.7 * len(active):  # a contiguous chunk is a view, a gathered one a copy
                distances = _sq_distances(self.embedding, rows, source, centres, factors, current)
                torch.minimum(current, distances.min(dim=1).values, out=current)
            else:
                index = torch.nonzero(active).squeeze(1) + rows.start
                current = self.sq_distances[index]
                distances = _sq_distances(self.embedding, index, source, centres, factors, current)
                self.sq_distances[index] = torch.minimum(current, distances.min(dim=1).values)

    def _may_improve(self, rows: slice, current: torch.Tensor, centre_norms: torch.Tensor) -> torch.Tensor:
        norms = self._norms[rows]
        radius = current.to(torch.float64).sqrt() * (1 + 1e-3)  # room for rounding
        above = torch.searchsorted(centre_norms, norms - radius, right=True)
        below = torch.searchsorted(centre_norms, norms + radius, right=False)
        return (below > above) & (current > 0)
