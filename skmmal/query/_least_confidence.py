"""Probability of the most probable class."""

from __future__ import annotations

import numpy as np

from skmmal.query._uncertainty import UncertaintySampling

__all__ = ["LeastConfidenceSampling"]


class LeastConfidenceSampling(UncertaintySampling):
    """Pick the rows whose most probable class is least probable: the highest ``1 − max p``.

    Parameters
    ----------
    on : str, default="fused"
        The head whose probabilities count: ``"fused"``, the name of a modality, or ``"all"`` for the mean of the
        heads' values (see `QueryStrategy`).

    aggregate : {"mean", "max"}, default="mean"
        With several labels in a row, each of them is one more distribution, of its two states: whether the mean of
        their scores counts, or the highest one.

    Notes
    -----
    modAL's ``uncertainty_sampling``. Any classifier with `predict_proba`. Deterministic. Cost: the probabilities,
    then O(N (K + log N)).

    Rows that lack a modality: as for `EntropySampling`.

    References
    ----------
    .. [1] Lewis and Gale, "A sequential algorithm for training text classifiers", SIGIR 1994.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.query import LeastConfidenceSampling
    >>> clf = LogisticRegression().fit([[0.0], [4.0]], [0, 1])
    >>> LeastConfidenceSampling().query(clf, np.array([[0.0], [2.1], [9.0]]), 1)
    array([1])
    """

    @staticmethod
    def _uncertainty(probabilities: np.ndarray) -> np.ndarray:
        return 1.0 - probabilities.max(axis=1)
