"""What BMMAL's authors show of it (ACM MM 2023, Figures 2 to 8), on data sets of one's own: which of it holds.

    python examples/benchmarks/bmmal_claims.py emoji digits:fou,pix FOLDER... --regimes frozen,trained --seeds 5

Takes what evidence.py takes. Regimes: "frozen" fits the heads on the features as they are (the convex solver);
"trained" trains an encoder for each modality on the fused loss alone (encoder_dim, unimodal_weight=0, AdamW), the
authors' setting as far as precomputed features allow it: modalities then compete. Every seed has a split and a first
batch of its own. Prints a line for each set and regime, means over the rounds after the first and over seeds, in
points, with the t value over seeds in brackets:

share
    Contribution of the weaker modality (the one whose own head is less accurate) to the true class's probability, BMMAL
    less BADGE.
weaker's accuracy, fused accuracy
    Of the weaker modality's own head and of the fused one, BMMAL less BADGE; then BMMAL less random.
weight
    BMMAL's weight of the weaker modality in rows of the pool that the stronger one dominates: how much it intervenes.
classes
    Rank correlation, over classes, of what BMMAL gains there with how far the weaker modality's head is behind.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from evidence import all_sets
from scipy.stats import spearmanr

from skmmal import LateFusionClassifier, run_experiment
from skmmal.experiment import ExperimentResults

REGIMES = {
    "frozen": LateFusionClassifier(),
    "trained": LateFusionClassifier(
        encoder_dim=64, unimodal_weight=0.0, solver="adamw", max_iter=60, batch_size=32, learning_rate=2e-3
    ),
}


def run_one(classifier, X, y: np.ndarray, seed: int, arguments: argparse.Namespace) -> ExperimentResults:
    """BADGE, BMMAL and random from the same first batch."""
    y = np.unique(y, return_inverse=True)[1]
    order = np.random.default_rng([seed, len(y)]).permutation(len(y))
    n_test = min(len(y) // 3, arguments.most_test)
    test, pool = order[:n_test], order[n_test : n_test + arguments.most_pool]
    batch = max(20, 2 * len(np.unique(y)))
    return run_experiment(
        classifier, ["badge", "bmmal", "random"], X[pool], y[pool], X_test=X[test], y_test=y[test], n_initial=batch,
        n_instances=batch, n_rounds=min(arguments.rounds, len(pool) // (2 * batch)), seeds=[seed],
    )  # fmt: skip


def means(frame: pd.DataFrame) -> pd.DataFrame:
    """Of every strategy and seed, over the rounds after the first batch."""
    return frame[frame["round"] > 0].groupby(["strategy", "seed"]).mean(numeric_only=True)


def t_of(values: pd.Series) -> float:
    """Mean by its standard error."""
    return float(values.mean() / (values.std() / np.sqrt(len(values)) + 1e-12)) if len(values) > 1 else float("nan")


def by_class(results: list[ExperimentResults], weaker: str, stronger: str) -> float:
    """Whether classes of which the weaker modality knows less gain more by BMMAL."""
    table = pd.concat([each.classes for each in results])
    table = table[table["round"] > 0].groupby(["strategy", "label"]).mean(numeric_only=True)
    gains = table.loc["bmmal", "accuracy"] - table.loc["badge", "accuracy"]
    lag = table.loc["badge", f"accuracy_{stronger}"] - table.loc["badge", f"accuracy_{weaker}"]
    return float(spearmanr(gains, lag).statistic)


def line_of(name: str, regime: str, results: list[ExperimentResults]) -> dict[str, object]:
    """A line of the table."""
    frame = pd.concat([each.frame for each in results])
    found = means(frame)
    own = found.loc["badge"].filter(regex="^accuracy_").mean()
    weaker, stronger = (str(column).removeprefix("accuracy_") for column in (own.idxmin(), own.idxmax()))
    line: dict[str, object] = {"data": name, "regime": regime, "weaker": weaker}
    for title, column, other in (
        ("share", f"contribution_{weaker}", "badge"),
        ("weaker's accuracy", f"accuracy_{weaker}", "badge"),
        ("fused accuracy", "accuracy", "badge"),
        ("weaker's, beside random", f"accuracy_{weaker}", "random"),
        ("fused, beside random", "accuracy", "random"),
    ):
        gain = found.loc["bmmal", column] - found.loc[other, column]
        line[title] = f"{100 * gain.mean():+.1f} ({t_of(gain):+.1f})"
    line["weight"] = f"{found.loc['bmmal', f'weaker_weight_{stronger}'].mean():.2f}"
    line["share under BADGE"] = f"{found.loc['badge', f'contribution_{weaker}'].mean():.2f}"
    line["classes"] = f"{by_class(results, weaker, stronger):+.2f}"
    return line


def main() -> None:
    """Print the table, a line as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", help="emoji, digits:fou,pix, ... or folders, files (.npz)")
    parser.add_argument("--regimes", default="frozen,trained", help="by commas")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most-pool", type=int, default=1500)
    parser.add_argument("--most-test", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="CSV of the table")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    lines = []
    for name, X, y in all_sets(arguments.sources):
        for regime in arguments.regimes.split(","):
            results = [run_one(REGIMES[regime], X, y, seed, arguments) for seed in range(arguments.seeds)]
            lines.append(line_of(name, regime, results))
            print(pd.DataFrame(lines[-1:]).to_string(index=False, header=len(lines) == 1), flush=True)
            if arguments.out is not None:
                pd.DataFrame(lines).to_csv(arguments.out, index=False)


if __name__ == "__main__":
    main()
