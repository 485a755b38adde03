"""What is handed out together and what it costs: groups of rows, costs of rows, and the limits of a batch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skmmal._paths import local_path
from skmmal._tables import read_table

__all__ = [
    "Limits",
    "Units",
    "by_id",
    "check_costs",
    "check_groups",
    "costs_of",
    "draw_units",
    "groups_of",
    "lead_times",
]

_ALONE = "alone: "
"""Begins the name of the group of a row that came to the features after the campaign was begun."""


@dataclass(frozen=True)
class Limits:
    """How much a batch may hold: units, rows, and cost; ``None`` is no limit."""

    n_units: int | None
    max_rows: int | None = None
    budget: float | None = None

    def part(self, share: float) -> Limits:
        """A share of each."""
        n_units = None if self.n_units is None else int(np.ceil(share * self.n_units - 1e-9))
        max_rows = None if self.max_rows is None else int(np.ceil(share * self.max_rows - 1e-9))
        return Limits(n_units, max_rows, None if self.budget is None else share * self.budget)

    def less(self, n_units: int, n_rows: int, cost: float) -> Limits:
        """What is left when some of it is used."""
        return Limits(
            None if self.n_units is None else self.n_units - n_units,
            None if self.max_rows is None else self.max_rows - n_rows,
            None if self.budget is None else self.budget - cost,
        )


@dataclass(frozen=True)
class Units:
    """The rows of the features in the groups that they belong to, and what each costs; ``None``: there is neither."""

    groups: np.ndarray | None
    costs: np.ndarray | None
    score: str = "sum"

    def codes(self, rows: np.ndarray) -> np.ndarray:
        """Number of the group of some rows, from 0 in the order of the first rows; each its own without groups."""
        return np.arange(len(rows)) if self.groups is None else pd.factorize(self.groups[rows])[0]

    def cost(self, rows: np.ndarray) -> float:
        """What some rows cost together."""
        return 0.0 if self.costs is None else float(self.costs[rows].sum())

    def asked(self, rows: np.ndarray, limits: Limits) -> dict[str, Any]:
        """What a strategy is asked for beside a number of rows, among some rows."""
        asked: dict[str, Any] = {}
        if self.groups is not None:
            asked |= {"groups": self.groups[rows], "group_score": self.score}
        if self.costs is not None:
            asked["costs"] = self.costs[rows]
        if limits.budget is not None:
            asked["budget"] = limits.budget
        if limits.max_rows is not None:
            asked["max_samples"] = limits.max_rows
        return asked


def draw_units(
    units: Units, rows: np.ndarray, part: Limits, whole: Limits, rng: np.random.RandomState
) -> tuple[np.ndarray, int]:
    """Draw units at random until a part of a batch is full; the batch as a whole is never exceeded.

    Returns
    -------
    drawn : ndarray of int
        Positions in `rows`, unit by unit in the order of the rows.
    n_units : int
    """
    codes = units.codes(rows)
    order = rng.permutation(int(codes.max()) + 1)
    costs = np.zeros(len(rows)) if units.costs is None else units.costs[rows]
    added = np.column_stack([np.ones(len(order)), np.bincount(codes)[order], np.bincount(codes, weights=costs)[order]])
    after = np.cumsum(added, axis=0)
    before = after - added
    over = np.zeros(len(order), dtype=bool)
    for column, (least, most) in enumerate(zip(_values(part), _values(whole), strict=True)):
        if least is not None and most is not None:
            over |= (before[:, column] >= least) | (after[:, column] > most)
    n_units = int(over.argmax()) if over.any() else len(order)
    drawn = np.flatnonzero(np.isin(codes, order[:n_units]))
    return drawn[np.argsort(codes[drawn], kind="stable")], n_units


def _values(limits: Limits) -> tuple[float | None, ...]:
    return limits.n_units, limits.max_rows, limits.budget


# ---------------------------------------------------------------------------------------- what the campaign is told


def by_id(given: Any, name: str, column: str, id_column: str = "id") -> pd.Series:
    """A value for each id, from a file, a table, a mapping or a Series; text, or as it is.

    Parameters
    ----------
    given : path-like, DataFrame, mapping or Series
        A CSV file or DataFrame with the columns `id_column` and `column`, or values by id.
    name : str
        What an error calls it.
    column, id_column : str

    Returns
    -------
    Series
        Indexed by id.
    """
    if isinstance(given, str | os.PathLike):
        given = read_table(local_path(given, name), key=id_column)
    if isinstance(given, pd.DataFrame):
        missing = [each for each in (id_column, column) if each not in given.columns]
        if missing:
            raise ValueError(
                f"{name}: there is no column {missing[0]!r}; there are {[str(one) for one in given.columns]}"
            )
        given = given.set_index(id_column)[column]
    if isinstance(given, Mapping):
        given = pd.Series(dict(given), dtype=object)
    if not isinstance(given, pd.Series):
        raise TypeError(
            f"{name} must be a CSV file or DataFrame with an id and a column {column!r}, or a mapping or Series by id, "
            f"got {type(given).__name__}"
        )
    values = given.set_axis([str(each) for each in given.index])
    if values.index.duplicated().any():
        raise ValueError(f"{name}: the id {values.index[values.index.duplicated()][0]!r} is there twice")
    return values


def _of_all(values: pd.Series, ids: np.ndarray, name: str) -> pd.Series:
    absent = [each for each in map(str, ids) if each not in values.index]
    if absent:
        raise ValueError(
            f"{name}: {len(absent)} of {len(ids)} ids of the features have none, the first: {absent[0]!r}; every row "
            "needs one"
        )
    return values.reindex([str(each) for each in ids])


def check_groups(given: Any, column: str, ids: np.ndarray, held_out: pd.DataFrame | None) -> pd.DataFrame:
    """Group of every id, as a table with the columns id and group; no group is partly held out.

    Raises
    ------
    ValueError
        An id has no group, or a group has rows in the validation set and others.
    """
    values = _of_all(by_id(given, "groups", column), ids, "groups")
    names = pd.Series(["" if pd.isna(value) else str(value).strip() for value in values], index=values.index)
    odd = [name for name in names if not name or set(name) & set("\n\r\0")]
    if odd:
        raise ValueError(
            f"groups: {len(odd)} rows have a group that is empty or has a line break, the first: "
            f"{names.index[names.isin(odd)][0]!r}; a row of no group is one by itself: give it a name of its own"
        )
    if held_out is not None:
        inside = names.index.isin(held_out["id"])
        both = sorted(set(names[inside]) & set(names[~inside]))
        if both:
            raise ValueError(
                f"validation: {len(both)} groups have rows in it and rows outside, the first: {both[0]!r}; what is "
                "measured on rows of a group that others are labeled of says little: hold whole groups out"
            )
    return pd.DataFrame({"id": names.index, "group": names.to_numpy()}).sort_values("id")


def check_costs(given: Any, column: str, ids: np.ndarray) -> pd.DataFrame:
    """Cost of every id, as a table with the columns id and cost; finite numbers that are not negative."""
    values = _of_all(by_id(given, "costs", column), ids, "costs")
    numbers = pd.to_numeric(values, errors="coerce").astype(np.float64)
    wrong = ~(np.isfinite(numbers) & (numbers >= 0))
    if wrong.any():
        raise ValueError(
            f"costs: {values[wrong].iloc[0]!r} of {values.index[wrong][0]!r} ({int(wrong.sum())} such rows) is no "
            "cost: a finite number that is not negative"
        )
    return pd.DataFrame({"id": numbers.index, "cost": numbers.to_numpy()}).sort_values("id")


def groups_of(table: pd.DataFrame, ids: np.ndarray) -> np.ndarray:
    """Groups of ids; one that came later is a group by itself."""
    groups = table.set_index("id")["group"].reindex(pd.Index(ids))
    return np.where(groups.isna(), [_ALONE + str(name) for name in ids], groups.to_numpy(dtype=object))


def costs_of(declared: pd.DataFrame | None, ids: np.ndarray, events: pd.DataFrame) -> pd.Series:
    """Cost of each id: declared, or the seconds that its answers took; the median where that is not known.

    Parameters
    ----------
    declared : DataFrame or None
        With the columns id and cost.
    ids : ndarray of shape (n,)
    events : DataFrame
        As of `lead_times`.

    Returns
    -------
    Series of float64
        Indexed by id.

    Raises
    ------
    ValueError
        Nothing is declared, and no lead time is known.
    """
    if declared is not None:
        known = declared.set_index("id")["cost"].astype(np.float64)
    else:
        known = lead_times(events)
        if known.empty:
            raise ValueError(
                "there are no costs: the campaign was begun without (costs, --costs), and no label came with the time "
                "that it took (lead_time, as in Label Studio's exports)"
            )
    index = pd.Index([str(name) for name in ids], name="id")
    return known.reindex(index).fillna(float(known.median())).rename("cost")


def lead_times(events: pd.DataFrame) -> pd.Series:
    """Seconds that the answers to each id took, as far as the annotation tool says so.

    Parameters
    ----------
    events : DataFrame
        The latest word of every annotator about every id.

    Returns
    -------
    Series of float64
        Indexed by id: the median over its annotators.
    """
    seconds = pd.to_numeric(events["lead_time"].where(events["lead_time"] != ""), errors="coerce").astype(np.float64)
    known = np.isfinite(seconds) & (seconds >= 0)
    return seconds[known].groupby(events["id"][known]).median().rename("seconds")
