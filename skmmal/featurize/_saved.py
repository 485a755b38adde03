"""Folders that Hugging Face's ``datasets`` saved (``save_to_disk``) as manifests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skmmal.featurize._cells import DatasetRow
from skmmal.featurize._tables import ROW, Row, file_cells, places_of

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
    for start in range(0, len(data), _AT_ONCE):
        table = tables[start : start + _AT_ONCE]
        rows = range(start, start + len(table))
        ids = [str(row) for row in rows] if by_row else table[identifiers].to_pylist()

        def held(within: int, place: int | None, _: Any, rows: range = rows) -> DatasetRow:
            return DatasetRow(str(folder), name, rows[within], place, made)

        for identifier, cell in zip(ids, file_cells(pa, table[name], held if files else None), strict=True):
            yield Row(None, identifier, cell)
