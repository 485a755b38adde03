"""Whole groups, costs and budgets, beside plain loops over the groups."""

import numpy as np
import pandas as pd
import pytest
from samples import make_blocks, quick_strategy
from sklearn.linear_model import Ridge

from skmmal import ActiveLearner, LateFusionClassifier, MultimodalArray
from skmmal._random import check_rng
from skmmal._registry import ENTRIES
from skmmal.query import (
    BADGE,
    MVOPT,
    CoreSet,
    MarginSampling,
    MaxHerding,
    PowerBALD,
    RandomSampling,
    UHerding,
    get_strategy,
)
from skmmal.reading import read_with_labels
from skmmal.selection import unit_rows
from skmmal.selection._k_means import cluster
from skmmal.selection._units import Limits, Scores, Units, choose_units

ENTRIES = [entry for entry in ENTRIES if entry.kind == "strategy"]
SERVING = [entry.name for entry in ENTRIES if entry.groups]
REFUSING = [entry.name for entry in ENTRIES if not entry.groups]
DETERMINISTIC = ["coreset", "dcom", "entropy", "kmeans", "label-cardinality", "least-confidence", "margin", "maxherding", "mmc", "mvopt", "tcm", "typiclust", "uherding"]
WAYS = ["sum", "mean", "best"]


def strategy(name, seed=0, **params):
    return quick_strategy(name, seed, **params)


@pytest.fixture(scope="module")
def problem():
    """A fitted classifier, a pool some of whose rows lack a modality, labelled rows, groups and costs."""
    blocks, y = make_blocks(n=100, missing=0.2, seed=3)
    X = MultimodalArray(blocks)
    rng = np.random.default_rng(0)
    groups = np.array([f"patient {number}" for number in rng.integers(0, 14, size=60)])
    return LateFusionClassifier().fit(X[:40], y[:40]), X[40:], (X[:40], y[:40]), groups, rng.integers(1, 6, size=60) / 2


def in_groups(rows, groups):
    """The groups in the order in which they come; every one has to be whole and in one piece."""
    names = pd.unique(groups[rows])
    expected = np.concatenate([np.flatnonzero(groups == name) for name in names])
    np.testing.assert_array_equal(rows, expected)
    return list(names)


def worth_of(values, way):
    return {"sum": np.sum, "mean": np.mean, "best": np.max}[way](values)


# ------------------------------------------------------------------------------------------------- common to all


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SERVING)
def test_whole_groups_are_picked(name, way, problem):
    clf, pool, (X, y), groups, _ = problem
    arguments = {"X_labeled": X, "y_labeled": y, "groups": groups, "group_score": way}
    rows, scores = strategy(name).query(clf, pool, 4, **arguments, return_scores=True)
    assert len(in_groups(rows, groups)) == 4
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    np.testing.assert_array_equal(rows, strategy(name).query(clf, pool, 4, **{**arguments, "groups": pd.Series(groups)}))
    everything = strategy(name).query(clf, pool, len(set(groups)), **arguments)
    assert sorted(everything.tolist()) == list(range(60))
    # the groups' names do not matter
    np.testing.assert_array_equal(rows, strategy(name).query(clf, pool, 4, **{**arguments, "groups": [name[::-1] for name in groups]}))


@pytest.mark.parametrize("name", SERVING)
def test_limits_are_kept(name, problem):
    clf, pool, (X, y), groups, costs = problem
    labeled = {"X_labeled": X, "y_labeled": y}
    rows = strategy(name).query(clf, pool, None, **labeled, groups=groups, max_samples=13)
    in_groups(rows, groups)
    assert len(rows) <= 13
    left = [size for name, size in zip(*np.unique(groups, return_counts=True), strict=True) if name not in set(groups[rows])]
    assert len(rows) + min(left) > 13
    rows = strategy(name).query(clf, pool, None, **labeled, costs=costs, budget=11.5)
    assert costs[rows].sum() <= 11.5 < costs[rows].sum() + np.delete(costs, rows).min()
    rows = strategy(name).query(clf, pool, 5, **labeled, costs=costs, budget=11.5)
    assert len(rows) <= 5
    assert costs[rows].sum() <= 11.5
    rows = strategy(name).query(clf, pool, 3, **labeled, groups=groups, costs=costs, budget=30.0)
    assert 1 <= len(in_groups(rows, groups)) <= 3
    assert costs[rows].sum() <= 30.0


