"""One process at a time changes a campaign; who waits is told for whom."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skmmal._atomic import explained
from skmmal.campaign._files import CampaignError
from skmmal.campaign._stamp import now, user_name

LOCK, HOLDER = ".lock", ".lock-holder.json"


@contextmanager
def locked(folder: Path, action: str, timeout: float) -> Iterator[None]:
    """Hold the campaign's lock. The system frees it when its holder dies.

    Raises
    ------
    TimeoutError
        Another process held it for all of `timeout` seconds; the message says who.
    """
    from filelock import FileLock, Timeout

    for name in (LOCK, HOLDER):
        if (folder / name).is_symlink():
            raise CampaignError(f"{folder / name} is a symbolic link, refused")
    lock = FileLock(folder / LOCK, timeout=timeout)
    try:
        lock.acquire()
    except Timeout:
        raise TimeoutError(
            f"{folder} is in use by {holder(folder)}; waited {timeout:g} s. Try again, or wait longer "
            "(--lock-timeout; lock_timeout in Python)"
        ) from None
    except OSError as error:
        raise explained(error, folder / LOCK) from error
    try:
        about = {"user": user_name(), "process": os.getpid(), "host": socket.gethostname(), "does": action}
        with suppress(OSError):  # it serves the message only
            (folder / HOLDER).write_text(json.dumps({**about, "since": now()}) + "\n", encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            (folder / HOLDER).unlink()
        lock.release()


def holder(folder: Path) -> str:
    """Who holds the lock, in words."""
    try:
        about = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return (
            f"{about['user']} (process {about['process']} on {about['host']}, '{about['does']}' since {about['since']})"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
