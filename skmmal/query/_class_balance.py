"""Balance of the classes among a strategy's picks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["balance_classes", "rows_to_balance"]

_OVERSAMPLING = 3
"""The strategy picks so many times the rows wanted, and they are chosen among its picks."""


def rows_to_balance(n_instances: int, n_rows: int) -> int:
    """How many rows a strategy is to pick, so that a balanced batch can be chosen among them."""
    return min(n_rows, _OVERSAMPLING * n_instances)


def balance_classes(predicted: Any, class_counts: Mapping[str, int], n_instances: int) -> np.ndarray:
    """Re-rank a strategy's picks so that rare classes come first.

    One after the other, the next row is the strategy's best remaining pick of the predicted class that has the fewest
    labels so far, counting the rows taken already; on equal counts the better pick.

    Parameters
    ----------
    predicted : array-like of shape (n_picked,)
        Predicted classes, in the strategy's order.
    class_counts : mapping of class to int
        Labels so far.
    n_instances : int
        Rows to keep.

    Returns
    -------
    ndarray of int, shape (n_instances,)
        Positions in `predicted`.

    Examples
    --------
    >>> from skmmal.campaign import balance_classes
    >>> balance_classes(["cat", "cat", "cat", "dog", "eel"], {"cat": 9, "dog": 3}, 3)
    array([4, 3, 0])
    """
    predicted = np.asarray(predicted)
    queues = {name: list(np.flatnonzero(predicted == name)[::-1]) for name in pd.unique(predicted)}
    counts = {name: int(class_counts.get(str(name), 0)) for name in queues}
    kept: list[int] = []
    while len(kept) < min(n_instances, len(predicted)):
        rarest = min((name for name in queues if queues[name]), key=lambda name: (counts[name], queues[name][-1]))
        kept.append(int(queues[rarest].pop()))
        counts[rarest] += 1
    return np.array(kept, dtype=np.intp)
