"""Names of rows: what belongs together must not be paired by position where the names say otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from scipy import sparse

from skmmal.modalities._blocks import library_of

__all__ = ["check_ids", "check_same_rows", "row_names", "rows_of"]


def row_names(values: Any) -> pd.Index | None:
    """Names that rows carry: a pandas index (or xarray's first one), unless it is the default one.

    Parameters
    ----------
    values : object

    Returns
    -------
    Index or None
        ``None`` where rows have no names of their own: arrays, and frames numbered 0, 1, 2, ...
    """
    if isinstance(values, pd.DataFrame | pd.Series):
        index = values.index
    elif library_of(values) == "xarray" and getattr(values, "dims", None):
        index = values.indexes.get(values.dims[0])
        if index is None:
            return None
    else:
        return None
    default = isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1
    return None if default else index


def rows_of(X: Any, argument: str) -> dict[str, Any]:
    """Everything in X that may name rows, by what a message calls it.

    Parameters
    ----------
    X : object
    argument : str
        X's name in the message.
    """
    if isinstance(X, Mapping) and not sparse.issparse(X):
        return {f"modality {name!r}": block for name, block in X.items()}
    return {argument: X}


def check_same_rows(named: Mapping[str, Any]) -> None:
    """Raise `ValueError` where two of these name their rows, as many, differently.

    Parameters
    ----------
    named : mapping of str to object
        What a message calls it, and the block, matrix or labels.

    Raises
    ------
    ValueError
        The first row that differs, and how to align.

    Examples
    --------
    >>> import pandas as pd
    >>> check_same_rows({"X": pd.DataFrame({"a": [1, 2]}, index=["r", "s"]), "y": pd.Series([0, 1], index=["r", "s"])})
    """
    first, reference = "", None
    for name, values in named.items():
        index = row_names(values)
        if index is None:
            continue
        if reference is None:
            first, reference = name, index
        elif len(index) == len(reference) and not index.equals(reference):
            raise ValueError(_difference(first, reference, name, index))


def check_ids(values: Any, ids: Any, argument: str) -> None:
    """Raise `ValueError` where rows are named by the very ids given beside them, in another order.

    Parameters
    ----------
    values : mapping, DataFrame or other container
    ids : sequence
        One for each row.
    argument : str
        What a message calls the values.
    """
    given = [str(each) for each in ids]
    for name, part in rows_of(values, argument).items():
        index = row_names(part)
        if index is None or len(index) != len(given):
            continue
        own = [str(each) for each in index]
        if own != given and sorted(own) == sorted(given):
            row = next(at for at, pair in enumerate(zip(own, given, strict=True)) if pair[0] != pair[1])
            raise ValueError(
                f"ids and the index of {name} are the same names in another order, and rows are paired by position: "
                f"row {row} is {given[row]!r} in ids and {own[row]!r} in {name}. Pass ids=list(frame.index), or align "
                "with frame.loc[ids]"
            )


def _difference(first: str, reference: pd.Index, name: str, index: pd.Index) -> str:
    pairs = zip(reference, index, strict=True)
    row, (expected, found) = next(
        ((at, pair) for at, pair in enumerate(pairs) if not _same(*pair)), (0, (reference[0], index[0]))
    )
    same = len(reference) == len(index.union(reference)) if index.is_unique and reference.is_unique else False
    how = "both name the same rows, in another order" if same else "not all of their rows have the same names"
    return (
        f"{first} and {name} name their rows differently, and rows are paired by position: row {row} is {expected!r} "
        f"in {first} and {found!r} in {name} ({how}). Align them first, for example with "
        f"{'b.loc[a.index]' if same else 'b.reindex(a.index)'}; or drop the names (.to_numpy(), "
        ".reset_index(drop=True)) where the order is right"
    )


def _same(a: Any, b: Any) -> bool:
    try:
        return bool(a == b) or (pd.isna(a) and pd.isna(b))
    except (TypeError, ValueError):
        return a is b
