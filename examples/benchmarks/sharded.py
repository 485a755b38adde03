"""A pool on workers of Dask and of Ray against the same rows in one process: rows picked, processor time, bytes.

``python examples/benchmarks/sharded.py [--rows 40000] [--classes 50] [--widths image=160,text=96] [--picks 200]
[--workers 2] [--engines serial,dask,ray] [--strategies margin,badge]``

Both sides run in one go, on the same machine and model; one thread each. Processor time on workers is that of the
workers and of this process together. Bytes are those of the messages, at N and at N / 10 rows; beside them stands what
D² sampling may move at most: 2 W B (K + D) numbers of four bytes, and the model once for each worker.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.distributed import ShardedPool
from skmmal.distributed._workers import packed
from skmmal.query import BADGE, BMMAL, MVOPT, CoreSet, MarginSampling, UHerding

STRATEGIES = {
    "margin": MarginSampling(),
    "badge": BADGE(random_state=0),
    "bmmal": BMMAL(random_state=0),
    "coreset": CoreSet(),
    "uherding": UHerding(max_references=2000, random_state=0),
    "mvopt": MVOPT(kernel_approximation="fourier", n_components=128, random_state=0),
}
N_LABELED, STEP = 1000, 10_000


def make_pool(folder: Path, n_rows: int, n_classes: int, widths: dict[str, int]) -> tuple[dict[str, Path], np.ndarray]:
    """Write features of a few classes to .npy files in float16, some rows at a time."""
    rng = np.random.default_rng(0)
    y = np.append(np.arange(n_classes), rng.integers(0, n_classes, n_rows - n_classes))
    paths = {}
    for name, width in widths.items():
        centers = rng.standard_normal((n_classes, width), dtype=np.float32)
        paths[name] = folder / f"{name}-{n_rows}.npy"
        values = np.lib.format.open_memmap(paths[name], mode="w+", dtype=np.float16, shape=(n_rows, width))
        for start in range(0, n_rows, STEP):
            rows = slice(start, start + STEP)
            values[rows] = centers[y[rows]] + 2 * rng.standard_normal((len(y[rows]), width), dtype=np.float32)
        values.flush()
    return paths, y


def clients(names: list[str], n_workers: int) -> Iterator[tuple[str, Any]]:
    """Yield each engine's name and client, and stop it afterwards."""
    if "serial" in names:
        yield "serial", None
    if "dask" in names:
        from dask.distributed import Client, LocalCluster

        cluster = LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0")
        with cluster, Client(cluster) as client:
            yield "dask", client
    if "ray" in names:
        import ray

        ray.init(num_cpus=n_workers, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield "ray", ray
        ray.shutdown()


def processor_seconds(pool: ShardedPool | None = None) -> float:
    """Of this process, and of those that hold the pool."""
    found = {os.getpid(): time.process_time()}
    if pool is not None:
        found.update(pool.ask(_own_seconds))
    return sum(found.values())


def _own_seconds(shard: Any) -> tuple[int, float]:
    return os.getpid(), time.process_time()


def on_shards(strategy: Any, model: Any, paths: dict, client: Any, options: Any, labelled: dict) -> tuple:
    """Rows, processor seconds, megabytes and number of questions of a query on workers."""
    with ShardedPool.open(paths, client, n_workers=options.workers) as pool:
        seconds, before = processor_seconds(pool), dict(pool.traffic)
        rows = strategy.query(model, pool, options.picks, **labelled)
        moved = {name: value - before[name] for name, value in pool.traffic.items()}
        megabytes = (moved["sent"] + moved["received"]) / 1e6
        return rows, processor_seconds(pool) - seconds, megabytes, moved["questions"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--widths", default="image=160,text=96")
    parser.add_argument("--picks", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engines", default="serial,dask,ray")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    options = parser.parse_args()
    widths = {name: int(width) for name, width in (each.split("=") for each in options.widths.split(","))}
    strategies = {name: STRATEGIES[name] for name in options.strategies.split(",")}
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        sizes = (options.rows // 10, options.rows)
        pools = {n_rows: make_pool(Path(folder), n_rows, options.classes, widths) for n_rows in sizes}
        paths, y = pools[options.rows]
        X = MultimodalArray({name: np.load(path, mmap_mode="r") for name, path in paths.items()})
        model = LateFusionClassifier().fit(X[:N_LABELED], y[:N_LABELED])
        labelled = {"X_labeled": X[:N_LABELED], "y_labeled": y[:N_LABELED]}
        numbers = 2 * options.workers * options.picks * (options.classes + sum(widths.values()))
        limit = (4 * numbers + options.workers * len(packed(model))) / 1e6
        print(f"D² sampling may move {limit:.2f} MB", flush=True)
        expected, alone = {}, {}
        for name, strategy in strategies.items():
            before = processor_seconds()
            expected[name] = strategy.query(model, X, options.picks, **labelled)
            alone[name] = processor_seconds() - before
        print(f"{'engine':8}{'strategy':10}{'in order':>12}{'as a set':>12}{'one, s':>9}{'shards, s':>11}{'ratio':>7}"
              f"{'MB, N/10':>10}{'MB, N':>8}{'trips':>7}", flush=True)  # fmt: skip
        for engine, client in clients(options.engines.split(","), options.workers):
            for name, strategy in strategies.items():
                small = on_shards(strategy, model, pools[sizes[0]][0], client, options, labelled)
                rows, seconds, moved, trips = on_shards(strategy, model, paths, client, options, labelled)
                in_order = f"{int((rows == expected[name]).sum())}/{len(rows)}"
                as_a_set = f"{len(np.intersect1d(rows, expected[name]))}/{len(rows)}"
                print(f"{engine:8}{name:10}{in_order:>12}{as_a_set:>12}{alone[name]:9.2f}{seconds:11.2f}"
                      f"{seconds / alone[name]:7.2f}{small[2]:10.2f}{moved:8.2f}{trips:7d}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
