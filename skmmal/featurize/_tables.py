"""Two columns out of a table in a file: CSV as programs of all kinds write it, JSON Lines."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from skmmal._paths import opened

DELIMITERS = (",", ";", "\t", "|")

ROW = ":row"
"""As the column of the ids: the number of each row."""

_MARKS = (  # the longer ones first: UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_OTHERS = (
    (b"PK\x03\x04", "a spreadsheet or a zip archive; save it as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "an Excel file; save it as CSV (UTF-8)"),
    (b"ARROW1", "an Arrow file; write it as Parquet"),
)

_UNPACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}


class Row(NamedTuple):
    """A row's id and one other cell, as they stand, and the line they begin in (where there are lines)."""

    line: int | None
    identifier: Any
    cell: Any


def read_rows(path: Path | str, id_column: str, column: str) -> Iterable[Row]:
    """Read two columns of a table, whose place is a path or a URL."""
    names = (id_column, column)
    data = _bytes(path)
    for start, what in _OTHERS:
        if data.startswith(start):
            raise ValueError(f"{path} cannot be read as a table: it is {what}")
    text = _text(path, data)
    if not text.strip():
        raise ValueError(f"{path} cannot be read as a table: it is empty")
    kind = _name(path).split(".")
    if {"jsonl", "ndjson", "json"} & set(kind) or text.lstrip().startswith(("{", "[{")):
        return _json(path, text, names)
    return _csv(path, text, names, "tsv" in kind)


def _name(path: Path | str) -> str:
    return str(path).partition("::")[0].rpartition("/")[2].lower()


def read_text(path: Path | str) -> str:
    """Read a text file, packed or not, without its byte order mark."""
    return _text(path, _bytes(path))


def _bytes(path: Path | str) -> bytes:
    kind = "." + _name(path).rpartition(".")[2]
    with opened(str(path)) as file:
        data = file.read()
    try:
        if kind in _UNPACKED:
            return _UNPACKED[kind](data)
        if kind == ".zip":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                (name,) = archive.namelist()
                return archive.read(name)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be unpacked to one table: {error}") from error
    return data


def _text(path: Path | str, data: bytes) -> str:
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path} cannot be read as a table: line {line} is not {encoding.upper()}, and other encodings cannot be "
            'told apart; save it as UTF-8 (iconv -f WINDOWS-1252 -t UTF-8, or Excel\'s "CSV UTF-8")'
        ) from error
    if encoding == "utf-8" and text[1:2] == "\0":
        raise ValueError(f"{path} cannot be read as a table: every other byte is zero; save it as UTF-8")
    return text


def places_of(path: Path | str, header: Sequence[str], names: tuple[str, str]) -> list[int]:
    """Find columns: by their very names, or else by names that differ in case and outer spaces only."""
    found = []
    for name, option in zip(names, ("--id-column", "--column"), strict=True):
        same = [place for place, title in enumerate(header) if title == name]
        near = same or [place for place, title in enumerate(header) if _plain(title) == _plain(name)]
        if len(near) > 1:
            titles = " and ".join(repr(header[place]) for place in near)
            raise ValueError(f"{path} has several columns that {name!r} may mean: {titles}; rename one (see {option})")
        if not near:
            raise ValueError(f"{path} has no column {name!r}; it has {list(header)} (see {option})")
        found += near
    return found


def _plain(title: str) -> str:
    return title.strip().casefold()


# ----------------------------------------------------------------------------------------------------------- CSV


def _csv(path: Path | str, text: str, names: tuple[str, str], tabs: bool) -> Iterator[Row]:
    delimiter, skip, spaced = _dialect(path, text, names, tabs)
    records = _records(path, text, delimiter, skip, spaced)
    _, header = next(records)
    id_place, place = places_of(path, header, names)
    width = len(header)
    for line, fields in records:
        if len(fields) != width:
            raise ValueError(
                f"{path}, line {line}: {len(fields)} fields where the header has {len(header)}; a text that contains "
                f"{delimiter!r} or a line break stands in double quotes"
            )
        yield Row(line, fields[id_place], fields[place])


