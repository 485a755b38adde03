"""A pool on two workers of Dask and of Ray against the same rows in one process: rows picked, seconds, bytes moved.

``python examples/benchmarks/sharded.py [--n-rows 40000] [--n-instances 200] [--engines serial dask ray]``

Both sides run in one go, on the same machine and model. Bytes are those of the messages, at N and at N / 10 rows.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.distributed import ShardedPool
from skmmal.query import BADGE, BMMAL, MVOPT, CoreSet, MarginSampling, UHerding

STRATEGIES = {
    "margin": MarginSampling(),
    "badge": BADGE(random_state=0),
    "bmmal": BMMAL(random_state=0),
    "coreset": CoreSet(),
    "uherding": UHerding(max_references=2000, random_state=0),
    "mvopt": MVOPT(kernel_approximation="fourier", n_components=128, random_state=0),
}


def make_pool(folder: Path, n_rows: int, n_classes: int, widths: dict[str, int]) -> tuple[dict[str, Path], np.ndarray]:
    """Write features of a few classes to .npy files in float16."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, n_rows)
    paths = {}
    for name, width in widths.items():
        centers = rng.standard_normal((n_classes, width))
        paths[name] = folder / f"{name}-{n_rows}.npy"
        np.save(paths[name], (centers[y] + 2 * rng.standard_normal((n_rows, width))).astype(np.float16))
    return paths, y


def clients(names: list[str]):
    """Yield each engine's name and client, and stop it afterwards."""
    if "serial" in names:
        yield "serial", None
    if "dask" in names:
        from dask.distributed import Client, LocalCluster

        cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster) as client:
            yield "dask", client
    if "ray" in names:
        import ray

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield "ray", ray
        ray.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-rows", type=int, default=40_000)
    parser.add_argument("--n-instances", type=int, default=200)
    parser.add_argument("--engines", nargs="+", default=["serial", "dask", "ray"])
    arguments = parser.parse_args()
    widths = {"image": 160, "text": 96}
    with tempfile.TemporaryDirectory() as folder:
        sizes = (arguments.n_rows // 10, arguments.n_rows)
        pools = {n_rows: make_pool(Path(folder), n_rows, 50, widths) for n_rows in sizes}
        paths, y = pools[arguments.n_rows]
        X = MultimodalArray({name: np.load(path, mmap_mode="r") for name, path in paths.items()})
        clf = LateFusionClassifier().fit(X[:1000], y[:1000])
        labelled = {"X_labeled": X[:1000], "y_labeled": y[:1000]}
        expected, seconds = {}, {}
        for name, strategy in STRATEGIES.items():
            start = time.perf_counter()
            expected[name] = strategy.query(clf, X, arguments.n_instances, **labelled)
            seconds[name] = time.perf_counter() - start
        print(f"{'engine':8}{'strategy':10}{'same rows':>12}{'one, s':>9}{'shards, s':>11}{'MB, N/10':>10}{'MB, N':>8}")
        for engine, client in clients(arguments.engines):
            for name, strategy in STRATEGIES.items():
                moved = []
                for n_rows in sizes:
                    with ShardedPool.open(pools[n_rows][0], client, n_workers=2) as pool:
                        before = pool.traffic["sent"] + pool.traffic["received"]
                        start = time.perf_counter()
                        rows = strategy.query(clf, pool, arguments.n_instances, **labelled)
                        taken = time.perf_counter() - start
                        moved.append((pool.traffic["sent"] + pool.traffic["received"] - before) / 1e6)
                same = int((rows == expected[name]).sum())
                print(
                    f"{engine:8}{name:10}{f'{same}/{len(rows)}':>12}{seconds[name]:9.2f}{taken:11.2f}"
                    f"{moved[0]:10.2f}{moved[1]:8.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
