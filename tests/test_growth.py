"""Caches that grow: the same bytes as made at once, whatever stands between."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from skmmal.features import CacheError, FeatureStore


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def blocks(rng):
    text = rng.normal(size=(11, 3)).astype(np.float32)
    text[[2, 9]] = np.nan
    return {"image": rng.normal(size=(11, 2, 4)).astype(np.float16), "text": text, "kind": np.arange(22).reshape(11, 2)}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


IDS = [f"s{k}" for k in range(11)]


def part(blocks, rows):
    return {name: block[rows] for name, block in blocks.items()}


@pytest.mark.parametrize("steps", [[6], [1, 2, 10], list(range(1, 11))])
def test_a_cache_that_grew_is_the_one_made_at_once(tmp_path, blocks, steps):
    whole = FeatureStore.write(tmp_path / "whole", blocks, IDS)
    ends = [*steps, 11]
    store = FeatureStore.write(tmp_path / "grown", part(blocks, slice(ends[0])), IDS[: ends[0]])
    for begin, end in itertools.pairwise(ends):
        assert store.extend(part(blocks, slice(begin, end)), IDS[begin:end]) is store
    assert snapshot(store.path) == snapshot(whole.path)
    assert len(store) == 11
    assert store.verify(checksum=True)["ok"]


@pytest.mark.parametrize("n_before", [2, 3, 4, 6, 7])
def test_ranges_that_end_with_the_cache_are_written_whole(tmp_path, blocks, n_before):
    def made(folder, n_rows):
        store = FeatureStore.create(folder, IDS[:n_rows])
        with store.writer("text", 3, dtype="float32", range_rows=3) as writer:
            for rows in writer.pending():
                values = blocks["text"][rows.start : rows.stop]
                writer.commit(rows, np.nan_to_num(values), ~np.isnan(values[:, 0]))
        return FeatureStore.open(folder)

    whole, store = made(tmp_path / "whole", 11), made(tmp_path / "grown", n_before)
    store.extend({"text": blocks["text"][n_before:]}, IDS[n_before:])
    assert snapshot(store.path) == snapshot(whole.path)


def test_what_is_appended_may_grow_too(tmp_path, blocks):
    stores = []
    for name, n_rows in (("whole", 11), ("grown", 5)):
        stores.append(FeatureStore.write(tmp_path / name, {"kind": blocks["kind"][:n_rows]}, IDS[:n_rows]))
        stores[-1].append("text", blocks["text"][:n_rows])
    stores[1].extend(part({key: blocks[key] for key in ("kind", "text")}, slice(5, 11)), IDS[5:])
    assert snapshot(stores[1].path) == snapshot(stores[0].path)


def test_a_modality_that_is_not_there_is_missing(tmp_path, blocks):
    store = FeatureStore.write(
        tmp_path / "c", part({"image": blocks["image"], "text": blocks["text"]}, slice(4)), IDS[:4]
    )
    store.extend({"image": blocks["image"][4:6]}, IDS[4:6])
    assert store.present().tolist() == [[True, True]] * 2 + [[True, False]] + [[True, True]] + [[True, False]] * 2


def test_what_a_job_made_is_no_longer_its_own(tmp_path, blocks):
    store = FeatureStore.create(tmp_path / "c", IDS[:4])
    with store.writer("text", 3, dtype="float32", fingerprint={"backbone": "net"}) as writer:
        writer.commit(writer.pending()[0], np.ones((4, 3)))
    store = FeatureStore.open(tmp_path / "c").extend({"text": np.zeros((1, 3))}, ["new"])
    entry = store.metadata["text"]
    assert (entry["fingerprint"], entry["origin"]) == ({}, {"backbone": "net"})


@pytest.mark.parametrize(
    ("change", "ids", "message"),
    [
        ({}, ["s1", "x"], "row 0 has 's1', which .* has already"),
        ({"sound": np.ones((2, 2))}, ["x", "y"], "modality 'sound' is not in .*`append` adds a modality"),
        ({"text": np.ones((2, 4))}, ["x", "y"], "modality 'text' has width 3 in .*, blocks have 4"),
        (
            {"kind": np.full((2, 2), 0.5)},
            ["x", "y"],
            "modality 'kind' is stored as int64, which cannot hold blocks of float64",
        ),
        ({"kind": None}, ["x", "y"], "modality 'kind' is not in blocks, and its dtype int64 cannot hold missing rows"),
        ({}, ["x"], "2 rows, and there are 1 ids"),
        ({"image": np.full((2, 2, 4), 1e6)}, ["x", "y"], "too large for the dtype"),
    ],
)
def test_rows_that_cannot_be_added_change_nothing(tmp_path, blocks, change, ids, message):
    store = FeatureStore.write(tmp_path / "c", part(blocks, slice(4)), IDS[:4])
    before = snapshot(tmp_path)
    more = {name: block for name, block in {**part(blocks, slice(4, 6)), **change}.items() if block is not None}
    with pytest.raises(ValueError, match=message):
        store.extend(more, ids)
    assert snapshot(tmp_path) == before


def test_caches_that_cannot_grow_say_so(tmp_path, blocks):
    store = FeatureStore.create(tmp_path / "unfinished", IDS[:4])
    store.writer("text", 3).close()
    with pytest.raises(CacheError, match="modality 'text' in .* is not finished .4 rows are left.; finish it first"):
        FeatureStore(tmp_path / "unfinished").extend({"text": np.ones((1, 3))}, ["x"])
    store = FeatureStore.write(tmp_path / "c", {"text": blocks["text"]}, IDS)
    FeatureStore.write(tmp_path / "c", {"text": blocks["text"][:5]}, IDS[:5], overwrite=True)
    with pytest.raises(CacheError, match="replaced by another cache since it was opened"):
        store.extend({"text": np.ones((1, 3))}, ["x"])
