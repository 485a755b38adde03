"""Rows whose number of predicted labels is unusual."""

from __future__ import annotations

import numpy as np

from skmmal.query._several_labels import LabelSetSampling, known_counts
from skmmal.query._uncertainty import margin_uncertainty
from skmmal.reading import Head

__all__ = ["LabelCardinality"]


class LabelCardinality(LabelSetSampling):
    """Pick the rows that are predicted to have many more labels, or many fewer, than labeled rows have on average.

    Parameters
    ----------
    on : str, default="fused"
        The head whose probabilities count: ``"fused"``, the name of a modality, or ``"all"`` for the mean of the
        heads' scores (see `QueryStrategy`).

    Notes
    -----
    The score is the label-cardinality inconsistency ``|Σ_l 1[p_l > ½] − mean number of labels of labeled rows|``. It
    takes few values; among rows that tie, the one that is less sure on average comes first: the mean over the labels
    of ``1 − |2 p_l − 1|``, in [0, 1], is added in units of 10⁻⁶ (our choice; the paper combines the two with a weight
    that it adapts by the classifier's error on the pool, with labels as they are predicted).

    Labeled rows of which some label is not known do not count; without labeled rows the mean number is that of the
    pool's, by the probabilities (ours). With one class a row that number is one, and rows come first none of whose
    classes is more probable than all others together. Deterministic. Cost: the probabilities, then O(N (L + log N)).

    Rows that lack a modality: the fused head tends to predict fewer labels for them, so they may come more often than
    their share.

    References
    ----------
    .. [1] Li and Guo, "Active learning with multi-label SVM classification", IJCAI 2013, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.multiclass import OneVsRestClassifier
    >>> from skmmal.query import LabelCardinality
    >>> X, Y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    >>> clf = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    >>> LabelCardinality().query(clf, np.array([[1.4], [9.0]]), 1, X_labeled=X, y_labeled=Y)
    array([0])
    """

    def _scores(self, head: Head) -> np.ndarray:
        probabilities = head.probabilities
        _, n_labels = known_counts(head)
        mean = n_labels.mean() if len(n_labels) else probabilities.sum(axis=1).mean()
        inconsistency = np.abs((probabilities > 0.5).sum(axis=1) - mean)
        return inconsistency + 1e-6 * margin_uncertainty(probabilities, head.target)
