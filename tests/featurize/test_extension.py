"""A manifest that changes: what is right stays, what is new or other is made, and the cache is the one made at once."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
import torch

from skmmal.features import FeatureStore, FingerprintError
from skmmal.featurize import Backbone, FileReader, JobOptions, Reader, Unit, run
from skmmal.featurize._cli import run_script
from skmmal.featurize._contents import WHOLE_BYTES, content_number, stamp_number


class Recording:
    """Which cells were read."""

    cells: list[str] = []


class TextReader(Reader):
    def fetch(self, cell):
        Recording.cells.append(cell)
        return float(cell)

    def decode(self, raw, notes):
        return [Unit({"x": torch.tensor([raw])})]


class NumberFileReader(FileReader):
    def fetch(self, cell):
        Recording.cells.append(cell)
        return super().fetch(cell)

    def decode(self, raw, notes):
        return [Unit({"x": torch.tensor([float(raw)])})]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(-1, 1, 5)[None])

    def forward(self, x):
        return torch.tanh(x @ self.weight)


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["texts", "files"])
def job(request, tmp_path):
    """A function that featurizes cells by id, from texts or from files that hold them."""

    def go(cells, out, **more):
        table = pd.DataFrame({"id": list(cells), "text": list(cells.values())})
        reader = TextReader()
        if request.param == "files":
            for identifier, cell in cells.items():
                path = tmp_path / f"{identifier}.txt"
                if not path.exists() or path.read_text() != cell:
                    path.write_text(cell)
            table["text"] = [f"{identifier}.txt" for identifier in cells]
            reader = NumberFileReader(tmp_path)
        table.to_csv(tmp_path / "m.csv", index=False)
        about = more.pop("about", {})
        model = Backbone(
            Net(), lambda module, x: module(x["x"]), 5, reader, {"backbone": "net", "weights": "w", **about}
        )
        given = {"batch_size": 4, "workers": 0, "range_rows": 7, "dtype": "float32", "device": "cpu", **more}
        Recording.cells = []
        return run(JobOptions("text", tmp_path / "m.csv", tmp_path / out, "test/net", **given), model, quiet=True)

    return go


def cells(n, **other):
    return {**{f"s{k}": str(k / 10) for k in range(n)}, "s3": "bad", **other}


@pytest.mark.parametrize("n_before", [4, 7, 14, 19])
def test_a_longer_manifest_goes_on(job, tmp_path, n_before):
    job(cells(30), "whole")
    job(cells(n_before), "grown")
    receipt = job(cells(30), "grown", extend="stat")
    assert receipt["extension"] == {"new": 30 - n_before, "changed": 0, "removed": 0}
    assert receipt["complete"]
    assert len(Recording.cells) == 30 - n_before // 7 * 7  # the range that the end cut short is made whole
    assert snapshot(tmp_path / "grown") == snapshot(tmp_path / "whole")


def test_without_the_word_it_is_refused_with_the_way_out(job, tmp_path):
    job(cells(7), "c")
    before = snapshot(tmp_path / "c")
    with pytest.raises(ValueError, match="ids are not those of the cache .* goes on with --extend"):
        job(cells(9), "c")
    assert snapshot(tmp_path / "c") == before


def test_a_cache_that_was_not_finished_goes_on(job, tmp_path):
    job(cells(30), "whole")
    job(cells(20), "grown", limit=10)
    job(cells(30), "grown", extend="stat")
    assert snapshot(tmp_path / "grown") == snapshot(tmp_path / "whole")


def test_only_what_changed_is_made_again(job, tmp_path):
    after = cells(30, s5="9.5", s20="7.5", s3="0.3")
    job(cells(30), "c")
    before = FeatureStore.open(tmp_path / "c").load()["text"].copy()
    receipt = job(after, "c", extend="stat")
    assert receipt["extension"] == {"new": 0, "changed": 3, "removed": 0}
    assert (receipt["encoded"], receipt["complete"], receipt["errors"]) == (3, True, 0)
    assert len(Recording.cells) == 3
    store = FeatureStore.open(tmp_path / "c")
    assert store.verify(checksum=True)["ok"]
    kept = np.setdiff1d(np.arange(30), [3, 5, 20])
    np.testing.assert_array_equal(store.load()["text"][kept], before[kept])
    expected = np.tanh(np.float32([0.3, 9.5, 7.5])[:, None] * np.linspace(-1, 1, 5, dtype=np.float32))
    np.testing.assert_allclose(store.load()["text"][[3, 5, 20]], expected, rtol=1e-5)
    assert job(after, "c", extend="stat")["encoded"] == 0
    assert job(after, "c")["encoded"] == 0  # and the cache is the changed manifest's


def test_texts_that_stand_as_before_are_not_looked_at_one_by_one(tmp_path, monkeypatch):
    looked_at = []

    def watched(cell, **details):
        looked_at.append(cell)
        return content_number(cell, **details)

    monkeypatch.setattr("skmmal.featurize._extension.content_number", watched)

    def go(texts, **more):
        pd.DataFrame({"id": list(texts), "text": list(texts.values())}).to_csv(tmp_path / "m.csv", index=False)
        model = Backbone(Net(), lambda module, x: module(x["x"]), 5, TextReader(), {"backbone": "net", "weights": "w"})
        given = {"batch_size": 4, "workers": 0, "range_rows": 7, "dtype": "float32", "device": "cpu", **more}
        return run(JobOptions("text", tmp_path / "m.csv", tmp_path / "c", "test/net", **given), model, quiet=True)

    go(cells(20))
    assert go(cells(30), extend="stat")["extension"] == {"new": 10, "changed": 0, "removed": 0}
    assert looked_at == []
    assert go(cells(40, s5="9.5"), extend="stat")["extension"] == {"new": 10, "changed": 1, "removed": 0}
    assert "9.5" in looked_at


def test_a_killed_extension_does_not_pass_for_a_finished_one(job, tmp_path, monkeypatch):
    job(cells(30), "c")
    after = cells(30, s5="9.5", s20="7.5")
    with monkeypatch.context() as patch:
        patch.setattr("skmmal.featurize._job._Run.go", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            job(after, "c", extend="stat")
    assert job(after, "c", limit=6)["complete"] is False
    receipt = job(after, "c")
    assert (receipt["encoded"], receipt["complete"]) == (1, True)
    job(after, "whole")
    assert {name: content for name, content in snapshot(tmp_path / "c").items() if name != "text.npy"}.keys() == (
        snapshot(tmp_path / "whole").keys() - {"text.npy"}
    )
    found, expected = (FeatureStore.open(tmp_path / name).load()["text"] for name in ("c", "whole"))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_rows_that_leave_the_manifest_stay_in_the_cache(job, tmp_path):
    job(cells(10), "c")
    before = FeatureStore.open(tmp_path / "c").load()["text"].copy()
    fewer = {identifier: cell for identifier, cell in cells(12).items() if identifier not in ("s1", "s8")}
    receipt = job(fewer, "c", extend="stat")
    assert receipt["extension"] == {"new": 2, "changed": 0, "removed": 2}
    store = FeatureStore.open(tmp_path / "c")
    assert store.ids.tolist() == [f"s{k}" for k in range(12)]
    np.testing.assert_allclose(store.load()["text"][:10], before, rtol=1e-6)
    assert store.present("text").tolist() == [k != 3 for k in range(12)]


def test_another_model_is_refused_before_anything_changes(job, tmp_path):
    job(cells(10), "c")
    before = snapshot(tmp_path / "c")
    with pytest.raises(FingerprintError, match="weights: the cache has 'w', this job 'v'"):
        job(cells(12), "c", extend="stat", about={"weights": "v"})
    assert snapshot(tmp_path / "c") == before


def test_other_modalities_grow_when_their_jobs_do(job, tmp_path):
    for n_rows, more in ((10, {}), (16, {"extend": "stat"})):
        job(cells(n_rows), "c", **more)
        job(cells(n_rows), "c", modality="other", **more)
    job(cells(16), "whole")
    job(cells(16), "whole", modality="other")
    assert snapshot(tmp_path / "c") == snapshot(tmp_path / "whole")


def test_a_cache_of_a_version_that_noted_nothing(job, tmp_path):
    job(cells(10), "c")
    for path in (tmp_path / "c").glob("*text.*s.npy"):
        path.unlink()
    (tmp_path / "c" / ".text.stamps.npy").unlink(missing_ok=True)
    job(cells(16), "whole")
    job(cells(16), "c", extend="stat")
    assert snapshot(tmp_path / "c") == snapshot(tmp_path / "whole")


def test_changed_rows_of_a_version_that_noted_nothing_are_refused(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"], "text": ["0.1", "0.2"]})
    model = Backbone(Net(), lambda module, x: module(x["x"]), 5, TextReader(), {"backbone": "net"})

    def go(**more):
        table.to_csv(tmp_path / "m.csv", index=False)
        options = JobOptions("text", tmp_path / "m.csv", tmp_path / "c", "test/net", workers=0, device="cpu", **more)
        return run(options, model, quiet=True)

    go()
    for name in ("text.inputs.npy", ".text.stamps.npy"):
        (tmp_path / "c" / name).unlink()
    table.loc[0, "text"] = "0.3"
    with pytest.raises(FingerprintError, match="did not note what its rows were made of"):
        go(extend="stat")


def test_contents_are_looked_at_where_size_and_time_say_nothing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("0.1")
    pd.DataFrame({"id": ["a"], "text": ["a.txt"]}).to_csv(tmp_path / "m.csv", index=False)
    model = Backbone(Net(), lambda module, x: module(x["x"]), 5, NumberFileReader(tmp_path), {"backbone": "net"})

    def go(**more):
        options = JobOptions("text", tmp_path / "m.csv", tmp_path / "c", "test/net", workers=0, device="cpu", **more)
        return run(options, model, quiet=True)

    go()
    state = path.stat()
    path.write_text("0.2")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # as a copying program may leave it
    assert go(extend="stat")["encoded"] == 0
    assert go(extend="content")["encoded"] == 1
    os.utime(path)  # touched
    assert go(extend="stat")["encoded"] == 0


def test_numbers_of_contents(tmp_path):
    (tmp_path / "a").write_bytes(b"same")
    (tmp_path / "b").write_bytes(b"same")
    (tmp_path / "empty").write_bytes(b"")
    assert content_number("a", root=tmp_path) == content_number("b", b"same", tmp_path) != 0
    assert [content_number(cell, root=tmp_path) for cell in ("empty", "none", "", " ")] == [0] * 4
    assert content_number("text") != content_number("text ")
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "1.png").write_bytes(b"one")
    one = content_number("frames", root=tmp_path)
    (tmp_path / "frames" / "1.png").write_bytes(b"two")
    assert content_number("frames", root=tmp_path) != one
    assert stamp_number("frames", tmp_path) == 0 != stamp_number("a", tmp_path)
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(WHOLE_BYTES + 10)
    before = content_number("large", root=tmp_path)
    assert before == content_number("large", large.read_bytes(), tmp_path)
    with open(large, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    assert content_number("large", root=tmp_path) != before


def test_shards_of_a_real_model_extend_together(tmp_path, models):
    texts = [f"the quick fox jumps over {k} dogs" + " in silence" * (k % 5) for k in range(40)]
    for name, steps in (("whole", [40]), ("grown", [25, 40])):
        for n_rows in steps:
            table = pd.DataFrame({"id": [f"s{k}" for k in range(n_rows)], "text": texts[:n_rows]})
            table.to_csv(tmp_path / "m.csv", index=False)
            command = [
                str(tmp_path / "m.csv"),
                "--out",
                str(tmp_path / name),
                "--model",
                f"transformers/{models / 'bert'}",
            ]
            command += ["--range-rows", "8", "--workers", "0", "--quiet", "--device", "cpu"]
            extend = ["--extend"] if (name, n_rows) == ("grown", 40) else []
            for shard in ("0/2", "1/2"):
                assert run_script("text", [*command, *extend, "--shard", shard]) == 0
    assert snapshot(tmp_path / "grown") == snapshot(tmp_path / "whole")
