"""What several test modules share."""

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes: a thread each, for what they start too
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

os.environ["SKMMAL_PROGRESS"] = "off"  # what commands say must not depend on how fast the machine is

import numpy as np
import pytest

from skmmal import ModalityScaler
from skmmal.datasets import load_emoji

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"

TRAINED = {"coregcn", "mmcsal", "refine", "uncertaingcn"}
"""Strategies that train a network, or ask others many times, in every query."""


def is_slow(item, listed):
    """Whether a test is no part of the quick suite."""
    path, _, name = item.nodeid.split("[")[0].partition("::")
    if f"{path}::{name}" in listed or any(path.startswith(f"{entry}/") for entry in listed):
        return True
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return any(named(value) in TRAINED or is_trained_in_batches(value) for value in parameters)


def named(parameter):
    """The name of what a suite runs through: itself, or that of an entry of the registry."""
    return parameter if isinstance(parameter, str) else str(getattr(parameter, "name", ""))


def is_trained_in_batches(value):
    """Whether it is an estimator that the suites let descend by hand-chosen steps."""
    return getattr(value, "learning_rate", 1e-3) != 1e-3


def pytest_collection_modifyitems(items):
    lines = (ROOT / "tests" / "slow.txt").read_text(encoding="utf-8").splitlines()
    listed = {line for line in lines if line and not line.startswith("#")}
    for item in items:
        if is_slow(item, listed):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", params=["concat", "sum"])
def reference(request):
    """Values computed by the BMMAL paper's own code."""
    values = dict(np.load(DATA / f"bmmal_{request.param}.npz"))
    return {"fusion": request.param, **values}


@pytest.fixture(scope="session")
def emoji():
    """Scaled emoji features in random order, labels as strings."""
    bunch = load_emoji()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    return ModalityScaler().fit_transform(bunch.data)[order], bunch.target_names[bunch.target][order]
