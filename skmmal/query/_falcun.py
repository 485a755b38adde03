"""Uncertain rows of differing probabilities: FALCUN."""

from __future__ import annotations

from numbers import Real

import numpy as np
from scipy.spatial.distance import cdist

from skmmal._random import RandomState
from skmmal._sklearn import Interval
from skmmal.query._base import QueryStrategy, Selection
from skmmal.query._uncertainty import margin_uncertainty
from skmmal.reading import Reading

__all__ = ["FALCUN"]


class FALCUN(QueryStrategy):
    """Draw uncertain rows whose class probabilities differ from those of the rows picked before.

    A row's uncertainty is ``u = 1 − (p₁ − p₂)``. Its diversity r begins as u and, after each pick s, becomes
    ``min(r, ‖p − p_s‖₁)``. Rows are drawn with probability proportional to ``(r' + u)^γ``, r' being r scaled to
    [0, 1] over the rows that are left.

    Parameters
    ----------
    gamma : float, default=10.0
        The paper's value; 0 is random, large values always take the highest.
    random_state : int, RandomState, Generator or None
        Draws the rows.
    on : str, default="fused"
        The head whose probabilities count: ``"fused"``, the name of a modality, or ``"all"`` (see `QueryStrategy`):
        the mean of the heads' uncertainties, and ``‖p − p_s‖₁`` summed over the heads and divided by their number, with
        zeros for the probabilities of a head whose modality the row lacks.

    Notes
    -----
    Any classifier with `predict_proba`; features are not looked at. The score is ``r' + u``. Cost: O(N K) a pick.

    Rows that lack a modality: the fused head tends to be less sure of them, so they come more often than their share.

    References
    ----------
    .. [1] Gilhuber et al., "FALCUN: a simple and efficient deep active learning strategy", ECML PKDD 2024, section 3.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import FALCUN
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(FALCUN(random_state=0).query(clf, X[1::10], 5))
    5
    """

    _parameter_constraints: dict = {
        "gamma": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(self, gamma: float = 10.0, random_state: RandomState = None, *, on: str = "fused") -> None:
        self.gamma = gamma
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        by_head = pool.by_head(lambda head: head.probabilities)
        probabilities = np.hstack(by_head) / len(by_head)
        uncertainty = pool.mean_score(lambda head: margin_uncertainty(head.probabilities))
        diversity = uncertainty.copy()
        left = np.ones(len(pool), dtype=bool)
        indices = np.empty(n_instances, dtype=np.intp)
        scores = np.empty(n_instances)
        for turn in range(n_instances):
            relevance = _scaled(diversity, left) + uncertainty
            indices[turn] = _draw(relevance, left, self.gamma, rng)
            scores[turn] = relevance[indices[turn]]
            left[indices[turn]] = False
            apart = cdist(probabilities, probabilities[indices[turn : turn + 1]], "cityblock")[:, 0]
            np.minimum(diversity, apart, out=diversity)
        return indices, scores


def _scaled(values: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Values scaled so that those left span [0, 1]; zeros where they are all the same."""
    low, high = values[left].min(), values[left].max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _draw(relevance: np.ndarray, left: np.ndarray, gamma: float, rng: np.random.RandomState) -> int:
    """Draw one of the rows left, in proportion to ``relevance^gamma``; uniformly where that is zero everywhere."""
    rows = np.flatnonzero(left)
    highest_one = relevance[rows].max()
    if highest_one <= 0:
        return int(rows[rng.randint(len(rows))])
    sums = np.cumsum((np.maximum(relevance[rows], 0.0) / highest_one) ** gamma)
    at = int(np.searchsorted(sums, rng.uniform() * sums[-1], side="right"))
    return int(rows[min(at, len(rows) - 1)])
