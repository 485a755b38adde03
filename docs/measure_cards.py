"""Measure what the method cards say of every method, and write it to docs/cards/measured.json.

python docs/measure_cards.py                 everything (some minutes on one core)
python docs/measure_cards.py bmmal crmt      these, beside what is there already

One thread; times are the processor's, which others on the machine do not change. `sizes` says how much it was.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

import numpy as np
from sklearn.model_selection import train_test_split

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray, __version__
from skmmal._registry import entries
from skmmal.datasets import load_emoji
from skmmal.experiment import run_experiment, stopping_points
from skmmal.heads import FUSIONS
from skmmal.query import get_strategy

OUT = Path(__file__).parent / "cards" / "measured.json"

COPIES = {"groups": 14, "copies": 20, "n_labeled": 40, "n_instances": 14, "seeds": 10, "jitter": 0.01}
MISSING = {"n_pool": 800, "n_labeled": 80, "n_instances": 40, "share_lacking": 0.3, "seeds": 5}
COST = {"n_pool": 10_000, "n_labeled": 200, "n_instances": 50, "modalities": 2, "features": 128, "n_classes": 10}
TRAINING = {"n_train": 400, "n_test": 655, "encoder_dim": 64, "max_iter": 60, "seeds": 3}
FUSING = {"n_train": 400, "n_test": 655, "seeds": 3}
STOPPING = {"n_initial": 40, "n_instances": 20, "n_rounds": 25, "seeds": 2, "strategy": "margin"}


@functools.cache
def emoji() -> tuple[MultimodalArray, np.ndarray]:
    """Scaled emoji: image and text, 8 classes."""
    X, y = load_emoji(return_X_y=True)
    return ModalityScaler().fit_transform(X), y


def strategy(name: str, seed: int) -> Any:
    """A strategy with its defaults and a seed."""
    made = get_strategy(name)
    return made.set_params(random_state=seed) if "random_state" in made.get_params() else made


def groups_covered(name: str) -> float:
    """Mean number of different groups in a batch from a pool that consists of near-copies of a few rows."""
    X, y = emoji()
    covered = []
    for seed in range(COPIES["seeds"]):
        rng = np.random.RandomState(seed)
        rows = rng.permutation(len(y))
        labeled, originals = rows[: COPIES["n_labeled"]], rows[-COPIES["groups"] :]
        group = np.repeat(np.arange(COPIES["groups"]), COPIES["copies"])
        blocks = {}
        for modality in X.modalities:
            block = np.asarray(X[modality])
            copies = block[originals][group]
            blocks[modality] = copies + COPIES["jitter"] * block.std(axis=0) * rng.standard_normal(copies.shape)
        model = LateFusionClassifier().fit(X[labeled], y[labeled])
        picked = strategy(name, seed).query(
            model, MultimodalArray(blocks), COPIES["n_instances"], X_labeled=X[labeled], y_labeled=y[labeled]
        )
        covered.append(len(set(group[picked].tolist())))
    return float(np.mean(covered))


def share_lacking(name: str) -> float:
    """Share of the picks that lack a modality, where each lacks one in half of the cases."""
    X, y = emoji()
    shares = []
    for seed in range(MISSING["seeds"]):
        rng = np.random.RandomState(seed)
        rows = rng.permutation(len(y))[: MISSING["n_pool"] + MISSING["n_labeled"]]
        blocks = {modality: np.array(X[modality], dtype=float)[rows] for modality in X.modalities}
        lacking = rng.random_sample(len(rows)) < MISSING["share_lacking"]
        which = rng.randint(len(blocks), size=len(rows))
        for i, block in enumerate(blocks.values()):
            block[lacking & (which == i)] = np.nan
        data = MultimodalArray(blocks)
        n = MISSING["n_labeled"]
        model = LateFusionClassifier().fit(data[:n], y[rows[:n]])
        picked = strategy(name, seed).query(
            model, data[n:], MISSING["n_instances"], X_labeled=data[:n], y_labeled=y[rows[:n]]
        )
        shares.append(lacking[n:][picked].mean())
    return float(np.mean(shares))


def generated(n_rows: int) -> tuple[MultimodalArray, np.ndarray]:
    """Two modalities of overlapping normal classes."""
    rng = np.random.RandomState(0)
    y = rng.randint(COST["n_classes"], size=n_rows)
    blocks = {}
    for name in ("a", "b"):
        means = rng.standard_normal((COST["n_classes"], COST["features"]))
        blocks[name] = 0.4 * means[y] + rng.standard_normal((n_rows, COST["features"]))
    return MultimodalArray(blocks), y


def peak_memory() -> int:
    """Most memory that this process has held since it was last asked to forget it, in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def query_cost(name: str) -> dict[str, float]:
    """Processor time and memory of one query, without imports; run this in a process of its own."""
    n = COST["n_labeled"]
    X, y = generated(COST["n_pool"] + n)
    model = LateFusionClassifier().fit(X[:n], y[:n])
    chooser = strategy(name, 0)
    chooser.query(model, X[n : n + 300], 5, X_labeled=X[:n], y_labeled=y[:n])  # what is imported on first use
    pool = X[n:]
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_memory()
    begin = time.process_time()
    chooser.query(model, pool, COST["n_instances"], X_labeled=X[:n], y_labeled=y[:n])
    return {
        "processor_seconds": round(time.process_time() - begin, 3),
        "megabytes": round((peak_memory() - before) / 1e6, 1),
    }


