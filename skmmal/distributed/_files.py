"""Files that hold rows of a pool: how many, and some of them, from a local path or a URL that fsspec serves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from skmmal import _paths
from skmmal._paths import is_url

__all__ = ["mark_of", "npy_rows", "npy_shape", "opened", "suffix_of"]

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def suffix_of(place: str) -> str:
    """What a place's name ends with, ``".npy"`` say; empty for a folder."""
    name = place.rstrip("/").rpartition("/")[2]
    return name[name.rindex(".") :].lower() if "." in name else ""


@contextmanager
def opened(place: str) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes.

    Raises
    ------
    ValueError
        There is no such file, or it cannot be read.
    """
    try:
        with _paths.opened(place) as file:
            yield file
    except OSError as error:
        raise ValueError(f"{place} cannot be read: {error.strerror or error}") from None


def mark_of(place: str) -> str:
    """What changes when a file is written again: its size and time, or what serves the URL says (S3: the ETag, too)."""
    if is_url(place):
        import fsspec

        system, path = fsspec.core.url_to_fs(place)
        return str(system.ukey(path))
    found = os.stat(place)
    return f"{found.st_size} {found.st_mtime_ns}"


def npy_shape(place: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of the matrix in an .npy file."""
    with opened(place) as file:
        shape, _, dtype = _header(place, file)
    return shape, dtype


def npy_rows(place: str, start: int, stop: int) -> np.ndarray:
    """Rows of an .npy file: mapped where it is local, else these alone are read."""
    if not is_url(place):
        with opened(place) as file:
            _header(place, file)
        return np.load(place, mmap_mode="r", allow_pickle=False)[start:stop]
    with opened(place) as file:
        shape, in_columns, dtype = _header(place, file)
        if in_columns:
            raise ValueError(f"{place} is stored by columns; write it with np.ascontiguousarray, or use a local file")
        row = int(np.prod(shape[1:])) * dtype.itemsize
        file.seek(row * start, 1)
        content = file.read(row * (stop - start))
    if len(content) != row * (stop - start):
        raise ValueError(f"{place} ends before row {stop}, of the {shape[0]} that its header tells of")
    return np.frombuffer(content, dtype=dtype).reshape(stop - start, *shape[1:])


def _header(place: str, file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        shape, in_columns, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError, EOFError) as error:
        raise ValueError(f"{place} is no .npy file that can be read ({error})") from None
    if len(shape) not in (2, 3) or dtype.kind not in "fiub":
        raise ValueError(f"{place} must hold a matrix of numbers, found shape {shape}, dtype {dtype}")
    return shape, in_columns, dtype
