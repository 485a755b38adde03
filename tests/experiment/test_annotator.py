"""Annotators who err, skip and vote, and experiments with them."""

import numpy as np
import pandas as pd
import pytest
from experiment.interrupted import contents, kill_after
from scipy.stats import binom
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier
from skmmal.experiment import ExperimentResults, NoisyAnnotator, run_experiment, stopping_points
from skmmal.experiment._problem import random_seed

Y = np.array(list("abcd"))[np.random.default_rng(0).integers(0, 4, 20_000)]


def near(share, expected):
    """Within four standard errors of a share of 20,000."""
    return abs(share - expected) <= 4 * np.sqrt(max(expected * (1 - expected), 1e-12) / len(Y)) + 1e-12


@pytest.mark.parametrize("error", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("skip", [0.0, 0.25])
def test_rates(error, skip):
    labels, answered = NoisyAnnotator(error, skip)(None, Y, random_state=1)
    assert near(answered.mean(), 1 - skip)
    for true in "abcd":
        own = labels[answered & (true == Y)]
        for said in "abcd":
            expected = 1 - error if said == true else error / 3
            assert abs((own == said).mean() - expected) < 0.03
    wrong = (labels != Y)[answered].mean()
    assert near(wrong, error)


def test_answers_follow_the_confusion():
    matrix = np.array([[0.7, 0.3, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.0, 1.0]])
    labels, answered = NoisyAnnotator(confusion=matrix)(None, Y, random_state=0)
    assert answered.all()
    found = pd.crosstab(Y, labels, normalize="index").reindex(columns=list("abcd"), fill_value=0.0).to_numpy()
    np.testing.assert_allclose(found, matrix, atol=0.025)
    assert (found[matrix == 0] == 0).all()


@pytest.mark.parametrize("n_annotators", [1, 2, 3, 5])
def test_the_majority_of_two_classes_is_binomial(n_annotators):
    y = np.arange(len(Y)) % 2
    labels, _ = NoisyAnnotator(0.3, n_annotators=n_annotators)(None, y, random_state=2)
    right = binom(n_annotators, 0.7)
    half = n_annotators / 2
    ties = right.pmf(half) if n_annotators % 2 == 0 else 0.0
    assert near((labels == y).mean(), right.sf(half) + ties / 2)


def test_each_annotator_has_a_rate_and_a_row_is_skipped_if_all_skip_it():
    _, answered = NoisyAnnotator(skip_rate=[0.5, 0.4], n_annotators=2)(None, Y, random_state=3)
    assert near(answered.mean(), 1 - 0.2)
    labels, answered = NoisyAnnotator([0.0, 1.0], [0.0, 1.0], n_annotators=2)(None, Y, random_state=3)
    assert answered.all()
    assert (labels == Y).all()  # the one who errs never answers


def test_one_class_cannot_be_mistaken():
    labels, answered = NoisyAnnotator(0.9)(None, np.zeros(9), random_state=0)
    assert (labels == 0).all()
    assert answered.all()


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"error_rate": 1.5}, "'error_rate' parameter"),
        ({"error_rate": [0.1, 0.2]}, "one for each of n_annotators=1"),
        ({"skip_rate": [0.1, 1.2], "n_annotators": 2}, "skip_rate must be a number from 0 to 1"),
        ({"confusion": np.eye(3)}, r"confusion has shape \(3, 3\), and there are 4 classes"),
        ({"confusion": np.ones((4, 4))}, "each row of which sums to one"),
        ({"confusion": np.eye(4), "error_rate": 0.1}, "give one of them"),
    ],
)
def test_helpful_errors(params, match, run):
    with pytest.raises(ValueError, match=match):
        NoisyAnnotator(**params)(None, Y)
    if "confusion" not in params:
        with pytest.raises(ValueError, match=match):  # before anything runs
            run(annotator=NoisyAnnotator(**params))


# ------------------------------------------------------------------------------------------------- in an experiment


def test_models_learn_what_was_answered(run, data):
    """By hand, from the chosen rows and the annotator's answers; skipped rows are asked for, and once."""
    X, y = data
    annotator = NoisyAnnotator(0.3, 0.2)
    results = run(annotator=annotator, strategies=["margin", "random"])
    for key, rows in results.selected.groupby(["strategy", "seed"]):
        chosen = rows.sort_values(["round", "rank"])["row"].to_numpy()
        assert len(set(chosen.tolist())) == len(chosen) == 12 + 3 * 8
        labels, answered = annotator(X[:250], y[:250], random_state=random_seed("annotator", key[1]))
        got = chosen[answered[chosen]]
        clf = LateFusionClassifier(C=0.1).fit(X[:250][got], labels[got], classes=[0, 1, 2])
        line = results.frame.set_index(["strategy", "seed", "round"]).loc[(*key, 3)]
        assert line["accuracy"] == pytest.approx(clf.score(X[250:], y[250:]))
        assert line["n_labeled"] == len(chosen)
        assert line["n_skipped"] == len(chosen) - len(got) > 0
        assert line["n_wrong"] == (labels[got] != y[:250][got]).sum() > 0
        last = chosen[-8:]
        before = np.setdiff1d(chosen, last)
        if key[0] == "margin":
            kept = before[answered[before]]
            order = [row for row in chosen if row in set(kept.tolist())]
            model = LateFusionClassifier(C=0.1).fit(X[:250][order], labels[order], classes=[0, 1, 2])
            pool = np.setdiff1d(np.arange(250), before)
            p = np.sort(model.predict_proba(X[:250][pool]), axis=1)
            assert set(pool[np.argsort(p[:, -1] - p[:, -2], kind="stable")[:8]]) == set(last.tolist())


