"""Rows about which the heads disagree: HeadDisagreement."""

from __future__ import annotations

from itertools import combinations
from numbers import Real

import numpy as np
from scipy.special import entr

from skmmal._chunks import row_chunks
from skmmal._random import RandomState
from skmmal._sklearn import Interval
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Head, Reading
from skmmal.selection._k_means import pick_among

__all__ = ["HeadDisagreement"]


class HeadDisagreement(QueryStrategy):
    """Pick among the rows about which the heads disagree while one of them is sure, and of which the model is unsure.

    Every head names its plausible classes for a row. For two heads a, b the score is
    ``w · JS(p_a, p_b) + (1 − w) · H(p_fused)``: the Jensen-Shannon divergence of the two over the classes that one of
    them names, and the entropy of the fused head, with ``w = max p_b / (max p_a + max p_b)``, where b is the surer of
    the two in the row. The score of a row is the mean over all pairs of heads that speak for it.

    Parameters
    ----------
    set_size : float, default=2.0
        Plausible classes in a row, on average over the pool; at most the number of classes.
    factor : float, default=10.0
        Candidates per row wanted, by score; k-means picks among them.
    random_state : int, RandomState, Generator or None
        Draws the clusters.

    Notes
    -----
    The heads are the fused one, each modality's own, and the model's prior where it has one (see `prior` of
    `LateFusionClassifier`), which then is b, the teacher, in its pairs. A head's plausible classes are those with
    ``−log p ≤ t``, and in any case its first, with one t for the pool such that there are `set_size` on average: a
    conformal set of given mean size (the authors bisect for t, which is an order statistic). The probabilities of the
    two heads are normalized over the union of their sets. Divergence and entropy are in nats.

    The authors compare a student with a vision-language teacher, who is b in every row, and cluster on the student's
    features. Here every pair of heads counts, b is the surer one of two, and clusters are those of the fused features
    of length one. A classifier without heads of the modalities' own has no pairs: then the score is the entropy. Cost:
    the probabilities of all heads, O(N K) for each of their pairs, and k-means of the candidates.

    Rows that lack a modality: its head does not speak for them, and their score is the mean over the other pairs. The
    fused head tends to be less sure of them, and its entropy counts in every pair, so that they come more often than
    their share.

    References
    ----------
    .. [1] "CCMA: conformal cross-modal active learning", CVPR Findings 2026 (arXiv 2603.23159), and its official code:
       sets, weight and score. That any two heads may stand for student and teacher is ours.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import HeadDisagreement
    >>> X, y = load_digits_views(["fou", "pix"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> clf = LateFusionClassifier().fit(X[::20], y[::20])
    >>> len(HeadDisagreement(random_state=0).query(clf, X[1::2], 5))
    5
    """

    compares_modalities = True
    _parameter_constraints: dict = {
        "set_size": [Interval(Real, 1, None, closed="left")],
        "factor": [Interval(Real, 1, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(self, set_size: float = 2.0, factor: float = 10.0, random_state: RandomState = None) -> None:
        self.set_size = set_size
        self.factor = factor
        self.random_state = random_state

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        scores = self._scores(pool)
        n_candidates = max(n_instances, int(self.factor * n_instances))
        candidates = np.argsort(-scores, kind="stable")[:n_candidates]
        chosen = pick_among(pool.head.features, candidates, n_instances, rng)
        return chosen, scores[chosen]

    def _scores(self, pool: Reading) -> np.ndarray:
        unsure = entr(pool.head.probabilities).sum(axis=1)
        heads = [_Voice.of_head(head, self.set_size) for head in _speaking(pool)]
        if pool.source.prior_probabilities is not None:
            heads.append(_Voice(pool.source.prior_probabilities[pool.taken], np.arange(len(pool)), self.set_size, True))
        total, n_pairs = np.zeros(len(pool)), np.zeros(len(pool))
        for one, other in combinations(heads, 2):
            rows = np.intersect1d(one.positions, other.positions, assume_unique=True)
            n_pairs[rows] += 1
            for part in row_chunks(len(rows), one.probabilities.shape[1]):
                total[rows[part]] += _pair_scores(one, other, rows[part], unsure)
        return np.divide(total, n_pairs, out=unsure.copy(), where=n_pairs > 0)


def _speaking(pool: Reading) -> list[Head]:
    """The heads whose probabilities are known: without heads of the modalities' own, the fused one."""
    return list(pool.heads.values()) if pool.source.has_own_heads else [pool.head]


class _Voice:
    """Who says something of rows: probabilities (N, K), the rows they are about, and the classes that are plausible."""

    def __init__(
        self, probabilities: np.ndarray, positions: np.ndarray, set_size: float, is_teacher: bool = False
    ) -> None:
        self.probabilities, self.positions, self.is_teacher = probabilities, positions, is_teacher
        self._threshold = _threshold(probabilities[positions], set_size)

    @classmethod
    def of_head(cls, head: Head, set_size: float) -> _Voice:
        """A head's."""
        return cls(head.spread(head.probabilities), head.positions, set_size)

    def plausible(self, rows: np.ndarray) -> np.ndarray:
        """Which classes are plausible in some rows, bool of shape (n, K)."""
        probabilities = self.probabilities[rows]
        plausible = probabilities >= self._threshold
        plausible[np.arange(len(rows)), probabilities.argmax(axis=1)] = True
        return plausible


def _threshold(probabilities: np.ndarray, set_size: float) -> float:
    """The probability from which on a class is plausible: `set_size` are in a row, on average."""
    n_rows, n_classes = probabilities.shape
    wanted = np.ceil(np.round((set_size - 1.0) * n_rows, 6))  # 0.3 · 60 is 18, but for rounding
    n_more = int(min(wanted, n_rows * (n_classes - 1)))
    if n_more == 0:
        return np.inf
    others = probabilities.copy()
    others[np.arange(n_rows), probabilities.argmax(axis=1)] = np.inf  # the first class is in any case
    return float(-np.partition(-others, n_rows + n_more - 1, axis=None)[n_rows + n_more - 1])


def _pair_scores(one: _Voice, other: _Voice, rows: np.ndarray, unsure: np.ndarray) -> np.ndarray:
    """Score of some rows by two heads; a prior is the second one."""
    plausible = one.plausible(rows) | other.plausible(rows)
    p, q = (np.where(plausible, voice.probabilities[rows], 0.0) for voice in (one, other))
    p /= p.sum(axis=1, keepdims=True)
    q /= q.sum(axis=1, keepdims=True)
    divergence = entr((p + q) / 2).sum(axis=1) - (entr(p).sum(axis=1) + entr(q).sum(axis=1)) / 2
    sure, other_sure = (voice.probabilities[rows].max(axis=1) for voice in (one, other))
    teacher = other_sure if other.is_teacher else np.maximum(sure, other_sure)
    weight = teacher / (sure + other_sure)
    return weight * np.maximum(divergence, 0.0) + (1.0 - weight) * unsure[rows]
