"""The feature cache: what is written is what is read, whatever happens in between, and nothing else is read."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from sklearn.model_selection import train_test_split
from typer.testing import CliRunner

from skmmal.cli import app
from skmmal.features import CacheError, CacheInUseError, FeatureStore, FingerprintError
from skmmal.features import _files as files
from skmmal.features._arrow import ArrowTable
from skmmal.modalities import presence_mask

N = 23
IDS = [f"id {k}" for k in range(N)]


@pytest.fixture
def blocks():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(N, 8)).astype(np.float16)
    text = rng.normal(size=(N, 3, 4)).astype(np.float32)
    text[[2, 20]] = np.nan
    return {"image": image, "text": text}


@pytest.fixture
def store(tmp_path, blocks):
    return FeatureStore.write(tmp_path / "cache", blocks, IDS, {"image": {"backbone": "a/b", "weights": "W"}})


def fill(writer, values, present=None):
    for rows in writer.pending():
        part = slice(rows.start, rows.stop)
        writer.commit(rows, values[part], None if present is None else present[part])


def edit_manifest(store, change):
    path = store.path / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


# ------------------------------------------------------------------------------------------------ format, loading


def test_written_files_are_the_documented_format(store, blocks):
    manifest = json.loads((store.path / "manifest.json").read_text())
    assert manifest["format"] == "skmmal-features"
    assert manifest["version"] == 1
    assert manifest["n_samples"] == N
    entry = manifest["modalities"]["image"]
    assert (entry["file"], entry["shape"], entry["dtype"]) == ("image.npy", [N, 8], "float16")
    assert (entry["backbone"], entry["weights"]) == ("a/b", "W")
    assert (store.path / "ids.txt").read_text() == "\n".join(IDS) + "\n"
    np.testing.assert_array_equal(np.load(store.path / "image.npy", allow_pickle=False), blocks["image"])
    np.testing.assert_array_equal(np.load(store.path / "text.npy", allow_pickle=False), blocks["text"])
    present = np.load(store.path / "text.present.npy", allow_pickle=False)
    assert present.dtype == bool
    np.testing.assert_array_equal(np.flatnonzero(~present), [2, 20])


def test_open_reads_back_what_was_written(store, blocks):
    store = FeatureStore.open(store.path)
    assert store.modalities == {"image": 8, "text": (3, 4)}
    assert list(store.ids) == IDS
    assert len(store) == store.n_samples == N
    array = store.load()
    np.testing.assert_array_equal(array["image"], blocks["image"])
    np.testing.assert_array_equal(array["text"], blocks["text"].reshape(N, -1))
    np.testing.assert_array_equal(presence_mask(array)[:, 1], store.present("text"))


def test_a_cache_made_by_hand_in_the_documented_format_opens(tmp_path, blocks):
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    np.save(tmp_path / "image.npy", blocks["image"])
    np.save(tmp_path / "image.present.npy", np.ones(N, dtype=bool))
    entry = {"file": "image.npy", "shape": [N, 8], "dtype": "float16"}
    content = {"format": "skmmal-features", "version": 1, "n_samples": N, "modalities": {"image": entry}}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    store = FeatureStore.open(tmp_path)
    np.testing.assert_array_equal(store.load()["image"], blocks["image"])
    assert store.info()["modalities"]["image"]["complete"]
    assert store.verify(checksum=True)["ok"]


def test_loading_maps_files_and_reads_only_the_rows_asked_for(store, blocks):
    block = store.load()["image"]
    base = block
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    np.testing.assert_array_equal(store.load(rows=[5, 3])["image"], blocks["image"][[5, 3]])
    np.testing.assert_array_equal(store.load(rows=slice(4, 9))["image"], blocks["image"][4:9])
    np.testing.assert_array_equal(store.load(rows=np.arange(N) < 2)["image"], blocks["image"][:2])
    assert list(store.load(modalities=["text"]).modalities) == ["text"]
    train, test = train_test_split(store.load(), test_size=5, random_state=0)
    assert (len(train), len(test)) == (N - 5, 5)
    with pytest.raises(KeyError, match="unknown modality 'smell'"):
        store.load(modalities=["smell"])


def test_bfloat16_keeps_what_torch_keeps(tmp_path):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=(N - 1, 6)) * 10.0 ** rng.integers(-20, 20, (N - 1, 6)), np.zeros((1, 6))])
    values = values.astype(np.float32)
    values[3] = np.nan
    store = FeatureStore.create(tmp_path / "c", IDS)
    with store.writer("a", 6, dtype="bfloat16", range_rows=5) as writer:
        fill(writer, values, ~np.isnan(values[:, 0]))
    expected = torch.from_numpy(values).bfloat16().float().numpy()
    np.testing.assert_array_equal(FeatureStore.open(tmp_path / "c").load()["a"], expected)
    assert np.load(tmp_path / "c" / "a.npy").dtype == np.uint16
    assert FeatureStore.open(tmp_path / "c").verify(checksum=True)["ok"]


@pytest.mark.parametrize("dtype", ["float64", "int32", "uint8", "bool"])
def test_other_dtypes_are_kept(tmp_path, dtype):
    values = np.arange(N * 2).reshape(N, 2).astype(dtype)
    store = FeatureStore.write(tmp_path / "c", {"a": values}, IDS)
    assert store.load()["a"].dtype == dtype
    np.testing.assert_array_equal(store.load()["a"], values)


# --------------------------------------------------------------------------------------------------- bad caches


def test_no_pickle_is_ever_loaded(store):
    np.save(store.path / "image.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CacheError, match=r"image\.npy is truncated, or not an \.npy file of numbers"):
        FeatureStore.open(store.path)


@pytest.mark.parametrize("keep", [0, 40, 200])
def test_truncated_array_is_refused(store, keep):
    path = store.path / "image.npy"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CacheError, match=r"image\.npy is truncated"):
        FeatureStore.open(store.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format="other"), "has the format 'other'"),
        (lambda m: m.update(version=2), "written by a newer skmmal"),
        (lambda m: m.update(version="1"), "version must be a whole number"),
        (lambda m: m.update(n_samples=5), "does not fit n_samples 5"),
        (lambda m: m.update(n_samples=0), "n_samples must be a positive"),
        (lambda m: m.update(modalities=[]), "modalities must map"),
        (lambda m: m["modalities"]["image"].update(shape=[N, 9]), r"holds shape \(23, 8\), dtype float16"),
        (lambda m: m["modalities"]["image"].update(dtype="float32"), "the manifest says .*float32"),
        (lambda m: m["modalities"]["image"].update(dtype="object"), "is not one of numbers"),
        (lambda m: m["modalities"]["image"].update(file="../image.npy"), "leaves the folder"),
        (lambda m: m["modalities"]["image"].update(file="/etc/passwd"), "leaves the folder"),
        (lambda m: m["modalities"]["image"].update(file="C:\\image.npy"), "leaves the folder"),
        (lambda m: m["modalities"]["image"].update(file="..\\image.npy"), "leaves the folder"),
        (lambda m: m["modalities"]["image"].update(present="a/../../x.npy"), "leaves the folder"),
        (lambda m: m["modalities"]["image"].update(file=7), "expected the name of a file"),
        (lambda m: m["modalities"]["image"].update(file="gone.npy"), r"gone\.npy is missing"),
        (lambda m: m["modalities"]["image"].update(range_rows=0), "range_rows must be a positive"),
        (lambda m: m["modalities"].update({"../x": m["modalities"]["image"]}), "cannot name a file"),
    ],
)
def test_bad_manifest_is_refused_with_its_reason(store, change, message):
    edit_manifest(store, change)
    with pytest.raises(CacheError, match=message):
        FeatureStore.open(store.path)


def test_links_that_leave_the_folder_are_refused(store, tmp_path):
    outside = tmp_path / "outside.npy"
    (store.path / "image.npy").rename(outside)
    (store.path / "image.npy").symlink_to(outside)
    with pytest.raises(CacheError, match="a link that leaves the folder"):
        FeatureStore.open(store.path)


def test_foreign_and_damaged_folders_are_refused(tmp_path, store):
    with pytest.raises(CacheError, match="is not a folder"):
        FeatureStore.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CacheError, match=r"no manifest\.json"):
        FeatureStore.open(tmp_path / "empty")
    (store.path / "manifest.json").write_text('{"format": "skmmal-fea')
    with pytest.raises(CacheError, match="not valid JSON, or is truncated"):
        FeatureStore.open(store.path)


def test_ids_that_do_not_fit_are_refused(store):
    path = store.path / "ids.txt"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(CacheError, match="the manifest says 23"):
        FeatureStore.open(store.path)
    path.write_text(text.replace("id 3\n", "id x\n"))
    with pytest.raises(CacheError, match="was changed since"):
        FeatureStore.open(store.path)
    path.unlink()
    with pytest.raises(CacheError, match=r"ids\.txt is missing"):
        FeatureStore.open(store.path)


def test_verify_finds_a_flipped_bit_and_a_changed_presence(store):
    path = store.path / "image.npy"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    store = FeatureStore.open(store.path)
    assert store.verify()["ok"]
    report = store.verify(checksum=True)
    assert not report["ok"]
    assert "the checksum of rows 0 to 23 is wrong" in report["problems"][0]
    present = np.load(store.path / "text.present.npy")
    present[0] = False
    np.save(store.path / "text.present.npy", present)
    assert "changed their presence" in FeatureStore.open(store.path).verify()["problems"][0]


def test_verify_counts_zero_and_repeated_rows(tmp_path):
    values = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    values[4] = 0
    values[[7, 9]] = values[1]
    report = FeatureStore.write(tmp_path / "c", {"a": values}, IDS).verify(checksum=True)
    assert report["ok"]
    assert (report["modalities"]["a"]["zero"], report["modalities"]["a"]["duplicates"]) == (1, 2)


def test_info_is_plain_and_complete(store):
    info = store.info()
    assert json.loads(json.dumps(info)) == info
    assert info["n_samples"] == N
    assert info["modalities"]["text"] == {
        **info["modalities"]["text"],
        "shape": [N, 3, 4],
        "dtype": "float32",
        "rows_done": N,
        "complete": True,
        "present": N - 2,
        "missing": 2,
        "errors": 0,
    }
    assert info["modalities"]["image"]["backbone"] == "a/b"


# ------------------------------------------------------------------------------------------------------ writing


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a"] * N, "'a' stands in row 0 and again in row 1"),
        (["", *IDS[1:]], "row 0 has ''"),
        (["a\nb", *IDS[1:]], "without line breaks"),
        ([], "ids is empty"),
    ],
)
def test_unusable_ids_are_refused_and_leave_nothing(tmp_path, blocks, ids, message):
    with pytest.raises(ValueError, match=message):
        FeatureStore.write(tmp_path / "c", blocks, ids)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_cannot_be_used_are_refused_and_leave_nothing(tmp_path, blocks, value):
    blocks["image"][5, 2] = value
    with pytest.raises(ValueError, match="'image'"):
        FeatureStore.write(tmp_path / "c", blocks, IDS)
    assert list(tmp_path.iterdir()) == []


def test_write_refuses_what_is_there_unless_told(tmp_path, store, blocks):
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        FeatureStore.write(store.path, blocks, IDS)
    again = FeatureStore.write(store.path, {"other": blocks["image"]}, IDS, overwrite=True)
    assert again.modalities == {"other": 8}
    assert not (store.path / "image.npy").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(CacheError, match="not a feature cache"):
        FeatureStore.write(tmp_path / "mine", blocks, IDS, overwrite=True)
    with pytest.raises(FileExistsError, match="not a feature cache"):
        FeatureStore.create(tmp_path / "mine", IDS)
    assert [path.name for path in (tmp_path / "mine").iterdir() if path.name != ".lock"] == ["thesis.txt"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a.b", "a b", 3])
def test_names_that_cannot_be_files_are_refused(store, blocks, name):
    with pytest.raises((ValueError, TypeError), match=r"name|cannot name a file"):
        store.append(name, blocks["image"])


def test_append_by_position_and_by_id(store):
    values = np.random.default_rng(1).normal(size=(N, 2))
    order = np.random.default_rng(2).permutation(N)
    store.append("a", values)
    store.append("b", values[order], ids=[IDS[k] for k in order])
    array = FeatureStore.open(store.path).load()
    np.testing.assert_array_equal(array["a"], values)
    np.testing.assert_array_equal(array["b"], values)
    store.append("a", values)  # the same again is the same
    with pytest.raises(FingerprintError, match="appended: the cache has"):
        store.append("a", values + 1)
    with pytest.raises(ValueError, match="has 5 rows"):
        store.append("c", values[:5])
    with pytest.raises(CacheError, match="the ids are not those of the cache"):
        store.append("c", values, ids=[*IDS[1:], "new"])
    with pytest.raises(ValueError, match="in case only"):
        store.append("A", values)


def test_join_matches_by_id(tmp_path, store, blocks):
    other_ids = [*IDS[10:], "new 1", "new 2"][::-1]
    values = np.random.default_rng(3).normal(size=(len(other_ids), 2)).astype(np.float32)
    other = FeatureStore.write(tmp_path / "other", {"audio": values}, other_ids)
    inner = store.join(other, tmp_path / "inner")
    assert list(inner.ids) == IDS[10:]
    np.testing.assert_array_equal(inner.load()["image"], blocks["image"][10:])
    np.testing.assert_array_equal(inner.load()["audio"], values[::-1][: N - 10])
    left = store.join(other, tmp_path / "left", how="left")
    assert list(left.ids) == IDS
    assert np.isnan(left.load()["audio"][:10]).all()
    outer = store.join(other, tmp_path / "outer", how="outer")
    assert list(outer.ids) == [*IDS, "new 2", "new 1"]
    np.testing.assert_array_equal(outer.present("image"), np.arange(N + 2) < N)
    assert outer.metadata["image"]["backbone"] == "a/b"
    for made in (inner, left, outer):
        assert made.verify(checksum=True)["ok"]
    with pytest.raises(ValueError, match="both caches have modality 'image'"):
        store.join(inner, tmp_path / "x")
    stranger = FeatureStore.write(tmp_path / "stranger", {"z": values[:2]}, ["p", "q"])
    with pytest.raises(ValueError, match="no id in common"):
        store.join(stranger, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_subset_by_rows_and_by_ids(tmp_path, store, blocks):
    part = store.subset(tmp_path / "part", rows=[20, 4], modalities=["text"])
    assert list(part.ids) == ["id 20", "id 4"]
    np.testing.assert_array_equal(part.load()["text"], blocks["text"][[20, 4]].reshape(2, -1))
    again = store.subset(tmp_path / "again", ids=["id 20", "id 4"])
    assert list(again.modalities) == ["image", "text"]
    with pytest.raises(KeyError, match="1 ids are not in"):
        store.subset(tmp_path / "x", ids=["id 20", "nobody"])
    with pytest.raises(ValueError, match="rows or ids"):
        store.subset(tmp_path / "x", rows=[1], ids=["id 1"])


# ------------------------------------------------------------------------------------------------------ imports


def test_import_of_arrays(tmp_path, blocks):
    np.savez(tmp_path / "a.npz", id=np.array(IDS), image=blocks["image"], text=blocks["text"], y=np.arange(N))
    store = FeatureStore.import_files(tmp_path / "c1", tmp_path / "a.npz")
    assert list(store.ids) == IDS
    assert store.modalities == {"image": 8, "text": (3, 4)}
    assert store.metadata["image"]["imported_from"] == "a.npz:image"
    np.save(tmp_path / "v.npy", blocks["image"])
    store = FeatureStore.import_files(
        tmp_path / "c2", {"video": tmp_path / "v.npy", "words": (tmp_path / "a.npz", "text")}
    )
    assert list(store.ids) == IDS
    np.testing.assert_array_equal(store.load()["video"], blocks["image"])
    tensors = {"image": torch.from_numpy(blocks["image"]), "b": torch.ones(N, 2, dtype=torch.bfloat16)}
    save_file(tensors, tmp_path / "s.safetensors")
    store = FeatureStore.import_files(tmp_path / "c3", tmp_path / "s.safetensors", ids=IDS)
    np.testing.assert_array_equal(store.load()["image"], blocks["image"])
    np.testing.assert_array_equal(store.load()["b"], np.ones((N, 2)))


def test_import_of_tables(tmp_path, blocks):
    text = [None if np.isnan(row).any() else row.tolist() for row in blocks["text"]]
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(blocks["image"].astype(np.float32).ravel()), 8)
    columns = {"id": IDS, "image": fixed, "text": text, "p": np.arange(N) * 1.0, "q": np.arange(N) * 2.0}
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "t.parquet")
    store = FeatureStore.import_files(tmp_path / "c1", tmp_path / "t.parquet")
    assert list(store.ids) == IDS
    np.testing.assert_array_equal(store.load()["image"], blocks["image"].astype(np.float32))
    np.testing.assert_array_equal(store.load()["text"], blocks["text"].reshape(N, -1))
    store = FeatureStore.import_files(tmp_path / "c2", {"scalars": (tmp_path / "t.parquet", ["p", "q"])})
    np.testing.assert_array_equal(store.load()["scalars"], np.arange(N)[:, None] * [1.0, 2.0])
    # what datasets.Dataset.save_to_disk leaves: Arrow streams, and a state that names them
    folder = tmp_path / "hf"
    folder.mkdir()
    for number, part in enumerate((table.slice(0, 10), table.slice(10))):
        with pa.OSFile(str(folder / f"data-{number:05d}-of-00002.arrow"), "wb") as sink:
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(part)
    state = {
        "_data_files": [{"filename": f"data-{k:05d}-of-00002.arrow"} for k in range(2)],
        "_indices_data_files": None,
    }
    (folder / "state.json").write_text(json.dumps(state))
    store = FeatureStore.import_files(tmp_path / "c3", folder)
    assert list(store.ids) == IDS
    np.testing.assert_array_equal(store.load()["image"], blocks["image"].astype(np.float32))


def test_parquet_is_imported_a_group_of_rows_at_a_time(tmp_path):
    n_rows, width, folder = 12_000, 512, tmp_path / "files"
    values = np.random.default_rng(0).standard_normal((n_rows, width)).astype(np.float32)
    folder.mkdir()
    for number, start in enumerate(range(0, n_rows, 4_000)):
        rows = slice(start, start + 4_000)
        image = pa.FixedSizeListArray.from_arrays(pa.array(values[rows].ravel()), width)
        table = pa.table({"id": [f"row {row}" for row in range(n_rows)[rows]], "image": image})
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=500)
    del image, table
    before = pa.total_allocated_bytes()
    held, read = [], pq.ParquetFile.read_row_group

    def watched(*arguments, **options):
        table = read(*arguments, **options)
        held.append(pa.total_allocated_bytes() - before)
        return table

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pq.ParquetFile, "read_row_group", watched)
        tracemalloc.start()
        found = ArrowTable(folder).column("image", tmp_path)
        peak = tracemalloc.get_traced_memory()[1] + max(held)
        tracemalloc.stop()
    assert peak < values.nbytes / 3, peak
    np.testing.assert_array_equal(found, values)
    assert [each.name for each in tmp_path.iterdir()] == ["files"]  # where the values lie has no name
    # both roads in go through it
    store = FeatureStore.import_files(tmp_path / "cache", folder)
    assert CliRunner().invoke(app, ["import", str(folder), "--out", str(tmp_path / "new")]).exit_code == 0
    for each in (store, FeatureStore.open(tmp_path / "new" / "features")):
        np.testing.assert_array_equal(each.load()["image"], values)
        assert list(each.ids) == [f"row {row}" for row in range(n_rows)]


def test_imports_that_cannot_be_are_refused(tmp_path, blocks):
    np.savez(tmp_path / "p.npz", image=np.array([{}], dtype=object))
    with pytest.raises(CacheError, match=r"p\.npz.*cannot be read"):
        FeatureStore.import_files(tmp_path / "c", tmp_path / "p.npz")
    np.save(tmp_path / "v.npy", blocks["image"])
    with pytest.raises(ValueError, match="has no names"):
        FeatureStore.import_files(tmp_path / "c", tmp_path / "v.npy")
    np.savez(tmp_path / "a.npz", image=blocks["image"])
    with pytest.raises(KeyError, match="no array 'text'"):
        FeatureStore.import_files(tmp_path / "c", {"text": tmp_path / "a.npz"})
    pq.write_table(pa.table({"v": [[1.0], [1.0, 2.0]]}), tmp_path / "ragged.parquet")
    with pytest.raises(CacheError, match="rows of different shapes"):
        FeatureStore.import_files(tmp_path / "c", tmp_path / "ragged.parquet")
    (tmp_path / "x.txt").write_text("no table")
    with pytest.raises(CacheError, match="is none of"):
        FeatureStore.import_files(tmp_path / "c", tmp_path / "x.txt")
    with pytest.raises(FileNotFoundError):
        FeatureStore.import_files(tmp_path / "c", tmp_path / "gone.npz")
    assert not (tmp_path / "c").exists()


# --------------------------------------------------------------------------------------------- resumable writer


def test_rows_not_written_are_nan_and_said_to_be(tmp_path, blocks):
    store = FeatureStore.create(tmp_path / "c", IDS)
    with store.writer("image", 8, range_rows=5, fingerprint={"w": 1}) as writer:
        for rows in writer.pending()[:2]:
            writer.commit(rows, blocks["image"][rows.start : rows.stop])
    store = FeatureStore.open(store.path)
    with pytest.warns(UserWarning, match=r"rows not written yet, and therefore NaN: \{'image': 13\}"):
        array = store.load()
    np.testing.assert_array_equal(array["image"][:10], blocks["image"][:10])
    assert np.isnan(array["image"][10:]).all()
    info = store.info()["modalities"]["image"]
    assert (info["rows_done"], info["complete"], info["missing"]) == (10, False, 0)
    with store.writer("image", 8, fingerprint={"w": 1}) as writer:
        assert [rows.start for rows in writer.pending()] == [10, 15, 20]
        fill(writer, blocks["image"])
    np.testing.assert_array_equal(FeatureStore.open(store.path).load()["image"], blocks["image"])
    assert not (store.path / "image.progress").exists()


def test_a_different_job_is_refused_with_the_difference(tmp_path, blocks):
    store = FeatureStore.create(tmp_path / "c", IDS)
    with store.writer("image", 8, fingerprint={"weights": "A", "versions": {"torch": "1"}}) as writer:
        fill(writer, blocks["image"])
    with pytest.raises(FingerprintError) as caught:
        store.writer("image", 8, fingerprint={"weights": "B", "versions": {"torch": "2"}})
    assert "weights: the cache has 'A', this job 'B'" in str(caught.value)
    assert "versions.torch: the cache has '1', this job '2'" in str(caught.value)
    with pytest.raises(FingerprintError, match=r"shape: the cache has \[23, 8\], this job \[23, 9\]"):
        store.writer("image", 9, fingerprint={"weights": "A", "versions": {"torch": "1"}})
    with pytest.raises(CacheError, match="only here: .'x'.; only in the cache"):
        FeatureStore.create(store.path, ["x", *IDS[1:]])
    with pytest.raises(CacheError, match="another order"):
        FeatureStore.create(store.path, IDS[::-1])


@pytest.mark.parametrize("damage", ["values", "presence", "marker", "truncated marker", "other rows"])
def test_a_range_whose_checksum_fails_is_written_again(tmp_path, blocks, damage):
    store = FeatureStore.create(tmp_path / "c", IDS)
    with store.writer("image", 8, range_rows=5) as writer:
        for rows in writer.pending()[:4]:
            writer.commit(rows, blocks["image"][rows.start : rows.stop])
    marker = store.path / "image.progress" / "00000002.json"
    if damage in ("values", "presence"):
        path = store.path / ("image.npy" if damage == "values" else "image.present.npy")
        array = np.load(path, mmap_mode="r+")
        array[12] = 0
        array.flush()
    elif damage == "marker":
        marker.unlink()
    elif damage == "truncated marker":
        marker.write_bytes(marker.read_bytes()[:20])
    else:
        marker.write_text(marker.read_text().replace('"start": 10', '"start": 9'))
    with store.writer("image", 8) as writer:
        assert [rows.start for rows in writer.pending()] == [10, 20]
        fill(writer, blocks["image"])
    store = FeatureStore.open(store.path)
    np.testing.assert_array_equal(store.load()["image"], blocks["image"])
    assert store.verify(checksum=True)["ok"]


def test_values_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path):
    store = FeatureStore.create(tmp_path / "c", IDS)
    with store.writer("image", 2, range_rows=5) as writer:
        rows = writer.pending()[1]
        before = (store.path / "image.npy").read_bytes()
        with pytest.raises(ValueError, match="row 6 is not finite as float16"):
            writer.commit(rows, np.array([[1.0, 1.0], [1e6, 0.0], [0, 0], [0, 0], [0, 0]]))
        with pytest.raises(ValueError, match=r"have shape \(5, 2\), got \(5, 3\)"):
            writer.commit(rows, np.zeros((5, 3)))
        with pytest.raises(ValueError, match=r"have shape \(5, 2\), got \(6, 2\)"):
            writer.commit(rows, np.zeros((6, 2)))
        assert (store.path / "image.npy").read_bytes() == before
        assert rows in writer.pending()


def test_a_file_of_someone_else_is_never_overwritten(tmp_path, blocks):
    store = FeatureStore.create(tmp_path / "c", IDS)
    np.save(store.path / "image.npy", blocks["image"])
    before = (store.path / "image.npy").read_bytes()
    for _ in range(2):
        with pytest.raises(FileExistsError, match="the manifest does not know it"):
            store.writer("image", 8)
    assert (store.path / "image.npy").read_bytes() == before


def test_shards_are_disjoint_and_add_up(tmp_path, blocks):
    store = FeatureStore.create(tmp_path / "c", IDS)
    seen = []
    for index in range(3):
        with store.writer("image", 8, range_rows=2, shard=(index, 3)) as writer:
            seen += [rows.index for rows in writer.ranges]
            fill(writer, blocks["image"])
    assert seen == list(range(12))
    np.testing.assert_array_equal(FeatureStore.open(store.path).load()["image"], blocks["image"])
    assert (store.path / "image.ranges.json").exists()


def test_two_writers_of_the_same_rows_are_refused(tmp_path, blocks):
    store = FeatureStore.create(tmp_path / "c", IDS)
    with store.writer("image", 8, range_rows=2, shard=(0, 2)):
        with pytest.raises(CacheInUseError, match=f"process {os.getpid()} on"):
            store.writer("image", 8)
        with pytest.raises(CacheInUseError, match="give the jobs different shards"):
            store.writer("image", 8, shard=(0, 4))
        with store.writer("image", 8, shard=(1, 2)) as other, store.writer("text", 8) as text:
            fill(other, blocks["image"])
            fill(text, blocks["image"])
    with store.writer("image", 8) as writer:
        assert [rows.start for rows in writer.pending()] == list(range(0, 12, 2))


HOLDER = """
import sys, time
from skmmal.features import FeatureStore
store = FeatureStore.open(sys.argv[1])
writer = store.writer("image", 8)
print("writing", flush=True)
time.sleep(60)
"""


def test_the_lock_of_a_killed_process_is_free_again(tmp_path):
    store = FeatureStore.create(tmp_path / "c", IDS)
    command = [sys.executable, "-c", HOLDER, str(store.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        with pytest.raises(CacheInUseError, match=f"process {process.pid} on"):
            store.writer("image", 8)
        assert len(store.open(store.path).progress("image")["running"]) == 1
        process.send_signal(signal.SIGKILL)
        process.wait()
    with store.writer("image", 8) as writer:
        assert len(writer.pending()) == 1
    assert not list((store.path / "image.progress").glob("lock-*"))


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    # readers that outlive a killed job must not make its rerun fail
    store = FeatureStore.create(tmp_path / "c", IDS)
    script = HOLDER.replace(
        "time.sleep(60)", "pid = os.fork()\nif pid == 0: time.sleep(20)\nelse: print(pid, flush=True)\nos._exit(0)"
    )
    command = [sys.executable, "-c", "import os\n" + script, str(store.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        child = int(process.stdout.readline())
        try:
            process.wait()
            store.writer("image", 8).close()
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("number", ["ENOSPC", "EACCES"])
def test_a_full_disk_is_said_and_survived(tmp_path, blocks, monkeypatch, number):
    store = FeatureStore.create(tmp_path / "c", IDS)
    plain, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == 7:
            raise OSError(getattr(errno, number), "as the system says it")
        plain(descriptor)

    with store.writer("image", 8, range_rows=5) as writer:
        monkeypatch.setattr(os, "fsync", fsync)
        words = "the disk is full" if number == "ENOSPC" else "no permission"
        with pytest.raises(OSError, match=words):
            fill(writer, blocks["image"])
        monkeypatch.undo()
    with store.writer("image", 8) as writer:
        assert 0 < len(writer.pending()) < 5
        fill(writer, blocks["image"])
    assert FeatureStore.open(store.path).verify(checksum=True)["ok"]


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(tmp_path, monkeypatch):
    store = FeatureStore.create(tmp_path / "c", IDS)
    usage = SimpleNamespace(total=100, used=50, free=50)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="the disk is full: image needs"):
        store.writer("image", 8)
    monkeypatch.undo()
    assert FeatureStore.open(store.path).modalities == {}
    store.writer("image", 8).close()


CRASHER = """
import os, sys
import numpy as np
from skmmal.features import FeatureStore

