"""The probability of a class under a linear head for coalitions of modalities, many coalitions at a time.

A head that is linear in the embeddings has logits ``b + Σ_{m ∈ S} z_m`` for a coalition S, with partial logits z_m.
With the differences to the target's logit, ``d_m = z_m − z_m[target]``, the target's probability is

    v(S) = 1 / Σ_k exp(d_b[k]) Π_{m ∈ S} exp(d_m[k]).

Exponentials are taken once for each modality; coalitions multiply them. For all 2^M coalitions the modalities are split
in two halves: a coalition is one of the first half's and one of the second's, and the sums over the classes of all such
pairs are one small matrix product for each row. Work goes through blocks of rows that stay in a core's cache, which is
why it is left to one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from scipy.special import logsumexp

__all__ = ["LinearCoalitionValue", "ValuesAlong"]

_BLOCK_ELEMENTS = 2**18
"""Numbers in a block's working arrays: 2 MB."""
_SAFE_RANGE = 600.0
"""Logits that differ by more may leave the range of exponentials, on the way if not at the end: then by logarithms."""

ValuesAlong = Callable[[np.ndarray], Iterator[np.ndarray]]
"""From an order of the modalities to the values (rows,) of the M + 1 coalitions on the way, from none to all."""


class LinearCoalitionValue:
    """The value of coalitions for n rows; `skmmal.contributions.linear_coalition_value` makes and checks it.

    Parameters
    ----------
    logits : list of M arrays of shape (n, K)
    intercept : ndarray of shape (K,)
    target : ndarray of int, shape (n,)
    """

    def __init__(self, logits: list[np.ndarray], intercept: np.ndarray, target: np.ndarray) -> None:
        self._logits, self._intercept, self._target = logits, intercept, target

    def __len__(self) -> int:
        return len(self._target)

    @property
    def n_modalities(self) -> int:
        """The number M of modalities."""
        return len(self._logits)

    def __call__(self, present: np.ndarray) -> np.ndarray:
        """Value of one coalition, a boolean array of length M, for every row, shape (n,)."""
        return self._by_logarithms(slice(None), present)

    def of_all_coalitions(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Values of all coalitions, block by block of rows, shape (rows, 2^M).

        Coalition c holds modality m where bit m of c is set.
        """
        first, n_coalitions = self.n_modalities // 2, 2**self.n_modalities
        n_products = 2**first + 2 ** (self.n_modalities - first)
        for rows, powers, extreme in self._blocks(n_products, 2 * n_coalitions):
            left = _products(powers[:first], powers[-1])
            right = _products(powers[first:-1], np.ones_like(powers[-1]))
            table = (1.0 / np.matmul(right, left.transpose(0, 2, 1))).reshape(len(left), n_coalitions)
            if len(extreme):
                for coalition in range(n_coalitions):
                    present = (coalition >> np.arange(self.n_modalities)) & 1
                    table[extreme, coalition] = self._by_logarithms(rows.start + extreme, present)
            yield rows, table

    def along_orders(self) -> Iterator[tuple[slice, ValuesAlong]]:
        """For each block of rows, a function that goes through an order of the modalities."""
        for rows, powers, extreme in self._blocks(2, 0):
            yield rows, partial(self._values_along, rows, powers, extreme)

    def _values_along(
        self, rows: slice, powers: np.ndarray, extreme: np.ndarray, order: np.ndarray
    ) -> Iterator[np.ndarray]:
        present = np.zeros(self.n_modalities, dtype=bool)
        product = powers[-1].copy()
        for step in range(self.n_modalities + 1):
            if step:
                present[order[step - 1]] = True
                product *= powers[order[step - 1]]
            value = 1.0 / product.sum(axis=1)
            if len(extreme):
                value[extreme] = self._by_logarithms(rows.start + extreme, present)
            yield value

    def _blocks(self, n_products: int, n_values: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Rows, the exponentials of the modalities and last of the intercept, (M + 1, rows, K), and extreme rows.

        The block is as large as `n_products` arrays (rows, K) and one (rows, `n_values`) beside them allow.
        """
        width = (self.n_modalities + 1 + n_products) * len(self._intercept) + n_values
        step = max(1, _BLOCK_ELEMENTS // width)
        for start in range(0, len(self), step):
            rows = slice(start, min(start + step, len(self)))
            target = self._target[rows]
            powers = np.empty((self.n_modalities + 1, len(target), len(self._intercept)))
            with np.errstate(over="ignore"):  # further apart than the largest float: extreme, at any rate
                for logits, differences in zip(self._logits, powers, strict=False):
                    own = logits[rows]
                    of_target = own[np.arange(len(target)), target]
                    np.subtract(own, of_target[:, None], out=differences, dtype=np.float64)
                np.subtract(self._intercept, self._intercept[target, None], out=powers[-1], dtype=np.float64)
                reach = np.maximum(powers.max(axis=2), -powers.min(axis=2)).sum(axis=0)
            extreme = np.flatnonzero(reach > _SAFE_RANGE)
            powers[:, extreme] = 0.0
            yield rows, np.exp(powers, out=powers), extreme

    def _by_logarithms(self, rows: slice | np.ndarray, present: np.ndarray) -> np.ndarray:
        target = self._target[rows]
        total = np.zeros((len(target), len(self._intercept))) + self._intercept
        for kept, logits in zip(present, self._logits, strict=True):
            if kept:
                total += logits[rows]
        with np.errstate(over="ignore"):  # logits further apart than the largest float: their exponentials are zero
            return np.exp(total[np.arange(len(target)), target] - logsumexp(total, axis=1))


def _products(factors: np.ndarray, start: np.ndarray) -> np.ndarray:
    """`start` (n, K) times the factors in every subset of `factors` (h, n, K), shape (n, 2^h, K)."""
    products = np.empty((len(start), 2 ** len(factors), start.shape[1]))
    products[:, 0] = start
    size = 1
    for factor in factors:
        np.multiply(products[:, :size], factor[:, None], out=products[:, size : 2 * size])
        size *= 2
    return products
