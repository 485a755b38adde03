"""CoreSet in the hidden layer of a graph network: CoreGCN."""

from __future__ import annotations

import numpy as np

from skmmal.query._base import Selection
from skmmal.query._gcn import GCNSampling
from skmmal.reading import Reading
from skmmal.selection import DenseEmbedding, k_center_greedy

__all__ = ["CoreGCN"]


class CoreGCN(GCNSampling):
    """CoreSet in the hidden layer of a graph network that tells labelled from unlabelled rows.

    The network is that of `UncertainGCN`; its hidden layer knows a row's neighbourhood and whether it is labelled.
    One after the other, the row farthest from all labelled and picked ones is picked.

    Parameters
    ----------
    n_neighbors : int, default=10
        As in `UncertainGCN`.
    n_directions : int or None, default=128
        As in `UncertainGCN`.
    n_steps : int, default=200
        As in `UncertainGCN`.
    random_state : int, RandomState, Generator or None
        As in `UncertainGCN`.
    on : str, default="fused"
        As in `UncertainGCN`.

    Notes
    -----
    Needs no model: with an unfitted estimator the graph is one of the features. Without labelled rows the first pick
    is the row of largest norm. The score is the distance at the time of the pick (the norm, for that first one). Cost
    as for UncertainGCN, and that of CoreSet with 128 columns.

    Rows that lack a modality: as for UncertainGCN.

    References
    ----------
    .. [1] Caramalau, Bhattarai and Kim, "Sequential graph convolutional network for active learning", CVPR 2021,
       section 3.

    Examples
    --------
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import CoreGCN
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> len(CoreGCN(n_steps=20, random_state=0).query(None, X[1::10], 5, X_labeled=X[::40]))
    5
    """

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        hidden = self._trained(pool, labelled, rng).hidden
        rows = np.arange(len(pool)) if pool.candidates is None else np.flatnonzero(pool.candidates)
        indices, sq_distances = k_center_greedy(
            DenseEmbedding(hidden[rows]),
            n_instances,
            initial=DenseEmbedding(hidden[len(pool) :]) if len(labelled) else None,
            return_sq_distances=True,
        )
        return rows[indices], np.sqrt(sq_distances)
