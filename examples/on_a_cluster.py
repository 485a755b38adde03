"""One experiment, alone and on a cluster: the same numbers, to the last bit.

    python examples/on_a_cluster.py          # on this machine only
    python examples/on_a_cluster.py dask     # pip install 'skmmal[distributed]'
    python examples/on_a_cluster.py ray

The cluster here is two processes on this machine. An existing one takes their place: `Client("tcp://scheduler:8786")`
for Dask, `ray.init("auto")` for Ray. skmmal itself knows neither: whatever is parallel in it goes through joblib.
"""

from __future__ import annotations

import hashlib
import sys
import time

import joblib
import numpy as np
from sklearn.model_selection import train_test_split

from skmmal import LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_digits_views
from skmmal.experiment import ExperimentResults, run_experiment


def experiment(n_jobs: int | None = None) -> ExperimentResults:
    X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    X = ModalityScaler().fit_transform(X)
    pool, test = train_test_split(np.arange(len(y)), test_size=0.3, stratify=y, random_state=0)
    return run_experiment(
        LateFusionClassifier(),
        ["bmmal", "badge", "margin", "random"],
        X[pool],
        y[pool],
        X_test=X[test],
        y_test=y[test],
        n_initial=20,
        n_instances=20,
        n_rounds=5,
        seeds=4,
        n_jobs=n_jobs,
    )


def on_dask() -> ExperimentResults:
    from dask.distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster), joblib.parallel_config(backend="dask"):
        return experiment()


def on_ray() -> ExperimentResults:
    import ray
    from ray.util.joblib import register_ray

    ray.init(num_cpus=2, include_dashboard=False, logging_level="error")
    register_ray()
    with joblib.parallel_config(backend="ray", n_jobs=2):
        results = experiment()
    ray.shutdown()
    return results


def report(where: str, results: ExperimentResults, seconds: float) -> str:
    table = results.frame.drop(columns=["fit_seconds", "query_seconds"]).to_csv(index=False)
    digest = hashlib.sha256(table.encode()).hexdigest()
    print(f"{where:6s} {len(results.frame)} rounds in {seconds:4.1f} s   sha256 of the results {digest[:16]}")
    return digest


if __name__ == "__main__":
    places = {"alone": lambda: experiment(n_jobs=1), "dask": on_dask, "ray": on_ray}
    digests = set()
    for where in ("alone", *sys.argv[1:]):
        started = time.perf_counter()
        results = places[where]()
        digests.add(report(where, results, time.perf_counter() - started))
    assert len(digests) == 1, "the results differ"
    print(results.area_under_curve().round(4).to_string())
