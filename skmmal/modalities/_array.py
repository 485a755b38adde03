"""A sample is a row, a modality is a named block of columns.

Layouts say which columns belong to which modality, `MultimodalArray` holds the blocks, `pack` and `unpack` go
between blocks and one matrix, `presence_mask` says which modality is there in which row.

A modality that is missing from a row is a block that is entirely NaN in that row. Zeros are values like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import EllipsisType, MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array

from skmmal._arrays import may_not_be_finite, naming
from skmmal.modalities._blocks import as_block
from skmmal.modalities._html import blocks_table
from skmmal.modalities._layout import (
    DEFAULT_NAME,
    Layout,
    Width,
    check_names,
    check_same_names,
    check_width,
    expected_widths,
    is_grid,
    is_int,
    n_columns_of,
    resolve_layout,
)
from skmmal.modalities._lazy import LazyBlock, lazily, rows_of_block
from skmmal.modalities._mapped import opened, packed, released_chunks
from skmmal.modalities._rows import check_same_rows
from skmmal.modalities._tables import column_names, has_vectors, in_memory, vector_blocks

__all__ = [
    "DEFAULT_NAME",
    "Layout",
    "MultimodalArray",
    "as_multimodal",
    "concatenate",
    "is_multimodal",
    "pack",
    "presence_mask",
    "resolve_layout",
    "unpack",
]

# -------------------------------------------------------------------------------------------------- container


class MultimodalArray:
    """Named blocks that share their rows, to be indexed like one matrix.

    Rows are indexed as in numpy and give another `MultimodalArray`; scikit-learn's splitters and searches
    therefore take it as they take an array. Blocks may be memory-mapped: indexing rows reads those rows only.
    The container never changes and never copies its blocks. Memory-mapped ones are pickled as path, type, shape, offset
    and strides, never as their values: joblib's, Dask's and Ray's workers open the file themselves, for reading.

    Parameters
    ----------
    blocks : mapping of str to array-like of shape (n_samples, n_features) or (n_samples, tokens, dim)
        One numeric block per modality: an array, a torch tensor of any float type, a DataFrame, or a column of vectors
        (list, object array, Series; of pandas, polars or pyarrow) with ``None`` where a row lacks the modality. One
        number per row is one column. A three-dimensional block is a grid of tokens, kept flattened. Blocks that name
        their rows (a pandas index other than the default one) must name the same ones in the same order.
    modalities : mapping of str to int or (int, int), optional
        Declares widths, and which two-dimensional blocks are flattened token grids.

    Attributes
    ----------
    modalities : dict of str to int or (int, int)
        Width of each block, or ``(tokens, dim)`` of a token grid.
    blocks : mapping of str to ndarray of shape (n_samples, n_columns)
        The blocks (read-only mapping).
    shape, ndim, dtype
        Of the packed matrix that ``np.asarray`` returns.

    Raises
    ------
    TypeError
        A block is not numeric, sparse, or not in memory (a Dask array, a path).
    ValueError
        Blocks differ in length or in their rows' names, have more than three dimensions, or contradict `modalities`.

    Examples
    --------
    >>> import numpy as np
    >>> A = MultimodalArray({"image": np.zeros((4, 3)), "text": np.ones((4, 2))})
    >>> A
    MultimodalArray(4 rows: image 3, text 2)
    >>> A[[0, 2]].shape, A["text"].shape, np.asarray(A).shape
    ((2, 5), (4, 2), (4, 5))
    """

    ndim = 2

    def __init__(self, blocks: Mapping[str, Any], modalities: Mapping[str, Width] | None = None) -> None:
        check_names(blocks, "blocks")
        self._blocks: dict[str, np.ndarray] = {}
        self.modalities: dict[str, Width] = {}
        for name, values in blocks.items():
            block = as_block(name, values)
            width: Width = block.shape[1] if block.ndim == 2 else (block.shape[1], block.shape[2])
            self.modalities[name] = check_width(name, width)
            self._blocks[name] = block.reshape(len(block), -1) if block.ndim == 3 else block
        (first, reference), *others = self._blocks.items()
        for name, block in others:
            if len(block) != len(reference):
                raise ValueError(f"modality {name!r} has {len(block)} rows, {first!r} has {len(reference)}")
        check_same_rows({f"modality {name!r}": values for name, values in blocks.items()})
        if modalities is not None:
            self._declare(modalities)

    def _declare(self, modalities: Mapping[str, Width]) -> None:
        """Check declared widths, and reshape widths into declared grids."""
        check_names(modalities, "modalities")
        check_same_names(self.modalities, modalities)
        for name in self.modalities:
            declared, found = modalities[name], self.modalities[name]
            if not (is_int(declared) or is_grid(declared)):
                raise TypeError(f"modality {name!r}: expected a width or a (tokens, dim) grid, got {declared!r}")
            declared = check_width(name, declared)
            if n_columns_of(declared) != n_columns_of(found):
                raise ValueError(f"modality {name!r} is declared as {declared}, its block has {found} columns")
            if isinstance(declared, tuple) and isinstance(found, tuple) and declared != found:
                raise ValueError(f"modality {name!r} is declared as the grid {declared}, its block is {found}")
            if isinstance(declared, tuple):
                self.modalities[name] = declared
        self.modalities = {name: self.modalities[name] for name in modalities}
        self._blocks = {name: self._blocks[name] for name in modalities}

    @classmethod
    def _from_parts(cls, blocks: dict[str, np.ndarray], modalities: dict[str, Width]) -> MultimodalArray:
        """Build from blocks that are known to be valid."""
        new = cls.__new__(cls)
        new._blocks, new.modalities = blocks, modalities
        return new

    @property
    def blocks(self) -> Mapping[str, np.ndarray]:
        """The blocks by name, flattened to two dimensions (a read-only mapping)."""
        return MappingProxyType(self._blocks)

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_samples, n_columns)`` of the packed matrix."""
        return len(self), sum(block.shape[1] for block in self._blocks.values())

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the packed matrix: the one all blocks can be promoted to."""
        return np.result_type(*(block.dtype for block in self._blocks.values()))

    @property
    def layout(self) -> Layout:
        """Where each block stands in the packed matrix."""
        return resolve_layout(self.modalities, self.shape[1])

    def __len__(self) -> int:
        return len(next(iter(self._blocks.values())))

    def __repr__(self) -> str:
        parts = (
            f"{name} {'×'.join(map(str, width)) if isinstance(width, tuple) else width}"
            for name, width in self.modalities.items()
        )
        return f"MultimodalArray({len(self)} rows: {', '.join(parts)})"

    def _repr_html_(self) -> str:
        return blocks_table(self)

    def __getstate__(self) -> dict[str, Any]:
        # mapped blocks are pickled as where they lie, and whoever unpickles them opens the file
        return {"blocks": {name: packed(block) for name, block in self._blocks.items()}, "modalities": self.modalities}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.modalities = state["modalities"]
        self._blocks = {name: opened(block) for name, block in (state.get("blocks") or state["_blocks"]).items()}

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        """Return a block (by name), some blocks (by a list of names), or rows (anything numpy takes)."""
        if isinstance(key, str):
            _check_known(self, key)
            return self._blocks[key]
        if isinstance(key, list) and key and all(isinstance(name, str) for name in key):
            for name in key:
                _check_known(self, name)
            return self._from_parts({n: self._blocks[n] for n in key}, {n: self.modalities[n] for n in key})
        rows = _row_key(key)
        if is_int(rows):
            return np.concatenate([block[rows] for block in self._blocks.values()])
        taken = {name: rows_of_block(block, rows) for name, block in self._blocks.items()}
        return self._from_parts(taken, dict(self.modalities))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the packed matrix (a copy, unless there is one block of the right dtype)."""
        blocks = list(self._blocks.values())
        target = np.dtype(dtype) if dtype is not None else self.dtype
        if len(blocks) == 1 and blocks[0].dtype == target and not copy and isinstance(blocks[0], np.ndarray):
            return blocks[0]
        if copy is False:
            raise ValueError("packing the blocks of a MultimodalArray into one matrix needs a copy")
        return np.concatenate(blocks, axis=1, dtype=target)


