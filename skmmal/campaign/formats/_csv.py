"""Tables of labels as they come and go: CSV, Excel's own files, Parquet."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pandas as pd

from skmmal._tables import plain_name, table_of
from skmmal.campaign._votes import ALL_COLUMNS

__all__ = ["csv_bytes", "our_columns", "read_excel", "read_parquet"]


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as the bytes of a CSV file, without its index."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def our_columns(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Give the columns that labels come in the names that they have here, whatever their case (``ID``, ``Label``)."""
    ours: dict[str, str] = {}
    for name in table.columns:
        plain = plain_name(str(name))
        if plain in ALL_COLUMNS:
            if plain in ours:
                raise ValueError(f"{where}: the columns {ours[plain]!r} and {name!r} both are {plain!r}")
            ours[plain] = str(name)
    return table.rename(columns={name: plain for plain, name in ours.items()})


# ------------------------------------------------------------------------------------------------------ workbooks


def read_excel(path: Path, columns: Collection[str] = ("id", "label")) -> pd.DataFrame:
    """Read the sheet of an .xlsx workbook that has some columns, by default id and label (needs openpyxl).

    Numbers are read as Excel keeps them: an id that it has taken for a number or a date is no longer what was typed,
    except for leading zeros that the cell's format shows.
    """
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise ImportError(
            f"{path}: reading Excel files needs openpyxl (pip install openpyxl); or save it as CSV UTF-8"
        ) from None
    try:
        book = load_workbook(path, data_only=True)
    except Exception as error:  # openpyxl lets through what zipfile, xml and others raise
        raise ValueError(f"{path} is no .xlsx workbook that can be read, or is protected ({error})") from None
    sheets = {}
    for sheet in book.worksheets:
        rows = [[_cell(cell) for cell in row] for row in sheet.iter_rows()]
        lines = [number for number, row in enumerate(rows, 1) if any(cell.strip() for cell in row)]
        rows = [rows[number - 1] for number in lines]
        if rows and set(columns) <= {plain_name(name) for name in rows[0]}:
            sheets[sheet.title] = table_of(rows, lines, str(path), ",")
    if len(sheets) != 1:
        what = f"several sheets, {list(sheets)}, have" if sheets else f"no sheet of {book.sheetnames} has"
        raise ValueError(f"{path}: {what} the columns {' and '.join(columns)} in the first row; keep one such sheet")
    return next(iter(sheets.values()))


def _cell(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, int):
        pattern = str(cell.number_format)
        return str(value).zfill(len(pattern)) if pattern and set(pattern) == {"0"} else str(value)
    if isinstance(value, datetime) and value.time() == time(0):
        value = value.date()
    return value.isoformat() if isinstance(value, datetime | date | time) else str(value)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file (needs pyarrow)."""
    try:
        return pd.read_parquet(path).astype(object)
    except ImportError:
        raise ImportError(f"{path}: reading Parquet files needs pyarrow (pip install pyarrow)") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a Parquet file, or is truncated ({error})") from None
