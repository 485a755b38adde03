"""Folders that are written whole or not at all, and replaced without a moment in between.

A writer fills ``.NAME.new-TOKEN`` beside ``NAME``. Where folders cannot change places in one step, the one before is
``.NAME.old-TOKEN-0`` for the microseconds between two renames. While the writer lives it holds ``.NAME.lock-TOKEN``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skmmal._store._files import fsync_folder
from skmmal._store._locks import is_locked, locked

_NEW, _OLD, _LOCK = "new", "old", "lock"
_HOUR = 3600.0
_AT_FDCWD, _EXCHANGE = -100, 2


@contextmanager
def new_folder(path: Path, check_old: Callable[[Path], object] | None = None) -> Iterator[Path]:
    """Give a folder to fill beside `path`, and put it in `path`'s place when that succeeded.

    At every moment there is the old folder at `path` or the new one, whole, for readers and after a kill: the two
    change places in one step of the system. On a file system that has no such step the old folder is moved aside
    first; whoever finds nothing at `path` then calls `put_back`.

    Parameters
    ----------
    path : Path
        Nothing, an empty folder or, with `check_old`, a folder that may be replaced.
    check_old : callable, optional
        Raises for a folder that must not be replaced. Without it, only an empty folder is.

    Raises
    ------
    FileExistsError
        `path` is not empty, and `check_old` was not given.
    """
    path = put_back(path).resolve()  # behind a symbolic link the folder is replaced, not the link
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        if check_old is None:
            raise FileExistsError(f"{path} exists and is not empty; choose another folder or pass overwrite=True")
        check_old(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent, path.name)
    token = secrets.token_hex(4)
    folder = _beside(path, _NEW, token)
    with locked(_beside(path, _LOCK, token), remove=True):
        try:
            folder.mkdir()
            yield folder
            fsync_folder(folder)
            replaced = _put_in_place(folder, path, token, may_replace=check_old is not None)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        fsync_folder(path.parent)
        for old in replaced:
            shutil.rmtree(old, ignore_errors=True)


def put_back(path: Path) -> Path:
    """Bring back a folder that a kill, or another process just now, has left beside `path` (see `new_folder`).

    Returns
    -------
    Path
        `path`; where it may not be brought back, because the disk is not ours to change: the place where it is.
    """
    if os.path.exists(path):
        return path
    target = path.resolve()
    for old, kind, lock in _left_beside(target.parent, target.name):
        if kind != _OLD:
            continue
        for _ in range(100):  # its owner lives and is between two renames: that takes microseconds
            if os.path.exists(target):
                return path
            if not _is_alive(old, lock):
                break
            time.sleep(0.01)
        try:
            os.rename(old, target)
            return path
        except OSError:
            if os.path.exists(target):  # another was faster
                return path
            if old.is_dir():
                return old
    return path


def _sweep(parent: Path, name: str) -> None:
    """Remove what killed writers of the folder `name` left; an old folder only where another stands in its place."""
    for left, kind, lock in _left_beside(parent, name):
        if kind == _LOCK:
            is_locked(lock)  # one that nobody holds goes
        elif (kind == _NEW or os.path.lexists(parent / name)) and not _is_alive(left, lock):
            shutil.rmtree(left, ignore_errors=True)


def exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system or the file system cannot."""
    names = os.fsencode(one), os.fsencode(other)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            failed = libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE)
        elif sys.platform == "darwin":
            failed = libc.renamex_np(*names, _EXCHANGE)  # RENAME_SWAP is 2 there, too
        else:
            return False
    except (OSError, AttributeError, TypeError):  # no such function in this C library
        return False
    if failed and ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))
    return not failed


def _put_in_place(folder: Path, path: Path, token: str, *, may_replace: bool) -> list[Path]:
    """Move a folder to `path`; return where those are now that it replaces."""
    replaced: list[Path] = []
    while True:
        try:
            os.rename(folder, path)  # nothing is there, or an empty folder
            return replaced
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) and not (os.name == "nt" and path.is_dir()):
                raise
        if os.name == "nt" and not any(path.iterdir()):
            path.rmdir()
            continue
        if not may_replace:
            raise FileExistsError(f"{path} was made by another process in the meantime; choose another folder")
        with suppress(FileNotFoundError):  # moved aside by another process: once more
            if exchange(folder, path):
                return [*replaced, folder]
            old = _beside(path, _OLD, f"{token}-{len(replaced)}")
            os.rename(path, old)
            replaced.append(old)
            try:
                os.rename(folder, path)
                return replaced
            except OSError:
                if not os.path.lexists(path):
                    os.rename(old, path)
                    raise
        # a reader that could not see the lock put the old one back: once more


def _beside(path: Path, kind: str, token: str) -> Path:
    return path.with_name(f".{path.name}.{kind}-{token}")


def _left_beside(parent: Path, name: str) -> list[tuple[Path, str, Path]]:
    """What writers of the folder `name`, living or dead, have there: each with its kind and its writer's lock."""
    pattern = re.compile(rf"\.{re.escape(name)}\.({_NEW}|{_OLD}|{_LOCK})-([^-]+)(-\d+)?")
    with suppress(OSError):
        return [
            (path, match[1], _beside(parent / name, _LOCK, match[2]))
            for path in sorted(parent.iterdir())
            if (match := pattern.fullmatch(path.name))
        ]
    return []


def _is_alive(folder: Path, lock: Path) -> bool:
    """Whether the writer of a folder lives; where locks cannot tell, whether it was touched within an hour."""
    alive = is_locked(lock)
    if alive is not None:
        return alive
    try:
        return time.time() - folder.stat().st_mtime < _HOUR
    except OSError:
        return False
