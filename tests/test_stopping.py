"""Stopping criteria against values computed by hand, and their traps."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier
from skmmal._registry import find
from skmmal.datasets import make_multimodal_classification
from skmmal.experiment import run_experiment, stopping_history, stopping_points
from skmmal.stopping import (
    Budget,
    ClassificationChange,
    ConfidenceThreshold,
    MaxRounds,
    OverallUncertainty,
    Patience,
    PerformanceChange,
    PredictedFChange,
    RoundState,
    SelectedAccuracy,
    StabilizingPredictions,
    TargetAccuracy,
    available_criteria,
    get_criterion,
    kappa,
)


def rounds(*predictions, **fields):
    return [
        RoundState(r, 10 * r, pd.Series(list(text)), **{name: values[r - 1] for name, values in fields.items()})
        for r, text in enumerate(predictions, start=1)
    ]


def measured(*accuracies, n=100):
    return [RoundState(r, 10 * r, validation_accuracy=a, n_validation=n) for r, a in enumerate(accuracies, start=1)]


def test_kappa_by_hand():
    # 10 rows, both say a: 4, both say b: 3, a/b: 2, b/a: 1; observed 0.7, by chance 0.6*0.5 + 0.4*0.5 = 0.5
    first, second = pd.Series(list("aaaaaabbbb")), pd.Series(list("aaaabbbbba"))
    assert kappa(first, second) == pytest.approx((0.7 - 0.5) / 0.5)
    assert kappa(first, first) == 1.0
    # only common rows count
    assert kappa(first, second[[0, 1, 6, 7]]) == 1.0
    assert np.isnan(kappa(first, pd.Series(["a"], index=[99])))
    assert np.isnan(kappa(pd.Series(["a", "a"]), pd.Series(["a", "a"])))


def test_stabilizing_predictions():
    first, second = "aaaaaabbbb", "aaaabbbbba"
    history = rounds(first, second, second, second)
    advice = StabilizingPredictions(threshold=0.79).advise(history)
    assert advice.value == pytest.approx((0.4 + 1 + 1) / 3)
    assert advice.stop is True
    assert "κ = 0.400, 1.000, 1.000; their mean 0.800 reaches 0.79" in advice.sentence
    assert StabilizingPredictions(threshold=0.81).advise(history).stop is False
    assert StabilizingPredictions(threshold=0.8).advise(history[:3]).stop is None
    assert StabilizingPredictions(threshold=0.8, window=2, min_rounds=3).advise(history[:3]).value == pytest.approx(0.7)


@pytest.mark.parametrize(
    "criterion",
    [StabilizingPredictions(0.0), ClassificationChange(1.0), OverallUncertainty(1.0), ConfidenceThreshold(0.0)],
)
def test_a_collapsed_model_is_no_reason_to_stop(criterion):
    history = rounds("aaaa", "aaaa", "aaaa", "aaaa", mean_entropy=[0.0] * 4, mean_confidence=[1.0] * 4)
    advice = criterion.advise(history)
    assert advice.stop is False
    assert "predicts a for every row" in advice.sentence


def test_a_collapse_within_the_window_counts_too():
    advice = StabilizingPredictions(0.0).advise(rounds("aabb", "aaaa", "aaaa", "aabb"))
    assert advice.stop is False
    assert "one class only" in advice.sentence


def test_classification_change():
    history = rounds("aabb", "abbb", "abba")
    assert ClassificationChange().advise(history).value == 0.25
    assert ClassificationChange().advise(history).stop is False
    assert ClassificationChange(0.25).advise(history).stop is True
    assert ClassificationChange().advise(rounds("aabb", "abbb", "abbb")).stop is True
    assert ClassificationChange().advise(history[:2]).stop is None  # too few rounds
    # rows that are labelled by now are not compared
    history[-1] = RoundState(3, 30, history[-1].predictions[:3])
    assert ClassificationChange().advise(history).value == 0.0


def test_predicted_f_change():
    # p: positive in both a = 2, flips b + c = 2: 1 - 4 / 6
    history = rounds("ppnp", "ppnp", "ppnp", "pppn")
    assert PredictedFChange("p").advise(history).value == pytest.approx(1 - 4 / 6)
    assert PredictedFChange("p").advise(history).stop is False
    assert PredictedFChange("p").advise([*history[:3], RoundState(4, 40, history[2].predictions)]).stop is True
    assert PredictedFChange("n", 0.9).advise(rounds("nnpp", "nnpp", "nppp", "pppn")).value == 1.0
    no_positives = rounds("nnqq", "nnqq", "nnqq", "nnqq")
    assert PredictedFChange("p").advise(no_positives).stop is None
    assert "0/0" in PredictedFChange("p").advise(no_positives).sentence
    assert "two classes" in PredictedFChange().advise(rounds("abc", "abc", "abc", "abc")).sentence


def test_uncertainty():
    state = RoundState.from_probabilities(3, 30, [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], ["a", "b", "c"])
    assert state.mean_entropy == pytest.approx(np.log(2) / np.log(3) / 2)
    assert state.mean_confidence == 0.75
    assert state.predictions.tolist() == ["a", "a"]
    history = rounds("ab", "ab", mean_entropy=[0.2, 0.04], mean_confidence=[0.9, 0.96])
    assert OverallUncertainty().advise(history).stop is True
    assert OverallUncertainty(0.04).advise(history).stop is False  # below, not at
    assert ConfidenceThreshold().advise(history).stop is True
    assert ConfidenceThreshold(0.97).advise(history).stop is False
    assert ConfidenceThreshold().advise(history[:1]).stop is None
    with pytest.raises(ValueError, match=r"probabilities has shape \(1, 1\), expected \(n_samples, 2\)"):
        RoundState.from_probabilities(1, 1, [[1.0]], ["a", "b"])


def test_performance():
    # slope of (1, .6), (2, .7), (3, .7), (4, .8): (-1.5*.6 - .5*.7 + .5*.7 + 1.5*.8) / 5 = 0.06
    history = measured(0.1, 0.6, 0.7, 0.7, 0.8)
    assert PerformanceChange().advise(history).value == pytest.approx(0.06)
    assert PerformanceChange().advise(history).stop is False
    assert PerformanceChange(0.06 + 1e-9).advise(history).stop is True
    assert PerformanceChange().advise(history[:3]).stop is None
    assert PerformanceChange().advise(measured(0.9, 0.8, 0.7, 0.6)).stop is True  # it falls: labels do not help
    assert Patience(2).advise(measured(0.5, 0.7, 0.7, 0.6)).stop is True
    assert Patience(2).advise(measured(0.5, 0.7, 0.6, 0.71)).stop is False
    assert Patience(2, min_gain=0.02).advise(measured(0.5, 0.7, 0.6, 0.71)).stop is True
    assert TargetAccuracy(0.7).advise(history).stop is True
    assert TargetAccuracy(0.81).advise(history).stop is False
    assert "accuracy 0.800 on 100 of the validation rows (model of round 5) is below the target 0.81" in (
        TargetAccuracy(0.81).advise(history).sentence
    )
    assert TargetAccuracy().advise([RoundState(1, 10)]).stop is None
    drawn = [RoundState(1, 10, random_accuracy=0.95, n_random=20), RoundState(2, 20)]
    assert TargetAccuracy(0.9, "random-slice").advise(drawn).stop is True
    assert TargetAccuracy(0.9).advise(drawn).stop is None


def test_budget_and_selected_accuracy():
    assert Budget(20).advise(measured(0.1, 0.2)).stop is True
    assert Budget(21).advise(measured(0.1, 0.2)).sentence == "20 of 21 labels are spent, 1 are left."
    history = [
        RoundState(1, 10, batch_accuracy=0.95, n_batch=40),
        RoundState(2, 50, batch_accuracy=0.2, n_batch=5),  # too few labels of that batch
        RoundState(3, 55),
    ]
    assert SelectedAccuracy().advise(history).value == 0.95
    assert SelectedAccuracy(min_labels=5).advise(history).stop is False
    assert SelectedAccuracy(min_labels=50).advise(history).stop is None


def test_by_name_and_as_estimators():
    for name in available_criteria():
        criterion = get_criterion(name)
        assert clone(criterion).get_params() == criterion.get_params()
        assert criterion.advise([]).stop is None
        assert criterion.advise([]).criterion == name
    assert get_criterion("target-accuracy=0.75").target == 0.75
    assert get_criterion("stabilizing-predictions", window=2).window == 2
    with pytest.raises(ValueError, match="unknown stopping criterion 'nonsense'; there are"):
        get_criterion("nonsense")
    with pytest.raises(ValueError, match="'max_labels' parameter"):
        get_criterion("budget=many")
    with pytest.raises(ValueError, match="'threshold' parameter"):
        StabilizingPredictions(threshold=2).advise([])
    with pytest.raises(ValueError, match="in the order of the rounds"):
        Budget().advise([RoundState(2, 1), RoundState(1, 2)])


THRESHOLDS = {
    "budget": ("max_labels", 7),
    "classification-change": ("threshold", 0.07),
    "confidence": ("threshold", 0.7),
    "max-rounds": ("max_rounds", 7),
    "overall-uncertainty": ("threshold", 0.07),
    "patience": ("patience", 7),
    "performance-change": ("threshold", 0.07),
    "predicted-f-change": ("threshold", 0.07),
    "selected-accuracy": ("threshold", 0.7),
    "stabilizing-predictions": ("threshold", 0.7),
    "target-accuracy": ("target", 0.7),
}


@pytest.mark.parametrize("name", available_criteria())
def test_a_value_beside_the_name_is_the_threshold(name):
    parameter, value = THRESHOLDS[name]
    plain, given = get_criterion(name).get_params(), get_criterion(f"{name}={value}").get_params()
    assert given == {**plain, parameter: value}
    # every spelling of the name, and the class's own name
    kind = type(get_criterion(name))
    for spelling in (name.upper(), name.replace("-", "_"), name.title(), name.replace("-", " "), kind.__name__):
        assert type(get_criterion(f"{spelling}={value}")) is kind


ALL_FIELDS = {
    "predictions": pd.Series(list("aabb")), "mean_confidence": 0.8, "mean_entropy": 0.2, "validation_accuracy": 0.8,
    "n_validation": 9, "random_accuracy": 0.8, "n_random": 9, "batch_accuracy": 0.8, "n_batch": 12,
}  # fmt: skip


@pytest.mark.parametrize("name", available_criteria())
def test_the_registry_says_what_a_criterion_needs(name):
    criterion = get_criterion(name)
    assert find("stopping", name).load() is type(criterion)
    assert criterion.name == name
    assert set(criterion.needs) <= set(ALL_FIELDS)
    assert criterion.main_parameter in criterion.get_params()
    just = {field: ALL_FIELDS[field] for field in criterion.needs}
    counts = {count: ALL_FIELDS[count] for count in ("n_validation", "n_random", "n_batch")}
    assert criterion.advise([RoundState(r, r, **just, **counts) for r in range(6)]).stop is not None
    for field in criterion.needs:
        without = {key: value for key, value in ALL_FIELDS.items() if key != field}
        assert criterion.advise([RoundState(r, r, **without) for r in range(6)]).stop is None
    # and whether a model of one class fools it
    collapsed = {**ALL_FIELDS, "predictions": pd.Series(list("aaaa"))}
    said = criterion.advise([RoundState(r, r, **collapsed) for r in range(6)]).sentence
    assert ("predicts a for every row" in said) is criterion.watches_model


def test_an_heir_of_a_criterion_does_not_pass_for_it():
    class Thrifty(Budget):
        pass

    assert Thrifty().advise([]).criterion == "Thrifty"
    assert "Thrifty" not in available_criteria()


def test_max_rounds():
    assert MaxRounds(3).advise(measured(0.1, 0.2)).stop is False
    assert MaxRounds(3).advise(measured(0.1, 0.2, 0.3)).stop is True
    assert MaxRounds(3).advise(measured(0.1, 0.2)).sentence == "2 of 3 rounds are done."


SAME = [["no", "yes"], ["0", "1"], [0, 1], [False, True], [np.int64(0), np.int64(1)], [np.bool_(False), np.bool_(True)], [0.0, 1.0], [2, 10], ["2", "10"]]  # fmt: skip


@pytest.mark.parametrize("classes", SAME, ids=repr)
def test_labels_of_every_type_get_the_same_advice(classes):
    """Strings, integers, booleans, numpy's scalars, and what a file makes of them, in one round or in every other."""
    codes = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 1], [1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 1, 1]])
    values = np.empty(2, dtype=object)
    values[:] = classes
    history = [RoundState(r, r, pd.Series(values[row])) for r, row in enumerate(codes)]
    mixed = [
        RoundState(r, r, state.predictions.map(str) if r % 2 else state.predictions) for r, state in enumerate(history)
    ]
    reference = [RoundState(r, r, pd.Series(np.array(["n", "p"], dtype=object)[row])) for r, row in enumerate(codes)]
    for criterion in (
        PredictedFChange(),
        PredictedFChange(threshold=0.9),
        ClassificationChange(),
        StabilizingPredictions(),
    ):
        expected = criterion.advise(reference)
        assert expected.value is not None
        for given in (history,) if isinstance(classes[0], float) else (history, mixed):
            found = criterion.advise(given)
            assert (found.stop, found.value) == (expected.stop, expected.value)
    for positive in (classes[1], str(classes[1])) if not isinstance(classes[0], float) else (classes[1],):
        assert PredictedFChange(positive).advise(history).value == PredictedFChange("p").advise(reference).value
    assert PredictedFChange(classes[0]).advise(history).value == PredictedFChange("n").advise(reference).value
    # by hand: 2a / (2a + b + c) with a = 2, 2, 3 rows positive twice, and 2, 1, 0 that flip
    assert PredictedFChange().advise(history).value == pytest.approx(1 - 4 / 6)


