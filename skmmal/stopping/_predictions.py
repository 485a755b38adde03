"""What the criteria share that compare the predictions of successive models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

from skmmal.stopping._base import Judgement, RoundState, StoppingCriterion

Pair = tuple[pd.Series, pd.Series]
"""Predictions of two successive models on the rows that both predict, every class as a string."""


def kappa(first: pd.Series, second: pd.Series) -> float:
    """Cohen's κ between two models' predictions, on the rows that both predict.

    Parameters
    ----------
    first, second : Series
        Predicted classes; the index names the rows.

    Returns
    -------
    float
        NaN without common rows, or where both predict one and the same class only (agreement by chance is certain).

    Examples
    --------
    >>> import pandas as pd
    >>> from skmmal.stopping import kappa
    >>> kappa(pd.Series(list("aabb")), pd.Series(list("aabb")))
    1.0
    """
    for argument, values in (("first", first), ("second", second)):
        if not isinstance(values, pd.Series):
            raise TypeError(f"{argument} must be a Series of predicted classes, got {type(values).__name__}")
    a, b = (part.to_numpy(dtype=str) for part in _on_common_rows(first, second))
    if len(np.unique(np.concatenate([a, b]))) < 2:
        return float("nan")
    return float(cohen_kappa_score(a, b))


def _on_common_rows(first: pd.Series, second: pd.Series) -> Pair:
    common = first.index.intersection(second.index)
    return first.loc[common].map(spelled), second.loc[common].map(spelled)


def spelled(label: Any) -> str:
    """How a class is compared: a label that went through a file is a string, and numpy's scalars are no others."""
    value = label.item() if isinstance(label, np.generic) else label
    # a column with a gap makes floats of whole numbers
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


class PredictionsCriterion(StoppingCriterion):
    """Judges the last `window` pairs of neighbouring rounds' predictions."""

    needs = ("predictions",)
    window: int

    @abstractmethod
    def _judge_pairs(self, pairs: Sequence[Pair]) -> Judgement:
        """Judge `window` pairs of predictions, none of them empty."""

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        predictions = [state.predictions for state in history[-self.window - 1 :]]
        pairs = [
            _on_common_rows(earlier, later)
            for earlier, later in pairwise(predictions)
            if earlier is not None and later is not None
        ]
        if len(pairs) < self.window or not all(len(first) for first, _ in pairs):
            return None, None, f"{self.window + 1} rounds in a row with predictions on the stop set are needed."
        return self._judge_pairs(pairs)
