"""A modality's block in whatever an encoder, a table or a file gives: arrays, columns of vectors, tensors.

The libraries other than numpy and pandas are told apart by the names of their modules: none is imported here before
an object of its kind is met.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from skmmal._arrays import as_array, naming
from skmmal.modalities._lazy import LazyBlock

__all__ = [
    "as_block",
    "beside",
    "holds_vectors",
    "is_table",
    "library_of",
    "may_hold_vectors",
    "refuse_unread",
    "series_block",
    "stack_rows_of",
    "table_columns",
]

_UNREAD = {
    "dask": "call .compute() on it where it fits into memory, or write it once with FeatureStore.write and open that",
    "xarray": "call .compute() on it where it fits into memory",
    "polars": "call .collect() on it",
    "pyarrow": "call .to_table() on it",
    "pyspark": "collect it (.toPandas()), or write it once with FeatureStore.write and open that",
    "ray": "collect it (.to_pandas()), or write it once with FeatureStore.write and open that",
    "datasets": "take its columns: {'image': dataset.with_format('numpy')['image'][:], ...}",
    "h5py": "read it with dataset[:], or write it once with FeatureStore.write and open that",
    "zarr": "read it with array[:], or write it once with FeatureStore.write and open that",
    "tables": "read it with array[:], or write it once with FeatureStore.write and open that",
}
"""Containers that hold no values yet, and how to get at them, by the library's name."""
_TABLES = ("polars", "pyarrow")
_PANDAS_COLUMNS = (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)


def library_of(values: Any) -> str:
    """Name of the library that an object's class comes from."""
    return type(values).__module__.partition(".")[0]


def refuse_unread(values: Any, argument: str) -> None:
    """Raise `TypeError` for what only says where values are: paths, and containers that would be loaded whole.

    Parameters
    ----------
    values : object
    argument : str
        What it is called in the message.
    """
    if isinstance(values, str | bytes | os.PathLike):
        raise TypeError(
            f"{argument} is {'text' if isinstance(values, str | bytes) else 'a path'} ({str(values)[:80]!r}), not "
            "features; open a feature cache with skmmal.FeatureStore.open(path).load(), or an array's file with "
            "np.load(path, mmap_mode='r')"
        )
    library = library_of(values)
    # the columns of a Hugging Face dataset are sequences of rows like any other
    lazy = library in _UNREAD and not (library == "datasets" and type(values).__name__ == "Column")
    if library == "xarray":
        lazy = bool(getattr(values, "chunks", None))
    elif library == "polars":
        lazy = type(values).__name__ == "LazyFrame"
    elif library == "pyarrow":
        lazy = "dataset" in type(values).__module__
    if lazy:
        raise TypeError(
            f"{argument} is a {type(values).__module__}.{type(values).__name__}, which holds no values in memory and "
            f"is not loaded without being asked: {_UNREAD[library]}"
        )


def as_block(name: str, values: Any) -> np.ndarray:
    """Return one modality's block, without a copy where it is an array.

    Parameters
    ----------
    name : str
        The modality, for messages.
    values : array-like, tensor, DataFrame, Series or sequence of vectors
        Numbers of shape (n_samples, n_features) or (n_samples, tokens, dim); of shape (n_samples,), one column. In
        sequences, Series and columns of tables a row may be a vector, and ``None`` where it is missing.

    Returns
    -------
    ndarray of shape (n_samples, n_features) or (n_samples, tokens, dim)
        Missing rows are NaN.

    Raises
    ------
    TypeError
        Not numbers, sparse, or not in memory.
    ValueError
        Rows of different lengths, or too many dimensions.
    """
    if isinstance(values, LazyBlock):
        return values  # type: ignore[return-value]
    refuse_unread(values, f"modality {name!r}")
    if sparse.issparse(values):
        raise TypeError(
            f"modality {name!r} is a sparse matrix, and blocks are dense; make it dense and narrow first, for example "
            f"with skmmal.PerModality({{{name!r}: TruncatedSVD(100), ...}}), or convert it with .toarray()"
        )
    with naming(f"modality {name!r}"):
        block = _numbers(values)
    if block.dtype.kind not in "biuf":
        raise TypeError(f"modality {name!r}: expected a numeric block, found dtype {block.dtype}")
    if block.ndim == 1:
        block = block[:, np.newaxis]
    if block.ndim not in (2, 3):
        raise ValueError(
            f"modality {name!r}: expected shape (n_samples, n_features) or (n_samples, tokens, dim), "
            f"found {block.shape}"
        )
    return block


