"""A campaign's features: told apart by the cache's own checksums."""

import os

import numpy as np
import pytest

from skmmal import FeatureStore, LateFusionClassifier
from skmmal.campaign import CampaignError, LabelingCampaign, _source

N = 40


@pytest.fixture
def campaign(tmp_path):
    rng = np.random.default_rng(0)
    blocks = {"a": rng.normal(size=(N, 4)).astype(np.float32), "b": rng.normal(size=(N, 2)).astype(np.float32)}
    FeatureStore.write(tmp_path / "features", blocks, ids=[f"r{row}" for row in range(N)])
    return LabelingCampaign.create(
        tmp_path / "c",
        tmp_path / "features",
        strategy="margin",
        initial="random",
        estimator=LateFusionClassifier(),
        n_instances=4,
    )


@pytest.fixture
def read(monkeypatch):
    """How often every value was read."""
    calls = []
    whole = _source.fingerprint
    monkeypatch.setattr(_source, "fingerprint", lambda *given: calls.append(1) or whole(*given))
    return calls


def next_batch(campaign):
    """Of a process that knows nothing of the one before."""
    return LabelingCampaign(campaign.folder).next_batch()


def test_only_the_first_round_reads_every_value(campaign, read):
    next_batch(campaign)
    assert len(read) == 1
    next_batch(campaign)
    next_batch(campaign)
    assert len(read) == 1
    first, *others = [entry.receipt["features"] for entry in campaign.state().rounds]
    assert first["stored"]
    assert all(other == first for other in others)


def test_values_that_were_changed_behind_the_cache_are_noticed(campaign, read, tmp_path):
    next_batch(campaign)
    file = tmp_path / "features" / "a.npy"
    values = np.load(file, mmap_mode="r+")
    values[3] += 1
    values.flush()
    later = os.stat(tmp_path / "features" / "a.ranges.json").st_mtime_ns + 10**9
    os.utime(file, ns=(later, later))
    with pytest.raises(CampaignError, match="the ids are the same, values differ"):
        next_batch(campaign)


def test_another_cache_is_noticed_by_its_checksums(campaign, tmp_path):
    next_batch(campaign)
    store = FeatureStore.open(tmp_path / "features")
    blocks = {name: np.array(block) for name, block in store.load().blocks.items()}
    blocks["b"][0] += 1
    FeatureStore.write(tmp_path / "features", blocks, ids=store.ids, overwrite=True)
    with pytest.raises(CampaignError, match="values differ"):
        next_batch(campaign)
