"""The row farthest from all others: CoreSet."""

from __future__ import annotations

import numpy as np

from skmmal._random import RandomState
from skmmal.query._base import QueryStrategy, Selection
from skmmal.query._partition import PARTITION_CONSTRAINTS, in_partitions
from skmmal.reading import Reading
from skmmal.selection import DenseEmbedding, Embedding, PartialEmbedding, k_center_greedy
from skmmal.selection.partial import mean_sq_distances

__all__ = ["CoreSet"]


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

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        points, centres = _embeddings(pool, labelled)
        indices, sq_distances = in_partitions(
            _farthest_first, points, n_instances, self.partitions, self.n_jobs, rng, centres=centres
        )
        return indices, np.sqrt(sq_distances)


def _embeddings(pool: Reading, labelled: Reading) -> tuple[Embedding, Embedding | None]:
    """The pool's points and the labelled ones; with distances over what both rows have, where something is missing."""
    readings = [pool, labelled] if len(labelled) else [pool]
    sets, masks = [reading.head.blocks for reading in readings], [reading.present for reading in readings]
    if all(mask.all() for mask in masks):
        points: list[Embedding] = [DenseEmbedding(blocks) for blocks in sets]
    else:
        scales = mean_sq_distances(sets, masks)
        points = [PartialEmbedding(blocks, mask, scales) for blocks, mask in zip(sets, masks, strict=True)]
    return points[0], points[1] if len(labelled) else None


def _farthest_first(embedding: Embedding, n_instances: int, seed: int, centres: Embedding | None) -> Selection:
    return k_center_greedy(embedding, n_instances, initial=centres, return_sq_distances=True)