def split(seed: int) -> tuple[Any, Any, Any, Any]:
    """Emoji to train on, and to test on."""
    X, y = emoji()
    return train_test_split(
        X, y, train_size=TRAINING["n_train"], test_size=TRAINING["n_test"], stratify=y, random_state=seed
    )


def fit_cost(**params: Any) -> dict[str, float]:
    """Accuracy and processor time of a classifier's fit."""
    seconds, accuracy = [], []
    for seed in range(TRAINING["seeds"]):
        X, X_test, y, y_test = split(seed)
        model = LateFusionClassifier(random_state=seed, **params)
        begin = time.process_time()
        model.fit(X, y)
        seconds.append(time.process_time() - begin)
        accuracy.append(model.score_by_modality(X_test, y_test))
    return {
        "processor_seconds": round(float(np.median(seconds)), 3),
        **{f"accuracy_{head}": round(float(np.mean([one[head] for one in accuracy])), 4) for head in accuracy[0]},
    }


def stops(names: list[str]) -> dict[str, dict[str, float]]:
    """Where criteria with their defaults end a run on emoji; with two classes where they need two."""
    measured = {}
    for needs_two in (False, True):
        asked = [name for name in names if (name == "predicted-f-change") == needs_two]
        if not asked:
            continue
        X, y = emoji()
        y = (y == np.bincount(y).argmax()).astype(int) if needs_two else y
        X, X_test, y, y_test = train_test_split(X, y, test_size=655, stratify=y, random_state=0)
        settings = {key: STOPPING[key] for key in ("n_initial", "n_instances", "n_rounds", "seeds")}
        model = LateFusionClassifier()
        results = run_experiment(model, [STOPPING["strategy"]], X, y, X_test=X_test, y_test=y_test, **settings)
        points = stopping_points(results, asked, estimator=model, X=X, y=y)
        for name, lines in points.groupby("criterion"):
            stopped = lines[lines["n_labeled"].notna()]
            measured[name] = {"classes": len(np.unique(y)), "runs": len(lines), "stopped": len(stopped)}
            if len(stopped):
                means = stopped[["n_labeled", "accuracy", "final_accuracy", "saved"]].mean()
                measured[name] |= {key: round(float(value), 4) for key, value in means.items()}
    return measured


def measure_strategy(name: str) -> dict[str, Any]:
    """What the card of a strategy says."""
    with multiprocessing.get_context("spawn").Pool(1) as alone:
        cost = alone.apply(query_cost, (name,))
    return {
        "groups_covered": round(groups_covered(name), 2),
        "share_lacking": round(share_lacking(name), 4),
        **cost,
    }


def measure_balancing(name: str | None) -> dict[str, float]:
    """What the card of a balancing method says; None: plain training."""
    params = {key: TRAINING[key] for key in ("encoder_dim", "max_iter")}
    return fit_cost(balancing=name, solver="sgd", learning_rate=0.01, unimodal_weight=0.0, **params)


def write(measured: dict[str, Any]) -> None:
    """Write the file."""
    OUT.write_text(json.dumps(measured, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def measure_each(measured: dict[str, Any], kind: str, names: list[str], measure: Callable[[str], Any]) -> None:
    """Measure one after the other; what is there is written at once."""
    for name in names:
        measured[kind][name] = measure(name)
        print(name, measured[kind][name], flush=True)
        write(measured)


def main(wanted: list[str]) -> None:
    """Measure the methods of these names, or all."""
    measured = json.loads(OUT.read_text()) if OUT.exists() and wanted else {}
    names = {kind: list(entries(kind)) for kind in ("strategy", "balancing", "stopping")} | {"fusion": list(FUSIONS)}
    if wanted:
        names = {kind: [name for name in those if name in wanted] for kind, those in names.items()}
    sizes = {
        "copies": COPIES, "missing": MISSING, "cost": COST, "training": TRAINING, "fusing": FUSING, "stopping": STOPPING
    }  # fmt: skip
    measured["sizes"] = sizes
    measured["with"] = f"skmmal {__version__}, Python {platform.python_version()}, one thread, {platform.machine()}"
    for kind in names:
        measured.setdefault(kind, {})
    if names["stopping"]:
        measured["stopping"] |= stops(names["stopping"])
        write(measured)
    measure_each(measured, "fusion", names["fusion"], lambda name: fit_cost(fusion=name))
    if names["balancing"]:
        measured["plain"] = measure_balancing(None)
        measure_each(measured, "balancing", names["balancing"], measure_balancing)
    measure_each(measured, "strategy", names["strategy"], measure_strategy)


if __name__ == "__main__":
    main(sys.argv[1:])
