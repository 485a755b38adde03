"""Who is who: Label Studio gives the same person as ``1``, as ``{"id": 1, "email": ...}``, or by the e-mail alone."""

from __future__ import annotations

import pandas as pd

__all__ = ["learn", "one_person"]

People = dict[str, str]
"""Number of a person to the name."""


def learn(events: pd.DataFrame) -> People:
    """Names of people that events know by number.

    A number has a name where an event gives both, or where two events about the same annotation give one each. A number
    with several names has none: they may be people of two servers.

    Parameters
    ----------
    events : DataFrame
        With `ALL_COLUMNS`, in order of arrival.

    Returns
    -------
    dict of str to str
    """
    numbers = _numbers(events)
    named = events["annotator"].to_numpy() != numbers.to_numpy()
    pairs = dict.fromkeys(
        (number, name)
        for number, name in zip(
            numbers[named & (numbers != "")], events["annotator"][named & (numbers != "")], strict=True
        )
    )
    marked = (events["annotation"] != "") & (events["when"] != "")
    if marked.any():
        table = pd.DataFrame({"number": numbers, "name": events["annotator"], "named": named})[marked]
        key = [events.loc[marked, name] for name in ("id", "annotation", "when")]
        several = table.groupby(key)["name"].transform("nunique") > 1
        for _, group in table[several].groupby([part[several] for part in key]):
            of = set(group["number"]) - {""}
            if len(of) == 1:
                pairs.update(dict.fromkeys((*of, name) for name in group["name"][group["named"]]))
    people: dict[str, list[str]] = {}
    for number, name in pairs:
        people.setdefault(number, []).append(name)
    return {number: names[0] for number, names in people.items() if len(names) == 1}


def one_person(events: pd.DataFrame, people: People) -> pd.DataFrame:
    """Events in which everyone has one name."""
    if events.empty or not people:
        return events
    numbers = _numbers(events)
    alone = events["annotator"].to_numpy() == numbers.to_numpy()
    name = events["annotator"].where(~(alone & numbers.isin(list(people))), numbers.map(people))
    return events.assign(annotator=name.astype(object))


def _numbers(events: pd.DataFrame) -> pd.Series:
    """Number of the person; the first version kept it as the annotator."""
    bare = events["annotator"].str.isdigit() & (events["annotation"] != "")
    return events["annotator_id"].where((events["annotator_id"] != "") | ~bare, events["annotator"])
