"""All strategies on all data, and the tables that say who is behind whom: the evidence of the results pages.

    python examples/benchmarks/evidence.py WORK emoji digits:fou,pix FOLDER... --seeds 20 --n-jobs 2

Takes data sets that ``skmmal simulate`` knows by name, and folders or files of .npz (one array for each modality, rows
aligned, and the classes in ``y``). Every seed has a split and a first batch of its own, the same for all strategies; a
batch has two rows for each class, and no fewer than 20. WORK keeps every round as it ends: the same command again goes
on where it was, and with other strategies or more seeds it adds to what is there.

In WORK/tables, from all that WORK holds of the command's data, classifiers, strategies and seeds:

``areas.csv``
    A line for every data set, classifier, head and strategy: area under the learning curve, accuracy at the end, share
    of random's labels that was saved. Heads are the fused one and that of the weakest modality.
``pairs.csv``
    A line for every pair of strategies on a data set: difference of their areas, the effect size (the mean difference
    over seeds by its standard deviation), the p-value of a paired t-test and the one after Holm's correction for all
    strategies that one is compared with.
``wins_*.csv``
    Share of the rounds in which the strategy of the row is significantly better than that of the column.
``page.md``
    The areas as tables to read, who is significantly behind whom, and where random is not beaten.
"""

from __future__ import annotations

import argparse
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from choosing_weights import data_sets
from joblib import Parallel, delayed

from skmmal import LateFusionClassifier, LateFusionClassifierCV, ModalityScaler
from skmmal.experiment import (
    area_under_curve,
    compare,
    labels_saved,
    pairwise_matrix,
    run_experiment,
)
from skmmal.experiment.sources import load_dataset
from skmmal.query import available_strategies

CLASSIFIERS = {"cv": LateFusionClassifierCV(), "plain": LateFusionClassifier(), "flat": LateFusionClassifier(C=0.01)}
STRATEGIES = "auto,mvopt,uherding,badge,bmmal,margin,typiclust,random"


def all_sets(sources: list[str]):
    """Names, scaled features and classes of data sets by name, and of files."""
    for source in sources:
        if Path(source).exists():
            yield from data_sets([source], "standard")
        else:
            data = load_dataset(source)
            yield source.replace(":", "-").replace(",", "-"), ModalityScaler().fit_transform(data.X), np.asarray(data.y)


