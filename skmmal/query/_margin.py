"""Margin between the two most probable classes."""

from __future__ import annotations

import numpy as np

from skmmal.query._uncertainty import UncertaintySampling, negative_margin

__all__ = ["MarginSampling"]


class MarginSampling(UncertaintySampling):
    """Pick the rows with the smallest margin between the two most probable classes.

    Parameters
    ----------
    on : str, default="fused"
        The head whose probabilities count: ``"fused"``, the name of a modality, or ``"all"`` for the mean of the
        heads' margins (see `QueryStrategy`).

    aggregate : {"mean", "max"}, default="mean"
        With several labels in a row, each of them is one more distribution, of its two states: whether the mean of
        their scores counts, or the highest one.

    Notes
    -----
    The score is the negative margin. Any classifier with `predict_proba`. Deterministic. Cost: the probabilities,
    then O(N (K + log N)).

    Rows that lack a modality: the fused head tends to be less sure of them, so they come more often than their share.

    References
    ----------
    .. [1] Scheffer, Decomain and Wrobel, "Active hidden Markov models for information extraction", IDA 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.query import MarginSampling
    >>> clf = LogisticRegression().fit([[0.0], [4.0]], [0, 1])
    >>> MarginSampling().query(clf, np.array([[0.0], [2.1], [9.0]]), 1)
    array([1])
    """

    _lowest = -1.0

    @staticmethod
    def _uncertainty(probabilities: np.ndarray) -> np.ndarray:
        return negative_margin(probabilities)
