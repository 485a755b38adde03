"""The script for a graphics card, on a machine without one: its dry run, and what it says."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "examples" / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu():
    spec = importlib.util.spec_from_file_location("gpu_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_script"] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu_script"]


def test_without_a_card_it_says_so(gpu, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 0
    assert "no CUDA card" in capsys.readouterr().out


def test_the_dry_run_agrees_with_itself(gpu, tmp_path, capsys):
    assert gpu.main(["--device", "cpu", "--quick", "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert {"torch", "numpy", "threads", "seconds"} <= set(found["machine"])
    verdicts = {line["name"]: line["verdict"] for line in found["checks"]}
    assert set(verdicts.values()) == {"ok"}, verdicts
    for part in ("fit lbfgs, sum", "Shapley values", "greedy k-centre", "kernel herding", "query mvopt", "images, float32", "texts, autocast"):
        assert part in verdicts
    assert sum(name.startswith("train balancing") for name in verdicts) == 2
    assert len(gpu.FULL.balancings) == len(gpu.available_balancings())
    assert {"D² sampling", "greedy k-centre", "kernel herding"} == set(found["machine"]["limits"])
    assert f"{len(verdicts)} ok" in capsys.readouterr().out


def test_what_disagrees_is_an_exit_code_and_does_not_stop_the_rest(gpu, monkeypatch, capsys):
    calls = []

    def wrong(device):
        calls.append(device)
        return np.array([1.0, 2.0 + (len(calls) > 1)])

    def broken(device):
        raise RuntimeError("an illegal memory access")

    def absent(device):
        raise ImportError("no torchvision")

    found = [
        gpu.Check("wrong", wrong, gpu.apart, 1e-3),
        gpu.Check("broken", broken, gpu.apart, 1e-3),
        gpu.Check("absent", absent, gpu.apart, 1e-3),
        gpu.Check("right", lambda device: np.ones(3), gpu.apart, 0.0),
    ]
    monkeypatch.setattr(gpu, "checks", lambda sizes: iter(found))
    assert gpu.main(["--device", "cpu", "--quick"]) == 1
    lines = gpu.run_all(gpu.QUICK, "cpu", 100.0, "")
    assert [line.verdict for line in lines] == ["ok", "failed", "absent", "ok"]  # by now it is wrong twice
    assert "RuntimeError: an illegal memory access" in capsys.readouterr().out
    assert gpu.main(["--device", "cpu", "--only", "right"]) == 0
    assert [line.verdict for line in gpu.run_all(gpu.QUICK, "cpu", -1.0, "")] == ["skipped"] * 4


def test_differences(gpu):
    assert gpu.apart([1.0, 2.0], [1.0, 2.2])[0] == pytest.approx(0.1)
    assert gpu.apart([1.0], [np.nan])[0] == gpu.apart([1.0], [1.0, 2.0])[0] == np.inf
    assert gpu.picked_otherwise([1, 2, 3, 4], [4, 3, 2, 9])[0] == 0.25
    assert gpu.accuracy_apart(0.5)(0.9, 0.8)[0] == pytest.approx(0.1)
    assert gpu.accuracy_apart(0.5)(0.52, 0.5)[0] == np.inf  # nothing was learned
