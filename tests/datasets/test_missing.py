"""Missing rates hold although no row is empty."""

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from skmmal.datasets import make_multimodal_classification
from skmmal.datasets._missing import _tilted_presence, draw_missing, rates_by_class

N = 20_000
FEASIBLE = [
    (0.3, 0.3),
    (0.5, 0.5),  # exactly one modality in every row
    (0.8, 0.2),
    (0.9, 0.05),
    (0.0, 1.0),
    (1.0, 0.0),
    (0.4,) * 3,
    (0.6, 0.7, 0.65),
    (2 / 3,) * 3,
    (0.5, 0.5, 1.0),
    (0.0, 0.5, 0.0, 0.9),
    (0.05, 0.3, 0.6, 0.9, 0.9),
]


def rates_of(values):
    return dict(zip("abcdef", values, strict=False))


def four_standard_deviations(rates, n=N):
    return 4 * np.sqrt(np.maximum(rates * (1 - rates), 1e-9) / n) + 1e-6


@pytest.mark.parametrize("pattern", ["random", "class"])
@pytest.mark.parametrize("values", FEASIBLE)
def test_rates_hold_and_no_row_is_empty(values, pattern):
    y = np.arange(N) % 4
    missing = draw_missing(rates_of(values), pattern, y, 4, np.random.RandomState(0))
    assert missing.shape == (N, len(values))
    assert not missing.all(axis=1).any()
    rates = np.array(values)
    assert (np.abs(missing.mean(axis=0) - rates) <= four_standard_deviations(rates)).all()


@pytest.mark.parametrize("values", [values for values in FEASIBLE if max(values) < 1 and min(values) > 0])
def test_random_pattern_is_independence_given_that_no_row_is_empty(values):
    """Brute force: all 2^M patterns but the empty one, each with the product of its odds."""
    rates = np.array(values)
    missing = draw_missing(rates_of(values), "random", np.zeros(N, dtype=int), 2, np.random.RandomState(1))
    present = _tilted_presence(rates)
    patterns = np.array([p for p in product([False, True], repeat=len(values)) if not all(p)])
    weights = np.where(patterns, 1 - present, present).prod(axis=1)
    weights /= weights.sum()
    np.testing.assert_allclose(weights @ patterns, rates, atol=1e-6)
    found = np.array([(missing == pattern).all(axis=1).sum() for pattern in patterns])
    assert found.sum() == N
    often = weights * N >= 10
    observed, expected = np.append(found[often], found[~often].sum()), weights * N
    expected = np.append(expected[often], expected[~often].sum())
    possible = expected > 1e-6
    assert observed[~possible].sum() == 0
    assert chisquare(observed[possible], expected[possible]).pvalue > 1e-3


@pytest.mark.parametrize("values", [(0.3, 0.0), (0.2, 0.0, 0.7)])
def test_where_a_modality_is_always_there_the_others_are_independent(values):
    np.testing.assert_allclose(_tilted_presence(np.array(values)), 1 - np.array(values))


@pytest.mark.filterwarnings("error")
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.integers(2, 7))
@example([1.0, 0.7, 0.3], 2)
@example([0.0, 1.0], 2)
def test_rates_by_class_average_to_the_rates_and_stay_feasible(values, n_classes):
    rates = np.array(values)
    most = len(rates) - 1
    if rates.sum() > most:
        rates *= most / rates.sum()
    table = rates_by_class(rates, n_classes)
    np.testing.assert_allclose(table.mean(axis=0), rates, atol=1e-12)
    assert table.min() >= -1e-12
    assert table.max() <= 1 + 1e-12
    assert (table.sum(axis=1) <= most + 1e-9).all()
    fractional = (rates > 1e-6) & (rates < 1 - 1e-6)
    if fractional.any() and most - rates.sum() > 1e-6:
        assert np.ptp(table, axis=0).max() > 0


def test_class_pattern_depends_on_the_class_and_random_does_not():
    settings = {"missing": {"a": 0.3, "b": 0.3}, "n_classes": 3, "random_state": 0}
    by_pattern = {}
    for pattern in ("random", "class"):
        bunch = make_multimodal_classification(9000, missing_pattern=pattern, **settings)
        gone = ~bunch.present
        by_pattern[pattern] = np.array([gone[bunch.target == code].mean(axis=0) for code in range(3)])
    np.testing.assert_allclose(by_pattern["random"], 0.3, atol=0.04)
    np.testing.assert_allclose(by_pattern["class"], [[0.0, 0.6], [0.3, 0.3], [0.6, 0.0]], atol=0.04)


@pytest.mark.parametrize("pattern", ["b-only", "b"])
def test_only_pattern_leaves_just_that_modality(pattern):
    bunch = make_multimodal_classification(
        4000, {"a": 2, "b": 2, "c": 2}, missing={"a": 0.4, "c": 0.4}, missing_pattern=pattern, random_state=0
    )
    assert bunch.present[:, 1].all()
    incomplete = ~bunch.present.all(axis=1)
    assert abs(incomplete.mean() - 0.4) < 0.03
    assert (bunch.present[incomplete] == [False, True, False]).all()


def test_only_pattern_nests_unequal_rates():
    bunch = make_multimodal_classification(
        4000, {"a": 2, "b": 2, "c": 2}, missing={"a": 0.2, "c": 0.5}, missing_pattern="b-only", random_state=0
    )
    gone = ~bunch.present
    np.testing.assert_allclose(gone.mean(axis=0), [0.2, 0, 0.5], atol=0.03)
    assert gone[gone[:, 0], 2].all()


@pytest.mark.parametrize("values", [(0.6, 0.5), (0.7, 0.7, 0.7), (0.1,)])
@pytest.mark.parametrize("pattern", ["random", "class"])
def test_infeasible_rates_are_refused(values, pattern):
    with pytest.raises(ValueError, match=r"missing rates .* add up to"):
        draw_missing(rates_of(values), pattern, np.arange(10) % 2, 2, np.random.RandomState(0))


def test_rate_near_the_limit_is_exact():
    rates = np.array([0.5, 0.5 - 1e-7])
    present = _tilted_presence(rates)
    empty = np.prod(1 - present)
    np.testing.assert_allclose(((1 - present) - empty) / (1 - empty), rates, atol=1e-6)
