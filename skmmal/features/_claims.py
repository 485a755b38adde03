"""Who is writing which rows: a lock for every writer, with its first and last range in the name."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skmmal._store import entries, holder, is_locked, locked, this_process
from skmmal.features._ranges import Range, progress_folder


class CacheInUseError(RuntimeError):
    """Another process is writing the same rows.

    Examples
    --------
    >>> from skmmal.features import CacheInUseError
    >>> issubclass(CacheInUseError, RuntimeError)  # two jobs on the same rows: the second is refused
    True
    """


@contextmanager
def claimed(folder: Path, name: str, ranges: list[Range]) -> Iterator[None]:
    """Keep others from writing the same rows of a modality; whoever enters holds the folder's mutex."""
    progress = progress_folder(folder, name)
    progress.mkdir(exist_ok=True)
    first, last = (ranges[0].index, ranges[-1].index) if ranges else (0, -1)
    for path in claims(folder, name):
        low, high = (int(part) for part in path.name.split("-")[1:3])
        if not is_locked(path):  # the file system has no locks
            path.unlink(missing_ok=True)
        elif low <= last and first <= high:
            raise CacheInUseError(
                f"another job is writing modality {name!r} in {folder}: {holder(path)}. Wait for it, stop it, or give "
                "the jobs different shards (--shard i/n)"
            )
    path = progress / f"lock-{first:08d}-{last:08d}-{socket.gethostname()}-{os.getpid()}"
    note = f"{this_process()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    with locked(path, note=note, remove=True):
        yield


def claims(folder: Path, name: str) -> list[Path]:
    """Locks of those who write a modality now; what the dead have left is removed."""
    paths = entries(progress_folder(folder, name), "lock-*[0-9]")
    return [path for path in paths if is_locked(path) is not False]


def running(folder: Path, name: str) -> list[str]:
    """Say who is writing a modality now."""
    return [holder(path) for path in claims(folder, name) if is_locked(path)]
