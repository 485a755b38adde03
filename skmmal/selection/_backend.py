"""numpy for points in memory, torch for points on a device: the few calls in which the two differ.

Everything else in this package is written once, in calls that both answer alike. torch is imported when a device is
asked for, not before.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from skmmal._arrays import numeric, widened
from skmmal._torch import import_torch
from skmmal.modalities._lazy import LazyBlock

__all__ = [
    "Array",
    "as_blocks",
    "as_matrix",
    "cast",
    "full",
    "gather",
    "is_matrix",
    "like",
    "namespace",
    "row_sq_norms",
    "to_device",
    "to_numpy",
]

Array = Any
"""An ndarray, a block whose rows are made when they are asked for, or a tensor on some device."""
_NUMPY = (np.ndarray, LazyBlock)


def namespace(array: Array) -> Any:
    """Return the library that an array belongs to."""
    return np if isinstance(array, _NUMPY) else sys.modules["torch"]


def to_device(array: Array, device: Any) -> Array:
    """Return a tensor with the values of an array, on a torch device."""
    torch = import_torch(f"device={str(device)!r}")
    with warnings.catch_warnings():  # torch warns of read-only arrays; nothing here writes
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.as_tensor(np.asarray(array) if isinstance(array, LazyBlock) else array).to(device)


def to_numpy(array: Array) -> np.ndarray:
    """Return the values of an array as numpy's; rows that are made when they are asked for stay so."""
    return array if isinstance(array, _NUMPY) else array.cpu().numpy()  # type: ignore[return-value]


def like(values: np.ndarray, array: Array) -> Array:
    """Return numpy's values where another array is."""
    return values if isinstance(array, _NUMPY) else to_device(values, array.device)


def full(length: int, value: float, dtype: str, array: Array) -> Array:
    """Return a vector of one value where another array is."""
    return like(np.full(length, value, dtype=dtype), array)


def cast(array: Array, dtype: str) -> Array:
    """Return an array in a type given by its name, the array itself where it has that type."""
    library = namespace(array)
    if dtype == "float32" and isinstance(array, np.ndarray):
        return array if array.dtype == np.float32 else widened(array, np.float32)
    return library.asarray(array, dtype=getattr(library, dtype))


def gather(array: Array, rows: slice | np.ndarray) -> Array:
    """Return some rows: a slice as a view, an index or a mask as a copy."""
    if isinstance(rows, slice) or isinstance(array, _NUMPY):
        return array[rows]
    return array.index_select(0, to_device(rows, array.device))


def row_sq_norms(rows: Array) -> Array:
    """Squared norms of rows, float64."""
    return cast(namespace(rows).einsum("ij,ij->i", rows, rows), "float64")


def as_matrix(values: Any, argument: str) -> Array:
    """Wrap a matrix of floats without copying it; integers become float64. Tensors stay on their device."""
    if isinstance(values, LazyBlock):
        return values if values.dtype.kind == "f" else values.cast(np.float64)
    if getattr(getattr(values, "device", None), "type", "cpu") != "cpu":
        array = values.detach()
        if array.is_complex():
            raise TypeError(f"{argument} must be numeric, found dtype {array.dtype}")
        is_float = array.is_floating_point()
    else:
        array = numeric(values, argument)
        is_float = array.dtype.kind == "f"
    if array.ndim != 2:
        raise ValueError(f"{argument} must have shape (N, D), found {tuple(array.shape)}")
    return array if is_float else cast(array, "float64")


def as_blocks(values: Any, argument: str) -> tuple[Array, ...]:
    """Wrap a matrix, or several that share their rows."""
    several = isinstance(values, Sequence) and len(values) > 0 and all(is_matrix(block) for block in values)
    blocks = tuple(as_matrix(block, argument) for block in (values if several else [values]))
    for block in blocks:
        if len(block) != len(blocks[0]):
            raise ValueError(f"the blocks of {argument} differ in rows: {len(blocks[0])} and {len(block)}")
    return blocks


def is_matrix(values: Any) -> bool:
    """Whether something has two dimensions."""
    try:
        return np.ndim(values) == 2
    except ValueError:  # ragged
        return False
