"""What a job says about its items: notes beside rows, failures of their own, one truth for `run` and the exit status."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch

from skmmal.features import FeatureStore
from skmmal.featurize import Backbone, FileReader, JobOptions, Reader, StrictError, Unit, remark, run, run_shards
from skmmal.featurize._cli import run_script
from skmmal.featurize._read_ahead import ReadAhead, Task
from skmmal.featurize._reading import read_chunk
from skmmal.featurize.status import status


class WordReader(Reader):
    """Cells are numbers; 'short N' is doubtful, 'sized N K' is as wide as K, 'odd N' does not fit into a batch."""

    def fetch(self, cell):
        return cell.split()

    def decode(self, raw, notes):
        if raw[0] == "short":
            remark(notes, "truncated", "half of it is there")
        if raw[0] == "cut":
            notes["cut"] = notes.get("cut", 0) + 1
        width = int(raw[2]) if raw[0] == "sized" else 1
        yield Unit(
            {"x": torch.full((width,), float(raw[-1 if len(raw) < 3 else 1])), "odd": torch.tensor(raw[0] == "odd")}
        )

    def collate(self, units):
        if any(unit.inputs["odd"] for unit in units):
            raise KeyError("odd")
        return super().collate(units)


def forward(module, inputs):
    return inputs["x"].mean(1, keepdim=True).expand(-1, 3)


def backbone(reader=None):
    return Backbone(torch.nn.Identity(), forward, 3, reader or WordReader(), {"backbone": "mean", "weights": "none"})


CELLS = ["1", "short 2", "x y", "sized 4 2", "odd 5", "short 6", "cut 7", "sized 8 3", "9", "short z"]
VALUES = {0: 1, 1: 2, 3: 4, 5: 6, 6: 7, 7: 8, 8: 9}


def options(tmp_path, cells=CELLS, **more):
    pd.DataFrame({"id": [f"s{k}" for k in range(len(cells))], "text": cells}).to_csv(tmp_path / "m.csv", index=False)
    given = {"batch_size": 8, "workers": 0, "range_rows": 4, "dtype": "float32", "device": "cpu", **more}
    return JobOptions("text", tmp_path / "m.csv", tmp_path / "c", "test/mean", **given)


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_doubtful_rows_are_there_and_noted(tmp_path):
    receipt = run(options(tmp_path), backbone(), quiet=True)
    store = FeatureStore.open(tmp_path / "c")
    values = store.load()["text"]
    assert {row: float(values[row, 0]) for row in np.flatnonzero(store.present("text"))} == VALUES
    assert lines(tmp_path / "c" / "notes.jsonl") == [
        {"modality": "text", "id": f"s{k}", "row": k, "path": CELLS[k], "notes": {"truncated": "half of it is there"}}
        for k in (1, 5)
    ]
    assert store.remarks() == lines(tmp_path / "c" / "notes.jsonl")
    assert status(tmp_path / "c")["text"]["noted"] == {"truncated": 2, "cut": 1}
    assert (receipt["noted"], receipt["notes"], receipt["failed"], receipt["present"]) == (2, 2, 3, 7)
    assert store.verify(checksum=True)["ok"]


def test_an_item_that_does_not_go_with_others_costs_itself_alone(tmp_path):
    """Different sizes, and one that cannot be put into any batch."""
    run(options(tmp_path), backbone(), quiet=True)
    failed = {error["row"]: error["exception"] for error in FeatureStore.open(tmp_path / "c").errors()}
    assert failed == {2: "ValueError", 4: "KeyError", 9: "ValueError"}


@pytest.mark.parametrize("more", [{"workers": 2}, {"limit": 6}, {"shard": (1, 2)}, {"limit": 3, "shard": (0, 2)}])
def test_notes_survive_whatever_the_job_does(tmp_path, more):
    whole = options(tmp_path)
    run(dataclasses.replace(whole, out=tmp_path / "whole"), backbone(), quiet=True)
    run(dataclasses.replace(whole, **more), backbone(), quiet=True)
    run(dataclasses.replace(whole, retry_errors=True), backbone(), quiet=True)
    run(whole, backbone(), quiet=True)
    found, expected = snapshot(tmp_path / "c"), snapshot(tmp_path / "whole")
    assert found.keys() == expected.keys()
    assert found["notes.jsonl"] == expected["notes.jsonl"]
    assert found["text.npy"] == expected["text.npy"]


def test_retrying_tries_noted_items_too_and_counts_once(tmp_path):
    job = options(tmp_path)
    run(job, backbone(), quiet=True)
    again = run(dataclasses.replace(job, retry_errors=True), backbone(), quiet=True)
    assert (again["encoded"], again["failed"], again["noted"]) == (5, 3, 2)
    assert status(tmp_path / "c")["text"]["noted"] == {"truncated": 2, "cut": 1}

    class Whole(WordReader):
        def decode(self, raw, notes):
            return super().decode(["whole", *raw[1:]] if raw[0] == "short" else raw, notes)

    mended = run(dataclasses.replace(job, retry_errors=True), backbone(Whole()), quiet=True)
    assert mended["notes"] == 0
    assert not (tmp_path / "c" / "notes.jsonl").exists()
    assert status(tmp_path / "c")["text"]["noted"] == {"cut": 1}


def test_strict_stops_at_a_noted_item(tmp_path):
    with pytest.raises(StrictError, match=r"'s1' \(short 2\): truncated: half of it is there"):
        run(options(tmp_path, strict=True), backbone(), quiet=True)


class Loose(FileReader):
    """Raises what decoders raise: with addresses and places in it."""

    def decode(self, raw, notes):
        raise OSError(f"cannot identify {object()!r} in '{self.root / 'a.bin'}' or file:{self.root.absolute()}/b.bin")


def test_failures_say_the_same_wherever_and_whenever(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.bin").write_bytes(b"x")
        chunk = read_chunk(Loose(tmp_path / name), ["a.bin", "nosuch://host/a.bin", "no.bin"], 2)
        assert [failed.message for failed in chunk.failures] == [
            "cannot identify <object object> in 'a.bin' or file:b.bin",
            "a cell: 'nosuch://host/a.bin' cannot be served here: Protocol not known: nosuch",
            "no such file",
        ]


class Parts(Reader):
    """An item of so many units, as its cell says; a negative one breaks after them."""

    def fetch(self, cell):
        if cell == "deadly":
            import os

            os._exit(7)
        return int(cell)

    def decode(self, raw, notes):
        for k in range(abs(raw)):
            yield Unit({"x": torch.tensor([float(k)])}, weight=1.0)
        remark(notes, "truncated", "once")
        if raw < 0:
            raise OSError("broken at its end")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_long_item_comes_in_parts_and_ends_as_the_whole(workers, tmp_path, monkeypatch):
    cells = ["3", "40", "-30", "1", "0", "25"] + (["deadly", "7"] if workers else [])
    job = options(tmp_path, cells, workers=workers, batch_size=4, range_rows=10)
    run(dataclasses.replace(job, out=tmp_path / "whole"), backbone(Parts()), quiet=True)
    monkeypatch.setattr("skmmal.featurize._reading.PART_BYTES", 20)
    with ReadAhead(Parts(), workers, 4) as ahead:
        task = Task(tuple(range(len(cells))), tuple(cells), True)
        read = [(chunk.rest, sum(map(len, chunk.batches))) for _, chunk in ahead.read([task])]
    assert len(read) > 5
    assert max(count for _, count in read) <= 8
    assert read[-1][0] is None
    run(job, backbone(Parts()), quiet=True)
    assert snapshot(tmp_path / "c") == snapshot(tmp_path / "whole")
    store = FeatureStore.open(tmp_path / "c")
    expected = {0: 1.0, 1: 19.5, 3: 0.0, 5: 12.0} | ({7: 3.0} if workers else {})
    values = store.load()["text"]
    assert {row: float(values[row, 0]) for row in np.flatnonzero(store.present("text"))} == expected
    assert [note["row"] for note in store.remarks()] == sorted(expected)


# ---------------------------------------------------------------------------------------------------- exit status


def exit_of(monkeypatch, tmp_path, reader, *more, cells=CELLS):
    job = options(tmp_path, cells)
    monkeypatch.setattr("skmmal.featurize._job.build", lambda options, manifest: backbone(reader))
    arguments = [str(job.manifest), "--out", str(job.out), "--model", "test/mean", "--workers", "0", "--quiet", *more]
    return run_script("text", arguments)


@pytest.mark.parametrize(
    ("cells", "more", "expected"),
    [
        (CELLS, (), 0),
        (["x", "y"], (), 1),
        (CELLS, ("--strict",), 1),
        (["1", "x", "y"], ("--max-error-rate", "0.5"), 1),
        (CELLS, ("--id-column", "no"), 2),
        (CELLS, ("--batch-size", "0"), 2),
    ],
)
def test_the_exit_status_is_what_help_says(cells, more, expected, tmp_path, monkeypatch, capsys):
    assert exit_of(monkeypatch, tmp_path, None, *more, cells=cells) == expected
    assert bool(capsys.readouterr().err) == (expected != 0)


def test_run_and_the_exit_status_agree_also_on_a_job_that_is_done(tmp_path, monkeypatch, capsys):
    cells = ["x", "y", "z"]
    for _ in range(2):
        assert exit_of(monkeypatch, tmp_path, None, cells=cells) == 1
        assert "not one of 3 items" in capsys.readouterr().err
        assert "not one of 3 items" in run(options(tmp_path, cells, dtype="float16"), backbone(), quiet=True)["problem"]


def test_what_breaks_in_a_job_is_no_refusal(tmp_path, monkeypatch):
    def broken(*arguments, **more):
        raise ValueError("something that only shows in the middle")

    monkeypatch.setattr("skmmal.features.RowWriter.commit", broken)
    assert exit_of(monkeypatch, tmp_path, None) == 1


def test_shards_sum_up_what_they_found(tmp_path, monkeypatch):
    import skmmal.featurize._shards as shards

    def run_shard(job, index, count, quiet):
        return run(dataclasses.replace(job, shard=(index, count)), backbone(), quiet=True)

    monkeypatch.setattr(shards, "_run_shard", run_shard)
    total = run_shards(options(tmp_path), 2, n_jobs=1)
    assert (total["failed"], total["noted"], total["present"], total["problem"]) == (3, 2, 7, None)
    assert sum(total["reasons"].values()) == 3


def test_files_inside_a_manifest_and_their_notes(tmp_path):
    """Images, sound and videos as Parquet holds them give what the files give; what is cut short is noted."""
    from PIL import Image

    from skmmal.featurize.backbones import FramesReader, ImageReader, WaveformReader

    from .media import write_levels, write_sound

    def pixels(picture):
        return torch.from_numpy(np.asarray(picture.resize((4, 4)))).float().mean((0, 1))

    def mean(module, inputs):
        values = next(iter(inputs.values()))
        return values.flatten(1).mean(1, keepdim=True).expand(-1, 3)

    Image.new("RGB", (900, 3), (200, 100, 50)).save(tmp_path / "x.png")
    write_sound(tmp_path / "x.m4a", np.full((32000, 1), 0.25), codec="alac", layout="mono")
    write_levels(tmp_path / "x.mkv", 30)
    cut = (tmp_path / "x.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(cut[: len(cut) * 6 // 10])
    files = {"image": "x.png", "audio": "x.m4a", "video": "x.mkv"}
    readers = {
        "image": ImageReader(tmp_path, pixels),
        "audio": WaveformReader(tmp_path, 16000, 1.0, False),
        "video": FramesReader(tmp_path, pixels, 2, 1.0),
    }
    for script, reader in readers.items():
        names = [files[script], "cut.mkv"] if script == "video" else [files[script], ""]
        data = [(tmp_path / name).read_bytes() if name else None for name in names]
        made = {}
        for kind, cells in (("paths", names), ("bytes", data), ("feature", [{"bytes": x, "path": None} for x in data])):
            manifest = tmp_path / f"{kind}.parquet"
            pd.DataFrame({"id": ["a", "b"], script: cells}).to_parquet(manifest)
            job = JobOptions(script, manifest, tmp_path / script / kind, "test/mean", workers=0, device="cpu")
            (tmp_path / script).mkdir(exist_ok=True)
            run(job, Backbone(torch.nn.Identity(), mean, 3, reader, {}), quiet=True)
            store = FeatureStore.open(job.out)
            made[kind] = store.load()[script], [(note["row"], list(note["notes"])) for note in store.remarks()]
        for kind in ("bytes", "feature"):
            np.testing.assert_array_equal(made[kind][0], made["paths"][0])
            assert made[kind][1] == made["paths"][1]
        expected = {"image": [(0, ["cropped"])], "audio": [], "video": [(1, ["truncated"])]}[script]
        assert made["paths"][1] == expected
        assert np.isfinite(made["paths"][0][0]).all()
