"""What whoever runs a job reads: how it begins, how far it is, how it ends, also when it is told to stop."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
from contextlib import contextmanager, suppress

import pandas as pd
import pytest
import torch

from skmmal.features import FeatureStore
from skmmal.featurize import Backbone, FileReader, Unit
from skmmal.featurize import status as status_script
from skmmal.featurize._cli import run_script

N = 12


def end_job():
    """What a scheduler does."""
    os.kill(os.getpid(), signal.SIGTERM)


class NumberFiles(FileReader):
    at: str | None = None  # the item at which something happens
    happens = staticmethod(end_job)

    def fetch(self, cell):
        if cell == self.at:
            self.happens()
        return super().fetch(cell)

    def decode(self, raw, notes):
        return [Unit({"x": torch.tensor([float(raw)])})]


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A function that runs the script on files of numbers; it returns the exit status."""
    for k in range(N):
        (tmp_path / f"{k}.txt").write_text(str(k))
    cells = [f"{k}.txt" for k in range(N)]

    def go(*more, cells=cells, at=None, happens=end_job, out="c"):
        table = pd.DataFrame({"id": [f"s{k}" for k in range(len(cells))], "text": cells})
        table.to_csv(tmp_path / "m.csv", index=False)
        reader = NumberFiles(tmp_path)
        reader.at, reader.happens = at, happens
        about = {"backbone": "net", "weights": "none"}
        made = Backbone(torch.nn.Identity(), lambda module, x: x["x"].expand(-1, 3), 3, reader, about)
        monkeypatch.setattr("skmmal.featurize._job.build", lambda options, manifest: made)
        arguments = [str(tmp_path / "m.csv"), "--out", str(tmp_path / out), "--model", "test/net", "--workers", "0"]
        return run_script("text", [*arguments, "--range-rows", "4", "--batch-size", "2", "--device", "cpu", *more])

    return go


def test_a_job_says_what_it_does_and_what_it_did(job, tmp_path, capsys):
    cells = [f"{k}.txt" for k in range(N)]
    cells[3], cells[5] = "~/3.txt", "frames\\5.txt"
    assert job(cells=cells) == 0
    first, paths, *_, last = capsys.readouterr().err.splitlines()[:4]
    assert first == "text: test/net (DEFAULT) on cpu: 12 of 12 rows to do"
    assert paths == f"text: the first: {(tmp_path / '0.txt').resolve()}, {(tmp_path / '1.txt').resolve()}"
    assert last.startswith("text: 2 items have no features (FileNotFoundError ×2): see errors.jsonl")
    messages = [error["message"] for error in FeatureStore.open(tmp_path / "c").errors()]
    assert messages == [
        "no such file; '~' is not expanded in a manifest, write the whole path",
        "no such file; it has backslashes, write the path with /",
    ]


def test_a_wrong_folder_is_seen_at_once(job, capsys):
    assert job(cells=[f"images/{k}.txt" for k in range(N)]) == 1
    err = capsys.readouterr().err
    assert "none of the first 10 is there; paths are relative to the manifest's folder" in err
    assert "not one of 12 items could be encoded" in err


def test_a_log_file_has_a_line_a_minute(job, capsys, monkeypatch):
    monkeypatch.setattr("skmmal.featurize._progress.LOG_SECONDS", -1.0)
    job("--shard", "0/2")
    lines = [line for line in capsys.readouterr().err.splitlines() if "min left" in line]
    assert lines[0].startswith("text 0/2: 2/4, ")
    assert len(lines) == 2


def test_a_job_of_which_most_fails_is_no_success(job, tmp_path):
    cells = [*(f"none{k}.txt" for k in range(7)), *(f"{k}.txt" for k in range(5))]
    assert job(cells=cells) == 1
    assert job("--max-error-rate", "0.6", cells=cells, out="d") == 0
    (tmp_path / "none0.txt").write_text("0")
    assert job("--retry-errors", cells=cells) == 0  # all may fail, but for the one that is there now


def test_the_error_counts_and_points_to_the_reasons(job, tmp_path, capsys):
    assert job("--max-error-rate", "0", cells=["0.txt", "none.txt", "1.txt"]) == 1
    err = capsys.readouterr().err
    assert (
        "1 of 3 items failed, more than --max-error-rate 0 bears (errors.jsonl). The last: 's1' (none.txt): read" in err
    )


def test_sigterm_keeps_what_is_done_and_says_so(job, tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert job("--quiet", at="9.txt") == 143
    assert "terminated; 8 of 12 rows are done and written; the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before
    assert job("--quiet") == job("--quiet", out="whole") == 0
    made, whole = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("c", "whole"))
    assert made == whole


class FullDisk:
    """A disk whose room ends: a small file system of its own, where one may be mounted."""

    def __init__(self, folder):
        self.folder = folder

    def fill(self):
        with open(self.folder / "filler", "wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass

    def free(self):
        (self.folder / "filler").unlink()


class FullDiskOfCalls(FullDisk):
    """Flushing fails as it does on a full disk."""

    full = False

    def fill(self):
        self.full = True

    def free(self):
        self.full = False


@contextmanager
def mounted(folder):
    """A file system of 1 MB in a folder, or None where this process may not mount one."""
    may = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode == 0
    try:
        yield FullDisk(folder) if may else None
    finally:
        if may:
            subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(params=["calls", "file system"])
def disk(request, tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk") as small:
        if request.param == "file system" and small is not None:
            yield small
            return
        made, fsync = FullDiskOfCalls(tmp_path / "disk"), os.fsync

        def flush(descriptor):
            if made.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", flush)
        yield made


@pytest.mark.parametrize("k", [0, 9, 11])
def test_a_disk_that_fills_up_stops_the_job_and_costs_nothing(job, disk, k, tmp_path, capsys):
    cells = [f"{row}.txt" if row % 5 or row == k else f"none{row}.txt" for row in range(N)]
    message = r"error: \[Errno 28\] the disk is full; free some space .* kept; (\d+) of 12 rows are done and written: '"
    assert job("--quiet", cells=cells, at=f"{k}.txt", happens=disk.fill, out="disk/c") == 1
    for again in (True, False):
        (line,) = capsys.readouterr().err.splitlines()
        done = int(re.match(message, line).group(1))
        assert done == FeatureStore.open(tmp_path / "disk/c").written("text").sum()
        assert k // 4 * 4 - 4 <= done <= k // 4 * 4  # the range before may have been on its way
        assert not again or job("--quiet", cells=cells, out="disk/c") == 1  # there is still no room
    disk.free()
    assert job("--quiet", cells=cells, out="disk/c") == job("--quiet", cells=cells, out="whole") == 0
    made, expected = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("disk/c", "whole"))
    assert made == expected


def test_status_for_programs(job, tmp_path, capsys):
    job("--limit", "4", "--quiet")
    capsys.readouterr()
    assert status_script.main([str(tmp_path / "c"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["text"]["done"], report["text"]["total"]) == (4, N)
