"""What several test modules share."""

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes: a thread each, for what they start too
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import numpy as np
import pytest

from skmmal import ModalityScaler
from skmmal.datasets import load_emoji

DATA = Path(__file__).parent / "data"


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
