"""Strategies pick from a sharded pool what they pick from the same rows in one place."""

import copy
from functools import partial

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from skmmal import LateFusionClassifier, ModalityScaler
from skmmal._registry import ENTRIES
from skmmal.distributed import ShardedPoints
from skmmal.query import BADGE, MVOPT, MarginSampling, _auto, get_strategy
from skmmal.query._sharpening import exponents
from skmmal.reading import read_with_labels
from skmmal.selection import d2_sampling

SERVING = [entry for entry in ENTRIES if entry.kind == "strategy" and entry.shards]
OTHERS = [entry for entry in ENTRIES if entry.kind == "strategy" and not entry.shards]
SETTINGS = {"mvopt": {"kernel_approximation": "fourier", "n_components": 64}, "bait": {"fisher": "trace"}}


@pytest.fixture(autouse=True)
def _random_features(monkeypatch):
    """Auto takes MVOPT as it is, which in one place is exact for a pool as small as this one."""
    monkeypatch.setattr(_auto, "MVOPT", partial(MVOPT, **SETTINGS["mvopt"]))


def named(entry):
    return entry.name


def strategy_of(entry, **params):
    strategy = get_strategy(entry.name, **SETTINGS.get(entry.name, {}), **params)
    if "random_state" in strategy.get_params():
        strategy.set_params(random_state=3)
    return strategy


def assert_same(strategy, problem, n_instances, n_workers=3, **options):
    with problem.pool(n_workers) as pool:
        found = strategy.query(problem.clf, pool, n_instances, return_scores=True, **options)
    expected = strategy.query(problem.clf, problem.X, n_instances, return_scores=True, **options)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("entry", SERVING, ids=named)
def test_the_rows_of_one_machine_in_their_order(entry, problem):
    labelled = {"X_labeled": problem.X_labeled, "y_labeled": problem.y_labeled}
    assert_same(strategy_of(entry), problem, 50, **labelled)


@pytest.mark.parametrize("name", ["auto", "mvopt", "uherding"])
def test_heads_that_are_flat(name, lacking):
    """They are sharpened, and Auto has half of the batch picked by UHerding."""
    flat = copy.copy(lacking)
    flat.clf = LateFusionClassifier(C=1e-3).fit(flat.X_labeled, flat.y_labeled)
    known = {"X_labeled": flat.X_labeled, "y_labeled": flat.y_labeled}
    assert max(exponents(read_with_labels(flat.clf, flat.X, *known.values()).labelled).values()) > 1
    strategy = get_strategy(name, **SETTINGS.get(name, {}), random_state=3)
    assert_same(strategy, flat, 20, **known)
    if name == "auto":
        mvopt = get_strategy("mvopt", **SETTINGS["mvopt"], random_state=3)
        assert set(strategy.query(flat.clf, flat.X, 20, **known)) != set(mvopt.query(flat.clf, flat.X, 20, **known))


@pytest.mark.parametrize("entry", SERVING, ids=named)
def test_among_candidates(entry, lacking):
    rows = np.flatnonzero(np.random.default_rng(0).random(len(lacking.X)) < 0.3)
    assert_same(strategy_of(entry), lacking, 20, candidates=rows, X_labeled=lacking.X_labeled, y_labeled=lacking.y_labeled)


@pytest.mark.parametrize("entry", [entry for entry in SERVING if not entry.needs_model], ids=named)
def test_a_cold_start(entry, lacking):
    strategy = strategy_of(entry)
    with lacking.pool(2) as pool:
        found = strategy.query(None, pool, 15)
    np.testing.assert_array_equal(found, strategy.query(None, lacking.X, 15))


@pytest.mark.parametrize("on", ["text", "all"])
@pytest.mark.parametrize("entry", [entry for entry in SERVING if entry.on], ids=named)
def test_on_other_heads(entry, on, lacking):
    labelled = {"X_labeled": lacking.X_labeled, "y_labeled": lacking.y_labeled}
    assert_same(strategy_of(entry, on=on), lacking, 30, **labelled)


def test_a_head_whose_rows_are_used_up_is_followed_by_the_fused_one(lacking):
    has_text = int((~np.isnan(lacking.X["text"]).all(axis=1)).sum())
    assert_same(MarginSampling(on="text"), lacking, has_text + 9)


