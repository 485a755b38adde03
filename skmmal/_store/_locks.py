"""One process at a time: filelock's locks, with a note beside each that says who holds it.

A lock ends with its process, however that ends. On a file system without locks nothing is locked.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skmmal._store._files import explained

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def locked(
    path: Path, timeout: float = -1.0, *, note: str = "", advice: str = "", remove: bool = False
) -> Iterator[None]:
    """Hold the lock of the file `path`.

    Parameters
    ----------
    path : Path
        Made where it is not there.
    timeout : float, default=-1
        Seconds to wait for another holder; negative: as long as it takes.
    note : str, default=""
        Who holds it, for others to read (see `holder`).
    advice : str, default=""
        What to do where another holds it; the end of the error message.
    remove : bool, default=False
        Leave no file behind.

    Raises
    ------
    TimeoutError
        Another holds it.
    """
    from filelock import FileLock

    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=timeout, poll_interval=0.02)
    except TimeoutError:
        raise TimeoutError(f"{path.parent} is in use by {holder(path)}; waited {timeout:g} s. {advice}") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise explained(error, path) from error
    owner = os.getpid()
    try:
        if note:
            with suppress(OSError):  # it serves messages only
                _note_of(path).write_text(note, encoding="utf-8")
        yield
    finally:
        if os.getpid() == owner:  # a forked child inherits the object, not the lock
            if note:
                _remove(_note_of(path))
            if remove:
                _remove(path)
            lock.release()


def is_locked(path: Path) -> bool | None:
    """Whether a process holds the lock of a file; ``None`` where it cannot be told. A lock that nobody holds goes."""
    from filelock import FileLock

    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0.0)
    except (TimeoutError, PermissionError):  # what may not be locked is taken to be
        return True
    except OSError:
        return None
    _remove(_note_of(path), path)
    lock.release()
    return False


def holder(path: Path) -> str:
    """Who holds the lock of a file, in words."""
    with suppress(OSError, ValueError):
        return _note_of(path).read_text(encoding="utf-8")
    return "another process"


def this_process() -> str:
    """What others know of this process."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def _remove(*paths: Path) -> None:
    for path in paths:
        with suppress(OSError):  # where open files cannot be removed, filelock does it
            path.unlink()


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-holder")
