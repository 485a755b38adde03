"""What several people said about a sample: the latest word of each, the majority, and how far they agree.

A label arrives as an event with the columns of `EVENT_COLUMNS`. ``state`` is ``label``, ``skip`` (not to be labelled)
or ``unsure`` (the annotator cannot tell). ``when`` is the annotation tool's own time and may be empty.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

__all__ = ["agreement", "latest", "resolve"]

EVENT_COLUMNS = ("id", "label", "state", "annotator", "when", "annotation", "lead_time")
STATES = ("label", "skip", "unsure")


def latest(events: pd.DataFrame) -> pd.DataFrame:
    """Keep the latest event of every annotator about every id.

    Where all events of an annotator about an id have a time, the last by time counts, otherwise the last that arrived.

    Parameters
    ----------
    events : DataFrame
        With `EVENT_COLUMNS`, in order of arrival.

    Returns
    -------
    DataFrame
        In order of arrival.
    """
    if events.empty:
        return events
    times = pd.to_datetime(events["when"].where(events["when"] != ""), utc=True, format="ISO8601", errors="coerce")
    by_person = [events["id"], events["annotator"]]
    timed = times.notna().groupby(by_person).transform("all")
    order = pd.DataFrame(
        {
            # times do not count where one is missing
            "time": times.where(timed, pd.Timestamp(0, tz="UTC")),
            "arrival": np.arange(len(events)),
        },
        index=events.index,
    ).sort_values(["time", "arrival"])
    return events.loc[order.index].drop_duplicates(["id", "annotator"], keep="last").sort_index()


def resolve(events: pd.DataFrame) -> pd.DataFrame:
    """Settle every id: by majority of the annotators' latest labels.

    Parameters
    ----------
    events : DataFrame
        With `EVENT_COLUMNS`, in order of arrival.

    Returns
    -------
    DataFrame
        Indexed by id, sorted: ``state`` (``label``, ``skip``, ``unsure``, ``conflict``), ``label`` (empty unless the
        state is label), ``n_annotators``, ``n_votes`` (annotators who gave a label), ``agreement`` (share of the votes
        that went to the most frequent label; NaN without votes). A label needs more than half of the votes; otherwise
        the state is ``conflict``. Without votes, one ``unsure`` outweighs any number of ``skip``.

    Examples
    --------
    >>> events = pd.DataFrame(
    ...     [("a", "cat", "ann"), ("a", "cat", "bob"), ("a", "dog", "eve"), ("b", "cat", "ann"), ("b", "dog", "bob")],
    ...     columns=["id", "label", "annotator"],
    ... ).assign(state="label", when="", annotation="", lead_time="")
    >>> resolve(events)[["state", "label", "n_votes"]]
           state label  n_votes
    id
    a      label   cat        3
    b   conflict              2
    """
    last = latest(events)
    ids = pd.Index(sorted(last["id"].unique()), name="id", dtype=object)
    settled = pd.DataFrame(index=ids)
    votes = last[last["state"] == "label"]
    unsure = set(last["id"][last["state"] == "unsure"])
    n_annotators = last.groupby("id").size().reindex(ids, fill_value=0)
    n_votes = votes.groupby("id").size().reindex(ids, fill_value=0)
    counts = votes.groupby(["id", "label"]).size().reset_index(name="n")
    top = counts.sort_values(["id", "n", "label"], ascending=[True, False, True]).drop_duplicates("id").set_index("id")
    most = top["n"].reindex(ids, fill_value=0)
    won = (n_votes > 0) & (2 * most > n_votes)
    no_vote = [("unsure" if name in unsure else "skip") for name in ids]
    settled["state"] = np.where(won, "label", np.where(n_votes > 0, "conflict", no_vote)).astype(object)
    settled["label"] = top["label"].reindex(ids).where(won, "").astype(object)
    settled["n_annotators"] = n_annotators.to_numpy(dtype=np.int64)
    settled["n_votes"] = n_votes.to_numpy(dtype=np.int64)
    settled["agreement"] = (most / n_votes.where(n_votes > 0)).to_numpy(dtype=np.float64)
    return settled


def agreement(events: pd.DataFrame) -> dict[str, Any]:
    """How far annotators agree, on the ids that several of them labelled.

    Parameters
    ----------
    events : DataFrame
        With `EVENT_COLUMNS`, in order of arrival.

    Returns
    -------
    dict
        ``n_several`` (ids with two labels or more), ``n_unanimous``, ``fleiss`` (Fleiss' κ over the ids with the most
        usual number of labels, `n_fleiss` of them; ``None`` where it is undefined or statsmodels is not installed), and
        ``pairs``: for each two annotators with common ids ``first``, ``second``, ``n``, ``agree`` (share), ``kappa``
        (Cohen's; ``None`` where it is undefined).

    Examples
    --------
    >>> rows = [(i, label, who) for i in range(4) for who, label in (("ann", "ab"[i % 2]), ("bob", "ab"[i // 2]))]
    >>> events = pd.DataFrame(rows, columns=["id", "label", "annotator"]).assign(state="label", when="")
    >>> found = agreement(events)
    >>> found["n_unanimous"], found["pairs"][0]["kappa"]
    (2, 0.0)
    """
    votes = latest(events)
    votes = votes[votes["state"] == "label"]
    table = votes.pivot(index="id", columns="annotator", values="label") if len(votes) else pd.DataFrame()
    several = table[table.notna().sum(axis=1) > 1] if len(table) else table
    pairs = []
    for first, second in combinations(table.columns, 2):
        both = several[[first, second]].dropna()
        if len(both):
            a, b = both[first].to_numpy(dtype=str), both[second].to_numpy(dtype=str)
            pairs.append(
                {
                    "first": first,
                    "second": second,
                    "n": len(both),
                    "agree": float((a == b).mean()),
                    "kappa": _cohen(a, b),
                }
            )
    fleiss, n_fleiss = _fleiss(several)
    return {
        "n_several": len(several),
        "n_unanimous": int((several.nunique(axis=1) == 1).sum()) if len(several) else 0,
        "fleiss": fleiss,
        "n_fleiss": n_fleiss,
        "pairs": pairs,
    }


def _cohen(a: np.ndarray, b: np.ndarray) -> float | None:
    if len(np.unique(np.concatenate([a, b]))) < 2:
        return None  # agreement by chance is certain: 0/0
    return float(cohen_kappa_score(a, b))


def _fleiss(several: pd.DataFrame) -> tuple[float | None, int]:
    """Fleiss' κ needs the same number of labels for every id: those with the most usual number are taken."""
    if several.empty:
        return None, 0
    numbers = several.notna().sum(axis=1)
    usual = several[numbers == numbers.mode().max()]
    counts = usual.stack().groupby(level=0).value_counts().unstack(fill_value=0)
    if counts.shape[1] < 2:
        return None, len(usual)
    try:
        from statsmodels.stats.inter_rater import fleiss_kappa
    except ImportError:
        return None, len(usual)
    return float(fleiss_kappa(counts.to_numpy())), len(usual)
