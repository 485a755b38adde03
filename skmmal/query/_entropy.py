"""Entropy of the class probabilities."""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from skmmal.query._uncertainty import UncertaintySampling

__all__ = ["EntropySampling"]


class EntropySampling(UncertaintySampling):
    """Pick the rows whose class probabilities have the highest entropy ``−Σ p log p`` (in nats; 0 log 0 = 0).

    Parameters
    ----------
    on : str, default="fused"
        The head whose probabilities count: ``"fused"``, the name of a modality, or ``"all"`` for the mean of the
        heads' entropies (see `QueryStrategy`).

    aggregate : {"mean", "max"}, default="mean"
        With several labels in a row, each of them is one more distribution, of its two states: whether the mean of
        their scores counts, or the highest one.

    Notes
    -----
    Any classifier with `predict_proba`. Deterministic. Cost: the probabilities, then O(N (K + log N)).

    Rows that lack a modality: the fused head tends to be less sure of them, so they come more often than their share,
    up to several times where few rows lack one.

    References
    ----------
    .. [1] Settles, "Active learning literature survey", 2009, section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.query import EntropySampling
    >>> clf = LogisticRegression().fit([[0.0], [4.0]], [0, 1])
    >>> EntropySampling().query(clf, np.array([[0.0], [2.1], [9.0]]), 2)
    array([1, 0])
    """

    @staticmethod
    def _uncertainty(probabilities: np.ndarray) -> np.ndarray:
        return entr(probabilities).sum(axis=1)
