"""Numbers as labels: their text, and what several people's numbers amount to.

A number's text is the shortest that gives it back, as in ``3.5`` and ``3``.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from skmmal.campaign._votes import decisive, latest, said_by

__all__ = ["agreement", "conflicts", "number_of", "resolve", "text_of_number"]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)


def text_of_number(value: float) -> str:
    """Text of a number, the same for equal numbers.

    Examples
    --------
    >>> text_of_number(3.0), text_of_number(0.1), text_of_number(-0.0)
    ('3', '0.1', '0')
    """
    return repr(float(value) + 0.0).removesuffix(".0")


def number_of(text: str) -> float:
    """Number that a text holds.

    Raises
    ------
    ValueError
        It is none, or not a finite one; the message ends the sentence "the label is ...".

    Examples
    --------
    >>> number_of("+3.50")
    3.5
    """
    if _NUMBER.fullmatch(text):
        value = float(text)
        if np.isfinite(value):
            return value
        raise ValueError("a number too large to be kept")
    if _COMMA.fullmatch(text):
        raise ValueError(f"no number, with its comma (a decimal point is expected: {text.replace(',', '.')})")
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity", "na", "n/a", "null", "none"):
        raise ValueError("no finite number (where there is none, leave it empty, or give the state skip or unsure)")
    raise ValueError("no number, and this campaign's labels are numbers")


def resolve(events: pd.DataFrame, tolerance: float | None) -> pd.DataFrame:
    """Settle every id: the median of the annotators' latest numbers, or of the authorities'.

    Parameters
    ----------
    events : DataFrame
        In order of arrival.
    tolerance : float or None
        Numbers that differ by more contradict each other; ``None``: none do.

    Returns
    -------
    DataFrame
        Columns as of `skmmal.campaign._votes.resolve`, and ``spread``, the largest number less the smallest (NaN
        without votes). The state is ``conflict`` unless more than half of the votes lie within one tolerance of each
        other; the median of all is then among those. ``agreement`` is the largest share of the votes that do, NaN
        without a tolerance.

    Examples
    --------
    >>> events = pd.DataFrame(
    ...     [("a", "3", "ann"), ("a", "3.5", "bob"), ("a", "9", "eve"), ("b", "1", "ann"), ("b", "2", "bob")],
    ...     columns=["id", "label", "annotator"],
    ... ).assign(state="label", when="", annotation="", lead_time="")
    >>> resolve(events, 0.5)[["state", "label", "spread"]]
           state label  spread
    id
    a      label   3.5     6.0
    b   conflict           1.0
    """
    last = latest(events)
    ids = pd.Index(sorted(last["id"].unique()), name="id", dtype=object)
    counted = decisive(last)
    votes, given = _votes(counted), _votes(last)
    median = votes.median().reindex(ids)
    share = votes.agg(lambda values: _largest_share(values.to_numpy(), tolerance)).reindex(ids)
    unsure = ids.isin(counted["id"][counted["state"] == "unsure"])
    has_votes = median.notna().to_numpy()
    split = has_votes & (share.to_numpy(dtype=np.float64) <= 0.5)  # without a tolerance the share is NaN
    settled = pd.DataFrame(index=ids)
    settled["state"] = np.select([split, has_votes, unsure], ["conflict", "label", "unsure"], "skip").astype(object)
    won = has_votes & ~split
    settled["label"] = [text_of_number(value) if ok else "" for value, ok in zip(median, won, strict=True)]
    settled["n_annotators"] = last.groupby("id").size().reindex(ids, fill_value=0).to_numpy(dtype=np.int64)
    settled["n_votes"] = given.size().reindex(ids, fill_value=0).to_numpy(dtype=np.int64)
    of_all = given.agg(lambda values: _largest_share(values.to_numpy(), tolerance))
    settled["agreement"] = of_all.reindex(ids).to_numpy(dtype=np.float64)
    settled["spread"] = (given.max() - given.min()).reindex(ids).to_numpy(dtype=np.float64)
    return settled.astype({"label": object})


def _votes(last: pd.DataFrame) -> Any:
    """Numbers that were given, by id."""
    numbers = last[last["state"] == "label"]
    return numbers["label"].astype(np.float64).groupby(numbers["id"])


def _largest_share(values: np.ndarray, tolerance: float | None) -> float:
    """Largest share of some numbers that lie within one tolerance of each other; NaN without a tolerance.

    Examples
    --------
    >>> _largest_share(np.array([1.0, 2.0, 2.5, 9.0]), 1.0)
    0.5
    """
    if tolerance is None or not len(values):
        return float("nan")
    ordered = np.sort(values)
    ends = np.searchsorted(ordered, _upper(ordered, tolerance), side="right")
    return float((ends - np.arange(len(ordered))).max() / len(ordered))


def _upper(values: Any, tolerance: float) -> Any:
    """What is still within a tolerance, with room for the last bits: 0.3 is within 0.1 of 0.2."""
    return values + tolerance + 1e-9 * (np.abs(values) + tolerance)


def _within(first: Any, second: Any, tolerance: float | None) -> Any:
    """Which numbers differ by at most the tolerance (0 without one)."""
    least = np.minimum(first, second)
    return np.maximum(first, second) <= _upper(least, 0.0 if tolerance is None else tolerance)


def conflicts(events: pd.DataFrame, settled: pd.DataFrame, tolerance: float | None) -> pd.DataFrame:
    """Ids about which some numbers differ by more than the tolerance; none without one.

    Parameters
    ----------
    events : DataFrame
        In order of arrival.
    settled : DataFrame
        What `resolve` made of them.
    tolerance : float or None

    Returns
    -------
    DataFrame
        ``id``, ``settled`` (the number, if it is settled), ``spread``, ``said`` (who said what), open ones first, of
        those the widest first.
    """
    odd = settled.iloc[:0]
    if tolerance is not None and len(settled):
        votes = _votes(latest(events))
        wide = ~_within(votes.min(), votes.max(), tolerance)
        odd = settled.loc[wide.index[wide]]
    odd = odd.assign(is_settled=odd["state"] != "conflict")
    odd = odd.sort_values(["is_settled", "spread"], ascending=[True, False], kind="stable")
    table = pd.DataFrame({"id": odd.index.to_numpy(), "settled": odd["label"].to_numpy()}, dtype=object)
    table["spread"] = odd["spread"].to_numpy(dtype=np.float64)
    table["said"] = said_by(events[events["id"].isin(odd.index)]).reindex(table["id"]).to_numpy() if len(odd) else ""
    return table


def agreement(events: pd.DataFrame, tolerance: float | None) -> dict[str, Any]:
    """How far annotators' numbers agree, on the ids that several of them gave one.

    Parameters
    ----------
    events : DataFrame
        In order of arrival.
    tolerance : float or None
        Numbers that differ by at most this agree; ``None``: equal ones do.

    Returns
    -------
    dict
        As of `skmmal.campaign._votes.agreement`, with ``fleiss`` and ``kappa`` ``None``, which are about classes;
        ``alpha``, Krippendorff's with squared differences (``None`` where nothing differs); ``pairs`` with
        ``difference`` (mean of the first's less the second's), ``mean_absolute_difference``, and ``correlation``
        (Pearson's, ``None`` where it is undefined).

    References
    ----------
    .. [1] Hayes and Krippendorff, "Answering the call for a standard reliability measure for coding data",
       Communication Methods and Measures 1(1), 2007, pages 80 to 82.
    """
    votes = latest(events)
    votes = votes[votes["state"] == "label"]
    table = pd.DataFrame()
    if len(votes):
        numbers = votes.assign(label=votes["label"].astype(np.float64))
        table = numbers.pivot(index="id", columns="annotator", values="label")
        table = table[table.notna().sum(axis=1) > 1]
    n_unanimous = int(_within(table.min(axis=1), table.max(axis=1), tolerance).sum()) if len(table) else 0
    return {
        "n_several": len(table),
        "n_unanimous": n_unanimous,
        "n_differ": len(table) - n_unanimous,
        "by_annotator": {str(name): _with_the_others(table, name, tolerance) for name in table.columns},
        "fleiss": None,
        "n_fleiss": 0,
        "alpha": _alpha(table.to_numpy(dtype=np.float64)) if len(table) else None,
        "pairs": [
            _pair(first, second, table[[first, second]].dropna(), tolerance)
            for first, second in combinations(table.columns, 2)
            if table[[first, second]].notna().all(axis=1).any()
        ],
    }


def _with_the_others(table: pd.DataFrame, name: Any, tolerance: float | None) -> dict[str, Any]:
    mine = table[table[name].notna()]
    if mine.empty:
        return {"n": 0, "agrees": None}
    others = mine.drop(columns=name)
    known = others.notna().to_numpy()
    with np.errstate(invalid="ignore"):
        same = _within(others.to_numpy(), mine[[name]].to_numpy(), tolerance) & known
    return {"n": len(mine), "agrees": float((same.sum(axis=1) / known.sum(axis=1)).mean())}


def _pair(first: Any, second: Any, both: pd.DataFrame, tolerance: float | None) -> dict[str, Any]:
    one, two = both[first].to_numpy(), both[second].to_numpy()
    is_defined = len(both) > 1 and np.ptp(one) > 0 and np.ptp(two) > 0
    return {
        "first": first,
        "second": second,
        "n": len(both),
        "agree": float(_within(one, two, tolerance).mean()),
        "kappa": None,
        "difference": float((one - two).mean()),
        "mean_absolute_difference": float(np.abs(one - two).mean()),
        "correlation": float(np.corrcoef(one, two)[0, 1]) if is_defined else None,
    }


def _alpha(table: np.ndarray) -> float | None:
    """Krippendorff's α of numbers (ids, annotators), NaN for none; every id has two or more."""
    n = (~np.isnan(table)).sum(axis=1)
    # squared differences of the pairs of an id: n_u times the sum of squares about its mean
    within = (np.nanvar(table, axis=1) * n * n / (n - 1)).sum() / n.sum()
    values = table[~np.isnan(table)]
    between = values.var() * len(values) / (len(values) - 1)
    return float(1.0 - within / between) if between > 0 else None
