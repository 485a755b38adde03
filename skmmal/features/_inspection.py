"""What a cache holds, how far its jobs are, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from skmmal._store import bytes_below
from skmmal.features._cache import CacheFiles
from skmmal.features._claims import running
from skmmal.features._files import BFLOAT16, CacheError, decode_block
from skmmal.features._manifest import FORMAT, OWN_KEYS
from skmmal.features._ranges import Marker, all_ranges, checksum, default_range_rows, marker_file, recorded


def info(files: CacheFiles) -> dict[str, Any]:
    """See `FeatureStore.info`."""
    files.check_current()
    return {
        "path": str(files.path),
        "format": FORMAT,
        "version": files.manifest.content["version"],
        "n_samples": files.manifest.n_samples,
        "bytes": bytes_below(files.path),
        "modalities": {name: _modality_info(files, name) for name in files.manifest.modalities},
    }


def _modality_info(files: CacheFiles, name: str) -> dict[str, Any]:
    entry, markers = files.entry(name), files.markers(name)
    n_samples, done, present = files.manifest.n_samples, files.rows_done(name), int(files.present(name).sum())
    return {
        "shape": list(entry["shape"]),
        "dtype": entry["dtype"],
        "bytes": files.file(name).stat().st_size,
        "rows_done": done,
        "complete": done == n_samples,
        "present": present,
        "missing": max(0, done - present),  # rows beyond the finished ranges may be there, and are not vouched for
        "errors": sum(len(marker.get("errors", [])) for marker in markers.values()),
        "notes": _summed(markers.values(), "notes"),
        **{key: value for key, value in entry.items() if key not in OWN_KEYS},
        "fingerprint": entry.get("fingerprint", {}),
    }


def records(files: CacheFiles, what: str, name: str | None) -> list[dict[str, Any]]:
    """See `FeatureStore.errors` and `FeatureStore.remarks`."""
    names = files.names(None if name is None else [name])
    return [{"modality": each, **record} for each in names for record in recorded(files.markers(each), what)]


def progress(files: CacheFiles, name: str) -> dict[str, Any]:
    """See `FeatureStore.progress`."""
    files.entry(name)
    files.check_current()
    done = files.rows_done(name)
    left = files.manifest.n_samples - done
    return {
        "done": done,
        "seconds": _summed(files.markers(name).values(), "seconds"),
        "running": running(files.path, name),
        "seconds_left": _seconds_left(files, name, left) if left else None,
    }


def _seconds_left(files: CacheFiles, name: str, rows_left: int) -> float | None:
    recent = []
    for marker in files.markers(name).values():
        with suppress(FileNotFoundError):
            written = marker_file(files.path, name, marker["range"]).stat().st_mtime
            recent.append((written, marker["stop"] - marker["start"]))
    recent = sorted(recent)[-20:]
    passed = recent[-1][0] - recent[0][0] if recent else 0.0
    return rows_left * passed / sum(rows for _, rows in recent[1:]) if passed > 0 else None


def _summed(markers: Iterable[Marker], what: str) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for marker in markers:
        total.update(marker.get(what, {}))
    return dict(total)


# ------------------------------------------------------------------------------------------------------- checking


def verify(files: CacheFiles, read_all: bool) -> dict[str, Any]:
    """See `FeatureStore.verify`."""
    files.check_current()
    problems: list[str] = []
    report: dict[str, Any] = {}
    for name in files.manifest.modalities:
        try:
            report[name] = _check_ranges(files, name, read_all, problems)
            if read_all:
                report[name] |= _check_rows(files, name, problems)
        except CacheError as error:
            problems.append(str(error))
    return {"ok": not problems, "problems": problems, "modalities": report}


def _check_ranges(files: CacheFiles, name: str, read_all: bool, problems: list[str]) -> dict[str, int]:
    values, present = files.values(name), files.present(name)
    n_samples, done = files.manifest.n_samples, files.rows_done(name)
    if done < n_samples:
        problems.append(f"modality {name!r}: {n_samples - done} of {n_samples} rows are not written")
    for marker in files.markers(name).values():
        rows = slice(marker["start"], marker["stop"])
        if int(present[rows].sum()) != marker.get("present"):
            problems.append(f"modality {name!r}: rows {rows.start} to {rows.stop} changed their presence")
        elif read_all and checksum(values[rows], present[rows]) != marker["crc32"]:
            problems.append(f"modality {name!r}: the checksum of rows {rows.start} to {rows.stop} is wrong")
    return {"done": done, "missing": int((~present).sum())}


def _check_rows(files: CacheFiles, name: str, problems: list[str]) -> dict[str, int]:
    values, all_present, dtype = files.values(name), files.present(name), files.entry(name)["dtype"]
    n_zero, n_duplicates, seen = 0, 0, set()
    for part in all_ranges(len(values), default_range_rows(values[:1].nbytes)):
        chunk = decode_block(np.array(values[part.start : part.stop]), dtype).reshape(part.stop - part.start, -1)
        present = all_present[part.start : part.stop]
        if dtype == BFLOAT16 or values.dtype.kind == "f":
            wrong = np.where(present, ~np.isfinite(chunk).all(axis=1), ~np.isnan(chunk).all(axis=1))
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                state = "is present but not finite" if present[row] else "is missing but not NaN"
                problems.append(f"modality {name!r}: row {part.start + row} {state} ({int(wrong.sum())} such rows)")
        n_zero += int((present & ~chunk.any(axis=1)).sum())
        for row_values in chunk[present]:
            row_hash = hashlib.blake2b(row_values.tobytes(), digest_size=16).digest()
            n_duplicates += row_hash in seen
            seen.add(row_hash)
    return {"zero": n_zero, "duplicates": n_duplicates}