@pytest.mark.parametrize("name", SERVING)
def test_candidates_of_a_group_are_picked(name, problem):
    clf, pool, (X, y), groups, _ = problem
    candidates = np.arange(60) % 3 > 0
    rows = strategy(name).query(clf, pool, 4, X_labeled=X, y_labeled=y, groups=groups, candidates=candidates)
    chosen = pd.unique(groups[rows])
    assert len(chosen) == 4
    np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(np.isin(groups, chosen) & candidates))


@pytest.mark.parametrize("on", ["text", "all"])
@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES if entry.groups and entry.on])
def test_groups_by_head(name, on, problem):
    clf, pool, (X, y), groups, _ = problem
    lacking = np.isnan(pool.blocks["text"]).all(axis=1)
    groups = np.where(lacking & (np.arange(60) % 2 == 0), "without", groups)
    n_groups = len(set(groups))
    arguments = {"X_labeled": X, "y_labeled": y, "groups": groups}
    assert len(in_groups(strategy(name, on=on).query(clf, pool, 3, **arguments), groups)) == 3
    order = in_groups(strategy(name, on=on).query(clf, pool, n_groups, **arguments), groups)
    if on == "text":  # the head has no say in a group without any
        assert order[-1] == "without"
    rows = strategy(name, on=on).query(clf, pool, None, **arguments, max_samples=10)
    in_groups(rows, groups)
    assert len(rows) <= 10


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_groups_of_one_row_and_equal_costs_change_nothing(name, problem):
    clf, pool, (X, y), _, _ = problem
    labeled = {"X_labeled": X, "y_labeled": y}
    expected = strategy(name).query(clf, pool, 12, **labeled)
    np.testing.assert_array_equal(strategy(name).query(clf, pool, 12, **labeled, groups=np.arange(60)[::-1]), expected)
    np.testing.assert_array_equal(strategy(name).query(clf, pool, 12, **labeled, costs=np.full(60, 2.5)), expected)
    np.testing.assert_array_equal(strategy(name).query(clf, pool, 12, **labeled, costs=np.zeros(60)), expected)
    np.testing.assert_array_equal(
        strategy(name).query(clf, pool, None, **labeled, costs=np.full(60, 2.5), budget=30.0), expected
    )


@pytest.mark.parametrize("name", REFUSING)
@pytest.mark.parametrize("asked", [{"groups": np.arange(60)}, {"costs": np.ones(60)}, {"max_samples": 5}])
def test_the_others_refuse_and_say_who_serves(name, asked, problem):
    clf, pool, (X, y), _, _ = problem
    with pytest.raises(ValueError, match=r"serves neither groups nor costs, budget or max_samples; these do: auto, badge, .*uherding"):
        strategy(name).query(clf, pool, 3, X_labeled=X, y_labeled=y, **asked)


# ------------------------------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize("way", WAYS)
def test_scores_of_rows_make_those_of_groups(way, problem):
    clf, pool, _, groups, costs = problem
    p = np.sort(clf.predict_proba(pool), axis=1)
    above = 1 - (p[:, -1] - p[:, -2])
    names = np.unique(groups)
    worth = {name: worth_of(above[groups == name], way) for name in names}
    rows, scores = MarginSampling().query(clf, pool, 14, groups=groups, group_score=way, return_scores=True)
    order = in_groups(rows, groups)
    assert order == sorted(worth, key=worth.get, reverse=True)
    np.testing.assert_allclose(scores, [worth[name] for name in groups[rows]])
    spent = {name: costs[groups == name].sum() for name in names}
    rows = MarginSampling().query(clf, pool, 14, groups=groups, group_score=way, costs=costs)
    assert in_groups(rows, groups) == sorted(worth, key=lambda name: worth[name] / spent[name], reverse=True)


