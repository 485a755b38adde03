"""What a label says of the labels of other rows: EPIG."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral

import numpy as np

from skmmal._random import RandomState, draw_seed
from skmmal._sklearn import Interval
from skmmal._targets import SEVERAL_LABELS
from skmmal.query._base import Selection
from skmmal.query._information import InformationSampling, mutual_information, predictive_information
from skmmal.reading import Head, Reading
from skmmal.selection._units import Scores, UnitBenefits, Units

__all__ = ["EPIG"]


class EPIG(InformationSampling):
    """Pick the rows whose labels say most about the labels of other rows.

    The score is the expected predictive information gain: the mutual information of a row's label and the label of a
    target row, averaged over targets drawn from the pool. BALD wants to learn the parameters; this wants only what
    matters for predictions.

    Parameters
    ----------
    source : {"auto", "committee", "dropout", "laplace"}, default="auto"
        As in `BALD`.
    n_draws : int, default=50
        As in `BALD`; every draw is one network for all rows (dropout: one mask for all rows).
    n_targets : int, default=100
        Targets drawn from the pool (ours; the paper draws from the test inputs' distribution).
    max_candidates : int or None, default=1000
        Only the rows of highest BALD score are looked at, that many and at least twice `n_instances` (ours). BALD is
        an upper bound of EPIG for each row, so those left out have low bounds. ``None``: all rows.
    random_state : int, RandomState, Generator or None
        Draws networks and targets.
    on : str, default="fused"
        As in `BALD`, for candidates as well as for scores; targets that lack a head's modality tell it nothing.

    Notes
    -----
    Without `X_labeled` a Laplace posterior is the prior alone. Cost: twice the draws as for BALD (a Laplace draw costs
    N × D × K here), then O(C M K² n_draws) for C candidates and M targets: for 68 classes, 1,000 candidates and 100
    targets half a billion logarithms. Memory O(N K), and C K numbers a draw; their scores take a block beside it.

    Several labels a row: the mean over the labels of the information between a row's state and a target's state of the
    same label (ours); what labels say of one another is left out. BALD's sum over the labels, divided by their number,
    is a bound as before. Cost: O(C M L n_draws), and 4 C M L logarithms for L labels.

    Rows that lack a modality: as for BALD.

    References
    ----------
    .. [1] Bickford Smith et al., "Prediction-oriented Bayesian active learning", AISTATS 2023, section 4.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import EPIG
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(EPIG(random_state=0).query(clf, X[1::10], 5, X_labeled=X[::40]))
    5
    """

    _looks_beyond_candidates = True
    supports_multi_label = True
    supports_groups = True
    _parameter_constraints: dict = {
        **InformationSampling._parameter_constraints,
        "n_targets": [Interval(Integral, 1, None, closed="left")],
        "max_candidates": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        source: str = "auto",
        n_draws: int = 50,
        n_targets: int = 100,
        max_candidates: int | None = 1000,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        super().__init__(source, n_draws, random_state, on=on)
        self.n_targets = n_targets
        self.max_candidates = max_candidates

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return pool.highest(self._scores(pool, 2 * n_instances, rng), n_instances)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        return Scores(units.of_rows(np.maximum(self._scores(pool, 0, rng), 0.0)))

    def _scores(self, pool: Reading, n_least: int, rng: np.random.RandomState) -> np.ndarray:
        """Scores of the most promising candidates, `n_least` of them at least; minus infinity for all other rows."""
        seed = draw_seed(rng)
        targets = np.sort(rng.permutation(len(pool))[: self.n_targets])

        def networks(head: Head) -> Iterator[np.ndarray]:  # the same draws each time, never all of them in memory
            return head.draws(self.n_draws, np.random.RandomState(seed), source=self.source, joint=True)

        promising = np.arange(len(pool)) if pool.candidates is None else np.flatnonzero(pool.candidates)
        if self.max_candidates is not None and len(promising) > (most := max(self.max_candidates, n_least)):
            information = pool.mean_score(
                lambda head: mutual_information(networks(head), multilabel=head.target is SEVERAL_LABELS)
            )
            promising = np.sort(pool.highest(information, most)[0])

        def score(head: Head) -> np.ndarray:
            scores = np.zeros(len(head))
            rows, known = head.find(promising), head.find(targets)
            if len(rows) and len(known):
                draws, target_draws = zip(*((p[rows], p[known]) for p in networks(head)), strict=True)
                both = np.stack(draws), np.stack(target_draws)
                scores[rows] = predictive_information(*both, multilabel=head.target is SEVERAL_LABELS)
            return scores

        scores = np.full(len(pool), -np.inf)
        scores[promising] = pool.mean_score(score)[promising]
        return scores
