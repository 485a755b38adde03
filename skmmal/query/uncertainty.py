"""Uncertainty of a head: entropy, margin, least confidence."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from scipy.special import entr

from skmmal.query.base import QueryStrategy, Selection
from skmmal.reading import Reading

__all__ = ["EntropySampling", "LeastConfidenceSampling", "MarginSampling"]


class _UncertaintySampling(QueryStrategy):
    """Pick the rows of highest uncertainty; on ties the lowest index."""

    def __init__(self, *, on: str = "fused") -> None:
        self.on = on

    @staticmethod
    @abstractmethod
    def _uncertainty(probabilities: np.ndarray) -> np.ndarray:
        """Uncertainty of each row of (N, K) probabilities."""

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return pool.highest(pool.mean_score(lambda head: self._uncertainty(head.probabilities)), n_instances)


class EntropySampling(_UncertaintySampling):
    """Pick the rows whose class probabilities have the highest entropy ``−Σ p log p`` (in nats; 0 log 0 = 0).

    Parameters
    ----------
    on : str, default="fused"
        The head whose probabilities count: ``"fused"``, the name of a modality, or ``"all"`` for the mean of the
        heads' entropies (see `QueryStrategy`).

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


class MarginSampling(_UncertaintySampling):
    """Pick the rows with the smallest margin between the two most probable classes.

    Parameters
    ----------
    on : str, default="fused"
        The head whose probabilities count: ``"fused"``, the name of a modality, or ``"all"`` for the mean of the
        heads' margins (see `QueryStrategy`).

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

    @staticmethod
    def _uncertainty(probabilities: np.ndarray) -> np.ndarray:
        if probabilities.shape[1] == 1:  # one class: nothing to confuse it with
            return -probabilities[:, 0]
        second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
        return second - first


class LeastConfidenceSampling(_UncertaintySampling):
    """Pick the rows whose most probable class is least probable: the highest ``1 − max p``.

    Parameters
    ----------
    on : str, default="fused"
        The head whose probabilities count: ``"fused"``, the name of a modality, or ``"all"`` for the mean of the
        heads' values (see `QueryStrategy`).

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
