"""From coalition values to Shapley values, contributions, dominance and balance weights.

Pure functions on arrays; M is the number of modalities, n the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from math import factorial

import numpy as np

from skmmal._arrays import integer, numeric
from skmmal._linear_coalitions import LinearCoalitionValue, ValuesAlong
from skmmal._random import RandomState, check_rng

__all__ = [
    "balance_weights",
    "contributions",
    "dominance",
    "linear_coalition_value",
    "sampled_shapley_values",
    "shapley_values",
]

MOST_MODALITIES = 20
"""There are two to that power coalitions, each of them evaluated."""
EXACT_MODALITIES = 12
"""With more, estimators sample permutations unless they are told otherwise."""
PERMUTATIONS = 256
"""How many they then sample."""

CoalitionValue = Callable[[np.ndarray], np.ndarray]


def shapley_values(coalition_value: CoalitionValue, n_modalities: int) -> np.ndarray:
    """Exact Shapley values of a game between modalities.

    ``φ_m = Σ_{S ∌ m} |S|! (M − |S| − 1)! / M! · (v(S ∪ m) − v(S))``

    Parameters
    ----------
    coalition_value : callable
        Takes a boolean array of length M (which modalities are present) and returns the value of that coalition
        for every row, shape (n,). It is called once for each of the 2^M coalitions.
    n_modalities : int
        M, from 1 to 20.

    Returns
    -------
    ndarray of float64, shape (n, M)
        Each row sums to ``v(all) − v(none)``.

    References
    ----------
    .. [1] Shapley, "A value for n-person games", 1953.
    .. [2] Shen et al., "Towards balanced active learning for multimodal classification", ACM MM 2023
       (arXiv 2306.08306), section 3.

    Examples
    --------
    >>> import numpy as np
    >>> shapley_values(lambda present: np.array([10.0 * present[0] + 2.0 * present.all()]), 2)
    array([[11.,  1.]])
    """
    _check_n_modalities(n_modalities, coalition_value, MOST_MODALITIES)
    if isinstance(coalition_value, LinearCoalitionValue):
        return _from_all_coalitions(coalition_value)
    ways = _ways(n_modalities)
    phi: np.ndarray | None = None
    for coalition in product((False, True), repeat=n_modalities):
        present = np.array(coalition)
        size = int(present.sum())
        value = _value_of(coalition_value, present, None if phi is None else len(phi))
        if phi is None:
            phi = np.zeros((len(value), n_modalities))
        # v(S) is added for the members of S (S = T ∪ m) and taken off for the others
        if size > 0:
            phi[:, present] += ways[size - 1] * value[:, None]
        if size < n_modalities:
            phi[:, ~present] -= ways[size] * value[:, None]
    assert phi is not None  # there are at least two coalitions
    return phi


def sampled_shapley_values(
    coalition_value: CoalitionValue,
    n_modalities: int,
    *,
    n_permutations: int = PERMUTATIONS,
    random_state: RandomState = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Shapley values estimated from random orders in which the modalities join, and how far off they may be.

    A permutation gives every modality what it adds to those before it. Permutations are drawn in pairs, each with its
    reverse: a modality that comes early in one comes late in the other, so that what depends on its place cancels.

    Parameters
    ----------
    coalition_value : callable
        As for `shapley_values`. It is called ``n_permutations * (M - 1) + 2`` times, whatever 2^M is.
    n_modalities : int
        M, at least 1.
    n_permutations : int, default=256
        At least 4; an odd number is rounded up to whole pairs. The standard error falls with its square root.
    random_state : int, RandomState, Generator or None
        Draws the permutations, the same ones for all rows.

    Returns
    -------
    phi : ndarray of float64, shape (n, M)
        Each row sums to ``v(all) − v(none)``, as every single permutation does.
    standard_error : ndarray of float64, shape (n, M)
        Of `phi`, from the spread of the pairs' means. Zero where the order does not matter.

    References
    ----------
    .. [1] Castro, Gómez and Tejada, "Polynomial calculation of the Shapley value based on sampling", Computers &
       Operations Research 2009: sampling permutations.
    .. [2] Mitchell, Cooper, Frank and Holmes, "Sampling permutations for Shapley value estimation", JMLR 2022:
       antithetic sampling, a permutation and its reverse.

    Examples
    --------
    >>> import numpy as np
    >>> worth = np.arange(15.0)
    >>> phi, standard_error = sampled_shapley_values(lambda present: np.array([worth @ present]), 15, random_state=0)
    >>> bool(np.allclose(phi, worth)), float(standard_error.max())
    (True, 0.0)
    """
    _check_n_modalities(n_modalities, coalition_value)
    n_pairs = (integer(n_permutations, "n_permutations", 4) + 1) // 2
    rng = check_rng(random_state)
    orders = [rng.permutation(n_modalities) for _ in range(n_pairs)]
    if isinstance(coalition_value, LinearCoalitionValue):
        phi = np.empty((len(coalition_value), n_modalities))
        standard_error = np.empty_like(phi)
        for rows, values_of_rows in coalition_value.along_orders():
            phi[rows], standard_error[rows] = _mean_gains(orders, values_of_rows)
        return phi, standard_error
    nothing = _value_of(coalition_value, np.zeros(n_modalities, dtype=bool))
    everything = _value_of(coalition_value, np.ones(n_modalities, dtype=bool), len(nothing))

    def values_along(order: np.ndarray) -> Iterator[np.ndarray]:
        present = np.zeros(n_modalities, dtype=bool)
        yield nothing
        for m in order[:-1]:
            present[m] = True
            yield _value_of(coalition_value, present.copy(), len(nothing))
        yield everything

    return _mean_gains(orders, values_along)


