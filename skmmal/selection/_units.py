"""Greedy choice of units: rows that are picked together, or that cost unequally; the laws by which they are chosen."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skmmal._chunks import row_chunks
from skmmal._random import RandomState, check_rng
from skmmal.selection._ball_cover import BallCover
from skmmal.selection._embedding import Embedding
from skmmal.selection._herding import KernelCoverage
from skmmal.selection._points import EmbeddingPoints

__all__ = [
    "BallGains",
    "Distances",
    "KernelGains",
    "Limits",
    "MixedGains",
    "Scores",
    "UnitBenefits",
    "Units",
    "choose_units",
]

_BLOCK = 64
_MOST_PAIRS = 2**26
"""Numbers about pairs of rows of one unit that are held: 512 MB."""


@dataclass(frozen=True, eq=False)
class Units:
    """Which rows are picked together.

    Parameters
    ----------
    codes : ndarray of int, shape (N,)
        Unit of each row, −1 for rows that may not be picked.
    n_units : int
    score : {"sum", "mean", "best"}, default="sum"
        How values of a unit's rows make one of the unit.
    n_wanted : int, optional
        About how many will be picked; by default all.
    """

    codes: np.ndarray
    n_units: int
    score: str = "sum"
    n_wanted: int | None = None

    @property
    def expected(self) -> int:
        """About how many will be picked."""
        return self.n_units if self.n_wanted is None else self.n_wanted

    @cached_property
    def sizes(self) -> np.ndarray:
        """How many rows each has."""
        return np.bincount(self.codes[self.codes >= 0], minlength=self.n_units)

    @cached_property
    def _sorted(self) -> np.ndarray:
        """Rows that may be picked, unit by unit."""
        return np.argsort(self.codes, kind="stable")[np.count_nonzero(self.codes < 0) :]

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.sizes)

    def rows(self, unit: int) -> np.ndarray:
        """Rows of a unit, in ascending order."""
        return self._sorted[self._ends[unit] - self.sizes[unit] : self._ends[unit]]

    def by_size(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Units of one size together, and the rows (n, size) of each; with ``"best"`` all rows in units, one by one."""
        if self.score == "best":
            rows = np.flatnonzero(self.codes >= 0)
            return [(rows, rows[:, None])]
        found = []
        for size in np.unique(self.sizes[self.sizes > 0]):
            some = np.flatnonzero(self.sizes == size)
            found.append((some, np.stack([self.rows(int(unit)) for unit in some])))
        return found

    def check_pairs(self, width: int = 1) -> None:
        """Raise where all pairs of rows of a unit, `width` squared numbers each, do not fit in memory."""
        if not self.have_room(width):
            raise ValueError(
                f"the largest of the groups has {int(self.sizes.max())} rows: what groups tell together takes all "
                "pairs of their rows, which do not fit in memory; with group_score='best' rows count on their own"
            )

    def have_room(self, width: int = 1) -> bool:
        """Whether all pairs of rows of a unit, `width` squared numbers each, fit in memory: 512 MB."""
        sizes = np.ones(int(self.sizes.sum())) if self.score == "best" else self.sizes.astype(np.float64)
        return bool(((sizes * width) ** 2).sum() <= _MOST_PAIRS)

    def of_rows(self, values: np.ndarray) -> np.ndarray:
        """Value of each unit by those of the rows (N,), which are not negative; zero where it has no row."""
        rows = self._sorted
        if self.score == "best":
            best = np.zeros(self.n_units)
            np.maximum.at(best, self.codes[rows], values[rows])
            return best
        return self.of_sums(np.bincount(self.codes[rows], weights=values[rows], minlength=self.n_units))

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        """Values of units by those of their rows together."""
        return sums / np.maximum(self.sizes, 1) if self.score == "mean" else sums


class Limits:
    """How much may be picked; what was picked counts.

    Parameters
    ----------
    n_units : int, optional
        Units, at most.
    max_rows : int, optional
        Rows, at most.
    budget : float, optional
        What all may cost together.

    Examples
    --------
    >>> limits = Limits(2, budget=3.0)
    >>> limits.allowed(np.array([1, 1, 1]), np.array([1.0, 4.0, 2.0]))
    array([ True, False,  True])
    """

    def __init__(self, n_units: int | None = None, max_rows: int | None = None, budget: float | None = None) -> None:
        self._n_left = math.inf if n_units is None else n_units
        self._rows_left = math.inf if max_rows is None else max_rows
        self._budget, self._spent = budget, [0.0]

    def allowed(self, sizes: np.ndarray, costs: np.ndarray | None) -> np.ndarray:
        """Which units could be picked yet, by their sizes and costs."""
        if self._n_left < 1:
            return np.zeros(len(sizes), dtype=bool)
        fits = sizes <= self._rows_left
        if self._budget is not None and costs is not None:
            fits &= math.fsum(self._spent) + costs <= self._budget
        return fits

    def count(self, size: int, cost: float) -> None:
        """One is picked."""
        self._n_left -= 1
        self._rows_left -= size
        self._spent.append(cost)


