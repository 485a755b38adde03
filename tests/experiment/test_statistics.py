"""Statistics against brute force, closed forms and scikit-posthocs."""

import itertools

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

from skmmal.experiment import (
    ExperimentResults,
    UnfinishedWarning,
    area_under_curve,
    average_ranks,
    common_range,
    compare,
    critical_difference,
    friedman,
    labels_saved,
    labels_to_reach,
    pairwise_matrix,
)
from skmmal.experiment._statistics import holm


def make_frame(values, step=10):
    """Tidy frame of values (strategy, seed, round); strategies are named a, b, c, ..."""
    rows = [
        {"strategy": "abcdefgh"[s], "seed": seed, "round": r, "n_labeled": step * (r + 1), "accuracy": value}
        for (s, seed, r), value in np.ndenumerate(values)
    ]
    return pd.DataFrame(rows)


def random_frame(seed, n_strategies=4, n_seeds=5, n_rounds=7):
    rng = np.random.default_rng(seed)
    values = rng.normal(0.7, 0.03, (n_strategies, n_seeds, n_rounds)) + 0.01 * np.arange(n_strategies)[:, None, None]
    values[:, :, 0] = values[:1, :, 0]  # the first round is shared
    return make_frame(values), values


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_pairwise_matrix_is_brute_force(seed, confidence):
    frame, values = random_frame(seed)
    expected = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            for r in range(1, 7):
                test = stats.ttest_rel(values[i, :, r], values[j, :, r]) if i != j else None
                if test is not None and test.pvalue < 1 - confidence and test.statistic > 0:
                    expected[i, j] += 1 / 6
    found = pairwise_matrix(frame.sample(frac=1, random_state=seed), confidence=confidence)
    assert expected.sum() > 0
    np.testing.assert_allclose(found.loc[list("abcd"), list("abcd")], expected)


def test_pairwise_matrix_edges():
    same = np.full((2, 3, 4), 0.5)
    assert (pairwise_matrix(make_frame(same)).to_numpy() == 0).all()
    # equal differences in every seed: no spread, a certain win, in three of the three rounds that are not shared
    better = same.copy()
    better[0, :, 1:] = 0.75
    assert pairwise_matrix(make_frame(better)).to_numpy().tolist() == [[0, 1], [0, 0]]
    # a missing value is no win
    better[0, 1, 2] = np.nan
    assert pairwise_matrix(make_frame(better)).to_numpy() == pytest.approx(np.array([[0, 2 / 3], [0, 0]]))


# what a run that is killed, or still going on, leaves: (strategy, seed) -> rounds that are there
UNFINISHED = {
    "a strategy": ({("b", seed): 4 for seed in range(5)}, [0, 1, 2, 3, 4], 4),
    "a strategy's last seeds": ({("d", 3): 0, ("d", 4): 0}, [0, 1, 2], 7),
    "a seed half-way": ({("d", 3): 2, ("d", 4): 0}, [0, 1, 2], 7),
    "a seed of one, another of another": ({("a", 0): 1, ("b", 4): 0}, [1, 2, 3], 7),
    "a seed of all": ({(name, 4): 3 for name in "abcd"}, [0, 1, 2, 3], 7),
    "few rounds more than seeds": ({(name, seed): 6 for name in "abcd" for seed in (1, 2, 3)}, [0, 1, 2, 3, 4], 6),
}


def cut(frame, lengths):
    for (name, seed), n in lengths.items():
        frame = frame[(frame["strategy"] != name) | (frame["seed"] != seed) | (frame["round"] < n)]
    return frame