@pytest.mark.parametrize("cls", [MaxHerding, UHerding])
@pytest.mark.parametrize("way", WAYS)
def test_coverage_by_groups(cls, way, problem):
    clf, pool, (X, y), groups, costs = problem
    chosen = cls(random_state=0) if cls is MaxHerding else cls(calibrate=False, random_state=0)
    points = unit_rows(np.nan_to_num(np.hstack(list(clf.embed(pool).values()))))
    known = unit_rows(np.nan_to_num(np.hstack(list(clf.embed(X).values()))))
    kernel = np.exp(-((points[:, None] - points) ** 2).sum(axis=2))
    covered = np.exp(-((known[:, None] - points) ** 2).sum(axis=2)).max(axis=0)
    p = np.sort(clf.predict_proba(pool), axis=1)
    weights = np.ones(60) if cls is MaxHerding else 1 - (p[:, -1] - p[:, -2])
    for by_cost in (False, True):
        now, left, order = covered.copy(), list(np.unique(groups)), []
        for _ in range(6):
            worth = {}
            for name in left:
                own = np.flatnonzero(groups == name)
                alone = [weights @ np.maximum(kernel[row] - now, 0) for row in own]
                together = weights @ np.maximum(kernel[own].max(axis=0) - now, 0)
                worth[name] = {"sum": together, "mean": together / len(own), "best": max(alone)}[way]
                worth[name] /= costs[own].sum() if by_cost else 1
            order.append(max(worth, key=worth.get))
            left.remove(order[-1])
            now = np.maximum(now, kernel[groups == order[-1]].max(axis=0))
        rows = chosen.query(
            clf, pool, 6, X_labeled=X, y_labeled=y, groups=groups, group_score=way, costs=costs if by_cost else None
        )
        assert in_groups(rows, groups) == order


@pytest.mark.parametrize("way", WAYS)
def test_balls_by_groups(way):
    rng = np.random.default_rng(1)
    X, groups = rng.standard_normal((50, 3)), rng.integers(0, 10, size=50)
    X_labeled = rng.standard_normal((3, 3))
    points, known = unit_rows(X), unit_rows(X_labeled)
    near = ((points[:, None] - points) ** 2).sum(axis=2) < 0.5**2
    covered = (((known[:, None] - points) ** 2).sum(axis=2) < 0.5**2).any(axis=0)
    rows = get_strategy("probcover", radius=0.5, random_state=0).query(
        None, X, 5, X_labeled=X_labeled, groups=groups, group_score=way
    )
    left = set(range(10))
    for name in in_groups(rows, groups):
        worth = {}
        for other in left:
            own = groups == other
            together = (near[own].any(axis=0) & ~covered).sum()
            worth[other] = {"sum": together, "mean": together / own.sum(), "best": (near[own] & ~covered).sum(axis=1).max()}[way]
        assert worth[name] == max(worth.values())
        left.remove(name)
        covered |= near[groups == name].any(axis=0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fisher", ["full", "trace"])
def test_fisher_information_of_groups_is_the_plain_loop(fisher, way, problem):
    clf, pool, (X, y), groups, costs = problem
    p, known_p = clf.predict_proba(pool), clf.predict_proba(X)
    z, known_z = (read_with_labels(clf, each).head.layer_features for each in (pool, X))

    def information(probabilities, points):
        found = []
        for q, point in zip(probabilities, points, strict=True):
            block = np.diag(q) - np.outer(q, q)
            found.append(np.kron(block, np.outer(point, point)) if fisher == "full" else np.trace(block) * np.outer(point, point))
        return np.array(found)

    own, known = information(p, z), information(known_p, known_z).sum(axis=0)
    # as many rows as four groups of mean size have
    n_rows = round(4 * 60 / len(set(groups)))
    target, share = own.mean(axis=0), n_rows / (len(X) + n_rows)
    now, left = 2.0 * np.eye(len(target)) + known / (len(X) + n_rows), list(pd.unique(groups))
    order, gains = [], []
    for _ in range(4):
        before, worth = np.trace(np.linalg.solve(now, target)), {}
        for name in left:
            rows = np.flatnonzero(groups == name)
            together = before - np.trace(np.linalg.solve(now + share * own[rows].sum(axis=0), target))
            best = max(before - np.trace(np.linalg.solve(now + share * own[row], target)) for row in rows)
            worth[name] = {"sum": together, "mean": together / len(rows), "best": best}[way]
        order.append(max(worth, key=lambda name: worth[name] / costs[groups == name].sum()))
        gains.append(worth[order[-1]])
        left.remove(order[-1])
        now = now + share * own[groups == order[-1]].sum(axis=0)
    strategy_ = get_strategy("bait", fisher=fisher, regularization=2.0, n_directions=None)
    rows, scores = strategy_.query(
        clf, pool, 4, X_labeled=X, y_labeled=y, groups=groups, group_score=way, costs=costs, return_scores=True
    )
    assert in_groups(rows, groups) == order
    np.testing.assert_allclose(scores[np.unique(groups[rows], return_index=True)[1]], [gains[order.index(name)] for name in sorted(order)], rtol=1e-6)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["kmeans", "typiclust"])
