"""Rows that a learner holds, and their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_consistent_length

from skmmal._arrays import naming, off_device
from skmmal.modalities._containers import countable, n_rows_of, stack_labels, stack_rows, take_rows
from skmmal.modalities._rows import check_same_rows, rows_of

__all__ = ["check_pair", "first_rows", "of_one_class", "stacked"]


def stacked(X_held: Any, y_held: Any, X: Any, y: Any) -> tuple[Any, Any]:
    """The rows held, if there are any, and the new ones; and their labels."""
    return (X, y) if X_held is None else (stack_rows(X_held, X), stack_labels(y_held, y))


def first_rows(X_held: Any, y_held: Any, n_rows: int) -> tuple[Any, Any]:
    """The rows held first and their labels; ``None`` for both where there are none."""
    if n_rows == 0:
        return None, None
    if n_rows == n_rows_of(X_held):
        return X_held, y_held
    rows = np.arange(n_rows)
    return take_rows(X_held, rows), take_rows(y_held, rows)


def of_one_class(y: Any) -> bool:
    """Whether all labels are there, and the same."""
    labels = np.asarray(off_device(y))
    return labels.ndim == 1 and not pd.isna(labels).any() and len(pd.unique(labels)) == 1


def check_pair(X: Any, y: Any) -> None:
    """Refuse rows without labels, and labels that are not theirs."""
    if X is None:
        raise ValueError("X is None; rows and their labels are needed")
    if y is None:  # in scikit-learn's words
        raise ValueError("ActiveLearner requires y to be passed, but the target y is None; rows and labels are needed")
    with naming("X and y"):
        check_consistent_length(countable(X), off_device(y))
    check_same_rows({**rows_of(X, "X"), "y": y})