@pytest.mark.parametrize("case", UNFINISHED)
def test_unfinished_runs_are_compared_on_what_all_have(case):
    """Every statistic is that of the frame cut by hand to the rounds and seeds that all strategies have."""
    whole, _ = random_frame(3)
    lengths, seeds, n_rounds = UNFINISHED[case]
    frame = cut(whole, lengths)
    by_hand = whole[whole["seed"].isin(seeds) & (whole["round"] < n_rounds)]
    part, sentence = common_range(frame.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(part.sort_index(), by_hand)
    assert f"rounds 0 to {n_rounds - 1} (of 6) with the seeds {seeds}" in sentence
    results = ExperimentResults(frame, None, None, {})
    expected = ExperimentResults(by_hand, None, None, {})
    for question in (
        lambda found: pairwise_matrix(found.frame),
        lambda found: area_under_curve(found.frame),
        lambda found: labels_to_reach(found.frame, 0.72),
        lambda found: labels_saved(found.frame, 0.72, baseline="a"),
        lambda found: compare(found.frame, baseline="a"),
        lambda found: found.summary(baseline="a"),
        lambda found: found.pairwise_matrix(),
        lambda found: found.area_under_curve(),
    ):
        with pytest.warns(UnfinishedWarning, match="not all runs have ended"):
            answered = question(results)
        pd.testing.assert_frame_equal(answered, question(expected))


def test_a_frame_that_is_whole_is_its_own_common_range():
    frame, _ = random_frame(0)
    part, sentence = common_range(frame)
    assert part is frame
    assert sentence == ""


def test_strategies_without_a_common_seed_are_not_compared():
    frame, _ = random_frame(0)
    frame = frame[(frame["strategy"] == "a") == (frame["seed"] < 2)]
    assert common_range(frame)[0].empty
    with pytest.warns(UnfinishedWarning, match="share no seed"):
        assert area_under_curve(frame)["mean"].isna().all()
    with pytest.warns(UnfinishedWarning, match="share no seed"):
        assert ExperimentResults(frame, None, None, {}).summary()["final"].isna().all()
    with pytest.warns(UnfinishedWarning), pytest.raises(ValueError, match="two seeds"):
        pairwise_matrix(frame)


def test_a_misspelt_metric_or_baseline_is_answered_with_the_nearest():
    frame, _ = random_frame(0)
    for question in (pairwise_matrix, area_under_curve):
        with pytest.raises(ValueError, match=r"metric 'accurcy' was not measured; .* Did you mean 'accuracy'\?"):
            question(frame, metric="accurcy")
    with pytest.raises(ValueError, match="Did you mean 'random'"):
        compare(frame.replace("a", "random"), baseline="randon")


def test_pairwise_matrix_sums_over_experiments():
    one, two = random_frame(1)[0], random_frame(2)[0]
    total = pairwise_matrix([one, two])
    pd.testing.assert_frame_equal(total, pairwise_matrix(one) + pairwise_matrix(two))
    with pytest.raises(ValueError, match="different strategies"):
        pairwise_matrix([one, two[two["strategy"] != "a"]])
    with pytest.raises(ValueError, match="as a list"):
        pairwise_matrix(pd.concat([one, two]))
    with pytest.raises(ValueError, match="two seeds"):
        pairwise_matrix(one[one["seed"] == 0])
    with pytest.raises(ValueError, match="metric 'nonsense' was not measured"):
        pairwise_matrix(one, metric="nonsense")


def test_area_under_curve():
    frame, values = random_frame(3)
    area = area_under_curve(frame.sample(frac=1, random_state=0)).loc[list("abcd")]
    # equal steps: the mean height, the ends counting half
    weights = np.array([0.5, 1, 1, 1, 1, 1, 0.5]) / 6
    np.testing.assert_allclose(area["mean"], (values @ weights).mean(axis=1))
    np.testing.assert_allclose(area["standard_error"], (values @ weights).std(axis=1, ddof=1) / np.sqrt(5))
    assert area["n_seeds"].tolist() == [5] * 4
    uneven = make_frame(np.array([[[0.0, 1.0, 1.0]]]))
    uneven["n_labeled"] = [10, 20, 50]
    assert area_under_curve(uneven)["mean"].item() == pytest.approx((5 + 30) / 40)
    assert area_under_curve(uneven[:1])["mean"].item() == 0


def test_labels():
    values = np.array([[[0.2, 0.4, 0.8], [0.5, 0.6, 0.7]], [[0.2, 0.3, 0.5], [0.2, 0.3, 0.4]]])
    frame = make_frame(values)
    needed = labels_to_reach(frame, 0.5)
    assert needed["a"].tolist() == pytest.approx([22.5, 10])
    assert needed["b"].tolist() == pytest.approx([30, np.nan], nan_ok=True)
    saved = labels_saved(frame, 0.5, baseline="b")
    assert saved.loc["a"].tolist() == pytest.approx([16.25, 1, 0.25, 1])
    assert saved.loc["b"].tolist() == pytest.approx([30, 0.5, 0, 1])
    both = labels_saved(make_frame(np.array([[[0.0, 1, 1], [0.0, 0, 1]], [[0.0, 0, 1], [0.0, 0, 1]]])), 1, baseline="b")
    assert both.loc["a", "saved"] == pytest.approx(1 - (20 + 30) / (30 + 30))
    assert np.isnan(labels_saved(frame, 0.75, baseline="b").loc["a", "saved"])  # b never reaches it
    with pytest.raises(ValueError, match="baseline 'random'"):
        labels_saved(frame, 0.5)


def test_compare():
    frame, values = random_frame(4, n_seeds=8)
    found = compare(frame, baseline="a")
    weights = np.array([0.5, 1, 1, 1, 1, 1, 0.5]) / 6
    areas = values @ weights
    assert found.index.tolist() == list("bcd")
    for i, name in enumerate("bcd", start=1):
        difference = areas[i] - areas[0]
        row = found.loc[name]
        assert row["difference"] == pytest.approx(difference.mean())
        assert row["low"] < row["difference"] < row["high"]
        assert row["t_pvalue"] == pytest.approx(stats.ttest_rel(areas[i], areas[0]).pvalue)
        assert row["wilcoxon_pvalue"] == pytest.approx(stats.wilcoxon(areas[i], areas[0]).pvalue)
        assert row[["wins", "ties", "losses"]].tolist() == [(difference > 0).sum(), 0, (difference < 0).sum()]
    assert (found["holm_pvalue"] >= found["t_pvalue"]).all()
    pd.testing.assert_frame_equal(found, compare(frame, baseline="a"))


def test_compare_without_spread():
    values = np.array([[[0.5, 0.5]] * 3, [[0.5, 0.5]] * 3, [[0.75, 0.75]] * 3])
    found = compare(make_frame(values), baseline="a")
    assert found["t_pvalue"].tolist() == [1, 0]
    assert found[["wins", "ties", "losses"]].to_numpy().tolist() == [[0, 3, 0], [3, 0, 0]]


def test_holm():
    # Holm 1979 by hand: sorted p times 4, 3, 2, 1, made monotone, capped
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]


