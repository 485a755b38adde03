"""Labels on their way in: brought into one form, checked against the campaign, nothing silently dropped."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skmmal.campaign._files import digest
from skmmal.campaign.votes import EVENT_COLUMNS, STATES, latest

__all__ = ["Incoming", "check_classes", "check_ids", "new_events", "normalize"]


@dataclass
class Incoming:
    """Events as the campaign keeps them, and how many lines said nothing."""

    events: pd.DataFrame
    n_blank: int

    @property
    def digest(self) -> str:
        """Checksum of what the events say."""
        return digest(events_csv(self.events))


def events_csv(events: pd.DataFrame) -> bytes:
    """Events as the bytes of a CSV file."""
    return events.loc[:, list(EVENT_COLUMNS)].to_csv(index=False, lineterminator="\n").encode()


def normalize(labels: Any, annotator: str) -> Incoming:
    """Bring labels into the columns of `EVENT_COLUMNS`, all of them text.

    Parameters
    ----------
    labels : DataFrame with the columns id and label, mapping of id to label, or Series of labels indexed by id
        A DataFrame may hold ``state``, ``annotator``, ``when``, ``annotation``, ``lead_time`` too. A line without
        label and state says nothing; it is counted and left out.
    annotator : str
        Who labelled, where the labels do not say.

    Returns
    -------
    Incoming

    Raises
    ------
    ValueError
        A column is missing, an id is empty, a state unknown or contradicted, a time unreadable.
    """
    table = _as_table(labels)
    for name in ("id", "label"):
        if name not in table.columns:
            raise ValueError(f"labels: no column {name!r}; there are {[str(column) for column in table.columns]}")
    if table.columns.duplicated().any():
        raise ValueError(f"labels: the column {table.columns[table.columns.duplicated()][0]!r} is there twice")
    events = pd.DataFrame(
        {name: _text(table[name]) if name in table.columns else "" for name in EVENT_COLUMNS},
        index=range(len(table)),
        dtype=object,
    )
    events.loc[events["annotator"] == "", "annotator"] = annotator
    events["state"] = events["state"].str.lower()
    _complain(events["id"] == "", "the id is empty", events)
    blank = (events["label"] == "") & events["state"].isin(["", "label"])
    events.loc[(events["label"] != "") & (events["state"] == ""), "state"] = "label"
    _complain(~blank & ~events["state"].isin(STATES), f"the state is none of {list(STATES)}", events, "state")
    _complain(
        events["state"].isin(["skip", "unsure"]) & (events["label"] != ""),
        "the state is skip or unsure, and there is a label",
        events,
        "label",
    )
    times = pd.to_datetime(events["when"].where(events["when"] != ""), utc=True, format="ISO8601", errors="coerce")
    _complain((events["when"] != "") & times.isna(), "the time is not in ISO 8601 form", events, "when")
    return Incoming(events[~blank].reset_index(drop=True), int(blank.sum()))


def _as_table(labels: Any) -> pd.DataFrame:
    if isinstance(labels, pd.DataFrame):
        return labels
    if isinstance(labels, pd.Series):
        return pd.DataFrame({"id": labels.index, "label": labels.to_numpy()})
    if isinstance(labels, Mapping):
        return pd.DataFrame({"id": list(labels), "label": list(labels.values())}, dtype=object)
    raise TypeError(
        "labels must be a file, a DataFrame with the columns id and label, a mapping of id to label, or a Series "
        f"indexed by id, got {type(labels).__name__}"
    )


def _text(column: pd.Series) -> list[str]:
    return ["" if _is_nothing(value) else _one_line(value) for value in column]


def _is_nothing(value: Any) -> bool:
    return value is None or (np.ndim(value) == 0 and bool(pd.isna(value)))


def _one_line(value: Any) -> str:
    if isinstance(value, list | tuple | dict | set | np.ndarray):
        raise ValueError(f"labels: {value!r} is not one value; a sample has one label")
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)  # a column of numbers with gaps: 3.0 is class 3
    text = str(value)
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError(f"labels: {text!r} holds a line break or a null character")
    return text


def _complain(wrong: pd.Series, what: str, events: pd.DataFrame, column: str | None = None) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        found = "" if column is None else f", found {events[column].iloc[rows[0]]!r}"
        raise ValueError(f"labels: {what} in {len(rows)} of {len(events)} lines, first in line {rows[0] + 1}{found}")


# ------------------------------------------------------------------------------------------------------- checks


def check_ids(
    incoming: Incoming, known: set[str], held_out: set[str], ignore_unknown: bool
) -> tuple[Incoming, pd.DataFrame]:
    """Split off labels for ids that the campaign cannot use; an error, unless they are to be ignored."""
    events = incoming.events
    bad = ~events["id"].isin(known) | events["id"].isin(held_out)
    if bad.any() and not ignore_unknown:
        first = events["id"][bad].iloc[0]
        where = "belongs to the validation set" if first in held_out else "is not among the features"
        raise ValueError(
            f"{int(bad.sum())} of {len(events)} labels are for ids that this campaign does not label; the first, "
            f"{first!r}, {where}. Nothing was recorded; ignore_unknown (--ignore-unknown) leaves such labels out"
        )
    return Incoming(events[~bad].reset_index(drop=True), incoming.n_blank), events[bad].reset_index(drop=True)


def check_classes(incoming: Incoming, known: list[str], allow_new: bool) -> list[str]:
    """Return the classes that are new; an error with counts, unless they are welcome.

    The first labels of a campaign without declared classes define them.
    """
    given = Counter(incoming.events["label"][incoming.events["state"] == "label"])
    new = sorted(set(given) - set(known))
    if new and known and not allow_new:
        shown = []
        for name in new[:10]:
            close = difflib.get_close_matches(name, known, n=1)
            shown.append(f"{name!r} ({given[name]}×{f', did you mean {close[0]!r}?' if close else ''})")
        raise ValueError(
            f"{sum(given[name] for name in new)} of {len(incoming.events)} labels are of {len(new)} classes that are "
            f"new here: {', '.join(shown)}{', ...' if len(new) > 10 else ''}. Known: {known[:20]}. Nothing was "
            "recorded; allow_new_classes (--allow-new-classes) admits them"
        )
    return new


def new_events(incoming: Incoming, history: pd.DataFrame) -> tuple[pd.DataFrame, int, int]:
    """Events that say something new, how many were known, and how many change an annotator's earlier word.

    With a time or an annotation's number an event is known if it was ever received; without, if it repeats what the
    annotator said last.
    """
    columns = ["id", "label", "state", "annotator", "when", "annotation"]
    received = set(history[columns].itertuples(index=False, name=None))
    said = {(row.id, row.annotator): (row.label, row.state) for row in latest(history).itertuples(index=False)}
    keep, n_changed = [], 0
    for row in incoming.events.itertuples():
        key = (row.id, row.label, row.state, row.annotator, row.when, row.annotation)
        person, word = (row.id, row.annotator), (row.label, row.state)
        marked = bool(row.when or row.annotation)
        if (marked and key in received) or (not marked and said.get(person) == word):
            continue
        keep.append(row.Index)
        n_changed += person in said and said[person] != word
        received.add(key)
        said[person] = word
    fresh = incoming.events.loc[keep].reset_index(drop=True)
    return fresh, len(incoming.events) - len(fresh), n_changed
