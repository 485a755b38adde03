"""A sample is a row, a modality is a named block of columns.

Layouts say which columns belong to which modality, `MultimodalArray` holds the blocks, `pack` and `unpack` go
between blocks and one matrix, `presence_mask` says which modality is there in which row.

A modality that is missing from a row is a block that is entirely NaN in that row. Zeros are values like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from types import EllipsisType, MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array

from skmmal._arrays import naming
from skmmal._mapped import released_chunks

__all__ = [
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

DEFAULT_NAME = "X"
"""Name of the only modality of a plain matrix without a layout."""

Columns = slice | np.ndarray
Width = int | tuple[int, int]


def _is_int(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_grid(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(_is_int(part) for part in value)


def _n_columns(width: Width) -> int:
    return width[0] * width[1] if isinstance(width, tuple) else width


# ---------------------------------------------------------------------------------------------------- layouts


@dataclass(frozen=True)
class Layout:
    """Which columns of a packed matrix belong to which modality.

    Parameters
    ----------
    columns : dict of str to slice or ndarray of int
        Columns of each modality, in the order of the modalities.
    grids : dict of str to (int, int)
        ``(tokens, dim)`` of those modalities that are flattened token grids.
    """

    columns: dict[str, Columns]
    grids: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def widths(self) -> dict[str, Width]:
        """Width of each modality: a number of columns, or ``(tokens, dim)`` for a token grid."""
        return {name: self.grids.get(name, self._count(columns)) for name, columns in self.columns.items()}

    @staticmethod
    def _count(columns: Columns) -> int:
        return columns.stop - columns.start if isinstance(columns, slice) else len(columns)


def resolve_layout(modalities: Mapping[str, Any] | None, n_columns: int, column_names: Any = None) -> Layout:
    """Turn the user's `modalities` into columns of a matrix with `n_columns` columns.

    Parameters
    ----------
    modalities : mapping or None
        Name to width (``int``), token grid (``(tokens, dim)``), ``slice``, or a list of column positions or
        column names. Widths and grids are laid out one after the other; they cannot be mixed with explicit
        columns. ``None`` is one modality named ``"X"``.
    n_columns : int
        Number of columns of the matrix.
    column_names : sequence of str, optional
        The names that lists of strings refer to.

    Returns
    -------
    Layout

    Raises
    ------
    TypeError
        `modalities` is not a mapping, or a value is none of the forms above.
    ValueError
        Widths do not add up to `n_columns`; columns overlap, are out of range, or belong to no modality.

    Examples
    --------
    >>> resolve_layout({"image": 3, "text": 2}, 5).columns
    {'image': slice(0, 3, None), 'text': slice(3, 5, None)}
    """
    if modalities is None:
        return Layout({DEFAULT_NAME: slice(0, n_columns)})
    _check_names(modalities, "modalities")
    by_width = {name: _is_int(value) or _is_grid(value) for name, value in modalities.items()}
    if all(by_width.values()):
        return _layout_from_widths(modalities, n_columns)
    if any(by_width.values()):
        raise ValueError(
            f"modalities mixes widths ({[n for n, w in by_width.items() if w]}) with explicit columns "
            f"({[n for n, w in by_width.items() if not w]}); give widths for all, or columns for all"
        )
    return _layout_from_columns(modalities, n_columns, column_names)


def _check_names(mapping: object, argument: str) -> None:
    if not isinstance(mapping, Mapping):
        raise TypeError(f"{argument} must map modality names to columns or blocks, got {type(mapping).__name__}")
    if not mapping:
        raise ValueError(f"{argument} is empty; at least one modality is needed")
    for name in mapping:
        if not isinstance(name, str) or not name:
            raise TypeError(f"{argument}: a modality's name must be a non-empty string, got {name!r}")


def _check_width(name: str, width: Width) -> Width:
    parts = width if isinstance(width, tuple) else (width,)
    if min(parts) < 1:
        raise ValueError(f"modality {name!r} has width {width}; it needs at least one column")
    return tuple(int(part) for part in parts) if isinstance(width, tuple) else int(width)  # type: ignore[return-value]


def _layout_from_widths(modalities: Mapping[str, Width], n_columns: int) -> Layout:
    columns: dict[str, Columns] = {}
    grids = {}
    start = 0
    for name, value in modalities.items():
        width = _check_width(name, value)
        columns[name] = slice(start, start + _n_columns(width))
        start += _n_columns(width)
        if isinstance(width, tuple):
            grids[name] = width
    if start != n_columns:
        raise ValueError(f"modalities {dict(modalities)} describe {start} columns, X has {n_columns}")
    return Layout(columns, grids)


def _layout_from_columns(modalities: Mapping[str, Any], n_columns: int, column_names: Any) -> Layout:
    columns: dict[str, Columns] = {}
    owner = np.full(n_columns, -1)
    for index, (name, value) in enumerate(modalities.items()):
        positions = _column_positions(name, value, n_columns, column_names)
        taken = owner[positions]
        if len(np.unique(positions)) < len(positions):
            raise ValueError(f"modality {name!r} names a column twice")
        if (taken >= 0).any():
            first = int(np.flatnonzero(taken >= 0)[0])
            other = list(modalities)[taken[first]]
            raise ValueError(f"column {int(positions[first])} belongs to both {other!r} and {name!r}")
        owner[positions] = index
        contiguous = len(positions) == positions[-1] - positions[0] + 1 and (np.diff(positions) == 1).all()
        columns[name] = slice(int(positions[0]), int(positions[-1]) + 1) if contiguous else positions
    left = np.flatnonzero(owner < 0)
    if len(left):
        shown = [column_names[i] for i in left[:5]] if column_names is not None else left[:5].tolist()
        raise ValueError(
            f"{len(left)} of X's {n_columns} columns belong to no modality (the first: {shown}); "
            "select the columns to use before"
        )
    return Layout(columns)


def _column_positions(name: str, value: Any, n_columns: int, column_names: Any) -> np.ndarray:
    if isinstance(value, slice):
        if not all(part is None or _is_int(part) for part in (value.start, value.stop, value.step)):
            raise TypeError(f"modality {name!r}: the parts of a slice must be integers, got {value}")
        positions = np.arange(n_columns)[value]
        if value.stop is not None and value.stop > n_columns:
            raise ValueError(f"modality {name!r} reaches to column {value.stop}, X has {n_columns}")
    elif isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(
            f"modality {name!r}: expected a width, a (tokens, dim) grid, a slice or a list of columns, got {value!r}"
        )
    else:
        entries = list(value)
        if entries and all(isinstance(entry, str) for entry in entries):
            if column_names is None:
                raise ValueError(f"modality {name!r} names its columns, but X is not a DataFrame with named columns")
            positions = pd.Index(column_names).get_indexer(entries)
            if (positions < 0).any():
                unknown = [entry for entry, at in zip(entries, positions, strict=True) if at < 0]
                raise ValueError(f"modality {name!r}: X has no column {unknown[0]!r}")
        elif all(_is_int(entry) for entry in entries):
            positions = np.asarray(entries, dtype=np.intp)
            if len(positions) and not (positions.min() >= 0 and positions.max() < n_columns):
                raise ValueError(f"modality {name!r}: columns must lie in 0..{n_columns - 1}, got {entries[:5]}")
        else:
            raise TypeError(f"modality {name!r}: columns must be all positions or all names, got {entries[:5]}")
    if len(positions) == 0:
        raise ValueError(f"modality {name!r} has no column")
    return positions


# -------------------------------------------------------------------------------------------------- container


class MultimodalArray:
    """Named blocks that share their rows, to be indexed like one matrix.

    Rows are indexed as in numpy and give another `MultimodalArray`; scikit-learn's splitters and searches
    therefore take it as they take an array. Blocks may be memory-mapped: indexing rows reads those rows only.
    The container never changes and never copies its blocks.

    Parameters
    ----------
    blocks : mapping of str to array-like of shape (n_samples, n_features) or (n_samples, tokens, dim)
        One numeric block per modality. A three-dimensional block is a grid of tokens, kept flattened.
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
        A block is not numeric.
    ValueError
        Blocks differ in length, are not two- or three-dimensional, or contradict `modalities`.

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
        _check_names(blocks, "blocks")
        self._blocks: dict[str, np.ndarray] = {}
        self.modalities: dict[str, Width] = {}
        for name, values in blocks.items():
            block = _as_block(name, values)
            width: Width = block.shape[1] if block.ndim == 2 else (block.shape[1], block.shape[2])
            self.modalities[name] = _check_width(name, width)
            self._blocks[name] = block.reshape(len(block), -1) if block.ndim == 3 else block
        (first, reference), *others = self._blocks.items()
        for name, block in others:
            if len(block) != len(reference):
                raise ValueError(f"modality {name!r} has {len(block)} rows, {first!r} has {len(reference)}")
        if modalities is not None:
            self._declare(modalities)

    def _declare(self, modalities: Mapping[str, Width]) -> None:
        """Check declared widths, and reshape widths into declared grids."""
        _check_names(modalities, "modalities")
        _check_same_names(self.modalities, modalities)
        for name in self.modalities:
            declared, found = modalities[name], self.modalities[name]
            if not (_is_int(declared) or _is_grid(declared)):
                raise TypeError(f"modality {name!r}: expected a width or a (tokens, dim) grid, got {declared!r}")
            declared = _check_width(name, declared)
            if _n_columns(declared) != _n_columns(found):
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

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        """Return a block (by name), some blocks (by a list of names), or rows (anything numpy takes)."""
        if isinstance(key, str):
            self._check_known(key)
            return self._blocks[key]
        if isinstance(key, list) and key and all(isinstance(name, str) for name in key):
            for name in key:
                self._check_known(name)
            return self._from_parts({n: self._blocks[n] for n in key}, {n: self.modalities[n] for n in key})
        rows = self._row_key(key)
        if _is_int(rows):
            return np.concatenate([block[rows] for block in self._blocks.values()])
        return self._from_parts({name: block[rows] for name, block in self._blocks.items()}, dict(self.modalities))

    def _check_known(self, name: str) -> None:
        if name not in self._blocks:
            raise KeyError(f"unknown modality {name!r}; there are {list(self._blocks)}")

    def _row_key(self, key: Any) -> Any:
        if isinstance(key, tuple):
            if len(key) != 2 or not (isinstance(key[1], EllipsisType) or key[1] == slice(None)):
                raise IndexError(
                    "a MultimodalArray is indexed by rows (A[rows] or A[rows, ...]) or by modality (A['name']); "
                    "for columns, index np.asarray(A)"
                )
            key = key[0]
        if _is_int(key) or isinstance(key, slice):
            return key
        rows = np.asarray(key)
        if rows.size == 0 and rows.dtype != bool:
            rows = rows.astype(np.intp)
        if rows.ndim != 1 or rows.dtype.kind not in "biu":
            raise IndexError(f"rows must be a slice, a mask or a list of integers, got {key!r}")
        return rows

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the packed matrix (a copy, unless there is one block of the right dtype)."""
        blocks = list(self._blocks.values())
        target = np.dtype(dtype) if dtype is not None else self.dtype
        if len(blocks) == 1 and blocks[0].dtype == target and not copy:
            return blocks[0]
        if copy is False:
            raise ValueError("packing the blocks of a MultimodalArray into one matrix needs a copy")
        return np.concatenate(blocks, axis=1, dtype=target)


def _as_block(name: str, values: Any) -> np.ndarray:
    if sparse.issparse(values):
        raise TypeError(f"modality {name!r} is a sparse matrix; blocks are dense, convert it with .toarray()")
    if hasattr(values, "detach"):  # a torch tensor, possibly on a GPU
        values = values.detach().cpu()
    if isinstance(values, pd.DataFrame):
        values = _frame_to_numpy(name, values)
    with naming(f"modality {name!r}"):
        block = np.asarray(values)
    if block.dtype.kind not in "biuf":
        raise TypeError(f"modality {name!r}: expected a numeric block, found dtype {block.dtype}")
    if block.ndim not in (2, 3):
        raise ValueError(
            f"modality {name!r}: expected shape (n_samples, n_features) or (n_samples, tokens, dim), "
            f"found {block.shape}"
        )
    return block


def _frame_to_numpy(name: str, frame: pd.DataFrame) -> np.ndarray:
    values = frame.to_numpy()
    if values.dtype != object:
        return values
    try:  # nullable columns hold pd.NA
        return frame.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise TypeError(f"modality {name!r}: expected numeric columns, found dtype object ({error})") from None


def _check_same_names(found: Iterable[str], expected: Iterable[str]) -> None:
    found, expected = list(found), list(expected)
    for name in found:
        if name not in expected:
            raise ValueError(f"unknown modality {name!r}; expected {expected}")
    for name in expected:
        if name not in found:
            raise ValueError(
                f"modality {name!r} is missing from X, which has {found}; where it is absent, pass a block of NaN"
            )


# ------------------------------------------------------------------------------------------------ conversions


def is_multimodal(X: Any) -> bool:
    """Whether `X` carries its own layout: a `MultimodalArray`, a mapping, a DataFrame with two column levels."""
    if sparse.issparse(X):  # a dok_matrix is a mapping
        return False
    return isinstance(X, MultimodalArray | Mapping) or (
        isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex)
    )


def as_multimodal(X: Any, modalities: Mapping[str, Any] | None = None) -> MultimodalArray:
    """Return any accepted form of `X` as a `MultimodalArray`, without copying arrays.

    Parameters
    ----------
    X : array-like, DataFrame, mapping or MultimodalArray
        See the package's README for the forms.
    modalities : mapping, optional
        The layout of a plain matrix (see `resolve_layout`). For the other forms, the expected names, widths
        and order.

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
    if not is_multimodal(X):
        names = list(X.columns) if isinstance(X, pd.DataFrame) else None
        if hasattr(X, "detach"):
            X = X.detach().cpu().numpy()
        with naming("X"):
            matrix = check_array(X, dtype="numeric", ensure_all_finite=False, ensure_min_samples=0, input_name="X")
        return unpack(matrix, resolve_layout(modalities, matrix.shape[1], names))
    if isinstance(X, pd.DataFrame):
        X = _frame_blocks(X)
    array = X if isinstance(X, MultimodalArray) else MultimodalArray(X)
    if modalities is None or list(array.modalities.items()) == list(modalities.items()):
        return array
    return MultimodalArray(array.blocks, _expected_widths(modalities))