def test_ranks_and_critical_difference():
    scores = pd.DataFrame(np.random.default_rng(0).normal(size=(12, 5)), columns=list("abcde"))
    brute_force = [[1 + sum(other > score for other in row) for score in row] for row in scores.to_numpy()]
    expected = pd.Series(np.mean(brute_force, axis=0), index=list("abcde")).sort_values()
    pd.testing.assert_series_equal(average_ranks(scores), expected)
    # Demšar 2006, table 5: q at 0.05 is 1.960 for two classifiers, 2.728 for five, 3.164 for ten
    for k, q in ((2, 1.960), (5, 2.728), (10, 3.164)):
        assert critical_difference(k, 6) == pytest.approx(q * np.sqrt(k * (k + 1) / 36), abs=2e-3)
    # the pairs that Nemenyi's test of scikit-posthocs tells apart are those farther apart than the difference
    scores["a"] += 2
    p = scikit_posthocs.posthoc_nemenyi_friedman(scores.to_numpy()).to_numpy()
    ranks = average_ranks(scores)[list("abcde")].to_numpy()
    apart = np.abs(ranks[:, None] - ranks) > critical_difference(5, 12)
    assert (apart == (p < 0.05)).all()
    assert apart.any()
    assert friedman(scores) == pytest.approx(stats.friedmanchisquare(*scores.to_numpy().T).pvalue)
    with pytest.raises(ValueError, match="NaN"):
        average_ranks(scores.where(scores > 0))
    with pytest.raises(ValueError, match="3 strategies"):
        friedman(scores[["a", "b"]])


