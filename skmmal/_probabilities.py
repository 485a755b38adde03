"""Class probabilities: what may be called so, and what something else looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import logsumexp

from skmmal._arrays import naming, numeric

__all__ = ["TOLERANCE", "check_distribution", "check_independent", "check_probability_matrix", "log_probabilities"]

TOLERANCE = 5e-3
"""How far from one a row may sum: what rounding to bfloat16 can do (to float16 a quarter of it), and some room."""


def check_distribution(
    probabilities: Any,
    *,
    n_rows: int | None = None,
    n_classes: int | None = None,
    source: str = "probabilities",
    argument: str = "X_pool",
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Return class probabilities as float64, if every row of them is a distribution.

    Parameters
    ----------
    probabilities : array-like or tensor of shape (n, K)
    n_rows, n_classes : int, optional
        How many rows and columns there must be.
    source : str, default="probabilities"
        Whose they are, in the error message: ``"LogisticRegression.predict_proba"``.
    argument : str, default="X_pool"
        What their rows are rows of, in the error message.
    rows : ndarray of int, shape (n,), optional
        The caller's number of each row, for the error message; by default 0 to n − 1.

    Returns
    -------
    ndarray of float64, shape (n, K)
        The values as they are. Only what rounding left below zero or above one is moved there.

    Raises
    ------
    TypeError
        Not numbers.
    ValueError
        Not of shape (n, K), not finite, below zero or above one, or a row does not sum to one (within 0.005, which
        float16 and bfloat16 need).

    Examples
    --------
    >>> check_distribution([[0.25, 0.75]])
    array([[0.25, 0.75]])
    >>> check_distribution([[0.25, 0.5]], source="Net.predict_proba")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: Net.predict_proba: rows must sum to one, but row 0 of X_pool sums to 0.75 (1 of 1 rows is no ...
    """
    array = check_probability_matrix(probabilities, n_rows=n_rows, n_classes=n_classes, source=source)
    _check_finite(array, source, argument, rows)
    sums = array.sum(axis=1)
    outside = (array < -TOLERANCE) | (array > 1.0 + TOLERANCE)
    bad = np.flatnonzero(outside.any(axis=1) | (np.abs(sums - 1.0) > TOLERANCE))
    if len(bad):
        # a value out of bounds says more than a sum does
        row = bad[outside[bad].any(axis=1).argmax()]
        has = f"has {array[row][outside[row]][0]:.4g} and " if outside[row].any() else ""
        count = f"{len(bad)} of {len(array)} rows {'is' if len(bad) == 1 else 'are'} no distribution"
        raise ValueError(
            f"{source}: rows must sum to one, but row {_number(row, rows)} of {argument} {has}sums to {sums[row]:.4g} "
            f"({count}). {_looks_like(array)}"
        )
    return _within_bounds(array)


