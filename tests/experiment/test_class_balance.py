"""Experiments that prefer rare classes among a strategy's picks."""

from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from skmmal import LateFusionClassifier
from skmmal.campaign import balance_classes
from skmmal.datasets import make_multimodal_classification
from skmmal.experiment import NoisyAnnotator, run_experiment
from skmmal.experiment._problem import random_seed
from skmmal.query import MarginSampling

X, classes = make_multimodal_classification(
    400, {"a": 8, "b": 5}, n_classes=4, class_sep=0.7, random_state=0, return_X_y=True
)
y = np.array([10, 20, 30, 40])[classes]
pool = np.flatnonzero((y[:300] > 10) | (np.arange(300) % 8 == 0))  # the first class is rare


def run(strategy="margin", **changes):
    settings = {"n_initial": 20, "n_instances": 10, "n_rounds": 3, "seeds": 2, "class_balance": True}
    return run_experiment(
        LateFusionClassifier(), strategy, X[pool], y[pool], X_test=X[300:], y_test=y[300:], **{**settings, **changes}
    )


@pytest.mark.parametrize("annotator", [None, NoisyAnnotator(0.2, 0.2)])
def test_the_rarest_predicted_class_comes_first(annotator):
    """By hand: three times the batch by the strategy, then the re-ranking that campaigns make."""
    results = run(annotator=annotator)
    for (_, seed), lines in results.selected.groupby(["strategy", "seed"]):
        labels, answered = y[pool], np.ones(len(pool), dtype=bool)
        if annotator is not None:
            labels, answered = annotator(X[pool], y[pool], random_state=random_seed("annotator", seed))
        for round_ in range(1, 4):
            chosen = lines[lines["round"] < round_]["row"].to_numpy()
            known = chosen[answered[chosen]]
            model = LateFusionClassifier().fit(X[pool[known]], labels[known], classes=np.unique(y))
            rest = np.setdiff1d(np.arange(len(pool)), chosen)
            picks = rest[MarginSampling().query(model, X[pool[rest]], 30)]
            kept = balance_classes(model.predict(X[pool[picks]]), Counter(map(str, labels[known])), 10)
            assert lines[lines["round"] == round_]["row"].tolist() == picks[kept].tolist()


def test_it_finds_more_of_the_rare_class_and_all_that_is_left_is_enough():
    shares = [(y[pool][run(class_balance=on, seeds=4).selected["row"]] == 10).mean() for on in (False, True)]
    assert shares[1] > shares[0]
    n_rounds = (len(pool) - 20) // 10
    assert run(n_rounds=n_rounds, seeds=1).selected["row"].is_unique  # the last rounds hold fewer than three batches


def test_without_it_a_run_is_described_as_it_always_was():
    assert "class_balance" not in run(class_balance=False, n_rounds=0).config
    assert run(n_rounds=0).config["class_balance"] is True


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"class_balance": "yes"}, TypeError, "class_balance"),
        ({"groups": np.arange(len(pool)) // 2}, ValueError, "not with groups or costs"),
        ({"costs": np.ones(len(pool))}, ValueError, "not with groups or costs"),
    ],
)
def test_what_it_is_not_for(changes, error, match):
    with pytest.raises(error, match=match):
        run(**changes)


def test_it_is_for_one_class_a_row():
    several = (y[pool, None] == np.unique(y)).astype(int)
    shared = {"X_test": X[300:], "n_initial": 20, "n_instances": 5, "n_rounds": 1, "seeds": 1, "class_balance": True}
    with pytest.raises(ValueError, match="several labels a row"):
        run_experiment(
            LateFusionClassifier(), "margin", X[pool], several, y_test=(y[300:, None] == np.unique(y)).astype(int), **shared
        )
    with pytest.raises(ValueError, match="or a regressor"):
        run_experiment(
            LinearRegression(), "random", np.asarray(X[pool]), y[pool] / 1.5, y_test=y[300:] / 1.5,
            **{**shared, "X_test": np.asarray(X[300:])},
        )
