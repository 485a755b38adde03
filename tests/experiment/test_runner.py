"""The runner: every number against what can be computed by hand from the chosen rows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.contributions import balance_weights
from skmmal.experiment._problem import random_seed
from skmmal.experiment.metrics import expected_calibration_error
from skmmal.modalities import presence_mask
from skmmal.query import BMMAL, MMCSAL, KMeansSampling, QueryStrategy, RandomSampling

TIMINGS = ["fit_seconds", "query_seconds"]


def reproducible(results):
    return results.frame.drop(columns=TIMINGS)


def test_protocol(results):
    frame, selected = results.frame, results.selected
    assert frame[["strategy", "seed", "round"]].values.tolist() == [
        [name, seed, round_] for name in ("bmmal", "margin", "random") for seed in range(3) for round_ in range(4)
    ]
    assert (frame["n_labeled"] == 12 + 8 * frame["round"]).all()
    for seed in range(3):
        first = selected[(selected["round"] == 0) & (selected["seed"] == seed)]
        per_strategy = first.groupby("strategy")["row"].apply(list)
        assert per_strategy.iloc[0] == per_strategy.iloc[1] == per_strategy.iloc[2]
        assert len(set(per_strategy.iloc[0])) == 12
    firsts = selected[(selected["round"] == 0) & (selected["strategy"] == "margin")].groupby("seed")["row"].apply(list)
    assert firsts[0] != firsts[1]
    for _, rows in selected.groupby(["strategy", "seed"])["row"]:
        assert len(rows) == 12 + 3 * 8 == rows.nunique()
        assert rows.between(0, 249).all()
    assert (frame[TIMINGS] > 0).all().all()


def test_measures_follow_from_the_chosen_rows(results, data):
    X, y = data
    pool, test, y_pool, y_test = X[:250], X[250:], y[:250], y[250:]
    for key, rows in results.selected.groupby(["strategy", "seed"]):
        labeled = rows.sort_values(["round", "rank"])["row"].to_numpy()
        clf = LateFusionClassifier(C=0.1).fit(pool[labeled], y_pool[labeled], classes=[0, 1, 2])
        row = results.frame.set_index(["strategy", "seed", "round"]).loc[(*key, 3)]
        by_modality = clf.score_by_modality(test, y_test)
        assert row["accuracy"] == pytest.approx(by_modality["fused"])
        assert row["accuracy_a"] == pytest.approx(by_modality["a"])
        assert row["accuracy_b"] == pytest.approx(by_modality["b"])
        assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y_test, clf.predict(test)))
        has_a = presence_mask(test)[:, 0]
        predicted_a = clf.predict_proba_by_modality(test)["a"].argmax(axis=1)
        assert row["balanced_accuracy_a"] == pytest.approx(balanced_accuracy_score(y_test[has_a], predicted_a[has_a]))
        shares = clf.modality_contributions(test, y_test).mean(axis=0)
        assert row[["contribution_a", "contribution_b"]].tolist() == pytest.approx(shares.tolist(), abs=1e-6)
        probabilities = clf.predict_proba(test)
        assert row["ece"] == pytest.approx(brute_force_ece(probabilities, y_test), abs=1e-6)
        assert row["shapley_imbalance"] == pytest.approx(brute_force_imbalance(clf, test, y_test))
        rest = pool[np.setdiff1d(np.arange(250), labeled)]
        contributions = clf.modality_contributions(rest)
        for m, modality in enumerate("ab"):
            dominated = contributions[contributions[:, m] > contributions[:, 1 - m]]
            expected = balance_weights(dominated)[:, 1 - m].mean()
            assert row[f"weaker_weight_{modality}"] == pytest.approx(expected, abs=1e-6)


def brute_force_ece(probabilities, y):
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    total = 0.0
    for b in range(32):
        inside = (confidence > b / 32) & (confidence <= (b + 1) / 32)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def brute_force_imbalance(clf, X, y):
    """|φ_a − φ_b| = |v(a) − v(b)| for two modalities, with the other one's features zero."""

    def accuracy(kept):
        blocks = {name: block if name == kept else np.zeros_like(block) for name, block in X.blocks.items()}
        blocks = {name: np.where(np.isnan(block), 0.0, block) for name, block in blocks.items()}
        return (clf.predict(MultimodalArray(blocks)) == y).mean()

    return abs(accuracy("a") - accuracy("b"))


