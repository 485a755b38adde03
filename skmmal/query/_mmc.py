"""Maximum loss reduction with maximal confidence."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from skmmal._targets import ONE_CLASS
from skmmal.query._several_labels import LabelSetSampling, known_counts
from skmmal.reading import Head

__all__ = ["MMC"]


class MMC(LabelSetSampling):
    """Pick the rows whose most likely set of labels the model is least confident of.

    How many labels a row has is predicted from its sorted probabilities, by a logistic regression that was fitted on
    the labeled rows. It then has the most probable labels, that many; what the model says against them is the score.

    Parameters
    ----------
    on : str, default="fused"
        The head whose probabilities count: ``"fused"``, the name of a modality, or ``"all"`` for the mean of the
        heads' scores (see `QueryStrategy`).

    Notes
    -----
    The score is ``Σ_l (1 − s_l f_l) / 2`` with ``f_l = 2 p_l − 1`` (the paper has the decision values of an SVM here)
    and ``s_l`` 1 for the labels that the row is taken to have, −1 for the others. The sorted probabilities are
    normalized to sum one, as in the paper. Where all labeled rows have the same number of labels, so has every row;
    without labeled rows a row has as many as its probabilities add up to, rounded (ours). With one class a row this is
    least confidence: one label, and the score is ``2 (1 − max p)``.

    Labeled rows of which some label is not known do not count. Deterministic. Cost: the probabilities, then
    O(N L log L).

    Rows that lack a modality: the fused head tends to be less sure of them, so they come more often than their share.

    References
    ----------
    .. [1] Yang, Sun, Wang and Chen, "Effective multi-label active learning for text classification", KDD 2009,
       section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.multiclass import OneVsRestClassifier
    >>> from skmmal.query import MMC
    >>> X, Y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    >>> clf = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    >>> MMC().query(clf, np.array([[9.0], [1.4]]), 1, X_labeled=X, y_labeled=Y)
    array([1])
    """

    def _scores(self, head: Head) -> np.ndarray:
        probabilities = head.probabilities
        rows, n_labels = known_counts(head)
        if len(rows) == 0 or head.target is ONE_CLASS:
            counts = np.rint(probabilities.sum(axis=1))
        else:
            counts = _predicted_counts(probabilities, head.labelled.probabilities[rows], n_labels)
        ranks = np.argsort(np.argsort(-probabilities, axis=1, kind="stable"), axis=1, kind="stable")
        signs = np.where(ranks < counts[:, None], 1.0, -1.0)
        return (0.5 * (1.0 - signs * (2.0 * probabilities - 1.0))).sum(axis=1)


def _predicted_counts(probabilities: np.ndarray, known: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How many labels each row has."""
    if len(np.unique(counts)) == 1:
        return np.full(len(probabilities), counts[0])
    return LogisticRegression(max_iter=1000).fit(_sorted_shares(known), counts).predict(_sorted_shares(probabilities))


def _sorted_shares(probabilities: np.ndarray) -> np.ndarray:
    largest_first = -np.sort(-probabilities, axis=1)
    return largest_first / np.maximum(largest_first.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
