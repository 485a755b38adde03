"""Tables that are text, as people's spreadsheets write them: any separator, any common encoding.

A table is read where what it says is certain, and refused with the reason where it is not.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

__all__ = ["KeyColumnError", "plain_name", "read_lines", "read_table", "table_of"]

SEPARATORS = ",;\t|"
ENCODINGS = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258",
    "mac_roman", "cp850", "cp437", "cp932", "gb18030", "big5", "cp949",
)  # fmt: skip
"""What spreadsheets write where they do not write Unicode, by the country they are set to."""
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

Fits = Callable[[pd.DataFrame], bool]


class KeyColumnError(ValueError):
    """A table lacks the column that it is read by."""


def read_table(
    path: Path, *, encoding: str | None = None, fits: Fits | None = None, key: str = "id", where: str | None = None
) -> pd.DataFrame:
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
    where : str, optional
        What error messages call the file; by default its path.

    Returns
    -------
    DataFrame
        Text in every cell; rows without any text are left out. ``attrs["lines"]``: line of each row in the file.

    Raises
    ------
    KeyColumnError
        Without the column `key`.
    ValueError
        Empty, no text, of unknown encoding, without a header, or with more fields in a line than in the header.
    """
    content = path.read_bytes()
    where = where or str(path)
    if not content.strip():
        raise ValueError(f"{where} is empty; expected the columns id,label")
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ValueError(
            f"{where} is an Excel workbook by its content, not a CSV file; save it as CSV, or name it .xlsx where "
            "workbooks are read"
        )
    if encoding is not None:
        return _parse(_decode(content, encoding, where), where, key)
    guessed = _unicode(content)
    if guessed is not None:
        return _parse(_decode(content, guessed, where, "UTF-8 or UTF-16"), where, key)
    if b"\0" in content:
        raise ValueError(f"{where} is not a CSV file in UTF-8 or UTF-16 (it holds null characters)")
    return _legacy(content, where, key, fits)


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


def _decode(content: bytes, encoding: str, where: str, called: str = "") -> str:
    try:
        text = content.decode(encoding)
    except LookupError:
        raise ValueError(f"encoding: {encoding!r} is unknown to Python") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not a CSV file in {called or encoding} ({error})") from None
    if "\0" in text:
        raise ValueError(f"{where} is not a CSV file (it holds null characters)")
    return text.removeprefix("\ufeff")


def _legacy(content: bytes, where: str, key: str, fits: Fits | None) -> pd.DataFrame:
    """Decode text that is not Unicode: its letters depend on the country, so that something must confirm them."""
    if fits is not None:
        for encoding in ENCODINGS:
            try:
                table = _parse(content.decode(encoding), where, key)
            except (UnicodeDecodeError, ValueError):
                continue
            if fits(table):
                return table
    number = next(number for number, line in enumerate(content.splitlines(), 1) if any(byte > 127 for byte in line))
    found = f"{where} is not text in UTF-8 (first in line {number})"
    if fits is None:
        raise ValueError(f"{found}. In Excel save it as 'CSV UTF-8'")
    raise ValueError(
        f"{found}, and its ids and labels tell no other encoding for certain. In Excel save it as 'CSV UTF-8', or say "
        "what it is: encoding='cp1252' (--encoding cp1252) for Western Europe, cp1250 for Central Europe, cp1251 for "
        "Cyrillic"
    )


def _parse(text: str, where: str, key: str) -> pd.DataFrame:
    text, separator = _declared_separator(text)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = separator or _separator(first, where, key)
    rows, lines = _rows(text, separator, where)
    return table_of(rows, lines, where, separator)


def _declared_separator(text: str) -> tuple[str, str]:
    """Excel's first line ``sep=;``; it is blanked, so that line numbers stay."""
    head, _, rest = text.partition("\n")
    line = head.strip().strip('"')
    if line[:4].lower() == "sep=" and len(line) <= 5:
        return "\n" + rest, line[4:] or "\t"
    return text, ""


def _separator(header: str, where: str, key: str) -> str:
    n_columns = {}
    for separator in SEPARATORS:
        try:
            names = [plain_name(name) for name in next(csv.reader([header], delimiter=separator), [])]
        except csv.Error:
            continue
        if plain_name(key) in names or "skmmal_id" in names:
            n_columns[separator] = len(names)
    if not n_columns:
        expected = (
            "should be a header with id and label, such as id,label" if key == "id" else "should name its columns"
        )
        raise KeyColumnError(
            f"{where} has no column {key!r}: its first line is {header.strip()[:80]!r}, and it {expected}"
        )
    return max(n_columns, key=lambda separator: n_columns[separator])


def _rows(text: str, separator: str, where: str) -> tuple[list[list[str]], list[int]]:
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
        raise ValueError(f"{where} is not a CSV file: line {started} cannot be read ({error})") from None
    return rows, lines


def table_of(rows: list[list[str]], lines: list[int], where: str, separator: str) -> pd.DataFrame:
    names = _names([cell.strip() for cell in rows[0]], where)
    columns: list[list[str]] = [[] for _ in names]
    for row, line in zip(rows[1:], lines[1:], strict=True):
        if any(cell.strip() for cell in row[len(names) :]):
            raise ValueError(
                f"{where}: line {line} has {len(row)} fields, the header {len(names)}; a text that holds {separator!r} "
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


def plain_name(name: str) -> str:
    return name.strip().lower()


def _names(given: Sequence[str], where: str) -> list[str]:
    """Names of columns, and none for a column that has no name of its own."""
    twice = [name for name in given if name and given.count(name) > 1]
    if twice:
        raise ValueError(f"{where}: the column {twice[0]!r} is there twice")
    return list(given)


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
    lines = _decode(content, encoding, str(path)).splitlines()
    return [line.strip() for line in lines if line.strip()]
