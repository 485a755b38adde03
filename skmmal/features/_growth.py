"""A cache with more rows: those that are there keep their places and what vouches for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from skmmal._store import digest, dumps, new_folder, write_file
from skmmal.features._cache import CacheFiles
from skmmal.features._files import CacheError, allocate, empty_value, stored_dtype
from skmmal.features._inputs import UNKNOWN, changed_rows, inputs_files, note_changed
from skmmal.features._ranges import all_ranges, merge, write_remarks


def grow(
    files: CacheFiles,
    ids: bytes,
    check_old: Callable[[Path], object],
    finish: Callable[[Path], object] | None = None,
) -> None:
    """Put a cache with further rows, which are not written yet, in the place of one; at every moment there is one.

    A range that was cut short by the end of the cache is no longer vouched for: it will be written again, whole.

    Parameters
    ----------
    files : CacheFiles
        The cache.
    ids : bytes
        The content of ``ids.txt``: the ids that are there, then the new ones.
    check_old : callable
        Raises where the cache must not be replaced now.
    finish : callable, optional
        Fills the new folder before it takes its place.
    """
    for name in files.manifest.modalities:
        if "range_rows" not in files.entry(name):
            raise CacheError(
                f"modality {name!r} in {files.path} was made by other means, without the checksums of its rows: it "
                "cannot grow; write the cache anew (FeatureStore.write)"
            )
    n_samples = ids.count(b"\n")
    with new_folder(files.path, check_old) as folder:
        write_file(folder / "ids.txt", ids)
        content = {
            **files.manifest.content,
            "n_samples": n_samples,
            "ids_sha256": digest(ids),
            "modalities": {name: _grown(files, name, n_samples, folder) for name in files.manifest.modalities},
        }
        write_file(folder / "manifest.json", dumps(content))
        write_remarks(folder, n_samples, content["modalities"])
        if finish is not None:
            finish(folder)


def _grown(files: CacheFiles, name: str, n_samples: int, folder: Path) -> dict[str, Any]:
    """Write a modality's files with room for more rows; return its entry."""
    entry = files.entry(name)
    shape, dtype = (n_samples, *entry["shape"][1:]), stored_dtype(entry["dtype"])
    allocate(folder / f"{name}.npy", shape, dtype, empty_value(entry["dtype"]), files.values(name))
    allocate(folder / f"{name}.present.npy", shape[:1], np.dtype(bool), False, files.present(name))
    ends = {part.index: part.stop for part in all_ranges(n_samples, entry["range_rows"])}
    kept = {index: marker for index, marker in files.markers(name).items() if marker["stop"] == ends[index]}
    merge(folder, name, kept)
    for old, new in zip(inputs_files(files.path, name), inputs_files(folder, name), strict=True):
        if old.exists():
            allocate(new, shape[:1], np.dtype(np.uint64), UNKNOWN, np.load(old, mmap_mode="r", allow_pickle=False))
    note_changed(folder, name, changed_rows(files.path, name))
    return {**entry, "file": f"{name}.npy", "present": f"{name}.present.npy", "shape": list(shape)}