# ------------------------------------------------------------------------------------------------ conversions


def is_multimodal(X: Any) -> bool:
    """Whether `X` carries its own layout.

    A `MultimodalArray`, a mapping, a DataFrame with two column levels, a table with a vector in each cell.

    Parameters
    ----------
    X : object
        Whatever was given for features.

    Returns
    -------
    bool

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.modalities import is_multimodal
    >>> is_multimodal({"image": np.zeros((2, 3))}), is_multimodal(np.zeros((2, 3)))
    (True, False)
    """
    if sparse.issparse(X):  # a dok_matrix is a mapping
        return False
    if isinstance(X, MultimodalArray | Mapping):
        return True
    return (isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex)) or has_vectors(X)


def as_multimodal(X: Any, modalities: Mapping[str, Any] | None = None) -> MultimodalArray:
    """Return any accepted form of `X` as a `MultimodalArray`, without copying arrays.

    Parameters
    ----------
    X : array-like, DataFrame, mapping or MultimodalArray
        The forms: :doc:`/how_to/data`.
    modalities : mapping, optional
        The layout of a plain matrix, or of a table whose cells hold vectors (see `resolve_layout`). For the other
        forms, the expected names, widths and order.

    Returns
    -------
    MultimodalArray

    Raises
    ------
    TypeError, ValueError
        With the modality or column that is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> as_multimodal(np.zeros((2, 5)), {"audio": 2, "video": 3})
    MultimodalArray(2 rows: audio 2, video 3)
    """
    X = in_memory(X)
    if has_vectors(X):
        array, modalities = _from_cells(X, modalities)
    elif isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex):
        array = _frame_blocks(X)
    elif is_multimodal(X):
        array = X if isinstance(X, MultimodalArray) else MultimodalArray(X)
    else:
        with naming("X"):
            matrix = check_array(X, dtype="numeric", ensure_all_finite=False, ensure_min_samples=0, input_name="X")
        return unpack(matrix, resolve_layout(modalities, matrix.shape[1], column_names(X), X))
    if modalities is None or list(array.modalities.items()) == list(modalities.items()):
        return array
    return MultimodalArray(array.blocks, expected_widths(modalities, array.modalities))


