"""Draw the README's picture from the recorded runs: python docs/picture.py"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import pandas as pd

DOCS = Path(__file__).parent
STRATEGIES = {"uherding": "UHerding", "bmmal": "BMMAL", "margin": "margin", "random": "random"}
HEADS = {"accuracy": "both", "accuracy_text": "text alone", "accuracy_image": "image alone"}


def draw(ax: plt.Axes, results: pd.DataFrame, measure: str, label: str) -> None:
    """Draw the mean over the seeds and its standard error."""
    curve = results.groupby("n_labeled")[measure].agg(["mean", "sem"])
    (line,) = ax.plot(curve.index, curve["mean"], label=label)
    ax.fill_between(
        curve.index, curve["mean"] - curve["sem"], curve["mean"] + curve["sem"], color=line.get_color(), alpha=0.2
    )


def main() -> None:
    """Write learning_curves.png beside the style."""
    results = pd.read_csv(DOCS.parent / "examples" / "results" / "emoji" / "results.csv")
    plt.style.use(DOCS / "_static" / "skmmal.mplstyle")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    for name, label in STRATEGIES.items():
        draw(left, results[results["strategy"] == name], "accuracy", label)
    for measure, label in HEADS.items():
        draw(right, results[results["strategy"] == "bmmal"], measure, label)
    left.set(title="Four strategies", xlabel="labels", ylabel="test accuracy")
    right.set(title="What each modality learns, under BMMAL", xlabel="labels")
    for ax in (left, right):
        ax.legend(loc="lower right")
    figure.savefig(DOCS / "_static" / "learning_curves.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
