"""Greedy maximisation of what can only lose by further picks, exactly and lazily."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skmmal._chunks import row_chunks
from skmmal._random import RandomState, check_rng

__all__ = ["LazySearch", "lazy_greedy", "with_the_rest"]

_BLOCK = 64


def lazy_greedy(
    candidates: np.ndarray,
    n_samples: int,
    gains_of: Callable[[np.ndarray], np.ndarray],
    take: Callable[[int], np.ndarray],
    *,
    width: int,
    floor: float = -np.inf,
) -> tuple[list[int], list[float]]:
    """Pick, one after the other, the row of largest gain, where gains never grow.

    A gain known from before is an upper bound: a row whose gain is up to date and not below any bound is the best.
    Rows are brought up to date in blocks, those of largest bounds first (Minoux 1978).

    Parameters
    ----------
    candidates : ndarray of bool, shape (N,)
        Rows that may be picked.
    n_samples : int
        How many to pick at most.
    gains_of : callable
        Gives the present gains of some rows, in ascending order.
    take : callable
        Picks a row, and returns those that may not be picked any more.
    width : int
        Numbers needed at a time for a row's gain.
    floor : float, default=-inf
        Gains that are not above count as nothing: there the search ends.

    Returns
    -------
    picked : list of int
        Distinct; on ties the lowest number first.
    gains : list of float

    Examples
    --------
    >>> left = np.array([3.0, 1.0, 2.0])
    >>> lazy_greedy(left > 0, 2, lambda rows: left[rows], lambda row: np.array([row]), width=1)
    ([0, 2], [3.0, 2.0])
    """
    search = LazySearch(candidates, gains_of, width=width, floor=floor)
    picked: list[int] = []
    gains: list[float] = []
    while len(picked) < n_samples:
        best, gain = search.best()
        if best < 0:
            break
        picked.append(best)
        gains.append(gain)
        search.drop(take(best))
    return picked, gains


class LazySearch:
    """The row of largest gain, as gains fall; parameters as of `lazy_greedy`."""

    def __init__(
        self,
        candidates: np.ndarray,
        gains_of: Callable[[np.ndarray], np.ndarray],
        *,
        width: int,
        floor: float = -np.inf,
    ) -> None:
        self._gains_of, self._floor = gains_of, floor
        self._bounds = np.full(len(candidates), -np.inf)
        rows = np.flatnonzero(candidates)
        for part in row_chunks(len(rows), width):
            self._bounds[rows[part]] = gains_of(rows[part])
        self._fresh = np.ones(len(self._bounds), dtype=bool)

    def best(self) -> tuple[int, float]:
        """Return the row of largest gain, the first on ties, and its gain; -1 where no gain is above the floor."""
        bounds, fresh = self._bounds, self._fresh
        best = int(np.argmax(bounds))
        while not fresh[best] and bounds[best] > self._floor:
            stale = np.where(fresh, -np.inf, bounds)
            n_block = min(_BLOCK, int((stale > -np.inf).sum()))
            block = np.sort(np.argpartition(-stale, n_block - 1)[:n_block])
            bounds[block] = np.minimum(self._gains_of(block), bounds[block])
            fresh[block] = True
            best = int(np.argmax(bounds))
        return (best, float(bounds[best])) if bounds[best] > self._floor else (-1, 0.0)

    def drop(self, rows: np.ndarray) -> None:
        """Take note that something was picked, and that some rows may not be picked any more."""
        self._fresh[:] = False
        self._bounds[rows] = -np.inf


def with_the_rest(
    picked: list[int], gains: list[float], candidates: np.ndarray, n_samples: int, random_state: RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Picks and, to make up their number, others drawn from the candidates left, with a gain of zero."""
    left = np.setdiff1d(np.flatnonzero(candidates), picked)
    rest = check_rng(random_state).permutation(left)[: n_samples - len(picked)]
    indices = np.concatenate([np.asarray(picked, dtype=np.intp), rest.astype(np.intp)])
    return indices, np.concatenate([gains, np.zeros(len(rest))])
