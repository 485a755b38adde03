"""Folders that Hugging Face's ``datasets`` saved (``save_to_disk``) as manifests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skmmal.featurize._cells import DatasetRow
from skmmal.featurize._tables import ROW, Row, places_of

_AT_ONCE = 10_000


def is_saved(place: object) -> bool:
    """Whether something is a folder that ``Dataset.save_to_disk`` wrote."""
    return isinstance(place, Path) and (place / "state.json").is_file() and (place / "dataset_info.json").is_file()


def read_saved(folder: Path, column: str, id_column: str, files: bool) -> Iterator[Row]:
    """Yield the rows of a saved data set; files stay in it until they are read.

    Parameters
    ----------
    folder : Path
    column, id_column : str
    files : bool
        Whether the column holds files: an ``Image``, ``Audio`` or ``Video`` feature, bytes, or paths.
    """
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            f"{folder} is a saved data set, which the package datasets reads: pip install datasets"
        ) from error
    import pyarrow as pa

    try:
        data = datasets.load_from_disk(str(folder))
    except Exception as error:  # the ways a folder may be damaged are many
        raise ValueError(f"{folder} cannot be read as a saved data set: {' '.join(str(error).split())}") from error
    by_row = id_column == ROW
    try:
        id_place, place = places_of(folder, data.column_names, (column if by_row else id_column, column))
    except ValueError as error:
        raise ValueError(f"{error}; --id-column {ROW} takes the number of each row") from None
    identifiers, name, made = (
        data.column_names[id_place],
        data.column_names[place],
        str(json.loads((folder / "state.json").read_text())["_fingerprint"]),
    )
    tables = data.select_columns(list({identifiers, name})).with_format("arrow")
    kind = data.features.arrow_schema.field(name).type
    kind = getattr(kind, "storage_type", kind)
    number = 0
    for start in range(0, len(data), _AT_ONCE):
        table = tables[start : start + _AT_ONCE]
        ids = None if by_row else table[identifiers].to_pylist()
        for within, cell in enumerate(_cells(pa, folder, name, made, kind, table, start, files)):
            yield Row(None, str(number) if ids is None else ids[within], cell)
            number += 1


def _cells(
    pa: Any, folder: Path, name: str, made: str, kind: Any, table: Any, start: int, files: bool
) -> Iterator[Any]:
    """Yield a column's cells: values where they are texts, else where the files are."""
    column = table[name]
    if files and _holds_files(pa, kind):
        for within, there in enumerate(column.is_valid().to_pylist()):
            yield DatasetRow(str(folder), name, start + within, None, made) if there else None
    elif files and _is_list(pa, kind) and _holds_files(pa, kind.value_type):
        lengths = (length for chunk in column.chunks for length in pa.compute.list_value_length(chunk).to_pylist())
        inside = (there for chunk in column.chunks for there in chunk.flatten().is_valid().to_pylist())
        for within, length in enumerate(lengths):
            places = ((place, next(inside)) for place in range(length or 0))
            row = start + within
            yield [DatasetRow(str(folder), name, row, place, made) if there else None for place, there in places]
    else:
        yield from column.to_pylist()


def _is_list(pa: Any, kind: Any) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _holds_files(pa: Any, kind: Any) -> bool:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    return pa.types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}
