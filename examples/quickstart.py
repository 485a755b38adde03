"""Choose the next batch on real multimodal data: emoji as pictures and as names.

Starts from 40 labelled emoji, asks four strategies for 8 batches of 40, and prints what the model learned from each
modality. Three random starts, about a minute on two cores. Writes quickstart.png and quickstart.csv.
"""

from __future__ import annotations

import argparse

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.model_selection import train_test_split

from skmmal import ActiveLearner, LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_emoji
from skmmal.query import get_strategy

STRATEGIES = {"bmmal": "BMMAL", "badge": "BADGE", "margin": "Margin", "random": "Random"}
LINES = {
    "bmmal": ("C0", "-", "o"),
    "badge": ("C1", "--", "s"),
    "margin": ("C2", "-.", "^"),
    "random": ("0.5", ":", "x"),
}
N_INITIAL, N_INSTANCES, N_ROUNDS, N_SEEDS = 40, 40, 8, 3


def run(X, y, name, seed):
    """One learner from its first labels to its last; a row of measurements for every round."""
    pool, test = train_test_split(np.arange(len(y)), test_size=0.4, stratify=y, random_state=seed)
    labelled = np.random.RandomState(seed).choice(len(pool), N_INITIAL, replace=False)
    first, pool = pool[labelled], np.delete(pool, labelled)
    strategy = get_strategy(name)
    if "random_state" in strategy.get_params():
        strategy.set_params(random_state=seed)
    learner = ActiveLearner(LateFusionClassifier(warm_start=True), strategy, X[first], y[first], classes=np.unique(y))
    for round_ in range(N_ROUNDS + 1):
        if round_ > 0:
            rows, instances = learner.query(X[pool], n_instances=N_INSTANCES)
            learner.teach(instances, y[pool[rows]])
            pool = np.delete(pool, rows)
        shares = learner.estimator.modality_contributions(X[test], y[test]).mean(axis=0)
        yield {
            "strategy": name,
            "seed": seed,
            "n_labeled": len(learner.y_training),
            **learner.estimator.score_by_modality(X[test], y[test]),
            **{f"contribution_{modality}": share for modality, share in zip(X.modalities, shares, strict=True)},
        }


def print_table(frame: pd.DataFrame, scale: str) -> None:
    """Accuracy after the last round and, for the fused model, averaged over all rounds."""
    last = frame[frame["n_labeled"] == frame["n_labeled"].max()].groupby("strategy").mean(numeric_only=True)
    per_run = frame.groupby(["strategy", "seed"])["fused"].mean().groupby("strategy")
    table = Table(title=f"emoji, 8 classes, {N_SEEDS} seeds, features: {scale}")
    columns = ["strategy", "mean fused acc.", "± s.d.", "fused", "image", "text", "contribution image", "text"]
    for column in columns:
        table.add_column(column, justify="left" if column == "strategy" else "right")
    for name, label in STRATEGIES.items():
        row = last.loc[name]
        values = [row["fused"], row["image"], row["text"], row["contribution_image"], row["contribution_text"]]
        spread = [per_run.mean()[name], per_run.std()[name]]
        table.add_row(label, *(f"{value:.3f}" for value in (*spread, *values)))
    Console(width=110).print(table)
    print(f"mean fused acc.: over all rounds; the columns after it: with {frame['n_labeled'].max()} labels.")


def plot(frame: pd.DataFrame, path: str) -> None:
    """Learning curves of the fused model and of each modality."""
    panels = ["fused", "image", "text"]
    figure, axes = plt.subplots(1, len(panels), figsize=(11, 3.6), sharex=True, sharey=True, layout="constrained")
    for axis, panel in zip(axes, panels, strict=True):
        for name, label in STRATEGIES.items():
            colour, line, marker = LINES[name]
            curve = frame[frame["strategy"] == name].groupby("n_labeled")[panel].mean()
            axis.plot(curve.index, curve, color=colour, linestyle=line, marker=marker, markersize=4, label=label)
        axis.set(title=panel, xlabel="labelled emoji")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"test accuracy (mean of {N_SEEDS} seeds)")
    axes[0].legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=["standard", "l2", "none"], default="standard", help="see ModalityScaler")
    parser.add_argument("--out", default="quickstart", help="name of the .png and the .csv (default: quickstart)")
    arguments = parser.parse_args()

    emoji = load_emoji()
    X = ModalityScaler(method=arguments.scale).fit_transform(emoji.data)
    y = emoji.target_names[emoji.target]
    runs = [(name, seed) for seed in range(N_SEEDS) for name in STRATEGIES]
    console = Console(stderr=True)
    rows = [row for name, seed in track(runs, "learning", console=console) for row in run(X, y, name, seed)]
    frame = pd.DataFrame(rows)
    frame.to_csv(f"{arguments.out}.csv", index=False, float_format="%.6f")
    print_table(frame, arguments.scale)
    plot(frame, f"{arguments.out}.png")
    print(f"wrote {arguments.out}.csv and {arguments.out}.png")


if __name__ == "__main__":
    main()
