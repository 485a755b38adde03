"""The job: resumed, killed, sharded, starved of memory, handed crashing files; it ends with the same bytes."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from skmmal.features import CacheInUseError, FeatureStore, FingerprintError
from skmmal.featurize import (
    Backbone,
    ErrorRateError,
    FileReader,
    JobOptions,
    Reader,
    StrictError,
    Unit,
    run,
    run_shards,
)
from skmmal.featurize._encoding import Encoder, is_out_of_memory
from skmmal.featurize._read_ahead import ReadAhead, Task
from skmmal.featurize.status import status

N = 50
BAD = [4, 17, 18, 33]


class NumberReader(Reader):
    """Cells are numbers; 'bad' is not, 'deadly' ends the process that reads it."""

    def fetch(self, cell):
        if cell == "deadly":
            os._exit(11)
        return float(cell)

    def decode(self, raw, notes):
        return [Unit({"x": torch.tensor([raw])})]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(1, 6, generator=generator))

    def forward(self, x):
        return torch.tanh(x @ self.weight)


def plain(module, inputs):
    return module(inputs["x"])


def backbone(forward=plain, **about):
    return Backbone(Net(), forward, 6, NumberReader(), {"backbone": "net", "weights": "seed 0", **about})


@pytest.fixture
def manifest(tmp_path):
    cells = [f"{k / 10}" for k in range(N)]
    for row in BAD:
        cells[row] = "bad"
    path = tmp_path / "m.csv"
    pd.DataFrame({"id": [f"s{k}" for k in range(N)], "text": cells}).to_csv(path, index=False)
    return path


def options(manifest, out, **more):
    given = {"batch_size": 4, "workers": 0, "range_rows": 7, "dtype": "float32", "device": "cpu", **more}
    return JobOptions("text", manifest, Path(out), "test/net", **given)


def go(manifest, out, model=None, **more):
    return run(options(manifest, out, **more), model or backbone(), quiet=True)


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def whole(manifest, tmp_path):
    receipt = go(manifest, tmp_path / "whole")
    assert (receipt["encoded"], receipt["failed"], receipt["complete"]) == (N, len(BAD), True)
    return snapshot(tmp_path / "whole")


def test_rows_stay_in_their_places(manifest, tmp_path, whole):
    store = FeatureStore.open(tmp_path / "whole")
    values, x = store.load()["text"], np.arange(N) / 10
    expected = np.tanh(x[:, None] * Net().weight.detach().numpy())
    good = np.setdiff1d(np.arange(N), BAD)
    np.testing.assert_allclose(values[good], expected[good], rtol=1e-5)
    assert np.isnan(values[BAD]).all()
    errors = [json.loads(line) for line in whole["errors.jsonl"].decode().splitlines()]
    assert [error["row"] for error in errors] == BAD
    assert errors[0] == {
        "modality": "text",
        "id": "s4",
        "row": 4,
        "path": "bad",
        "stage": "read",
        "exception": "ValueError",
        "message": "could not convert string to float: 'bad'",
        "attempt": 1,
    }


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(manifest, tmp_path, whole, workers):
    go(manifest, tmp_path / "c", workers=workers)
    assert snapshot(tmp_path / "c") == whole


def test_threads_read_where_processes_may_not(manifest, tmp_path, whole, monkeypatch):
    monkeypatch.setattr("skmmal.featurize._read_ahead.may_fork", lambda: False)
    go(manifest, tmp_path / "c", workers=3)
    assert snapshot(tmp_path / "c") == whole


def test_a_finished_job_does_nothing_and_changes_nothing(manifest, tmp_path, whole):
    receipt = go(manifest, tmp_path / "whole")
    assert (receipt["encoded"], receipt["done"]) == (0, N)
    assert snapshot(tmp_path / "whole") == whole


def test_limit_stops_and_the_next_run_goes_on(manifest, tmp_path, whole):
    receipt = go(manifest, tmp_path / "c", limit=10)
    assert (receipt["encoded"], receipt["complete"]) == (10, False)
    assert np.flatnonzero(FeatureStore.open(tmp_path / "c").present("text")).tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    with pytest.warns(UserWarning, match="not finished"):
        assert np.isnan(FeatureStore.open(tmp_path / "c").load()["text"][10:]).all()
    assert go(manifest, tmp_path / "c")["encoded"] == N - 7
    assert snapshot(tmp_path / "c") == whole


def test_shards_end_as_the_whole(manifest, tmp_path, whole):
    for index in (2, 0, 1):
        assert not (tmp_path / "c" / "text.ranges.json").exists()
        go(manifest, tmp_path / "c", shard=(index, 3))
    assert snapshot(tmp_path / "c") == whole


def test_the_batch_size_may_change_between_runs(manifest, tmp_path, whole):
    go(manifest, tmp_path / "c", limit=14, batch_size=3)
    go(manifest, tmp_path / "c", batch_size=5, range_rows=9)  # the ranges stay as they were
    assert FeatureStore.open(tmp_path / "c").metadata["text"]["range_rows"] == 7
    found, expected = (FeatureStore.open(tmp_path / name).load()["text"] for name in ("c", "whole"))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_strict_stops_at_the_item_and_keeps_what_was_done(manifest, tmp_path):
    with pytest.raises(StrictError, match=r"'s17' \(bad\): read: ValueError: could not convert"):
        go(manifest, tmp_path / "c", strict=True, shard=(1, 4))
    go(manifest, tmp_path / "c", limit=1, shard=(1, 4))  # no lock is left behind


def test_too_many_failures_stop_the_job(manifest, tmp_path):
    with pytest.raises(ErrorRateError, match="4 of 50 items failed, more than --max-error-rate 0.05"):
        go(manifest, tmp_path / "c", max_error_rate=0.05)
    assert go(manifest, tmp_path / "d", max_error_rate=0.1)["complete"]


def test_retry_errors_tries_those_alone(manifest, tmp_path, whole):
    table = pd.read_csv(manifest, dtype=str)
    receipt = go(manifest, tmp_path / "whole", retry_errors=True)
    assert (receipt["encoded"], receipt["failed"]) == (4, 4)
    errors = FeatureStore.open(tmp_path / "whole").errors("text")
    assert [(error["row"], error["attempt"]) for error in errors] == [(row, 2) for row in BAD]
    # the files have been repaired: the same paths, now readable
    repaired = {"s4": 0.4, "s18": 1.8}

    class Repaired(NumberReader):
        cells: list[str] = []

        def fetch(self, cell):
            type(self).cells.append(cell)
            return repaired.pop(next(iter(repaired))) if cell == "bad" and repaired else super().fetch(cell)

    model = dataclasses.replace(backbone(), reader=Repaired())
    receipt = go(manifest, tmp_path / "whole", model, retry_errors=True)
    assert Repaired.cells == ["bad"] * 4
    assert (receipt["encoded"], receipt["failed"], receipt["errors"]) == (4, 2, 2)
    store = FeatureStore.open(tmp_path / "whole")
    assert [(error["row"], error["attempt"]) for error in store.errors("text")] == [(18, 3), (33, 3)]
    assert store.verify(checksum=True)["ok"]
    before = np.frombuffer(whole["text.npy"][-N * 24 :], dtype=np.float32).reshape(N, 6)
    untouched = np.setdiff1d(np.arange(N), [4, 17])
    np.testing.assert_array_equal(store.load()["text"][untouched], before[untouched])
    assert store.present("text")[[4, 17]].all()
    assert len(table) == N


def test_another_job_is_refused_with_the_difference(manifest, tmp_path, whole):
    with pytest.raises(FingerprintError, match="weights: the cache has 'seed 0', this job 'seed 1'"):
        go(manifest, tmp_path / "whole", backbone(weights="seed 1"))
    with pytest.raises(FingerprintError, match="amp: the cache has 'off', this job 'bfloat16'"):
        go(manifest, tmp_path / "whole", amp=True)
    with pytest.raises(FingerprintError, match="dtype: the cache has 'float32', this job 'float16'"):
        go(manifest, tmp_path / "whole", dtype="float16")
    manifest.write_text(manifest.read_text().replace("s1,0.1", "s1,0.2"))
    with pytest.raises(FingerprintError, match="manifest_sha256"):
        go(manifest, tmp_path / "whole")
    assert snapshot(tmp_path / "whole") == whole


def test_two_jobs_at_once_are_refused_and_two_modalities_are_not(manifest, tmp_path):
    inner = []

    def forward(module, inputs):
        if not inner:
            inner.append(None)
            with pytest.raises(CacheInUseError, match="another job is writing modality 'text'"):
                go(manifest, tmp_path / "c")
            inner.append(go(manifest, tmp_path / "c", modality="other"))
            inner.append(status(tmp_path / "c")["text"]["running"])
        return plain(module, inputs)

    go(manifest, tmp_path / "c", backbone(forward))
    assert inner[1]["complete"]
    assert len(inner[2]) == 1
    assert FeatureStore.open(tmp_path / "c").verify(checksum=True)["ok"]


def test_status_tells_from_the_disk(manifest, tmp_path):
    go(manifest, tmp_path / "c", limit=21)
    report = status(tmp_path / "c")["text"]
    assert (report["done"], report["total"], report["failed"], report["reasons"]) == (21, N, 3, {"ValueError": 3})
    assert set(report["seconds"]) >= {"read", "decode", "infer"}
    assert report["bottleneck"] in report["seconds"]
    assert report["seconds_left"] > 0
    assert report["running"] == []


# ------------------------------------------------------------------------------------------ what models can do


def test_batches_are_halved_when_memory_runs_out(manifest, tmp_path, whole):
    sizes = []

    def forward(module, inputs):
        sizes.append(len(inputs["x"]))
        if sizes[-1] > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return plain(module, inputs)

    receipt = go(manifest, tmp_path / "c", backbone(forward), batch_size=7)
    assert receipt["complete"]
    assert receipt["batch_size"] == 1
    assert sizes[0] > 2
    assert max(sizes[3:]) <= 2  # and it is remembered
    found, expected = (FeatureStore.open(tmp_path / name).load()["text"] for name in ("c", "whole"))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_unit_that_never_fits_is_said(manifest, tmp_path):
    def forward(module, inputs):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    with pytest.raises(RuntimeError, match="out of memory with a single unit"):
        go(manifest, tmp_path / "c", backbone(forward))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("poison", [2.5, 2.6])
def test_a_failing_batch_is_bisected_to_the_item(manifest, tmp_path, whole, poison):
    def forward(module, inputs):
        if poison == 2.5 and (inputs["x"] == 2.5).any():
            raise ArithmeticError("this one\nbreaks the model")
        features = plain(module, inputs)
        return torch.where(inputs["x"] == torch.tensor(2.6), torch.inf, features) if poison == 2.6 else features

    go(manifest, tmp_path / "c", backbone(forward), dtype="float16")
    store = FeatureStore.open(tmp_path / "c")
    row = round(poison * 10)
    assert np.flatnonzero(~store.present("text")).tolist() == sorted([*BAD, row])
    (error,) = (error for error in store.errors() if error["row"] == row)
    assert error["stage"] == "encode"
    assert error["message"].startswith("this one breaks" if poison == 2.5 else "a feature is not finite")


def test_what_does_not_fit_float16_is_a_failure_of_its_row(manifest, tmp_path):
    def forward(module, inputs):
        return inputs["x"].expand(-1, 6) * 20000

    receipt = go(manifest, tmp_path / "c", backbone(forward), dtype="float16")
    too_large = [k for k in range(N) if k / 10 * 20000 > 65504 and k not in BAD]
    assert receipt["failed"] == len(BAD) + len(too_large)
    assert receipt["precision"]["max_difference"] >= 0
    assert np.flatnonzero(~FeatureStore.open(tmp_path / "c").present("text")).tolist() == sorted(BAD + too_large)


def test_precision_is_that_of_the_stored_type():
    encoder = Encoder(backbone(), torch.device("cpu"))
    inputs = {"x": torch.linspace(0.1, 1, 12)[:, None]}
    exact = encoder.forward(inputs)
    for dtype in ("float16", "bfloat16"):
        expected = (exact - exact.to(getattr(torch, dtype)).float())[:8].abs().max().item()
        assert encoder.precision(inputs, exact, dtype)["max_difference"] == pytest.approx(expected)
    amp = Encoder(backbone(), torch.device("cpu"), amp=True)
    assert amp.precision(inputs, amp.forward(inputs), "float32")["max_difference"] > 1e-4


def test_random_state_and_threads_are_left_alone(manifest, tmp_path):
    torch.manual_seed(5)
    before, threads, state = torch.get_rng_state(), torch.get_num_threads(), np.random.get_state()[1].copy()  # noqa: NPY002
    go(manifest, tmp_path / "c", threads=threads + 1)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


# --------------------------------------------------------------------------------------- workers that die


def test_an_item_that_kills_its_reader_is_the_only_one_lost(manifest, tmp_path):
    table = pd.read_csv(manifest, dtype=str)
    table.loc[[21, 40], "text"] = "deadly"
    table.to_csv(manifest, index=False)
    receipt = go(manifest, tmp_path / "c", workers=2)
    assert receipt["complete"]
    store = FeatureStore.open(tmp_path / "c")
    assert np.flatnonzero(~store.present("text")).tolist() == sorted([*BAD, 21, 40])
    deaths = [error for error in store.errors() if error["exception"] == "ChildProcessError"]
    assert [error["row"] for error in deaths] == [21, 40]
    assert "kills the process" in deaths[0]["message"]


def test_read_ahead_keeps_the_order(tmp_path):
    class Slow(FileReader):
        def fetch(self, cell):
            time.sleep(float(cell) / 100)
            return cell

        def decode(self, raw, notes):
            return [Unit({"x": torch.tensor([float(raw)])})]

    cells = ["5", "0", "3", "1", "4", "0"]
    tasks = [Task((k,), (cell,), False) for k, cell in enumerate(cells)]
    with ReadAhead(Slow(tmp_path), 3, 1) as ahead:
        found = [(task.rows[0], float(chunk.batches[0].inputs["x"])) for task, chunk in ahead.read(tasks)]
    assert found == [(k, float(cell)) for k, cell in enumerate(cells)]
    assert ahead.waited > 0


# -------------------------------------------------------------------------------------------------- kill -9

SERVER = Path(__file__).with_name("kill_server.py")


def test_killed_at_twenty_random_moments(tmp_path):
    """300 items; ``kill -9`` at 20 random moments, resumed each time; byte-identical to the uninterrupted run."""
    rng = np.random.default_rng(0)
    with subprocess.Popen(
        [sys.executable, str(SERVER), str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def start(name):
            print(name, file=server.stdin, flush=True)
            return int(server.stdout.readline())

        def n_done():
            return len(list((tmp_path / "killed" / "number.progress").glob("*.json")))

        assert server.stdout.readline() == "ready\n"
        start("whole")
        assert server.stdout.readline() == "0\n"
        done = [0]
        for commits in rng.permutation([False, True] * 10):  # killed while it begins, or once it has written more
            pid = start("killed")
            while commits and n_done() == done[-1]:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.03))
            os.kill(pid, signal.SIGKILL)
            assert server.stdout.readline() == f"-{signal.SIGKILL.value}\n"
            done.append(n_done())
        assert done[-1] >= 10  # something survived the kills
        assert done == sorted(done)  # and nothing that was done was lost
        start("killed")
        assert server.stdout.readline() == "0\n"
        server.stdin.close()
    expected = snapshot(tmp_path / "whole")
    assert FeatureStore.open(tmp_path / "whole").verify(checksum=True)["ok"]
    assert len(expected["errors.jsonl"].splitlines()) == 3
    assert snapshot(tmp_path / "killed") == expected


# ------------------------------------------------------------------------------------------------- scale-out


@pytest.fixture(scope="module")
def text_job(data, models, tmp_path_factory):
    """A text job of the real script, and what one process makes of it."""
    out = tmp_path_factory.mktemp("single")
    job = JobOptions(
        "text",
        data / "manifest.csv",
        out / "cache",
        f"transformers/{models / 'bert'}",
        device="cpu",
        workers=0,
        range_rows=3,
        threads=1,
    )
    receipt = run(job, quiet=True)
    assert receipt["complete"]
    return job, snapshot(out / "cache")


def test_shards_through_joblib(text_job, tmp_path):
    job, expected = text_job
    receipt = run_shards(dataclasses.replace(job, out=tmp_path / "c"), 3, n_jobs=2, quiet=True)
    assert (receipt["complete"], receipt["encoded"], len(receipt["shards"])) == (True, 12, 3)
    assert snapshot(tmp_path / "c") == expected


def test_two_dask_workers(text_job, tmp_path):
    from distributed import Client, LocalCluster

    job, expected = text_job
    # read ahead too: Dask's workers may not have children, so threads do it
    job = dataclasses.replace(job, out=tmp_path / "c", workers=2)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        receipt = run_shards(job, 2, quiet=True)
    assert receipt["complete"]
    assert [shard["encoded"] for shard in receipt["shards"]] == [6, 6]
    assert snapshot(tmp_path / "c") == expected


class Deadly(NumberReader):
    """Ends its process at the first attempt."""

    def __init__(self, flag):
        self.flag = flag

    def fetch(self, cell):
        if cell == "2.2" and not self.flag.exists():
            self.flag.touch()
            os._exit(11)
        return super().fetch(cell)


def test_a_shard_whose_worker_dies_is_taken_up_again(manifest, tmp_path, whole, monkeypatch):
    import skmmal.featurize._shards as shards

    def run_shard(job, index, count, model):
        return run(dataclasses.replace(job, shard=(index, count)), model, quiet=True)

    model = dataclasses.replace(backbone(), reader=Deadly(tmp_path / "died"))
    monkeypatch.setattr(shards, "_run_shard", lambda job, index, count, quiet: run_shard(job, index, count, model))
    receipt = run_shards(options(manifest, tmp_path / "c"), 3, n_jobs=2, quiet=True)
    assert (tmp_path / "died").exists()
    assert receipt["complete"]
    assert snapshot(tmp_path / "c") == whole


def test_a_compiled_model_computes_the_same(tmp_path, manifest, monkeypatch):
    # without the C++ compiler's seconds
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    run(options(manifest, tmp_path / "plain", dtype="float32"), backbone(), quiet=True)
    receipt = run(options(manifest, tmp_path / "compiled", dtype="float32", compile=True), backbone(), quiet=True)
    assert receipt["errors"] == len(BAD)
    assert receipt["precision"]["relative"] < 1e-5
    plain_values, values = (np.array(FeatureStore.open(tmp_path / name).load()["text"]) for name in ("plain", "compiled"))
    np.testing.assert_allclose(values, plain_values, atol=1e-6)
    with pytest.raises(FingerprintError, match="compile"):
        run(options(manifest, tmp_path / "compiled", dtype="float32"), backbone(), quiet=True)


def test_what_cannot_compile_is_refused_before_the_job(tmp_path, manifest, monkeypatch):
    def broken(call, **more):
        def fail(*arguments):
            raise RuntimeError("\nNo working C++ compiler found\nand more")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(ValueError, match=r"--compile does not work here \(.*\): No working C\+\+ compiler found$"):
        run(options(manifest, tmp_path / "c", compile=True), backbone(), quiet=True)
    assert not (tmp_path / "c").exists()