@pytest.mark.parametrize("first", ["random", 0, 91, 259])
def test_the_first_row_of_a_batch(first, whole):
    assert_same(BADGE(first=first, random_state=0), whole, 12)
    if first == 91:
        assert_same(BADGE(first=first, random_state=0), whole, 12, candidates=np.arange(80, 120))
        assert_same(BADGE(first=first, random_state=0), whole, 12, candidates=np.arange(100, 140))


@pytest.mark.parametrize("entry", SERVING, ids=named)
def test_all_rows_can_be_picked(entry, lacking):
    strategy = strategy_of(entry)
    with lacking.pool(2) as pool:
        rows = strategy.query(lacking.clf, pool, len(pool), X_labeled=lacking.X_labeled, y_labeled=lacking.y_labeled)
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(lacking.X)))


@pytest.mark.parametrize("entry", OTHERS, ids=named)
def test_others_refuse_and_name_those_that_serve(entry, whole):
    with whole.pool() as pool, pytest.raises(TypeError, match="does not serve a ShardedPool.*; these do: auto, badge, "):
        get_strategy(entry.name).query(whole.clf, pool, 3)


@pytest.mark.parametrize("entry", SERVING, ids=named)
def test_groups_and_costs_need_the_rows_in_one_place(entry, whole):
    asked = [{"groups": np.arange(len(whole.X))}, {"costs": np.ones(len(whole.X))}, {"budget": 2.0}, {"max_samples": 4}]
    with whole.pool() as pool:
        for options in asked:
            with pytest.raises(ValueError, match=f"ShardedPool, from which rows are picked one by one .*; {next(iter(options))} asks"):
                strategy_of(entry).query(whole.clf, pool, 3, **options)


@pytest.mark.parametrize("entry", [entry for entry in SERVING if entry.needs_model], ids=named)
def test_a_regressor_is_refused_where_probabilities_count(entry, whole):
    regressor = Ridge().fit(np.nan_to_num(whole.X_labeled["text"]), np.arange(len(whole.X_labeled)))
    with whole.pool() as pool, pytest.raises(TypeError, match="goes by the probabilities of a classifier"):
        strategy_of(entry).query(regressor, pool, 3)


def test_a_model_that_is_not_fitted(whole):
    with whole.pool() as pool:
        with pytest.raises(NotFittedError, match="LateFusionClassifier is not fitted yet"):
            BADGE().query(LateFusionClassifier(), pool, 3)
        with pytest.raises(ValueError, match=r"steps cannot be fitted on the pool .* ModalityScaler\(\).fit\(pool\)"):
            BADGE().query(make_pipeline(ModalityScaler(), LateFusionClassifier()), pool, 3)


def test_d2_picks_have_the_law_of_one_at_a_time_sampling(whole):
    """Of few rows on uneven shards: all orders of three picks, against the textbook's probabilities."""
    few = np.array([0, 1, 2, 90, 95, 201])
    points = BADGE().embedding(whole.clf, whole.X[few])
    distances, norms = points.sq_distances().astype(np.float64), points.sq_norms()
    first = int(np.argmax(norms))
    second = distances[first] / distances[first].sum()
    expected = np.zeros((6, 6))
    for b in np.flatnonzero(second):
        nearest = np.minimum(distances[first], distances[b])
        expected[b] = second[b] * nearest / nearest.sum()
    counts, n_draws = np.zeros((6, 6)), 200
    mask = np.isin(np.arange(len(whole.X)), few)
    with whole.pool(2) as pool:
        shards = pool.read(whole.clf, candidates=mask).among_candidates()
        for seed in range(n_draws):
            at = d2_sampling(ShardedPoints(shards, BADGE()._points), 3, random_state=seed)
            assert at[0] == first
            counts[at[1], at[2]] += 1
    assert counts[expected == 0].sum() == 0
    possible = expected > 0
    chi2 = (np.square(counts - n_draws * expected)[possible] / (n_draws * expected[possible])).sum()
    assert chi2 < possible.sum() + 4 * np.sqrt(2 * possible.sum())
