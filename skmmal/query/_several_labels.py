"""What strategies that go by the sets of labels of rows share."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from skmmal._targets import ONE_CLASS
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Head, Reading
from skmmal.selection._units import Scores, UnitBenefits, Units

__all__ = ["LabelSetSampling", "known_counts"]


class LabelSetSampling(QueryStrategy):
    """Pick the rows of highest score by the probabilities of their labels and by the labeled rows' sets of labels."""

    supports_multi_label = True
    supports_groups = True

    def __init__(self, *, on: str = "fused") -> None:
        self.on = on

    @abstractmethod
    def _scores(self, head: Head) -> np.ndarray:
        """Scores (n,) of a head's rows."""

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return pool.highest(pool.mean_score(self._scores), n_instances)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        return Scores(units.of_rows(pool.mean_score(self._scores)))


def known_counts(head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Labeled rows of which all labels are known, and how many each of them has; none where there are no labels."""
    labelled = head.labelled
    if labelled.is_predicted or len(labelled) == 0:
        nothing = np.empty(0, dtype=np.intp)
        return nothing, nothing
    if head.target is ONE_CLASS:
        return np.arange(len(labelled)), np.ones(len(labelled), dtype=np.intp)
    rows = np.flatnonzero(~np.isnan(labelled.codes).any(axis=1))
    return rows, labelled.codes[rows].sum(axis=1).astype(np.intp)
