"""What several people said about a sample: the latest word of each, the majority, and how far they agree.

A label arrives as an event with the columns of `ALL_COLUMNS`, all of them text and empty where nothing is known.
``state`` is ``label``, ``skip`` (not to be labelled), ``unsure`` (the annotator cannot tell) or ``reject`` (the sample
is *not* of the class in ``label``). ``when`` is the annotation tool's own time, ``annotation`` its number for the
annotation, ``project`` where that number was given, ``annotator_id`` its number for the person, ``origin`` how the
answer came about (``manual``, ``prediction``: a prediction was accepted, ``prediction-changed``), and ``authority`` is
``yes`` for a word that settles conflicts.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from skmmal.stopping import kappa

__all__ = ["agreement", "agreement_of_table", "conflicts", "decisive", "latest", "resolve", "said_by"]

EVENT_COLUMNS = ("id", "label", "state", "annotator", "when", "annotation", "lead_time")
MORE_COLUMNS = ("origin", "project", "annotator_id", "authority")
"""Missing in the first version's campaigns."""
ALL_COLUMNS = EVENT_COLUMNS + MORE_COLUMNS
STATES = ("label", "skip", "unsure", "reject")


def latest(events: pd.DataFrame) -> pd.DataFrame:
    """Keep the latest event of every annotator about every id.

    Where all events of an annotator about an id have a time, the last by time counts, otherwise the last that arrived.
    That a sample is not of a class (``reject``) is a word of its own beside the label: it falls only to a later label
    of that class by the same annotator, and takes back an earlier one.

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
    events = events.loc[order.index]
    rejected = events["state"] == "reject"
    if not rejected.any():
        return events.drop_duplicates(["id", "annotator"], keep="last").sort_index()
    place = pd.Series(np.arange(len(events)), index=events.index)
    lane = events["label"].where(rejected, None)
    last = ~pd.DataFrame({"id": events["id"], "who": events["annotator"], "lane": lane}).duplicated(keep="last")
    kept, place = events[last], place[last]
    # a label and a rejection of that label by the same person contradict each other: the later one counts
    about = kept[kept["state"].isin(["label", "reject"])]
    later = place.loc[about.index].groupby([about["id"], about["annotator"], about["label"]]).transform("max")
    outdated = about.index[place.loc[about.index] < later]
    return kept.drop(index=outdated).sort_index()


def resolve(events: pd.DataFrame) -> pd.DataFrame:
    """Settle every id: by majority of the annotators' latest labels, or by an authority's word.

    Parameters
    ----------
    events : DataFrame
        With `EVENT_COLUMNS`, in order of arrival.

    Returns
    -------
    DataFrame
        Indexed by id, sorted: ``state`` (``label``, ``skip``, ``unsure``, ``conflict``), ``label`` (empty unless the
        state is label), ``n_annotators``, ``n_votes`` (annotators who gave a label), ``agreement`` (share of the votes
        that went to the most frequent label; NaN without votes). A label needs more than half of the votes, and an
        annotator who rejects that very label votes against it; otherwise the state is ``conflict``. Without votes, one
        ``unsure`` outweighs any number of ``skip``. Where an authority gave a label or a skip, only the words of
        authorities count. An id of which is only known what it is not is left out: it is still to be labelled.

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
    >>> resolve(events.assign(authority=["", "", "", "", "yes"]))[["state", "label", "n_votes"]]
        state label  n_votes
    id
    a   label   cat        3
    b   label   dog        2
    """
    last = latest(events)
    rejections = last[last["state"] == "reject"]
    last = last[last["state"] != "reject"]
    ids = pd.Index(sorted(last["id"].unique()), name="id", dtype=object)
    settled = pd.DataFrame(index=ids)
    n_annotators = last.groupby("id").size().reindex(ids, fill_value=0)
    n_given, _, most_given = _tally(last, ids)
    counted = decisive(last)
    unsure = set(counted["id"][counted["state"] == "unsure"])
    n_votes, best, most = _tally(counted, ids)
    against = _against(rejections, best, last)
    won = (n_votes > 0) & (2 * most > n_votes + against)
    no_vote = [("unsure" if name in unsure else "skip") for name in ids]
    settled["state"] = np.where(won, "label", np.where(n_votes > 0, "conflict", no_vote)).astype(object)
    settled["label"] = best.where(won, "").astype(object)
    settled["n_annotators"] = n_annotators.to_numpy(dtype=np.int64)
    settled["n_votes"] = n_given.to_numpy(dtype=np.int64)
    settled["agreement"] = (most_given / n_given.where(n_given > 0)).to_numpy(dtype=np.float64)
    return settled


def _tally(last: pd.DataFrame, ids: pd.Index) -> tuple[pd.Series, pd.Series, pd.Series]:
    """For every id the votes, the label that has most of them (on a tie the first in the alphabet), and how many."""
    votes = last[last["state"] == "label"]
    counts = votes.groupby(["id", "label"]).size().reset_index(name="n")
    top = counts.sort_values(["id", "n", "label"], ascending=[True, False, True]).drop_duplicates("id").set_index("id")
    n_votes = votes.groupby("id").size().reindex(ids, fill_value=0)
    return n_votes, top["label"].reindex(ids), top["n"].reindex(ids, fill_value=0)


def _has_authority(last: pd.DataFrame) -> pd.Series:
    """Words that settle a conflict."""
    if "authority" not in last.columns:
        return pd.Series(False, index=last.index)
    return (last["authority"] == "yes") & last["state"].isin(["label", "skip"])


def decisive(last: pd.DataFrame) -> pd.DataFrame:
    """Words that count: those of authorities, where one has spoken."""
    authority = _has_authority(last)
    return last[authority | ~last["id"].isin(set(last["id"][authority]))]


def _against(rejections: pd.DataFrame, best: pd.Series, last: pd.DataFrame) -> pd.Series:
    """How many reject the label that has most votes; an authority's label cannot be outvoted."""
    free = rejections[~rejections["id"].isin(set(last["id"][_has_authority(last)]))]
    hits = free["label"].to_numpy() == best.reindex(free["id"]).to_numpy()
    return free["id"][hits].value_counts().reindex(best.index, fill_value=0)


