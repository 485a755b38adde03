"""Which events of a delivery say something new."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from skmmal.campaign._votes import latest

__all__ = ["new_events"]

_KEY = ("id", "label", "state", "annotator", "when", "annotation", "authority")


def new_events(
    incoming: pd.DataFrame,
    history: pd.DataFrame,
    retracted: pd.DataFrame | None = None,
    *,
    again: bool = False,
    waiting: Mapping[str, int] = MappingProxyType({}),
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Events that say something new, and counts of the others.

    With a time an event is known if it was ever received. Without, it is known if it repeats what the annotator said
    last: who says cat, dog, and cat again, means cat. The same holds for a time that several words share. Where the row
    was handed out once more, and the line says so (``again``, the round), it is the answer to that.

    Parameters
    ----------
    incoming, history : DataFrame
        Events, everyone under one name.
    retracted : DataFrame, optional
        Events that were taken back here by hand. With a time they stay so when they are received again.
    again : bool, default=False
        It is a file that was received before: words without a time are known, whatever was said since.
    waiting : mapping of str to int, optional
        Ids that wait for an answer, and the round that handed them out.

    Returns
    -------
    DataFrame
        Positions kept, index of `incoming`.
    dict
        ``known``, ``changed``, ``retracted``, ``unmarked`` (of those known: without a time, about rows that wait).
    """
    received = set(history[list(_KEY)].itertuples(index=False, name=None))
    taken_back = set() if retracted is None else set(retracted[list(_KEY)].itertuples(index=False, name=None))
    said: dict[tuple[str, ...], tuple[Any, ...]] = {}
    row: Any
    for row in latest(history).itertuples(index=False):
        said[_lane(row)] = (row.label, row.state, row.authority, row.when)
    last_of = {_lane(row): row.Index for row in incoming.itertuples()}
    counts = {"known": 0, "changed": 0, "retracted": 0, "unmarked": 0}
    keep = []
    for row in incoming.itertuples():
        person, word = _lane(row), (row.label, row.state, row.authority)
        key = tuple(getattr(row, name) for name in _KEY)
        before = said.get(person)
        repeats = before is not None and before[:3] == word
        if row.when:
            if key in taken_back and key not in received:
                counts["retracted"] += 1
                continue
            shares_time = before is not None and before[3] == row.when and last_of[person] == row.Index
            known = key in received and (repeats or not shares_time)
        else:
            confirms = repeats and not again and getattr(row, "again", "") == str(waiting.get(row.id, "none"))
            known = (repeats and not confirms) or again
            counts["unmarked"] += known and not again and row.id in waiting
        if known:
            counts["known"] += 1
            continue
        keep.append(row.Index)
        counts["changed"] += before is not None and before[:2] != word[:2]
        received.add(key)
        if before is None or not (row.when and before[3]) or _later(row.when, before[3]):
            said[person] = (*word, row.when)
        if row.state == "reject":
            _forget(said, (row.id, row.annotator, ""), row.label)
        elif row.state == "label":
            said.pop((row.id, row.annotator, row.label), None)
    return incoming.loc[keep], counts


def _lane(row: Any) -> tuple[str, ...]:
    return (row.id, row.annotator, row.label if row.state == "reject" else "")


def _forget(said: dict[tuple[str, ...], tuple[Any, ...]], person: tuple[str, ...], label: str) -> None:
    if person in said and said[person][0] == label:
        del said[person]


def _later(time: str, than: str) -> bool:
    """Whether one ISO time is not before another."""
    return bool(pd.to_datetime(time, utc=True, format="ISO8601") >= pd.to_datetime(than, utc=True, format="ISO8601"))
