"""Typical rows of clusters without labels: TypiClust."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from skmmal._random import RandomState
from skmmal._sklearn import Interval
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Reading
from skmmal.selection._dense import unit_rows
from skmmal.selection._k_means import cluster
from skmmal.selection._typicality import round_robin_by_typicality, typical_units
from skmmal.selection._units import UnitBenefits, Units

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

    Groups: a cluster whose turn it is takes the group of largest typicality, summed (or averaged, or the best) over its
    rows in that cluster, per cost; all its rows then leave their clusters. There are as many clusters as there will be
    labelled rows and groups picked, about (ours).

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
    supports_multi_label = True
    supports_groups = True
    _looks_beyond_candidates = True
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
        clusters = self._clusters(pool, labelled, n_instances, rng)
        return round_robin_by_typicality(
            *clusters, n_instances, self.n_neighbors, self.min_cluster_size, pool.candidates
        )

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        clusters = self._clusters(pool, labelled, units.expected, rng)
        return typical_units(*clusters, units, self.n_neighbors, self.min_cluster_size)

    def _clusters(
        self, pool: Reading, labelled: Reading, n_wanted: int, rng: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The pool's points, their clusters, and how many labelled rows each cluster has."""
        everything = unit_rows(pool.head.matrix(*([labelled.head] if len(labelled) else [])), copy=False)
        n_clusters = min(len(labelled) + n_wanted, self.max_clusters)
        labels, centres = cluster(everything, n_clusters, rng, overwrite=True)
        n = len(pool)
        return everything[:n], labels[:n], np.bincount(labels[n:], minlength=len(centres))
