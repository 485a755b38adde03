"""The most typical rows of clusters: those whose nearest neighbours are near."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from skmmal.selection._cluster_turns import ClusterTurns
from skmmal.selection._units import Units
from skmmal.selection._validation import check_candidates

__all__ = ["round_robin_by_typicality", "typical_units"]


def round_robin_by_typicality(
    points: np.ndarray,
    labels: np.ndarray,
    labelled_counts: np.ndarray,
    n_instances: int,
    n_neighbors: int,
    min_cluster_size: int,
    candidates: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Go round the clusters (fewest labels first, then largest) and take the most typical row that is left.

    Parameters
    ----------
    points : ndarray of shape (N, D)
    labels : ndarray of int, shape (N,)
        Cluster of each point.
    labelled_counts : ndarray of int, shape (number of clusters,)
        How many labelled rows each cluster has besides.
    n_instances : int
        How many to pick.
    n_neighbors : int
        Neighbours for the typicality, or half of the cluster where that is less.
    min_cluster_size : int
        Smaller clusters come last.
    candidates : array-like of int or bool, optional
        Points that may be picked, by default all; the others are neighbours all the same.

    Returns
    -------
    indices : ndarray of int
    typicality : ndarray of float64
    """
    allowed = check_candidates(candidates, len(points))
    picked: list[int] = []
    scores: list[float] = []
    for rest in _stages(points, labels, labelled_counts, n_neighbors, min_cluster_size, allowed):
        while rest and len(picked) < n_instances:
            for c in list(rest)[: n_instances - len(picked)]:
                row, typical = rest[c].take()
                picked.append(row)
                scores.append(typical)
                if rest[c].is_done:
                    del rest[c]
    return np.asarray(picked, dtype=np.intp), np.asarray(scores)


def typical_units(
    points: np.ndarray,
    labels: np.ndarray,
    labelled_counts: np.ndarray,
    units: Units,
    n_neighbors: int,
    min_cluster_size: int,
) -> ClusterTurns:
    """Go round the clusters as `round_robin_by_typicality` does, and take the unit that is most typical of the cluster.

    Parameters
    ----------
    points, labels, labelled_counts, n_neighbors, min_cluster_size
        As in `round_robin_by_typicality`.
    units : Units
        Rows that are in none are neighbours all the same.

    Returns
    -------
    ClusterTurns
    """
    stages = _stages(points, labels, labelled_counts, n_neighbors, min_cluster_size, units.codes >= 0)
    large, small = stages
    return ClusterTurns({**large, **small}, [list(large), list(small)], units)


def _stages(
    points: np.ndarray,
    labels: np.ndarray,
    labelled_counts: np.ndarray,
    n_neighbors: int,
    min_cluster_size: int,
    allowed: np.ndarray,
) -> list[dict[int, _Typicality]]:
    """Large clusters, and small ones, in the order of their turns."""
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels, minlength=len(labelled_counts))
    members = np.split(order, np.cumsum(sizes)[:-1])
    total = sizes + labelled_counts
    turns = sorted(np.unique(labels[allowed]).tolist(), key=lambda c: (labelled_counts[c], -total[c], c))
    found: list[dict[int, _Typicality]] = [{}, {}]
    for c in turns:
        # a cluster's labelled rows count for its size, as in the official code
        n_near = min(n_neighbors, int(total[c]) // 2)
        found[int(total[c] < min_cluster_size)][c] = _Typicality(points, members[c], allowed[members[c]], n_near)
    return found


class _Typicality:
    """``1 / (mean distance to the nearest neighbours + 1e-5)`` of a cluster's members, while they are taken out.

    Keeps twice the neighbours that are needed, and looks for new ones only where too many of those were taken.
    """

    def __init__(self, points: np.ndarray, members: np.ndarray, allowed: np.ndarray, n_neighbors: int) -> None:
        self.points, self.members, self.allowed, self.n_neighbors = points, members, allowed, max(n_neighbors, 1)
        self.left = np.ones(len(members), dtype=bool)
        self._near = np.full((len(members), 2 * self.n_neighbors), -1)
        self._distances = np.zeros(self._near.shape)

    def take(self) -> tuple[int, float]:
        """Take out the most typical member that may be, the first on ties; return its row and its typicality."""
        rows, typical = self.values()
        best = int(np.argmax(typical))
        self.remove(rows[best : best + 1])
        return int(rows[best]), float(typical[best])

    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """Members that are left and may be taken, and their typicality."""
        rows = np.flatnonzero(self.left & self.allowed)
        return self.members[rows], self._typicality(rows) if len(rows) else np.empty(0)

    def remove(self, rows: np.ndarray) -> None:
        """Take members out; rows of other clusters are passed over."""
        self.left[np.isin(self.members, rows)] = False

    @property
    def is_done(self) -> bool:
        """Whether no member is left that may be taken."""
        return not (self.left & self.allowed).any()

    def _typicality(self, rows: np.ndarray) -> np.ndarray:
        among = np.flatnonzero(self.left)
        n_neighbors = min(self.n_neighbors, len(among) - 1)
        if n_neighbors < 1:
            return np.ones(len(rows))  # a point alone: nothing to compare it with
        short = self._still_there(rows).sum(axis=1) < n_neighbors
        if short.any():
            self._look(rows[short], among)
        there = self._still_there(rows)
        nearest = there & (np.cumsum(there, axis=1) <= n_neighbors)
        mean = np.where(nearest, self._distances[rows], 0.0).sum(axis=1) / n_neighbors
        return 1.0 / (mean + 1e-5)

    def _still_there(self, rows: np.ndarray) -> np.ndarray:
        return np.append(self.left, False)[self._near[rows]]  # -1, no neighbour, is the last one

    def _look(self, rows: np.ndarray, among: np.ndarray) -> None:
        """Find the neighbours of some members among those left."""
        width = min(self._near.shape[1], len(among) - 1)
        search = NearestNeighbors(n_neighbors=width + 1).fit(self.points[self.members[among]])
        distances, near = search.kneighbors(self.points[self.members[rows]])
        near = among[near]
        own = near == rows[:, None]
        own[~own.any(axis=1), -1] = True  # copies of the point came first
        self._near[rows] = -1
        self._near[rows, :width] = near[~own].reshape(len(rows), width)
        self._distances[rows, :width] = distances[~own].reshape(len(rows), width)
