"""Rows whose prediction changes when features are dropped: DropQuery."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

from skmmal._chunks import row_chunks
from skmmal._random import RandomState
from skmmal._sklearn import Interval
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Head, Reading
from skmmal.selection._k_means import pick_among

__all__ = ["DropQuery"]


class DropQuery(QueryStrategy):
    """Pick from the rows whose prediction changes when most of their features are dropped.

    The embedding is passed to the fused head with dropout `n_passes` times. Rows of which more than half of the passes
    predict another class than the undropped embedding are candidates; k-means picks among them.

    Parameters
    ----------
    n_passes : int, default=3
        How often the embedding is passed with dropout (the paper's value).
    dropout : float, default=0.75
        Share of the embedding that is dropped (the paper's value).
    random_state : int, RandomState, Generator or None
        Draws masks, clusters, and rows where candidates are too few.
    on : str, default="fused"
        The head and the features that are dropped: ``"fused"``, the name of a modality, or ``"all"`` for the mean of
        the heads' numbers of changed passes, clustered on the fused features (see `QueryStrategy`).

    Notes
    -----
    With fewer than 25 candidates for each row wanted, fewer changes suffice, down to one (as in the ALFM benchmark).
    Candidates are clustered on embeddings of length one. A classifier without `embed` predicts from the dropped
    features themselves; one with an `embed` but an unknown head is replaced by the ridge regression of its
    log-probabilities on the embedding. The score is the number of passes that change. Cost: `n_passes` predictions from
    the embedding, and k-means of the candidates (where they are many, in their 128 leading principal components, at
    most 50 iterations).

    Rows that lack a modality: zeros in place of the block stay zeros when features are dropped.

    References
    ----------
    .. [1] Gupte et al., "Revisiting active learning in the era of vision foundation models", TMLR 2024, section 4.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import DropQuery
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(DropQuery(random_state=0).query(clf, X[1::10], 5))
    5
    """

    _parameter_constraints: dict = {
        "n_passes": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self, n_passes: int = 3, dropout: float = 0.75, random_state: RandomState = None, *, on: str = "fused"
    ) -> None:
        self.n_passes = n_passes
        self.dropout = dropout
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        changes = pool.mean_score(lambda head: self._changes(head, rng))
        threshold = self.n_passes // 2
        while threshold > 0 and (changes > threshold).sum() < 25 * n_instances:
            threshold -= 1
        chosen = pick_among(pool.head.features, np.flatnonzero(changes > threshold), n_instances, rng)
        return chosen, changes[chosen].astype(np.float64)

    def _changes(self, head: Head, rng: np.random.RandomState) -> np.ndarray:
        """Number of passes in which each row's prediction changes."""
        changes = np.zeros(len(head), dtype=int)
        predicted = head.probabilities.argmax(axis=1)
        for _ in range(self.n_passes):
            for part in row_chunks(*head.features.shape):
                rows = head.features[part]
                # drawn row after row: the masks do not depend on the chunks
                keep = rng.random_sample(rows.shape) >= self.dropout
                logits = head.logits(rows * keep / (1.0 - self.dropout))
                changes[part] += logits.argmax(axis=1) != predicted[part]
        return changes
