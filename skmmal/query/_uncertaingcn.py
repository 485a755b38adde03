"""Rows of which a graph network is unsure whether they are labelled: UncertainGCN."""

from __future__ import annotations

from numbers import Real

import numpy as np

from skmmal._random import RandomState
from skmmal._sklearn import Interval
from skmmal.query._base import Selection
from skmmal.query._gcn import GCNSampling
from skmmal.reading import Reading

__all__ = ["UncertainGCN"]


class UncertainGCN(GCNSampling):
    """Pick the rows of which a graph network is unsure whether they are labelled.

    A network of two graph convolutions on a nearest-neighbour graph of pool and labelled rows is trained to tell
    labelled from unlabelled rows. The rows whose score, the probability of being labelled, is nearest to `margin` are
    picked.

    Parameters
    ----------
    margin : float, default=0.1
        The paper's value.
    n_neighbors : int, default=10
        Of the graph (ours; the paper's graph joins all rows, which takes N² numbers).
    n_directions : int or None, default=128
        Principal components that the graph and the network see (ours, for the cost). ``None``: the whole embedding.
    n_steps : int, default=200
        Full-batch steps of Adam (hidden width 128, dropout 0.3, learning rate 1e-3, weight decay 5e-4, unlabelled
        rows weigh 1.2: the official code's values).
    random_state : int, RandomState, Generator or None
        Draws the network's weights and masks.
    on : str, default="fused"
        The features that count: ``"fused"``, the name of a modality for its block alone (no model is needed), or
        ``"all"``, which is the same as ``"fused"`` (see `QueryStrategy`).

    Notes
    -----
    Needs no model: with an unfitted estimator the graph is one of the features. Rows are scaled to length one, the
    graph is symmetric with loops and normalised by the roots of the degrees. One network serves the whole pool (the
    official code trains another for each 20,000 rows). The score is ``−|s − margin|``. Cost: exact neighbours in
    `n_directions` columns, N² distances in the library's chunks; a step is a product N × n_directions × 128.

    Rows that lack a modality: zeros take the place of the block in the features of the graph.

    References
    ----------
    .. [1] Caramalau, Bhattarai and Kim, "Sequential graph convolutional network for active learning", CVPR 2021,
       section 3.

    Examples
    --------
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import UncertainGCN
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> len(UncertainGCN(n_steps=20, random_state=0).query(None, X[1::10], 5, X_labeled=X[::40]))
    5
    """

    _parameter_constraints: dict = {
        **GCNSampling._parameter_constraints,
        "margin": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        margin: float = 0.1,
        n_neighbors: int = 10,
        n_directions: int | None = 128,
        n_steps: int = 200,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        super().__init__(n_neighbors, n_directions, n_steps, random_state, on=on)
        self.margin = margin

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        scores = self._trained(pool, labelled, rng).scores[: len(pool)]
        return pool.highest(-np.abs(scores - self.margin), n_instances)
