"""Measure several ways to one result: time in one process, in turn; memory in processes of their own."""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from memory import forget_peak, peak_megabytes, resident_megabytes


@dataclass(frozen=True)
class Side:
    """One way to the result: a name, and what is timed, called with the comparison's inputs."""

    label: str
    run: Callable[[Any], Any]
    repeat: int | None = None
    """How often, where that differs from the others, because it takes minutes, or next to no time."""
    clock: Callable[[], float] = time.process_time
    """Tells processor seconds, where the work is done in another process."""


@dataclass(frozen=True)
class Comparison:
    """What is compared: the first side, skmmal's unless said otherwise, is what the others are held against.

    `check` is called with the results by label; it raises where they disagree and says in a few words what was found
    to agree.
    """

    name: str
    size: str
    make: Callable[[], Any]
    sides: tuple[Side, ...]
    check: Callable[[dict[str, Any]], str] = lambda results: ""


def measure(comparison: Comparison, repeat: int) -> list[dict[str, Any]]:
    """Run all sides in turn, `repeat` times; one record for each side."""
    inputs = comparison.make()
    wall: dict[str, list[float]] = {side.label: [] for side in comparison.sides}
    cpu: dict[str, list[float]] = {side.label: [] for side in comparison.sides}
    results: dict[str, Any] = {}
    for turn in range(max(repeat, *(side.repeat or 0 for side in comparison.sides))):
        for side in comparison.sides:
            if turn >= (side.repeat or repeat):
                continue
            gc.collect()
            before_cpu, before = side.clock(), time.perf_counter()
            results[side.label] = side.run(inputs)
            wall[side.label].append(time.perf_counter() - before)
            cpu[side.label].append(side.clock() - before_cpu)
    agreement = comparison.check(results)
    ours = comparison.sides[0].label
    return [
        {
            "comparison": comparison.name,
            "size": comparison.size,
            "side": side.label,
            "repeats": len(wall[side.label]),
            "seconds": statistics.median(wall[side.label]),
            "fastest": min(wall[side.label]),
            "slowest": max(wall[side.label]),
            "cpu_seconds": statistics.median(cpu[side.label]),
            "times_ours": statistics.median(wall[side.label]) / statistics.median(wall[ours]),
            "times_ours_cpu": statistics.median(cpu[side.label]) / statistics.median(cpu[ours]),
            "agreement": agreement,
        }
        for side in comparison.sides
    ]


def peak_memory(comparison: Comparison, label: str) -> float | None:
    """Megabytes that one side needs beyond its inputs; ``None`` where the system does not tell.

    To be called in a process of its own: what an earlier side left behind would be reused.
    """
    side = next(side for side in comparison.sides if side.label == label)
    inputs = comparison.make()
    gc.collect()
    try:
        forget_peak()  # that of making the inputs
    except OSError:
        return None
    before = resident_megabytes()
    kept = side.run(inputs)
    peak = peak_megabytes() - before
    del kept
    return peak


def memory_in_own_process(command: list[str]) -> float | None:
    """Run `command`, which prints the result of `peak_memory` as its last line."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Pin the threads of torch and of numpy's libraries."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with threadpool_limits(number):
            yield
    finally:
        torch.set_num_threads(before)


def print_records(records: list[dict[str, Any]]) -> None:
    """One table for each comparison."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=132)
    for (name, size), rows in pd.DataFrame(records).groupby(["comparison", "size"], sort=False):
        table = Table(title=f"{name}: {size}", title_justify="left")
        for column in ("", "seconds", "fastest to slowest", "processor", "times ours", "(processor)", "MB"):
            table.add_column(column, justify="right" if column else "left")
        for row in rows.itertuples():
            memory = "" if pd.isna(row.peak_mb) else f"{row.peak_mb:,.0f}"
            table.add_row(
                row.side,
                f"{row.seconds:.3g}",
                f"{row.fastest:.3g} to {row.slowest:.3g} (x{row.repeats})",
                f"{row.cpu_seconds:.3g}",
                f"{row.times_ours:.2f}",
                f"{row.times_ours_cpu:.2f}",
                memory,
            )
        console.print(table)
        if rows["agreement"].iloc[0]:
            console.print(f"  {rows['agreement'].iloc[0]}\n")


def draw(records: list[dict[str, Any]], path: Path) -> None:
    """Bars of how many times skmmal's own time every other side takes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    frame = pd.DataFrame(records)
    others = frame[frame["times_ours"] != 1.0].iloc[::-1]
    labels = [f"{row.comparison}: {row.side}" for row in others.itertuples()]
    figure, axes = plt.subplots(figsize=(9, 0.6 + 0.28 * len(others)), layout="constrained")
    axes.barh(range(len(others)), others["times_ours"], color=["C0" if t >= 1 else "C1" for t in others["times_ours"]])
    axes.set_yticks(range(len(others)), labels, fontsize=8)
    axes.bar_label(axes.containers[0], fmt="%.3g", padding=2, fontsize=8)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.set_xlabel("times skmmal's own time (log scale)")
    figure.savefig(path, dpi=100)
    plt.close(figure)
