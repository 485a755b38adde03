"""What each row of a modality was made of, so that a job on a changed manifest knows the rows that are still right.

``NAME.inputs.npy`` holds a number for each row that stands for the contents of its text or file, 0 where there is
none. ``.NAME.stamps.npy`` holds one for the path, size and modification time of its file: it spares the look at
contents, says nothing of the features and differs from machine to machine. ``NAME.progress/changed.json`` lists rows
that are to be made anew; a modality with such a list is not finished.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from skmmal._store import dumps, sweep, write_file
from skmmal.features._files import CacheError, allocate, npy_offset, open_npy, read_json
from skmmal.features._ranges import progress_folder, write_range

UNKNOWN = 0
"""The number of a row that was not made yet, or whose file could not be read."""

_DTYPE = np.dtype(np.uint64)


class RowInputs:
    """The two files of numbers of a modality.

    Parameters
    ----------
    folder : Path
        The cache.
    name : str
        The modality.
    n_samples : int
    """

    def __init__(self, folder: Path, name: str, n_samples: int) -> None:
        self.n_samples = n_samples
        self.paths = inputs_files(folder, name)

    def make(self) -> None:
        """Make the files that are not there; whoever calls it holds the folder's mutex."""
        for path in self.paths:
            sweep(path.parent, path.name)
            if not path.exists():
                allocate(path, (self.n_samples,), _DTYPE, UNKNOWN)

    @property
    def exist(self) -> bool:
        """Whether it was noted what the rows were made of."""
        return self.paths[0].exists()

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of contents and the stamps, those of a file that is not there unknown."""
        found = []
        for path in self.paths:
            try:
                found.append(np.array(open_npy(path, (self.n_samples,), _DTYPE)))
            except CacheError:
                found.append(np.full(self.n_samples, UNKNOWN, _DTYPE))
        return found[0], found[1]

    def write(self, start: int, contents: np.ndarray, stamps: np.ndarray) -> None:
        """Overwrite the numbers of rows from `start` on."""
        for path, values in zip(self.paths, (contents, stamps), strict=True):
            write_range(path, npy_offset(path), start, np.asarray(values, _DTYPE))


def inputs_files(folder: Path, name: str) -> tuple[Path, Path]:
    """Where it is noted what a modality's rows were made of: contents, and stamps."""
    return folder / f"{name}.inputs.npy", folder / f".{name}.stamps.npy"


def changed_rows(folder: Path, name: str) -> list[int]:
    """Rows of a modality that are to be made anew although they are there."""
    path = _changed_file(folder, name)
    if not path.exists():
        return []
    content = read_json(path)
    if not isinstance(content, list) or not all(type(row) is int for row in content):
        raise CacheError(f"{path} is not a list of rows; it is damaged or foreign")
    return content


def note_changed(folder: Path, name: str, rows: Iterable[int]) -> None:
    """Remember rows to be made anew; whoever calls it holds the folder's mutex."""
    path, rows = _changed_file(folder, name), sorted({int(row) for row in rows})
    sweep(path.parent, path.name)
    if rows:
        path.parent.mkdir(exist_ok=True)
        write_file(path, dumps(rows))
    else:
        path.unlink(missing_ok=True)


def _changed_file(folder: Path, name: str) -> Path:
    return progress_folder(folder, name) / "changed.json"