def test_summary(results):
    table = results.summary()
    last = results.frame.query("round == 3").groupby("strategy")["accuracy"]
    assert table["final"].to_dict() == pytest.approx(last.mean().to_dict())
    assert table["area"].to_dict() == pytest.approx(results.area_under_curve()["mean"].to_dict())
    target = last.mean()["random"]
    assert table["labels"].to_dict() == pytest.approx(
        labels_to_reach(results.frame, target).mean().to_dict(), nan_ok=True
    )
    pd.testing.assert_frame_equal(
        results.pairwise_matrix(confidence=0.8), pairwise_matrix(results.frame, "accuracy", 0.8)
    )
    assert "saved" not in results.summary(baseline="none").columns
    with pytest.raises(ValueError, match="was not measured"):
        results.summary("nonsense")


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda frame: pairwise_matrix(frame, confidence="a"), TypeError, "confidence must be a number"),
        (lambda frame: pairwise_matrix(3), TypeError, "frames must be"),
        (lambda frame: compare(frame.drop(columns="seed")), ValueError, "no column 'seed'"),
        (lambda frame: compare(frame.drop(columns="n_labeled")), ValueError, "no column 'n_labeled'"),
        (lambda frame: compare(frame[:0]), ValueError, "frame is empty"),
        (lambda frame: compare(pd.concat([frame, frame])), ValueError, "twice"),
        (lambda frame: compare(frame.astype({"accuracy": str})), TypeError, "must hold numbers"),
        (lambda frame: labels_to_reach(frame, np.nan), ValueError, "target must be finite"),
        (lambda frame: average_ranks(None), TypeError, "scores must be a DataFrame"),
        (lambda frame: friedman(pd.DataFrame({"a": ["x"]})), TypeError, "scores must be a DataFrame of numbers"),
        (lambda frame: critical_difference(None, 3), TypeError, "n_strategies must be an integer"),
        (lambda frame: critical_difference(3, 3, np.nan), ValueError, "confidence must be finite"),
    ],
)
def test_wrong_arguments_are_named(call, error, match):
    rows = [(name, seed, 0, 10, 0.5) for name in ("a", "random") for seed in range(2)]
    frame = pd.DataFrame(rows, columns=["strategy", "seed", "round", "n_labeled", "accuracy"])
    with pytest.raises(error, match=match):
        call(frame)


def test_equal_scores_are_no_difference():
    assert friedman(pd.DataFrame({"a": [0.5, 0.7], "b": [0.5, 0.7], "c": [0.5, 0.7]})) == 1.0


@pytest.mark.parametrize("n_seeds", [2, 5, 9])
def test_signed_ranks_are_exact_with_ties_and_without(n_seeds):
    """Against every assignment of signs."""
    rng = np.random.default_rng(n_seeds)
    for draw in range(20):
        difference = rng.integers(-3, 4, n_seeds) / 100 if draw % 2 else rng.standard_normal(n_seeds)
        moved = difference[difference != 0]
        if not len(moved) or np.ptp(difference) == 0:
            continue
        ranks = stats.rankdata(abs(moved))
        sums = np.array([ranks @ signs for signs in itertools.product([0, 1], repeat=len(moved))])
        observed = ranks @ (moved > 0)
        expected = min(1.0, 2 * min((sums <= observed).mean(), (sums >= observed).mean()))
        frame = pd.DataFrame(
            {"strategy": np.repeat(["a", "random"], n_seeds), "seed": [*range(n_seeds)] * 2, "round": 0,
             "n_labeled": 10, "accuracy": [*difference, *np.zeros(n_seeds)]}
        )  # fmt: skip
        assert compare(frame)["wilcoxon_pvalue"]["a"] == pytest.approx(expected)