def _from_cells(table: Any, modalities: Mapping[str, Any] | None) -> tuple[MultimodalArray, Mapping[str, Any] | None]:
    """Blocks of a table of vectors, and what is still expected of them: columns that were named are taken already."""
    by_column = modalities is not None and not all(is_int(width) or is_grid(width) for width in modalities.values())
    array = MultimodalArray(vector_blocks(table, modalities if by_column else None))
    return array, None if by_column else modalities


def _frame_blocks(frame: pd.DataFrame) -> MultimodalArray:
    if frame.columns.nlevels != 2:
        raise ValueError(f"X's columns must have the two levels (modality, feature), found {frame.columns.nlevels}")
    names = list(dict.fromkeys(frame.columns.get_level_values(0)))
    return MultimodalArray({name: frame[name] for name in names})


def pack(X: Any, modalities: Mapping[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Width]]:
    """Pack blocks into one matrix, and say how to get them back.

    Parameters
    ----------
    X : mapping of str to array, MultimodalArray, or DataFrame with (modality, feature) columns
        The blocks. A plain matrix passes through, with `modalities` as its layout.
    modalities : mapping, optional
        As in `as_multimodal`.

    Returns
    -------
    matrix : ndarray of shape (n_samples, n_columns)
        The blocks side by side, in their common dtype.
    widths : dict of str to int or (int, int)
        What `unpack` needs.

    Examples
    --------
    >>> import numpy as np
    >>> matrix, widths = pack({"image": np.zeros((2, 3)), "audio": np.ones((2, 4, 2))})
    >>> matrix.shape, widths
    ((2, 11), {'image': 3, 'audio': (4, 2)})
    >>> unpack(matrix, widths)
    MultimodalArray(2 rows: image 3, audio 4×2)
    """
    array = as_multimodal(X, modalities)
    return np.asarray(array), dict(array.modalities)


