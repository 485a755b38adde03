"""Shapley values, contributions and weights: the paper's own numbers, brute force, axioms."""

from itertools import permutations

import numpy as np
import pytest
from scipy.special import softmax

import skmmal._linear_coalitions
from skmmal.contributions import (
    balance_weights,
    contributions,
    dominance,
    linear_coalition_value,
    sampled_shapley_values,
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


# --------------------------------------------------------------------------------- linear heads, many coalitions


def linear_parts(n_modalities, n=11, n_classes=4, scale=2.0, seed=0):
    rng = np.random.default_rng(seed)
    partial = [scale * rng.standard_normal((n, n_classes)) for _ in range(n_modalities)]
    intercept = rng.standard_normal(n_classes)
    return partial, intercept, (sum(partial) + intercept).argmax(axis=1)


def by_softmax(partial, intercept, target):
    """The same game as a plain function: one softmax for each coalition."""
    rows = np.arange(len(target))

    def value(present):
        kept = [part for part, there in zip(partial, present, strict=True) if there]
        return softmax(sum(kept, np.zeros_like(partial[0])) + intercept, axis=1)[rows, target]

    return value


@pytest.mark.parametrize("n_modalities", [1, 2, 3, 6, 9])
def test_linear_heads_go_through_all_coalitions(n_modalities):
    parts = linear_parts(n_modalities)
    phi = shapley_values(linear_coalition_value(*parts), n_modalities)
    np.testing.assert_allclose(phi, shapley_values(by_softmax(*parts), n_modalities), atol=1e-14)


def test_absent_modalities_of_linear_heads_are_worth_exactly_nothing_in_every_permutation():
    partial, intercept, target = linear_parts(14)
    for part in (partial[0], partial[5], partial[13]):
        part[::2] = 0.0
    phi, error = sampled_shapley_values(linear_coalition_value(partial, intercept, target), 14, n_permutations=8, random_state=0)
    for values in (phi, error):
        assert (values[::2, [0, 5, 13]] == 0).all()
        assert (values[1::2] != 0).all()


@pytest.mark.parametrize("scale", [200.0, 1e5])
def test_logits_out_of_the_range_of_exponentials(scale):
    """On the way to a coalition a class may fall behind by more than exp can hold, and catch up."""
    partial, intercept, target = linear_parts(4, n=40, scale=scale)
    partial[1][:10] = -partial[0][:10]  # takes away all that the other says
    partial[2][:20] *= 1 / scale
    game = linear_coalition_value(partial, intercept, target)
    expected = shapley_values(by_softmax(partial, intercept, target), 4)
    phi = shapley_values(game, 4)
    np.testing.assert_allclose(phi, expected, atol=1e-12)
    estimate, _ = sampled_shapley_values(game, 4, n_permutations=4, random_state=0)
    same, _ = sampled_shapley_values(lambda present: game(present), 4, n_permutations=4, random_state=0)
    np.testing.assert_allclose(estimate, same, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_other_numbers_than_float64(dtype):
    partial, intercept, target = linear_parts(5)
    rounded = [part.astype(dtype) for part in partial]
    phi = shapley_values(linear_coalition_value(rounded, intercept.astype(dtype), target), 5)
    exact = [part.astype(np.float64) for part in rounded]
    np.testing.assert_allclose(phi, shapley_values(by_softmax(exact, intercept.astype(dtype), target), 5), atol=1e-12)


def test_blocks_of_rows_do_not_show(monkeypatch):
    parts = linear_parts(6, n=70)
    game = linear_coalition_value(*parts)
    phi, sampled = shapley_values(game, 6), sampled_shapley_values(game, 6, n_permutations=10, random_state=3)
    for elements in (1, 2000):
        monkeypatch.setattr(skmmal._linear_coalitions, "_BLOCK_ELEMENTS", elements)
        np.testing.assert_allclose(shapley_values(game, 6), phi, rtol=1e-13, atol=1e-15)
        again = sampled_shapley_values(game, 6, n_permutations=10, random_state=3)
        for values, expected in zip(again, sampled, strict=True):
            np.testing.assert_allclose(values, expected, rtol=1e-13, atol=1e-15)


# ---------------------------------------------------------------------------------------- sampled permutations


@pytest.mark.parametrize("linear", [True, False])
def test_estimates_lie_within_their_standard_errors(linear):
    """Thirteen modalities, against all 8192 coalitions."""
    parts = linear_parts(13, n=30, n_classes=5, scale=1.0)
    game = linear_coalition_value(*parts) if linear else by_softmax(*parts)
    exact = shapley_values(linear_coalition_value(*parts), 13)
    phi, error = sampled_shapley_values(game, 13, n_permutations=64, random_state=0)
    np.testing.assert_allclose(phi.sum(axis=1), exact.sum(axis=1), atol=1e-12)
    off = (phi - exact) / error
    assert np.abs(off).max() < 5
    assert 0.8 < np.sqrt((off**2).mean()) < 1.3  # neither too large nor too small
    more, smaller = sampled_shapley_values(game, 13, n_permutations=512, random_state=0)
    assert np.abs((more - exact) / smaller).max() < 5
    assert 0.8 < np.median(smaller / error) * np.sqrt(8) < 1.25


def test_pairs_of_permutations_by_hand():
    """The mean over the drawn permutations and their reverses, and the standard error of the pairs' means."""
    rng = np.random.default_rng(0)
    table = rng.standard_normal((2, 2, 2, 2, 6))
    calls = []

    def value(present):
        calls.append(tuple(present))
        return table[tuple(present.astype(int))]

    phi, error = sampled_shapley_values(value, 4, n_permutations=5, random_state=7)  # three pairs
    assert len(calls) == 6 * 3 + 2
    drawn = np.random.RandomState(7)
    pairs = []
    for _ in range(3):
        order, gains = drawn.permutation(4), np.zeros((6, 4))
        for way in (order, order[::-1]):
            for place, m in enumerate(way):
                before, after = np.zeros(4, dtype=int), np.zeros(4, dtype=int)
                before[way[:place]] = 1
                after[way[: place + 1]] = 1
                gains[:, m] += (table[tuple(after)] - table[tuple(before)]) / 2
        pairs.append(gains)
    np.testing.assert_allclose(phi, np.mean(pairs, axis=0), atol=1e-14)
    np.testing.assert_allclose(error, np.std(pairs, axis=0, ddof=1) / np.sqrt(3), atol=1e-14)


def test_games_whose_order_does_not_matter():
    worth = np.array([[1.0, -2.0, 0.5] * 5, [4.0] * 15])
    for value, expected in (
        (lambda present: worth @ present, worth),  # additive
        (lambda present: worth[:, 0] * present.sum() ** 2, np.outer(worth[:, 0], np.full(15, 15.0))),  # each pair cancels
    ):
        phi, error = sampled_shapley_values(value, 15, n_permutations=8, random_state=1)
        np.testing.assert_array_equal(phi, expected)
        np.testing.assert_array_equal(error, 0)
    two = [np.array([[2.0, 0.0]]), np.array([[0.0, 1.0]])]
    game = linear_coalition_value(two, np.zeros(2), np.array([0]))
    phi, error = sampled_shapley_values(game, 2, n_permutations=4)  # a pair of two modalities' orders is all there are
    np.testing.assert_allclose(phi, shapley_values(game, 2), atol=1e-15)
    np.testing.assert_allclose(error, 0, atol=1e-15)
    alone, error = sampled_shapley_values(lambda present: np.array([3.0 * present[0]]), 1)
    assert (alone, error) == (3, 0)


def test_only_the_seed_decides():
    game = linear_coalition_value(*linear_parts(16))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, error = sampled_shapley_values(game, 16, n_permutations=8, random_state=5)
    for seed in (5, np.random.RandomState(5)):
        again, error_again = sampled_shapley_values(game, 16, n_permutations=8, random_state=seed)
        np.testing.assert_array_equal(again, first)
        np.testing.assert_array_equal(error_again, error)
    other, _ = sampled_shapley_values(game, 16, n_permutations=8, random_state=6)
    assert (other != first).all()
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: sampled_shapley_values(lambda s: np.zeros(2), 0), ValueError, "n_modalities must be at least 1"),
        (lambda: sampled_shapley_values(lambda s: np.zeros(2), 2.0), TypeError, "n_modalities must be an integer"),
        (lambda: sampled_shapley_values(lambda s: np.zeros(2), 13, n_permutations=3), ValueError, "n_permutations must be at least 4"),
        (lambda: sampled_shapley_values(lambda s: np.zeros(2), 13, n_permutations=8.0), TypeError, "n_permutations must be an integer"),
        (lambda: sampled_shapley_values(lambda s: np.zeros(2), 13, random_state="a"), ValueError, "random_state must be"),
        (lambda: sampled_shapley_values(lambda s: np.zeros(1 + s.sum()), 13), ValueError, "returned 1 rows first, then 14"),
        (lambda: sampled_shapley_values(lambda s: np.full(1, np.nan), 13), ValueError, "must be finite"),
        (lambda: shapley_values(linear_coalition_value(*linear_parts(3)), 4), ValueError, "n_modalities is 4, but coalition_value has 3"),
    ],
)
def test_what_cannot_be_sampled(call, error, match):
    with pytest.raises(error, match=match):
        call()
