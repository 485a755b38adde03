"""Successive models agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skmmal.stopping._base import COUNT, SHARE, Judgement
from skmmal.stopping._predictions import Pair, PredictionsCriterion, kappa


class StabilizingPredictions(PredictionsCriterion):
    """Stop when successive models agree: the mean of the last Cohen's κ reaches a threshold.

    Parameters
    ----------
    threshold : float, default=0.99
        Mean κ that is enough.
    window : int, default=3
        Pairs of neighbouring rounds.
    min_rounds : int, default=4
        Rounds with a model before anything is said.

    Notes
    -----
    κ is taken on the rows of a fixed stop set that are unlabelled in both rounds. In a comparison of 13 criteria this
    one and `ClassificationChange` were the most reliable [2]_.

    References
    ----------
    .. [1] Bloodgood and Vijay-Shanker, "A method for stopping active learning based on stabilizing predictions and
       the need for user-adjustable stopping", CoNLL 2009.
    .. [2] Pullar-Strecker et al., "Hitting the target: stopping active learning at the cost-based optimum",
       Machine Learning, 2022.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmmal.stopping import RoundState, StabilizingPredictions
    >>> same = pd.Series(["cat", "dog", "cat"])
    >>> StabilizingPredictions().advise([RoundState(r, 40 * r, same) for r in range(1, 5)]).stop
    True
    """

    name = "stabilizing-predictions"
    _parameter_constraints: dict = {"threshold": SHARE, "window": COUNT, "min_rounds": COUNT}

    def __init__(self, threshold: float = 0.99, window: int = 3, min_rounds: int = 4) -> None:
        self.threshold = threshold
        self.window = window
        self.min_rounds = min_rounds

    def _judge_pairs(self, pairs: Sequence[Pair]) -> Judgement:
        values = [kappa(first, second) for first, second in pairs]
        if np.isnan(values).any():
            return False, None, "a model of the last rounds predicts one class only; its agreement means nothing."
        mean = float(np.mean(values))
        shown = ", ".join(f"{value:.3f}" for value in values)
        verb = "reaches" if mean >= self.threshold else "is below"
        return (
            mean >= self.threshold,
            mean,
            f"successive models agree with κ = {shown}; their mean {mean:.3f} {verb} {self.threshold:g}.",
        )