def run_one(
    folder: Path, classifier: str, X, y: np.ndarray, strategies: list[str], seed: int, arguments
) -> pd.DataFrame:
    """Return the curves of every strategy for one seed; what is there already is not run again."""
    y = np.unique(y, return_inverse=True)[1]
    order = np.random.default_rng([seed, len(y)]).permutation(len(y))
    n_test = min(len(y) // 3, arguments.most_test)
    test, pool = order[:n_test], order[n_test : n_test + arguments.most_pool]
    batch = max(20, 2 * len(np.unique(y)))
    n_rounds = min(arguments.rounds, len(pool) // (2 * batch))
    curves = []
    for name in strategies:
        results = run_experiment(
            CLASSIFIERS[classifier], name, X[pool], y[pool], X_test=X[test], y_test=y[test],
            n_initial=batch, n_instances=batch, n_rounds=n_rounds, seeds=[seed], n_jobs=1,
            results_dir=folder / classifier / name / str(seed),
        )  # fmt: skip
        curves.append(results.frame)
    return pd.concat(curves, ignore_index=True)


def weakest(frame: pd.DataFrame) -> str:
    """Column of the modality whose own head is least accurate."""
    own = [name for name in frame if name.startswith("accuracy_")]
    return str(frame[own].mean().idxmin()) if own else "accuracy"


def areas_of(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Seeds × strategies."""
    return pd.DataFrame({seed: area_under_curve(part, metric)["mean"] for seed, part in frame.groupby("seed")}).T


def pairs_of(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A line for every pair, the second one being what the first is compared with."""
    areas, lines = areas_of(frame, metric), []
    for other in areas:
        table = compare(frame, baseline=other, metric=metric)
        spread = areas.sub(areas[other], axis=0).std()
        for name, found in table.iterrows():
            effect = found["difference"] / spread[name] if spread[name] > 0 else 0.0
            line = found[["difference", "t_pvalue", "holm_pvalue", "wins", "losses"]].to_dict()
            lines.append({"strategy": name, "other": other, "effect": effect, **line})
    return pd.DataFrame(lines)


def summary_of(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Area, accuracy at the end and labels saved, a line for each strategy."""
    table = area_under_curve(frame, metric).rename(columns={"mean": "area"})
    last = frame[frame["round"] == frame["round"].max()].groupby("strategy")[metric].mean()
    table["final"] = last
    if "random" in last:
        table["saved"] = labels_saved(frame, last["random"], metric=metric)["saved"]
    return table.rename_axis("strategy").reset_index()


def table_of(areas: pd.DataFrame) -> str:
    """Areas, a line for each data set; the largest are bold."""
    table = areas.pivot_table("area", "data", "strategy", sort=False)
    lines = [["", *table.columns], ["---"] * (1 + table.shape[1])]
    for name, row in table.iterrows():
        lines.append([name, *(f"**{area:.3f}**" if area == row.max() else f"{area:.3f}" for area in row)])
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def verdicts(pairs: pd.DataFrame) -> list[str]:
    """Who is significantly behind whom, and where random is not beaten."""
    lines = []
    clear = pairs[pairs["holm_pvalue"] < 0.05]
    for name, found in clear[clear["difference"] < 0].groupby("strategy", sort=False):
        by = [f"{line.other} on {line.data} ({100 * line.difference:.1f})" for line in found.itertuples()]
        lines.append(f"- {name} is behind {', '.join(by)}")
    won = clear[(clear["other"] == "random") & (clear["difference"] > 0)]
    rest = [name for name in dict.fromkeys(pairs["data"]) if name not in set(won["data"])]
    return [
        *(lines or ["- no strategy is behind another"]),
        f"- nothing is ahead of random on: {', '.join(rest) or '(no set)'}",
    ]


def page(areas: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Tables to read."""
    parts = []
    for (classifier, head), part in areas.groupby(["classifier", "head"], sort=False):
        parts += [f"## {head}, classifier {classifier}", table_of(part)]
        if len(pairs):
            own = pairs[(pairs["classifier"] == classifier) & (pairs["head"] == head)]
            parts += ["Significantly (Holm, p < 0.05), in points of area:", "\n".join(verdicts(own))]
    return "\n\n".join(parts) + "\n"


def tables(frames: dict[tuple[str, str], pd.DataFrame], folder: Path) -> None:
    """Write all tables; those of pairs need two seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    areas, pairs = [], []
    for (data, classifier), frame in frames.items():
        for head, metric in (("fused", "accuracy"), ("weakest modality", weakest(frame))):
            key = {"data": data, "classifier": classifier, "head": head}
            areas.append(summary_of(frame, metric).assign(**key))
            if frame["seed"].nunique() > 1:
                pairs.append(pairs_of(frame, metric).assign(**key))
    for classifier, (head, of) in product(dict.fromkeys(c for _, c in frames), (("fused", None), ("weakest", weakest))):
        parts = [
            frame.assign(of_head=frame["accuracy" if of is None else of(frame)])
            for (_, c), frame in frames.items()
            if c == classifier and frame["seed"].nunique() > 1
        ]
        if parts:
            pairwise_matrix(parts, metric="of_head").to_csv(
                folder / f"wins_{classifier}_{head}.csv", float_format="%.3f"
            )
    all_areas, all_pairs = pd.concat(areas), pd.concat(pairs) if pairs else pd.DataFrame()
    all_areas.to_csv(folder / "areas.csv", index=False, float_format="%.5f")
    if len(all_pairs):
        all_pairs.to_csv(folder / "pairs.csv", index=False, float_format="%.5f")
    (folder / "page.md").write_text(page(all_areas, all_pairs))


def main() -> None:
    """Run what is missing, seed after seed, and bring the tables up to date after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder that keeps everything")
    parser.add_argument("sources", nargs="+", help="emoji, digits:fou,pix, mind-the-gap:missing, ... or folders, files")
    parser.add_argument("--strategies", default=STRATEGIES, help='names by commas, or "all"')
    parser.add_argument("--classifiers", default="cv", help="cv, plain (C = 1), flat (C = 0.01), by commas")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--most-pool", type=int, default=3000, help="rows of the pool")
    parser.add_argument("--most-test", type=int, default=1500, help="rows to test on")
    parser.add_argument("--n-jobs", type=int, default=1, help="data sets at a time")
    arguments = parser.parse_args()
    names = arguments.strategies.split(",")
    if arguments.strategies == "all":
        names = [name for name in available_strategies() if name != "refine"]  # hundreds of queries for a batch
    warnings.simplefilter("ignore")
    sets = list(all_sets(arguments.sources))
    frames: dict[tuple[str, str], pd.DataFrame] = {}
    for seed in range(arguments.seeds):
        jobs = list(product(sets, arguments.classifiers.split(",")))
        found = Parallel(n_jobs=arguments.n_jobs)(
            delayed(run_one)(arguments.work / "runs" / name, classifier, X, y, names, seed, arguments)
            for (name, X, y), classifier in jobs
        )
        for ((name, _, _), classifier), frame in zip(jobs, found, strict=True):
            frames[name, classifier] = pd.concat([frames.get((name, classifier)), frame], ignore_index=True)
        tables(frames, arguments.work / "tables")
        print(f"{seed + 1} of {arguments.seeds} seeds: {arguments.work / 'tables'}", flush=True)


if __name__ == "__main__":
    main()
