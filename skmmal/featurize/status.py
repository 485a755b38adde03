"""How far a featurization is, from what is on disk alone: ``python -m skmmal.featurize.status FOLDER``."""

from __future__ import annotations

import argparse
import collections
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from skmmal.features import CacheError, FeatureStore

__all__ = ["main", "status"]

STAGES = ("read", "decode", "infer", "write")


def status(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Say, per modality, what is done, what failed, what it costs and what is left.

    Parameters
    ----------
    folder : path
        A feature cache, finished or not; a job may be running.

    Returns
    -------
    dict
        Per modality: rows ``total``, ``done``, ``failed``; ``noted`` (kind of note to number of items: cut texts,
        and what stands in ``notes.jsonl``); ``reasons`` (exception to number of items, commonest first); and while
        it is unfinished ``seconds`` by stage over the rows done, the stage that is the ``bottleneck`` (read and
        decode run in workers beside infer), and ``running``: who is writing.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skmmal import FeatureStore
    >>> from skmmal.featurize.status import status
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = FeatureStore.write(folder + "/cache", {"text": np.eye(2)}, ids=["a", "b"])
    ...     report = status(folder + "/cache")
    >>> report["text"]["total"], report["text"]["done"]
    (2, 2)
    """
    store = FeatureStore.open(folder)
    report = {}
    for name in store.metadata:
        errors = store.errors(name)
        progress = store.progress(name)
        seconds = {stage: progress["seconds"].get(stage, 0.0) for stage in STAGES if stage in progress["seconds"]}
        report[name] = {
            "total": store.n_samples,
            "done": progress["done"],
            "failed": len(errors),
            "noted": store.info()["modalities"][name]["notes"],
            "reasons": dict(collections.Counter(error["exception"] for error in errors).most_common()),
            "seconds": seconds,
            "bottleneck": max(seconds, key=lambda stage: seconds[stage]) if seconds else None,
            "running": progress["running"],
            "seconds_left": progress["seconds_left"],
        }
    return report


def main(arguments: list[str] | None = None, *, prog: str = "python -m skmmal.featurize.status") -> int:
    """Print `status`.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of the process.
    prog : str, default="python -m skmmal.featurize.status"
        How the user calls it.

    Returns
    -------
    int
        Exit status: 0, or 1 where there is no feature cache.

    Examples
    --------
    >>> import contextlib
    >>> import io
    >>> import tempfile
    >>> import numpy as np
    >>> from skmmal import FeatureStore
    >>> from skmmal.featurize.status import main
    >>> with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as printed:
    ...     store = FeatureStore.write(folder + "/cache", {"text": np.eye(2)}, ids=["a", "b"])
    ...     exit_status = main([folder + "/cache"])
    >>> exit_status, "2/2" in printed.getvalue()
    (0, True)
    """
    parser = argparse.ArgumentParser(prog=prog, description="How far a featurization is, from what is on disk alone.")
    parser.add_argument("folder", type=Path, help="the feature cache")
    parser.add_argument("--json", action="store_true", help="print all of it for programs")
    console = Console()
    parsed = parser.parse_args(arguments)
    try:
        report = status(parsed.folder)
    except (CacheError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if parsed.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
        return 0
    table = Table("modality", "done", "failed", "commonest reason", "noted", "bottleneck", "left", "running")
    for name, entry in report.items():
        left = entry["seconds_left"]
        table.add_row(
            name,
            f"{entry['done']}/{entry['total']}",
            str(entry["failed"]),
            ", ".join(f"{reason} ×{count}" for reason, count in list(entry["reasons"].items())[:3]),
            ", ".join(f"{kind} ×{count}" for kind, count in entry["noted"].items()),
            entry["bottleneck"] or "",
            "" if left is None else f"{left / 60:.1f} min",
            "; ".join(entry["running"]) or ("" if entry["done"] == entry["total"] else "no job"),
        )
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