# ------------------------------------------------------------------------------------------------ after the fact


@pytest.fixture(scope="module")
def experiment():
    X, y = make_multimodal_classification(300, {"a": 6, "b": 4}, n_classes=3, random_state=0, return_X_y=True)
    y = np.array(["cat", "dog", "eel"])[y]
    estimator = LateFusionClassifier(C=0.1)
    results = run_experiment(
        estimator, ["margin", "random"], X[:200], y[:200], X_test=X[200:], y_test=y[200:],
        n_initial=12, n_instances=8, n_rounds=4, seeds=2,
    )  # fmt: skip
    return results, estimator, X[:200], y[:200]


def test_the_history_of_an_experiment_is_the_experiments(experiment):
    results, estimator, X, y = experiment
    histories = list(stopping_history(results, "margin", 1, estimator=estimator, X=X, y=y))
    assert [len(history) for history in histories] == [1, 2, 3, 4, 5]
    run = results.frame.query("strategy == 'margin' and seed == 1")
    assert [state.n_labeled for state in histories[-1]] == run["n_labeled"].tolist()
    assert [state.validation_accuracy for state in histories[-1]] == run["accuracy"].tolist()
    # by hand: round 2's model
    rows = results.selected.query("strategy == 'margin' and seed == 1 and round <= 2")["row"].to_numpy()
    model = clone(estimator).fit(X[rows], y[rows], classes=np.unique(y))
    rest = np.setdiff1d(np.arange(200), rows)
    state = histories[2][2]
    assert state.predictions.loc[rest].tolist() == model.predict(X[rest]).tolist()
    assert state.mean_confidence == pytest.approx(model.predict_proba(X[rest]).max(axis=1).mean())
    batch = results.selected.query("strategy == 'margin' and seed == 1 and round == 3")["row"].to_numpy()
    assert state.batch_accuracy is None  # not known yet after round 2
    assert histories[3][2].batch_accuracy == pytest.approx((model.predict(X[batch]) == y[batch]).mean())