# ------------------------------------------------------------------------------------------------------------ laws


class UnitBenefits(ABC):
    """What each unit would bring, beside those that are picked; not negative."""

    drawn = False
    """Whether units are drawn, in proportion to their benefit (per cost); otherwise the best one is picked."""

    nothing_is_random = True
    """Whether units that bring nothing are drawn uniformly; otherwise the first one is picked."""

    @abstractmethod
    def present(self, rates: np.ndarray) -> np.ndarray:
        """Benefits of the units, shape (n_units,).

        Parameters
        ----------
        rates : ndarray of shape (n_units,)
            Those are of interest whose benefit times rate is large; zero for units that cannot be picked. All others'
            benefits may be upper bounds.
        """

    def take(self, unit: int) -> None:  # noqa: B027 - there is nothing to do where picks do not matter
        """One is picked."""


class Scores(UnitBenefits):
    """Benefits that do not depend on what else is picked.

    Parameters
    ----------
    values : ndarray of shape (n_units,)
    drawn : bool, default=False
    """

    nothing_is_random = False

    def __init__(self, values: np.ndarray, *, drawn: bool = False) -> None:
        self._values, self.drawn = values, drawn

    def present(self, rates: np.ndarray) -> np.ndarray:
        return self._values


class Distances(UnitBenefits):
    """Distances of a unit's rows to the nearest row picked, squared where units are drawn; norms without any yet.

    Parameters
    ----------
    embedding : Embedding
        The rows as points.
    units : Units
    initial : Embedding, optional
        Points to keep away from, from the beginning.
    drawn : bool, default=False
        D² sampling, otherwise greedy k-centre.
    first : "norm", "random" or int, default="norm"
        With D² sampling: the unit that comes first is that of largest squared norms, one drawn uniformly, or that of
        a given row.
    """

    def __init__(
        self,
        embedding: Embedding,
        units: Units,
        initial: Embedding | None = None,
        *,
        drawn: bool = False,
        first: str | int = "norm",
    ) -> None:
        self._points, self._units = EmbeddingPoints(embedding, units.codes >= 0), units
        self._drawn, self._first, self._has_centers = drawn, first, initial is not None
        self.nothing_is_random = drawn
        if not isinstance(first, str) and not 0 <= first < len(embedding):
            raise ValueError(f"first must be an index within 0..{len(embedding) - 1}, got {first}")
        if initial is not None:
            self._points.add(initial, np.empty(0, dtype=np.intp))

    @property
    def drawn(self) -> bool:  # type: ignore[override]
        """Whether units are drawn."""
        return self._drawn and (self._has_centers or self._first == "random")

    def present(self, rates: np.ndarray) -> np.ndarray:
        if self._has_centers:
            return self._of_rows(self._points.known)
        if self._first == "random":
            return np.zeros(self._units.n_units)
        benefits = self._of_rows(self._points.take(np.arange(len(self._points))).sq_distances)
        if isinstance(self._first, str):
            return benefits
        only = np.zeros(len(benefits))
        code = self._units.codes[self._first]
        if code >= 0 and rates[code] > 0:
            only[code] = 1.0
            return only
        return benefits

    def _of_rows(self, sq_distances: np.ndarray) -> np.ndarray:
        return self._units.of_rows(sq_distances if self._drawn else np.sqrt(sq_distances))

    def take(self, unit: int) -> None:
        rows = self._units.rows(unit)
        self._points.add(self._points.take(rows).embedding, rows)
        self._has_centers = True


