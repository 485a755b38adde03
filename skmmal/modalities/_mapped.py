"""Memory-mapped files: pages that were read are given back, and what is pickled is where the values are."""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmmal._chunks import row_chunks

__all__ = ["MappedBlock", "MappedRows", "in_memory_bytes", "is_mapped", "opened", "packed", "released_chunks"]

_LEAVE: Any = getattr(mmap, "MADV_DONTNEED", None)
"""Advice that drops pages from the process, not from the system's cache; some systems have none."""


class MappedRows:
    """Rows of a matrix that lies in a memory-mapped file.

    Pages of a file that were read count as the process's memory until the system needs them. `release` gives those of
    some rows back at once; reading them again costs no more than a page fault while the file is in the system's cache.
    """

    def __init__(self, file: mmap.mmap, start: int, row_bytes: int, rows: np.ndarray | None = None) -> None:
        self._file, self._start, self._row_bytes, self._rows = file, start, row_bytes, rows

    @classmethod
    def of(cls, values: Any, rows: np.ndarray | None = None) -> MappedRows | None:
        """The rows of `values`, or some of them, or ``None`` where that is no matrix in a file, row by row."""
        made = getattr(values, "mapped", None)
        if isinstance(made, MappedRows):  # rows that are made of those in a file
            return made
        if _LEAVE is None or not isinstance(values, np.ndarray) or values.ndim != 2:
            return None
        source = _mapped_base(values)
        # a private copy ("c") would lose what was written to it
        if source is None or source.mode not in ("r", "r+") or values.strides[0] <= 0:
            return None
        file: Any = source.base
        start = _address(values) - _address(np.frombuffer(file, dtype=np.uint8))
        return cls(file, start, values.strides[0], rows)

    def release(self, rows: slice) -> None:
        """Give back the pages that hold nothing but these rows, and those between them."""
        if self._rows is not None:
            some = self._rows[rows]
            if not len(some):
                return
            rows = slice(int(some.min()), int(some.max()) + 1)
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


@dataclass(frozen=True)
class MappedBlock:
    """Where the values of an array lie in a file: what is pickled in place of them.

    Parameters
    ----------
    path : str
        Absolute.
    size : int
        Of the whole file, in bytes.
    dtype : dtype
    shape, strides : tuple of int
        Strides in bytes, as numpy's.
    offset : int
        Of the first value, from the beginning of the file.
    checksum : int
        CRC-32 of the first and the last row.
    """

    path: str
    size: int
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    checksum: int

    @classmethod
    def of(cls, values: Any) -> MappedBlock | None:
        """Where an array lies, or ``None`` where it is in memory, or in a file that other processes cannot open."""
        source = _mapped_base(values)
        # a private copy ("c") may differ from its file; a file that has gone can be read here alone
        if source is None or source.mode not in ("r", "r+") or source.filename is None:
            return None
        file: Any = source.base
        in_map = _address(values) - _address(np.frombuffer(file, dtype=np.uint8))
        path = os.path.abspath(source.filename)
        map_start = source.offset - source.offset % mmap.ALLOCATIONGRANULARITY
        try:
            size = os.stat(path).st_size
            found = cls(path, size, values.dtype, values.shape, values.strides, map_start + in_map, _checksum(values))
            found.open()  # another file may have taken its place since
        except (OSError, ValueError):
            return None
        return found

    def open(self) -> np.ndarray:
        """Map the file again, for reading.

        Returns
        -------
        ndarray

        Raises
        ------
        ValueError
            The file is gone, has another size, or holds other values.
        """
        try:
            size = os.stat(self.path).st_size
        except OSError as error:
            raise ValueError(
                f"{self.path}, in which the values of a mapped block of shape {self.shape} lie, cannot be opened here: "
                f"{error.strerror}. Mapped blocks are sent to workers by their path: keep them on a disk that all "
                "machines share, or load the block into memory first (np.array(block))"
            ) from None
        if size != self.size:
            raise ValueError(
                f"{self.path} had {self.size} bytes when a block of it was sent, and has {size} now: it was changed "
                "since; open the features again"
            )
        found = np.ndarray(
            self.shape,
            dtype=self.dtype,
            buffer=np.memmap(self.path, dtype=np.uint8, mode="r"),
            offset=self.offset,
            strides=self.strides,
        )
        if _checksum(found) != self.checksum:
            raise ValueError(
                f"{self.path} holds other values than when a block of it was sent: it was changed since; open the "
                "features again"
            )
        return found


def packed(values: Any) -> Any:
    """What is to be pickled of an array: where it lies, if it is mapped; else the array itself."""
    return MappedBlock.of(values) or values if isinstance(values, np.ndarray) else values


def opened(values: Any) -> Any:
    """What `packed` was made from."""
    return values.open() if isinstance(values, MappedBlock) else values


def in_memory_bytes(values: Any) -> int:
    """Bytes that an array takes, none where it is mapped; of rows that are made of another array, that one's."""
    source = getattr(values, "source", None)
    if isinstance(source, np.ndarray):
        values = source
    return 0 if isinstance(values, np.ndarray) and is_mapped(values) else int(getattr(values, "nbytes", 0))


def is_mapped(values: np.ndarray) -> bool:
    """Whether an array's values are in a memory-mapped file."""
    return _mapped_base(values) is not None


def _checksum(values: np.ndarray) -> int:
    return zlib.crc32(values[-1:].tobytes(), zlib.crc32(values[:1].tobytes()))


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
