"""The resumable writer: rows of one modality, range by range, safe to kill at any moment."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from numbers import Integral
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skmmal._arrays import numeric
from skmmal._atomic import explained, fsync_folder
from skmmal.features._files import (
    CacheError,
    allocate,
    decode_block,
    empty_value,
    encode_block,
    lock_file,
    mutex,
    npy_offset,
    open_npy,
    read_json,
    stored_dtype,
    sweep,
    write_json,
)
from skmmal.features._manifest import Manifest, Width
from skmmal.features._ranges import (
    Marker,
    Range,
    all_ranges,
    checksum,
    default_range_rows,
    errors_of,
    marker_file,
    progress_folder,
    ranges_file,
    read_markers,
    remarks_of,
    shard_ranges,
    write_lines,
    write_range,
)

MEASURED = ("seconds",)
"""What a marker measures rather than determines: left out of the final file, which is reproducible."""

_open_locks: set[BinaryIO] = set()
"""Locks of this process. A forked child inherits them and would keep them locked after this process has died."""


def _close_inherited_locks() -> None:
    for file in list(_open_locks):
        file.close()
    _open_locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited_locks)


class CacheInUseError(RuntimeError):
    """Another process is writing the same rows."""


class FingerprintError(CacheError):
    """A modality was made by a different job than the one that wants to continue it."""


def difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Say, one line each, where two fingerprints differ."""
    lines = []
    for key in sorted({*old, *new}):
        before, after = old.get(key, "(absent)"), new.get(key, "(absent)")
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += difference(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: the cache has {before!r}, this job {after!r}")
    return lines


class RowWriter:
    """Writes the rows of one modality, range by range. Made by `FeatureStore.writer`.

    A range is committed in this order: values, flush; presence, flush; marker, flush, rename. A kill between any
    two steps leaves a range without a valid marker, which the next writer hands out again.

    Attributes
    ----------
    ranges : list of Range
        The ranges of this writer's shard.
    width : int or (int, int)
        Columns of a row, or ``(tokens, dim)``.
    dtype : str
        Dtype of the stored values.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from skmmal.features import FeatureStore
    >>> store = FeatureStore.create(tempfile.mkdtemp() + "/cache", ids=["a", "b", "c"])
    >>> with store.writer("image", 2, dtype="float32", range_rows=2) as writer:
    ...     for rows in writer.pending():
    ...         writer.commit(rows, np.ones((rows.stop - rows.start, 2)))
    >>> FeatureStore.open(store.path).load()
    MultimodalArray(3 rows: image 2)
    """

    def __init__(
        self,
        manifest: Manifest,
        name: str,
        width: Width,
        *,
        dtype: str = "float16",
        fingerprint: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        range_rows: int | None = None,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        self.folder, self.name = manifest.folder, name
        self.width, self.dtype = check_width(width), check_dtype(dtype)
        self._stored = stored_dtype(dtype)
        if range_rows is not None:
            check_count("range_rows", range_rows)
        check_shard(shard)
        plain("fingerprint", fingerprint)
        plain("metadata", metadata)
        self.shape = (manifest.n_samples, *(width if isinstance(width, tuple) else (width,)))
        self._row_bytes = int(np.prod(self.shape[1:])) * self._stored.itemsize
        self._lock: tuple[Path, BinaryIO] | None = None
        with mutex(self.folder):
            entry = self._entry(manifest, fingerprint, metadata, range_rows)
            self._file, self._present_file = self.folder / entry["file"], self.folder / entry["present"]
            self._all = all_ranges(manifest.n_samples, entry["range_rows"])
            self.ranges = shard_ranges(self._all, shard)
            if self.name not in manifest.modalities:
                self._refuse_foreign()
            self._take_lock()
            try:
                self._allocate(manifest, entry)
            except BaseException:
                self._release_lock()
                raise
        try:
            self._offset, self._present_offset = npy_offset(self._file), npy_offset(self._present_file)
            self._values = open_npy(self._file, self.shape, self._stored)
            self._present = open_npy(self._present_file, self.shape[:1], np.dtype(bool))
            markers = read_markers(self.folder, name, self._all)
            self._done = {r.index: markers[r.index] for r in self.ranges if self._holds(r, markers.get(r.index))}
        except BaseException:
            self._release_lock()
            raise

    # ------------------------------------------------------------------------------------------------- opening

    def _entry(
        self,
        manifest: Manifest,
        fingerprint: Mapping[str, Any] | None,
        metadata: Mapping[str, Any] | None,
        range_rows: int | None,
    ) -> dict[str, Any]:
        """Return this modality's entry of the manifest: the one there, if it is of the same job, or a new one."""
        manifest.reload()
        # what is compared must be what JSON gives back: tuples become lists
        fingerprint = json.loads(json.dumps(fingerprint or {}))
        entry = manifest.modalities.get(self.name)
        if entry is None:
            similar = [other for other in manifest.modalities if other.lower() == self.name.lower()]
            if similar:  # on some systems their files would be the same
                raise ValueError(f"modality {self.name!r} differs from {similar[0]!r} in case only")
            return {
                "file": f"{self.name}.npy",
                "present": f"{self.name}.present.npy",
                "shape": list(self.shape),
                "dtype": self.dtype,
                **(metadata or {}),
                "range_rows": int(range_rows or default_range_rows(self._row_bytes)),
                "fingerprint": fingerprint,
            }
        if "range_rows" not in entry:
            raise FileExistsError(f"modality {self.name!r} is in {self.folder} already, written by something else")
        found = {"shape": list(entry["shape"]), "dtype": entry["dtype"], **entry.get("fingerprint", {})}
        lines = difference(found, {"shape": list(self.shape), "dtype": self.dtype, **fingerprint})
        if lines:
            raise FingerprintError(
                f"modality {self.name!r} in {self.folder} was made by a different job, so this one cannot continue "
                "it; use another folder or another --modality name. The difference:\n  " + "\n  ".join(lines)
            )
        return entry

    def _refuse_foreign(self) -> None:
        """Never overwrite a file that no job of ours began: such a job leaves its progress folder."""
        if progress_folder(self.folder, self.name).exists():
            return
        for path in (self._file, self._present_file):
            if path.exists():
                raise FileExistsError(f"{path} exists, but the manifest does not know it; move it away")

    def _allocate(self, manifest: Manifest, entry: dict[str, Any]) -> None:
        """Create the files, filled with NaN and absent. The manifest names them once they are whole."""
        new = self.name not in manifest.modalities
        for path in (self._file, self._present_file):
            sweep(self.folder, path.name)
            if new:
                path.unlink(missing_ok=True)
        missing = [path for path in (self._file, self._present_file) if not path.exists()]
        if self._file in missing:
            need = self.shape[0] * self._row_bytes
            free = shutil.disk_usage(self.folder).free
            if need > free:
                raise OSError(
                    errno.ENOSPC,
                    f"the disk is full: {self.name} needs {need / 2**30:.2f} GiB, {free / 2**30:.2f} are free",
                    str(self.folder),
                )
        if self._file in missing:
            allocate(self._file, self.shape, self._stored, empty_value(self.dtype))
        if self._present_file in missing:
            allocate(self._present_file, self.shape[:1], np.dtype(bool), False)
        if new:
            manifest.set_entry(self.name, entry)

    def _holds(self, rows: Range, marker: Marker | None) -> bool:
        part = slice(rows.start, rows.stop)
        return marker is not None and checksum(self._values[part], self._present[part]) == marker["crc32"]

    # ------------------------------------------------------------------------------------------------- locking

    def _take_lock(self) -> None:
        """Refuse rows that a living process is writing. The lock of a dead process is free: the system frees it."""
        folder = progress_folder(self.folder, self.name)
        folder.mkdir(exist_ok=True)
        first = self.ranges[0].index if self.ranges else 0
        last = self.ranges[-1].index if self.ranges else -1
        for path in folder.glob("lock-*"):
            with open(path, "rb+") as other:
                if lock_file(other, wait=False):
                    path.unlink()  # its holder is dead (or the system has no locks)
                    continue
                low, high = (int(part) for part in path.name.split("-")[1:3])
                if low <= last and first <= high:
                    raise CacheInUseError(
                        f"another job is writing modality {self.name!r} in {self.folder}: {_holder(path)}. Wait "
                        "for it, stop it, or give the jobs different shards (--shard i/n)"
                    )
        path = folder / f"lock-{first:08d}-{last:08d}-{socket.gethostname()}-{os.getpid()}"
        file = open(path, "w+b")  # noqa: SIM115 - open as long as the writer is: closing it frees the lock
        lock_file(file, wait=False)
        _open_locks.add(file)
        self._lock = path, file
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        try:
            file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode())
            file.flush()
        except OSError as error:
            self._release_lock()
            raise explained(error, path) from error

    def _release_lock(self) -> None:
        if self._lock is not None:
            path, file = self._lock
            self._lock = None
            path.unlink(missing_ok=True)
            _open_locks.discard(file)
            with suppress(OSError):  # what is left in its buffer may not fit on the disk; the lock is free all the same
                file.close()

    # ------------------------------------------------------------------------------------------------- writing

    def pending(self) -> list[Range]:
        """Return the ranges of this shard that are not done."""
        return [rows for rows in self.ranges if rows.index not in self._done]

    @property
    def rows_done(self) -> int:
        """Rows of this shard that are done."""
        return sum(rows.stop - rows.start for rows in self.ranges if rows.index in self._done)

    @property
    def rows_present(self) -> int:
        """Rows of this shard that have values, those of unfinished ranges too."""
        return sum(int(self._present[rows.start : rows.stop].sum()) for rows in self.ranges)

    def errors(self) -> list[dict[str, Any]]:
        """Return the failures recorded in this shard, in the order of the rows."""
        return list(errors_of(self._done))

    def remarks(self) -> list[dict[str, Any]]:
        """Return what was remarked about rows of this shard, in their order."""
        return list(remarks_of(self._done))

    def notes(self, rows: Range) -> dict[str, Any]:
        """Return the notes of a range that is done."""
        return dict(self._done.get(rows.index, {}).get("notes", {}))

    def range_of(self, row: int) -> Range:
        """Return the range that a row lies in."""
        return self._all[row // (self._all[0].stop - self._all[0].start)]

    def read(self, rows: Range) -> tuple[np.ndarray, np.ndarray]:
        """Return copies of a range's values and presence, as they are on disk."""
        part = slice(rows.start, rows.stop)
        return np.array(decode_block(self._values[part], self.dtype)), np.array(self._present[part])

    def commit(
        self,
        rows: Range,
        values: np.ndarray,
        present: np.ndarray | None = None,
        *,
        errors: Iterable[Mapping[str, Any]] = (),
        remarks: Iterable[Mapping[str, Any]] = (),
        notes: Mapping[str, Any] | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        """Write a range, and vouch for it.

        Parameters
        ----------
        rows : Range
            One of `ranges`.
        values : ndarray of shape (n_rows, *width)
            Rows that are not present are written as NaN whatever they hold. Fewer rows than the range has are
            written without a marker: the range will be handed out again.
        present : ndarray of bool, shape (n_rows,), optional
            Default: all.
        errors : iterable of mappings
            One per failed row; `errors.jsonl` is made of them.
        remarks : iterable of mappings
            About rows that are there and doubtful; `notes.jsonl` is made of them.
        notes, seconds : mapping, optional
            Facts about the rows, and what they cost, for `info` and ``status``.

        Raises
        ------
        ValueError
            Wrong shape, an infinity, or NaN in a row that is present; nothing is written then.
        OSError
            The disk is full or may not be written; the cache stays resumable.
        """
        values = numeric(values, f"the values of modality {self.name!r}")
        n_rows = len(values) if values.ndim else 0
        if values.shape[1:] != self.shape[1:] or not 0 < n_rows <= rows.stop - rows.start:
            raise ValueError(
                f"modality {self.name!r}: rows {rows.start} to {rows.stop} have shape "
                f"{(rows.stop - rows.start, *self.shape[1:])}, got {values.shape}"
            )
        present = np.ones(n_rows, dtype=bool) if present is None else numeric(present, "present").astype(bool)
        if present.shape != (n_rows,):
            raise ValueError(f"present must have shape ({n_rows},), one for each row, found {present.shape}")
        stored = self._to_stored(rows, values, present)
        marker: Marker = {
            "range": rows.index,
            "start": rows.start,
            "stop": rows.stop,
            "crc32": checksum(stored, present),
            "present": int(present.sum()),
        }
        parts = {
            "errors": list(errors),
            "remarks": list(remarks),
            "notes": dict(notes or {}),
            "seconds": dict(seconds or {}),
        }
        marker.update((key, value) for key, value in parts.items() if value)
        try:
            write_range(self._file, self._offset, self._row_bytes, rows.start, stored)
            write_range(self._present_file, self._present_offset, 1, rows.start, present)
        except OSError as error:
            raise explained(error, self._file) from error
        if n_rows == rows.stop - rows.start:
            write_json(marker_file(self.folder, self.name, rows.index), marker)
            self._done[rows.index] = marker

    def _to_stored(self, rows: Range, values: np.ndarray, present: np.ndarray) -> np.ndarray:
        if self._stored.kind != "f" and self.dtype != "bfloat16":
            if not present.all():
                raise ValueError(f"modality {self.name!r}: dtype {self.dtype} cannot hold rows that are missing")
            return encode_block(values, self.dtype)
        with np.errstate(over="ignore"):
            stored = encode_block(np.where(_expand(present, values), values, np.nan), self.dtype)
        usable = np.ones(len(stored), dtype=bool)
        usable[present] = np.isfinite(decode_block(stored[present], self.dtype)).all(axis=tuple(range(1, stored.ndim)))
        if not usable.all():
            row = rows.start + int(np.flatnonzero(~usable)[0])
            raise ValueError(
                f"modality {self.name!r}: row {row} is not finite as {self.dtype} (a value is NaN, infinite, or "
                "too large for the dtype)"
            )
        return stored

    # ------------------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        """Free the rows for others; the last to close a complete modality turns its markers into one file."""
        if self._lock is None:
            return
        try:
            self._finish()
        finally:
            self._release_lock()

    def _finish(self) -> None:
        with mutex(self.folder):
            self._release_lock()
            markers = read_markers(self.folder, self.name, self._all)
            folder = progress_folder(self.folder, self.name)
            if len(markers) == len(self._all) and not any(folder.glob("lock-*")):
                finish(self.folder, self.name, markers)
            write_errors(self.folder)

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def check_width(width: Any) -> Width:
    """Return the width of a row if it is one."""
    parts: tuple[Any, ...] = width if isinstance(width, tuple) and len(width) == 2 else (width,)
    if not all(isinstance(part, Integral) and not isinstance(part, bool) and int(part) > 0 for part in parts):
        raise ValueError(f"width must be a positive integer or (tokens, dim), got {width!r}")
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 else int(parts[0])


def check_dtype(dtype: Any) -> str:
    """Return the name of a dtype if it is a string."""
    if not isinstance(dtype, str):
        raise TypeError(f"dtype must be a name, such as 'float16' or 'bfloat16', got {dtype!r}")
    return dtype


def check_count(argument: str, value: Any) -> None:
    """Refuse what is no positive whole number."""
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < 1:
        raise ValueError(f"{argument} must be a positive integer, got {value!r}")


def check_shard(shard: Any) -> None:
    """Refuse what does not say which part of how many."""
    whole = isinstance(shard, tuple | list) and len(shard) == 2 and all(type(part) is int for part in shard)
    if not whole or not 0 <= shard[0] < shard[1]:
        raise ValueError(f"shard must be (i, n) with 0 <= i < n, got {shard!r}")


def plain(argument: str, value: Any) -> None:
    """Refuse what JSON cannot hold."""
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise TypeError(f"{argument} must be a mapping, got {value!r}")
    try:
        json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{argument} must hold plain values that JSON can hold: {error}") from None


def _expand(present: np.ndarray, values: np.ndarray) -> np.ndarray:
    return present.reshape(-1, *[1] * (values.ndim - 1))


def _holder(path: Path) -> str:
    with suppress(CacheError, KeyError, TypeError):
        holder = read_json(path)
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    return path.name


def running(folder: Path, name: str) -> list[str]:
    """Say who is writing a modality now."""
    holders = []
    for path in sorted(progress_folder(folder, name).glob("lock-*")):
        with suppress(FileNotFoundError), open(path, "rb") as file:
            if not lock_file(file, wait=False):
                holders.append(_holder(path))
    return holders


def finish(folder: Path, name: str, markers: dict[int, Marker]) -> None:
    """Merge a complete modality's markers into one reproducible file. Killed half-way, it is done again."""
    content = {
        "ranges": [
            {key: value for key, value in markers[index].items() if key not in MEASURED} for index in sorted(markers)
        ]
    }
    path = ranges_file(folder, name)
    sweep(folder, path.name)
    if not path.exists() or read_json(path) != content:
        write_json(path, content)
    shutil.rmtree(progress_folder(folder, name))
    fsync_folder(folder)


def write_errors(folder: Path) -> None:
    """Write ``errors.jsonl`` and ``notes.jsonl`` anew from the markers: they are the truth, these are for reading."""
    manifest = read_json(folder / "manifest.json")
    lines: dict[str, list[str]] = {"errors.jsonl": [], "notes.jsonl": []}
    for name, entry in sorted(manifest["modalities"].items()):
        if "range_rows" in entry:
            markers = read_markers(folder, name, all_ranges(manifest["n_samples"], entry["range_rows"]))
            for file, found in (("errors.jsonl", errors_of(markers)), ("notes.jsonl", remarks_of(markers))):
                lines[file] += [json.dumps({"modality": name, **record}, ensure_ascii=False) for record in found]
    for file, content in lines.items():
        sweep(folder, file)
        write_lines(folder / file, content)