class KernelGains(UnitBenefits):
    """By how much a unit's rows together raise the coverage by a kernel; with ``"best"`` its best row alone.

    Parameters
    ----------
    coverage : KernelCoverage
    units : Units
    floor : float, default=0
        Gains that are not above count as nothing.
    """

    def __init__(self, coverage: KernelCoverage, units: Units, floor: float = 0.0) -> None:
        self._coverage, self._units, self._floor = coverage, units, floor
        self._bounds = np.where(units.sizes > 0, np.inf, 0.0)

    def present(self, rates: np.ndarray) -> np.ndarray:
        if np.isinf(self._bounds).any():
            self._bounds = self._gains(np.arange(self._units.n_units))
            return self._bounds
        # gains never grow: those known from before are bounds, and are brought up to date as far as they matter
        is_stale = (rates > 0) & (self._bounds > 0)
        while is_stale.any():
            worth = self._bounds * rates
            wanted = np.flatnonzero(is_stale & (worth >= worth[~is_stale].max(initial=0.0)))
            if not len(wanted):
                break
            n_block = min(_BLOCK, len(wanted))
            block = wanted[np.argpartition(-worth[wanted], n_block - 1)[:n_block]]
            self._bounds[block] = np.minimum(self._gains(block), self._bounds[block])
            is_stale[block] = False
        return self._bounds

    def _gains(self, some: np.ndarray) -> np.ndarray:
        gains = np.zeros(len(some))
        has_rows = np.flatnonzero(self._units.sizes[some])
        if self._units.sizes.max(initial=0) <= 1:
            rows = np.concatenate([self._units.rows(unit) for unit in some[has_rows]])
            for part in row_chunks(len(rows), self._coverage.n_references):
                gains[has_rows[part]] = self._coverage.gains(rows[part])
        else:
            for at in has_rows:
                rows = self._units.rows(some[at])
                is_best = self._units.score == "best"
                gains[at] = self._coverage.gains(rows).max() if is_best else self._coverage.joint_gain(rows)
            if self._units.score == "mean":
                gains /= np.maximum(self._units.sizes[some], 1)
        return np.where(gains > self._floor, gains, 0.0)

    def take(self, unit: int) -> None:
        for row in self._units.rows(unit):
            self._coverage.take(row)


class BallGains(UnitBenefits):
    """How many references the balls of a unit's rows cover anew; with ``"best"`` that of its best row alone.

    Parameters
    ----------
    points : ndarray of shape (N, D)
    references : ndarray of int, shape (R,)
    radius : float
    covered : ndarray of bool, shape (R,)
    units : Units
    """

    def __init__(
        self, points: np.ndarray, references: np.ndarray, radius: float, covered: np.ndarray, units: Units
    ) -> None:
        self._units = units
        self._by_row = units.score == "best"
        sets = None if self._by_row else [units.rows(unit) for unit in range(units.n_units)]
        self._cover = BallCover(points, references, radius, covered, sets=sets)

    def present(self, rates: np.ndarray) -> np.ndarray:
        degrees = self._cover.degrees
        return self._units.of_rows(degrees) if self._by_row else self._units.of_sums(degrees.astype(np.float64))

    def take(self, unit: int) -> None:
        for index in self._units.rows(unit) if self._by_row else [unit]:
            self._cover.take(index)


class MixedGains(UnitBenefits):
    """``share · worth + (1 − share) · gain``, each as a share of the largest among the units that can be picked.

    Parameters
    ----------
    gains : UnitBenefits
        Those that change with every pick.
    worth : ndarray of shape (n_units,)
        Those that do not.
    share : float
        From 0 to 1.
    """

    def __init__(self, gains: UnitBenefits, worth: np.ndarray, share: float) -> None:
        self._gains, self._worth, self._share = gains, worth, share

    def present(self, rates: np.ndarray) -> np.ndarray:
        left = rates > 0
        gains = self._gains.present(left.astype(np.float64))
        return self._share * _of_largest(self._worth, left) + (1.0 - self._share) * _of_largest(gains, left)

    def take(self, unit: int) -> None:
        self._gains.take(unit)


def _of_largest(values: np.ndarray, left: np.ndarray) -> np.ndarray:
    largest = values[left].max(initial=0.0)
    return values / largest if largest > 0 else np.zeros(len(values))


# ---------------------------------------------------------------------------------------------------------- choice