def unpack(matrix: Any, modalities: Mapping[str, Any] | Layout | None) -> MultimodalArray:
    """Cut a packed matrix into the blocks of a layout; contiguous blocks are views.

    Parameters
    ----------
    matrix : array-like of shape (n_samples, n_columns)
        The modalities' columns side by side.
    modalities : mapping, Layout or None
        As in `resolve_layout`, or what `pack` returned.

    Returns
    -------
    MultimodalArray

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.modalities import unpack
    >>> unpack(np.arange(6).reshape(2, 3), {"image": 2, "text": 1})["text"]
    array([[2],
           [5]])
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2:
        raise ValueError(f"expected a matrix of shape (n_samples, n_columns), found shape {matrix.shape}")
    layout = modalities if isinstance(modalities, Layout) else resolve_layout(modalities, matrix.shape[1])
    blocks = {name: matrix[:, columns] for name, columns in layout.columns.items()}
    return MultimodalArray(blocks, layout.widths)


def concatenate(arrays: Sequence[MultimodalArray]) -> MultimodalArray:
    """Stack the rows of arrays that have the same modalities.

    Parameters
    ----------
    arrays : sequence of MultimodalArray
        At least one. They have the same modalities, in any order.

    Returns
    -------
    MultimodalArray
        Modalities in the first one's order.

    Raises
    ------
    TypeError, ValueError
        There is nothing to stack, something that is no `MultimodalArray`, or other modalities.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.modalities import MultimodalArray, concatenate
    >>> one = MultimodalArray({"image": np.zeros((2, 3)), "text": np.zeros((2, 4))})
    >>> len(concatenate([one, one]))
    4
    """
    arrays = list(arrays)
    if not arrays:
        raise ValueError("arrays is empty; there is nothing to stack")
    for array in arrays:
        if not isinstance(array, MultimodalArray):
            raise TypeError(f"arrays must hold MultimodalArrays, found {type(array).__name__}; see as_multimodal")
    first, *others = arrays
    aligned = [first, *(as_multimodal(other, first.modalities) for other in others)]
    blocks = {name: np.concatenate([array[name] for array in aligned]) for name in first.modalities}
    return MultimodalArray._from_parts(blocks, dict(first.modalities))


def on_demand(X: MultimodalArray) -> MultimodalArray:
    """The same rows, of which those that lie in files are read when they are asked for: no rows of X copy them."""
    return X._from_parts({name: lazily(block) for name, block in X.blocks.items()}, dict(X.modalities))


# --------------------------------------------------------------------------------------------------- presence


def presence_mask(X: MultimodalArray) -> np.ndarray:
    """Say which modality is there in which row, and refuse values that cannot be used.

    Reads the blocks once, in chunks.

    Parameters
    ----------
    X : MultimodalArray
        Rows that may lack modalities.

    Returns
    -------
    ndarray of bool, shape (n_samples, n_modalities)
        False where the block is entirely NaN.

    Raises
    ------
    ValueError
        A block is partly NaN in a row, holds an infinity, or a row has no modality at all; the message names
        the modality and the first such row.

    Examples
    --------
    >>> import numpy as np
    >>> A = MultimodalArray({"a": [[1.0, 2.0], [np.nan, np.nan]], "b": [[0.0], [3.0]]})
    >>> presence_mask(A)
    array([[ True,  True],
           [False,  True]])
    """
    present = np.ones((len(X), len(X.modalities)), dtype=bool)
    for index, (name, block) in enumerate(X.blocks.items()):
        if block.dtype.kind != "f":
            continue
        if isinstance(block, LazyBlock) and block.present is not None:
            present[:, index] = block.present
            continue
        for rows in released_chunks([block], block.shape[1]):
            present[rows, index] = _present_rows(name, block[rows], rows.start)
    nothing = np.flatnonzero(~present.any(axis=1))
    if len(nothing):
        raise ValueError(
            f"row {nothing[0]} of X has no modality: all of {list(X.modalities)} are NaN there "
            f"({len(nothing)} such row{'s' if len(nothing) > 1 else ''}); leave such rows out, of a feature cache by "
            "store.load(rows=store.present().any(axis=1))"
        )
    return present


def _present_rows(name: str, chunk: np.ndarray, offset: int) -> np.ndarray:
    doubtful = np.flatnonzero(may_not_be_finite(chunk))
    present = np.ones(len(chunk), dtype=bool)
    if len(doubtful) == 0:
        return present
    values = chunk[doubtful]
    infinite = np.isinf(values).any(axis=1)
    if infinite.any():
        raise ValueError(f"modality {name!r} contains infinity in row {offset + doubtful[infinite][0]} of X")
    nan = np.isnan(values)
    partly = nan.any(axis=1) & ~nan.all(axis=1)
    if partly.any():
        at = np.flatnonzero(partly)[0]
        raise ValueError(
            f"modality {name!r} is partly NaN in row {offset + doubtful[at]} of X ({nan[at].sum()} of "
            f"{nan.shape[1]} values); a missing modality is a block that is entirely NaN"
        )
    present[doubtful] = ~nan.all(axis=1)
    return present


def _check_known(array: MultimodalArray, name: str) -> None:
    if name not in array.blocks:
        raise KeyError(f"unknown modality {name!r}; there are {list(array.blocks)}")


def _row_key(key: Any) -> Any:
    if isinstance(key, tuple):
        if len(key) != 2 or not (isinstance(key[1], EllipsisType) or key[1] == slice(None)):
            raise IndexError(
                "a MultimodalArray is indexed by rows (A[rows] or A[rows, ...]) or by modality (A['name']); "
                "for columns, index np.asarray(A)"
            )
        key = key[0]
    if is_int(key) or isinstance(key, slice):
        return key
    rows = np.asarray(key)
    if rows.size == 0 and rows.dtype != bool:
        rows = rows.astype(np.intp)
    if rows.ndim != 1 or rows.dtype.kind not in "biu":
        raise IndexError(f"rows must be a slice, a mask or a list of integers, got {key!r}")
    return rows
