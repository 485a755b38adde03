"""Experiments with several labels a row, with values, by groups and by costs."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, f1_score, hamming_loss, mean_absolute_error, r2_score
from sklearn.multiclass import OneVsRestClassifier

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.experiment import (
    ExperimentResults,
    MissingRates,
    area_under_curve,
    labels_to_reach,
    run_experiment,
    stopping_points,
)

NAMES = ["sky", "sea", "boat"]


@pytest.fixture(scope="module")
def data():
    """Rows of two modalities, some of them without text, three labels, groups and costs."""
    rng = np.random.default_rng(0)
    states = (rng.random((160, 3)) < [0.5, 0.3, 0.2]).astype(int)
    image, text = rng.normal(size=(160, 5)), rng.normal(size=(160, 4))
    image[:, :3] += 1.5 * states
    text[:, :2] += 1.5 * states[:, 1:]
    text[::6] = np.nan
    X = MultimodalArray({"image": image, "text": text})
    return X, pd.DataFrame(states, columns=NAMES), rng.integers(0, 20, size=100), rng.integers(1, 5, size=100) / 4


def run(data, strategies=("margin", "random"), y=None, estimator=None, **options):
    X, Y, *_ = data
    given = {"n_initial": 12, "n_instances": 6, "n_rounds": 2, "seeds": 2, **options}
    y = Y if y is None else y
    labels = y.iloc if hasattr(y, "iloc") else y
    return run_experiment(
        estimator or LateFusionClassifier(), strategies, X[:100], labels[:100], X_test=X[100:], y_test=labels[100:], **given
    )


@pytest.fixture(scope="module")
def results(data):
    return run(data, ["bmmal", "margin", "random"])


def test_what_is_measured_of_several_labels(data, results):
    X, Y, *_ = data
    rows = results.selected.query("strategy == 'margin' and seed == 1")["row"].to_numpy()
    clf = LateFusionClassifier(random_state=0).fit(X[rows], Y.iloc[rows])
    last = results.frame.query("strategy == 'margin' and seed == 1").iloc[-1]
    truth, test = Y[100:].to_numpy(), X[100:]
    heads = {"": (clf.predict_proba(test), np.ones(60, dtype=bool))}
    for name, p in clf.predict_proba_by_modality(test).items():
        heads[f"_{name}"] = (p, ~np.isnan(test.blocks[name]).any(axis=1))
    for head, (p, rows) in heads.items():
        p, y = p[rows], truth[rows]
        expected = {
            "mean_average_precision": average_precision_score(y, p),
            "f1_macro": f1_score(y, p > 0.5, average="macro"),
            "f1_micro": f1_score(y, p > 0.5, average="micro"),
            "hamming_loss": hamming_loss(y, p > 0.5),
            "subset_accuracy": (y == (p > 0.5)).all(axis=1).mean(),
        }
        for metric, value in expected.items():
            assert last[metric + head] == pytest.approx(value), metric + head
    of_sea = results.classes.query("strategy == 'margin' and seed == 1 and round == 2 and label == 'sea'").iloc[0]
    assert of_sea["average_precision"] == pytest.approx(average_precision_score(truth[:, 1], heads[""][0][:, 1]))
    assert of_sea["f1"] == pytest.approx(f1_score(truth[:, 1], heads[""][0][:, 1] > 0.5))
    p, rows = heads["_text"]
    assert of_sea["f1_text"] == pytest.approx(f1_score(truth[rows, 1], p[rows, 1] > 0.5))
    shares = clf.modality_contributions(test, truth).mean(axis=0)
    assert last["contribution_image"] == pytest.approx(shares[0])
    assert "accuracy" not in results.frame
    assert results.frame[["ece", "shapley_imbalance", "weaker_weight_text"]].notna().all(axis=None)
    assert results.config["classes"] == NAMES


def test_questions_go_by_the_mean_average_precision(results):
    assert results.main_metric == "mean_average_precision"
    assert results.summary().equals(results.summary("mean_average_precision"))
    areas = results.area_under_curve()
    assert areas.equals(area_under_curve(results.frame, "mean_average_precision"))
    assert results.pairwise_matrix().equals(results.pairwise_matrix("mean_average_precision"))
    assert results.area_under_curve("hamming_loss")["mean"].between(0, 1).all()


def test_every_form_of_an_indicator_matrix_is_the_same(data):
    Y = data[1].to_numpy()
    frames = [run(data, "margin", y=y, seeds=1).frame.drop(columns=["fit_seconds", "query_seconds"]) for y in (Y, sparse.csr_array(Y))]
    pd.testing.assert_frame_equal(*frames)
    reordered = data[1].copy()
    reordered.iloc[100:] = reordered.iloc[100:]
    X = data[0]
    other = run_experiment(
        LateFusionClassifier(), "margin", X[:100], data[1][:100], X_test=X[100:], y_test=data[1].iloc[100:][NAMES[::-1]],
        n_initial=12, n_instances=6, n_rounds=2, seeds=1,
    )  # fmt: skip
    pd.testing.assert_frame_equal(other.frame.drop(columns=["fit_seconds", "query_seconds"]), frames[0])


def test_labels_that_nobody_knows(data):
    Y = data[1].astype(float)
    Y.iloc[:100:5, 2] = np.nan
    assert run(data, "margin", y=Y, seeds=1).frame["mean_average_precision"].notna().all()
    Y.iloc[130, 0] = np.nan
    with pytest.raises(ValueError, match="y_test does not say whether row 30 has the label sky"):
        run(data, "margin", y=Y)


def test_classifiers_of_scikit_learn(data):
    X, Y, *_ = data
    plain = MultimodalArray({"image": X.blocks["image"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = run((plain, Y), ["mmc", "random"], estimator=OneVsRestClassifier(LogisticRegression()), seeds=1)
    rows = found.selected.query("strategy == 'mmc'")["row"].to_numpy()
    clf = OneVsRestClassifier(LogisticRegression()).fit(np.asarray(plain)[rows], Y.to_numpy()[rows])
    expected = average_precision_score(Y[100:], clf.predict_proba(np.asarray(plain)[100:]))
    assert found.frame.query("strategy == 'mmc'").iloc[-1]["mean_average_precision"] == pytest.approx(expected)


def test_a_run_goes_on_and_ends_with_the_same_bytes(data, tmp_path):
    groups, costs = data[2:]
    options = {"groups": groups, "costs": costs, "n_initial": 3, "n_instances": 2, "evaluations": {"missing": MissingRates([0, 1], n_repeats=1)}}
    whole = run(data, results_dir=tmp_path / "whole", **options)
    run(data, results_dir=tmp_path / "cut", **options)
    for file in (tmp_path / "cut" / "units" / "margin").rglob("round-00[12].json"):
        file.unlink()
    (tmp_path / "cut" / "sha256sums.txt").unlink()
    run(data, results_dir=tmp_path / "cut", **options)
    assert (tmp_path / "cut" / "sha256sums.txt").read_bytes() == (tmp_path / "whole" / "sha256sums.txt").read_bytes()
    loaded = ExperimentResults.load(tmp_path / "whole")
    pd.testing.assert_frame_equal(loaded.frame, whole.frame, check_dtype=False)
    pd.testing.assert_frame_equal(loaded.classes, whole.classes)
    assert loaded.main_metric == "mean_average_precision"
    assert (whole.evaluations["missing"].query("level == 0 and head == 'fused'")["accuracy"].to_numpy()
            == whole.frame.query("round == 2")["subset_accuracy"].repeat(3).to_numpy()).all()  # fmt: skip
    with pytest.raises(ValueError, match="another configuration"):
        run(data, results_dir=tmp_path / "whole", **{**options, "costs": costs + 1})


# ---------------------------------------------------------------------------------------------- groups and costs


def test_whole_groups_round_after_round(data):
    groups = data[2]
    found = run(data, ["badge", "margin", "random"], groups=groups, n_initial=4, n_instances=3)
    for (_name, _seed), part in found.selected.groupby(["strategy", "seed"]):
        chosen = []
        for round_, batch in part.groupby("round"):
            names = set(groups[batch["row"]])
            assert len(names) == (4 if round_ == 0 else 3)
            assert sorted(batch["row"]) == np.flatnonzero(np.isin(groups, list(names))).tolist()
            assert not names & set(chosen)
            chosen += names
        frame = found.frame.query("strategy == @_name and seed == @_seed")
        assert frame["n_groups"].tolist() == [4, 7, 10]
        assert frame["n_labeled"].tolist() == part.groupby("round").size().cumsum().tolist()
    firsts = found.selected.query("round == 0").groupby(["seed", "strategy"])["row"].apply(list)
    assert firsts.groupby("seed").agg(lambda rows: len(set(map(tuple, rows)))).tolist() == [1, 1]
    assert found.summary(x="n_groups")["area"].notna().all()
    with pytest.raises(ValueError, match="need 24 groups to label, X has"):
        run(data, groups=groups, n_initial=6, n_instances=9)
    with pytest.raises(ValueError, match="MMCSAL picks rows one by one .* these do: auto, badge"):
        run(data, ["mmcsal"], groups=groups, n_initial=3)
    with pytest.raises(ValueError, match="MMCSAL picks rows one by one"):
        run(data, groups=groups, n_initial=3, initial="mmcsal")
    with pytest.raises(ValueError, match="oracle compares batches of single rows"):
        run(data, groups=groups, n_initial=3, n_instances=2, oracle=True)


def test_curves_over_cost(data):
    costs = data[3]
    found = run(data, costs=costs)
    for (_name, _seed), part in found.selected.groupby(["strategy", "seed"]):
        spent = costs[part.groupby("round")["row"].apply(list).sum()].cumsum()
        frame = found.frame.query("strategy == @_name and seed == @_seed")
        np.testing.assert_allclose(frame["cost"], spent[frame["n_labeled"] - 1])
    areas = found.area_under_curve(x="cost")
    by_hand = {}
    for _, of_seed in found.frame.groupby("seed"):
        curves = dict(iter(of_seed.groupby("strategy")))
        low = max(part["cost"].iloc[0] for part in curves.values())
        high = min(part["cost"].iloc[-1] for part in curves.values())
        at = np.linspace(low, high, 20001)
        for name, part in curves.items():
            heights = np.interp(at, part["cost"], part["mean_average_precision"])
            by_hand.setdefault(name, []).append(np.trapezoid(heights, at) / (high - low))
    for name, values in by_hand.items():
        assert areas.loc[name, "mean"] == pytest.approx(np.mean(values), abs=1e-6)
    cheap = found.frame.query("round == 2").groupby("strategy")["cost"].mean()
    assert cheap["margin"] < cheap["random"]
    reached = labels_to_reach(found.frame, 0.0, "mean_average_precision", x="cost")
    assert reached["margin"].tolist() == found.frame.query("strategy == 'margin' and round == 0")["cost"].tolist()
    with pytest.raises(ValueError, match=r"x: frame has no column 'price'; curves can be over \['n_labeled', 'cost'\]"):
        found.area_under_curve(x="price")


# ------------------------------------------------------------------------------------------------------- stopping


def test_stopping_by_label_and_together(data, results):
    X, Y, *_ = data
    together = stopping_points(results, ["target-accuracy=0.5", "budget=18"])
    assert (together.query("criterion == 'budget'")["n_labeled"] == 18).all()
    last = results.frame.query("round == 2").set_index(["strategy", "seed"])["mean_average_precision"]
    ends = together.query("criterion == 'budget'").set_index(["strategy", "seed"])["final_accuracy"]
    np.testing.assert_allclose(ends, last.loc[ends.index])
    asked = ["stabilizing-predictions", "overall-uncertainty=0.5", "selected-accuracy=0.1"]
    model = {"estimator": LateFusionClassifier(), "X": X[:100], "y": Y[:100]}
    found = stopping_points(results, asked, **model)
    assert set(found["criterion"]) == {"stabilizing-predictions", "overall-uncertainty", "selected-accuracy"}
    assert found.query("criterion == 'selected-accuracy'")["round"].notna().all()
    by_label = stopping_points(results, asked, **model, by_label=True)
    assert by_label["label"].tolist()[:9:3] == NAMES
    assert len(by_label) == 3 * len(found)
    ap = results.classes.query("round == 2 and strategy == 'bmmal' and seed == 0 and label == 'boat'")["average_precision"]
    assert by_label.query("strategy == 'bmmal' and seed == 0 and label == 'boat'")["final_accuracy"].iloc[0] == ap.iloc[0]


# --------------------------------------------------------------------------------------------------------- values


def test_a_regressor(data):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((120, 4))
    y = X @ [1.0, -2, 0.5, 0] + 0.1 * rng.standard_normal(120)
    arguments = {"X_test": X[80:], "y_test": y[80:], "n_initial": 10, "n_instances": 5, "n_rounds": 2, "seeds": 2}
    found = run_experiment(Ridge(), ["maxherding", "mvopt", "coreset", "random"], X[:80], y[:80], **arguments)
    rows = found.selected.query("strategy == 'maxherding' and seed == 0")["row"]
    predicted = Ridge().fit(X[rows], y[rows]).predict(X[80:])
    last = found.frame.query("strategy == 'maxherding' and seed == 0").iloc[-1]
    assert last["r2"] == pytest.approx(r2_score(y[80:], predicted))
    assert last["mae"] == pytest.approx(mean_absolute_error(y[80:], predicted))
    assert list(found.frame.columns[3:6]) == ["n_labeled", "r2", "mae"]
    assert found.main_metric == "r2"
    assert found.summary()["area"].notna().all()
    assert found.classes.empty
    with pytest.raises(TypeError, match="MarginSampling goes by the probabilities of a classifier, and a regressor has none; .* kmeans"):
        run_experiment(Ridge(), ["margin"], X[:80], y[:80], **arguments)


def test_a_regression_run_is_read_again(tmp_path):
    X, y = np.random.default_rng(0).standard_normal((40, 3)), np.linspace(0, 1, 40)
    found = run_experiment(
        Ridge(), ["random"], X[:20], y[:20], X_test=X[20:], y_test=y[20:], n_initial=5, n_instances=5, n_rounds=1, seeds=1,
        results_dir=tmp_path / "run",
    )  # fmt: skip
    loaded = ExperimentResults.load(tmp_path / "run")
    pd.testing.assert_frame_equal(loaded.frame, found.frame)
    assert loaded.classes.empty
    assert json.loads((tmp_path / "run" / "config.json").read_text())["experiment"]["task"] == "values"
