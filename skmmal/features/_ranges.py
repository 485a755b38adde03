"""Which rows of a modality are written: logical ranges, and the markers that vouch for them.

A range is done when its marker says so and the checksum in the marker still holds, never because a file exists
or looks full. While rows are being written the markers are small files in ``NAME.progress/``; once every range
is done they become one file, ``NAME.ranges.json``.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skmmal._store import dumps, entries, fsync_folder, sweep, write_file
from skmmal.features._files import CacheError, inside, read_json

Marker = dict[str, Any]

MEASURED = ("seconds",)
"""What a marker measures rather than determines: left out of the final file, which is reproducible."""

RANGE_BYTES = 2**25
"""Size of a range where the caller does not say: small enough to redo, large enough to write at full speed."""


@dataclass(frozen=True)
class Range:
    """Rows ``start`` to ``stop`` of a modality, the unit in which rows are written and vouched for.

    Parameters
    ----------
    index : int
        Number of the range.
    start, stop : int
        Its first row, and the first row after it.

    Examples
    --------
    >>> from skmmal.features import Range
    >>> rows = Range(index=1, start=256, stop=300)
    >>> rows.stop - rows.start
    44
    """

    index: int
    start: int
    stop: int


def default_range_rows(row_bytes: int) -> int:
    """Rows in a range of `RANGE_BYTES`."""
    return max(1, RANGE_BYTES // max(1, row_bytes))


def all_ranges(n_samples: int, range_rows: int) -> list[Range]:
    """Cut `n_samples` rows into ranges."""
    starts = range(0, n_samples, range_rows)
    return [Range(index, start, min(start + range_rows, n_samples)) for index, start in enumerate(starts)]


def shard_ranges(ranges: list[Range], shard: tuple[int, int]) -> list[Range]:
    """Return the contiguous part of `ranges` that shard ``(i, n)`` works on."""
    index, count = shard
    return ranges[index * len(ranges) // count : (index + 1) * len(ranges) // count]


def checksum(values: np.ndarray, present: np.ndarray) -> int:
    """Return the crc32 of a range's stored bytes and of its presence mask."""
    return zlib.crc32(np.ascontiguousarray(present).data, zlib.crc32(np.ascontiguousarray(values).data.cast("B")))


def progress_folder(folder: Path, name: str) -> Path:
    """Where a modality's markers lie while it is being written."""
    return folder / f"{name}.progress"


def ranges_file(folder: Path, name: str) -> Path:
    """Where a modality's markers lie once it is complete."""
    return folder / f"{name}.ranges.json"


def marker_file(folder: Path, name: str, index: int) -> Path:
    """Return the marker of one range."""
    return progress_folder(folder, name) / f"{index:08d}.json"


def read_markers(folder: Path, name: str, ranges: list[Range]) -> dict[int, Marker]:
    """Read a modality's markers; one that does not fit its range counts as not there."""
    recent: dict[int, Marker] = {}
    # first the folder, then the file that replaces it: a reader never falls between the two
    for path in entries(progress_folder(folder, name), "*.json"):
        with suppress(CacheError, ValueError):  # a damaged marker vouches for nothing
            recent[int(path.stem)] = read_json(inside(folder, f"{name}.progress/{path.name}", "the format"))
    found: dict[int, Marker] = {}
    merged = inside(folder, ranges_file(folder, name).name, "the format")
    if merged.exists():
        content = read_json(merged)
        if not isinstance(content, dict) or not isinstance(content.get("ranges"), list):
            raise CacheError(f"{ranges_file(folder, name)} is not a list of ranges; it is damaged or foreign")
        found.update((marker.get("range", -1), marker) for marker in content["ranges"] if isinstance(marker, dict))
    found.update(recent)
    return {entry.index: found[entry.index] for entry in ranges if _fits(found.get(entry.index), entry)}


def vouched(folder: Path, name: str, values: Path, markers: dict[int, Marker], n_ranges: int) -> list[int] | None:
    """Checksums of all ranges of a modality, if they are known of the values as they are.

    ``None`` where a range has none, or where the file of the values was written after them.
    """
    merged = ranges_file(folder, name)
    try:
        is_newer = values.stat().st_mtime_ns > merged.stat().st_mtime_ns
    except OSError:
        return None
    if is_newer or len(markers) < n_ranges:
        return None
    return [markers[index]["crc32"] for index in sorted(markers)]


def _fits(marker: Any, entry: Range) -> bool:
    return (
        isinstance(marker, dict)
        and all(
            marker.get(key) == value
            for key, value in (("range", entry.index), ("start", entry.start), ("stop", entry.stop))
        )
        and isinstance(marker.get("crc32"), int)
    )


def recorded(markers: dict[int, Marker], what: str) -> Iterator[dict[str, Any]]:
    """Return the ``"errors"`` or ``"remarks"`` that markers record, in the order of the rows."""
    for index in sorted(markers):
        yield from markers[index].get(what, [])


def write_range(path: Path, offset: int, start: int, values: np.ndarray) -> None:
    """Overwrite rows of an .npy file and flush them to disk.

    An ordinary write: through a memory map a full disk would end the process instead of raising an error.
    """
    with open(path, "r+b") as file:
        file.seek(offset + start * values[:1].nbytes)
        file.write(np.ascontiguousarray(values).data.cast("B"))
        file.flush()
        os.fsync(file.fileno())


def merge(folder: Path, name: str, markers: dict[int, Marker]) -> None:
    """Write markers into one reproducible file."""
    content = {
        "ranges": [
            {key: value for key, value in markers[index].items() if key not in MEASURED} for index in sorted(markers)
        ]
    }
    path = ranges_file(folder, name)
    sweep(folder, path.name)
    if not path.exists() or read_json(path) != content:
        write_file(path, dumps(content))


def finish(folder: Path, name: str, markers: dict[int, Marker]) -> None:
    """Merge a complete modality's markers. Killed half-way, it is done again."""
    merge(folder, name, markers)
    shutil.rmtree(progress_folder(folder, name))
    fsync_folder(folder)


def write_remarks(folder: Path, n_samples: int, modalities: dict[str, dict[str, Any]]) -> None:
    """Write ``errors.jsonl`` and ``notes.jsonl`` anew from the markers: they are the truth, these are for reading."""
    lines: dict[str, list[str]] = {"errors": [], "remarks": []}
    for name, entry in sorted(modalities.items()):
        if "range_rows" in entry:
            markers = read_markers(folder, name, all_ranges(n_samples, entry["range_rows"]))
            for what in lines:
                records = ({"modality": name, **record} for record in recorded(markers, what))
                lines[what] += [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    for what, path in (("errors", folder / "errors.jsonl"), ("remarks", folder / "notes.jsonl")):
        sweep(folder, path.name)
        if lines[what]:
            write_file(path, "".join(lines[what]).encode())
        else:
            path.unlink(missing_ok=True)
