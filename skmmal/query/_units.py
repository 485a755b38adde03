"""Groups of rows, costs and budgets: what is asked for, checked, and how a strategy's units are chosen head by head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from skmmal._arrays import integer, number, numeric, off_device, one_of
from skmmal.query._heads import Selection, check_on
from skmmal.reading import ALL, FUSED, Reading
from skmmal.selection._units import Limits, UnitBenefits, Units, choose_units

__all__ = ["UnitRequest", "group_codes", "row_costs", "select_units"]


@dataclass(frozen=True, eq=False)
class UnitRequest:
    """Units to be picked, and how many.

    Parameters
    ----------
    units : Units
        Rows that are no candidates are in none.
    costs : ndarray of shape (n_units,), optional
    limits : Limits
    """

    units: Units
    costs: np.ndarray | None
    limits: Limits

    @classmethod
    def of(
        cls, n_pool: int, candidates: np.ndarray | None, n_instances: Any, options: Mapping[str, Any]
    ) -> UnitRequest:
        """Check what `QueryStrategy.query` was given.

        Parameters
        ----------
        n_pool : int
        candidates : ndarray of bool, shape (n_pool,), optional
        n_instances : int or None
        options : mapping
            ``groups``, ``group_score``, ``costs``, ``budget``, ``max_samples``.
        """
        one_of(options["group_score"], "group_score", ("sum", "mean", "best"))
        groups, budget = options["groups"], options["budget"]
        codes = np.arange(n_pool) if groups is None else group_codes(groups, n_pool, "groups", "X_pool")
        if candidates is not None:  # numbered in the order of the first rows that may be picked
            codes = np.where(candidates, codes, -1)
            codes[candidates] = pd.factorize(codes[candidates])[0]
        units = Units(codes, int(codes.max()) + 1, options["group_score"])
        costs = None
        if options["costs"] is not None:
            of_rows = row_costs(options["costs"], n_pool, "costs", "X_pool")
            costs = np.bincount(codes[codes >= 0], weights=of_rows[codes >= 0], minlength=units.n_units)
        elif budget is not None:
            raise ValueError("budget is in the unit of costs, and costs is not given; a limit on rows is max_samples")
        max_samples = options["max_samples"]
        limits = Limits(
            n_instances,
            None if max_samples is None else integer(max_samples, "max_samples", 1),
            None if budget is None else number(budget, "budget", 0.0, closed=True),
        )
        n_wanted = _about(units, costs, n_instances, max_samples, budget)
        request = cls(replace(units, n_wanted=n_wanted), costs, limits)
        request._check_room(n_instances, groups is not None, budget, max_samples)
        return request

    def _check_room(self, n_instances: int | None, has_groups: bool, budget: Any, max_samples: Any) -> None:
        what = "groups" if has_groups else "rows"
        if n_instances is not None and n_instances > self.units.n_units:
            raise ValueError(f"n_instances={n_instances}, but there are {self.units.n_units} {what} to pick from")
        if not self.limits.allowed(self.units.sizes, self.costs).any():
            least = "" if self.costs is None else f", the cheapest costs {self.costs.min():g}"
            raise ValueError(
                f"nothing fits: the smallest of the {self.units.n_units} {what} has {self.units.sizes.min()} rows"
                f"{least}; max_samples={max_samples}, budget={budget}"
            )


def _about(
    units: Units, costs: np.ndarray | None, n_instances: int | None, max_samples: Any, budget: float | None
) -> int:
    """About how many units the limits allow, where these are of mean size and cost."""
    most = [float(units.n_units)] if n_instances is None else [float(n_instances)]
    if max_samples is not None:
        most.append(max_samples / units.sizes.mean())
    if budget is not None and costs is not None and costs.mean() > 0:
        most.append(budget / costs.mean())
    return int(np.clip(np.round(min(most)), 1, units.n_units))


def group_codes(groups: Any, n_rows: int, argument: str, beside: str) -> np.ndarray:
    """Number of each row's group, in the order in which they first occur.

    Parameters
    ----------
    groups : array-like of shape (n_rows,)
    n_rows : int
    argument, beside : str
        What an error calls the groups, and what they go with.
    """
    values = off_device(groups)
    if np.ndim(values) != 1 or len(values) != n_rows:
        raise ValueError(
            f"{argument} must hold one group for each of the {n_rows} rows of {beside}, found shape {np.shape(values)}"
        )
    names = pd.Series(values)
    absent = np.flatnonzero(names.isna())
    if len(absent):
        raise ValueError(
            f"{argument} is missing in row {absent[0]} ({len(absent)} such rows); a row of no group is one by itself: "
            "give it a name of its own"
        )
    return pd.factorize(names)[0]


def row_costs(costs: Any, n_rows: int, argument: str, beside: str) -> np.ndarray:
    """Cost of each row, float64, if these are finite and none is negative; parameters as of `group_codes`."""
    values = numeric(costs, argument, 1).astype(np.float64)
    if len(values) != n_rows:
        raise ValueError(f"{argument} has {len(values)} entries, {beside} {n_rows} rows: one for each is needed")
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        raise ValueError(
            f"{argument} is {values[wrong[0]]} in row {wrong[0]} ({len(wrong)} such rows); a cost is a finite number "
            "that is not negative"
        )
    return values


def select_units(
    strategy: Any,
    benefits: Callable[..., UnitBenefits],
    pool: Reading,
    on: str,
    request: UnitRequest,
    rng: np.random.RandomState,
) -> Selection:
    """Pick units by a strategy's benefits, on the head or heads that `on` names.

    Parameters
    ----------
    strategy : QueryStrategy
    benefits : callable
        Its `_benefits`.
    pool : Reading
        Of the fused head.
    on : str
        With a modality, units of which some row has it come first; if more are wanted, the others by the fused head.
    request : UnitRequest
    rng : RandomState

    Returns
    -------
    rows, scores : ndarray
        Rows unit by unit, in the order picked, and the benefit of each one's unit.
    """
    check_on(on, pool)
    units = request.units
    if on in (FUSED, ALL):
        picked, found = _choose(strategy, benefits, pool.on(on) if on == ALL else pool, units, request, rng)
    else:
        positions = pool.heads[on].positions if on in pool.heads else np.empty(0, dtype=np.intp)
        picked, found = [], []
        if (units.codes[positions] >= 0).any():
            own = replace(units, codes=units.codes[positions])
            # what a unit takes up is all its rows, whoever speaks for them
            picked, found = _choose(strategy, benefits, pool.on(on), own, request, rng, sizes=units.sizes)
        rest = np.where(np.isin(units.codes, picked), -1, units.codes)
        if (rest >= 0).any() and request.limits.allowed(units.sizes, request.costs).any():
            more, more_found = _choose(strategy, benefits, pool, replace(units, codes=rest), request, rng)
            picked, found = picked + more, found + more_found
    rows = [units.rows(unit) for unit in picked]
    return np.concatenate(rows), np.repeat(found, [len(each) for each in rows])


def _choose(
    strategy: Any,
    benefits: Callable[..., UnitBenefits],
    pool: Reading,
    units: Units,
    request: UnitRequest,
    rng: np.random.RandomState,
    sizes: np.ndarray | None = None,
) -> tuple[list[int], list[float]]:
    """Choose among the units of a reading; a strategy that cares for no other rows sees no others."""
    if not strategy._looks_beyond_candidates and (units.codes < 0).any():
        rows = np.flatnonzero(units.codes >= 0)
        pool, units = pool.take(rows), replace(units, codes=units.codes[rows])
    law = benefits(pool, pool.labelled, units, rng)
    return choose_units(law, units, request.limits, request.costs, rng, sizes=sizes)
