"""Files and folders that are written whole or not at all, and replaced without a moment in between."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["TEMPORARY", "explained", "fsync_folder", "held", "new_folder", "put_back", "replace_file"]

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
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file under another name, flush it to disk, then rename it into place."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}{TEMPORARY}")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp gives the owner alone
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise explained(error, path) from error
        raise
    fsync_folder(path.parent)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


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


# ------------------------------------------------------------------------------------------------------- folders

_NEW, _OLD = "new", "old"
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
    _sweep_folders(path)
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.{_NEW}-"))
    with held(folder):
        try:
            folder.chmod(0o777 & ~_umask())  # mkdtemp gives the owner alone
            yield folder
            fsync_folder(folder)
            replaced = _put_in_place(folder, path, may_replace=check_old is not None)
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
    for old in _beside(target, _OLD):
        for _ in range(100):  # its owner lives and is between two renames: that takes microseconds
            if os.path.exists(target):
                return path
            if not _is_held(old):
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


def _beside(path: Path, kind: str) -> list[Path]:
    """Folders that are, or were, to be at `path`."""
    with suppress(OSError):
        return sorted(each for each in path.parent.iterdir() if each.name.startswith(f".{path.name}.{kind}-"))
    return []


def _put_in_place(folder: Path, path: Path, *, may_replace: bool) -> list[Path]:
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
            old = path.parent / f"{folder.name.replace(f'.{_NEW}-', f'.{_OLD}-')}-{len(replaced)}"
            with held(path):
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


def _sweep_folders(path: Path) -> None:
    """Remove what killed writers left beside `path`; an old folder only where another stands in its place."""
    for kind in (_NEW, _OLD) if os.path.lexists(path) else (_NEW,):
        for left in _beside(path, kind):
            if not _is_held(left):
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def held(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a folder itself; it goes with the folder through renames, and ends with the process.

    Without such locks (or, unless it should `wait`, where another holds it) nothing is held.
    """
    descriptor = _lock(folder, wait)
    try:
        yield
    finally:
        if descriptor:
            os.close(descriptor)


def _lock(folder: Path, wait: bool = False) -> int | None:
    """Lock a folder: its open descriptor, 0 where the system has no such locks, ``None`` if another holds it."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        return 0
    return descriptor


def _is_held(folder: Path) -> bool:
    """Whether a living process works on a folder; where locks cannot tell, whether it was touched within an hour."""
    descriptor = _lock(folder)
    if descriptor:
        os.close(descriptor)
        return False
    if descriptor is None:
        return True
    try:
        return time.time() - folder.stat().st_mtime < _HOUR
    except OSError:
        return False
