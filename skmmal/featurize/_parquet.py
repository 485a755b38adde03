"""Parquet files as manifests; files that lie in them are read when their turn comes, piece by piece."""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skmmal._paths import opened
from skmmal.featurize._cells import Held, bytes_of
from skmmal.featurize._tables import Row, file_cells, places_of

_ROWS = 8192
_BYTES = 2**24
"""What is in memory at once, beside the page of the Parquet file that it lies in: so many rows, or bytes."""


@dataclass(frozen=True, slots=True)
class ParquetRow(Held):
    """A file inside a Parquet file.

    Parameters
    ----------
    table : str
        The Parquet file: a local path, or a URL.
    column : str
    row : int
    place : int or None
        Within the row's list, where it is one.
    sha256 : str
        Of its bytes, which the manifest's hash has seen.
    name : str
        That it had.
    """

    table: str
    column: str
    row: int
    place: int | None
    sha256: str
    name: str = ""

    def read(self) -> bytes:
        import pyarrow as pa

        for again in (False, True):
            # rows are read one after another: each process, and each thread, has its own place in the column
            key = (self.table, self.column, os.getpid(), threading.get_ident())
            try:
                value = _cursor(*key).value(self.row)
                data = bytes_of(value if self.place is None else value[self.place], Path())
                if hashlib.sha256(data).hexdigest() == self.sha256:
                    return data
            except (pa.ArrowException, OSError, LookupError, TypeError):  # what was open may be gone
                if again:
                    raise
            _cursor.cache_clear()
        raise OSError(f"{self.table} has changed since its rows were listed")

    def written(self) -> str:
        return self.sha256 + "\0"

    def stamp(self) -> str:
        return self.written()

    def __str__(self) -> str:
        return self.name or f"{self.column}[{self.row}]" + ("" if self.place is None else f"[{self.place}]")


def is_parquet(place: Path | str) -> bool:
    """Whether a file that is there begins as Parquet does."""
    with opened(str(place)) as file:
        return file.read(4) == b"PAR1"


def read_parquet(place: Path | str, id_column: str, column: str, files: bool) -> Iterator[Row]:
    """Yield the rows of a Parquet file; files stay in it until they are read.

    Parameters
    ----------
    place : Path or str
        A path or a URL.
    id_column, column : str
    files : bool
        Whether the column holds files: bytes, Hugging Face's ``{"bytes", "path"}``, paths, or lists of them.
    """
    import pyarrow as pa
    from pyarrow import parquet

    start = 0

    def held(within: int, at: int | None, value: Any) -> Any:
        data, name = (value["bytes"], value["path"].as_py()) if pa.types.is_struct(value.type) else (value, "")
        if not data.is_valid:
            return value.as_py()
        digest = hashlib.sha256(data.as_buffer()).hexdigest()
        return ParquetRow(str(place), title, start + within, at, digest, name or "")

    try:
        with opened(str(place)) as source:
            file = _file(parquet, source)
            names = file.schema_arrow.names
            identifiers, title = (names[at] for at in places_of(place, names, (id_column, column)))
            for batch in itertools.chain.from_iterable(
                _batches(file, group, (identifiers, title)) for group in range(file.num_row_groups)
            ):
                cells = file_cells(pa, batch.column(title), held if files else None)
                for identifier, cell in zip(batch.column(identifiers).to_pylist(), cells, strict=True):
                    yield Row(None, identifier, cell)
                start += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{place} cannot be read as a table: {error}") from error


def _file(parquet: Any, source: Any) -> Any:
    # without the buffer, or read ahead, the whole of a column's row group is in memory: often the whole file
    return parquet.ParquetFile(source, pre_buffer=False, buffer_size=2**20)


def _batches(file: Any, group: int, columns: tuple[str, ...]) -> Iterator[Any]:
    """Return batches of a row group, small enough for the memory."""
    about = file.metadata.row_group(group)
    parts = (about.column(at) for at in range(about.num_columns))
    size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema.partition(".")[0] in columns)
    n_rows = max(1, min(_ROWS, _BYTES * about.num_rows // max(1, size)))
    found: Iterator[Any] = file.iter_batches(
        n_rows, row_groups=[group], columns=list(dict.fromkeys(columns)), use_threads=False
    )
    return found


class _Cursor:
    """A place in a column of a Parquet file, which moves on with the rows that are asked for.

    Parameters
    ----------
    table, column : str
    """

    def __init__(self, table: str, column: str) -> None:
        from pyarrow import parquet

        self.column, self._open = column, ExitStack()
        self.file = _file(parquet, self._open.enter_context(opened(table)))
        sizes = (self.file.metadata.row_group(group).num_rows for group in range(self.file.num_row_groups))
        self.first_of = list(itertools.accumulate(sizes, initial=0))
        self.group, self.start, self.stop = -1, 0, 0

    def value(self, row: int) -> Any:
        """Return what stands in a row."""
        group = bisect.bisect_right(self.first_of, row) - 1
        if group != self.group or row < self.start:
            self.rest = _batches(self.file, group, (self.column,))
            self.group, self.start, self.stop = group, self.first_of[group], self.first_of[group]
        while row >= self.stop:
            self.batch = next(self.rest)
            self.start, self.stop = self.stop, self.stop + len(self.batch)
        return self.batch.column(0)[row - self.start].as_py()

    def __del__(self) -> None:
        self._open.close()


@functools.lru_cache(maxsize=64)
def _cursor(table: str, column: str, process: int, thread: int) -> _Cursor:
    return _Cursor(table, column)