folder, values, steps = sys.argv[1], np.load(sys.argv[2]), int(sys.argv[3])
present = np.arange(len(values)) % 7 != 3

def count(name):
    plain = getattr(os, name)
    def wrapped(*args, **options):
        global steps
        steps -= 1
        if steps == 0:
            os._exit(9)
        result = plain(*args, **options)
        return result
    setattr(os, name, wrapped)

def job():
    for name in ("fsync", "replace", "unlink", "mkdir", "rename"):
        count(name)
    store = FeatureStore.create(folder, [f"id {k}" for k in range(len(values))])
    with store.writer("image", values.shape[1], range_rows=5, fingerprint={"w": 1}) as writer:
        for rows in writer.pending():
            part = slice(rows.start, rows.stop)
            errors = [{"id": f"id {row}", "row": row, "attempt": 1} for row in range(part.start, part.stop) if not present[row]]
            writer.commit(rows, values[part], present[part], errors=errors, seconds={"write": os.getpid() + 0.5})

# crash at the first step, the second, ... : every state a kill can leave between two operations on the disk
while True:
    pid = os.fork()
    if pid == 0:
        job()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(steps, status, flush=True)
    if status != 9:
        break
    steps += int(sys.argv[4])
sys.exit(status)
"""


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("increment", [0, 1])
def test_a_crash_at_every_step_ends_with_the_same_bytes(tmp_path, blocks, increment):
    """Crash again and again, a step later each time (1), or over and over at one step of a resumed job (0)."""
    np.save(tmp_path / "values.npy", blocks["image"])

    def crash(folder, first, step):
        command = [sys.executable, "-c", CRASHER, str(folder), str(tmp_path / "values.npy"), str(first), str(step)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    plain = crash(tmp_path / "plain", 10**6, 0)
    assert plain.returncode == 0, plain.stderr
    expected = snapshot(tmp_path / "plain")
    assert {"image.npy", "image.present.npy", "image.ranges.json", "errors.jsonl", "ids.txt"} < set(expected)
    for first in (1, 2, 5) if increment else (24,):
        folder = tmp_path / f"crashed {first}"
        result = crash(folder, first, increment)
        assert result.returncode == 0, result.stderr
        assert len(result.stdout.splitlines()) > (10 if increment else 2)
        assert snapshot(folder) == expected
    assert b'"attempt": 1' in expected["errors.jsonl"]


def test_half_written_rows_are_never_seen(tmp_path, blocks):
    store = FeatureStore.create(tmp_path / "c", IDS)
    with store.writer("image", 8, range_rows=5) as writer:
        rows = writer.pending()[0]
        writer.commit(rows, blocks["image"][:5])
    # a kill in the middle of a write: some values of row 7, no presence, no marker
    array = np.load(store.path / "image.npy", mmap_mode="r+")
    array[7, :3] = 1
    array.flush()
    before = (store.path / "image.npy").read_bytes()
    with pytest.warns(UserWarning, match="not finished"):
        loaded = FeatureStore.open(store.path).load()["image"]
    assert np.isnan(loaded[5:]).all()
    assert (store.path / "image.npy").read_bytes() == before


def test_temporary_files_have_the_usual_permissions(store):
    mask = os.umask(0o022)
    os.umask(mask)
    assert (store.path / "manifest.json").stat().st_mode & 0o777 == 0o666 & ~mask


def test_import_is_light():
    code = "import sys, skmmal.features; print(sorted({'torch', 'safetensors', 'transformers', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_values_are_aligned_for_memory_mapping(store):
    assert all(files.npy_offset(store.path / f"{name}.npy") % 64 == 0 for name in ("image", "text"))


# ------------------------------------------------------------------------- found by generated inputs (tests/fuzz)


@pytest.mark.parametrize("ids", [IDS[:-1], [*IDS, "one more"]], ids=["fewer", "more"])
def test_ids_and_rows_must_be_as_many(tmp_path, blocks, ids):
    # fewer ids dropped rows without a word, more ids left NaN
    with pytest.raises(ValueError, match=f"blocks have {N} rows, and there are {len(ids)} ids"):
        FeatureStore.write(tmp_path / "cache", blocks, ids)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("ids", "error", "match"),
    [
        (3, TypeError, "ids must be a sequence"),
        (None, TypeError, "ids must be a sequence"),
        ("abc", TypeError, "ids must be a sequence"),
        (["\ud800", *IDS[1:]], ValueError, "row 0 has .* half of a character"),
    ],
    ids=repr,
)
def test_ids_that_are_none(tmp_path, blocks, ids, error, match):
    with pytest.raises(error, match=match):
        FeatureStore.write(tmp_path / "cache", blocks, ids)


@pytest.mark.parametrize(
    "metadata", [3, {"image": 3}, {"image": {"x": object}}, {"image": {"x": float("nan")}}], ids=repr
)
def test_metadata_that_json_cannot_hold(tmp_path, blocks, metadata):
    with pytest.raises(TypeError, match="metadata"):
        FeatureStore.write(tmp_path / "cache", blocks, IDS, metadata)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("width", "options", "match"),
    [
        ("a", {}, "width must be"),
        (0, {}, "width must be"),
        (True, {}, "width must be"),
        (2, {"dtype": 3}, "dtype must be a name"),
        (2, {"range_rows": 1.5}, "range_rows must be a positive integer"),
        (2, {"shard": None}, "shard must be"),
        (2, {"shard": (1,)}, "shard must be"),
        (2, {"fingerprint": {"w": object}}, "fingerprint must hold plain values"),
    ],
)
def test_writers_that_cannot_be(tmp_path, width, options, match):
    store = FeatureStore.create(tmp_path / "c", IDS)
    with pytest.raises((TypeError, ValueError), match=match):
        store.writer("image", width, **options)
    assert FeatureStore.open(store.path).modalities == {}


def test_a_lock_that_cannot_be_taken_or_noted_is_free_again(tmp_path, monkeypatch):
    store = FeatureStore.create(tmp_path / "c", IDS)
    (store.path / ".lock").unlink()
    (store.path / ".lock").mkdir()
    with pytest.raises(OSError, match="a folder stands where a file belongs"):
        store.writer("image", 8)
    (store.path / ".lock").rmdir()

    def full(path, *args, **options):
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:  # who holds it serves messages only
        patch.setattr(Path, "write_text", full)
        with store.writer("image", 8), pytest.raises(CacheInUseError, match="another process"):
            store.writer("image", 8)
    store.writer("image", 8).close()


def test_an_unfinished_range_whose_rows_are_all_there(tmp_path, blocks):
    # a kill between the rows and their marker; the reader looks for torn rows and finds none
    store = FeatureStore.create(tmp_path / "c", IDS)
    with store.writer("image", 8) as writer:
        (rows,) = writer.pending()
        writer.commit(rows, blocks["image"])
        (store.path / "image.progress" / "00000000.json").unlink()
    with pytest.warns(UserWarning, match="not finished"):
        np.testing.assert_array_equal(FeatureStore.open(store.path).load()["image"], blocks["image"])


def bent(name, value):
    def change(path):
        (path / name).unlink()
        value(path / name)

    return change


@pytest.mark.parametrize("name", ["manifest.json", "ids.txt", "image.npy", "image.present.npy", "image.ranges.json"])
@pytest.mark.parametrize(
    "what",
    [
        lambda path: path.mkdir(),
        lambda path: path.symlink_to(path),
        lambda path: os.mkfifo(path),  # reading it would wait for ever
        lambda path: path.write_bytes(b"[" * 100_000),
        lambda path: path.write_bytes(b"9" * 10_000),
        lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f2\n((("),
    ],
    ids=["folder", "loop", "pipe", "deep", "number", "header"],
)
def test_what_stands_where_a_file_belongs(store, name, what):
    bent(name, what)(store.path)
    with pytest.raises(CacheError):
        FeatureStore.open(store.path)


def test_a_null_character_in_a_name(store):
    edit_manifest(store, lambda manifest: manifest["modalities"]["image"].update(file="image\0.npy"))
    with pytest.raises(CacheError, match="no file"):
        FeatureStore.open(store.path)


def test_a_frame_of_two_column_levels(tmp_path):
    frame = pd.concat({"image": pd.DataFrame(np.eye(3)), "text": pd.DataFrame(np.ones((3, 2)))}, axis=1)
    store = FeatureStore.write(tmp_path / "cache", frame, ["a", "b", "c"])
    np.testing.assert_array_equal(store.load()["image"], np.eye(3))


def test_a_block_that_is_refused_leaves_no_modality(store):
    with pytest.raises(ValueError, match="contains infinity"):
        store.append("other", np.full((N, 2), np.inf))
    assert set(FeatureStore.open(store.path).modalities) == {"image", "text"}


def test_a_modality_of_any_name_is_checked(tmp_path):
    # "other" was the name of a helper block, which stood in for it
    blocks = {"other": np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]])}
    store = FeatureStore.write(tmp_path / "cache", blocks, ["a", "b", "c"])
    assert store.present("other").tolist() == [True, False, True]
    with pytest.raises(ValueError, match="partly NaN in row 0"):
        FeatureStore.write(tmp_path / "bad", {"other": [[np.nan, 1.0]]}, ["a"])


@pytest.mark.parametrize("modalities", ["image", 3])
def test_modalities_that_are_no_list(store, tmp_path, modalities):
    with pytest.raises(TypeError, match="modalities must be a list of names"):
        store.load(modalities=modalities)
    with pytest.raises(TypeError, match="modalities must be a list of names"):
        store.subset(tmp_path / "part", modalities=modalities)
