"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".tmp-"
"""Part of the name of every file that is not finished; the next writer sweeps such files away."""


def fsync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` durable, where the system can."""
    if os.name == "nt":  # a directory cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _flushed(path: Path) -> Iterator[BinaryIO]:
    """Write a file that is not there yet; it is on the disk when this ends."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file under another name, flush it to disk, then rename it into place."""
    temporary = path.parent / f".{path.name}{TEMPORARY}{secrets.token_hex(4)}"
    try:
        with _flushed(temporary) as file:
            yield file
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise explained(error, path) from error
        raise
    fsync_folder(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, flushed to disk."""
    with replace_file(path) as file:
        file.write(content)


def write_new(path: Path, content: bytes) -> None:
    """Write a new file in a folder that nobody sees yet, flushed to disk."""
    with _flushed(path) as file:
        file.write(content)


def sweep(folder: Path, name: str) -> None:
    """Remove what killed writers of the file `name` left unfinished."""
    for left in entries(folder, f".{glob.escape(name)}{TEMPORARY}*"):
        left.unlink(missing_ok=True)


def entries(folder: Path, pattern: str = "*") -> list[Path]:
    """Return what is in a folder, sorted; nothing, if another process has removed the folder."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return [folder / name for name in sorted(fnmatch.filter(os.listdir(folder), pattern))]
    return []


def bytes_below(folder: Path) -> int:
    """Return the bytes of all files in a folder and below; what cannot be looked at is not counted."""
    found = 0
    for place, _, names in os.walk(folder):  # unlike rglob, goes on where a folder is gone
        for name in names:
            with suppress(OSError):  # gone, or a link that leads nowhere
                found += os.stat(os.path.join(place, name)).st_size
    return found


def explained(error: OSError, path: Path) -> OSError:
    """Return an error that says in words what the system's number means."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OSError(
            error.errno,
            "the disk is full; free some space and do the same again: what was written whole is kept",
            str(path),
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PermissionError(
            error.errno,
            "no permission to write here; once that is settled do the same again: what was written whole is kept",
            str(path),
        )
    if error.errno in (errno.EISDIR, errno.ENOTDIR):
        return OSError(error.errno, "a folder stands where a file belongs; move it away", str(path))
    return error