def test_ece_edges():
    assert expected_calibration_error([1.0, 1.0], [True, True]) == 0
    assert expected_calibration_error([0.0], [True]) == 1
    # 0.5 closes the 16th bin, just above opens the 17th: the gaps do not cancel
    assert expected_calibration_error([0.5, 0.51], [True, False]) == pytest.approx((0.5 + 0.51) / 2)
    assert expected_calibration_error([0.5, 0.49], [True, False]) == pytest.approx(0.01 / 2)


def test_class_accuracies(results, data):
    _, y = data
    table = results.classes
    assert table["label"].unique().tolist() == [0, 1, 2]
    counts = np.bincount(y[250:])
    merged = table.groupby(["strategy", "seed", "round"])["accuracy"].apply(lambda a: (a * counts).sum() / counts.sum())
    expected = results.frame.set_index(["strategy", "seed", "round"])["accuracy"]
    pd.testing.assert_series_equal(merged, expected.sort_index(), check_exact=False)


def test_queries_are_the_strategies_own(results, data):
    X, y = data
    rows = results.selected.query("strategy == 'bmmal' and seed == 1")
    labeled = rows[rows["round"] < 2].sort_values(["round", "rank"])["row"].to_numpy()
    clf = LateFusionClassifier(C=0.1).fit(X[:250][labeled], y[labeled], classes=[0, 1, 2])
    pool = np.setdiff1d(np.arange(250), labeled)
    strategy = BMMAL(random_state=random_seed("query", "bmmal", 1, 2, "random_state"))
    assert pool[strategy.query(clf, X[pool], 8)].tolist() == rows[rows["round"] == 2]["row"].tolist()


def test_a_unit_does_not_depend_on_its_company(run, results):
    alone = run(strategies="margin", seeds=[2])
    whole = reproducible(results).query("strategy == 'margin' and seed == 2").reset_index(drop=True)
    pd.testing.assert_frame_equal(reproducible(alone), whole, check_exact=True)


@pytest.mark.parametrize("options", [{"n_jobs": 2}, {"n_jobs": 2, "verbose": 1}])
def test_same_numbers_for_any_n_jobs(run, results, options):
    again = run(seeds=3, **options)
    pd.testing.assert_frame_equal(reproducible(again), reproducible(results), check_exact=True)
    pd.testing.assert_frame_equal(again.selected, results.selected)
    pd.testing.assert_frame_equal(again.classes, results.classes, check_exact=True)


def test_global_random_state_and_arguments_are_left_alone(run):
    estimator, strategy = LateFusionClassifier(random_state=3), BMMAL(random_state=7)
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is watched
    first = run(estimator=estimator, strategies={"x": strategy}, n_rounds=1)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert strategy.random_state == 7
    assert estimator.random_state == 3
    assert not hasattr(estimator, "classes_")
    # the seed rules, not the strategy's own random state
    second = run(estimator=estimator, strategies={"x": BMMAL(random_state=8)}, n_rounds=1)
    pd.testing.assert_frame_equal(first.selected, second.selected)


@pytest.mark.parametrize("initial", ["kmeans", "core_set", KMeansSampling(max_iter=5), RandomSampling()])
def test_initial(run, initial):
    found = run(initial=initial, n_rounds=0, seeds=[4], strategies=["margin", "random"])
    rows = found.selected.groupby("strategy")["row"].apply(list)
    assert rows["margin"] == rows["random"]
    assert len(set(rows["margin"])) == 12
    assert found.frame["round"].tolist() == [0, 0]


def test_any_classifier(run, data):
    X, y = data
    matrix = np.nan_to_num(np.asarray(X))
    found = run(
        estimator=make_pipeline(StandardScaler(), LogisticRegression()),
        X=matrix[:250],
        X_test=pd.DataFrame(matrix[250:]).to_numpy(),
        y=np.array(["no", "so", "yes"])[y[:250]],
        y_test=np.array(["no", "so", "yes"])[y[250:]],
        strategies=["badge", "coreset"],
        scoring={"loss": "neg_log_loss", "f1": "f1_macro"},
    )
    assert found.modalities == []
    assert found.frame["accuracy"].between(0.4, 1).all()
    assert (found.frame["loss"] < 0).all()
    assert found.frame["f1"].between(0, 1).all()
    assert found.classes["label"].unique().tolist() == ["no", "so", "yes"]
    assert "contribution_a" not in found.frame


