"""A modality that is begun, or gone on with: its entry in the manifest and its files."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from skmmal._store import check_same, sweep
from skmmal.features._files import CacheError, allocate, empty_value, stored_dtype
from skmmal.features._manifest import Manifest, Width
from skmmal.features._ranges import default_range_rows, progress_folder


class FingerprintError(CacheError):
    """A modality was made by a different job than the one that wants to continue it.

    Examples
    --------
    >>> from skmmal.features import CacheError, FingerprintError
    >>> issubclass(FingerprintError, CacheError)  # what handles damage handles this, too
    True
    """


def check_width(width: Any) -> Width:
    """Return the width of a row if it is one."""
    parts: tuple[Any, ...] = width if isinstance(width, tuple) and len(width) == 2 else (width,)
    if not all(isinstance(part, Integral) and not isinstance(part, bool) and int(part) > 0 for part in parts):
        raise ValueError(f"width must be a positive integer or (tokens, dim), got {width!r}")
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 else int(parts[0])


def check_options(dtype: Any, range_rows: Any, shard: Any) -> None:
    """Refuse what no writer can be made of."""
    if not isinstance(dtype, str):
        raise TypeError(f"dtype must be a name, such as 'float16' or 'bfloat16', got {dtype!r}")
    stored_dtype(dtype)
    is_count = isinstance(range_rows, Integral) and not isinstance(range_rows, bool) and int(range_rows) > 0
    if range_rows is not None and not is_count:
        raise ValueError(f"range_rows must be a positive integer, got {range_rows!r}")
    whole = isinstance(shard, tuple | list) and len(shard) == 2 and all(type(part) is int for part in shard)
    if not whole or not 0 <= shard[0] < shard[1]:
        raise ValueError(f"shard must be (i, n) with 0 <= i < n, got {shard!r}")


def check_plain(argument: str, value: Any) -> None:
    """Refuse what JSON cannot hold."""
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise TypeError(f"{argument} must be a mapping, got {value!r}")
    try:
        json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{argument} must hold plain values that JSON can hold: {error}") from None


def entry_of(
    manifest: Manifest,
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    fingerprint: Mapping[str, Any],
    metadata: Mapping[str, Any],
    range_rows: int | None,
) -> dict[str, Any]:
    """Return a modality's entry of the manifest: the one there, if it is of the same job, or a new one."""
    manifest.reload()
    entry = manifest.modalities.get(name)
    if entry is None:
        similar = [other for other in manifest.modalities if other.lower() == name.lower()]
        if similar:  # on some systems their files would be the same
            raise ValueError(f"modality {name!r} differs from {similar[0]!r} in case only")
        row_bytes = int(np.prod(shape[1:])) * stored_dtype(dtype).itemsize
        return {
            "file": f"{name}.npy",
            "present": f"{name}.present.npy",
            "shape": list(shape),
            "dtype": dtype,
            **metadata,
            "range_rows": int(range_rows or default_range_rows(row_bytes)),
            "fingerprint": json.loads(json.dumps(fingerprint)),
        }
    if "range_rows" not in entry:
        raise FileExistsError(f"modality {name!r} is in {manifest.folder} already, written by something else")
    before = {"shape": entry["shape"], "dtype": entry["dtype"], **entry.get("fingerprint", {})}
    check_fingerprint(manifest.folder, name, before, {"shape": shape, "dtype": dtype, **fingerprint})
    return entry


def check_fingerprint(folder: Path, name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with what a different job has made; the message shows the difference."""
    check_same(
        dict(before),
        dict(now),
        f"modality {name!r} in {folder} was made by a different job, so this one cannot continue it; use another "
        "folder or another --modality name",
        FingerprintError,
        line="{key}: the cache has {before!r}, this job {now!r}",
    )


def make_files(manifest: Manifest, name: str, entry: dict[str, Any]) -> None:
    """Create the files, filled with NaN and absent. The manifest names them once they are whole."""
    folder, shape, dtype = manifest.folder, tuple(entry["shape"]), stored_dtype(entry["dtype"])
    values, present = folder / entry["file"], folder / entry["present"]
    is_new = name not in manifest.modalities
    for path in (values, present):
        sweep(folder, path.name)
        if is_new:
            path.unlink(missing_ok=True)
    if not values.exists():
        need, free = int(np.prod(shape)) * dtype.itemsize, shutil.disk_usage(folder).free
        if need > free:
            raise OSError(
                errno.ENOSPC,
                f"the disk is full: {name} needs {need / 2**30:.2f} GiB, {free / 2**30:.2f} are free",
                str(folder),
            )
        allocate(values, shape, dtype, empty_value(entry["dtype"]))
    if not present.exists():
        allocate(present, shape[:1], np.dtype(bool), False)
    if is_new:
        manifest.set_entry(name, entry)


def refuse_foreign(folder: Path, name: str, entry: dict[str, Any]) -> None:
    """Never overwrite a file that no job of ours began: such a job leaves its progress folder."""
    if progress_folder(folder, name).exists():
        return
    for path in (folder / entry["file"], folder / entry["present"]):
        if path.exists():
            raise FileExistsError(f"{path} exists, but the manifest does not know it; move it away")
