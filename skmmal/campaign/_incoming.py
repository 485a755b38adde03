"""Labels on their way in, brought into one form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from skmmal.campaign._files import digest
from skmmal.campaign._incoming_sets import as_sets, new_names
from skmmal.campaign._numbers import number_of, text_of_number
from skmmal.campaign._sets import SEPARATOR
from skmmal.campaign._votes import ALL_COLUMNS, STATES
from skmmal.campaign.formats._csv import csv_bytes
from skmmal.campaign.formats._huggingface import from_dataset

__all__ = ["Incoming", "events_csv", "normalize"]


@dataclass
class Incoming:
    """Events as the campaign keeps them, how many lines said nothing, and what was read beside them."""

    events: pd.DataFrame
    n_blank: int
    about: dict[str, Any] = field(default_factory=dict)
    mapped: dict[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Checksum of what the events say."""
        return digest(events_csv(self.events))


def events_csv(events: pd.DataFrame) -> bytes:
    """Events as the bytes of a CSV file."""
    return csv_bytes(events[list(ALL_COLUMNS)])


def normalize(
    labels: Any,
    annotator: str,
    map_classes: Mapping[str, str] | None = None,
    *,
    multilabel: bool = False,
    separator: str = SEPARATOR,
    classes: Collection[str] = (),
    numbers: bool = False,
) -> Incoming:
    """Bring labels into the columns of `ALL_COLUMNS`, all of them text.

    Parameters
    ----------
    labels : DataFrame with the columns id and label, mapping of id to label, or Series of labels indexed by id
        A DataFrame may hold the other columns of `ALL_COLUMNS`, too, and ``again``, as batches do. A line
        without label and state says nothing; it is counted and left out. Blanks around a label are no part of it.
    annotator : str
        Who labelled, where the labels do not say.
    map_classes : mapping of str to str, optional
        Labels to rename; ``skip`` and ``unsure`` make them that state.
    multilabel : bool, default=False
        A label is a set; see `as_sets`, also for the last two.
    separator : str, default="|"
    classes : collection of str, default=()
    numbers : bool, default=False
        A label is a number.

    Returns
    -------
    Incoming

    Raises
    ------
    ValueError
        A column is missing, an id is empty, a state unknown or contradicted, a time unreadable, or one annotator says
        two things about one id and no time tells which is the later.
    """
    table = _as_table(labels, multilabel)
    sets_mapped: dict[str, int] | None = None
    if multilabel:
        table, sets_mapped = as_sets(table, map_classes or {}, separator, classes)
    about = {str(name): value for name, value in table.attrs.items()}
    lines = about.get("lines", [])
    if not isinstance(lines, list) or len(lines) != len(table):  # a DataFrame, or a part of what was read from a file
        lines = list(range(1, len(table) + 1))
    for name in ("id", "label"):
        if name not in table.columns:
            raise ValueError(f"labels: no column {name!r}; there are {[str(column) for column in table.columns]}")
    if table.columns.duplicated().any():
        raise ValueError(f"labels: the column {table.columns[table.columns.duplicated()][0]!r} is there twice")
    events = pd.DataFrame(
        {name: _text(table[name], strip=name != "id") if name in table.columns else "" for name in ALL_COLUMNS},
        index=range(len(table)),
        dtype=object,
    )
    if "again" in table.columns:  # of a batch: the round that handed the row out once more
        events["again"] = _text(table["again"])
    events.loc[events["annotator"] == "", "annotator"] = annotator
    events["state"] = events["state"].str.lower()
    mapped = _rename(events, map_classes or {}) if sets_mapped is None else sets_mapped
    _complain(events["id"].str.strip() == "", "the id is empty", events, lines)
    blank = (events["label"] == "") & events["state"].isin([""] if multilabel else ["", "label"])
    events.loc[(events["label"] != "") & (events["state"] == ""), "state"] = "label"
    _complain(~blank & ~events["state"].isin(STATES), f"the state is none of {list(STATES)}", events, lines, "state")
    _complain(
        events["state"].isin(["skip", "unsure"]) & (events["label"] != ""),
        "the state is skip or unsure, and there is a label",
        events,
        lines,
        "label",
    )
    _complain(
        (events["state"] == "reject") & (events["label"] == ""), "the state is reject, and no class", events, lines
    )
    if multilabel:
        what = (
            "the state is reject, which is about one class; of a row with several labels give the set of those it has,"
        )
        _complain(events["state"] == "reject", what, events, lines)
    if numbers:
        what = "the state is reject, which is about a class, and the labels of this campaign are numbers,"
        _complain(events["state"] == "reject", what, events, lines)
        events["label"] = _numbers_of(events, lines)
    odd = ~events["authority"].str.lower().isin(["", "yes", "true", "1", "no", "false", "0"])
    _complain(odd, "authority is neither yes nor no", events, lines, "authority")
    events["authority"] = np.where(events["authority"].str.lower().isin(["yes", "true", "1"]), "yes", "").astype(object)
    times = pd.to_datetime(events["when"].where(events["when"] != ""), utc=True, format="ISO8601", errors="coerce")
    _complain((events["when"] != "") & times.isna(), "the time is not in ISO 8601 form", events, lines, "when")
    delivery = _text(table["entry"]) if "entry" in table.columns else [""] * len(table)  # our own history tells them
    _complain_of_contradictions(events[~blank], times[~blank], delivery, lines)
    return Incoming(events[~blank].reset_index(drop=True), int(blank.sum()), about, mapped)


