"""Rows of any container: count, take, stack. Arrays, frames, blocks, sparse matrices, tensors, lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from skmmal._arrays import naming
from skmmal._sklearn import num_samples
from skmmal.modalities import MultimodalArray, as_multimodal, concatenate
from skmmal.modalities._blocks import library_of
from skmmal.modalities._rows import row_names
from skmmal.modalities._tables import column_names


def is_mapping(X: Any) -> bool:
    """Whether `X` is a mapping of blocks."""
    return isinstance(X, Mapping) and not sparse.issparse(X)


def countable(X: Any) -> Any:
    """Something whose length is the number of rows."""
    if is_mapping(X) and not X:
        raise ValueError("X is an empty mapping; at least one modality is needed")
    return next(iter(X.values())) if is_mapping(X) else X


def in_one(X: Any) -> Any:
    """A mapping as one container, so that any classifier takes it; everything else as it is.

    A mapping with sparse blocks stays one: a step that makes them dense is still to come.
    """
    if is_mapping(X) and not any(map(sparse.issparse, X.values())):
        return MultimodalArray(X)
    return X


def n_rows_of(X: Any) -> int:
    """Return the number of rows."""
    return num_samples(countable(X))


def take_rows(X: Any, rows: np.ndarray) -> Any:
    """Rows of any container."""
    if is_mapping(X):
        return {name: take_rows(block, rows) for name, block in X.items()}
    if isinstance(X, pd.DataFrame | pd.Series):
        return X.iloc[rows]
    if sparse.issparse(X):
        return X.tocsr()[rows]
    if isinstance(X, list | tuple):
        return [X[row] for row in np.atleast_1d(rows)]
    return X.take(np.atleast_1d(np.arange(len(X))[rows])) if library_of(X) == "pyarrow" else X[rows]


def as_read(X: Any) -> Any:
    """Rows as an estimator can read them: of an Arrow array the values, which its own elements only wrap."""
    return np.asarray(X) if library_of(X) == "pyarrow" and not hasattr(X, "column_names") else X


def stack_rows(old: Any, new: Any) -> Any:
    """Rows of both, in the container of the first."""
    with naming("the new rows"):
        stacked = _stack(old, new)
    if isinstance(old, pd.DataFrame) and isinstance(new, pd.DataFrame):
        stacked.index = old.index.append(new.index)  # the link to where the rows came from
    return stacked


def _stack(old: Any, new: Any) -> Any:
    if isinstance(old, MultimodalArray):
        return concatenate([old, as_multimodal(new, old.modalities)])
    if isinstance(new, MultimodalArray) and not is_mapping(old):
        new = np.asarray(new)
    if is_mapping(old):
        new = new.blocks if isinstance(new, MultimodalArray) else new
        if not is_mapping(new) or set(new) != set(old):
            raise ValueError(f"they must come in the blocks {list(old)}, found {type(new).__name__}")
        return {name: _stack(block, new[name]) for name, block in old.items()}
    if isinstance(old, pd.DataFrame):
        new = new if isinstance(new, pd.DataFrame) else pd.DataFrame(np.asarray(new), columns=old.columns)
        if list(new.columns) != list(old.columns):
            raise ValueError(f"their columns {list(new.columns)[:5]} differ from {list(old.columns)[:5]}")
        return _concat(old, new)
    if isinstance(old, pd.Series):
        return _concat(old, new if isinstance(new, pd.Series) else pd.Series(list(as_read(new)), name=old.name))
    if library_of(old) in ("polars", "pyarrow"):
        return _concat_foreign(old, new)
    if not isinstance(old, list | tuple) and np.shape(new)[1:] != np.shape(old)[1:]:
        raise ValueError(f"they have shape {np.shape(new)}, those from before {np.shape(old)}")
    if sparse.issparse(old):
        return sparse.vstack([old, new]).tocsr()
    if isinstance(old, list | tuple):
        return [*old, *new]
    if hasattr(old, "detach"):
        import torch

        return torch.cat([old, torch.as_tensor(new, dtype=old.dtype, device=old.device)])
    return np.concatenate([np.asarray(old), np.asarray(new)])


def _concat(old: Any, new: Any) -> Any:
    """Rows of both, with their names where the new ones have any: positions are no names to go on with."""
    return pd.concat([old, new], ignore_index=row_names(new) is None)


def _concat_foreign(old: Any, new: Any) -> Any:
    """Rows of both, in a container of polars or pyarrow."""
    if type(new) is not type(old):
        # one thing a row: a list of texts goes on as a column of texts
        if hasattr(old, "columns") or hasattr(old, "column_names") or np.ndim(new) != 1:
            kinds = type(old).__name__, type(new).__name__
            raise TypeError(f"they must come in a {kinds[0]}, as those from before, found {kinds[1]}")
        if library_of(old) == "polars":
            new = type(old)(list(as_read(new)), dtype=old.dtype)
        else:
            import pyarrow

            new = pyarrow.array(list(as_read(new)), type=old.type)
            new = pyarrow.chunked_array([new]) if isinstance(old, pyarrow.ChunkedArray) else new
    names = [column_names(old), column_names(new)]
    if names[0] != names[1]:
        raise ValueError(f"their columns {names[1]} differ from {names[0]}")
    if library_of(old) == "polars":
        import polars

        try:
            return polars.concat([old, new], how="vertical_relaxed" if hasattr(old, "columns") else "vertical")
        except polars.exceptions.PolarsError as error:
            raise ValueError(f"their types differ from those from before: {error}") from error
    import pyarrow

    if isinstance(old, pyarrow.Table):
        return pyarrow.concat_tables([old, new])
    if isinstance(old, pyarrow.ChunkedArray):
        return pyarrow.chunked_array([*old.chunks, *new.chunks])
    return pyarrow.concat_arrays([old, new]) if isinstance(old, pyarrow.Array) else pyarrow.concat_batches([old, new])


def stack_labels(old: Any, new: Any) -> Any:
    """Labels of both, one after the other."""
    if _is_text(old) != _is_text(new):  # numpy would turn the numbers into text
        kinds = ["text" if _is_text(labels) else "numbers" for labels in (new, old)]
        raise TypeError(f"the new labels are {kinds[0]}, those from before {kinds[1]}")
    if isinstance(old, pd.Series):
        # without an index: pairs were compared when they came, and the rows keep theirs
        labels = pd.concat([old, pd.Series(np.asarray(new))], ignore_index=True)
        labels.name = old.name
        return labels
    if np.ndim(old) != np.ndim(new) and not (sparse.issparse(old) or sparse.issparse(new)):
        raise ValueError(f"the new labels have shape {np.shape(new)}, those from before {np.shape(old)}")
    if isinstance(old, pd.DataFrame):  # its columns name the labels
        columns = list(new.columns) if isinstance(new, pd.DataFrame) else list(old.columns)
        if set(columns) != set(old.columns):
            raise ValueError(f"the new labels have the columns {columns}, those from before {list(old.columns)}")
        more = new if isinstance(new, pd.DataFrame) else pd.DataFrame(_dense(new), columns=old.columns)
        return pd.concat([old, more[list(old.columns)]], ignore_index=True)
    if sparse.issparse(old):
        return sparse.vstack([old, sparse.csr_array(new)], format="csr")
    if sparse.issparse(new):
        new = new.toarray()
    return np.concatenate([np.asarray(old), np.asarray(new)])


def _dense(labels: Any) -> np.ndarray:
    return labels.toarray() if sparse.issparse(labels) else np.asarray(labels)


def _is_text(labels: Any) -> bool:
    array = np.asarray(labels)
    return array.dtype.kind in "US" or (array.dtype.kind in "OT" and any(isinstance(each, str) for each in array.flat))
