"""Compare MVOPT with other strategies: accuracy of the fused head, and of the modalities' own heads.

Prints, for each data set, the area under MVOPT's learning curve, and by how many points of accuracy it is ahead of each
other strategy, paired by seed. Every seed has its own split into pool and test rows and its own first batch, shared by
the strategies. By default on two of the shipped data sets with three seeds, about a minute on two cores. With
--results-dir every round is kept, and a run that was killed goes on where it was; --suite all --seeds 20
--strategies all takes hours.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from skmmal import LateFusionClassifier, ModalityScaler
from skmmal.experiment import ExperimentResults, compare, pairwise_matrix, run_experiment
from skmmal.experiment.sources import load_dataset, split
from skmmal.query import available_strategies

STRATEGIES = ["margin", "badge", "bmmal", "uherding", "random", "mvopt"]
SHIPPED = [
    "emoji",
    "emoji:subcategory,8",
    "digits:fou,pix",
    "digits:zer,kar",
    "digits:kar,mor",
    "digits:mor,fou,zer",
]
PITFALLS = [
    "interaction-redundant",
    "difficulty",
    "interaction-unique",
    "missing",
    "missing-class",
    "missing-one",
    "interaction-mixed",
]
SUITES = {
    "short": ["emoji", "digits:fou,pix"],
    "shipped": SHIPPED,
    "generated": [f"mind-the-gap:{pitfall}" for pitfall in PITFALLS],
}
SUITES["all"] = SUITES["shipped"] + SUITES["generated"]
BUDGETS = {"emoji": 40, "emoji:subcategory,8": 100}
METRICS = {"accuracy": "fused head", "accuracy_modalities": "mean of the modalities' own heads"}
TABLES = ("frame", "selected", "classes")
N_ROUNDS, OTHERS = 8, 20


def run(name: str, strategies: list[str], seeds: int, n_jobs: int, folder: Path | None) -> ExperimentResults:
    """Run one data set: first batch at random, then `N_ROUNDS` batches of the same size."""
    data = load_dataset(name)
    data.X = ModalityScaler().fit_transform(data.X)
    parts = []
    for seed in range(seeds):
        pool, test = split(data, 0.3, seed)
        parts.append(
            run_experiment(
                LateFusionClassifier(),
                strategies,
                pool.X,
                pool.y,
                X_test=test.X,
                y_test=test.y,
                n_initial=BUDGETS.get(name, OTHERS),
                n_instances=BUDGETS.get(name, OTHERS),
                n_rounds=N_ROUNDS,
                seeds=[seed],
                n_jobs=n_jobs,
                results_dir=None if folder is None else folder / _plain(name) / f"seed-{seed}",
                metadata={"dataset": name},
                verbose=1,
            )
        )
    results = _together(parts)
    own = [f"accuracy_{modality}" for modality in results.modalities]
    results.frame["accuracy_modalities"] = results.frame[own].mean(axis=1)
    return results


def _together(parts: list[ExperimentResults]) -> ExperimentResults:
    tables = [pd.concat([getattr(part, name) for part in parts], ignore_index=True) for name in TABLES]
    return ExperimentResults(*tables, parts[0].config)


def _plain(name: str) -> str:
    return name.replace("mind-the-gap", "gap").replace(":", "-").replace(",", "-")


def differences(results: ExperimentResults, metric: str) -> pd.DataFrame:
    """By how much MVOPT is ahead of each other strategy: mean and interval, in points, and the corrected p-value."""
    table = compare(results.frame, "mvopt", metric)
    area = results.area_under_curve(metric)["mean"]
    return pd.DataFrame(
        {
            "area": area[table.index],
            "ahead": -100 * table["difference"],
            "low": -100 * table["high"],
            "high": -100 * table["low"],
            "p": table["holm_pvalue"],
        }
    )


def print_table(found: dict[str, ExperimentResults], metric: str) -> None:
    """One line per data set; a star where the difference is significant after Holm's correction."""
    strategies = [name for name in next(iter(found.values())).strategies if name != "mvopt"]
    table = Table(title=f"area under the curve, {METRICS[metric]}: MVOPT, and by how many points it is ahead of")
    for column in ("data", "MVOPT", *strategies):
        table.add_column(column, justify="left" if column == "data" else "right")
    for name, results in found.items():
        ahead = differences(results, metric)
        cells = [f"{row.ahead:+.1f}{'*' if row.p < 0.05 else ' '}" for row in ahead.loc[strategies].itertuples()]
        table.add_row(name, f"{results.area_under_curve(metric)['mean']['mvopt']:.3f}", *cells)
    Console(width=max(100, 30 + 11 * len(strategies))).print(table)


def save(found: dict[str, ExperimentResults], folder: Path) -> None:
    """Write the differences, and the pairwise matrix over all data sets as numbers and as a figure."""
    import matplotlib

    matplotlib.use("Agg")
    from skmmal.display import PairwiseMatrixDisplay

    tables = {(name, METRICS[m]): differences(results, m) for name, results in found.items() for m in METRICS}
    ahead = pd.concat(tables, names=["data", "head", "strategy"])
    ahead.round(4).to_csv(folder / "differences.csv")
    for metric in METRICS:
        matrix = pairwise_matrix([results.frame for results in found.values()], metric)
        matrix.round(3).to_csv(folder / f"pairwise_{metric}.csv")
        figure = PairwiseMatrixDisplay(matrix).plot().figure_
        figure.savefig(folder / f"pairwise_{metric}.png", dpi=100, bbox_inches="tight")


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=list(SUITES), default="short")
    parser.add_argument("--seeds", type=int, default=3, help="2 or more (default: 3)")
    parser.add_argument("--strategies", default=",".join(STRATEGIES), help="names by commas, or all")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--results-dir", type=Path, help="keep every round there, and go on from there")
    arguments = parser.parse_args()

    chosen = available_strategies() if arguments.strategies == "all" else arguments.strategies.split(",")
    strategies = list(dict.fromkeys([*chosen, "mvopt"]))
    found = {}
    for name in SUITES[arguments.suite]:
        found[name] = run(name, strategies, arguments.seeds, arguments.n_jobs, arguments.results_dir)
    for metric in METRICS:
        print_table(found, metric)
    print(f"{arguments.seeds} seeds; *: p < 0.05, paired t-test over seeds, after Holm's correction")
    if arguments.results_dir is not None:
        save(found, arguments.results_dir)


if __name__ == "__main__":
    main()
