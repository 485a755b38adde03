"""Results with numbers that are easy to check, and a backend without a screen."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from skmmal.experiment import ExperimentResults

matplotlib.use("agg")

STRATEGIES = ("bmmal", "margin", "random")


@pytest.fixture
def results():
    rng = np.random.default_rng(0)
    frame, selected, classes = [], [], []
    for s, strategy in enumerate(STRATEGIES):
        for seed in range(4):
            for round_ in range(3):
                key = {"strategy": strategy, "seed": seed, "round": round_}
                share = 0.5 + 0.1 * rng.random()
                frame.append(
                    {
                        **key,
                        "n_labeled": 10 + 5 * round_,
                        "accuracy": 0.5 + round_ * (0.1 + 0.02 * (2 - s) + 0.005 * rng.random()),
                        "ece": 0.1 * rng.random(),
                        "accuracy_a": 0.4 + 0.1 * round_,
                        "accuracy_b": 0.3 + 0.1 * rng.random(),
                        "contribution_a": share,
                        "contribution_b": 1 - share,
                        "shapley_imbalance": rng.random(),
                        "weaker_weight_a": 0.6,
                        "weaker_weight_b": np.nan if round_ == 0 else 0.7,
                    }
                )
                selected += [{**key, "rank": rank, "row": 5 * round_ + rank} for rank in range(5)]
                gain = {"bmmal": [0.3, 0.0, -0.2], "margin": [0.0, 0.0, 0.0], "random": [0.0, 0.0, 0.0]}[strategy]
                classes += [
                    {**key, "label": label, "accuracy": 0.5 + gain[k], "accuracy_a": 0.1 * k, "accuracy_b": 0.9}
                    for k, label in enumerate(["cat", "dog", "eel"])
                ]
    config = {
        "strategies": {name: {} for name in STRATEGIES},
        "seeds": [0, 1, 2, 3],
        "n_initial": 10,
        "n_instances": 5,
        "n_rounds": 2,
        "initial": {"name": "random"},
        "n_pool": 100,
        "n_test": 50,
        "classes": ["cat", "dog", "eel"],
        "metadata": {"dataset": "made <up>"},
    }
    return ExperimentResults(pd.DataFrame(frame), pd.DataFrame(selected), pd.DataFrame(classes), config)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")
