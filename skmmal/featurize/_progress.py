"""What the user sees while a job runs."""

from __future__ import annotations

import time
from typing import Any

from rich import progress as rich_progress
from rich.console import Console

from skmmal.featurize._options import JobOptions

LOG_SECONDS = 60.0
"""Between two lines of progress where there is no terminal to draw a bar on."""


class Progress:
    """A bar with items per second and the share of time spent waiting for data; lines in a log file.

    Parameters
    ----------
    options : JobOptions
    quiet : bool
        Nothing at all.
    bar : bool
        Whether there may be a bar; where there is no terminal there is none.
    """

    def __init__(self, options: JobOptions, quiet: bool, bar: bool) -> None:
        index, count = options.shard
        self.name = options.name if count == 1 else f"{options.name} {index}/{count}"
        self.total, self.quiet = 0, quiet
        self.console = Console(stderr=True, quiet=quiet)
        self.has_bar = bar and not quiet and self.console.is_terminal
        self.done = self.failed = 0
        self.bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("{task.fields[rate]:.1f}/s  waiting {task.fields[waiting]:.0%}"),
            rich_progress.TextColumn("{task.fields[failed]} failed"),
            rich_progress.TimeRemainingColumn(),
            console=self.console,
            disable=not self.has_bar,
        )
        self.task = self.bar.add_task(self.name, total=None, rate=0.0, waiting=0.0, failed=0)

    def expect(self, total: int) -> None:
        """Say how many items there are."""
        self.total = total
        self.bar.update(self.task, total=total)

    def __enter__(self) -> Progress:
        self.began = self.logged = time.perf_counter()
        self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.stop()

    def advance(self, items: int, failed: int, waited: float) -> None:
        """Count items; `waited` is the time without data so far."""
        self.done += items
        self.failed += failed
        now = time.perf_counter()
        passed = max(now - self.began, 1e-9)
        rate, waiting = self.done / passed, min(1.0, waited / passed)
        self.bar.update(self.task, completed=self.done, rate=rate, waiting=waiting, failed=self.failed)
        if not self.has_bar and now - self.logged > LOG_SECONDS:
            self.logged = now
            left = (self.total - self.done) / rate
            self.say(
                f"{self.done}/{self.total}, {rate:.1f}/s, waiting {waiting:.0%}, {self.failed} failed, "
                f"{left / 60:.0f} min left"
            )

    def say(self, line: str) -> None:
        """Print a line, on a terminal and in a log file."""
        self.console.print(f"{self.name}: {line}", highlight=False, markup=False, soft_wrap=True)

    def summary(self, receipt: dict[str, Any]) -> None:
        """Print what a run did."""
        seconds = receipt["seconds"]
        waiting = seconds.get("wait", 0.0) / max(seconds["wall"], 1e-9)
        state = "complete" if receipt["complete"] else f"{receipt['total'] - receipt['done']} rows left"
        lines = [
            f"{receipt['encoded']} items in {seconds['wall']:.1f} s "
            f"({receipt['items_per_second']:.1f}/s, waiting for data {waiting:.0%}); {state}"
        ]
        if receipt["errors"]:
            reasons = ", ".join(f"{name} ×{count}" for name, count in receipt["reasons"].items())
            lines.append(
                f"{receipt['errors']} items have no features ({reasons}): see errors.jsonl; --retry-errors tries them "
                "again"
            )
        if receipt["notes"]:
            lines.append(f"{receipt['notes']} items have features and are doubtful: see notes.jsonl")
        if receipt["precision"]:
            precision = receipt["precision"]
            lines.append(
                f"stored values differ from float32 by at most {precision['max_difference']:.2g} "
                f"({precision['relative']:.1e} of the largest), over {precision['units']} units"
            )
        for line in lines:
            self.say(line)
