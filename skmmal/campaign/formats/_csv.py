"""Tables as people's spreadsheets write them: any separator, any common encoding, Excel's own files.

A table is read where what it says is certain, and refused with the reason where it is not.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pandas as pd

from skmmal.campaign._votes import ALL_COLUMNS

__all__ = ["csv_bytes", "our_columns", "read_excel", "read_lines", "read_parquet", "read_table"]

SEPARATORS = ",;\t|"
ENCODINGS = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258",
    "mac_roman", "cp850", "cp437", "cp932", "gb18030", "big5", "cp949",
)  # fmt: skip
"""What spreadsheets write where they do not write Unicode, by the country they are set to."""
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

Fits = Callable[[pd.DataFrame], bool]


def read_table(path: Path, *, encoding: str | None = None, fits: Fits | None = None, key: str = "id") -> pd.DataFrame:
    """Read a table that is text: comma, semicolon, tab or bar between fields, with a header.

    Parameters
    ----------
    path : Path
    encoding : str, optional
        Default: Unicode (UTF-8, or UTF-16), and where it is none, the encoding that `fits` confirms.
    fits : callable, optional
        Whether a table that was decoded says what is known: its non-ASCII ids and labels are those of the campaign.
    key : str, default="id"
        A column that must be there.

    Returns
    -------
    DataFrame
        Text in every cell; rows without any text are left out. ``attrs["lines"]``: line of each row in the file.

    Raises
    ------
    ValueError
        Empty, no text, of unknown encoding, without a header, or with more fields in a line than in the header.
    """
    content = path.read_bytes()
    if not content.strip():
        raise ValueError(f"{path} is empty; expected the columns id,label")
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ValueError(
            f"{path} is an Excel workbook by its content, not a CSV file; name it .xlsx, or save it as CSV"
        )
    if encoding is not None:
        return _parse(_decode(content, encoding, path), path, key)
    guessed = _unicode(content)
    if guessed is not None:
        return _parse(_decode(content, guessed, path, "UTF-8 or UTF-16"), path, key)
    if b"\0" in content:
        raise ValueError(f"{path} is not a CSV file in UTF-8 or UTF-16 (it holds null characters)")
    return _legacy(content, path, key, fits)


def _unicode(content: bytes) -> str | None:
    for mark, name in _MARKS:
        if content.startswith(mark):
            return name
    if b"\0" in content[:200]:  # UTF-16 without a mark: every other byte of Western text is zero
        head = content[: len(content) // 2 * 2][:200]
        for name, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[0::2])):
            if zeros and zeros.count(0) > 0.7 * len(zeros):
                return name
        return None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "utf-8"


def _decode(content: bytes, encoding: str, path: Path, called: str = "") -> str:
    try:
        text = content.decode(encoding)
    except LookupError:
        raise ValueError(f"encoding: {encoding!r} is unknown to Python") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a CSV file in {called or encoding} ({error})") from None
    if "\0" in text:
        raise ValueError(f"{path} is not a CSV file (it holds null characters)")
    return text.removeprefix("\ufeff")


def _legacy(content: bytes, path: Path, key: str, fits: Fits | None) -> pd.DataFrame:
    """Decode text that is not Unicode: its letters depend on the country, so that something must confirm them."""
    if fits is not None:
        for encoding in ENCODINGS:
            try:
                table = _parse(content.decode(encoding), path, key)
            except (UnicodeDecodeError, ValueError):
                continue
            if fits(table):
                return table
    number = next(number for number, line in enumerate(content.splitlines(), 1) if any(byte > 127 for byte in line))
    raise ValueError(
        f"{path} is not text in UTF-8 (first in line {number}), and its ids and labels tell no other encoding for "
        "certain. In Excel save it as 'CSV UTF-8', or say what it is: encoding='cp1252' (--encoding cp1252) for "
        "Western Europe, cp1250 for Central Europe, cp1251 for Cyrillic"
    )


def _parse(text: str, path: Path, key: str) -> pd.DataFrame:
    text, separator = _declared_separator(text)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = separator or _separator(first, path, key)
    rows, lines = _rows(text, separator, path)
    return _frame(rows, lines, path, separator)


def _declared_separator(text: str) -> tuple[str, str]:
    """Excel's first line ``sep=;``; it is blanked, so that line numbers stay."""
    head, _, rest = text.partition("\n")
    line = head.strip().strip('"')
    if line[:4].lower() == "sep=" and len(line) <= 5:
        return "\n" + rest, line[4:] or "\t"
    return text, ""


def _separator(header: str, path: Path, key: str) -> str:
    n_columns = {}
    for separator in SEPARATORS:
        try:
            names = [_plain(name) for name in next(csv.reader([header], delimiter=separator), [])]
        except csv.Error:
            continue
        if _plain(key) in names or "skmmal_id" in names:
            n_columns[separator] = len(names)
    if not n_columns:
        expected = (
            "should be a header with id and label, such as id,label" if key == "id" else "should name its columns"
        )
        raise ValueError(f"{path} has no column {key!r}: its first line is {header.strip()[:80]!r}, and it {expected}")
    return max(n_columns, key=lambda separator: n_columns[separator])


def _rows(text: str, separator: str, path: Path) -> tuple[list[list[str]], list[int]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows, lines = [], []
    started = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                lines.append(started)
            started = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path} is not a CSV file: line {started} cannot be read ({error})") from None
    return rows, lines


def _frame(rows: list[list[str]], lines: list[int], path: Path, separator: str) -> pd.DataFrame:
    names = _names([cell.strip() for cell in rows[0]], path)
    columns: list[list[str]] = [[] for _ in names]
    for row, line in zip(rows[1:], lines[1:], strict=True):
        if any(cell.strip() for cell in row[len(names) :]):
            raise ValueError(
                f"{path}: line {line} has {len(row)} fields, the header {len(names)}; a text that holds {separator!r} "
                "needs quotes around it"
            )
        # Excel leaves separators at the end of a line out where the cells are empty
        for column, cell in zip(columns, [*row, *[""] * len(names)], strict=False):
            column.append(cell)
    table = pd.DataFrame(
        {name: column for name, column in zip(names, columns, strict=True) if name},
        dtype=object,
        index=range(len(rows) - 1),
    )
    table.attrs["lines"] = lines[1:]
    return table


def _plain(name: str) -> str:
    return name.strip().lower()


def _names(given: Sequence[str], path: Path) -> list[str]:
    """Names of columns, and none for a column that has no name of its own."""
    twice = [name for name in given if name and given.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: the column {twice[0]!r} is there twice")
    return list(given)


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as the bytes of a CSV file, without its index."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def our_columns(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Give the columns that labels come in the names that they have here, whatever their case (``ID``, ``Label``)."""
    ours: dict[str, str] = {}
    for name in table.columns:
        plain = _plain(str(name))
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
        if rows and set(columns) <= {_plain(name) for name in rows[0]}:
            sheets[sheet.title] = _frame(rows, lines, path, ",")
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


def read_lines(path: Path) -> list[str]:
    r"""Lines of a text file in UTF-8 or UTF-16, without blank ones and blanks around them.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    list of str
        In their order.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skmmal.campaign.formats import read_lines
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "classes.txt"
    ...     _ = path.write_text("cat\n\n dog \n")
    ...     read_lines(path)
    ['cat', 'dog']
    """
    content = path.read_bytes()
    encoding = _unicode(content)
    if encoding is None:
        raise ValueError(f"{path} is not text in UTF-8; save it as UTF-8")
    lines = _decode(content, encoding, path).splitlines()
    return [line.strip() for line in lines if line.strip()]
