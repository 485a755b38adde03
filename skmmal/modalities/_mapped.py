"""Memory-mapped files: give back the pages that were read, so that a pass over a file does not fill the memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from skmmal._chunks import row_chunks

__all__ = ["MappedRows", "is_mapped", "released_chunks"]

_LEAVE: Any = getattr(mmap, "MADV_DONTNEED", None)
"""Advice that drops pages from the process, not from the system's cache; some systems have none."""


class MappedRows:
    """Rows of a matrix that lies in a memory-mapped file.

    Pages of a file that were read count as the process's memory until the system needs them. `release` gives those of
    some rows back at once; reading them again costs no more than a page fault while the file is in the system's cache.
    """

    def __init__(self, file: mmap.mmap, start: int, row_bytes: int) -> None:
        self._file, self._start, self._row_bytes = file, start, row_bytes

    @classmethod
    def of(cls, values: Any) -> MappedRows | None:
        """The rows of `values`, or ``None`` where that is no matrix in a file, row by row."""
        if _LEAVE is None or not isinstance(values, np.ndarray) or values.ndim != 2:
            return None
        source = _mapped_base(values)
        # a private copy ("c") would lose what was written to it
        if source is None or source.mode not in ("r", "r+") or values.strides[0] <= 0:
            return None
        file: Any = source.base
        start = _address(values) - _address(np.frombuffer(file, dtype=np.uint8))
        return cls(file, start, values.strides[0])

    def release(self, rows: slice) -> None:
        """Give back the pages that hold nothing but these rows."""
        first = self._start + rows.start * self._row_bytes
        last = self._start + rows.stop * self._row_bytes
        begin = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE
        # the last row of some columns ends before the next would begin, and so may the file
        end = min(last, len(self._file)) // mmap.PAGESIZE * mmap.PAGESIZE
        if end > begin:
            self._file.madvise(_LEAVE, begin, end - begin)


def released_chunks(blocks: Sequence[np.ndarray], n_columns: int) -> Iterator[slice]:
    """`row_chunks` over blocks that share their rows; of those in files, a chunk is given back before the next."""
    mapped = [rows for block in blocks if (rows := MappedRows.of(block)) is not None]
    for chunk in row_chunks(len(blocks[0]), n_columns):
        yield chunk
        for rows in mapped:
            rows.release(chunk)


def is_mapped(values: np.ndarray) -> bool:
    """Whether an array's values are in a memory-mapped file."""
    return _mapped_base(values) is not None


def _mapped_base(values: np.ndarray) -> np.memmap | None:
    """The memory map that an array is a view of, or ``None``."""
    source: Any = values
    while isinstance(source, np.ndarray):
        if isinstance(source, np.memmap) and isinstance(source.base, mmap.mmap):
            return source
        source = source.base
    return None


def _address(values: np.ndarray) -> int:
    return values.__array_interface__["data"][0]
