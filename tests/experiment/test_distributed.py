"""The same experiment on a Dask cluster and on Ray: the same bytes. Needs the extra ``distributed``."""

import hashlib
import os

import joblib
import pytest

from skmmal import LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_digits_views
from skmmal.experiment import run_experiment

pytestmark = pytest.mark.distributed


def digest(folder):
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("results.csv", "selected.csv", "classes.csv", "config.json")
    }


def experiment(folder, pids, n_jobs=None):
    def signed(estimator, X, y):
        """A scorer that leaves the number of its process."""
        (pids / f"pid-{os.getpid()}").touch()
        return estimator.score(X, y)

    X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    X = ModalityScaler().fit_transform(X)
    run_experiment(
        LateFusionClassifier(),
        ["bmmal", "badge", "kmeans", "random"],
        X[::4],
        y[::4],
        X_test=X[1::4],
        y_test=y[1::4],
        n_initial=20,
        n_instances=20,
        n_rounds=2,
        seeds=2,
        n_jobs=n_jobs,
        scoring={"signed": signed},
        results_dir=folder,
    )
    return digest(folder)


def assert_done_elsewhere(pids):
    workers = {int(path.name.removeprefix("pid-")) for path in pids.glob("pid-*")}
    assert len(workers) == 2
    assert os.getpid() not in workers


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return experiment(folder / "run", pids=folder, n_jobs=1)


def test_dask(tmp_path, alone):
    from dask.distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, Client(cluster), joblib.parallel_config(backend="dask"):
        found = experiment(tmp_path / "run", pids=tmp_path)
    assert found == alone
    assert_done_elsewhere(tmp_path)


def test_ray(tmp_path, alone):
    import ray
    from ray.util.joblib import register_ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        register_ray()
        with joblib.parallel_config(backend="ray", n_jobs=2):
            found = experiment(tmp_path / "run", pids=tmp_path)
    finally:
        ray.shutdown()
    assert found == alone
    assert_done_elsewhere(tmp_path)
