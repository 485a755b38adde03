"""One process at a time changes a campaign; who waits is told for whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skmmal import _store
from skmmal.campaign._files import CampaignError
from skmmal.campaign._stamp import now, user_name

LOCK, HOLDER = ".lock", ".lock-holder"


@contextmanager
def locked(folder: Path, action: str, timeout: float) -> Iterator[None]:
    """Hold the campaign's lock. The system frees it when its holder dies.

    Raises
    ------
    TimeoutError
        Another process held it for all of `timeout` seconds; the message says who.
    """
    for name in (LOCK, HOLDER):
        if (folder / name).is_symlink():
            raise CampaignError(f"{folder / name} is a symbolic link, refused")
    note = f"{user_name()} ({_store.this_process()}, '{action}' since {now()})"
    advice = "Try again, or wait longer (--lock-timeout; lock_timeout in Python)"
    with _store.locked(folder / LOCK, timeout, note=note, advice=advice):
        yield