def _numbers_of(events: pd.DataFrame, lines: list[int]) -> list[str]:
    """Labels in the text that numbers have here."""
    texts = []
    for line, name, text in zip(lines, events["id"], events["label"], strict=True):
        try:
            texts.append(text_of_number(number_of(text)) if text else "")
        except ValueError as error:
            raise ValueError(
                f"labels: {text!r} of {name!r} in line {line} is {error}. Nothing was recorded; map_classes "
                "(--map-class OLD=NEW) replaces a word, NEW being a number, skip or unsure"
            ) from None
    return texts


def _rename(events: pd.DataFrame, map_classes: Mapping[str, str]) -> dict[str, int]:
    """Rename labels in place; how many of each."""
    names = new_names(map_classes)
    given = events["label"].copy()
    for old, new in names.items():
        hits = given == old
        if new in ("skip", "unsure"):
            events.loc[hits & events["state"].isin(["", "label"]), ["label", "state"]] = ["", new]
        else:
            events.loc[hits, "label"] = new
    return {old: int((given == old).sum()) for old in names}


def _complain_of_contradictions(events: pd.DataFrame, times: pd.Series, delivery: list[str], lines: list[int]) -> None:
    """One annotator says two things about one id in one delivery, and nothing tells which is the later word."""
    word = events["state"].where(events["state"] != "reject", "label") + "\0" + events["label"]
    # that it is not this class and not that one is no contradiction
    lane = events["label"].where(events["state"] == "reject", "")
    key = pd.DataFrame(
        {
            "id": events["id"],
            "annotator": events["annotator"],
            "time": times.astype(str).fillna(""),
            "annotation": events["annotation"].where(times.notna(), ""),
            "delivery": pd.Series(delivery, dtype=object).reindex(events.index),
            "lane": lane,
        }
    )
    if not key.duplicated().any():
        return
    first = word.groupby([key[name] for name in key]).transform("first")
    odd = np.flatnonzero((word != first).to_numpy())
    if not len(odd):
        return
    at = int(odd[0])
    before = int(np.flatnonzero((key == key.iloc[at]).all(axis=1).to_numpy())[0])
    one, two = events.iloc[before], events.iloc[at]
    said = [row["label"] if row["state"] == "label" else row["state"] for _, row in ((0, one), (1, two))]
    raise ValueError(
        f"labels: {two['annotator']!r} says two things about {two['id']!r}: {said[0]!r} in line "
        f"{lines[events.index[before]]} and {said[1]!r} in line {lines[events.index[at]]}, and no time (column when) "
        "tells which is the later word. Keep one of the lines, or name the annotators (column annotator). Nothing was "
        "recorded"
    )


def _as_table(labels: Any, multilabel: bool) -> pd.DataFrame:
    if isinstance(labels, pd.DataFrame):
        return labels
    if hasattr(labels, "column_names") and hasattr(labels, "features"):  # datasets: a ClassLabel is a number there
        return from_dataset(labels, multilabel=multilabel)
    if hasattr(labels, "to_pandas") and not isinstance(labels, type):  # polars, pyarrow
        return _as_table(labels.to_pandas(), multilabel)
    if isinstance(labels, pd.Series):
        return pd.DataFrame({"id": labels.index, "label": labels.to_numpy()})
    if isinstance(labels, Mapping):
        return pd.DataFrame({"id": list(labels), "label": list(labels.values())}, dtype=object)
    raise TypeError(
        "labels must be a file, a DataFrame with the columns id and label, a mapping of id to label, or a Series "
        f"indexed by id, got {type(labels).__name__}"
    )


def _text(column: pd.Series, strip: bool = True) -> list[str]:
    texts = ["" if _is_nothing(value) else _one_line(value) for value in column]
    return [text.strip() for text in texts] if strip else texts


def _is_nothing(value: Any) -> bool:
    return value is None or (np.ndim(value) == 0 and bool(pd.isna(value)))


def _one_line(value: Any) -> str:
    if isinstance(value, list | tuple | dict | set | np.ndarray):
        raise ValueError(
            f"labels: {value!r} is not one value; a sample has one label (several need a campaign with "
            "multilabel=True, --multilabel)"
        )
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)  # a column of numbers with gaps: 3.0 is class 3
    text = str(value)
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError(f"labels: {text!r} holds a line break or a null character")
    return text


def _complain(wrong: pd.Series, what: str, events: pd.DataFrame, lines: list[int], column: str | None = None) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        shown = "" if column is None else f", found {events[column].iloc[rows[0]]!r}"
        raise ValueError(f"labels: {what} in {len(rows)} of {len(events)} lines, first in line {lines[rows[0]]}{shown}")
