"""A campaign whose features are on workers hands out what one with the same features in one place does."""

import json
import os
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from samples import make_blocks

from skmmal import FeatureStore, LabelingCampaign, LateFusionClassifier
from skmmal.campaign import CampaignError
from skmmal.distributed import ShardedPool, WorkerLostError

N, CUTS = 160, (0, 1, 70, 160)
IDS = np.array([f"r{row}" for row in range(N)])
BLOCKS, Y = make_blocks(n=N, widths={"image": 6, "text": 4}, missing=0.2, dtype=np.float32)
BLOCKS["image"][[3, 120]] = BLOCKS["text"][[3, 120]] = np.nan
TRUTH = dict(zip(IDS.tolist(), Y.astype(str).tolist(), strict=True))
BEGUN = {
    "strategy": "margin",
    "estimator": LateFusionClassifier(),
    "n_instances": 12,
    "classes": ["0", "1", "2"],
    "initial": "maxherding",
    "n_stop_set": 30,
}


def write_caches(folder, blocks=BLOCKS, stop=N):
    for at, (start, end) in enumerate(pairwise(CUTS)):
        rows = slice(start, min(end, stop))
        part = {name: block[rows] for name, block in blocks.items()}
        FeatureStore.write(folder / f"part-{at}", part, ids=IDS[rows], overwrite=True)
    return [folder / f"part-{at}" for at in range(len(CUTS) - 1)]


@pytest.fixture
def caches(tmp_path):
    return write_caches(tmp_path)


@pytest.fixture
def begun(tmp_path, caches):
    with ShardedPool.open(caches, n_workers=2) as pool:
        LabelingCampaign.create(tmp_path / "c", pool, **BEGUN)
    return tmp_path / "c"


def answer(campaign, batch):
    campaign.add_labels({name: TRUTH[name] for name in batch["id"]}, annotator="ann")


def pools(folder, caches):
    """The same rows in every form that a pool is opened from."""
    yield ShardedPool.open(caches, n_workers=3)
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    fsspec = pytest.importorskip("fsspec")
    columns = {"name": IDS.tolist()}
    for name, block in BLOCKS.items():
        cells = [None if np.isnan(row).all() else row for row in block]
        columns[name] = arrow.array(cells, type=arrow.list_(arrow.float32()))
    parquet.write_table(arrow.table(columns), folder / "rows.parquet", row_group_size=50)
    fsspec.filesystem("memory").pipe("/campaign/rows.parquet", (folder / "rows.parquet").read_bytes())
    yield ShardedPool.open("memory://campaign/rows.parquet", n_workers=2, id_column="name")
    for name, block in BLOCKS.items():
        np.save(folder / f"{name}.npy", block)
    yield ShardedPool.open({name: folder / f"{name}.npy" for name in BLOCKS}, n_workers=2, ids=IDS.tolist())


def test_every_form_of_a_pool_hands_out_the_batches_of_one_machine(tmp_path, caches):
    FeatureStore.write(tmp_path / "all", BLOCKS, ids=IDS)
    options = {**BEGUN, "random_fraction": 0.25, "class_balance": True}
    options["validation"] = pd.DataFrame({"id": IDS[:9], "label": Y[:9].astype(str)})
    here = LabelingCampaign.create(tmp_path / "here", tmp_path / "all", **options)
    expected, receipts = [], []
    for _ in range(3):
        expected.append(here.next_batch())
        receipts.append(here.state().rounds[-1].receipt)
        answer(here, expected[-1])
    for at, pool in enumerate(pools(tmp_path, caches)):
        there = LabelingCampaign.create(tmp_path / f"there-{at}", pool, **options)
        for batch, receipt in zip(expected, receipts, strict=True):
            found = there.next_batch()
            pd.testing.assert_frame_equal(found, batch, rtol=1e-4)
            own = there.state().rounds[-1].receipt
            assert own["excluded"] == receipt["excluded"]
            if receipt["model"] is not None:
                for name in ("mean_confidence", "mean_entropy", "validation_accuracy"):
                    assert own["model"][name] == pytest.approx(receipt["model"][name], rel=1e-6)
                assert own["model"]["predicted_in_pool"] == receipt["model"]["predicted_in_pool"]
            answer(there, found)
        pd.testing.assert_frame_equal(there.doubts(), here.doubts(), rtol=1e-4)
        assert there.status().counts == here.status().counts


