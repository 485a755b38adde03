"""Cells of a manifest: a text, a path, a file that lies in something else or behind a URL, or several of these."""

from __future__ import annotations

import functools
import io
import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skmmal._paths import is_url, place_of


class Held(ABC):
    """A file that is no path of this machine: it lies in a manifest, an archive or a data set, or behind a URL."""

    __slots__ = ()

    @abstractmethod
    def read(self) -> bytes:
        """Return the file's bytes, empty where there is none."""

    @abstractmethod
    def written(self) -> str:
        """Say which file it is, the same wherever the manifest and what belongs to it lie."""

    def stamp(self) -> str:
        """Say what changes when the file does, without reading it; nothing where that cannot be told."""
        return ""

    def source(self) -> Path | io.BytesIO:
        """Return what a decoder reads piece by piece: a path, or the bytes."""
        return io.BytesIO(self.read())


@dataclass(frozen=True, slots=True)
class Remote(Held):
    """A file behind a URL that fsspec serves (``s3://``, ``zip://member::archive.zip``, ``memory://``, ...).

    Parameters
    ----------
    url : str
    name : str
        As the manifest has it.
    """

    url: str
    name: str

    def read(self) -> bytes:
        return _part_of(self.url)

    def written(self) -> str:
        return self.name

    def stamp(self) -> str:
        import fsspec

        system, path = fsspec.core.url_to_fs(self.url)
        return f"{self.name}\0{system.ukey(path)}"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Member(Held):
    """A file inside a tar archive that is not packed.

    Parameters
    ----------
    archive : str
        A local path, or a URL.
    name : str
    start, size : int
        Where its bytes lie.
    changed : float
        Its modification time, as the archive has it.
    """

    archive: str
    name: str
    start: int
    size: int
    changed: float

    def read(self) -> bytes:
        data = _part_of(self.archive, self.start, self.start + self.size) if self.size else b""
        if len(data) < self.size:
            raise OSError(f"the archive ends within it, after {len(data)} of {self.size} bytes")
        return data

    def written(self) -> str:
        return f"{self.archive.rpartition('/')[2]}\0{self.name}\0{self.size}\0{self.changed:.0f}"

    def stamp(self) -> str:
        if is_url(self.archive):
            return ""
        found = os.stat(self.archive)
        return f"{self.written()}\0{self.start}\0{found.st_size}\0{found.st_mtime_ns}"

    def __str__(self) -> str:
        return f"{self.archive.rpartition('/')[2]}/{self.name}"


@dataclass(frozen=True, slots=True)
class DatasetRow(Held):
    """A file inside a folder that ``datasets`` saved.

    Parameters
    ----------
    folder, column : str
    row : int
    place : int or None
        Within the row's list, where it is one.
    made : str
        The data set's fingerprint, which says that its contents are the same.
    """

    folder: str
    column: str
    row: int
    place: int | None
    made: str

    def read(self) -> bytes:
        value = _saved_column(self.folder, self.column, self.made)[self.row][self.column][0].as_py()
        return bytes_of(value if self.place is None else value[self.place], Path(self.folder))

    def written(self) -> str:
        return f"{self.made}\0{self}"

    def stamp(self) -> str:
        return self.written()

    def __str__(self) -> str:
        return f"{self.column}[{self.row}]" + ("" if self.place is None else f"[{self.place}]")


@dataclass(frozen=True, slots=True)
class Views:
    """Several files, or texts, of one item; one that is missing is an empty string."""

    parts: tuple[str | Held, ...]

    def written(self) -> str:
        """Say which they are."""
        return "\x1e".join(written(part) for part in self.parts)

    def __str__(self) -> str:
        return "; ".join(map(str, self.parts))


Cell = str | Held | Views
"""A text, a path relative to the manifest, or what is held elsewhere; nothing is an empty string."""


def written(cell: Cell | None) -> str:
    """Return what tells a cell from others as it is written."""
    if cell is None or isinstance(cell, str):
        return cell or ""
    return cell.written()


def is_empty(cell: Cell | None) -> bool:
    """Whether a cell names nothing."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


@functools.lru_cache(maxsize=4)
def _saved_column(folder: str, column: str, made: str) -> Any:
    import datasets

    return datasets.load_from_disk(folder).select_columns([column]).with_format("arrow")


def _part_of(place: str, start: int = 0, end: int | None = None) -> bytes:
    """Return bytes of a local file, or of a URL: these and no more, where opening it would read ahead."""
    if is_url(place):
        import fsspec

        system, path = fsspec.core.url_to_fs(place)
        return bytes(system.cat_file(path, start=start or None, end=end))
    with open(place, "rb") as file:
        file.seek(start)
        return file.read() if end is None else file.read(end - start)


def bytes_of(value: Any, root: Path) -> bytes:
    """Return a file's bytes of what a table holds: these, or Hugging Face's ``{"bytes", "path"}``."""
    if isinstance(value, dict):
        if value["bytes"] is None and value["path"]:
            return _read_file(root, value["path"])
        value = value["bytes"]
    if value is None:
        raise ValueError("empty cell: nothing there")
    return bytes(value)


def _read_file(root: Path, cell: str) -> bytes:
    """Return the bytes of a path that is relative to a folder, or of a URL."""
    return Remote(cell, cell).read() if is_url(cell) else (root / cell).read_bytes()


def located(cell: str, root: Path | str) -> str | Held:
    """Return where a path lies: one of this machine stays as it is, anything else is a URL.

    Parameters
    ----------
    cell : str
        A path, or a URL.
    root : Path or str
        The folder that paths are relative to; a string is a URL (see `folder_of`).

    Examples
    --------
    >>> located("a.png", Path("data"))
    'a.png'
    >>> located("a.png", "zip://images/{}::/data/all.zip").url
    'zip://images/a.png::/data/all.zip'
    """
    if is_empty(cell):
        return cell
    if is_url(cell):
        head, chained, archive = cell.rpartition("::")
        if chained and "://" not in archive and isinstance(root, Path):
            cell_url = f"{head}::{(root / archive).absolute()}"
        elif re.match(r"file:/", cell, re.IGNORECASE):
            return place_of(cell, "a cell")
        else:
            cell_url = place_of(cell, "a cell")
        return Remote(cell_url, cell)
    if isinstance(root, Path) or Path(cell).is_absolute():
        return cell
    return Remote(root.replace("{}", cell, 1), cell)


def folder_of(url: str) -> str:
    """Return the URL of what lies beside a file, with ``{}`` in place of its path.

    Examples
    --------
    >>> folder_of("s3://bucket/data/m.csv"), folder_of("zip://m.csv::/data/all.zip")
    ('s3://bucket/data/{}', 'zip://{}::/data/all.zip')
    """
    first, chained, rest = url.partition("::")
    start, slash, _ = first.rpartition("/")
    return f"{start}{slash}{{}}{chained}{rest}"
