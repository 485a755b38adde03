"""What a command tells while it works, with or without a terminal, and the memory that it may take."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["limited", "stage", "telling"]

SILENT = "SKMMAL_PROGRESS"
"""Environment variable that says by ``off`` that nothing is to be told."""
FIRST, EVERY = 2.0, 60.0
"""Seconds after which a command says that it is at work, and between such lines from then on."""

_stage = [""]


def stage(what: str) -> None:
    """Say what comes next; it is told with the next line, if there is one.

    Parameters
    ----------
    what : str
        As in "fitting on 2,000 labels".
    """
    _stage[0] = what


@contextmanager
def telling(command: str) -> Iterator[None]:
    """Say on standard error that a command is at work: after two seconds, then every minute, and when it has ended.

    Parameters
    ----------
    command : str
        Its name.
    """
    if os.environ.get(SILENT) == "off":
        yield
        return
    ended, started = threading.Event(), time.monotonic()
    told: list[bool] = []
    stage("")

    def tell() -> None:
        wait = FIRST
        while not ended.wait(wait):
            seconds = time.monotonic() - started
            at = f": {_stage[0]}" if _stage[0] else ""
            print(f"skmmal {command}: at work for {_in_words(seconds)}{at}", file=sys.stderr, flush=True)
            told.append(True)
            wait = EVERY

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        if told:
            done = "ended" if sys.exc_info()[0] else "done"
            print(
                f"skmmal {command}: {done} after {_in_words(time.monotonic() - started)}", file=sys.stderr, flush=True
            )


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


@contextmanager
def limited(gigabytes: float | None) -> Iterator[None]:
    """Let the process allocate no more than so much memory; pages of mapped files do not count.

    Parameters
    ----------
    gigabytes : float or None
        Of 10⁹ bytes. ``None``: as much as there is.

    Raises
    ------
    ValueError
        More was needed, or the system knows no such limit.
    """
    if gigabytes is None:
        yield
        return
    if not sys.platform.startswith("linux"):
        raise ValueError("--memory-limit needs Linux: this system does not let a process limit what it allocates")
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = int(gigabytes * 1e9)
    if before[1] != resource.RLIM_INFINITY:
        wanted = min(wanted, before[1])
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, before[1]))
    try:
        yield
    except MemoryError as error:
        raise ValueError(
            f"--memory-limit {gigabytes:g}: more memory is needed ({error}). Margin, BADGE, BMMAL and CoreSet need "
            "least; features in a cache (a folder) need none. Give more, another strategy, or fewer rows"
        ) from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
