"""What several people said about a sample where an answer is a set: every label has votes of its own.

See `_votes` for what an event is; its ``label`` is a set (see `_sets`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skmmal.campaign._sets import states, text_of_states
from skmmal.campaign._votes import agreement_of_table, decisive, latest, said_by

__all__ = ["agreement", "conflicts", "resolve"]

_STATES = ("no", "yes")


def resolve(events: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Settle every id, label by label: by majority of the annotators' latest sets, or by an authority's word.

    Parameters
    ----------
    events : DataFrame
        In order of arrival.
    classes : list of str
        All labels.

    Returns
    -------
    DataFrame
        Columns as of `skmmal.campaign._votes.resolve`. A label is settled where more than half of those who know it
        agree; otherwise it stands in ``label`` as not known (``?sea``), and the state is ``conflict`` if the votes are
        equal. A label that nobody knows about makes no conflict. ``agreement`` is the mean over the labels of the
        share of the votes that went to the more frequent state.

    Examples
    --------
    >>> events = pd.DataFrame(
    ...     [("a", "sea", "ann"), ("a", "boat|sea", "bob"), ("a", "boat", "eve"), ("b", "", "ann"), ("b", "sea", "bob")]
    ... )
    >>> events = events.set_axis(["id", "label", "annotator"], axis=1)
    >>> events = events.assign(state="label", when="", annotation="", lead_time="")
    >>> resolve(events, ["boat", "sea"])[["state", "label", "n_votes"]]
           state     label  n_votes
    id
    a      label  boat|sea        3
    b   conflict      ?sea        2
    """
    last = latest(events)
    ids = pd.Index(sorted(last["id"].unique()), name="id", dtype=object)
    counted = decisive(last)
    yes, no = _votes(counted, ids, classes)
    all_yes, all_no = _votes(last, ids, classes)
    answered = counted["id"][counted["state"] == "label"].value_counts().reindex(ids, fill_value=0).to_numpy() > 0
    unsure = ids.isin(counted["id"][counted["state"] == "unsure"])
    tied = ((yes == no) & (yes > 0)).any(axis=1)
    settled = pd.DataFrame(index=ids)
    settled["state"] = np.select([tied, answered, unsure], ["conflict", "label", "unsure"], "skip").astype(object)
    won = np.where(yes == no, np.nan, (yes > no).astype(np.float64))
    settled["label"] = [
        text_of_states(row, classes) if has_answer else "" for row, has_answer in zip(won, answered, strict=True)
    ]
    settled["n_annotators"] = last.groupby("id").size().reindex(ids, fill_value=0).to_numpy(dtype=np.int64)
    given = last["id"][last["state"] == "label"].value_counts().reindex(ids, fill_value=0)
    settled["n_votes"] = given.to_numpy(dtype=np.int64)
    settled["agreement"] = _mean_share(all_yes, all_no)
    return settled.astype({"label": object})


