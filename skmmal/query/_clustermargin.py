"""Small margins from many clusters: ClusterMargin."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics.pairwise import euclidean_distances

from skmmal._random import RandomState
from skmmal._sklearn import Interval
from skmmal.query._base import QueryStrategy, Selection
from skmmal.query._uncertainty import negative_margin
from skmmal.reading import Reading

__all__ = ["ClusterMargin"]

_MOST_CANDIDATES = 10_000


class ClusterMargin(QueryStrategy):
    """Take the rows of smallest margin and pick from their clusters in turn, from the smallest cluster up.

    Parameters
    ----------
    factor : float, default=10.0
        Candidates per row wanted (the paper's k_m = 10 k_t).
    n_clusters : int or None, default=None
        Clusters of the candidates. ``None``: half as many as rows are wanted (ours; the paper sets a distance
        threshold per data set).
    random_state : int, RandomState, Generator or None
        Draws the row within a cluster.
    on : str, default="fused"
        The head whose margins and features count: ``"fused"``, the name of a modality, or ``"all"`` for the mean of
        the heads' margins and the fused features (see `QueryStrategy`).

    Notes
    -----
    Clusters come from agglomerative clustering with average linkage of the fused embedding. The paper clusters the
    whole pool once; that takes N² distances, so here the candidates alone are clustered. Turns follow the paper:
    clusters by size among the candidates, the smallest first, a random row from each, those emptied drop out. The
    score is the negative margin. Cost: the probabilities, then C² distances of D columns for
    C = min(factor · n_instances, 10,000) candidates (never fewer than n_instances), about 1.6 GB for 10,000.

    Rows that lack a modality: uncertain ones are candidates, but zeros in place of the block put them together in few
    clusters, so they come less often than their share.

    References
    ----------
    .. [1] Citovsky et al., "Batch active learning at scale", NeurIPS 2021, algorithms 1 and 2.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import ClusterMargin
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(ClusterMargin(random_state=0).query(clf, X[1::10], 5))
    5
    """

    _parameter_constraints: dict = {
        "factor": [Interval(Real, 1, None, closed="left")],
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        factor: float = 10.0,
        n_clusters: int | None = None,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.factor = factor
        self.n_clusters = n_clusters
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        scores = pool.mean_score(lambda head: negative_margin(head.probabilities))
        n_candidates = max(n_instances, min(int(self.factor * n_instances), _MOST_CANDIDATES))
        candidates = np.argsort(-scores, kind="stable")[:n_candidates]
        labels = _average_linkage(pool.head.features[candidates], self.n_clusters or max(1, n_instances // 2))
        chosen = candidates[_round_robin(labels, n_instances, rng)]
        return chosen, scores[chosen]


def _average_linkage(points: np.ndarray, n_clusters: int) -> np.ndarray:
    """Labels from agglomerative clustering; equal merge heights may leave fewer clusters."""
    if len(points) == 1:
        return np.zeros(1, dtype=int)
    distances = squareform(euclidean_distances(points), checks=False)
    return fcluster(linkage(distances, "average"), n_clusters, criterion="maxclust")


def _round_robin(labels: np.ndarray, n_wanted: int, rng: np.random.RandomState) -> np.ndarray:
    """Rows drawn from the clusters in turn, the smallest cluster first."""
    names, sizes = np.unique(labels, return_counts=True)
    by_size = names[np.argsort(sizes, kind="stable")]
    queues = [rng.permutation(np.flatnonzero(labels == name)).tolist() for name in by_size]
    chosen: list[int] = []
    while len(chosen) < n_wanted:
        chosen += [queue.pop() for queue in queues if queue]
    return np.asarray(chosen[:n_wanted], dtype=np.intp)
