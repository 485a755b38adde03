"""Arrays of numbers, and errors that say which argument was none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = ["boolean", "integer", "naming", "number", "numeric", "own_rows"]


def numeric(values: Any, argument: str, ndim: int | None = None, *, finite: bool = False) -> np.ndarray:
    """Return an array of numbers as numpy holds it, or say which argument is none.

    Parameters
    ----------
    values : array-like or tensor
    argument : str
        Its name in the error message.
    ndim : int, optional
        How many dimensions it must have.
    finite : bool, default=False
        Whether NaN and infinity are refused.

    Raises
    ------
    TypeError
        Not numbers.
    ValueError
        Another number of dimensions, or not finite.

    Examples
    --------
    >>> numeric([[1, 2]], "X")
    array([[1, 2]])
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    try:
        array = np.asarray(values)
        if array.dtype == object:
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{argument} must be numeric, got {type(values).__name__}: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{argument} must be numeric, found dtype {array.dtype}")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{argument} must have {ndim} dimension{'s' * (ndim > 1)}, found shape {array.shape}")
    if finite and not np.isfinite(array).all():
        raise ValueError(f"{argument} must be finite, found {array[~np.isfinite(array)][0]}")
    return array


def boolean(value: Any, argument: str) -> bool:
    """Return True or False, or say which argument is neither."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{argument} must be True or False, got {value!r}")
    return bool(value)


def integer(value: Any, argument: str, least: int) -> int:
    """Return a whole number of at least `least`, or say which argument is none."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{argument} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{argument} must be at least {least}, got {value}")
    return int(value)


def number(value: Any, argument: str, low: float = -np.inf, high: float = np.inf) -> float:
    """Return a finite number strictly between two bounds, or say which argument is none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{argument} must be a number, got {value!r}")
    found = float(value)
    if not (np.isfinite(found) and low < found < high):
        raise ValueError(f"{argument} must be finite and lie between {low:g} and {high:g}, got {value!r}")
    return found


@contextmanager
def naming(argument: str) -> Iterator[None]:
    """Put an argument's name before the error of a library that cannot know it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{argument}: {error}") from error


def own_rows(message: str, parts: Mapping[str, int], rows: np.ndarray | None = None) -> str:
    """An error about rows that were stacked, in the rows of what they were stacked from.

    Parameters
    ----------
    message : str
        Says "row 12" or "row 12 of X".
    parts : mapping of str to int
        What was stacked, and how many rows each has; an empty name is not put into the message.
    rows : ndarray of int, optional
        Which of the stacked rows were used, where not all were.

    Examples
    --------
    >>> own_rows("modality 'a' is partly NaN in row 12 of X", {"X_pool": 10, "X_labeled": 5})
    "modality 'a' is partly NaN in row 2 of X_labeled"
    """

    def renamed(found: re.Match[str]) -> str:
        row = int(found[1])
        if rows is not None and row < len(rows):
            row = int(rows[row])
        for name, n_rows in parts.items():
            if row < n_rows:
                return f"row {row} of {name}" if name else f"row {row}{found[2] or ''}"
            row -= n_rows
        return found[0]

    return re.sub(r"\brow (\d+)( of X\b)?", renamed, message)
