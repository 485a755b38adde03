"""Worker processes that are killed: the query or the round fails and says so, and on reopened rows it is as before."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from skmmal import LabelingCampaign, LateFusionClassifier
from skmmal.distributed import ShardedPool, WorkerLostError
from skmmal.query import BMMAL

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def dask():
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0")
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray")
    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    ray.init(num_cpus=2, object_store_memory=100 * 2**20, **options)
    yield ray
    ray.shutdown()


@pytest.fixture(params=["dask", "ray"])
def pool(request, lacking):
    ids = [f"r{row}" for row in range(len(lacking.X))]
    with ShardedPool.open(lacking.paths, request.getfixturevalue(request.param), n_workers=2, ids=ids) as pool:
        assert len(set(pool.ask(process))) == 2  # of their own
        assert os.getpid() not in pool.ask(process)
        yield pool


def process(shard):
    return os.getpid()


def sleep(shard):
    time.sleep(15)


class Killing:
    """Kill the worker that holds the last shard before a question is asked."""

    def __init__(self, pool, question):
        self.pool, self.left, self.process = pool, question, pool.ask(process)[-1]

    def __enter__(self):
        self.ask = self.pool._workers.ask
        self.pool._workers.ask = self

    def __exit__(self, *error):
        self.pool._workers.ask = self.ask

    def __call__(self, messages):
        if self.left == 0:
            os.kill(self.process, signal.SIGKILL)
        self.left -= 1
        return self.ask(messages)


def test_a_worker_that_is_killed_in_mid_query(pool, lacking):
    strategy = BMMAL(random_state=0)
    expected = strategy.query(lacking.clf, lacking.X, 30)
    with Killing(pool, 4), pytest.raises(WorkerLostError, match="nothing was picked. `pool.reopen"):
        strategy.query(lacking.clf, pool, 30)
    with pytest.raises(WorkerLostError):  # and it is still so
        strategy.query(lacking.clf, pool, 30)
    pool.reopen()
    np.testing.assert_array_equal(strategy.query(lacking.clf, pool, 30), expected)


@pytest.mark.parametrize("pool", ["dask"], indirect=True)
def test_a_worker_that_is_killed_while_it_answers(pool, lacking):
    threading.Timer(1.0, os.kill, (pool.ask(process)[0], signal.SIGKILL)).start()
    with pytest.raises(WorkerLostError):
        pool.ask(sleep)
    pool.reopen()
    assert len(pool.take(np.arange(len(pool)))) == len(lacking.X)


@pytest.mark.parametrize("pool", ["dask"], indirect=True)
def test_a_campaign_whose_worker_is_killed_in_mid_round(pool, lacking, tmp_path):
    options = {"strategy": "badge", "initial": "random", "estimator": LateFusionClassifier(), "n_instances": 20}
    batches = []
    for name, features, ids in (("here", lacking.X, pool.ids), ("there", pool, None)):
        campaign = LabelingCampaign.create(tmp_path / name, features, ids=ids, **options)
        first = campaign.next_batch()
        campaign.add_labels({row: str(lacking.y[int(row[1:])]) for row in first["id"]}, annotator="ann")
        if name == "there":
            with Killing(pool, 8), pytest.raises(WorkerLostError):
                campaign.next_batch()
            assert len(campaign.state().rounds) == 1
            pool.reopen()
        batches.append(campaign.next_batch()["id"].tolist())
    assert batches[0] == batches[1]
