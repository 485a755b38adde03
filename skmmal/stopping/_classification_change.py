"""The predictions no longer change."""

from __future__ import annotations

from collections.abc import Sequence

from skmmal.stopping._base import COUNT, SHARE, Judgement
from skmmal.stopping._predictions import Pair, PredictionsCriterion


class ClassificationChange(PredictionsCriterion):
    """Stop when the predictions no longer change from one round to the next.

    Parameters
    ----------
    threshold : float, default=0.0
        Share of the stop set that may change.
    min_rounds : int, default=3
        Rounds with a model before anything is said.

    References
    ----------
    .. [1] Zhu, Wang and Hovy, COLING 2008 (classification change).

    Examples
    --------
    >>> import pandas as pd
    >>> from skmmal.stopping import ClassificationChange, RoundState
    >>> history = [RoundState(r, r, pd.Series(["cat", "dog"])) for r in range(3)]
    >>> ClassificationChange().advise(history).stop
    True
    """

    name = "classification-change"
    window = 1
    _parameter_constraints: dict = {"threshold": SHARE, "min_rounds": COUNT}

    def __init__(self, threshold: float = 0.0, min_rounds: int = 3) -> None:
        self.threshold = threshold
        self.min_rounds = min_rounds

    def _judge_pairs(self, pairs: Sequence[Pair]) -> Judgement:
        first, second = pairs[0]
        changed = int((first != second).sum())
        share = changed / len(first)
        return (
            share <= self.threshold,
            share,
            f"{changed} of {len(first)} predictions changed in the last round ({share:.1%}, "
            f"threshold {self.threshold:.1%}).",
        )