def test_clusters_in_turn_take_the_group_that_is_worth_most(name, way):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(90, 3)) + np.array([[30.0, 1, 0], [39, 10, 9], [21, -8, -9]])[rng.integers(0, 3, size=90)]
    groups = rng.integers(0, 12, size=90)
    costs = rng.integers(1, 5, size=90).astype(float)
    points = unit_rows(X) if name == "typiclust" else X
    chosen = get_strategy(name, random_state=7, **({"n_neighbors": 4} if name == "typiclust" else {}))
    labels, centers = cluster(points, 5, check_rng(7))
    sizes = np.bincount(labels, minlength=5)
    turns = list(range(5)) if name == "kmeans" else sorted(range(5), key=lambda c: (-sizes[c], c))
    stages = [turns] if name == "kmeans" else [[c for c in turns if sizes[c] >= 6], [c for c in turns if sizes[c] < 6]]
    distance = np.linalg.norm(points - centers[labels], axis=1)
    left, order, at, there = set(range(12)), [], 0, np.ones(90, dtype=bool)
    for _ in range(5):
        assert any(labels[row] in stages[0] for row in np.flatnonzero(there))
        while not (there & (labels == stages[0][at % len(stages[0])])).any():
            at += 1
        own = stages[0][at % len(stages[0])]
        at += 1
        values = np.zeros(90)
        for row in np.flatnonzero(there & (labels == own)):
            if name == "kmeans":
                values[row] = 1 / (1 + distance[row] / distance.mean())
                continue
            others = np.linalg.norm(points[there & (labels == own)] - points[row], axis=1)
            near = np.sort(others)[1 : 1 + min(4, max(1, sizes[own] // 2))]
            values[row] = 1 / (near.mean() + 1e-5) if len(near) else 1.0
        worth = {each: worth_of(values[groups == each], way) / costs[groups == each].sum() for each in left}
        first = list(pd.unique(groups))
        order.append(max(sorted(left, key=first.index), key=worth.get))
        left.remove(order[-1])
        there &= groups != order[-1]
    rows = chosen.query(None, X, 5, groups=groups, group_score=way, costs=costs)
    assert in_groups(rows, groups) == order


@pytest.mark.parametrize("way", WAYS)
def test_margins_and_balls_by_groups(way, problem):
    clf, pool, (X, y), groups, costs = problem
    X, y = X[:4], y[:4]
    dcom = get_strategy("dcom", radius=0.4, max_radius=0.5, center=0.3, steepness=4.0, random_state=0)
    found = dcom._setting(*(lambda reading: (reading, reading.labelled))(read_with_labels(clf, pool, X, y)), 5, check_rng(0))
    assert 0.05 < found.share < 0.95
    points = unit_rows(np.nan_to_num(np.hstack(list(clf.embed(pool).values()))))
    near = ((points[:, None] - points) ** 2).sum(axis=2) < found.radius**2
    covered, left, order = found.covered.copy(), list(pd.unique(groups)), []
    for _ in range(5):
        degree, margin = {}, {}
        for name in left:
            own = groups == name
            together = (near[own].any(axis=0) & ~covered).sum()
            best = (near[own] & ~covered).sum(axis=1).max()
            degree[name] = {"sum": together, "mean": together / own.sum(), "best": best}[way]
            margin[name] = worth_of(found.uncertainty[own], way)
        worth = {
            name: (found.share * margin[name] / max(margin.values()) + (1 - found.share) * degree[name] / max(1e-300, *degree.values()))
            / costs[groups == name].sum()
            for name in left
        }
        order.append(max(left, key=worth.get))
        left.remove(order[-1])
        covered |= near[groups == order[-1]].any(axis=0)
    rows = dcom.query(clf, pool, 5, X_labeled=X, y_labeled=y, groups=groups, group_score=way, costs=costs)
    assert in_groups(rows, groups) == order


@pytest.mark.parametrize("way", WAYS)
def test_core_set_of_groups_is_the_plain_loop(way):
    rng = np.random.default_rng(2)
    X, groups, known = rng.standard_normal((40, 4)), rng.integers(0, 9, size=40), rng.standard_normal((2, 4))
    rows = CoreSet().query(None, X, 6, X_labeled=known, groups=groups, group_score=way)
    centers, left, order = known, set(range(9)), []
    for _ in range(6):
        distance = np.sqrt(((X[:, None] - centers) ** 2).sum(axis=2)).min(axis=1)
        order.append(max(sorted(left), key=lambda name: worth_of(distance[groups == name], way)))
        left.remove(order[-1])
        centers = np.vstack([centers, X[groups == order[-1]]])
    assert in_groups(rows, groups) == order


@pytest.mark.parametrize("way", WAYS)
def test_d2_sampling_draws_groups_in_proportion(way, problem):
    clf, pool, _, _, _ = problem
    few, groups, costs = pool[:9], np.array([0, 1, 1, 2, 2, 2, 3, 3, 3]), np.array([1.0, 2, 1, 1, 1, 3, 1, 1, 1])
    embedding = BADGE().embedding(clf, few)
    gram = embedding.inner(np.arange(9), np.arange(9))
    norms = np.diag(gram)
    worth = np.array([worth_of(norms[groups == name], way) for name in range(4)])
    spent = np.array([costs[groups == name].sum() for name in range(4)])
    first = int(np.argmax(worth / spent))
    distances = (norms[:, None] + norms - 2 * gram)[:, groups == first].min(axis=1)
    mass = np.array([worth_of(distances[groups == name], way) for name in range(4)]) / spent
    mass[first] = 0
    expected = mass / mass.sum()
    seen = np.zeros(4)
    for seed in range(600):
        rows = BADGE(random_state=seed).query(clf, few, 2, groups=groups, group_score=way, costs=costs)
        names = in_groups(rows, groups)
        assert names[0] == first
        seen[names[1]] += 1
    others = expected > 0
    statistic = ((seen - 600 * expected)[others] ** 2 / (600 * expected[others])).sum()
    assert seen[~others].sum() == 0
    assert statistic < 13.8  # chi-square with 2 degrees of freedom, 0.1 %


def test_groups_are_drawn_as_said():
    groups = np.repeat([0, 1, 2], [1, 2, 7])
    seen = np.bincount([groups[RandomSampling(random_state=seed).query(None, np.zeros((10, 1)), 1, groups=groups)[0]] for seed in range(900)])
    assert ((seen - 300) ** 2 / 300).sum() < 13.8  # uniformly, whatever the size
    units = Units(groups, 3)
    law = Scores(units.of_rows(np.full(10, 0.5)), drawn=True)
    seen = np.bincount([choose_units(law, units, Limits(1), random_state=seed)[0][0] for seed in range(900)])
    expected = np.array([90, 180, 630])
    assert ((seen - expected) ** 2 / expected).sum() < 13.8


def test_power_bald_without_a_power_is_random_by_size(problem):
    clf, pool, (X, y), groups, _ = problem
    rows = PowerBALD(beta=0, random_state=0).query(clf, pool, 14, X_labeled=X, y_labeled=y, groups=groups, return_scores=True)
    np.testing.assert_array_equal(rows[1], [np.sum(groups == groups[row]) for row in rows[0]])


def test_what_costs_nothing_comes_first_and_what_does_not_fit_is_passed_over():
    units = Units(np.arange(5), 5)
    scores = Scores(np.array([4.0, 1.0, 9.0, 0.0, 2.0]))
    costs = np.array([2.0, 0.0, 5.0, 0.0, 1.0])
    assert choose_units(scores, units, Limits(), costs)[0] == [1, 0, 4, 2, 3]
    assert choose_units(scores, units, Limits(budget=4.0), costs)[0] == [1, 0, 4, 3]
    assert choose_units(scores, units, Limits(budget=0.0), costs)[0] == [1, 3]
    rows = CoreSet().query(None, np.array([[0.0], [1.0], [5.0], [9.0]]), 3, X_labeled=[[0.0]], costs=[0, 0, 1, 8], budget=8)
    assert rows.tolist() == [1, 2, 0]  # 1 is free and away from 0; then 4 for 1 beats 8 for 8, which does not fit any more


def test_a_first_row_brings_its_group(problem):
    clf, pool, _, groups, _ = problem
    rows = BADGE(first=7, random_state=0).query(clf, pool, 2, groups=groups)
    assert in_groups(rows, groups)[0] == groups[7]
    firsts = {groups[BADGE(first="random", random_state=s).query(clf, pool, 1, groups=groups)[0]] for s in range(20)}
    assert len(firsts) > 5


# ------------------------------------------------------------------------------------------------- learner, errors


def test_a_learner_asks_for_groups(problem):
    clf, pool, (X, y), groups, costs = problem
    learner = ActiveLearner(LateFusionClassifier(), get_strategy("margin"), X, y)
    rows, instances = learner.query(pool, n_instances=3, groups=groups, group_score="mean", costs=costs, budget=40.0)
    expected = MarginSampling().query(learner.estimator, pool, 3, groups=groups, group_score="mean", costs=costs, budget=40.0)
    np.testing.assert_array_equal(rows, expected)
    assert len(instances) == len(rows)
    learner = ActiveLearner(LateFusionClassifier(), get_strategy("margin"), initial="random")
    in_groups(learner.query(pool, n_instances=3, groups=groups)[0], groups)
    rows, scores = MarginSampling()(learner_of(clf), pool, 2, groups=groups)
    assert len(rows) == len(scores)


def learner_of(clf):
    return ActiveLearner(clf)


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"groups": ["a", "b"]}, r"groups must hold one group for each of the 60 rows of X_pool, found shape \(2,\)"),
        ({"groups": [None] + ["a"] * 59}, r"groups is missing in row 0 \(1 such rows\); a row of no group is one by itself"),
        ({"groups": np.zeros((60, 2))}, "found shape"),
        ({"groups": np.zeros(60), "group_score": "median"}, "group_score must be one of .'sum', 'mean', 'best'., got 'median'"),
        ({"groups": np.arange(60) % 2}, "n_instances=3, but there are 2 groups to pick from"),
        ({"costs": np.ones(3)}, "costs has 3 entries, X_pool 60 rows"),
        ({"costs": -np.ones(60)}, r"costs is -1.0 in row 0 \(60 such rows\); a cost is a finite number"),
        ({"costs": np.full(60, np.nan)}, "costs is nan in row 0"),
        ({"budget": 3.0}, "budget is in the unit of costs, and costs is not given; a limit on rows is max_samples"),
        ({"costs": np.ones(60), "budget": -1}, "budget must be"),
        ({"costs": np.ones(60), "budget": 0.5}, "nothing fits: .* the cheapest costs 1; .*budget=0.5"),
        ({"max_samples": 0}, "max_samples"),
        ({"groups": np.zeros(60), "max_samples": 5, "n_instances": 1}, "nothing fits: the smallest of the 1 groups has 60 rows"),
        ({"n_instances": None}, "neither budget nor max_samples says how many"),
        ({"groups": pd.Series(np.zeros(60), index=range(60, 0, -1)), "X": pd.DataFrame(np.zeros((60, 2)), index=range(1, 61))}, "groups"),
    ],
)
def test_helpful_errors(asked, match, problem):
    X = asked.get("X", np.zeros((60, 2)))
    arguments = {"n_instances": 3, **{name: value for name, value in asked.items() if name != "X"}}
    with pytest.raises(ValueError, match=match):
        RandomSampling().query(None, X, **arguments)


