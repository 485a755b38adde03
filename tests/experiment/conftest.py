"""A small problem that all experiment tests share."""

import pytest

from skmmal import LateFusionClassifier
from skmmal.datasets import make_multimodal_classification
from skmmal.experiment import run_experiment


@pytest.fixture(scope="session")
def data():
    return make_multimodal_classification(
        400, {"a": 6, "b": 4}, n_classes=3, difficulty={"b": 2.0}, missing={"a": 0.2}, random_state=0, return_X_y=True
    )


@pytest.fixture(scope="session")
def run(data):
    """Run a small experiment; keywords replace its own."""
    X, y = data

    def call(**changes):
        options = {
            "estimator": LateFusionClassifier(C=0.1),
            "strategies": ["bmmal", "margin", "random"],
            "X": X[:250],
            "y": y[:250],
            "X_test": X[250:],
            "y_test": y[250:],
            "n_initial": 12,
            "n_instances": 8,
            "n_rounds": 3,
            "seeds": 2,
            **changes,
        }
        return run_experiment(**options)

    return call


@pytest.fixture(scope="session")
def results(run):
    return run(seeds=3)
