"""Balanced training: an easy modality leaves the encoder of a hard one behind; which method brings it back?

Generated data: in the easy modality each class is one cluster, in the hard one eight. A linear probe on the hard
modality's embedding tells how well its encoder was trained, beside an encoder trained on the hard modality alone. Two
seeds by default, about a minute on one core; --seeds 10 for the table in results/balancing. Writes results.csv,
table.csv and figure.png to the folder --out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import joblib
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.balancing import OGM, DiagnosingRelearning, available_balancings

N_TRAIN, N_TEST, N_CLASSES, N_CLUSTERS = 1200, 1200, 4, 8
N_EPOCHS = 40
METHODS = {
    "plain": None,
    **{name: name for name in available_balancings()},
    "relearning": DiagnosingRelearning(period=N_EPOCHS // 4),
    "ogm, on steps": OGM(modulate="step"),
}
SOLVERS = {"sgd": 0.04, "adamw": 0.003}
LOSSES = {"fused loss only": 0.0, "all heads": 1.0}


def make_problem(seed: int) -> tuple[MultimodalArray, np.ndarray]:
    """Rows of two modalities; both tell the class, the hard one only after a good encoder."""
    rng = np.random.default_rng(seed)
    y = np.arange(N_TRAIN + N_TEST) % N_CLASSES
    centres = rng.standard_normal((N_CLASSES, 20)) * 4 / np.sqrt(20)
    clusters = rng.standard_normal((N_CLASSES, N_CLUSTERS, 40))
    easy = centres[y] + rng.standard_normal((len(y), 20))
    hard = clusters[y, rng.integers(0, N_CLUSTERS, len(y))] + rng.standard_normal((len(y), 40))
    return MultimodalArray({"easy": easy, "hard": hard}), y


def probe(clf: LateFusionClassifier, X: MultimodalArray, y: np.ndarray, name: str) -> float:
    """Test accuracy of a linear classifier on a modality's embedding."""
    values = clf.embed(X)[name]
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return linear.fit(values[:N_TRAIN], y[:N_TRAIN]).score(values[N_TRAIN:], y[N_TRAIN:])