def _dialect(path: Path | str, text: str, names: tuple[str, str], tabs: bool) -> tuple[str, int, bool]:
    """Return delimiter, number of lines before the header, and whether spaces follow the delimiters.

    The header is the first line, or the first after lines of comment; its delimiter is the one with which it has
    both columns.
    """
    delimiters = ("\t", *(d for d in DELIMITERS if d != "\t")) if tabs else DELIMITERS
    first: ValueError | None = None
    for skip, line in enumerate(_lines(text)):
        if not line.strip():
            continue
        found = []
        for delimiter in delimiters:
            header = next(csv.reader([line], delimiter=delimiter))
            try:
                places_of(path, header, names)
            except ValueError as error:
                first = first or error
                continue
            spaced = len(header) > 1 and all(title.startswith(" ") for title in header[1:])
            found.append((delimiter, skip, spaced))
            if len(header) == 1:  # whatever the delimiter
                break
        if len(found) > 1:
            first_two = " and ".join(repr(delimiter) for delimiter, _, _ in found[:2])
            raise ValueError(f"{path}: with each of {first_two} as delimiter the header has both columns")
        if found:
            return found[0]
        if not line.startswith(("#", "sep=")):
            break
    assert first is not None
    raise first


def _lines(text: str) -> Iterator[str]:
    yield from io.StringIO(text, newline="")


def _records(path: Path | str, text: str, delimiter: str, skip: int, spaced: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield records and the line each begins in; blank lines are none."""
    lines = io.StringIO(text, newline="")
    for _ in range(skip):
        next(lines)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced, strict=True)
    line = skip + 1
    with _long_fields():
        try:
            for fields in reader:
                if fields:
                    yield line, fields
                line = skip + reader.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{path}, line {line}: not CSV with {delimiter!r} ({error})") from None


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let the csv module read texts of any length."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


# ---------------------------------------------------------------------------------------------------------- JSON


def _json(path: Path | str, text: str, names: tuple[str, str]) -> Iterator[Row]:
    """Read one object a line, or a list of objects."""
    for line, value in _objects(path, text):
        if not isinstance(value, dict):
            raise ValueError(f"{path}, line {line}: expected an object with the columns {list(names)}")
        keys = list(value)
        try:
            id_place, place = places_of(path, keys, names)
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
        yield Row(line, value[keys[id_place]], value[keys[place]])


def _objects(path: Path | str, text: str) -> Iterator[tuple[int, Any]]:
    try:
        if text.lstrip().startswith("["):
            yield from enumerate(json.loads(text), start=1)
            return
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: not JSON, one object a line ({error.msg})") from None


# -------------------------------------------------------------------------------------------------- Arrow's columns


def file_cells(pa: Any, column: Any, held: Callable[[int, int | None, Any], Any] | None) -> Iterator[Any]:
    """Yield a column's cells: what `held` makes of files, by row, place in the row's list and scalar, else values.

    Parameters
    ----------
    pa : module
        pyarrow.
    column : Array or ChunkedArray
    held : callable or None
        None where no files are wanted.
    """
    kind = getattr(column.type, "storage_type", column.type)
    if held is not None and _holds_files(pa, kind):
        for row, value in enumerate(column):
            yield held(row, None, value) if value.is_valid else None
    elif held is not None and _is_list(pa, kind) and _holds_files(pa, kind.value_type):
        for row, value in enumerate(column):
            inside = enumerate(value.values) if value.is_valid else ()
            yield [held(row, place, part) if part.is_valid else None for place, part in inside]
    else:
        yield from column.to_pylist()


def _is_list(pa: Any, kind: Any) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _holds_files(pa: Any, kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return {field.name for field in kind} == {"bytes", "path"}
    return any(getattr(pa.types, f"is_{name}")(kind) for name in _FILE_KINDS)


_FILE_KINDS = ("binary", "large_binary", "binary_view", "fixed_size_binary")
