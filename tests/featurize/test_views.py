"""Items of several files: their mean, their largest values, or a token for each; a view that is missing is noted."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pandas as pd
import pytest
import torch

from skmmal.features import FeatureStore, FingerprintError
from skmmal.featurize import Backbone, FileReader, JobOptions, Unit, run
from skmmal.featurize._cells import Views
from skmmal.featurize._cli import run_script
from skmmal.featurize._manifest import Wanted, read_manifest
from skmmal.featurize.backbones import TextReader

VIEWS = {"a": [1, 2, 6], "b": [5], "c": [4, None], "d": ["bad", 3], "e": ["bad", "none"], "f": [], "g": [-1, -3]}
"""Items and what their files hold; None is no file, "none" one that is not there."""
VALUES = {name: [v for v in views if isinstance(v, int)] for name, views in VIEWS.items()}


class NumberReader(FileReader):
    """A file of a number becomes two units of weight 1 and 3."""

    def decode(self, raw, notes):
        value = float(raw)
        yield Unit({"x": torch.tensor([value, -value])}, weight=1.0)
        yield Unit({"x": torch.tensor([value, -value + 4])}, weight=3.0)


def row(value):
    """What one view becomes: the mean by weight."""
    return np.array([value, -value + 3.0])


def model(reader):
    about = {"backbone": "numbers", "weights": "none"}
    return Backbone(torch.nn.Identity(), lambda module, inputs: inputs["x"], 2, reader, about)


@pytest.fixture
def folder(tmp_path):
    for name, views in VIEWS.items():
        for k, value in enumerate(views):
            if value not in (None, "none"):
                (tmp_path / f"{name}{k}.txt").write_text(str(value))
    return tmp_path


def paths(name):
    return ["" if value is None else f"{name}{k}.txt" for k, value in enumerate(VIEWS[name])]


def write(folder, form):
    if form == "csv":
        table = pd.DataFrame({"id": list(VIEWS), "image": ["; ".join(paths(name)) for name in VIEWS]})
        table.to_csv(folder / "m.csv", index=False)
        return folder / "m.csv"
    if form == "jsonl":
        lines = [{"id": name, "image": [path or None for path in paths(name)]} for name in VIEWS]
        (folder / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return folder / "m.jsonl"
    cells = [[(folder / path).read_bytes() if path and (folder / path).exists() else None for path in paths(name)] for name in VIEWS]
    if form == "parquet":
        pd.DataFrame({"id": list(VIEWS), "image": cells}).to_parquet(folder / "m.parquet")
        return folder / "m.parquet"
    if form == "saved":
        datasets = pytest.importorskip("datasets")
        datasets.Dataset.from_dict({"id": list(VIEWS), "image": cells}).save_to_disk(folder / "d")
        return folder / "d"
    with tarfile.open(folder / "m.tar", "w") as archive:
        for name, views in zip(VIEWS, cells, strict=True):
            for k, data in [*((f"{k}.jpg", data) for k, data in enumerate(views)), ("json", b"{}")]:
                if data is not None:
                    entry = tarfile.TarInfo(f"{name}.{k}")
                    entry.size = len(data)
                    archive.addfile(entry, io.BytesIO(data))
    return folder / "m.tar"


def job(manifest, out, views, **more):
    separator = ";" if manifest.suffix == ".csv" else None
    given = {"workers": 0, "range_rows": 3, "batch_size": 2, "dtype": "float32", "device": "cpu", "max_error_rate": 1.0}
    options = JobOptions("image", manifest, out, "own/numbers", views=views, separator=separator, **(given | more))
    return run(options, model(NumberReader(manifest.parent)), quiet=True)


EXPECTED = {
    "mean": lambda values, n: np.mean([row(v) for v in values], axis=0),
    "max": lambda values, n: np.max([row(v) for v in values], axis=0),
}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "saved", "tar"])
@pytest.mark.parametrize("views", ["mean", "max"])
def test_views_become_one_row(views, form, folder):
    manifest, out = write(folder, form), folder / "cache"
    job(manifest, out, views, limit=3)
    receipt = job(manifest, out, views, workers=2)
    assert receipt["complete"]
    store = FeatureStore.open(out)
    there = dict(zip(map(str, store.ids), store.present("image").tolist(), strict=True))
    assert there == {name: bool(values) for name, values in VALUES.items()}
    block = np.asarray(store.load()["image"])
    for name, values in zip(VIEWS, block, strict=True):
        if VALUES[name]:
            np.testing.assert_allclose(values, EXPECTED[views](VALUES[name], None), rtol=1e-6)
        else:
            assert np.isnan(values).all()
    (remark,) = store.remarks("image")
    assert remark["id"] == "d"
    assert "1 of 2 are there; view 1: ValueError: could not convert" in remark["notes"]["views"]
    reasons = {error["id"]: error["message"] for error in store.errors("image")}
    assert set(reasons) == {"e", "f"}
    assert "not one of its" in reasons["e"]
    assert reasons["f"] == "empty cell: no view given"


def test_views_as_tokens(folder):
    manifest = write(folder, "jsonl")
    job(manifest, folder / "cache", "tokens")
    store = FeatureStore.open(folder / "cache")
    assert store.info()["modalities"]["image"]["shape"] == [7, 3, 2]
    block = np.asarray(store.load()["image"]).reshape(7, 3, 2)
    for name, tokens in zip(VIEWS, block, strict=True):
        for place in range(3):
            value = VIEWS[name][place] if place < len(VIEWS[name]) else None
            if VALUES[name]:
                np.testing.assert_allclose(tokens[place], row(value) if isinstance(value, int) else 0, rtol=1e-6)
    job(manifest, folder / "more", "tokens", n_views=5)
    assert FeatureStore.open(folder / "more").load()["image"].shape == (7, 10)
    with pytest.raises(ValueError, match="'a' has 3 views, more than --n-views 2"):
        job(manifest, folder / "none", "tokens", n_views=2)


def test_one_view_is_the_file_alone(folder):
    (folder / "one.csv").write_text("id,image\na,a0.txt\nb,b0.txt\n")
    for views in ("mean", "max"):
        job(folder / "one.csv", folder / views, views)
        np.testing.assert_array_equal(FeatureStore.open(folder / views).load()["image"], [row(1), row(5)])


def test_a_view_that_changes_is_made_again(folder):
    manifest = write(folder, "jsonl")
    job(manifest, folder / "cache", "mean")
    (folder / "a1.txt").write_text("22")
    receipt = job(manifest, folder / "cache", "mean", extend="stat")
    assert (receipt["extension"]["changed"], receipt["encoded"]) == (1, 1)
    lines = manifest.read_text().replace('"b0.txt"', '"b0.txt", "a0.txt"')
    manifest.write_text(lines)
    with pytest.raises(FingerprintError, match="manifest"):
        job(manifest, folder / "cache", "mean")
    receipt = job(manifest, folder / "cache", "mean", extend="stat")
    assert (receipt["extension"]["changed"], receipt["encoded"]) == (1, 1)
    with pytest.raises(FingerprintError, match="views"):
        job(manifest, folder / "cache", "max")


def test_long_items_come_in_parts(folder, monkeypatch):
    manifest = write(folder, "jsonl")
    job(manifest, folder / "whole", "max")
    monkeypatch.setattr("skmmal.featurize._reading.PART_BYTES", 20)
    job(manifest, folder / "parts", "max")
    assert (folder / "parts" / "image.npy").read_bytes() == (folder / "whole" / "image.npy").read_bytes()


def test_several_texts(tmp_path):
    class Lengths(TextReader):
        def decode(self, raw, notes):
            notes["read"] = notes.get("read", 0) + 1
            yield Unit({"x": torch.tensor([float(len(raw)), 1.0])})

    (tmp_path / "m.jsonl").write_text('{"id": "a", "text": ["one", "three", " "]}\n{"id": "b", "text": ["", null]}\n')
    options = JobOptions("text", tmp_path / "m.jsonl", tmp_path / "c", "own/x", views="mean", workers=0, device="cpu")
    run(options, model(Lengths()), quiet=True)
    store = FeatureStore.open(tmp_path / "c")
    assert store.load()["text"][0].tolist() == [4.0, 1.0]
    assert store.present("text").tolist() == [True, False]
    assert store.info()["modalities"]["text"]["notes"] == {"read": 2}


def test_what_is_refused(tmp_path, capsys):
    (tmp_path / "m.jsonl").write_text('{"id": "a", "image": ["x.png", "y.png"]}\n')
    with pytest.raises(ValueError, match="line 1: column 'image' must hold a path, .* several of them go with --views"):
        read_manifest(tmp_path / "m.jsonl", Wanted("image"))
    assert read_manifest(tmp_path / "m.jsonl", Wanted("image", several=True)).cells == [Views(("x.png", "y.png"))]
    for more, message in (
        ({"views": "sum"}, "views must be None, 'mean', 'max' or 'tokens'"),
        ({"separator": ";"}, "say with views what becomes of them"),
        ({"n_views": 3}, "say with views what becomes of them"),
        ({"views": "mean", "separator": ""}, "separator is empty"),
        ({"views": "mean", "n_views": 0}, "n_views must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            JobOptions("image", "m.csv", "out", "own/x", **more)
    command = ["--out", str(tmp_path / "c"), "--model", "torchvision/squeezenet1_1", "--weights", "random", "--device", "cpu"]
    assert run_script("image", [str(tmp_path / "m.jsonl"), *command, "--views", "tokens", "--tokens"]) == 2
    assert "--views tokens makes a token of each view; do without --tokens" in capsys.readouterr().err
