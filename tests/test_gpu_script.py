"""The script that compares a GPU with the CPU: it runs, it notices what differs, and it is content without a card."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def gpu():
    path = Path(__file__).parents[1] / "examples" / "benchmarks" / "gpu.py"
    spec = importlib.util.spec_from_file_location("gpu_script", path)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["gpu_script"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_check_runs_and_the_cpu_agrees_with_itself(gpu, tmp_path, capsys):
    assert gpu.main(["--device", "cpu", "--quick", "--json", str(tmp_path / "gpu.json")]) == 0
    record = json.loads((tmp_path / "gpu.json").read_text())
    assert {check["verdict"] for check in record["checks"]} == {"agrees"}
    assert len(record["checks"]) >= 28
    assert record["machine"]["torch"] == torch.__version__
    assert "0 DISAGREES, 0 failed, 0 not run" in capsys.readouterr().out


def test_without_a_card_it_says_so_and_ends_well(gpu, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 0
    assert "no CUDA device" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("second", "picks", "verdict"),
    [
        (np.array([0.5, 2.0]), False, "agrees"),
        (np.array([0.5, 2.1]), False, "DISAGREES"),
        (np.array([0.5, np.nan]), False, "failed"),
        (np.array([0.5, 2.0, 3.0]), False, "failed"),
        (np.array([2.0, 0.5]), True, "agrees"),
        (np.array([2.0, 0.7]), True, "DISAGREES"),
    ],
)
def test_what_differs_is_noticed(gpu, second, picks, verdict):
    answers = iter([np.array([0.5, 2.0]), second])
    outcome = gpu.carry_out(gpu.Check("a check", "two numbers", lambda device: next(answers), 0.01, picks), "cpu")
    assert outcome.verdict == verdict


def test_a_failure_or_a_disagreement_is_the_exit_code(gpu, monkeypatch):
    def broken(device):
        raise RuntimeError("tensors on two devices")

    monkeypatch.setattr(gpu, "estimator_checks", lambda quick: iter([gpu.Check("broken", "", broken, 0.1)]))
    monkeypatch.setattr(gpu, "selection_checks", lambda quick: iter([]))
    monkeypatch.setattr(gpu, "featurization_checks", lambda quick, folder: iter([]))
    assert gpu.main(["--device", "cpu"]) == 1
    assert gpu.main(["--device", "cpu", "--seconds", "0"]) == 0  # nothing was run, and it says so