def _numbers(values: Any) -> np.ndarray:
    if isinstance(values, Mapping):
        raise TypeError(f"expected a numeric block, found a {type(values).__name__}")
    if isinstance(values, pd.DataFrame) and not any(map(may_hold_vectors, values.dtypes)):
        return _frame_numbers(values)
    if is_table(values):
        return beside([series_block(column, str(label)) for label, column in table_columns(values)])
    if isinstance(values, _PANDAS_COLUMNS) or library_of(values) in _TABLES:
        return series_block(values)
    if hasattr(values, "detach") or hasattr(values, "__array__"):
        array = as_array(values)
        return stack_rows_of(array) if array.dtype == object and array.ndim == 1 else array
    # a Hugging Face dataset's column is a sequence in all but name
    in_rows = isinstance(values, Sequence) or library_of(values) == "datasets"
    return stack_rows_of(values) if in_rows else as_array(values)


def is_table(values: Any) -> bool:
    """Whether it is a table of pandas, polars or pyarrow."""
    return isinstance(values, pd.DataFrame) or (library_of(values) in _TABLES and hasattr(values, "columns"))


def table_columns(table: Any) -> list[tuple[Any, Any]]:
    """Columns of a table, with their names."""
    if isinstance(table, pd.DataFrame):
        return [(table.columns[at], table.iloc[:, at]) for at in range(table.shape[1])]
    if library_of(table) == "polars":
        return list(zip(table.columns, table.get_columns(), strict=True))
    return list(zip(table.schema.names, table.columns, strict=True))


def holds_vectors(column: Any) -> bool:
    """Whether a table's column holds a vector in each cell."""
    if isinstance(column, pd.Series):
        if not may_hold_vectors(column.dtype):
            return False
        first = next((cell for cell in column if not _is_missing(cell)), None)
        return isinstance(first, list | tuple) or len(getattr(first, "shape", ())) > 0
    if library_of(column) == "polars":
        return type(column.dtype).__name__ in ("List", "Array")
    return "list" in str(column.type).split("<")[0] or hasattr(column.type, "storage_type")


def may_hold_vectors(dtype: Any) -> bool:
    """Whether the cells of a pandas column of this type could be vectors."""
    return dtype == np.dtype(object) or (isinstance(dtype, pd.ArrowDtype) and "list" in str(dtype).split("<")[0])


def beside(columns: list[np.ndarray]) -> np.ndarray:
    """Columns and vectors side by side."""
    if len(columns) == 1:
        return columns[0]
    flat = [column.reshape(len(column), -1) for column in columns]
    return np.concatenate(flat, axis=1) if flat else np.empty((0, 0))


def series_block(values: Any, label: str | None = None) -> np.ndarray:
    """Return a table's column: numbers of shape (n_samples,), or vectors of shape (n_samples, n).

    Parameters
    ----------
    values : Series, Array or ChunkedArray of pandas, polars or pyarrow
    label : str, optional
        Its name in the table, for messages.
    """
    with nullcontext() if label is None else naming(f"column {label!r}"):
        if isinstance(values, _PANDAS_COLUMNS):
            return _pandas_numbers(pd.Series(values))
        return _polars_numbers(values) if library_of(values) == "polars" else _arrow_numbers(values)


def _pandas_numbers(series: pd.Series) -> np.ndarray:
    if may_hold_vectors(series.dtype):
        return stack_rows_of(series.to_numpy(dtype=object))
    return _frame_numbers(series.to_frame())[:, 0]


def _frame_numbers(frame: pd.DataFrame) -> np.ndarray:
    for label, dtype in zip(frame.columns, frame.dtypes, strict=True):
        if isinstance(dtype, pd.StringDtype) or (isinstance(dtype, pd.ArrowDtype) and dtype.kind == "O"):
            raise TypeError(f"expected numeric columns, found dtype {dtype} in column {label!r}")
    values = frame.to_numpy()
    if values.dtype != object:
        return as_array(values)
    try:  # nullable columns, and those of several types, come as objects
        return frame.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise TypeError(f"expected numeric columns, found dtype object ({error})") from None