def run(seed: int) -> list[dict]:
    """All methods under both solvers, with and without the modalities' own losses; and the hard modality alone."""
    torch.set_num_threads(1)  # small matrices: threads only get in each other's way
    X, y = make_problem(seed)
    alone = MultimodalArray({"hard": X["hard"]})
    without_easy = MultimodalArray({"easy": np.full((N_TEST, 20), np.nan), "hard": X["hard"][N_TRAIN:]})
    rows = []
    for solver, rate in SOLVERS.items():
        params = {"encoder_dim": 32, "solver": solver, "learning_rate": rate, "weight_decay": 1e-4}
        params |= {"max_iter": N_EPOCHS, "batch_size": 128, "device": "cpu", "random_state": seed}
        solo = LateFusionClassifier(**params).fit(alone[:N_TRAIN], y[:N_TRAIN])
        where = {"solver": solver, "seed": seed}
        best = probe(solo, alone, y, "hard")
        rows.append({**where, "method": "hard modality alone", "losses": "", "probe_hard": best})
        for losses, weight in LOSSES.items():
            for method, balancing in METHODS.items():
                clf = LateFusionClassifier(**params, balancing=balancing, unimodal_weight=weight)
                clf.fit(X[:N_TRAIN], y[:N_TRAIN])
                rows.append(
                    {
                        **where,
                        "method": method,
                        "losses": losses,
                        "probe_hard": probe(clf, X, y, "hard"),
                        "probe_easy": probe(clf, X, y, "easy"),
                        "fused": clf.score(X[N_TRAIN:], y[N_TRAIN:]),
                        "fused_without_easy": clf.score(without_easy, y[N_TRAIN:]),
                        "discrepancy_easy": clf.discrepancy_["easy"][-1],
                    }
                )
    return rows


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds; the gap is between plain training on the fused loss and the hard modality alone."""
    measures = ["probe_hard", "probe_easy", "fused", "fused_without_easy", "discrepancy_easy"]
    keys = ["solver", "losses", "method"]
    table = frame.groupby(keys, sort=False)[measures].mean()
    table.insert(1, "probe_hard_sd", frame.groupby(keys, sort=False)["probe_hard"].std())
    for solver in SOLVERS:
        low = table.loc[(solver, "fused loss only", "plain"), "probe_hard"]
        high = table.loc[(solver, "", "hard modality alone"), "probe_hard"]
        table.loc[[solver], "gap_closed"] = (table.loc[[solver], "probe_hard"] - low) / (high - low)
    return table.reset_index()


def print_tables(table: pd.DataFrame, n_seeds: int) -> None:
    """Print a table for each solver and choice of losses."""
    columns = ["hard, probe", "± s.d.", "gap closed", "easy, probe", "fused", "fused, easy missing"]
    for solver in SOLVERS:
        for losses in LOSSES:
            chosen = table[(table["solver"] == solver) & table["losses"].isin([losses, ""])]
            printed = Table(title=f"{solver}, {losses}: test accuracy, {n_seeds} seeds")
            for column in ["method", *columns]:
                printed.add_column(column, justify="left" if column == "method" else "right")
            for row in chosen.itertuples():
                values = [row.probe_easy, row.fused, row.fused_without_easy]
                cells = [f"{row.probe_hard:.3f}", f"{row.probe_hard_sd:.3f}", f"{100 * row.gap_closed:.0f} %"]
                printed.add_row(row.method, *cells, *("" if np.isnan(v) else f"{v:.3f}" for v in values))
            Console(width=110).print(printed)


def plot(table: pd.DataFrame, path: Path) -> None:
    """Probes of the hard modality by method, one panel for each solver."""
    names = list(METHODS)
    figure, axes = plt.subplots(1, len(SOLVERS), figsize=(11, 4.8), sharex=True, sharey=True, layout="constrained")
    for axis, solver in zip(axes, SOLVERS, strict=True):
        of_solver = table[table["solver"] == solver].set_index(["losses", "method"])
        alone = of_solver.loc[("", "hard modality alone"), "probe_hard"]
        axis.axvline(alone, color="0.4", label="hard modality alone")
        plain = of_solver.loc[("fused loss only", "plain"), "probe_hard"]
        axis.axvline(plain, color="0.4", linestyle=":", label="plain training, fused loss only")
        for losses, (colour, marker) in zip(LOSSES, (("C0", "o"), ("C1", "s")), strict=True):
            rows = of_solver.loc[losses].loc[names]
            axis.errorbar(
                rows["probe_hard"], range(len(names)), xerr=rows["probe_hard_sd"], color=colour, marker=marker,
                linestyle="none", capsize=2, label=losses,
            )  # fmt: skip
        axis.set(title=f"solver={solver!r}", xlabel="accuracy of a linear probe on the hard modality's embedding")
        axis.set_yticks(range(len(names)), names)
        axis.grid(alpha=0.3)
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="how many generated problems (default: 2)")
    parser.add_argument("--n-jobs", type=int, default=1, help="seeds at a time (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("balanced_training"), help="folder (default: %(default)s)")
    arguments = parser.parse_args()

    found = joblib.Parallel(n_jobs=arguments.n_jobs, verbose=10)(joblib.delayed(run)(s) for s in range(arguments.seeds))
    frame = pd.DataFrame([row for rows in found for row in rows])
    table = summarise(frame)
    arguments.out.mkdir(parents=True, exist_ok=True)
    frame.to_csv(arguments.out / "results.csv", index=False, float_format="%.6f")
    table.to_csv(arguments.out / "table.csv", index=False, float_format="%.4f")
    print_tables(table, arguments.seeds)
    plot(table, arguments.out / "figure.png")
    print(f"wrote results.csv, table.csv and figure.png to {arguments.out}")


if __name__ == "__main__":
    main()
