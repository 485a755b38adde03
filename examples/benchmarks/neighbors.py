"""What is lost where only neighbors of labeled rows may be picked (SEALS), and what it saves.

A pool of image and text features with 120 classes, of which the first are frequent and the last rare, and a tenth of
the rows without an image. From 200 labels on, five batches of 100 rows: picked from the whole pool, from the neighbors
of labeled rows, and from the neighbors and as many rows drawn at random as a tenth of the batch.

    python examples/benchmarks/neighbors.py --rows 20000 --neighbors 20 --seeds 3
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.candidates import NeighborIndex, neighbours
from skmmal.query import get_strategy

WIDTHS = {"image": 96, "text": 64}
N_CLASSES, N_FIRST, N_BATCH, N_ROUNDS, N_TEST = 120, 200, 100, 5, 5_000


def make_data(n_rows: int) -> tuple[MultimodalArray, np.ndarray]:
    """Rows, scaled, and their classes."""
    rng = np.random.default_rng(0)
    frequency = 1 / np.arange(1, N_CLASSES + 1) ** 1.1
    y = rng.choice(N_CLASSES, n_rows, p=frequency / frequency.sum())
    blocks = {}
    for name, width in WIDTHS.items():
        centers, spread = rng.standard_normal((N_CLASSES, 32)), rng.standard_normal((32, width)) / 6
        latent = 0.8 * centers[y] + rng.standard_normal((n_rows, 32))
        blocks[name] = (latent @ spread + 0.3 * rng.standard_normal((n_rows, width))).astype(np.float32)
    blocks["image"][rng.random(n_rows) < 0.1] = np.nan
    return ModalityScaler().fit_transform(MultimodalArray(blocks)), y


def run(
    strategy: str, where: str, X: MultimodalArray, y: np.ndarray, index: NeighborIndex, k: int, seed: int
) -> dict[str, float]:
    """One experiment."""
    rng = np.random.RandomState(seed)
    n_pool = len(X) - N_TEST
    labeled = rng.permutation(n_pool)[:N_FIRST]
    test = slice(n_pool, len(X))
    seconds, n_candidates = 0.0, 0
    for number in range(N_ROUNDS):
        model = LateFusionClassifier(random_state=0).fit(X[labeled], y[labeled], classes=np.arange(N_CLASSES))
        started = time.process_time()
        rows = np.setdiff1d(np.arange(n_pool), labeled)
        n_random = N_BATCH // 10 if where == "neighbors and random" else 0
        drawn = rng.permutation(rows)[:n_random]
        if where != "whole pool":
            rows = neighbours(index, labeled, k)
        rows = np.setdiff1d(rows, drawn)
        query = get_strategy(strategy, **({} if strategy == "margin" else {"random_state": 1000 * seed + number}))
        picked = rows[query.query(model, X[rows], N_BATCH - n_random)]
        seconds += time.process_time() - started
        n_candidates += len(rows)
        labeled = np.concatenate([labeled, picked, drawn])
    model = LateFusionClassifier(random_state=0).fit(X[labeled], y[labeled], classes=np.arange(N_CLASSES))
    predicted = model.predict(X[test])
    return {
        "accuracy": float((predicted == y[test]).mean()),
        "balanced accuracy": float(balanced_accuracy_score(y[test], predicted)),
        "classes met": len(np.unique(y[labeled])),
        "share of the pool": n_candidates / N_ROUNDS / n_pool,
        "processor s a query": seconds / N_ROUNDS,
    }


def main() -> None:
    """Measure, and print means and standard deviations over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--neighbors", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    X, y = make_data(options.rows + N_TEST)
    started = time.process_time()
    pool = X[: options.rows]
    index = NeighborIndex.build(pool)
    print(f"index of {options.rows} rows: {time.process_time() - started:.1f} s of processor time")
    found = neighbours(index, np.arange(200), options.neighbors)
    exact = _exact(pool, np.arange(200), options.neighbors)
    print(f"recall of neighbors: {np.isin(exact, found).mean():.3f}")
    for strategy in ("margin", "badge", "random"):
        for where in ("whole pool", "neighbors", "neighbors and random"):
            if strategy == "random" and where != "whole pool":
                continue
            runs = pd.DataFrame(
                [run(strategy, where, X, y, index, options.neighbors, seed) for seed in range(options.seeds)]
            )
            told = ", ".join(f"{name} {runs[name].mean():.3f} ± {runs[name].std():.3f}" for name in runs)
            print(f"{strategy}, {where}: {told}", flush=True)


def _exact(X: MultimodalArray, rows: np.ndarray, k: int) -> np.ndarray:
    """Neighbors by brute force, in each group of rows that have the same modalities."""
    units = {
        name: np.nan_to_num(block / np.linalg.norm(block, axis=1, keepdims=True)) for name, block in X.blocks.items()
    }
    similarity = sum(unit[rows] @ unit.T for unit in units.values())
    there = np.column_stack([~np.isnan(block[:, 0]) for block in X.blocks.values()])
    found = []
    for pattern in np.unique(there, axis=0):
        group = np.flatnonzero((there == pattern).all(axis=1))
        n_wanted = -(-(k + 1) * len(group) // len(there))
        asked = similarity[(there[rows] & pattern).any(axis=1)]
        found.append(group[np.argsort(-asked[:, group], axis=1)[:, :n_wanted]].ravel())
    return np.setdiff1d(np.concatenate(found), rows)


if __name__ == "__main__":
    main()
