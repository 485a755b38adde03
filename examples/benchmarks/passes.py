"""How often each strategy reads a pool that lies in files, and what it holds of it at most.

``python examples/benchmarks/passes.py [--rows 12000] [--width 512] [--picks 200] [--strategies margin,bmmal]``

The pool is two modalities in float16 that are scaled when rows are asked for; every row that is made is counted, so
that a pass is the whole pool once. Each query runs in a process of its own, of which the anonymous memory is sampled:
pages of mapped files do not count, nor what was there before the query.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from memory import anonymous_megabytes

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.modalities._array import on_demand
from skmmal.modalities._lazy import _RowsOnDemand
from skmmal.query import available_strategies, get_strategy


def make_pool(folder: Path, n_rows: int, width: int, n_classes: int) -> tuple[MultimodalArray, np.ndarray]:
    """Rows in two .npy files, and their classes."""
    rng = np.random.default_rng(0)
    y = np.append(np.arange(n_classes), rng.integers(0, n_classes, n_rows - n_classes))
    blocks = {}
    for name in ("image", "text"):
        centers = rng.standard_normal((n_classes, width // 2))
        values = centers[y] + 2 * rng.standard_normal((n_rows, width // 2))
        np.save(folder / f"{name}.npy", values.astype(np.float16))
        blocks[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return MultimodalArray(blocks), y


def count_rows() -> list[int]:
    """Values that are made from now on, in a list of one."""
    made, counted = _RowsOnDemand._made, [0]

    def counting(self: Any, rows: Any) -> np.ndarray:
        values = made(self, rows)
        counted[0] += values.size
        return values

    _RowsOnDemand._made = counting
    return counted


def query(name: str, model: Any, X: MultimodalArray, y: np.ndarray, options: argparse.Namespace, pipe: Any) -> None:
    """Query, and send how many values were made, and processor seconds."""
    counted = count_rows()
    strategy = get_strategy(name)
    if "random_state" in strategy.get_params():
        strategy.set_params(random_state=0)
    pool, labeled = X[options.labels :], X[: options.labels]
    known = {"X_labeled": labeled, "y_labeled": y[: options.labels]}
    pipe.recv()
    before, made_before = time.process_time(), counted[0]
    strategy.query(model, pool, options.picks, **known)
    pipe.send((counted[0] - made_before, time.process_time() - before))


def measured(name: str, *arguments: Any, seconds: float) -> tuple[int, float, float] | None:
    """Values made, processor seconds, and peak in megabytes beyond what was there; ``None`` where it took too long."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=query, args=(name, *arguments, there))
    process.start()
    there.close()
    time.sleep(0.2)
    base = peak = anonymous_megabytes(process.pid)
    here.send("begin")
    end = time.perf_counter() + seconds
    while not here.poll(0.005):
        peak = max(peak, anonymous_megabytes(process.pid))
        if time.perf_counter() > end or not process.is_alive():
            process.kill()
            process.join()
            return None
    made, used = here.recv()
    process.join()
    return made, used, peak - base


def main() -> None:
    """Measure, and print a line for each strategy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--width", type=int, default=512, help="of both modalities together")
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--labels", type=int, default=400)
    parser.add_argument("--picks", type=int, default=200)
    parser.add_argument("--strategies", default=",".join(available_strategies()))
    parser.add_argument("--seconds", type=float, default=300.0, help="for one strategy, at most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        X, y = make_pool(Path(folder), options.rows + options.labels, options.width, options.classes)
        X = on_demand(X)
        X = ModalityScaler().fit(X).transform_on_demand(X)
        model = LateFusionClassifier().fit(X[: options.labels], y[: options.labels])
        print("strategy              passes   peak MB   bytes a row   processor s", flush=True)
        for name in options.strategies.split(","):
            found = measured(name, model, X, y, options, seconds=options.seconds)
            if found is None:
                print(f"{name:18}{'…':>10}", flush=True)
                continue
            made, used, peak = found
            passes = made / (options.rows * options.width)
            per_row = peak * 2**20 / options.rows
            print(f"{name:18}{passes:10.2f}{peak:10.0f}{per_row:14.0f}{used:14.1f}", flush=True)


if __name__ == "__main__":
    main()
