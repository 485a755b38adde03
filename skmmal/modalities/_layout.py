"""Which columns belong to which modality: what the user may say, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["DEFAULT_NAME", "Columns", "Layout", "Width", "resolve_layout"]

DEFAULT_NAME = "X"
"""Name of the only modality of a plain matrix without a layout."""

Columns = slice | np.ndarray
Width = int | tuple[int, int]


def is_int(value: object) -> bool:
    """Whether a value is a whole number, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_grid(value: object) -> bool:
    """Whether a value is ``(tokens, dim)``."""
    return isinstance(value, tuple) and len(value) == 2 and all(is_int(part) for part in value)


def n_columns_of(width: Width) -> int:
    """Columns of a modality of that width."""
    return width[0] * width[1] if isinstance(width, tuple) else width


def is_selector(value: object) -> bool:
    """Whether a value says by a table's names which columns are meant: a prefix, or a callable."""
    return isinstance(value, str) or (callable(value) and not isinstance(value, type))


@dataclass(frozen=True)
class Layout:
    """Which columns of a packed matrix belong to which modality.

    Parameters
    ----------
    columns : dict of str to slice or ndarray of int
        Columns of each modality, in the order of the modalities.
    grids : dict of str to (int, int)
        ``(tokens, dim)`` of those modalities that are flattened token grids.

    Examples
    --------
    >>> from skmmal.modalities import Layout
    >>> layout = Layout({"image": slice(0, 8), "text": slice(8, 11)}, grids={"image": (4, 2)})
    >>> layout.widths
    {'image': (4, 2), 'text': 3}
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


def resolve_layout(
    modalities: Mapping[str, Any] | None, n_columns: int, column_names: Any = None, table: Any = None
) -> Layout:
    """Turn the user's `modalities` into columns of a matrix with `n_columns` columns.

    Parameters
    ----------
    modalities : mapping or None
        Name to width (``int``), token grid (``(tokens, dim)``), ``slice``, a list of column positions or column
        names, one column's name, a prefix of column names (``"image__"``), or a callable that selects columns of
        `table` (``sklearn.compose.make_column_selector("^image__")``). Widths and grids are laid out one after the
        other; they cannot be mixed with explicit columns. ``None`` is one modality named ``"X"``.
    n_columns : int
        Number of columns of the matrix.
    column_names : sequence of str, optional
        The names that strings refer to.
    table : DataFrame, optional
        What callables are called with; by default an empty DataFrame with these names.

    Returns
    -------
    Layout

    Raises
    ------
    TypeError
        `modalities` is not a mapping, or a value is none of the forms above.
    ValueError
        Widths do not add up to `n_columns`; columns overlap, are out of range, or belong to no modality; a prefix or
        callable selects nothing.

    Examples
    --------
    >>> resolve_layout({"image": 3, "text": 2}, 5).columns
    {'image': slice(0, 3, None), 'text': slice(3, 5, None)}
    >>> resolve_layout({"image": "i__", "text": "t__"}, 3, ["i__pca0", "i__pca1", "t__pca0"]).columns
    {'image': slice(0, 2, None), 'text': slice(2, 3, None)}
    """
    if modalities is None:
        return Layout({DEFAULT_NAME: slice(0, n_columns)})
    check_names(modalities, "modalities")
    by_width = {name: is_int(value) or is_grid(value) for name, value in modalities.items()}
    if all(by_width.values()):
        return _layout_from_widths(modalities, n_columns)
    if any(by_width.values()):
        raise ValueError(
            f"modalities mixes widths ({[n for n, w in by_width.items() if w]}) with explicit columns "
            f"({[n for n, w in by_width.items() if not w]}); give widths for all, or columns for all"
        )
    return _layout_from_columns(modalities, n_columns, column_names, table)


def check_names(mapping: object, argument: str) -> None:
    """Raise unless `mapping` maps names of modalities."""
    if not isinstance(mapping, Mapping):
        raise TypeError(f"{argument} must map modality names to columns or blocks, got {type(mapping).__name__}")
    if not mapping:
        raise ValueError(f"{argument} is empty; at least one modality is needed")
    for name in mapping:
        if not isinstance(name, str) or not name:
            raise TypeError(f"{argument}: a modality's name must be a non-empty string, got {name!r}")


def check_width(name: str, width: Width) -> Width:
    """Return a modality's width in Python's integers; raise where it has no column."""
    parts = width if isinstance(width, tuple) else (width,)
    if min(parts) < 1:
        raise ValueError(f"modality {name!r} has width {width}; it needs at least one column")
    return tuple(int(part) for part in parts) if isinstance(width, tuple) else int(width)  # type: ignore[return-value]


def check_same_names(found: Iterable[str], expected: Iterable[str]) -> None:
    """Raise unless both name the same modalities, in any order."""
    found, expected = list(found), list(expected)
    for name in found:
        if name not in expected:
            raise ValueError(f"unknown modality {name!r}; expected {expected}")
    for name in expected:
        if name not in found:
            raise ValueError(
                f"modality {name!r} is missing from X, which has {found}; where it is absent, pass a block of NaN"
            )


def expected_widths(modalities: Mapping[str, Any], found: Mapping[str, Width]) -> dict[str, Width]:
    """Widths that a layout asks for of `found` blocks: of the layout's columns only their number counts there.

    Selections by name say nothing of a width.
    """
    check_names(modalities, "modalities")
    check_same_names(found, modalities)
    widths: dict[str, Width] = {}
    for name, value in modalities.items():
        if isinstance(value, slice):
            parts = (value.start or 0, value.stop, value.step or 1)
            definite = all(is_int(part) and part >= 0 for part in parts)  # "to the end" is as wide as it comes
            widths[name] = len(range(*parts)) if definite else found[name]
        elif is_int(value) or is_grid(value):
            widths[name] = value
        elif is_selector(value):
            widths[name] = found[name]
        else:
            widths[name] = len(list(value))
    return widths


def _layout_from_widths(modalities: Mapping[str, Width], n_columns: int) -> Layout:
    columns: dict[str, Columns] = {}
    grids = {}
    start = 0
    for name, value in modalities.items():
        width = check_width(name, value)
        columns[name] = slice(start, start + n_columns_of(width))
        start += n_columns_of(width)
        if isinstance(width, tuple):
            grids[name] = width
    if start != n_columns:
        raise ValueError(f"modalities {dict(modalities)} describe {start} columns, X has {n_columns}")
    return Layout(columns, grids)


def _layout_from_columns(modalities: Mapping[str, Any], n_columns: int, column_names: Any, table: Any) -> Layout:
    columns: dict[str, Columns] = {}
    owner = np.full(n_columns, -1)
    for index, (name, value) in enumerate(modalities.items()):
        positions = _column_positions(name, value, n_columns, column_names, table)
        taken = owner[positions]
        if len(np.unique(positions)) < len(positions):
            raise ValueError(f"modality {name!r} names a column twice")
        if (taken >= 0).any():
            first = int(np.flatnonzero(taken >= 0)[0])
            other = list(modalities)[taken[first]]
            at = int(positions[first])
            called = f" ({column_names[at]!r})" if column_names is not None else ""
            raise ValueError(f"column {at}{called} belongs to both {other!r} and {name!r}")
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


def _column_positions(name: str, value: Any, n_columns: int, column_names: Any, table: Any) -> np.ndarray:
    if is_selector(value) and column_names is None:
        raise ValueError(
            f"modality {name!r} selects its columns by name ({value!r}), but X is not a DataFrame with named columns; "
            "behind a ColumnTransformer, use .set_output(transform='pandas')"
        )
    if isinstance(value, str):
        positions = _prefixed(name, value, list(column_names))
    elif is_selector(value):
        positions = _selected(name, value, n_columns, column_names, table)
    elif isinstance(value, slice):
        positions = _slice_positions(name, value, n_columns)
    elif isinstance(value, Iterable):
        positions = _listed_positions(name, list(value), n_columns, column_names)
    else:
        raise TypeError(
            f"modality {name!r}: expected a width, a (tokens, dim) grid, a slice, a list of columns, a prefix of "
            f"column names or a callable that selects columns, got {value!r}"
        )
    if len(positions) == 0:
        raise ValueError(f"modality {name!r} has no column")
    return positions


def _slice_positions(name: str, value: slice, n_columns: int) -> np.ndarray:
    if not all(part is None or is_int(part) for part in (value.start, value.stop, value.step)):
        raise TypeError(f"modality {name!r}: the parts of a slice must be integers, got {value}")
    if value.stop is not None and value.stop > n_columns:
        raise ValueError(f"modality {name!r} reaches to column {value.stop}, X has {n_columns}")
    return np.arange(n_columns)[value]


def _listed_positions(name: str, entries: list, n_columns: int, column_names: Any) -> np.ndarray:
    if entries and all(isinstance(entry, str) for entry in entries):
        if column_names is None:
            raise ValueError(f"modality {name!r} names its columns, but X is not a DataFrame with named columns")
        known = pd.Index(column_names)
        for entry in entries:
            count = int((known == entry).sum())
            if count != 1:
                raise ValueError(
                    f"modality {name!r}: X has {'no column' if not count else f'{count} columns named'} {entry!r}"
                )
        return known.get_indexer(entries)
    if all(is_int(entry) for entry in entries):
        positions = np.asarray(entries, dtype=np.intp)
        if len(positions) and not (positions.min() >= 0 and positions.max() < n_columns):
            raise ValueError(f"modality {name!r}: columns must lie in 0..{n_columns - 1}, got {entries[:5]}")
        return positions
    raise TypeError(f"modality {name!r}: columns must be all positions or all names, got {entries[:5]}")


def _prefixed(name: str, prefix: str, column_names: Sequence[Any]) -> np.ndarray:
    """One column of that name, or all columns whose names begin with it."""
    exact = [at for at, column in enumerate(column_names) if column == prefix]
    found = exact or [at for at, column in enumerate(column_names) if prefix and str(column).startswith(prefix)]
    if not found:
        raise ValueError(
            f"modality {name!r}: X has no column named {prefix!r}, and none that begins with it; its columns are "
            f"{_shown(column_names)}"
        )
    return np.asarray(found, dtype=np.intp)


def _selected(name: str, selector: Callable[[Any], Any], n_columns: int, column_names: Any, table: Any) -> np.ndarray:
    """What a callable selects, in any form that scikit-learn's ColumnTransformer takes."""
    found = selector(pd.DataFrame(columns=list(column_names)) if table is None else table)
    if isinstance(found, str):
        return _listed_positions(name, [found], n_columns, column_names)
    if isinstance(found, slice):
        return _slice_positions(name, found, n_columns)
    if is_int(found) or not isinstance(found, Iterable):
        raise TypeError(f"modality {name!r}: {selector!r} must return a list of columns, it returned {found!r}")
    entries = list(found)
    if entries and all(isinstance(entry, bool | np.bool_) for entry in entries):
        if len(entries) != n_columns:
            raise ValueError(
                f"modality {name!r}: {selector!r} returned {len(entries)} booleans, X has {n_columns} columns"
            )
        entries = np.flatnonzero(entries).tolist()
    if not entries:
        described = getattr(selector, "pattern", None)
        raise ValueError(
            f"modality {name!r}: {f'the selector {described!r}' if described else repr(selector)} matches none of X's "
            f"columns, which are {_shown(column_names)}"
        )
    return _listed_positions(name, entries, n_columns, column_names)


def _shown(names: Sequence[Any]) -> str:
    return f"{list(names[:6])!r}" if len(names) <= 6 else f"{list(names[:6])!r} and {len(names) - 6} more"