def _check_n_modalities(n_modalities: int, coalition_value: CoalitionValue, most: int | None = None) -> None:
    integer(n_modalities, "n_modalities", 1)
    if most is not None and n_modalities > most:
        raise ValueError(
            f"n_modalities must be at most {most} (of 2**n_modalities coalitions each is evaluated), got "
            f"{n_modalities}; sampled_shapley_values takes more"
        )
    if isinstance(coalition_value, LinearCoalitionValue) and n_modalities != coalition_value.n_modalities:
        raise ValueError(f"n_modalities is {n_modalities}, but coalition_value has {coalition_value.n_modalities}")


def _value_of(coalition_value: CoalitionValue, present: np.ndarray, n_rows: int | None = None) -> np.ndarray:
    """The value of a coalition, checked."""
    value = numeric(coalition_value(present), f"coalition_value({present.tolist()})", finite=True)
    if value.ndim != 1:
        raise ValueError(f"coalition_value must return shape (n,), found {value.shape} for {present.tolist()}")
    if n_rows is not None and len(value) != n_rows:
        raise ValueError(f"coalition_value returned {n_rows} rows first, then {len(value)} for {present.tolist()}")
    return value


def _ways(n_modalities: int) -> list[float]:
    """Share of the orders in which a modality joins s given others, ``s! (M − s − 1)! / M!`` for s = 0 … M − 1."""
    return [factorial(s) * factorial(n_modalities - s - 1) / factorial(n_modalities) for s in range(n_modalities)]


def _from_all_coalitions(coalition_value: LinearCoalitionValue) -> np.ndarray:
    """Shapley values from tables of all coalitions."""
    n_modalities = coalition_value.n_modalities
    sizes = np.array([coalition.bit_count() for coalition in range(2**n_modalities)])
    # v(S) counts ways[|S| − 1] for its members, and −ways[|S|] for the others
    ways = np.array([0.0, *_ways(n_modalities), 0.0])
    as_member, as_other = ways[sizes], ways[sizes + 1]
    phi = np.empty((len(coalition_value), n_modalities))
    for rows, table in coalition_value.of_all_coalitions():
        others = (table * as_other).sum(axis=1)
        table *= as_member + as_other
        for m in range(n_modalities):
            # the lowest bit says whether m is a member; once that is counted, coalitions with and without m add up
            table = table.reshape(len(table), -1, 2)
            phi[rows, m] = table[:, :, 1].sum(axis=1) - others
            table = table[:, :, 0] + table[:, :, 1]
    return phi


def _mean_gains(orders: Sequence[np.ndarray], values_along: ValuesAlong) -> tuple[np.ndarray, np.ndarray]:
    """Mean, over pairs of an order and its reverse, of what each modality adds, and its standard error."""
    n_rows = len(next(values_along(orders[0])))
    mean = np.zeros((n_rows, len(orders[0])))
    squares, gains = np.zeros_like(mean), np.empty_like(mean)
    for count, order in enumerate(orders, start=1):
        gains[:] = 0.0
        for way in (order, order[::-1]):
            for m, (before, after) in zip(way, pairwise(values_along(way)), strict=True):
                gains[:, m] += 0.5 * (after - before)
        # Welford's running mean and sum of squares: a difference of large sums would cancel
        change = gains - mean
        mean += change / count
        squares += change * (gains - mean)
    return mean, np.sqrt(squares / (len(orders) - 1) / len(orders))