def said_by(events: pd.DataFrame) -> pd.Series:
    """Who said what, in words, for every id: ``ann: cat; bob: dog``."""
    last = latest(events).sort_values(["id", "annotator"], kind="stable")
    shown = {"label": "{}", "reject": "not {}", "skip": "skip", "unsure": "unsure"}
    words = [
        f"{who}{' (authority)' if lead else ''}: {shown[state].format(label or 'none of them')}"
        for who, state, label, lead in zip(
            last["annotator"], last["state"], last["label"], _has_authority(last), strict=True
        )
    ]
    return pd.Series(words, index=pd.Index(last["id"], name="id"), dtype=object).groupby(level=0).agg("; ".join)


def conflicts(events: pd.DataFrame) -> pd.DataFrame:
    """Ids whose annotators disagree, with both sides.

    Parameters
    ----------
    events : DataFrame
        With `EVENT_COLUMNS`, in order of arrival.

    Returns
    -------
    DataFrame
        ``id``, ``settled`` (the label that a majority or an authority has settled it to; empty while it is open),
        ``said`` (who said what), open ones first.
    """
    last = latest(events)
    votes = last[last["state"].isin(["label", "reject"])]
    settled = resolve(events)
    labels = votes[votes["state"] == "label"].groupby("id")["label"].nunique()
    odd = set(labels.index[labels > 1]) | set(settled.index[settled["state"] == "conflict"])
    table = pd.DataFrame({"id": sorted(odd)}, dtype=object)
    table["settled"] = settled["label"].reindex(table["id"]).fillna("").to_numpy()
    table["said"] = said_by(events[events["id"].isin(odd)]).reindex(table["id"]).to_numpy() if len(table) else ""
    return table.sort_values("settled", key=lambda column: column != "", kind="stable").reset_index(drop=True)


def agreement(events: pd.DataFrame) -> dict[str, Any]:
    """How far annotators agree, on the ids that several of them labelled.

    Parameters
    ----------
    events : DataFrame
        With `EVENT_COLUMNS`, in order of arrival.

    Returns
    -------
    dict
        ``n_several`` (ids with two labels or more), ``n_unanimous``, ``n_differ`` (the others), ``by_annotator`` (for
        each annotator ``n``, rows with another annotator's label, and ``agrees``, the share of them in which both say
        the same; with more than two annotators every other one counts as much), ``fleiss`` (Fleiss' κ over the ids with
        the most usual number of labels, `n_fleiss` of them; ``None`` where it is undefined or without
        statsmodels), and ``pairs``: for each two annotators with common ids ``first``, ``second``, ``n``, ``agree``
        (share), ``kappa`` (Cohen's; ``None`` where it is undefined).

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
    has_votes = len(votes) > 0
    return agreement_of_table(
        votes.pivot(index="id", columns="annotator", values="label") if has_votes else pd.DataFrame()
    )


def agreement_of_table(table: pd.DataFrame) -> dict[str, Any]:
    """How far annotators agree: what `agreement` says, of a table of words.

    Parameters
    ----------
    table : DataFrame
        One line for each id, one column for each annotator; what they said, NaN for nothing.

    Returns
    -------
    dict
    """
    several = table[table.notna().sum(axis=1) > 1] if len(table) else table
    pairs = []
    for first, second in combinations(table.columns, 2):
        both = several[[first, second]].dropna()
        if len(both):
            cohen = kappa(both[first], both[second])
            pairs.append(
                {
                    "first": first,
                    "second": second,
                    "n": len(both),
                    "agree": float((both[first] == both[second]).mean()),
                    "kappa": None if np.isnan(cohen) else cohen,
                }
            )
    fleiss, n_fleiss = _fleiss(several)
    n_unanimous = int((several.nunique(axis=1) == 1).sum()) if len(several) else 0
    return {
        "n_several": len(several),
        "n_unanimous": n_unanimous,
        "n_differ": len(several) - n_unanimous,
        "by_annotator": {str(name): _with_the_others(several, name) for name in several.columns},
        "fleiss": fleiss,
        "n_fleiss": n_fleiss,
        "pairs": pairs,
    }


def _with_the_others(several: pd.DataFrame, name: Any) -> dict[str, Any]:
    mine = several[several[name].notna()]
    others = mine.drop(columns=name)
    same = others.eq(mine[name], axis=0).sum(axis=1) / others.notna().sum(axis=1)
    return {"n": len(mine), "agrees": float(same.mean()) if len(mine) else None}


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
