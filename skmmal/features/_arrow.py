"""Parquet, and folders that ``datasets`` saved: columns of vectors are read some rows at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skmmal.features._files import CacheError, read_json

__all__ = ["ArrowTable", "on_disk"]

_ROWS = 256
"""Rows that are in memory at a time, beside the group of rows of a Parquet file that they are in."""


def on_disk(shape: tuple[int, ...], dtype: Any, room: Path) -> np.ndarray:
    """An array whose values lie in a file that has no name, and is gone with the array.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
    room : Path
        Where there is to be a folder: the file is made in the first folder that is there, going up from it.

    Returns
    -------
    ndarray
    """
    if 0 in shape:
        return np.empty(shape, dtype)
    folder = next(each for each in (room, *room.absolute().parents) if each.is_dir())
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype, "w+", shape=shape)


class ArrowTable:
    """The columns of a Parquet file, of a folder of such files, or of a folder that ``datasets`` saved.

    Parameters
    ----------
    path : Path

    Raises
    ------
    CacheError
        It is neither.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = _open(path)
        self.column_names: list[str] = list(self._data.schema.names)

    def holds_vectors(self, name: str) -> bool:
        """Whether the rows of a column are lists of numbers, or lists of these."""
        import pyarrow as pa

        kind = self._data.schema.field(name).type
        kind = getattr(kind, "storage_type", kind)
        while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            kind = kind.value_type
            if pa.types.is_floating(kind) or pa.types.is_integer(kind):
                return True
        return False

    def plain(self, names: Sequence[str]) -> Any:
        """Some columns as an Arrow table, in memory."""
        import pyarrow as pa

        return self._data.select(names) if isinstance(self._data, pa.Table) else self._data.to_table(list(names))

    def ids(self, name: str) -> list[str] | None:
        """A column as texts; ``None`` where it is not there."""
        if name not in self.column_names:
            return None
        return [str(value) for value in self.plain([name])[name].to_pylist()]

    def column(self, name: str, room: Path) -> np.ndarray:
        """A column as an array on disk; a null row is missing, that is NaN.

        Parameters
        ----------
        name : str
        room : Path
            As of `on_disk`.

        Returns
        -------
        ndarray
        """
        if name not in self.column_names:
            raise KeyError(f"{self._path} has no column {name!r}; it has {self.column_names}")
        n_rows, shapes, dtypes = 0, set(), set()
        for rows in self._rows(name):
            n_rows += len(rows)
            shapes |= {row.shape for row in rows if row is not None}
            dtypes |= {np.dtype(np.float16) if row is None else row.dtype for row in rows}
            if len(shapes) > 1:
                break
        if len(shapes) != 1:
            raise CacheError(f"{self._path}: column {name!r} has rows of different shapes: {sorted(shapes)[:3]}")
        (shape,) = shapes
        found, start = on_disk((n_rows, *shape), np.result_type(*dtypes), room), 0
        for rows in self._rows(name):
            for at, row in enumerate(rows, start):
                found[at] = np.nan if row is None else row
            start += len(rows)
        return found

    def _rows(self, name: str) -> Iterator[list[np.ndarray | None]]:
        """Rows of a column, some at a time."""
        for table in self._groups(name):
            for batch in table.to_batches(max_chunksize=_ROWS):
                values = getattr(batch.column(0), "storage", batch.column(0)).to_numpy(zero_copy_only=False)
                yield [None if row is None else _dense(np.asarray(row)) for row in values]

    def _groups(self, name: str) -> Iterator[Any]:
        """Tables of a column: of a Parquet file, one for each of its groups of rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if isinstance(self._data, pa.Table):  # mapped
            yield self._data.select([name])
            return
        for place in self._data.files:  # a scan of the data set would read whole files ahead
            with pq.ParquetFile(place) as file:
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group, columns=[name])


def _dense(row: np.ndarray) -> np.ndarray:
    """Turn lists of lists, which Arrow gives as arrays of arrays, into one array."""
    return np.stack([_dense(part) for part in row]) if row.dtype == object else row


def _open(path: Path) -> Any:
    """A table whose values lie in mapped files, or a set of Parquet files."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    if (path / "state.json").exists():
        state = read_json(path / "state.json")
        tables = []
        for entry in state["_data_files"]:
            with pa.memory_map(str(path / Path(entry["filename"]).name)) as source:
                tables.append(pa.ipc.open_stream(source).read_all())
        if state.get("_indices_data_files"):
            raise CacheError(f"{path} was saved with a row selection; call flatten_indices() before save_to_disk")
        return pa.concat_tables(tables)
    if (path / "dataset_dict.json").exists():
        raise CacheError(f"{path} holds several splits; name one of them, such as {path / 'train'}")
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        return ds.dataset(path, format="parquet", partitioning="hive", exclude_invalid_files=False)
    except pa.ArrowInvalid as error:
        raise CacheError(
            f"{path} is none of .npy, .npz, .safetensors, Parquet or a saved datasets folder ({error})"
        ) from None