def linear_coalition_value(
    partial_logits: Sequence[np.ndarray], intercept: np.ndarray, target: np.ndarray
) -> CoalitionValue:
    """Probability of the target class for any coalition of a linear head, from its partial logits.

    A head that is linear in the embeddings has logits ``b + Σ_{m ∈ S} z_m W_mᵀ`` when only the modalities in S are
    kept (the others zeroed): all 2^M coalitions follow from M products, without another forward pass.

    Parameters
    ----------
    partial_logits : sequence of M arrays of shape (n, K)
        ``z_m W_mᵀ``.
    intercept : ndarray of shape (K,)
        Kept in every coalition, also the empty one.
    target : ndarray of int, shape (n,)
        The class whose probability is the value.

    Returns
    -------
    callable
        For `shapley_values` and `sampled_shapley_values`, which get at its coalitions faster than by calling it: in
        blocks of rows, with exponentials of each modality's share taken once.

    Examples
    --------
    >>> import numpy as np
    >>> value = linear_coalition_value([np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]])], np.zeros(2), np.array([0]))
    >>> value(np.array([True, True])), value(np.array([False, False]))
    (array([0.5]), array([0.5]))
    """
    logits = [numeric(partial, "partial_logits", 2, finite=True) for partial in partial_logits]
    if not logits:
        raise ValueError("partial_logits is empty; at least one modality is needed")
    n_rows, n_classes = logits[0].shape
    intercept = numeric(intercept, "intercept", 1, finite=True)
    target = numeric(target, "target", 1)
    if any(partial.shape != (n_rows, n_classes) for partial in logits) or intercept.shape != (n_classes,):
        raise ValueError(
            f"partial_logits must have one shape (n, K) and intercept shape (K,), found "
            f"{[partial.shape for partial in logits]} and {intercept.shape}"
        )
    if target.dtype.kind not in "iu" or target.shape != (n_rows,) or not ((target >= 0) & (target < n_classes)).all():
        raise ValueError(f"target must hold the columns of {n_rows} classes, from 0 to {n_classes - 1}")
    return LinearCoalitionValue(logits, intercept, target)


def contributions(phi: np.ndarray, present: np.ndarray | None = None) -> np.ndarray:
    """Share of each modality: ``Φ_m = |φ_m| / Σ_k |φ_k|``.

    Parameters
    ----------
    phi : array-like of shape (n, M)
        Shapley values.
    present : array-like of bool, shape (n, M), optional
        Which modalities are there; an absent one contributes zero.

    Returns
    -------
    ndarray of float64, shape (n, M)
        Rows sum to one. Where every Shapley value is zero (0/0), the modalities share equally.

    References
    ----------
    .. [1] Shen et al., ACM MM 2023, section 3. The 0/0 case is ours.

    Examples
    --------
    >>> contributions([[0.3, -0.1], [0.0, 0.0]])
    array([[0.75, 0.25],
           [0.5 , 0.5 ]])
    """
    magnitude = np.abs(_rows_of_modalities(phi, "phi"))
    present = np.ones(magnitude.shape, dtype=bool) if present is None else numeric(present, "present").astype(bool)
    if present.shape != magnitude.shape:
        raise ValueError(f"present has shape {present.shape}, phi has {magnitude.shape}")
    magnitude = np.where(present, magnitude, 0.0)
    largest = magnitude.max(axis=1, keepdims=True)
    nothing = largest[:, 0] == 0
    magnitude[nothing] = present[nothing]
    largest[nothing] = 1.0
    magnitude = magnitude / largest  # the sum of tiny values must not underflow
    total = magnitude.sum(axis=1, keepdims=True)
    return np.divide(magnitude, total, out=np.full_like(magnitude, 1 / magnitude.shape[1]), where=total > 0)


def dominance(contributions: np.ndarray) -> np.ndarray:
    """How far the strongest modality is ahead of the weakest: ``max_m Φ_m − min_m Φ_m``.

    With two modalities this is the paper's dominance degree; for more it is our extension.

    Parameters
    ----------
    contributions : array-like of shape (n, M)
        Shares of the modalities, as `contributions` returns them.

    Returns
    -------
    ndarray of float64, shape (n,)
        Between 0 (balanced) and 1.

    Examples
    --------
    >>> dominance([[0.75, 0.25], [0.5, 0.5]])
    array([0.5, 0. ])
    """
    values = _rows_of_modalities(contributions, "contributions")
    return values.max(axis=1) - values.min(axis=1)


def balance_weights(contributions: np.ndarray) -> np.ndarray:
    """BMMAL's weights: the strongest modality keeps 1, another loses what it lags behind.

    ``w_m = 1 − (max_k Φ_k − Φ_m)``. With two modalities this is the paper's rule; for more it is our extension.

    Parameters
    ----------
    contributions : array-like of shape (n, M)
        Shares of the modalities, as `contributions` returns them.

    Returns
    -------
    ndarray of float64, shape (n, M)

    References
    ----------
    .. [1] Shen et al., ACM MM 2023, section 4.

    Examples
    --------
    >>> balance_weights([[0.75, 0.25], [0.5, 0.5]])
    array([[1. , 0.5],
           [1. , 1. ]])
    """
    values = _rows_of_modalities(contributions, "contributions")
    return 1.0 - (values.max(axis=1, keepdims=True) - values)


def _rows_of_modalities(values: np.ndarray, argument: str) -> np.ndarray:
    array = numeric(values, argument).astype(np.float64)
    if array.ndim != 2 or array.shape[1] < 1:
        raise ValueError(f"{argument} must have shape (n, n_modalities), found {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(f"{argument} is not finite in row {bad[0]}: {array[bad[0]].tolist()}")
    return array
