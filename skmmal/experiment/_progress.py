"""How far a run is, and how long it will still take."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["track"]


def track(done: Iterable[Any], total: int, verbose: int) -> Iterator[Any]:
    """Pass on what ends, and say so on stderr if `verbose`: as a bar where rich is installed, otherwise in lines."""
    if not verbose:
        yield from done
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        yield from _in_lines(done, total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("strategy × seed", total=total)
        for item in done:
            progress.advance(task)
            yield item


def _in_lines(done: Iterable[Any], total: int) -> Iterator[Any]:
    started = time.monotonic()
    for n_done, item in enumerate(done, start=1):
        spent = time.monotonic() - started
        left = spent / n_done * (total - n_done)
        print(f"{n_done}/{total} units of strategy × seed, {spent:.0f} s, about {left:.0f} s left", file=sys.stderr)
        yield item
