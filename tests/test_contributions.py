"""Shapley values, contributions and weights: the paper's own numbers, brute force, axioms."""

from itertools import permutations

import numpy as np
import pytest
from scipy.special import softmax

from skmmal.contributions import (
    balance_weights,
    contributions,
    dominance,
    linear_coalition_value,
    shapley_values,
)


def partials(reference):
    z1, z2, W = reference["z1"], reference["z2"], reference["W"]
    share = 1.0 if reference["fusion"] == "concat" else 0.5
    intercept = reference["b"] if reference["fusion"] == "concat" else (reference["b"] + reference["b2"]) / 2
    return [share * z1 @ W[:, :6].T, share * z2 @ W[:, 6:].T], intercept


def test_the_papers_own_values(reference):
    partial, intercept = partials(reference)
    np.testing.assert_allclose(softmax(sum(partial) + intercept, axis=1), reference["probs"], atol=1e-12)
    target = reference["probs"].argmax(axis=1)
    phi = shapley_values(linear_coalition_value(partial, intercept, target), 2)
    np.testing.assert_allclose(phi, np.column_stack([reference["shapley1"], reference["shapley2"]]), atol=1e-12)
    share = contributions(phi)
    expected = np.column_stack([reference["contribution1"], reference["contribution2"]])
    np.testing.assert_allclose(share, expected, atol=1e-10)
    weights = balance_weights(share)
    np.testing.assert_allclose(weights, np.column_stack([reference["weight1"], reference["weight2"]]), atol=1e-10)
    np.testing.assert_allclose(dominance(share), np.abs(expected[:, 0] - expected[:, 1]), atol=1e-10)


def by_permutations(value, n_modalities):
    """Shapley values as the mean marginal contribution over all orders of arrival."""
    orders = list(permutations(range(n_modalities)))
    phi = 0
    for order in orders:
        present = np.zeros(n_modalities, dtype=bool)
        before = value(present)
        gains = np.zeros((len(before), n_modalities))
        for m in order:
            present = present.copy()
            present[m] = True
            after = value(present)
            gains[:, m] = after - before
            before = after
        phi = phi + gains
    return phi / len(orders)


@pytest.mark.parametrize("n_modalities", [1, 2, 3, 5])
def test_equal_to_the_mean_over_orders(n_modalities):
    rng = np.random.default_rng(n_modalities)
    table = {c: rng.standard_normal(7) for c in np.ndindex(*(2,) * n_modalities)}
    calls = []

    def value(present):
        calls.append(tuple(present))
        return table[tuple(present.astype(int))]

    phi = shapley_values(value, n_modalities)
    assert len(calls) == len(set(calls)) == 2**n_modalities
    np.testing.assert_allclose(phi, by_permutations(value, n_modalities), atol=1e-12)
    everything, nothing = table[(1,) * n_modalities], table[(0,) * n_modalities]
    np.testing.assert_allclose(phi.sum(axis=1), everything - nothing, atol=1e-12)


def test_null_player_and_symmetry():
    phi = shapley_values(lambda s: np.array([float(s[0] and s[1])]), 3)
    np.testing.assert_allclose(phi, [[0.5, 0.5, 0.0]])


def test_linear_coalition_value_is_the_softmax_of_the_kept_parts():
    rng = np.random.default_rng(0)
    partial, intercept = [rng.standard_normal((9, 4)) for _ in range(3)], rng.standard_normal(4)
    target = rng.integers(0, 4, 9)
    value = linear_coalition_value(partial, intercept, target)
    for present in np.ndindex(2, 2, 2):
        logits = intercept + sum((p for p, kept in zip(partial, present, strict=True) if kept), np.zeros((9, 4)))
        expected = softmax(logits, axis=1)[np.arange(9), target]
        np.testing.assert_allclose(value(np.array(present, dtype=bool)), expected, atol=1e-14)


def test_contributions_of_nothing_and_of_absent_modalities():
    np.testing.assert_array_equal(contributions(np.zeros((2, 4))), np.full((2, 4), 0.25))
    present = np.array([[True, False], [True, True], [False, True]])
    np.testing.assert_array_equal(contributions(np.zeros((3, 2)), present), [[1, 0], [0.5, 0.5], [0, 1]])
    np.testing.assert_allclose(contributions([[0.2, 0.1]], [[True, False]]), [[1, 0]])
    tiny = contributions([[5e-324, -5e-324], [1e-320, 3e-320]])
    np.testing.assert_allclose(tiny.sum(axis=1), 1)
    np.testing.assert_allclose(tiny[0], [0.5, 0.5])


def test_weights_of_more_than_two_modalities():
    share = np.array([[0.6, 0.3, 0.1]])
    np.testing.assert_allclose(balance_weights(share), [[1.0, 0.7, 0.5]])
    np.testing.assert_allclose(dominance(share), [0.5])
    np.testing.assert_array_equal(balance_weights(np.ones((2, 1))), np.ones((2, 1)))
    np.testing.assert_array_equal(dominance(np.ones((2, 1))), np.zeros(2))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: shapley_values(lambda s: np.zeros(2), 0), "at least 1"),
        (lambda: shapley_values(lambda s: np.zeros((2, 2)), 2), "must return shape"),
        (lambda: contributions([1.0, 2.0]), "phi must have shape"),
        (lambda: contributions([[1.0, np.nan]]), "not finite in row 0"),
        (lambda: contributions([[1.0, 2.0]], [[True]]), "present has shape"),
        (lambda: balance_weights([0.5]), "contributions must have shape"),
    ],
)
def test_helpful_errors(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: shapley_values(lambda s: np.zeros(2), 30), "at most 20"),  # a billion coalitions: it would never end
        (lambda: shapley_values(lambda s: np.zeros(1 + s.sum()), 2), "returned 1 rows first, then 2"),
        (lambda: shapley_values(lambda s: np.array([np.nan]), 2), "must be finite"),
        (lambda: linear_coalition_value([np.zeros((2, 3))], np.zeros(3), np.array([0, 3])), "target must hold"),
        (lambda: linear_coalition_value([np.zeros((2, 3))], np.zeros(2), np.array([0, 0])), "intercept shape"),
        (lambda: linear_coalition_value([], np.zeros(2), np.array([0])), "partial_logits is empty"),
    ],
)
def test_what_is_no_game_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize("values", ["a", None, [["x"]], [[1 + 2j]], [[{}]]], ids=repr)
def test_what_is_no_number_is_named(values):
    for function, argument in ((contributions, "phi"), (balance_weights, "contributions")):
        with pytest.raises((TypeError, ValueError), match=f"^{argument} must"):
            function(values)


def test_logits_at_the_ends_of_the_range():
    value = linear_coalition_value([np.array([[1.5e308, -1.5e308]])], np.zeros(2), np.array([0]))
    assert value(np.array([True])) == 1
