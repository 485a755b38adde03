"""Typical rows of clusters without labels: TypiClust."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils._param_validation import Interval

from skmmal._random import RandomState
from skmmal.query._base import QueryStrategy, Selection
from skmmal.query._coverage import labeled_unit_rows
from skmmal.reading import Reading
from skmmal.selection._coverage import unit_rows
from skmmal.selection._k_means import cluster

__all__ = ["TypiClust"]


class TypiClust(QueryStrategy):
    """Pick the most typical row of each cluster, from the largest clusters that have fewest labels.

    Labelled and pool rows are clustered together by k-means into as many clusters as there will be labelled rows. The
    typicality of a row is the inverse of its mean distance to its nearest neighbours in the cluster.

    Parameters
    ----------
    max_clusters : int, default=500
        At most that many clusters (the paper's value); a larger batch goes round them again.
    n_neighbors : int, default=20
        Neighbours for the typicality, or half of the cluster where that is less (the paper's value).
    min_cluster_size : int, default=6
        Smaller clusters come last (the paper leaves out those of 5 and fewer).
    random_state : int, RandomState, Generator or None
        Draws the clusters.
    on : str, default="fused"
        As in `MaxHerding`.

    Notes
    -----
    Needs no model: with an unfitted estimator the features are clustered. Embeddings are scaled to length one. The
    score is the typicality ``1 / (mean distance + 1e-5)``; the official code averages squared distances, the paper
    says distances, and so does this. Cost: k-means (for large pools in the 128 leading principal components, at most 50
    iterations; ours, the official code uses mini-batches), and the exact neighbours within each cluster that has its
    turn, about N² D / clusters in all.

    Rows that lack a modality: what they have alone is scaled to length one, with zeros in place of the rest, so that
    they make clusters of their own. Where these are many and dense, such rows come more often than their share,
    otherwise less.

    References
    ----------
    .. [1] Hacohen, Dekel and Weinshall, "Active learning on a budget: opposite strategies suit high and low budgets",
       ICML 2022, section 3.

    Examples
    --------
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import TypiClust
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> batch = TypiClust(random_state=0).query(None, X[::4], 10)
    >>> len(set(y[::4][batch].tolist())) >= 7
    True
    """

    requires_model = False
    _parameter_constraints: dict = {
        "max_clusters": [Interval(Integral, 1, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "min_cluster_size": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        max_clusters: int = 500,
        n_neighbors: int = 20,
        min_cluster_size: int = 6,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.max_clusters = max_clusters
        self.n_neighbors = n_neighbors
        self.min_cluster_size = min_cluster_size
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        points, known = unit_rows(pool.head.features), labeled_unit_rows(labelled)
        everything = points if known is None else np.concatenate([points, known])
        labels, centres = cluster(everything, min(len(labelled) + n_instances, self.max_clusters), rng)
        return _round_robin_by_typicality(
            points,
            labels[: len(points)],
            np.bincount(labels[len(points) :], minlength=len(centres)),
            n_instances,
            self.n_neighbors,
            self.min_cluster_size,
        )


def _round_robin_by_typicality(
    points: np.ndarray,
    labels: np.ndarray,
    labelled_counts: np.ndarray,
    n_instances: int,
    n_neighbors: int,
    min_cluster_size: int,
) -> Selection:
    """Go round the clusters (fewest labels first, then largest) and take the most typical row that is left."""
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels, minlength=len(labelled_counts))
    members = np.split(order, np.cumsum(sizes)[:-1])
    total = sizes + labelled_counts
    turns = sorted(np.flatnonzero(sizes).tolist(), key=lambda c: (labelled_counts[c], -total[c], c))
    large = [c for c in turns if total[c] >= min_cluster_size]
    small = [c for c in turns if total[c] < min_cluster_size]
    picked: list[int] = []
    scores: list[float] = []
    for clusters in (large, small):
        # a cluster's labelled rows count for its size, as in the official code
        rest = {c: _Typicality(points, members[c], min(n_neighbors, int(total[c]) // 2)) for c in clusters}
        while rest and len(picked) < n_instances:
            for c in list(rest)[: n_instances - len(picked)]:
                row, typical = rest[c].take()
                picked.append(row)
                scores.append(typical)
                if not rest[c].left.any():
                    del rest[c]
    return np.asarray(picked, dtype=np.intp), np.asarray(scores)


class _Typicality:
    """``1 / (mean distance to the nearest neighbours + 1e-5)`` of a cluster's members, while they are taken out.

    Keeps twice the neighbours that are needed, and looks for new ones only where too many of those were taken.
    """

    def __init__(self, points: np.ndarray, members: np.ndarray, n_neighbors: int) -> None:
        self.points, self.members, self.n_neighbors = points, members, max(n_neighbors, 1)
        self.left = np.ones(len(members), dtype=bool)
        self._near = np.full((len(members), 2 * self.n_neighbors), -1)
        self._distances = np.zeros(self._near.shape)

    def take(self) -> tuple[int, float]:
        """Take out the most typical member, the first on ties; return its row and its typicality."""
        rows = np.flatnonzero(self.left)
        typical = self._typicality(rows)
        best = int(np.argmax(typical))
        self.left[rows[best]] = False
        return int(self.members[rows[best]]), float(typical[best])

    def _typicality(self, rows: np.ndarray) -> np.ndarray:
        n_neighbors = min(self.n_neighbors, len(rows) - 1)
        if n_neighbors < 1:
            return np.ones(len(rows))  # a point alone: nothing to compare it with
        short = self._still_there(rows).sum(axis=1) < n_neighbors
        if short.any():
            self._look(rows[short], rows)
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
