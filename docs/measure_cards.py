# ruff: noqa: E402
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
from dataclasses import dataclass
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

COPIES = {"groups": 14, "copies": 20, "n_labeled": 40, "n_instances": 14, "seeds": 6, "jitter": 0.01}
MISSING = {"n_pool": 800, "n_labeled": 80, "n_instances": 40, "share_lacking": 0.3, "seeds": 4}
COST = {"n_pool": 5_000, "n_labeled": 200, "n_instances": 50, "modalities": 2, "features": 128, "n_classes": 10}
TRAINING = {"n_train": 200, "encoder_dim": 64, "max_iter": 20}
FUSING = {"n_train": 400, "n_test": 655, "seeds": 2}
STOPPING = {"n_initial": 40, "n_instances": 20, "n_rounds": 25, "seeds": 2, "strategy": "margin"}
CHEAPER = {"refine": {"n_batches": 12}}
"""Parameters of strategies that take minutes a batch with their defaults; the card says so."""


@functools.cache
def emoji() -> tuple[MultimodalArray, np.ndarray]:
    """Scaled emoji: image and text, 8 classes."""
    X, y = load_emoji(return_X_y=True)
    return ModalityScaler().fit_transform(X), y


def strategy(name: str, seed: int) -> Any:
    """A strategy with its defaults (but for those in `CHEAPER`) and a seed."""
    made = get_strategy(name, **CHEAPER.get(name, {}))
    return made.set_params(random_state=seed) if "random_state" in made.get_params() else made


@dataclass(frozen=True)
class Problem:
    """A fitted model, its labeled rows, a pool, and of each row of the pool what is counted among the picks."""

    model: LateFusionClassifier
    labeled: MultimodalArray
    labels: np.ndarray
    pool: MultimodalArray
    counted: np.ndarray

    def picks(self, name: str, seed: int, n_instances: int) -> np.ndarray:
        """What is counted, of the rows that a strategy picks."""
        rows = strategy(name, seed).query(
            self.model, self.pool, n_instances, X_labeled=self.labeled, y_labeled=self.labels
        )
        return self.counted[rows]


@functools.cache
def near_copies(seed: int) -> Problem:
    """A pool that consists of near-copies of a few rows; counted is the number of the original."""
    X, y = emoji()
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
    return Problem(model, X[labeled], y[labeled], MultimodalArray(blocks), group)


@functools.cache
def rows_that_lack(seed: int) -> Problem:
    """A pool of which some rows lack one modality or the other; counted is whether one does."""
    X, y = emoji()
    rng = np.random.RandomState(seed)
    rows = rng.permutation(len(y))[: MISSING["n_pool"] + MISSING["n_labeled"]]
    blocks = {modality: np.array(X[modality], dtype=float)[rows] for modality in X.modalities}
    lacking = rng.random_sample(len(rows)) < MISSING["share_lacking"]
    which = rng.randint(len(blocks), size=len(rows))
    for i, block in enumerate(blocks.values()):
        block[lacking & (which == i)] = np.nan
    data, n = MultimodalArray(blocks), MISSING["n_labeled"]
    model = LateFusionClassifier().fit(data[:n], y[rows[:n]])
    return Problem(model, data[:n], y[rows[:n]], data[n:], lacking[n:])


def groups_covered(name: str) -> float:
    """Mean number of different groups in a batch from near-copies."""
    n = COPIES["n_instances"]
    return float(np.mean([len(np.unique(near_copies(seed).picks(name, seed, n))) for seed in range(COPIES["seeds"])]))


def share_lacking(name: str) -> float:
    """Mean share of the picks that lack a modality."""
    n = MISSING["n_instances"]
    return float(np.mean([rows_that_lack(seed).picks(name, seed, n).mean() for seed in range(MISSING["seeds"])]))


def generated(n_rows: int) -> tuple[MultimodalArray, np.ndarray]:
    """Two modalities of overlapping normal classes."""
    rng = np.random.RandomState(0)
    y = rng.randint(COST["n_classes"], size=n_rows)
    blocks = {}
    for name in ("a", "b"):
        means = rng.standard_normal((COST["n_classes"], COST["features"]))
        blocks[name] = 0.4 * means[y] + rng.standard_normal((n_rows, COST["features"]))
    return MultimodalArray(blocks), y


def query_cost(name: str) -> dict[str, float]:
    """Processor time of one query, without imports; run this in a process of its own."""
    n = COST["n_labeled"]
    X, y = generated(COST["n_pool"] + n)
    model = LateFusionClassifier().fit(X[:n], y[:n])
    chooser = strategy(name, 0)
    chooser.query(model, X[n : n + 300], 5, X_labeled=X[:n], y_labeled=y[:n])  # what is imported on first use
    pool = X[n:]
    begin = time.process_time()
    chooser.query(model, pool, COST["n_instances"], X_labeled=X[:n], y_labeled=y[:n])
    return {"processor_seconds": round(time.process_time() - begin, 3)}


def fit_seconds(X: Any, y: np.ndarray, **params: Any) -> tuple[LateFusionClassifier, float]:
    """A fitted classifier, and the processor time it took."""
    model = LateFusionClassifier(**params)
    begin = time.process_time()
    model.fit(X, y)
    return model, time.process_time() - begin


def measure_fusion(name: str) -> dict[str, float]:
    """What the card of a fusion says."""
    X, y = emoji()
    seconds, accuracies = [], []
    for seed in range(FUSING["seeds"]):
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, train_size=FUSING["n_train"], test_size=FUSING["n_test"], stratify=y, random_state=seed
        )
        model, took = fit_seconds(X_train, y_train, fusion=name, random_state=seed)
        seconds.append(took)
        accuracies.append(model.score_by_modality(X_test, y_test))
    means = {head: float(np.mean([one[head] for one in accuracies])) for head in accuracies[0]}
    return {"processor_seconds": round(float(np.median(seconds)), 3)} | {
        f"accuracy_{head}": round(mean, 4) for head, mean in means.items()
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
    with multiprocessing.get_context("fork").Pool(1) as alone:
        cost = alone.apply(query_cost, (name,))
    return {
        "groups_covered": round(groups_covered(name), 2),
        "share_lacking": round(share_lacking(name), 4),
        **cost,
        **({"instead_of_defaults": CHEAPER[name]} if name in CHEAPER else {}),
    }


def measure_balancing(name: str | None) -> dict[str, float]:
    """What the card of a balancing method says; None: plain training."""
    X, y = emoji()
    n = TRAINING["n_train"]
    params = {key: TRAINING[key] for key in ("encoder_dim", "max_iter")}
    _, seconds = fit_seconds(X[:n], y[:n], balancing=name, solver="sgd", learning_rate=0.01, random_state=0, **params)
    return {"processor_seconds": round(seconds, 3)}


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
    measure_each(measured, "strategy", names["strategy"], measure_strategy)
    measure_each(measured, "fusion", names["fusion"], measure_fusion)
    if names["balancing"]:
        measured["plain"] = measure_balancing(None)
        measure_each(measured, "balancing", names["balancing"], measure_balancing)


if __name__ == "__main__":
    main(sys.argv[1:])
