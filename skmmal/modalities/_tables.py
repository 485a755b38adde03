"""X as a whole: tables of pandas, polars and pyarrow, and things that only look like X."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from skmmal._arrays import as_array, naming, off_device
from skmmal.modalities._blocks import (
    beside,
    holds_vectors,
    is_table,
    library_of,
    may_hold_vectors,
    refuse_unread,
    series_block,
    stack_rows_of,
    table_columns,
)
from skmmal.modalities._layout import resolve_layout

__all__ = ["column_names", "has_vectors", "in_memory", "vector_blocks"]


def column_names(X: Any) -> list[Any] | None:
    """Names of a table's columns, or ``None`` where X is no table."""
    if isinstance(X, pd.DataFrame):
        return list(X.columns)
    return [name for name, _ in table_columns(X)] if is_table(X) else None


def has_vectors(X: Any) -> bool:
    """Whether X is a table with one level of columns, some of which hold a vector in each cell."""
    if not is_table(X):
        return False
    frame = isinstance(X, pd.DataFrame)
    if frame and (isinstance(X.columns, pd.MultiIndex) or not any(map(may_hold_vectors, X.dtypes))):
        return False
    return any(holds_vectors(column) for _, column in table_columns(X))


def in_memory(X: Any, argument: str = "X") -> Any:
    """Return X as scikit-learn can validate it, whatever its array API setting.

    Tensors and columns of vectors become arrays, tables of polars and pyarrow DataFrames; everything else is left as
    it is.

    Parameters
    ----------
    X : object
    argument : str, default="X"
        Its name in messages.

    Raises
    ------
    TypeError
        X is a path, not in memory, or a list of matrices.
    """
    refuse_unread(X, argument)
    if isinstance(X, list | tuple) and X and _n_dims(X[0]) >= 2:
        raise TypeError(
            f"{argument} is a {type(X).__name__} of {len(X)} matrices, and modalities have names: pass a dict, "
            "{'image': array, 'text': array, ...}"
        )
    if sparse.issparse(X):
        return X
    with naming(argument):
        if isinstance(X, list | tuple) and X and hasattr(X[0], "detach"):
            return stack_rows_of(X)
        if isinstance(X, np.ma.MaskedArray):
            return as_array(X)
        X = off_device(X)
        if library_of(X) not in ("polars", "pyarrow"):
            return _from_series(X) if isinstance(X, pd.Series) else X
        if not is_table(X):
            return _from_series(X)
    return X if has_vectors(X) else _as_frame(X, argument)


def _n_dims(part: Any) -> int:
    return len(getattr(part, "shape", ())) if not np.isscalar(part) else 0


def _from_series(X: Any) -> Any:
    """A column of vectors as a matrix; a column of numbers is no matrix, and is left for scikit-learn to refuse."""
    return series_block(X) if holds_vectors(X) else X


def _as_frame(table: Any, argument: str) -> pd.DataFrame:
    with naming(argument):
        columns = {name: series_block(column, name) for name, column in table_columns(table)}
    if len(columns) < len(table_columns(table)):
        raise ValueError(f"{argument} has two columns of the same name")
    return pd.DataFrame(columns)


def vector_blocks(table: Any, modalities: Mapping[str, Any] | None) -> dict[str, np.ndarray]:
    """Cut a table with a vector in each cell into blocks: each column a modality, or those that `modalities` names.

    Parameters
    ----------
    table : DataFrame of pandas or polars, Table of pyarrow
    modalities : mapping, optional
        Columns of each modality (see `resolve_layout`); they come side by side, and may then be numbers, too.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError
        Without `modalities`: a column holds numbers.
    """
    columns = table_columns(table)
    if modalities is None:
        numbers = [name for name, column in columns if not holds_vectors(column)]
        if numbers:
            vectors = [name for name, _ in columns if name not in numbers]
            raise ValueError(
                f"X holds vectors in the columns {vectors[:5]} and single values in {numbers[:5]}: select the columns "
                f"to use (X[{vectors[:5]}]), or say which belong to which modality (modalities="
                f"{{{vectors[0]!r}: [{vectors[0]!r}], ...}})"
            )
        return {name: _block(name, column) for name, column in columns}
    layout = resolve_layout(modalities, len(columns), [name for name, _ in columns], table)
    return {
        modality: beside([_block(*columns[at]) for at in np.arange(len(columns))[part]])
        for modality, part in layout.columns.items()
    }


def _block(name: Any, column: Any) -> np.ndarray:
    with naming(f"modality {name!r}"):
        return series_block(column)
