"""What commands tell while they work, and the memory that they keep to."""

import sys
import time

import numpy as np
import pandas as pd
import pytest
from test_cli import skmmal

from skmmal.cli import _progress
from skmmal.features import FeatureStore


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.delenv("SKMMAL_PROGRESS")
    monkeypatch.setattr(_progress, "FIRST", 0.01)
    monkeypatch.setattr(_progress, "EVERY", 0.01)


def wait_for_lines(capsys, n_lines):
    told, deadline = "", time.monotonic() + 30
    while told.count("at work") < n_lines:
        assert time.monotonic() < deadline
        told += capsys.readouterr().err
        time.sleep(0.01)
    return told


def test_a_start_lines_in_between_and_an_end(quick, capsys):
    with _progress.telling("select"):
        _progress.stage("choosing 5 of 10 rows")
        told = wait_for_lines(capsys, 2)
    assert "skmmal select: at work for 0 s: choosing 5 of 10 rows\n" in told
    assert capsys.readouterr().err.splitlines()[-1] == "skmmal select: done after 0 s"


def test_a_command_that_fails_says_that_it_ended(quick, capsys):
    def fail():
        with _progress.telling("next"):
            wait_for_lines(capsys, 1)
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fail()
    assert "skmmal next: ended after" in capsys.readouterr().err


def test_a_short_command_says_nothing_of_itself(monkeypatch, capsys):
    monkeypatch.delenv("SKMMAL_PROGRESS")
    with _progress.telling("select"):
        pass
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits what a process allocates")
def test_memory_is_limited_and_then_free_again(tmp_path):
    with pytest.raises(ValueError, match="--memory-limit 0.5: more memory is needed"), _progress.limited(0.5):
        np.ones(10**9)
    assert np.ones(10**6).sum() == 10**6
    rng = np.random.default_rng(0)
    ids = [f"{row}" for row in range(60)]
    FeatureStore.write(tmp_path / "features", {"a": rng.standard_normal((60, 3))}, ids=ids)
    pd.DataFrame({"id": ids[:20], "label": ["x", "y"] * 10}).to_csv(tmp_path / "labels.csv", index=False)
    options = ["--features", tmp_path / "features", "--labels", tmp_path / "labels.csv", "--out", tmp_path / "next.csv"]
    skmmal("select", *options, "--strategy", "margin", "-n", 5, "--memory-limit", 8, "--estimator", "late-fusion")
    assert len(pd.read_csv(tmp_path / "next.csv")) == 5