@pytest.mark.parametrize("strategy", ["auto", "badge", "bmmal", "coreset", "mvopt", "uherding"])
def test_the_batches_of_one_machine_by_other_strategies(strategy, tmp_path, caches, monkeypatch):
    from skmmal.query import _mvopt

    monkeypatch.setattr(_mvopt, "_EXACT_ROWS", 0)  # random features in one place, too
    FeatureStore.write(tmp_path / "all", BLOCKS, ids=IDS)
    options = {**BEGUN, "strategy": strategy}
    with ShardedPool.open(caches, n_workers=2) as pool:
        both = [LabelingCampaign.create(tmp_path / str(at), where, **options) for at, where in enumerate((tmp_path / "all", pool))]
        for _ in range(2):
            here, there = (campaign.next_batch() for campaign in both)
            assert there["id"].tolist() == here["id"].tolist()
            for campaign in both:
                answer(campaign, here)


def test_a_campaign_knows_what_its_pool_was_opened_from(begun):
    first = LabelingCampaign(begun).next_batch()
    answer(LabelingCampaign(begun), first)
    again = LabelingCampaign(begun).next_batch(round=1)
    pd.testing.assert_frame_equal(again, first)
    assert len(LabelingCampaign(begun).next_batch()) == 12
    assert json.loads((begun / "campaign.json").read_text())["features"]["path"] is None


def test_later_rounds_read_no_value_to_know_the_features(begun, monkeypatch):
    from skmmal.campaign import _source

    read, whole = [], _source.fingerprint_of
    monkeypatch.setattr(_source, "fingerprint_of", lambda pool: read.append(1) or whole(pool))
    LabelingCampaign(begun).next_batch()
    assert len(read) == 1
    LabelingCampaign(begun).next_batch()
    assert len(read) == 1


def test_the_fingerprint_does_not_depend_on_who_holds_the_rows(begun, caches, tmp_path):
    """Nor on whether they are on workers at all."""
    LabelingCampaign(begun).next_batch()
    with ShardedPool.open(caches, n_workers=7) as pool:
        LabelingCampaign(begun, features=pool).next_batch()
    FeatureStore.write(tmp_path / "all", BLOCKS, ids=IDS)
    LabelingCampaign(begun, features=tmp_path / "all").next_batch()
    prints = {entry.receipt["features"]["sha256"] for entry in LabelingCampaign(begun).state().rounds}
    assert len(prints) == 1


@pytest.mark.parametrize("change", ["value", "order"])
def test_other_values_are_noticed(change, begun, tmp_path):
    LabelingCampaign(begun).next_batch()
    blocks = {name: block.copy() for name, block in BLOCKS.items()}
    if change == "value":
        blocks["text"][90] += 1
    else:
        blocks["text"][[90, 91]] = blocks["text"][[91, 90]]
    write_caches(tmp_path, blocks)
    with pytest.raises(CampaignError, match="the ids are the same, values differ"):
        LabelingCampaign(begun).next_batch()
    LabelingCampaign(begun).next_batch(allow_changed_features=True)


def test_a_changed_file_of_numbers_is_noticed_by_its_time(tmp_path):
    np.save(tmp_path / "a.npy", BLOCKS["image"][:60, :3] * 0 + np.arange(60)[:, None])

    def open_pool():
        return ShardedPool.open({"a": tmp_path / "a.npy"}, ids=IDS[:60].tolist())

    LabelingCampaign.create(tmp_path / "c", open_pool(), **BEGUN).next_batch()
    os.utime(tmp_path / "a.npy", (1, 1))  # another time alone is no other value
    LabelingCampaign(tmp_path / "c", features=open_pool()).next_batch()
    values = np.load(tmp_path / "a.npy")
    values[4] = 0
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(CampaignError, match="values differ"):
        LabelingCampaign(tmp_path / "c", features=open_pool()).next_batch()
    with pytest.raises(ValueError, match="begun with arrays; give them again"):
        LabelingCampaign(tmp_path / "c").next_batch()


def test_rows_that_come_later(tmp_path):
    caches = write_caches(tmp_path, stop=110)
    with ShardedPool.open(caches, n_workers=2) as pool:
        campaign = LabelingCampaign.create(tmp_path / "c", pool, **BEGUN)
        answer(campaign, campaign.next_batch())
    write_caches(tmp_path)
    grown = LabelingCampaign(tmp_path / "c")
    grown.next_batch()
    receipt = grown.state().rounds[-1].receipt
    assert receipt["features"]["grown_from"] == 110
    new = [int((~np.isnan(block[110:, 0])).sum()) for block in BLOCKS.values()]
    assert [one["n_new"] for one in receipt["drift"]] == new


