"""What may be given as a pool or as labelled rows, and whether the two go together."""

from __future__ import annotations

import os
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from skmmal._arrays import naming, off_device
from skmmal._sklearn import num_samples
from skmmal.modalities import MultimodalArray, as_multimodal, is_multimodal
from skmmal.modalities._blocks import refuse_unread
from skmmal.modalities._containers import as_read, in_one, is_mapping, n_rows_of
from skmmal.modalities._lazy import is_large, with_zeros
from skmmal.modalities._tables import column_names

__all__ = ["as_container", "check_alike", "check_labels", "dense", "is_empty", "is_opaque", "zero_where_absent"]


def as_container(X: Any, argument: str) -> Any:
    """Rows as any classifier takes them: a mapping as one container, a tensor as an array, other things as they are.

    Rows are those of a matrix or of an array of more dimensions, or a sequence of things that are no numbers (texts,
    dictionaries, paths), which a Pipeline's first step makes numbers of.

    Raises
    ------
    TypeError, ValueError
        There are no rows in it; numbers, one a row.
    """
    if is_mapping(X):
        return in_one(X)
    refuse_unread(X, argument)
    X = as_read(off_device(X))  # elements of an Arrow array are no strings
    if is_opaque(X):
        return X
    if isinstance(X, list | tuple) and any(getattr(row, "ndim", 0) == 2 for row in X):
        raise ValueError(
            f"{argument} is a list of {len(X)} arrays. Views of the same rows go into a mapping, "
            "{'image': ..., 'text': ...}; rows that are arrays themselves into one array, np.stack(...)"
        )
    with naming(argument):
        shape = getattr(X, "shape", None) or np.shape(X)
    if len(shape) < 2:
        raise ValueError(f"{argument} must have shape (n_samples, n_features), found {tuple(shape)}")
    return X


def is_empty(X: Any) -> bool:
    """Whether a list or an array of one dimension has nothing in it: no rows yet, of whatever kind."""
    if isinstance(X, list | tuple):
        return not X
    return getattr(X, "shape", None) == (0,)


def is_opaque(X: Any) -> bool:
    """Whether rows are no numbers, but one thing each: a text, a dictionary, a list of words."""
    in_a_row = isinstance(X, list | tuple) or (hasattr(X, "__len__") and len(getattr(X, "shape", None) or ()) == 1)
    return in_a_row and _is_thing(next((row for row in X if row is not None), None))


def _is_thing(row: Any) -> bool:
    # a list of lists of words is opaque, one of lists of numbers is a matrix: the first word or number says which
    while isinstance(row, list | tuple | np.ndarray) and (row.size if isinstance(row, np.ndarray) else len(row)):
        row = row.flat[0] if isinstance(row, np.ndarray) else row[0]
    if isinstance(row, str | bytes):
        return True
    return not (row is None or isinstance(row, Number | list | tuple) or hasattr(row, "shape"))


def check_labels(X: Any, y: Any, argument: str = "X_labeled", labels: str = "y_labeled") -> None:
    """Check the labels of labelled rows.

    Parameters
    ----------
    X, y : rows and labels
    argument, labels : str
        What error messages call the two.

    Raises
    ------
    ValueError
        Labels without rows, another number of them, or one that is missing.
    """
    if y is None:
        return
    with naming(labels):
        n_labels = num_samples(y)
    if X is None:
        raise ValueError(
            f"{labels} is given ({n_labels} labels), {argument} is not: give the labelled rows too, or neither"
        )
    values = np.asarray(y, dtype=object)
    # in an indicator matrix NaN says that nobody knows
    absent = np.flatnonzero(pd.isna(values)) if values.ndim != 2 or values.shape[1] == 1 else np.empty(0, np.intp)
    if len(absent):
        raise ValueError(f"{labels} is missing (None or NaN) in row {absent[0]} ({len(absent)} such rows)")
    if n_rows_of(X) != n_labels:
        raise ValueError(f"{argument} has {n_rows_of(X)} rows, {labels} has {n_labels}")


def check_alike(X_labeled: Any, X_pool: Any, *, by_name: bool) -> None:
    """Check that labelled rows have the columns of the pool's.

    Parameters
    ----------
    X_labeled, X_pool
        As `as_container` returned them.
    by_name : bool
        Whether something takes a frame's columns by their names, so that their order does not matter.

    Raises
    ------
    ValueError
        They have other modalities, widths or columns.
    """
    kinds = [is_opaque(X_labeled), is_opaque(X_pool)]
    if kinds[0] != kinds[1]:
        held = ["texts or other things that are no numbers" if opaque else "numbers" for opaque in kinds]
        raise ValueError(f"X_labeled holds {held[0]}, X_pool {held[1]}")
    if any(kinds):
        return
    named = [_modality_widths(X) for X in (X_labeled, X_pool)]
    if named[0] is not None and named[1] is not None:
        if named[0] != named[1]:
            raise ValueError(f"X_labeled has the modalities {named[0]}, X_pool has {named[1]} (name and columns)")
        return
    shapes = [np.shape(X)[1:] for X in (X_labeled, X_pool)]
    if shapes[0] != shapes[1]:
        found = [list(shape) if width is None else width for shape, width in zip(shapes, named, strict=True)]
        raise ValueError(f"X_labeled has blocks of {found[0]} columns, X_pool of {found[1]}")
    columns = [column_names(X) or [] for X in (X_labeled, X_pool)]
    if all(columns) and columns[0] != columns[1]:
        odd = [name for name in columns[0] if name not in set(columns[1])]
        if odd:
            raise ValueError(f"X_labeled has the column {odd[0]!r}, which X_pool has not; it has {columns[1][:5]}")
        if not by_name:
            raise ValueError("X_labeled has X_pool's columns in another order: give X_labeled[X_pool.columns]")


def _modality_widths(X: Any) -> dict[str, int] | None:
    """How many columns each modality has, in the order of their names; ``None`` where X has no modalities."""
    if isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex):
        names = list(X.columns.get_level_values(0))
        return {name: names.count(name) for name in sorted(set(names), key=str)}
    if not is_mapping(X) and not is_multimodal(X):
        return None
    blocks = X if is_mapping(X) else as_multimodal(X).blocks
    return {name: np.shape(blocks[name])[1] for name in sorted(blocks)}


def dense(X: Any) -> np.ndarray:
    """A sparse matrix as an array, unless that is larger than the memory of the machine."""
    n_bytes = X.shape[0] * X.shape[1] * X.dtype.itemsize
    memory = _memory()
    if memory is not None and n_bytes > memory:
        raise ValueError(
            f"X is sparse, of shape {tuple(X.shape)}: as the dense features that this strategy needs it takes "
            f"{n_bytes / 2**30:.0f} GiB, more than this machine has. Put a TruncatedSVD behind the vectorizer, or use "
            "a strategy that needs probabilities only"
        )
    return X.toarray()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not everywhere
        return None


def zero_where_absent(features: MultimodalArray, present: np.ndarray) -> list[np.ndarray]:
    """Blocks with zeros in the rows that lack the modality; a copy only where there are any, and never of a file."""
    blocks = []
    for m, block in enumerate(features.blocks.values()):
        if is_large(block):
            block = with_zeros(block, present[:, m])
        elif not present[:, m].all():
            block = block.copy()
            block[~present[:, m]] = 0.0
        blocks.append(block)
    return blocks