def test_pipeline_of_ours_measures_everything(run, data):
    X, _ = data
    matrix, widths = np.asarray(X), X.modalities
    pipeline = make_pipeline(ModalityScaler(widths), LateFusionClassifier(widths))
    found = run(estimator=pipeline, X=matrix[:250], X_test=matrix[250:], n_rounds=1, seeds=1)
    assert found.modalities == ["a", "b"]
    blocks = make_pipeline(ModalityScaler(), LateFusionClassifier())
    same = run(estimator=blocks, n_rounds=1, seeds=1)
    pd.testing.assert_frame_equal(reproducible(found), reproducible(same))
    mapping = run(
        estimator=blocks, n_rounds=1, seeds=1, X=dict(X[:250].blocks), X_test=dict(X[250:].blocks), strategies=["bmmal"]
    )
    assert reproducible(mapping)["accuracy"].tolist() == reproducible(same)["accuracy"].tolist()[:2]


def test_stochastic_training_is_reproducible(run):
    estimator = LateFusionClassifier(encoder_dim=4, max_iter=3)
    options = {"estimator": estimator, "n_rounds": 1, "strategies": ["margin", "random"]}
    one, two = run(**options), run(**options, n_jobs=2)
    pd.testing.assert_frame_equal(reproducible(one), reproducible(two), check_exact=True)
    first = reproducible(one).query("round == 0")
    assert first.query("strategy == 'margin'")["ece"].tolist() == first.query("strategy == 'random'")["ece"].tolist()


def test_first_batch_may_miss_classes(run, data):
    X, y = data
    order = np.argsort(y[:250], kind="stable")

    class FirstRows(QueryStrategy):
        requires_model = False

        def _select(self, pool, labelled, n_instances, rng):
            return np.arange(n_instances), np.zeros(n_instances)

    found = run(X=X[:250][order], y=y[:250][order], initial=FirstRows())
    assert found.frame.query("round == 0")["accuracy"].iloc[0] == pytest.approx((y[250:] == 0).mean())


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"n_initial": 0}, ValueError, "n_initial must be at least 1, got 0"),
        ({"n_instances": 2.5}, TypeError, "n_instances must be an integer"),
        ({"n_rounds": 40}, ValueError, "need 332 rows to label, X has 250"),
        ({"seeds": []}, ValueError, "seeds must be distinct and not empty"),
        ({"seeds": [1, 1]}, ValueError, "seeds must be distinct"),
        ({"seeds": "3"}, TypeError, "seeds must be a number"),
        ({"strategies": []}, ValueError, "strategies is empty"),
        ({"strategies": ["bmmal", "BMMAL"]}, ValueError, "'bmmal' twice"),
        ({"strategies": ["nonsense"]}, ValueError, "unknown strategy 'nonsense'"),
        ({"strategies": {"x": 3}}, TypeError, r"strategies\['x'\]"),
        ({"strategies": [3]}, TypeError, "QueryStrategy or its name, got 3"),
        ({"initial": "margin"}, ValueError, "needs a fitted model"),
        ({"scoring": {"accuracy": "f1_macro"}}, ValueError, "'accuracy' is the name of a column"),
        ({"y": np.zeros(3)}, ValueError, "X has 250 rows, y has 3"),
        ({"y": np.where(np.arange(250) == 7, np.nan, 0.0)}, ValueError, "y is missing in row 7"),
        ({"X_test": np.zeros((150, 3))}, ValueError, "X has 10 columns, X_test has 3"),
    ],
)
def test_bad_arguments(run, changes, error, words):
    with pytest.raises(error, match=words):
        run(**changes)


def test_progress_in_lines_without_rich(run, capsys, monkeypatch):
    import builtins

    real = builtins.__import__

    def without_rich(name, *args, **kwargs):
        if name.startswith("rich"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_rich)
    run(verbose=1, n_rounds=0, strategies=["random"])
    assert "1/2 units of strategy × seed" in capsys.readouterr().err


def test_mmcsal_chooses_round_zero(run, data):
    """Every strategy of a seed starts from the rows that MMCSAL picks without labels."""
    strategy = MMCSAL(max_iter=20)
    results = run(initial=strategy, strategies=["margin", "random"], n_rounds=1)
    again = run(initial="random", strategies=["margin"], n_rounds=1)
    first = {
        key: group["row"].tolist() for key, group in results.selected.query("round == 0").groupby(["strategy", "seed"])
    }
    assert first["margin", 0] == first["random", 0]
    assert first["margin", 0] != first["margin", 1]  # the seeds differ
    others = again.selected.query("round == 0 and seed == 0")["row"].tolist()
    assert set(first["margin", 0]) != set(others)
    seed = random_seed("initial", "mmcsal", 0, "random_state")
    expected = MMCSAL(max_iter=20, random_state=seed).query(None, data[0][:250], 12)
    assert first["margin", 0] == expected.tolist()