def _expected_widths(modalities: Mapping[str, Any]) -> dict[str, Width]:
    """Widths that a layout asks for, where the columns themselves mean nothing (X comes in blocks)."""
    _check_names(modalities, "modalities")
    widths: dict[str, Width] = {}
    for name, value in modalities.items():
        if isinstance(value, slice):
            if value.stop is None or (value.step or 1) != 1:
                raise ValueError(f"modality {name!r}: {value} has no definite width, and X comes in blocks")
            widths[name] = value.stop - (value.start or 0)
        elif _is_int(value) or _is_grid(value):
            widths[name] = value
        else:
            widths[name] = len(list(value))
    return widths


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
    modalities : mapping, Layout or None
        As in `resolve_layout`, or what `pack` returned.

    Returns
    -------
    MultimodalArray
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2:
        raise ValueError(f"expected a matrix of shape (n_samples, n_columns), found shape {matrix.shape}")
    layout = modalities if isinstance(modalities, Layout) else resolve_layout(modalities, matrix.shape[1])
    blocks = {name: matrix[:, columns] for name, columns in layout.columns.items()}
    return MultimodalArray(blocks, layout.widths)


def concatenate(arrays: Sequence[MultimodalArray]) -> MultimodalArray:
    """Stack the rows of arrays that have the same modalities (the first one's order is kept)."""
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


# --------------------------------------------------------------------------------------------------- presence


def presence_mask(X: MultimodalArray) -> np.ndarray:
    """Say which modality is there in which row, and refuse values that cannot be used.

    Reads the blocks once, in chunks.

    Parameters
    ----------
    X : MultimodalArray

    Returns
    -------
    present : ndarray of bool, shape (n_samples, n_modalities)
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
    # a row's sum is finite unless something in it is not (or it overflows): one cheap pass clears most rows
    with np.errstate(all="ignore"):
        doubtful = np.flatnonzero(~np.isfinite(chunk.sum(axis=1, dtype=np.float64)))
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