def choose_units(
    benefits: UnitBenefits,
    units: Units,
    limits: Limits,
    costs: np.ndarray | None = None,
    random_state: RandomState = None,
    sizes: np.ndarray | None = None,
) -> tuple[list[int], list[float]]:
    """Pick units one after the other, as long as any fits, by their benefit per cost.

    Parameters
    ----------
    benefits : UnitBenefits
    units : Units
        A unit without rows is never picked.
    limits : Limits
        What is picked counts there.
    costs : ndarray of shape (n_units,), optional
        Not negative. Units that bring something and cost nothing come before all others.
    random_state : int, RandomState, Generator or None
    sizes : ndarray of int, shape (n_units,), optional
        How many rows each counts for among the limits; by default as many as it has.

    Returns
    -------
    picked : list of int
        Distinct; on ties the lowest number first.
    found : list of float
        Benefit of each when it was picked, not divided by its cost.

    Notes
    -----
    A unit that does not fit in what is left of a limit is passed over for smaller ones. Benefit per cost is the rule of
    greedy maximization under a budget [1]_, [2]_; it may overlook a single unit that is worth the whole budget.

    References
    ----------
    .. [1] Khuller, Moss and Naor, "The budgeted maximum coverage problem", Information Processing Letters 1999.
    .. [2] Leskovec et al., "Cost-effective outbreak detection in networks", KDD 2007, section 3.

    Examples
    --------
    >>> pairs = Units(np.array([0, 0, 1, 1, 2]), 3)
    >>> choose_units(Scores(pairs.of_rows(np.array([1.0, 1.0, 3.0, 0.0, 2.5]))), pairs, Limits(max_rows=3))
    ([1, 2], [3.0, 2.5])
    """
    rng = check_rng(random_state)
    sizes = units.sizes if sizes is None else sizes
    left = units.sizes > 0
    if isinstance(benefits, Scores):
        return _in_order(benefits, left, sizes, limits, costs, rng)
    picked: list[int] = []
    found: list[float] = []
    while (allowed := left & limits.allowed(sizes, costs)).any():
        unit, benefit = _next_unit(benefits, allowed, costs, rng)
        picked.append(unit)
        found.append(benefit)
        left[unit] = False
        benefits.take(unit)
        limits.count(int(sizes[unit]), 0.0 if costs is None else float(costs[unit]))
    return picked, found


def _next_unit(
    benefits: UnitBenefits, allowed: np.ndarray, costs: np.ndarray | None, rng: np.random.RandomState
) -> tuple[int, float]:
    free = allowed if costs is None else allowed & (costs == 0)
    rates = free.astype(np.float64)
    values = benefits.present(rates)
    if costs is not None and not (values[free] > 0).any():
        rates = np.divide(allowed, costs, out=np.zeros(len(costs)), where=costs > 0)
        values = benefits.present(rates)
    worth = np.where(rates > 0, values * rates, 0.0)
    total = worth.sum()
    if total <= 0 and benefits.nothing_is_random:
        unit = int(rng.choice(np.flatnonzero(allowed)))
    elif total > 0 and benefits.drawn:
        sums = np.cumsum(worth)
        at = int(np.searchsorted(sums, rng.random_sample() * sums[-1], side="right"))
        unit = min(at, int(np.flatnonzero(worth)[-1]))
    else:
        unit = int(np.argmax(np.where(allowed, worth, -1.0)))
    return unit, float(values[unit])


def _in_order(
    benefits: Scores,
    left: np.ndarray,
    sizes: np.ndarray,
    limits: Limits,
    costs: np.ndarray | None,
    rng: np.random.RandomState,
) -> tuple[list[int], list[float]]:
    """Benefits stay as they are: one order serves all picks. Who does not fit once will not fit later."""
    values = benefits.present(left.astype(np.float64))
    worth, is_first = values, np.zeros(len(values), dtype=bool)
    if costs is not None:
        is_first = (costs == 0) & (values > 0)
        worth = np.divide(values, costs, out=np.where(is_first, values, 0.0), where=costs > 0)
    ties = np.zeros(len(worth))
    if benefits.drawn:  # drawing without replacement is sorting by Gumbel noise
        ties = rng.gumbel(size=len(worth))
        logarithms = np.log(worth, out=np.full(len(worth), -np.inf), where=worth > 0)
        worth = logarithms + ties
    picked: list[int] = []
    order = np.lexsort((-ties, -worth, ~is_first))
    for unit in order[(left & limits.allowed(sizes, costs))[order]]:
        own = slice(unit, unit + 1)
        if limits.allowed(sizes[own], None if costs is None else costs[own])[0]:
            picked.append(int(unit))
            limits.count(int(sizes[unit]), 0.0 if costs is None else float(costs[unit]))
    return picked, values[picked].astype(float).tolist()
