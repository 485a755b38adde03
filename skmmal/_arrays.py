"""Arrays of numbers, and errors that say which argument was none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = [
    "as_array",
    "at_least_float32",
    "boolean",
    "fill",
    "integer",
    "may_not_be_finite",
    "naming",
    "number",
    "numeric",
    "off_device",
    "one_of",
    "own_rows",
    "widened",
    "without_nan",
]

_HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
_HALVES[np.isnan(_HALVES)] = np.nan  # signaling ones, too
"""All numbers of float16: to look them up takes half of the time that processors without such numbers convert in."""
_INFINITE_HALF = 0x7C00 << 1
_TILE = 2**16
"""Elements that are looked up at a time: what is made on the way stays in the processor's cache."""


def as_array(values: Any) -> np.ndarray:
    """Return what numpy makes of an array or tensor, in a type that numpy and torch both compute with.

    bfloat16 becomes float32, extended precision float64, foreign byte order the machine's own; masked numbers become
    NaN. Everything else keeps its type, and is not copied where numpy need not.

    Parameters
    ----------
    values : array-like or tensor

    Returns
    -------
    ndarray
        Of any type; objects are left as they are.

    Raises
    ------
    TypeError, ValueError
        Numpy cannot, or a tensor is sparse.

    Examples
    --------
    >>> import torch
    >>> as_array(torch.ones(2, dtype=torch.bfloat16))
    array([1., 1.], dtype=float32)
    """
    if hasattr(values, "detach"):  # a torch tensor, possibly on a GPU
        values = _from_tensor(values)
    if isinstance(values, np.ma.MaskedArray):
        with_nan = np.result_type(values.dtype, np.float16)
        values = np.ma.filled(values.astype(with_nan), np.nan) if np.ma.is_masked(values) else values.data
    array = np.asarray(values)
    if array.dtype.kind == "V" and array.dtype.names is None and "float" in array.dtype.name:  # JAX's small floats
        return array.astype(np.float32)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def widened(values: np.ndarray, dtype: Any) -> np.ndarray:
    """A copy in a type of floats, row by row: ``values.astype(dtype)``, faster from float16 to float32.

    Parameters
    ----------
    values : ndarray of shape (n, ...)
    dtype : dtype

    Returns
    -------
    ndarray

    Examples
    --------
    >>> widened(np.array([[0.5, np.nan]], dtype=np.float16), np.float32)
    array([[0.5, nan]], dtype=float32)
    """
    out = np.empty(values.shape, dtype)
    fill(out, values)
    return out


def fill(out: np.ndarray, values: np.ndarray) -> None:
    """Put values into an array of the same shape: ``out[:] = values``, faster from float16 to float32.

    Parameters
    ----------
    out, values : ndarray of shape (n, ...)
    """
    if (values.dtype, out.dtype) != (np.float16, np.float32):
        out[:] = values
        return
    step = max(1, _TILE * len(values) // max(1, values.size))
    for start in range(0, len(values), step):
        tile = slice(start, start + step)
        _HALVES.take(values[tile].view(np.uint16), mode="clip", out=out[tile])


def may_not_be_finite(rows: np.ndarray) -> np.ndarray:
    """Which rows (n, D) hold something that is not finite, or may: one cheap pass clears most of them."""
    if rows.dtype == np.float16 and rows.size:
        # without their sign, infinity and NaN are the largest of all numbers' bits
        return np.left_shift(rows.view(np.uint16), 1).max(axis=1) >= _INFINITE_HALF
    with np.errstate(all="ignore"):  # a row's sum is finite unless something in it is not, or it overflows
        return ~np.isfinite(rows.sum(axis=1, dtype=np.float64))


def at_least_float32(block: np.ndarray) -> np.ndarray:
    """The block in a precision to compute with; a copy only of float16, unless its rows are made when asked for."""
    if block.dtype != np.float16:
        return block
    return widened(block, np.float32) if isinstance(block, np.ndarray) else block.cast(np.float32)


def without_nan(block: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The block with absent rows zeroed, in floating point; a read-only view where nothing has to change."""
    if present.all() and block.dtype in (np.float16, np.float32, np.float64):
        view = block.view()
        view.flags.writeable = False
        return view
    values = widened(block, np.float64 if block.dtype.kind != "f" else np.result_type(block.dtype, np.float32))
    values[~present] = 0.0
    return values


def off_device(values: Any) -> Any:
    """Return tensors and arrays of other libraries as numpy's, everything else as it is.

    With scikit-learn's ``array_api_dispatch`` on, its functions keep them as they come, and nothing after them can.
    """
    if isinstance(values, np.ndarray) or not (hasattr(values, "detach") or hasattr(values, "__array_namespace__")):
        return values
    return as_array(values)


def _from_tensor(values: Any) -> np.ndarray:
    values = values.detach().cpu()
    if str(getattr(values, "layout", "torch.strided")) != "torch.strided":
        raise TypeError("a sparse tensor cannot be used; convert it with .to_dense()")
    try:
        return values.resolve_conj().resolve_neg().numpy()
    except TypeError:  # numpy has no bfloat16 and no float8
        return values.float().numpy()


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
    try:
        array = as_array(values)
        if array.dtype == object:
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{argument} must be numeric, got {type(values).__name__}: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{argument} must be numeric, found dtype {array.dtype}")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{argument} must have {ndim} dimension{'s' * (ndim > 1)}, found shape {array.shape}")
    if finite and array.size and not np.isfinite([array.max(), array.min()]).all():  # of NaN, too
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


def number(value: Any, argument: str, low: float = -np.inf, high: float = np.inf, *, closed: bool = False) -> float:
    """Return a finite number within bounds, or say which argument is none.

    Parameters
    ----------
    value : float
    argument : str
        Its name in the error message.
    low, high : float
        Bounds.
    closed : bool, default=False
        Whether the bounds themselves will do.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        No number.
    ValueError
        Not finite, or out of bounds.

    Examples
    --------
    >>> number(1, "rate", 0, 1, closed=True)
    1.0
    >>> number(1, "rate", 0, 1)
    Traceback (most recent call last):
    ValueError: rate must be finite and lie between 0 and 1, got 1
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{argument} must be a number, got {value!r}")
    found = float(value)
    inside = low <= found <= high if closed else low < found < high
    if not (np.isfinite(found) and inside):
        above = f"be finite and {'at least' if closed else 'above'} {low:g}"
        within = above if np.isinf(high) and np.isfinite(low) else f"be finite and lie between {low:g} and {high:g}"
        raise ValueError(f"{argument} must {within}, got {value!r}")
    return found


def one_of(value: Any, argument: str, options: Sequence[str]) -> str:
    """Return one of some words, or say which argument is none."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{argument} must be one of {list(options)}, got {value!r}")
    return value


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
