"""The F-measure is predicted to change little."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np
import pandas as pd

from skmmal.stopping._base import COUNT, SHARE, Judgement
from skmmal.stopping._predictions import Pair, PredictionsCriterion, spelled


class PredictedFChange(PredictionsCriterion):
    """Stop when the predicted change of the F-measure is small (two classes).

    ``ΔF = 1 − 2a / (2a + b + c)``, where `a` rows are positive in both rounds, and `b` and `c` flip either way.

    Parameters
    ----------
    positive : str, int or bool, optional
        The positive class. Default: the last of the two, numbers by value and strings by name.
    threshold : float, default=0.05
        Every one of the last `window` values must be below.
    window : int, default=3
        Pairs of neighbouring rounds.
    min_rounds : int, default=4
        Rounds with a model before anything is said.

    References
    ----------
    .. [1] Altschuler and Bloodgood, "Stopping active learning based on predicted change of F measure for text
       classification", ICSC 2019.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmmal.stopping import PredictedFChange, RoundState
    >>> history = [RoundState(r, r, pd.Series(["no", "yes"])) for r in range(4)]
    >>> PredictedFChange("yes").advise(history).stop
    True
    """

    name = "predicted-f-change"
    _parameter_constraints: dict = {
        "positive": [str, Real, "boolean", None],
        "threshold": SHARE,
        "window": COUNT,
        "min_rounds": COUNT,
    }

    def __init__(
        self,
        positive: str | float | bool | None = None,
        threshold: float = 0.05,
        window: int = 3,
        min_rounds: int = 4,
    ) -> None:
        self.positive = positive
        self.threshold = threshold
        self.window = window
        self.min_rounds = min_rounds

    def _judge_pairs(self, pairs: Sequence[Pair]) -> Judgement:
        classes = {label for pair in pairs for part in pair for label in part}
        if len(classes) > 2:
            return None, None, f"the predicted change of F is defined for two classes; {len(classes)} are predicted."
        positive = max(classes, key=_order) if self.positive is None else spelled(self.positive)
        values = [_f_change(first == positive, second == positive) for first, second in pairs]
        if np.isnan(values).any():
            return None, None, f"no row was predicted {positive} in one of the last rounds; ΔF is then 0/0."
        worst = max(values)
        return (
            worst < self.threshold,
            worst,
            f"the predicted change of F of {positive} is {', '.join(f'{value:.3f}' for value in values)} "
            f"(threshold {self.threshold:g}).",
        )


def _order(name: str) -> tuple[bool, float, str]:
    """Key of the order of classes: numbers by value, also as the strings that a file makes of them; then names."""
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name


def _f_change(first: pd.Series, second: pd.Series) -> float:
    both, flipped = int((first & second).sum()), int((first != second).sum())
    return float("nan") if both == flipped == 0 else 1.0 - 2.0 * both / (2.0 * both + flipped)
