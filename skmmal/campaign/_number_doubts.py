"""Numbers that the model doubts: how far they are from what a model says that did not see the row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import KFold

from skmmal._arrays import integer
from skmmal.campaign._doubts import TooFewLabelsError

__all__ = ["find_doubts"]

FEWEST = 4


def find_doubts(
    model: Any, X: Any, y: np.ndarray, ids: np.ndarray, *, n_folds: int = 5, seed: int = 0
) -> pd.DataFrame:
    """List numbers, those first that are farthest from what is predicted.

    Parameters
    ----------
    model : regressor
        Cloned for each fold.
    X : MultimodalArray of shape (n_samples, n_features)
    y : ndarray of float64, shape (n_samples,)
    ids : ndarray of shape (n_samples,)
    n_folds : int, default=5
        Fewer where there are fewer rows.
    seed : int, default=0
        Draws the folds.

    Returns
    -------
    DataFrame
        ``id``, ``label``, ``predicted`` (by a model that was fitted without the row), ``difference`` (label less
        prediction), ``deviation`` (the difference in robust standard deviations: 1.4826 times the median of the
        absolute differences; NaN where that is zero). ``attrs["unchecked"]`` is 0.

    Raises
    ------
    TooFewLabelsError
        There are fewer than four rows.
    """
    n_folds = integer(n_folds, "n_folds", 2)
    if len(y) < FEWEST:
        raise TooFewLabelsError(f"{FEWEST} labels are needed to check numbers, found {len(y)}")
    predicted = np.empty(len(y))
    for train, test in KFold(min(n_folds, len(y)), shuffle=True, random_state=seed).split(y):
        predicted[test] = clone(model).fit(X[train], y[train]).predict(X[test])
    difference = y - predicted
    scale = 1.4826 * float(np.median(np.abs(difference)))
    deviation = difference / scale if scale > 0 else np.full(len(y), np.nan)
    columns = {"id": ids, "label": y, "predicted": predicted, "difference": difference, "deviation": deviation}
    table = pd.DataFrame(columns).assign(size=np.abs(difference))
    table = table.sort_values(["size", "id"], ascending=[False, True], kind="stable").drop(columns="size")
    table = table.reset_index(drop=True)
    table.attrs["unchecked"] = 0
    return table
