"""Measure every hot path beside its peers, and beside the matrix products it cannot beat, in one run.

By default on small sizes, in a few minutes; ``--full`` takes the papers' sizes, and far longer. Every way is run in the
same process, in turn, with pinned threads; medians and spreads are printed and, with ``--out``, written as text, CSV
and a figure. ``--memory`` measures peak memory beyond the inputs, in a process for each way. The peers are installed by
``pip install -c constraints.txt -e ".[benchmark]"`` and, for modAL, which asks for an old skorch,
``pip install --no-deps modAL-python==0.4.2.1``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import other_version
import pandas as pd
from harness import draw, measure, memory_in_own_process, peak_memory, print_records, threads

TOPICS = ("selection", "peers", "fitting", "contributions", "experiment")
"""What is measured by default; "hot_paths" is measured where it is named."""
PACKAGES = ("skmmal", "torch", "numpy", "scikit-learn", "scikit-activeml", "modAL-python", "skorch")
INSTALL = 'pip install -c constraints.txt -e ".[benchmark]", then pip install --no-deps modAL-python==0.4.2.1'


def comparisons(topic: str, full: bool) -> list:
    """All comparisons of a topic, a module beside this one."""
    return importlib.import_module(topic).comparisons(full)


def main() -> None:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the papers' sizes")
    parser.add_argument("--only", default=",".join(TOPICS), help="topics by commas, of hot_paths, " + ", ".join(TOPICS))
    parser.add_argument("--before", type=Path, help="checkout of another version of skmmal, for hot_paths")
    parser.add_argument("--match", default="", help="only comparisons whose name holds this text")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", action="store_true", help="measure peak memory, too: twice the time")
    parser.add_argument("--out", type=Path, help="folder for benchmark.txt, benchmark.csv and benchmark.png")
    parser.add_argument("--memory-of", nargs=3, metavar=("TOPIC", "NAME", "SIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.before is not None:
        os.environ[other_version.VARIABLE] = str(arguments.before.resolve())

    with threads(arguments.threads):
        if arguments.memory_of:
            topic, name, side = arguments.memory_of
            chosen = next(each for each in comparisons(topic, arguments.full) if each.name == name)
            print(json.dumps(peak_memory(chosen, side)))
            return
        records = run(arguments)
    if arguments.out is not None:
        save(records, arguments)


def run(arguments: argparse.Namespace) -> list[dict]:
    """Measure and print one comparison after the other."""
    print(header(arguments), flush=True)
    records = []
    for topic in arguments.only.split(","):
        for comparison in comparisons(topic, arguments.full):
            if arguments.match not in comparison.name:
                continue
            found = measure(comparison, arguments.repeat)
            for record in found:
                command = [__file__, "--threads", str(arguments.threads), *(["--full"] if arguments.full else [])]
                command += ["--memory-of", topic, comparison.name, record["side"]]
                record["peak_mb"] = memory_in_own_process(command) if arguments.memory else None
                record["topic"] = topic
            print_records(found)
            sys.stdout.flush()
            records += found
    return records


def header(arguments: argparse.Namespace) -> str:
    """What was measured with."""
    try:
        packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    except PackageNotFoundError as error:
        raise SystemExit(f"{error.name} is not installed; to have all peers: {INSTALL}") from None
    return f"{arguments.threads} threads, {platform.machine()}, Python {platform.python_version()}; {packages}"


def save(records: list[dict], arguments: argparse.Namespace) -> None:
    """Write text, numbers and figure."""
    from contextlib import redirect_stdout

    arguments.out.mkdir(parents=True, exist_ok=True)
    with open(arguments.out / "benchmark.txt", "w", encoding="utf-8") as file, redirect_stdout(file):
        print(header(arguments))
        print_records(records)
    pd.DataFrame(records).to_csv(arguments.out / "benchmark.csv", index=False)
    draw(records, arguments.out / "benchmark.png")


if __name__ == "__main__":
    main()