def test_who_never_errs_changes_nothing(run, results):
    same = run(seeds=3, annotator=NoisyAnnotator())
    assert (same.frame[["n_skipped", "n_wrong"]] == 0).all(axis=None)
    columns = [name for name in results.frame if not name.endswith("seconds")]
    pd.testing.assert_frame_equal(same.frame[columns], results.frame[columns], check_exact=True)
    pd.testing.assert_frame_equal(same.selected, results.selected)


def hasty(X, y, random_state):
    """Errs in rows whose first column is small: mistakes that depend on X."""
    small = np.nan_to_num(X["b"][:, 0]) < -0.5
    return np.where(small, (y + 1) % 3, y), ~small | (np.arange(len(y)) % 2 == 0)


def test_a_function(run, data, tmp_path):
    X, y = data
    results = run(annotator=hasty, strategies=["random"], n_rounds=1, results_dir=tmp_path)
    labels, answered = hasty(X[:250], y[:250], 0)
    rows = results.selected[results.selected["seed"] == 0]["row"].to_numpy()
    line = results.frame.query("seed == 0 and round == 1").iloc[0]
    assert line["n_skipped"] == (~answered[rows]).sum()
    assert line["n_wrong"] == (labels != y[:250])[rows[answered[rows]]].sum()
    assert results.config["annotator"].endswith("test_annotator.hasty")


@pytest.mark.parametrize(
    ("annotator", "error", "match"),
    [
        ("noisy", TypeError, "annotator must be a NoisyAnnotator or a function"),
        (NoisyAnnotator, TypeError, "annotator must be a NoisyAnnotator or a function"),
        (lambda X, y, random_state: y, TypeError, "must return labels and which rows have one, got a ndarray"),
        (lambda X, y, random_state: (y, y), ValueError, "a label and a boolean for each of 250 rows"),
        (lambda X, y, random_state: (y[1:], y == y), ValueError, "labels of shape .249,."),
        (lambda X, y, random_state: (y + 5, y == y), ValueError, "annotator answered .* to row 0; the classes are"),
        (NoisyAnnotator(skip_rate=1.0), ValueError, "none of the 12 rows chosen with seed 0 has got a label"),
    ],
)
def test_annotators_that_cannot_be_used(annotator, error, match, run):
    with pytest.raises(error, match=match):
        run(annotator=annotator)


def test_stopped_and_gone_on(run, tmp_path):
    options = {"annotator": NoisyAnnotator(0.2, 0.2, n_annotators=2), "strategies": ["bmmal", "random"], "n_rounds": 2}
    whole = run(results_dir=tmp_path / "whole", **options)
    assert whole.config["annotator"] == {
        "class": "skmmal.experiment.NoisyAnnotator",
        "params": {"confusion": None, "error_rate": 0.2, "n_annotators": 2, "skip_rate": 0.2},
    }
    kill_after(4, lambda: run(results_dir=tmp_path / "stopped", **options))
    run(results_dir=tmp_path / "stopped", **options)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    pd.testing.assert_frame_equal(ExperimentResults.load(tmp_path / "whole").frame, whole.frame, check_exact=True)
    with pytest.raises(ValueError, match=r"annotator\.params\.error_rate: 0\.2 there, 0\.3 now"):
        run(results_dir=tmp_path / "whole", **{**options, "annotator": NoisyAnnotator(0.3, 0.2, n_annotators=2)})


def test_stopping_criteria_do_not_take_true_labels_for_answers():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((90, 2)), np.arange(90) % 2
    options = {"X_test": X, "y_test": y, "n_initial": 20, "n_instances": 5, "n_rounds": 2, "seeds": 1}
    results = run_experiment(LogisticRegression(), "random", X, y, annotator=NoisyAnnotator(0.1), **options)
    assert len(stopping_points(results, "budget=25")) == 1
    with pytest.raises(ValueError, match="the experiment had an annotator"):
        stopping_points(results, "budget=25", estimator=LogisticRegression(), X=X, y=y)


def test_cloned_and_left_alone():
    annotator = NoisyAnnotator([0.1, 0.2], n_annotators=2)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = annotator(None, Y, random_state=7)
    for one, other in zip(first, clone(annotator)(None, Y, random_state=7), strict=True):
        np.testing.assert_array_equal(one, other)
    annotator(None, Y)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
