"""Clusters that take turns to name a unit of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from skmmal.selection._units import UnitBenefits, Units

__all__ = ["ClusterTurns", "Members", "NearMembers"]


class Members(Protocol):
    """Rows of a cluster, while they are taken out."""

    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows that are left and may be picked, and what each is worth to the cluster, above zero."""

    def remove(self, rows: np.ndarray) -> None:
        """Take rows out; those of other clusters are passed over."""


class NearMembers:
    """Rows of a cluster that are worth the more the nearer they are to its center, whoever else is there.

    Parameters
    ----------
    rows : ndarray of int
        Those that may be picked.
    closeness : ndarray of float64
        Of each.
    """

    def __init__(self, rows: np.ndarray, closeness: np.ndarray) -> None:
        self._rows, self._closeness = rows, closeness

    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows that are left, and their closeness."""
        return self._rows, self._closeness

    def remove(self, rows: np.ndarray) -> None:
        """Take rows out."""
        stay = ~np.isin(self._rows, rows)
        self._rows, self._closeness = self._rows[stay], self._closeness[stay]


class ClusterTurns(UnitBenefits):
    """What a unit's rows are worth to the cluster whose turn it is; rows in other clusters are worth nothing to it.

    Clusters go round as long as they have rows in units that can be picked; who has none is passed over.

    Parameters
    ----------
    members : mapping of int to Members
        Rows of each cluster.
    stages : sequence of sequence of int
        Clusters in the order of their turns; those of a later stage come when none of the earlier ones has a row.
    units : Units
    """

    nothing_is_random = False

    def __init__(self, members: Mapping[int, Members], stages: Sequence[Sequence[int]], units: Units) -> None:
        self._members, self._units = members, units
        self._stages = [list(stage) for stage in stages]
        self._turns = [0 for _ in stages]
        self._last: tuple[int, int] | None = None

    def present(self, rates: np.ndarray) -> np.ndarray:
        for stage, clusters in enumerate(self._stages):
            for step in range(len(clusters)):
                at = (self._turns[stage] + step) % len(clusters)
                rows, worth = self._members[clusters[at]].values()
                if len(rows) and (rates[self._units.codes[rows]] > 0).any():
                    self._last = stage, at
                    values = np.zeros(len(self._units.codes))
                    values[rows] = worth
                    return self._units.of_rows(values)
        return np.zeros(self._units.n_units)

    def take(self, unit: int) -> None:
        rows = self._units.rows(unit)
        for clusters in self._stages:
            for cluster in clusters:
                self._members[cluster].remove(rows)
        if self._last is not None:
            stage, at = self._last
            self._turns[stage] = (at + 1) % len(self._stages[stage])
