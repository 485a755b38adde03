"""What an item is made of, as a number: equal numbers, equal contents. Jobs tell by it which rows are still right."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

from skmmal.featurize._cells import Cell, Held, Views, is_empty

NONE = 0
"""The number of an item that is empty, or cannot be read."""

WHOLE_BYTES = 2**26
"""Larger files go by their size and samples of their contents: videos are not read twice."""

_SAMPLE = 2**20
_SAMPLES = 16


def content_number(cell: Cell, raw: object = None, root: Path | None = None) -> int:
    """Return the number of a cell's contents.

    Parameters
    ----------
    cell : str, Held or Views
    raw : object, optional
        What reading it gave: its bytes spare a second look.
    root : Path, optional
        The folder that the cell is relative to, if it names a file.
    """
    if root is None and type(cell) is str:  # a text, of which there may be millions
        return _number(cell.encode()) if cell.strip() else NONE
    if isinstance(cell, Views):
        whole = raw if isinstance(raw, list) else [None] * len(cell.parts)
        numbers = [content_number(part, data, root) for part, data in zip(cell.parts, whole, strict=True)]
        return _number("\0".join(map(str, numbers)).encode()) if any(numbers) else NONE
    try:
        if is_empty(cell):
            return NONE
        if isinstance(cell, Held):
            return _data_number(raw if isinstance(raw, bytes | io.BytesIO) else cell.read())
        if isinstance(raw, bytes):
            return _data_number(raw)
        return NONE if root is None else _path_number(root / cell)
    except Exception:  # a file that is not there; and what stores behind URLs raise has no common kind
        return NONE


def stamp_number(cell: Cell, root: Path | None) -> int:
    """Return the number of a file's path, size and modification time; 0 where they say nothing of its contents."""
    if isinstance(cell, Views):
        numbers = [stamp_number(part, root) for part in cell.parts if not is_empty(part)]
        return _number("\0".join(map(str, numbers)).encode()) if numbers and all(numbers) else NONE
    if root is None or is_empty(cell):
        return NONE
    if isinstance(cell, Held):
        try:
            return _number(cell.stamp().encode())
        except Exception:
            return NONE
    try:
        found = os.stat(root / cell)
    except OSError:
        return NONE
    if not os.path.isfile(root / cell):  # a folder does not change with what its files hold
        return NONE
    return _number(f"{cell}\0{found.st_size}\0{found.st_mtime_ns}".encode())


def _path_number(path: Path) -> int:
    if path.is_dir():
        inside = sorted(entry for entry in path.rglob("*") if entry.is_file())
        lines = (f"{entry.relative_to(path).as_posix()}\0{_path_number(entry)}" for entry in inside)
        return _number("\n".join(lines).encode())
    size = path.stat().st_size
    if size <= WHOLE_BYTES:
        return _number(path.read_bytes())
    with open(path, "rb") as file:
        parts = [str(size).encode()]
        for start in _starts(size):
            file.seek(start)
            parts.append(file.read(_SAMPLE))
        return _number(b"".join(parts))


def _data_number(data: bytes | io.BytesIO) -> int:
    whole = data.getvalue() if isinstance(data, io.BytesIO) else data
    return _number(whole if len(whole) <= WHOLE_BYTES else _samples_of(whole))


def _samples_of(data: bytes) -> bytes:
    parts = [str(len(data)).encode(), *(data[start : start + _SAMPLE] for start in _starts(len(data)))]
    return b"".join(parts)


def _starts(size: int) -> list[int]:
    return [(size - _SAMPLE) * k // (_SAMPLES - 1) for k in range(_SAMPLES)]


def _number(data: bytes) -> int:
    if not data:
        return NONE
    return max(1, int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little"))