# --------------------------------------------------------------------------------------------------- regressors


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES if not entry.needs_model])
def test_strategies_without_a_model_serve_a_regressor(name):
    rng = np.random.default_rng(0)
    X = MultimodalArray({"a": rng.standard_normal((40, 3)), "b": rng.standard_normal((40, 2))})
    y = np.asarray(X) @ np.arange(5.0)
    learner = ActiveLearner(Ridge(), strategy(name), np.asarray(X)[:10], y[:10])
    rows, instances = learner.query(np.asarray(X)[10:], n_instances=4)
    assert len(set(rows.tolist())) == 4
    # a fitted regressor tells a strategy no more than no model does
    alone = strategy(name).query(None, np.asarray(X)[10:], 4, X_labeled=np.asarray(X)[:10], y_labeled=y[:10])
    np.testing.assert_array_equal(rows, alone)
    learner.teach(instances, y[10:][rows])
    assert learner.predict(np.asarray(X)[10:]).shape == (30,)


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES if entry.needs_model])
def test_strategies_that_need_a_classifier_refuse_a_regressor(name):
    X = np.random.default_rng(0).standard_normal((30, 3))
    with pytest.raises(TypeError, match=r"goes by the probabilities of a classifier, .* these need no model: auto, coregcn, .*uherding"):
        strategy(name).query(Ridge().fit(X, X[:, 0]), X, 3)