def check_independent(
    probabilities: Any,
    *,
    n_rows: int | None = None,
    n_classes: int | None = None,
    source: str = "probabilities",
    argument: str = "X_pool",
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Return probabilities of labels, each for itself, as float64, if all of them are between zero and one.

    Parameters
    ----------
    probabilities, n_rows, n_classes, source, argument, rows
        As of `check_distribution`; there is a column for each label.

    Returns
    -------
    ndarray of float64, shape (n, L)
        The values as they are. Only what rounding left below zero or above one is moved there.

    Raises
    ------
    TypeError, ValueError
        As of `check_distribution`; but rows may sum to anything.

    Examples
    --------
    >>> check_independent([[0.25, 0.9, 0.5]])
    array([[0.25, 0.9 , 0.5 ]])
    """
    array = check_probability_matrix(probabilities, n_rows=n_rows, n_classes=n_classes, source=source)
    if array.size and array.min() >= 0.0 and array.max() <= 1.0:  # not where one is NaN
        return array
    _check_finite(array, source, argument, rows)
    outside = (array < -TOLERANCE) | (array > 1.0 + TOLERANCE)
    bad = np.flatnonzero(outside.any(axis=1))
    if len(bad):
        raise ValueError(
            f"{source}: the labels' probabilities must be between 0 and 1, but row {_number(bad[0], rows)} of "
            f"{argument} has {array[bad[0]][outside[bad[0]]][0]:.4g} ({len(bad)} such rows). If these are logits, "
            "return scipy.special.expit(logits) from predict_proba"
        )
    return _within_bounds(array)


def _check_finite(array: np.ndarray, source: str, argument: str, rows: np.ndarray | None) -> None:
    broken = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(broken):
        row = _number(broken[0], rows)
        raise ValueError(f"{source} is not finite in row {row} of {argument} ({len(broken)} such rows)")


def _number(row: int, rows: np.ndarray | None) -> int:
    """The caller's number of a row."""
    return int(row if rows is None else rows[row])


def _within_bounds(array: np.ndarray) -> np.ndarray:
    if array.size and (array.min() < 0.0 or array.max() > 1.0):
        return np.clip(array, 0.0, 1.0)
    return array


def check_probability_matrix(
    probabilities: Any, *, n_rows: int | None = None, n_classes: int | None = None, source: str = "probabilities"
) -> np.ndarray:
    """Return values as a float64 matrix, whatever they are, if they have the right shape.

    Parameters
    ----------
    probabilities, n_rows, n_classes, source
        As in `check_distribution`.

    Raises
    ------
    TypeError
        Not numbers.
    ValueError
        Not of shape (n, K).
    """
    if isinstance(probabilities, list | tuple) and any(np.ndim(part) == 2 for part in probabilities):
        raise ValueError(
            f"{source} is a list of {len(probabilities)} arrays, one for each output: a classifier of several outputs "
            "(MultiOutputClassifier, or a tree or forest fitted on several columns of labels). Rows are chosen by the "
            "probabilities of one class a row: use a classifier fitted on one column of labels"
        )
    if sparse.issparse(probabilities):
        probabilities = probabilities.toarray()
    if hasattr(probabilities, "detach"):  # numpy has no bfloat16
        probabilities = probabilities.detach().cpu().double().numpy()
    with naming(source):
        array = numeric(probabilities, "probabilities").astype(np.float64, copy=False)
    expected = f"({'n_samples' if n_rows is None else n_rows}, {'n_classes' if n_classes is None else n_classes})"
    if array.ndim == 1 and n_rows in (None, len(array)):
        raise ValueError(
            f"{source} has shape {array.shape}, expected {expected}: one number a row. If it is the probability of "
            "the second class, give both: np.column_stack([1 - p, p])"
        )
    if (
        array.ndim != 2
        or (n_rows is not None and len(array) != n_rows)
        or (n_classes is not None and array.shape[1] != n_classes)
    ):
        raise ValueError(f"{source} has shape {array.shape}, expected {expected}")
    if array.shape[1] == 0 and len(array):
        raise ValueError(f"{source} has shape {array.shape}: there is no class")
    return array


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Logarithms, with zero taken as the smallest normal number."""
    return np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))


def _looks_like(array: np.ndarray) -> str:
    """What finite rows that are no distributions seem to be, and the way out."""
    calibrate = "wrap the classifier in sklearn.calibration.CalibratedClassifierCV"
    if array.shape[1] == 1:
        return "It is one column: a single sigmoid output? Give both classes: np.column_stack([1 - p, p])"
    if np.allclose(logsumexp(array, axis=1), 0.0, atol=TOLERANCE):
        return "They look like log-probabilities: take np.exp of them"
    low, high = array.min(), array.max()
    sums = array.sum(axis=1)
    if low < -TOLERANCE:
        return (
            "They look like logits or other decision values: return scipy.special.softmax(logits, axis=1) from "
            f"predict_proba, or {calibrate}"
        )
    if high > 1.0 + TOLERANCE:
        kind = "percentages, counts or votes" if (sums > 0.0).all() else "logits or other scores"
        return (
            f"They look like {kind}: divide each row of non-negative weights by its sum, take scipy.special.softmax of "
            f"logits, or {calibrate}"
        )
    return (
        "They look like independent probabilities, one for each class (sigmoid outputs, or a multi-label classifier "
        "such as OneVsRestClassifier on an indicator matrix). Rows are chosen by the probabilities of one class a "
        f"row: fit the classifier on one column of labels, end the network in a softmax, or {calibrate}. Where rows "
        "have several labels, fit it on an indicator matrix, or say Reading.from_arrays(..., multilabel=True)"
    )