def test_stopping_points(experiment):
    results, estimator, X, y = experiment
    criteria = ["budget=28", ClassificationChange(0.5, min_rounds=2), "patience=99"]
    points = stopping_points(results, criteria, estimator=estimator, X=X, y=y)
    assert len(points) == 2 * 2 * 3
    budget = points[points["criterion"] == "budget"]
    assert budget["n_labeled"].tolist() == [28.0] * 4
    assert budget["saved"].tolist() == pytest.approx([1 - 28 / 44] * 4)
    merged = budget.merge(results.frame, on=["strategy", "seed", "round"])
    assert merged["accuracy_x"].tolist() == merged["accuracy_y"].tolist()
    never = points[points["criterion"] == "patience"]
    assert never["n_labeled"].isna().all()
    assert (never["saved"] == 0).all()
    assert (never["accuracy"] == never["final_accuracy"]).all()
    without_models = stopping_points(results, ["budget=28"])
    assert without_models["n_labeled"].tolist() == [28.0] * 4
    with pytest.raises(ValueError, match="give estimator, X and y together"):
        stopping_points(results, ["budget"], X=X)
    with pytest.raises(ValueError, match="no run of strategy 'bmmal'"):
        next(stopping_history(results, "bmmal", 0))


def test_plain_classifiers_work_too():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = (X[:, 0] > 0).astype(int)
    results = run_experiment(
        LogisticRegression(), ["entropy"], X[:80], y[:80], X_test=X[80:], y_test=y[80:],
        n_initial=10, n_instances=5, n_rounds=5, seeds=1, initial="kmeans",
    )  # fmt: skip
    points = stopping_points(results, ["classification-change"], estimator=LogisticRegression(), X=X[:80], y=y[:80])
    assert len(points) == 1


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: Budget().advise(None), TypeError, "history must be a sequence of RoundState"),
        (lambda: Budget().advise(["a"]), TypeError, "history must be a sequence of RoundState"),
        (lambda: RoundState.from_probabilities(1, 2, "a", ["x"]), TypeError, "probabilities must be numeric"),
        (
            lambda: RoundState.from_probabilities(1, 2, [[np.nan]], ["x"]),
            ValueError,
            "probabilities is not finite in row 0",
        ),
        (lambda: RoundState.from_probabilities(1, 2, [[-1.0]], ["x"]), ValueError, "rows must sum to one, but row 0"),
        (
            lambda: RoundState.from_probabilities(1, 2, [[0.9, 0.8]], ["x", "y"]),
            ValueError,
            "independent probabilities",
        ),
        (lambda: RoundState.from_probabilities(1, 2, [[3.0, -4.0]], ["x", "y"]), ValueError, "logits"),
        (lambda: get_criterion("predicted_f_chang"), ValueError, "Did you mean 'predicted-f-change'"),
        (lambda: get_criterion("budget=5", max_labels=7), ValueError, "'budget=5' sets max_labels"),
        (lambda: RoundState.from_probabilities(1, 2, [[1.0]], None), ValueError, "classes must be"),
        (lambda: RoundState.from_probabilities(1, 2, [[1.0]], ["x"], {1: "a"}), ValueError, "there is no row 1"),
        (lambda: RoundState.from_probabilities(1, 2, [[1.0]], ["x"], [0]), TypeError, "stop_rows must map"),
        (lambda: kappa(None, pd.Series([1])), TypeError, "first must be a Series"),
    ],
)
def test_what_is_no_history_is_named(call, error, match):
    with pytest.raises(error, match=match):
        call()
