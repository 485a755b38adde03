"""How unsure a head is of a row, and what the strategies that rank by it share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np

from skmmal._sklearn import StrOptions
from skmmal._targets import ONE_CLASS, Target
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Head, Reading
from skmmal.reading._sharded import ShardedReading
from skmmal.selection._units import Scores, UnitBenefits, Units

__all__ = ["UncertaintySampling", "margin_uncertainty", "negative_margin", "over_labels"]


def negative_margin(probabilities: np.ndarray) -> np.ndarray:
    """How far the second most probable class of each row is behind the first, from −1 (sure) to 0 (a tie)."""
    if probabilities.shape[1] == 1:  # one class: nothing to confuse it with
        return -probabilities[:, 0]
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    return second - first


def margin_uncertainty(probabilities: np.ndarray, target: Target = ONE_CLASS) -> np.ndarray:
    """One minus the margin between the two most probable classes, in [0, 1]; of several labels, the mean over them."""
    return np.clip(1.0 + over_labels(negative_margin, probabilities, target), 0.0, 1.0)


def over_labels(
    uncertainty: Callable[[np.ndarray], np.ndarray],
    probabilities: np.ndarray,
    target: Target,
    aggregate: str = "mean",
) -> np.ndarray:
    """Uncertainty of each row: about its class, or the mean or largest one about the states of its labels.

    Parameters
    ----------
    uncertainty : callable
        From probabilities (n, K) of classes to (n,).
    probabilities : ndarray of shape (n, K)
    target : Target
    aggregate : {"mean", "max"}, default="mean"

    Returns
    -------
    ndarray of shape (n,)
    """
    found, count = None, 0
    for each in target.distributions(probabilities):
        scores, count = uncertainty(each), count + 1
        if found is None:
            found = scores
        else:
            found = np.maximum(found, scores) if aggregate == "max" else found + scores
    assert found is not None
    return found / count if aggregate == "mean" and count > 1 else found


class UncertaintySampling(QueryStrategy):
    """Pick the rows of highest uncertainty; on ties the lowest index."""

    supports_multi_label = True
    supports_groups = True
    _reads_labelled_on_shards = False
    _lowest = 0.0
    """Uncertainty of a row that is sure: what groups and costs count from."""

    _parameter_constraints: dict = {"aggregate": [StrOptions({"mean", "max"})]}

    def __init__(self, *, on: str = "fused", aggregate: str = "mean") -> None:
        self.on = on
        self.aggregate = aggregate

    @staticmethod
    @abstractmethod
    def _uncertainty(probabilities: np.ndarray) -> np.ndarray:
        """Uncertainty of each row of (N, K) probabilities."""

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return pool.highest(self._scores(pool), n_instances)

    def _select_shards(self, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return shards.highest(self._scores, n_instances)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        above = np.maximum(self._scores(pool) - self._lowest, 0.0)
        return Scores(units.of_rows(above))

    def _score(self, head: Head) -> np.ndarray:
        return head.of_probabilities(lambda p: over_labels(self._uncertainty, p, head.target, self.aggregate))

    def _scores(self, pool: Reading) -> np.ndarray:
        return pool.mean_score(self._score)
