"""Strategies on rows with several labels: what picks cost beside plain products, and curves on features of your own.

::

    python examples/benchmarks/several_labels.py cost
    python examples/benchmarks/several_labels.py curves FILE.npz --out RUN

``cost``: 50,000 rows, 500 labels, 500 picks by BADGE and BMMAL, from probabilities, features and contributions to the
batch. Beside it the products N × L × B and N × D × B of the same rows, in chunks, and nothing else. Every side runs in
a process of its own, in turn, three times; processor time and peak memory, medians.

``curves``: a file with one array for each modality and the indicator matrix ``y``. All strategies that serve several
labels, over seeds, each with its own test rows; the area of the mean average precision beside random, with a paired
test. With ``--strategies`` only some are run; what has run is kept in ``--out`` and is not run again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from memory import forget_peak, peak_megabytes, resident_megabytes
from threadpoolctl import threadpool_limits

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal._registry import entries
from skmmal.experiment import area_under_curve, compare, run_experiment
from skmmal.query import get_strategy
from skmmal.reading import Reading

N_ROWS, N_LABELS, WIDTHS, N_PICKS = 50_000, 500, {"series": 256, "notes": 512}, 500
SIDES = ("badge", "bmmal", "products")
CHUNK = 4_096


def inputs() -> dict[str, np.ndarray]:
    """Probabilities, features of two modalities, and their contributions, in float32."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((N_ROWS, N_LABELS), dtype=np.float32) - 2
    shares = rng.random((N_ROWS, 1), dtype=np.float32)
    features = {name: rng.standard_normal((N_ROWS, width), dtype=np.float32) for name, width in WIDTHS.items()}
    return {"p": 1 / (1 + np.exp(-logits)), **features, "shares": np.hstack([shares, 1 - shares])}


def picks(side: str, given: dict[str, np.ndarray]) -> None:
    """One side: a strategy's query, or the products alone."""
    features = {name: given[name] for name in WIDTHS}
    if side != "products":
        pool = Reading.from_arrays(given["p"], features=features, contributions=given["shares"], multilabel=True)
        rows = get_strategy(side, random_state=0).query(None, pool, N_PICKS)
        assert len(set(rows.tolist())) == N_PICKS
        return
    rows = np.random.RandomState(0).permutation(N_ROWS)[:N_PICKS]
    for block in (given["p"], *features.values()):
        centers = block[rows].T.copy()
        for start in range(0, N_ROWS, CHUNK):
            block[start : start + CHUNK] @ centers


def measure_side(side: str) -> None:
    """Run one side in this process, and print what it took."""
    given = inputs()
    forget_peak()
    before, started, cpu = resident_megabytes(), time.perf_counter(), time.process_time()
    with threadpool_limits(1):
        picks(side, given)
    found = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps({"side": side, **found, "megabytes": peak_megabytes() - before}))


def cost(repeat: int) -> None:
    """All sides in turn."""
    records = [
        json.loads(subprocess.run([sys.executable, __file__, "side", side], check=True, capture_output=True).stdout)
        for _ in range(repeat)
        for side in SIDES
    ]
    table = pd.DataFrame(records).groupby("side", sort=False).median()
    table["times the products (processor)"] = table["cpu_seconds"] / table.loc["products", "cpu_seconds"]
    size = f"{N_ROWS:,} rows, {N_LABELS} labels, {sum(WIDTHS.values())} features, {N_PICKS} picks"
    print(f"{size}; medians of {repeat} runs")
    print(table.round(2).to_string())


def curves(file: Path, out: Path, n_seeds: int, n_rounds: int, names: list[str]) -> None:
    """Strategies that serve several labels, and how they compare with random."""
    with np.load(file, allow_pickle=False) as arrays:
        y = arrays["y"].astype(int)
        X = MultimodalArray({name: arrays[name] for name in arrays.files if name != "y"})
    X = ModalityScaler().fit_transform(X)
    frames = []
    for name in names:
        for seed in range(n_seeds):
            order = np.random.RandomState(seed).permutation(len(y))
            test, pool = order[: len(y) // 3], order[len(y) // 3 :]
            # a folder each: a strategy that serves later is added to those that have run
            results = run_experiment(
                LateFusionClassifier(), [name], X[pool], y[pool], X_test=X[test], y_test=y[test], n_initial=40,
                n_instances=40, n_rounds=n_rounds, seeds=[seed], results_dir=out / f"seed-{seed}" / name,
            )  # fmt: skip
            frames.append(results.frame)
        print(f"{name} is done", file=sys.stderr)
    frame = pd.concat(frames, ignore_index=True)
    if "random" not in names:
        return
    for metric in ("mean_average_precision", "f1_micro"):
        print(f"\n{file.name}, area of {metric}")
        print(area_under_curve(frame, metric).round(4).to_string())
        if len(names) > 1:
            print(compare(frame, "random", metric).round(4).to_string())
    frame.to_csv(out / "results.csv", index=False)


def serving() -> list[str]:
    """Strategies that serve several labels."""
    return [name for name, entry in entries("strategy").items() if entry.multi_label]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("cost").add_argument("--repeat", type=int, default=3)
    commands.add_parser("side").add_argument("name", choices=SIDES)
    of_curves = commands.add_parser("curves")
    of_curves.add_argument("file", type=Path)
    of_curves.add_argument("--out", type=Path, required=True)
    of_curves.add_argument("--seeds", type=int, default=10)
    of_curves.add_argument("--rounds", type=int, default=5)
    of_curves.add_argument("--strategies", nargs="+", choices=serving(), default=serving(), metavar="NAME")
    given = parser.parse_args()
    if given.command == "cost":
        cost(given.repeat)
    elif given.command == "side":
        measure_side(given.name)
    else:
        curves(given.file, given.out, given.seeds, given.rounds, given.strategies)


if __name__ == "__main__":
    main()