def test_a_start_with_a_regressor():
    X = np.random.default_rng(0).standard_normal((60, 3))
    learner = ActiveLearner(Ridge(), "coreset", initial=RandomSampling(random_state=0))
    rows, instances = learner.query(X, n_instances=5)
    np.testing.assert_array_equal(rows, RandomSampling(random_state=0).query(None, X, 5))
    learner.teach(instances, X[rows, 0])
    rows, _ = learner.query(X, n_instances=5)
    np.testing.assert_array_equal(rows, CoreSet().query(None, X, 5, X_labeled=learner.X_training))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("approximation", ["exact", "fourier"])
def test_variance_of_groups_is_the_plain_loop(approximation, way, problem):
    """The fall of the pool's variance by all rows of a group, from the posterior written out."""
    clf, pool, (X, y), groups, costs = problem
    labeled = {"X_labeled": X, "y_labeled": y}
    chosen = MVOPT(kernel_approximation=approximation, n_components=64, random_state=0)
    _, of_process, given = chosen._rows_of_process(
        *(lambda reading: (reading, reading.labelled))(read_with_labels(clf, pool, X, y)), np.random.RandomState(0), None
    )
    weights, known = given["weights"], given["labelled"]
    if approximation == "exact":
        prior, cross = of_process, given["cross"]
    else:
        of_process, known = of_process.astype(float), known.astype(float)
        prior, cross, known = of_process @ of_process.T, of_process @ known.T, known @ known.T
    prior = prior - cross @ np.linalg.solve(known + 0.1 * np.eye(len(known)), cross.T)

    def left_after(rows):
        of_rows = prior[:, rows]
        return prior - of_rows @ np.linalg.solve(prior[np.ix_(rows, rows)] + 0.1 * np.eye(len(rows)), of_rows.T)

    def variance(rows):
        return weights @ left_after(rows).diagonal()

    for by_cost in (False, True):
        picked, left, order = np.empty(0, dtype=int), list(pd.unique(groups)), []
        for _ in range(5):
            worth = {}
            for name in left:
                own = np.flatnonzero(groups == name)
                together = variance(picked) - variance(np.append(picked, own))
                best = max(variance(picked) - variance(np.append(picked, row)) for row in own)
                worth[name] = {"sum": together, "mean": together / len(own), "best": best}[way]
                worth[name] /= costs[own].sum() if by_cost else 1
            order.append(max(worth, key=worth.get))
            left.remove(order[-1])
            picked = np.append(picked, np.flatnonzero(groups == order[-1]))
        arguments = {"groups": groups, "group_score": way, "costs": costs if by_cost else None}
        rows, scores = chosen.query(clf, pool, 5, **labeled, **arguments, return_scores=True)
        assert in_groups(rows, groups) == order
        if way == "sum":
            total = sum(scores[groups[rows] == name][0] for name in order)
            np.testing.assert_allclose(total, variance(np.empty(0, dtype=int)) - variance(picked), rtol=1e-5)


def test_groups_too_large_for_their_pairs_are_refused():
    X = np.random.default_rng(0).standard_normal((9000, 2))
    with pytest.raises(ValueError, match=r"the largest of the groups has 9000 rows: .* group_score='best'"):
        MVOPT(n_components=4).query(None, X, 1, groups=np.zeros(9000))
