"""The picture of the first page: learning curves of four strategies, drawn from a committed run in the site's style."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

__all__ = ["draw", "mean_curves"]

STRATEGIES = ("uherding", "bmmal", "margin", "random")


def mean_curves(results: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Mean accuracy over the seeds of a run by number of labels, for `STRATEGIES`."""
    values: dict[str, dict[int, list[float]]] = {name: {} for name in STRATEGIES}
    with open(results, newline="", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            if line["strategy"] in values:
                values[line["strategy"]].setdefault(int(line["n_labeled"]), []).append(float(line["accuracy"]))
    return {
        name: (sorted(points), [sum(points[n]) / len(points[n]) for n in sorted(points)]) for name, points in values.items()
    }


def draw(results: Path, style: Path, out: Path) -> None:
    """Draw the curves into a file."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    with plt.style.context(style), mpl.rc_context({"svg.hashsalt": "skmmal", "savefig.transparent": True}):
        figure, axes = plt.subplots(figsize=(7.4, 3.6))
        for name, (n_labeled, accuracy) in mean_curves(results).items():
            (line,) = axes.plot(n_labeled, accuracy, marker="o", label=name)
            if name == "random":
                line.set(color="0.5", linestyle="-", marker="")
        axes.set(xlabel="labels", ylabel="test accuracy")
        axes.legend()
        axes.grid(axis="y")
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, metadata={"Date": None})
        plt.close(figure)


def _draw(app: Any, config: Any) -> None:
    docs = Path(app.srcdir)
    results = docs.parent / "examples" / "results" / "emoji" / "results.csv"
    draw(results, docs / "_static" / "skmmal.mplstyle", docs / "_static" / "generated" / "curves.svg")


def setup(app: Any) -> dict[str, bool]:
    """Draw before the sources are looked for."""
    app.connect("config-inited", _draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