def _votes(last: pd.DataFrame, ids: pd.Index, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """How many say of each id that it has each label, and that it has it not; (n_ids, L) each."""
    sets = last[last["state"] == "label"]
    said = states(sets["label"], classes)
    rows = ids.get_indexer(pd.Index(sets["id"]))
    yes, no = np.zeros((len(ids), len(classes)), dtype=np.int64), np.zeros((len(ids), len(classes)), dtype=np.int64)
    np.add.at(yes, rows, said == 1)
    np.add.at(no, rows, said == 0)
    return yes, no


def _mean_share(yes: np.ndarray, no: np.ndarray) -> np.ndarray:
    """Mean over the labels that have votes of the larger share of them; NaN without votes."""
    n = yes + no
    share = np.divide(np.maximum(yes, no), n, out=np.zeros(n.shape), where=n > 0)
    n_known = (n > 0).sum(axis=1)
    return np.divide(share.sum(axis=1), n_known, out=np.full(len(n), np.nan), where=n_known > 0)


def conflicts(events: pd.DataFrame, settled: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Ids whose annotators' sets differ, with all sides.

    Parameters
    ----------
    events : DataFrame
        In order of arrival.
    settled : DataFrame
        What `resolve` made of them.
    classes : list of str

    Returns
    -------
    DataFrame
        ``id``, ``settled`` (the set, if all labels are settled), ``labels`` (those that annotators differ about),
        ``said`` (who said what), open ones first.
    """
    last = latest(events)
    ids = pd.Index(sorted(last["id"].unique()), dtype=object)
    yes, no = _votes(last, ids, classes)
    differ = (yes > 0) & (no > 0)
    odd = np.flatnonzero(differ.any(axis=1))
    names = np.asarray(classes, dtype=object)
    table = pd.DataFrame({"id": ids[odd].to_numpy()}, dtype=object)
    is_open = (settled["state"].reindex(ids[odd]) == "conflict").to_numpy()
    table["settled"] = settled["label"].reindex(ids[odd]).mask(is_open, "").to_numpy()
    table["labels"] = [", ".join(names[differ[row]]) for row in odd]
    table["said"] = said_by(events[events["id"].isin(table["id"])]).reindex(table["id"]).to_numpy() if len(odd) else ""
    return table.iloc[np.argsort(~is_open, kind="stable")].reset_index(drop=True)


def agreement(events: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
    """How far annotators agree about each label, and on the whole.

    Parameters
    ----------
    events : DataFrame
        In order of arrival.
    classes : list of str

    Returns
    -------
    dict
        As of `skmmal.campaign._votes.agreement`: ``n_several`` ids with two sets or more, ``n_unanimous`` where all
        labels are the same, ``n_differ``; ``by_annotator``, ``agrees`` and ``agree`` count rows times labels;
        ``fleiss`` and ``kappa`` are means over the labels for which they are defined (``None`` without such); and
        ``labels``, for each label ``label``, ``n_several``, ``agree`` (share of the pairs of annotators of a row that
        agree), ``kappa`` (mean of Cohen's over the pairs of annotators), ``fleiss``.
    """
    votes = latest(events)
    votes = votes[votes["state"] == "label"]
    said = states(votes["label"], classes)
    by_label = []
    for column in range(len(classes)):
        known = ~np.isnan(said[:, column])
        words = np.array(_STATES, dtype=object)[said[known, column].astype(np.intp)]
        table = votes.loc[known, ["id", "annotator"]].assign(word=words)
        wide = table.pivot(index="id", columns="annotator", values="word") if known.any() else pd.DataFrame()
        by_label.append(agreement_of_table(wide))
    sets = votes.pivot(index="id", columns="annotator", values="label") if len(votes) else pd.DataFrame()
    n_several = int((sets.notna().sum(axis=1) > 1).sum()) if len(sets) else 0
    n_differ = _n_differ(votes["id"], said)
    return {
        "n_several": n_several,
        "n_unanimous": n_several - n_differ,
        "n_differ": n_differ,
        "by_annotator": {str(name): _of_annotator(by_label, name, sets) for name in sets.columns},
        "fleiss": _mean([found["fleiss"] for found in by_label]),
        "n_fleiss": max((found["n_fleiss"] for found in by_label), default=0),
        "pairs": _pairs(by_label),
        "labels": [_of_label(name, found) for name, found in zip(classes, by_label, strict=True)],
    }


def _n_differ(ids: pd.Series, said: np.ndarray) -> int:
    if not len(ids):
        return 0
    by_id = pd.DataFrame(said).groupby(ids.to_numpy())
    return int((by_id.max() != by_id.min()).where(by_id.count() > 0, False).any(axis=1).sum())


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _of_annotator(by_label: list[dict[str, Any]], name: Any, sets: pd.DataFrame) -> dict[str, Any]:
    """Rows that others answered, too, and the share of their labels in which both say the same."""
    found = [of["by_annotator"][str(name)] for of in by_label if str(name) in of["by_annotator"]]
    n_entries = sum(of["n"] for of in found)
    agreed = sum(of["n"] * of["agrees"] for of in found if of["n"])
    several = sets[sets[name].notna() & (sets.notna().sum(axis=1) > 1)]
    return {"n": len(several), "agrees": agreed / n_entries if n_entries else None}


def _pairs(by_label: list[dict[str, Any]]) -> list[dict[str, Any]]:
    pairs: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for found in by_label:
        for pair in found["pairs"]:
            pairs.setdefault((pair["first"], pair["second"]), []).append(pair)
    return [
        {
            "first": first,
            "second": second,
            "n": max(one["n"] for one in of),
            "agree": sum(one["n"] * one["agree"] for one in of) / sum(one["n"] for one in of),
            "kappa": _mean([one["kappa"] for one in of]),
        }
        for (first, second), of in sorted(pairs.items())
    ]


def _of_label(name: str, found: dict[str, Any]) -> dict[str, Any]:
    n = sum(pair["n"] for pair in found["pairs"])
    return {
        "label": name,
        "n_several": found["n_several"],
        "agree": sum(pair["n"] * pair["agree"] for pair in found["pairs"]) / n if n else None,
        "kappa": _mean([pair["kappa"] for pair in found["pairs"]]),
        "fleiss": found["fleiss"],
    }
