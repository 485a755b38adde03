"""What strategies share that draw from gradient embeddings by their squared distances."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral
from typing import Any

import numpy as np

from skmmal._random import RandomState, draw_seed
from skmmal._sklearn import Interval, StrOptions
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Reading, read_with_labels
from skmmal.reading._sharded import ShardedReading, View
from skmmal.reading._sharded_points import ShardedPoints
from skmmal.selection import Embedding, EmbeddingPoints, d2_sampling
from skmmal.selection._units import Distances, UnitBenefits, Units

__all__ = ["GradientSampling"]


class GradientSampling(QueryStrategy):
    """D² sampling of gradient embeddings; subclasses say what the embedding is."""

    supports_multi_label = True
    supports_groups = True
    _reads_labelled_on_shards = False
    _parameter_constraints: dict = {
        "first": [StrOptions({"norm", "random"}), Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(self, first: str | int = "norm", random_state: RandomState = None) -> None:
        self.first = first
        self.random_state = random_state

    @abstractmethod
    def _embedding(self, pool: Reading) -> Embedding:
        """Gradient embedding of the rows of a reading."""

    def embedding(self, estimator: Any, X: Any) -> Embedding:
        """Gradient embedding of rows, in factors.

        Parameters
        ----------
        estimator : fitted classifier
            As for `query`.
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows in any form that the estimator takes.

        Returns
        -------
        OuterProductEmbedding
            Of n_samples points. A modality's gradient (``on="image"``) is zero in the rows that lack it; with
            ``on="all"`` this is a `StackedEmbedding`.
        """
        return self._whole_embedding(read_with_labels(estimator, X))

    def _whole_embedding(self, pool: Reading) -> Embedding:
        return self._embedding(pool)

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return d2_sampling(
            self._embedding(pool),
            n_instances,
            random_state=draw_seed(rng),
            first=self._first_in(pool),
            return_sq_distances=True,
        )

    def _select_shards(self, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
        points = ShardedPoints(shards, self._points)
        first = self.first
        if not isinstance(first, str) and first < len(shards.pool):
            at = shards.positions_of(first)
            first = "norm" if at is None else at
        return d2_sampling(points, n_instances, random_state=draw_seed(rng), first=first, return_sq_distances=True)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        return Distances(self._embedding(pool), units, drawn=True, first=self._first_in(pool))

    def _first_in(self, pool: Reading) -> str | int:
        if isinstance(self.first, str) or self.first >= len(pool.source):  # d2_sampling says that there is no such row
            return self.first
        at = np.flatnonzero(pool.rows == self.first)
        return int(at[0]) if len(at) else "norm"

    def _points(self, view: View) -> EmbeddingPoints:
        return EmbeddingPoints(self._embedding(view.reading))
