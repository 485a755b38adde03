"""Reading a manifest: which samples there are, and where each one's file or text is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skmmal._paths import local_path
from skmmal.featurize._tables import read_rows, read_text


@dataclass(frozen=True)
class Embedded:
    """A file that lies inside the manifest: its bytes, and the name it had."""

    data: bytes
    name: str = ""

    def __str__(self) -> str:
        return self.name or f"({len(self.data)} bytes in the manifest)"


Cell = str | Embedded
"""A text, a path relative to the manifest, or a file itself; nothing is an empty string."""


@dataclass(frozen=True)
class Manifest:
    """Ids and one column of a manifest; an empty cell is an empty string, None that of a row that is not in it."""

    ids: list[str]
    cells: Sequence[Cell | None]
    root: Path

    @property
    def sha256(self) -> str:
        """Hash of ids and cells as they are written: moving the files with their manifest keeps it."""
        digest = hashlib.sha256()
        for line in self._lines():
            digest.update(line)
        return digest.hexdigest()

    def rows_of(self, sha256: str) -> int | None:
        """Return how many of the first rows a shorter manifest had, by its hash; None if it was another one."""
        digest = hashlib.sha256()
        for row, line in enumerate(self._lines()):
            digest.update(line)
            if digest.hexdigest() == sha256:
                return row + 1
        return None

    def in_order_of(self, ids: Sequence[str]) -> Manifest:
        """Return the rows in another order; an id that is not in this manifest has the cell None."""
        cells = dict(zip(self.ids, self.cells, strict=True))
        return Manifest([str(identifier) for identifier in ids], [cells.get(str(each)) for each in ids], self.root)

    def _lines(self) -> Iterator[bytes]:
        for identifier, cell in zip(self.ids, self.cells, strict=True):
            if isinstance(cell, Embedded):
                yield f"{identifier}\0{hashlib.sha256(cell.data).hexdigest()}\0\n".encode()
            else:
                yield f"{identifier}\0{cell or ''}\n".encode()


def read_manifest(path: Path, column: str, id_column: str = "id", *, files: bool = False) -> Manifest:
    """Read a CSV, JSON Lines or Parquet manifest.

    A CSV's delimiter (comma, semicolon, tab, bar) is the one with which its header has both columns; it is UTF-8, or
    has a byte order mark. Names of columns may differ in case and surrounding spaces. Ids and texts are taken as
    they stand.

    Parameters
    ----------
    path : path
    column, id_column : str
    files : bool, default=False
        Whether the column names files. Then Parquet may hold the files themselves, as bytes or as Hugging Face's
        ``{"bytes", "path"}``.

    Raises
    ------
    ValueError
        Not a table, a column is not there, no rows, a line whose number of fields is not the header's, a cell that
        is no string, or an id that is empty or stands twice.
    """
    path = local_path(path, "manifest")
    if not path.is_file():
        raise ValueError(f"the manifest {path} is not a file")
    rows = read_rows(path, id_column, column)
    if not rows:
        raise ValueError(f"{path} has no rows")
    ids: list[str] = []
    cells: list[Cell] = []
    for number, row in enumerate(rows):
        try:
            ids.append(_identifier(row.identifier, id_column))
            cells.append(_cell(row.cell, column, files))
        except ValueError as error:
            place = f"row {number}" if row.line is None else f"line {row.line}"
            raise ValueError(f"{path}, {place}: {error}") from None
    _check_ids(path, ids)
    return Manifest(ids, cells, path.parent)


def read_lines(path: Path) -> Manifest:
    """Read a list of distinct texts, one on each line; empty lines are left out.

    Parameters
    ----------
    path : path
        A text file in UTF-8.

    Raises
    ------
    ValueError
        No such file, another encoding, no text, or one that stands there twice.
    """
    path = local_path(path, "manifest")
    if not path.is_file():
        raise ValueError(f"the manifest {path} is not a file")
    texts = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not texts:
        raise ValueError(f"{path} has no rows")
    _check_ids(path, texts)
    return Manifest(texts, texts, path.parent)


def _identifier(value: Any, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "" if value != value else str(value)
    raise ValueError(
        f"an id is a text or a whole number, found {type(value).__name__} in column {column!r}; write the ids as texts"
    )


def _cell(value: Any, column: str, files: bool) -> Cell:
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return value
    if files and isinstance(value, bytes):
        return Embedded(value)
    if files and isinstance(value, dict) and set(value) == {"bytes", "path"}:
        if isinstance(value["bytes"], bytes):
            return Embedded(value["bytes"], value["path"] or "")
        if value["bytes"] is None and isinstance(value["path"], str | None):
            return value["path"] or ""
    wanted = "a path, a file's bytes, or {'bytes', 'path'}" if files else "a text"
    raise ValueError(f"column {column!r} must hold {wanted}, found {type(value).__name__} {_short(value)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _check_ids(path: Path, ids: list[str]) -> None:
    first: dict[str, int] = {}
    for row, identifier in enumerate(ids):
        if not identifier or "\n" in identifier or "\r" in identifier:
            raise ValueError(f"{path}, row {row}: an id is a non-empty text without line breaks, found {identifier!r}")
        if first.setdefault(identifier, row) != row:
            raise ValueError(
                f"{path}: id {identifier!r} stands in row {first[identifier]} and again in row {row}; "
                "ids must be distinct"
            )
