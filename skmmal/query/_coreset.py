"""The row farthest from all others: CoreSet."""

from __future__ import annotations

import numpy as np

from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Reading
from skmmal.reading._sharded import ShardedReading, View
from skmmal.reading._sharded_points import ShardedPoints
from skmmal.selection import DenseEmbedding, Embedding, EmbeddingPoints, PartialEmbedding, k_center_greedy
from skmmal.selection._partial import Moments, block_moments, mean_sq_distances, scales_of
from skmmal.selection._units import Distances, UnitBenefits, Units

__all__ = ["CoreSet"]


class CoreSet(QueryStrategy):
    """Pick, one after the other, the row farthest from all labelled and picked ones (greedy k-centre).

    Distances are Euclidean in the fused embedding, over the modalities that both rows have.

    Parameters
    ----------
    on : str, default="fused"
        The features that count: ``"fused"``, the name of a modality for its block alone (no model is needed), or
        ``"all"``, which is the same as ``"fused"`` (see `QueryStrategy`).

    Notes
    -----
    Needs no model: with an unfitted estimator distances are between the features, and without labelled rows the
    first pick is the row of largest norm. The score is the distance at the time of the pick (the norm, for that first
    one). Deterministic. Cost: a matrix product N × D × n_instances.

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
    supports_multi_label = True
    supports_groups = True

    def __init__(self, *, on: str = "fused") -> None:
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        points, centres = _embeddings(pool, labelled)
        indices, sq_distances = k_center_greedy(points, n_instances, initial=centres, return_sq_distances=True)
        return indices, np.sqrt(sq_distances)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        points, centers = _embeddings(pool, labelled)
        return Distances(points, units, centers)

    def _select_shards(self, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
        parts, (known, known_whole) = shards.ask(_moments), shards.ask_one(_labelled_moments)
        is_whole = known_whole and all(whole for _, whole in parts)
        moments = [each for each, _ in parts] + ([known] if known else [])
        scales = None if is_whole else scales_of(moments)
        points = ShardedPoints(shards, _points, scales)
        indices, sq_distances = k_center_greedy(points, n_instances, return_sq_distances=True)
        return indices, np.sqrt(sq_distances)


def _moments(view: View) -> tuple[list[Moments], bool]:
    return block_moments(view.reading.head.blocks, view.reading.present), bool(view.reading.present.all())


def _labelled_moments(view: View) -> tuple[list[Moments], bool]:
    labelled = view.reading.labelled
    if len(labelled) == 0:
        return [], True
    return block_moments(labelled.head.blocks, labelled.present), bool(labelled.present.all())


def _points(view: View, scales: np.ndarray | None) -> EmbeddingPoints:
    """A shard's points, the labelled rows their centres."""
    points, centres = _embeddings(view.reading, view.reading.labelled, scales, find_scales=False)
    found = EmbeddingPoints(points)
    if centres is not None:
        found.add(centres, np.empty(0, dtype=np.intp))
    return found


def _embeddings(
    pool: Reading, labelled: Reading, scales: np.ndarray | None = None, *, find_scales: bool = True
) -> tuple[Embedding, Embedding | None]:
    """The pool's points and the labelled ones; with distances over what both rows have, where something is missing."""
    readings = [pool, labelled] if len(labelled) else [pool]
    sets, masks = [reading.head.blocks for reading in readings], [reading.present for reading in readings]
    if find_scales and not all(mask.all() for mask in masks):
        scales = mean_sq_distances(sets, masks)
    if scales is None:
        points: list[Embedding] = [DenseEmbedding(blocks) for blocks in sets]
    else:
        points = [PartialEmbedding(blocks, mask, scales) for blocks, mask in zip(sets, masks, strict=True)]
    return points[0], points[1] if len(labelled) else None
