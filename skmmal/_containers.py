"""Rows of any container: count, take, stack. Arrays, frames, blocks, sparse matrices, tensors, lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import _num_samples

from skmmal.modalities import MultimodalArray, as_multimodal, concatenate


def is_mapping(X: Any) -> bool:
    """Whether `X` is a mapping of blocks."""
    return isinstance(X, Mapping) and not sparse.issparse(X)


def countable(X: Any) -> Any:
    """Something whose length is the number of rows."""
    return next(iter(X.values())) if is_mapping(X) else X


def n_rows_of(X: Any) -> int:
    """Return the number of rows."""
    return _num_samples(countable(X))


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
    return X[rows]


def stack_rows(old: Any, new: Any) -> Any:
    """Rows of both, in the container of the first."""
    if isinstance(old, MultimodalArray):
        return concatenate([old, as_multimodal(new, old.modalities)])
    if isinstance(new, MultimodalArray) and not is_mapping(old):
        new = np.asarray(new)
    if is_mapping(old):
        new = new.blocks if isinstance(new, MultimodalArray) else new
        if not is_mapping(new) or set(new) != set(old):
            raise ValueError(f"the new rows must come in the blocks {list(old)}, found {type(new).__name__}")
        return {name: stack_rows(block, new[name]) for name, block in old.items()}
    if isinstance(old, pd.DataFrame):
        new = new if isinstance(new, pd.DataFrame) else pd.DataFrame(np.asarray(new), columns=old.columns)
        if list(new.columns) != list(old.columns):
            raise ValueError(f"the new rows' columns {list(new.columns)[:5]} differ from {list(old.columns)[:5]}")
        return pd.concat([old, new])
    if sparse.issparse(old):
        return sparse.vstack([old, new]).tocsr()
    if isinstance(old, list | tuple):
        return [*old, *new]
    if hasattr(old, "detach"):
        import torch

        return torch.cat([old, torch.as_tensor(new, dtype=old.dtype, device=old.device)])
    return np.concatenate([np.asarray(old), np.asarray(new)])


def stack_labels(old: Any, new: Any) -> Any:
    """Labels of both, one after the other."""
    if isinstance(old, pd.Series):
        return pd.concat([old, pd.Series(np.asarray(new), name=old.name)])
    return np.concatenate([np.asarray(old), np.asarray(new)])