def _polars_numbers(series: Any) -> np.ndarray:
    kind = type(series.dtype).__name__
    if kind not in ("List", "Array"):
        array = as_array(series.to_numpy())
        return stack_rows_of(series.to_list()) if array.dtype == object else array
    rows = series if kind == "List" else series.arr.to_list()
    there = rows.drop_nulls()
    lengths = there.list.len().unique().to_list()
    if len(lengths) == 1 and lengths[0] > 0 and there.dtype.inner.is_numeric():
        vectors = as_array(there.list.explode().to_numpy()).reshape(len(there), lengths[0])
        return _spread(vectors, ~rows.is_null().to_numpy())
    return stack_rows_of(rows.to_list())


def _arrow_numbers(values: Any) -> np.ndarray:
    import pyarrow
    from pyarrow import compute, types

    array = values.combine_chunks() if isinstance(values, pyarrow.ChunkedArray) else values
    if isinstance(array.type, pyarrow.ExtensionType):  # a tensor of fixed shape is stored as a list
        array = array.storage
    if not holds_vectors(array):
        if types.is_floating(array.type) or types.is_integer(array.type):
            return array.to_numpy(zero_copy_only=False)
        return stack_rows_of(array.to_pylist())
    there, inner = array.drop_null(), array.type.value_type
    lengths = compute.list_value_length(there).unique().to_pylist()
    if len(lengths) == 1 and lengths[0] > 0 and (types.is_floating(inner) or types.is_integer(inner)):
        flat = compute.list_flatten(there).to_numpy(zero_copy_only=False)
        return _spread(flat.reshape(len(there), lengths[0]), array.is_valid().to_numpy(zero_copy_only=False))
    return stack_rows_of(array.to_pylist())


def _spread(vectors: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Vectors in the rows that have one; the other rows are NaN."""
    if there.all():
        return vectors
    out = np.full((len(there), *vectors.shape[1:]), np.nan, dtype=_with_nan(vectors.dtype))
    out[there] = vectors
    return out


def _with_nan(dtype: np.dtype) -> np.dtype:
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def stack_rows_of(values: Iterable[Any]) -> np.ndarray:
    """Stack rows that are numbers, vectors or grids, or ``None`` where they are missing.

    Parameters
    ----------
    values : iterable of number, array-like, tensor or None

    Returns
    -------
    ndarray of shape (n_samples, ...)
        Missing rows are NaN.

    Raises
    ------
    TypeError
        A row holds no numbers.
    ValueError
        Rows differ in shape, or all are missing.

    Examples
    --------
    >>> stack_rows_of([[1.0, 2.0], None])
    array([[ 1.,  2.],
           [nan, nan]])
    """
    values = list(values)
    if values and isinstance(values[0], list | tuple | np.ndarray | Number):
        with suppress(TypeError, ValueError, OverflowError):  # most are in order, and quickly done
            array = np.asarray(values)
            if array.dtype.kind in "biuf":
                return as_array(array)
    rows: list[Any] = [None if _is_missing(row) else _row(at, row) for at, row in enumerate(values)]
    there = np.array([row is not None for row in rows], dtype=bool)
    if not there.any():
        if not rows:
            return np.empty(0)
        raise ValueError("every row is None, so that its width is unknown; pass an array of NaN of the right shape")
    first = int(np.flatnonzero(there)[0])
    shape = rows[first].shape
    for at, row in enumerate(rows):
        if row is not None and row.shape != shape:
            raise ValueError(
                f"row {at} has shape {row.shape}, row {first} has {shape}; all rows of a modality must have the same "
                "(where it is missing: None)"
            )
    return _spread(np.stack([row for row in rows if row is not None]), there)


def _is_missing(row: Any) -> bool:
    return row is None or row is pd.NA or row is pd.NaT or (isinstance(row, float) and np.isnan(row))


def _row(at: int, row: Any) -> np.ndarray:
    if isinstance(row, str | bytes):
        raise TypeError(f"row {at} is text ({str(row)[:40]!r}); vectors that were written as text must be parsed first")
    if sparse.issparse(row):
        raise TypeError(f"row {at} is sparse, and blocks are dense; convert it with .toarray()")
    with naming(f"row {at}"):
        array = as_array(row)
        if array.dtype == object:  # None within a vector
            if any(not (entry is None or entry is pd.NA or isinstance(entry, Number)) for entry in array.flat):
                raise TypeError(f"expected numbers, found {type(row).__name__} of objects")
            array = np.array([np.nan if _is_missing(entry) else entry for entry in array.flat], dtype=np.float64)
            array = array.reshape(np.shape(row))
    if array.dtype.kind not in "biuf":
        raise TypeError(f"row {at}: expected numbers, found dtype {array.dtype}")
    return array