def test_a_lost_worker_changes_nothing_and_the_round_can_be_asked_again(tmp_path, caches):
    expected = LabelingCampaign.create(tmp_path / "a", ShardedPool.open(caches, n_workers=2), **BEGUN)
    pool = ShardedPool.open(caches, n_workers=2)
    campaign = LabelingCampaign.create(tmp_path / "b", pool, **BEGUN)
    for each in (expected, campaign):
        answer(each, each.next_batch())
    ask, left = pool._workers.ask, [0]

    def dying(messages):
        left[0] -= 1
        if left[0] < 0:
            raise WorkerLostError("gone")
        return ask(messages)

    batch, n_lost = expected.next_batch(), 0
    pool._workers.ask = dying
    for n_answers in range(0, 100, 3):  # the worker dies after some questions, until there are no more
        left[0] = n_answers
        try:
            found = campaign.next_batch()
        except WorkerLostError:
            n_lost += 1
        else:  # perhaps it died when all that was left was to say good-bye
            assert found["id"].tolist() == batch["id"].tolist()
            campaign.undo()
        assert len(campaign.state().rounds) == 1
        if left[0] >= 0:
            break
        left[0] = 100
        pool.reopen()
    assert n_lost > 3
    assert left[0] >= 0
    assert not any(shard.subsets for holder in pool._workers._holders for shard in holder._shards)


def test_what_needs_the_rows_in_one_place_is_refused(tmp_path, caches):
    pool = ShardedPool.open(caches)

    def begin(**options):
        return LabelingCampaign.create(tmp_path / "c", pool, **{**BEGUN, **options})

    with pytest.raises(ValueError, match="strategy: typiclust does not choose from a ShardedPool.*; these do: .*'auto', 'badge'"):
        begin(strategy="typiclust")
    with pytest.raises(ValueError, match=r"initial: kmeans does not choose .*; these do: \['auto', 'coreset', "):
        begin(initial="kmeans")
    with pytest.raises(ValueError, match="groups needs the features in one place, and they are a ShardedPool"):
        begin(groups=dict.fromkeys(IDS.tolist(), "g"))
    with pytest.raises(ValueError, match="costs needs the features in one place"):
        begin(costs=dict.fromkeys(IDS.tolist(), 1.0))
    with pytest.raises(ValueError, match="ids come with the pool"):
        begin(ids=IDS)
    np.save(tmp_path / "a.npy", np.eye(4))
    with pytest.raises(ValueError, match="the pool has no ids, by which a campaign knows its rows"):
        LabelingCampaign.create(tmp_path / "d", ShardedPool.open({"a": tmp_path / "a.npy"}))
    campaign = begin()
    with pytest.raises(ValueError, match="budget needs the features in one place"):
        campaign.next_batch(budget=3.0)
    FeatureStore.write(tmp_path / "all", BLOCKS, ids=IDS)
    LabelingCampaign.create(tmp_path / "e", tmp_path / "all", **BEGUN)
    with pytest.raises(ValueError, match="client is about features that are a ShardedPool"):
        LabelingCampaign(tmp_path / "e", client=object()).next_batch()
    LabelingCampaign.create(tmp_path / "f", tmp_path / "all", **BEGUN).next_batch()
    with pytest.raises(CampaignError, match="they were in one place, and are a ShardedPool"):
        LabelingCampaign(tmp_path / "f", features=pool).next_batch()


def test_the_defaults_of_a_campaign_on_a_pool(tmp_path, caches):
    campaign = LabelingCampaign.create(tmp_path / "c", ShardedPool.open(caches, n_workers=2), n_instances=9)
    assert type(campaign.settings.strategy).__name__ == "Auto"
    assert type(campaign.settings.initial).__name__ == "MaxHerding"
    assert len(campaign.next_batch()) == 9


def test_the_command_line_names_the_cluster(begun, tmp_path):
    from typer.testing import CliRunner

    from skmmal.cli import app

    distributed = pytest.importorskip("distributed")
    expected = LabelingCampaign(begun).next_batch()["id"].tolist()
    LabelingCampaign(begun).undo()
    runner, asked = CliRunner(), ["campaign", "next", str(begun), "--out", str(tmp_path / "next.csv"), "--scheduler"]
    refused = runner.invoke(app, [*asked, "nonsense"])
    assert refused.exit_code
    assert "no Dask scheduler answers there" in " ".join(refused.output.split())
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        found = runner.invoke(app, [*asked, cluster.scheduler_address])
        assert found.exit_code == 0, found.output
    assert pd.read_csv(tmp_path / "next.csv")["id"].tolist() == expected
