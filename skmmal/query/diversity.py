"""Diversity in the fused embedding: CoreSet and k-means."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval

from skmmal._random import RandomState
from skmmal.query.base import QueryStrategy, Selection
from skmmal.query.view import PoolView
from skmmal.selection import DenseEmbedding, Embedding, PartialEmbedding, k_center_greedy
from skmmal.selection._k_means import representatives
from skmmal.selection._partial import mean_sq_distances
from skmmal.selection._partition import PARTITION_CONSTRAINTS, in_partitions

__all__ = ["CoreSet", "KMeansSampling"]


class CoreSet(QueryStrategy):
    """Pick, one after the other, the row farthest from all labelled and picked ones (greedy k-centre).

    Distances are Euclidean in the fused embedding, over the modalities that both rows have.

    Parameters
    ----------
    partitions : int, default=1
        Split the pool at random into that many parts and choose from each on its own (the paper's pool splitting):
        more memory, less diversity, other picks than the whole pool's; for comparison.
    n_jobs : int, default=None
        joblib workers over the partitions.
    random_state : int, RandomState, Generator or None
        Draws the partitions; with one partition the strategy is deterministic.
    on : str, default="fused"
        The features that count: ``"fused"``, the name of a modality for its block alone (no model is needed), or
        ``"all"``, which is the same as ``"fused"`` (see `QueryStrategy`).

    Notes
    -----
    Needs no model: with an unfitted estimator distances are between the features, and without labelled rows the
    first pick is the row of largest norm. The score is the distance at the time of the pick (the norm, for that first
    one). Cost: a matrix product
    N × D × n_instances.

    Rows that lack a modality: squared distances are summed over the modalities that both rows have, and multiplied by
    what all modalities over these contribute to the squared distance of two rows on average. Two rows that share none
    are as far apart as two rows are on average. Zeros in place of a block, as in the papers' code, would put such rows
    next to each other, and they would hardly ever be picked. The search then makes a plain pass over the points instead
    of leaving out those whose norms say that nothing changes.

    References
    ----------
    .. [1] Sener and Savarese, "Active learning for convolutional neural networks: a core-set approach",
       ICLR 2018, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.query import CoreSet
    >>> CoreSet().query(None, np.array([[0.0], [1.0], [9.0]]), 1, X_labeled=[[0.5]])
    array([2])
    """

    requires_model = False
    _parameter_constraints: dict = {**PARTITION_CONSTRAINTS}

    def __init__(
        self,
        partitions: int = 1,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.partitions = partitions
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.on = on

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        pool, centres = _embeddings(view)
        indices, sq_distances = in_partitions(
            _farthest_first, pool, n_instances, self.partitions, self.n_jobs, rng, centres=centres
        )
        return indices, np.sqrt(sq_distances)


def _embeddings(view: PoolView) -> tuple[Embedding, Embedding | None]:
    """The pool's points and the labelled ones; with distances over what both rows have, where something is missing."""
    blocks, labelled = view.stored_embedding, view.labeled_embedding
    present, labelled_present = view.present, view.labeled_present
    if present.all() and labelled_present.all():
        return DenseEmbedding(blocks), None if labelled is None else DenseEmbedding(labelled)
    sets, masks = [blocks], [present]
    if labelled is not None:
        sets, masks = [blocks, labelled], [present, labelled_present]
    scales = mean_sq_distances(sets, masks)
    points = [PartialEmbedding(each, mask, scales) for each, mask in zip(sets, masks, strict=True)]
    return points[0], points[1] if labelled is not None else None


def _farthest_first(embedding: Embedding, n_instances: int, seed: int, centres: Embedding | None) -> Selection:
    return k_center_greedy(embedding, n_instances, initial=centres, return_sq_distances=True)


class KMeansSampling(QueryStrategy):
    """Cluster the fused embedding into as many clusters as rows are wanted; pick the row nearest to each centre.

    Parameters
    ----------
    max_iter : int, default=100
        Iterations of k-means.
    random_state : int, RandomState, Generator or None
    on : str, default="fused"
        As in `CoreSet`.

    Notes
    -----
    Needs no model: with an unfitted estimator the features are clustered. The score is minus the distance to the
    cluster's centre. Where the pool has fewer distinct rows than are wanted, the rest is drawn at random. Cost:
    scikit-learn's k-means, O(N D n_instances) an iteration; where that is more than 2·10⁹, in the 128 leading principal
    components and for at most 50 iterations (ours).

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
    _parameter_constraints: dict = {
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(self, max_iter: int = 100, random_state: RandomState = None, *, on: str = "fused") -> None:
        self.max_iter = max_iter
        self.random_state = random_state
        self.on = on

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        indices, distances = representatives(view.points, n_instances, rng, self.max_iter)
        return indices, -distances.astype(np.float64)
