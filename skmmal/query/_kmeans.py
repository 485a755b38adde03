"""The rows nearest to the centres of k-means."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from skmmal._random import RandomState
from skmmal._sklearn import Interval
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Reading
from skmmal.selection._cluster_turns import ClusterTurns, NearMembers
from skmmal.selection._k_means import clusters_and_distances, representatives
from skmmal.selection._units import UnitBenefits, Units

__all__ = ["KMeansSampling"]


class KMeansSampling(QueryStrategy):
    """Cluster the fused embedding into as many clusters as rows are wanted; pick the row nearest to each centre.

    Parameters
    ----------
    max_iter : int, default=100
        Iterations of k-means.
    random_state : int, RandomState, Generator or None
        Draws the first centres, and rows where clusters were empty.
    on : str, default="fused"
        As in `CoreSet`.

    Notes
    -----
    Needs no model: with an unfitted estimator the features are clustered. The score is minus the distance to the
    cluster's centre. Where the pool has fewer distinct rows than are wanted, the rest is drawn at random. Cost:
    scikit-learn's k-means, O(N D n_instances) an iteration; where that is more than 2·10⁹, in the 128 leading principal
    components and for at most 50 iterations (ours).

    Groups (ours): rows are clustered into about as many clusters as groups will be picked. Each cluster in turn takes
    the group of largest closeness, 1 / (1 + d / mean d) at a distance d from the centre, summed (or averaged, or the
    best) over its rows in the cluster, per cost; that is the score. Clusters without a row that may be picked are
    passed over.

    Rows that lack a modality are clustered with zeros in place of the block; they make clusters of their own.

    References
    ----------
    .. [1] Shen et al., ACM MM 2023, section 5: the k-means baseline. The official code clusters in one mini-batch
       pass; this runs k-means to convergence.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.query import KMeansSampling
    >>> pool = np.array([[0.0], [0.1], [0.2], [7.0], [7.1], [7.2]])
    >>> sorted(KMeansSampling(random_state=0).query(None, pool, 2).tolist())
    [1, 4]
    """

    requires_model = False
    supports_multi_label = True
    supports_groups = True
    _looks_beyond_candidates = True
    _parameter_constraints: dict = {
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(self, max_iter: int = 100, random_state: RandomState = None, *, on: str = "fused") -> None:
        self.max_iter = max_iter
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        indices, distances = representatives(
            pool.head.matrix(), n_instances, rng, self.max_iter, candidates=pool.candidates, overwrite=True
        )
        return indices, -distances.astype(np.float64)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        points = pool.head.matrix()
        labels, distances = clusters_and_distances(points, units.expected, rng, self.max_iter, overwrite=True)
        mean = float(distances.mean())
        closeness = 1.0 / (1.0 + distances.astype(np.float64) / (mean if mean > 0 else 1.0))
        rows = [np.flatnonzero((labels == name) & (units.codes >= 0)) for name in range(int(labels.max()) + 1)]
        members = {name: NearMembers(own, closeness[own]) for name, own in enumerate(rows) if len(own)}
        return ClusterTurns(members, [list(members)], units)
