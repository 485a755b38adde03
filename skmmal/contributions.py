"""From coalition values to Shapley values, contributions, dominance and balance weights.

Pure functions on arrays; M is the number of modalities, n the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import factorial
from numbers import Integral

import numpy as np
from scipy.special import logsumexp

from skmmal._arrays import numeric

__all__ = ["balance_weights", "contributions", "dominance", "linear_coalition_value", "shapley_values"]

MOST_MODALITIES = 20
"""There are two to that power coalitions, each of them evaluated."""

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
    if not isinstance(n_modalities, Integral) or isinstance(n_modalities, bool):
        raise TypeError(f"n_modalities must be an integer, got {n_modalities!r}")
    if not 1 <= n_modalities <= MOST_MODALITIES:
        raise ValueError(
            f"n_modalities must be at least 1, and at most {MOST_MODALITIES} (of 2**n_modalities coalitions each is "
            f"evaluated), got {n_modalities}"
        )
    ways = [factorial(s) * factorial(n_modalities - s - 1) / factorial(n_modalities) for s in range(n_modalities)]
    phi: np.ndarray | None = None
    for coalition in product((False, True), repeat=n_modalities):
        present = np.array(coalition)
        size = int(present.sum())
        value = numeric(coalition_value(present), f"coalition_value({present.tolist()})", finite=True)
        if value.ndim != 1:
            raise ValueError(f"coalition_value must return shape (n,), found {value.shape} for {present.tolist()}")
        if phi is None:
            phi = np.zeros((len(value), n_modalities))
        if len(value) != len(phi):
            raise ValueError(
                f"coalition_value returned {len(phi)} rows first, then {len(value)} for {present.tolist()}"
            )
        # v(S) is added for the members of S (S = T ∪ m) and taken off for the others
        if size > 0:
            phi[:, present] += ways[size - 1] * value[:, None]
        if size < n_modalities:
            phi[:, ~present] -= ways[size] * value[:, None]
    assert phi is not None  # there are at least two coalitions
    return phi


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
        For `shapley_values`.

    Examples
    --------
    >>> import numpy as np
    >>> value = linear_coalition_value([np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]])], np.zeros(2), np.array([0]))
    >>> value(np.array([True, True])), value(np.array([False, False]))
    (array([0.5]), array([0.5]))
    """
    logits = [numeric(partial, "partial_logits", 2, finite=True).astype(np.float64) for partial in partial_logits]
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
    rows = np.arange(n_rows)

    def value(present: np.ndarray) -> np.ndarray:
        total = np.zeros((n_rows, n_classes)) + intercept
        for kept, partial in zip(present, logits, strict=True):
            if kept:
                total += partial
        with np.errstate(over="ignore"):  # logits further apart than the largest float: their exponentials are zero
            return np.exp(total[rows, target] - logsumexp(total, axis=1))

    return value


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
    there = np.ones(magnitude.shape, dtype=bool) if present is None else numeric(present, "present").astype(bool)
    if there.shape != magnitude.shape:
        raise ValueError(f"present has shape {there.shape}, phi has {magnitude.shape}")
    magnitude = np.where(there, magnitude, 0.0)
    largest = magnitude.max(axis=1, keepdims=True)
    nothing = largest[:, 0] == 0
    magnitude[nothing] = there[nothing]
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
