"""How unsure a head is of a row, and what the strategies that rank by it share."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Reading

__all__ = ["UncertaintySampling", "margin_uncertainty", "negative_margin"]


def negative_margin(probabilities: np.ndarray) -> np.ndarray:
    """How far the second most probable class of each row is behind the first, from −1 (sure) to 0 (a tie)."""
    if probabilities.shape[1] == 1:  # one class: nothing to confuse it with
        return -probabilities[:, 0]
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    return second - first


def margin_uncertainty(probabilities: np.ndarray) -> np.ndarray:
    """One minus the margin between the two most probable classes, in [0, 1]."""
    return np.clip(1.0 + negative_margin(probabilities), 0.0, 1.0)


class UncertaintySampling(QueryStrategy):
    """Pick the rows of highest uncertainty; on ties the lowest index."""

    def __init__(self, *, on: str = "fused") -> None:
        self.on = on

    @staticmethod
    @abstractmethod
    def _uncertainty(probabilities: np.ndarray) -> np.ndarray:
        """Uncertainty of each row of (N, K) probabilities."""

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return pool.highest(pool.mean_score(lambda head: self._uncertainty(head.probabilities)), n_instances)
