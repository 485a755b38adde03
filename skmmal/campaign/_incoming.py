"""Labels on their way in: brought into one form, checked against the campaign, nothing silently dropped."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from skmmal.campaign._files import digest
from skmmal.campaign._mangled import advice_against_mangling, mangled
from skmmal.campaign.huggingface import from_dataset
from skmmal.campaign.label_studio import UNSURE, UNSURE_TEXT
from skmmal.campaign.votes import ALL_COLUMNS, STATES, latest

__all__ = ["RESERVED", "Incoming", "check_class_names", "check_classes", "check_ids", "new_events", "normalize"]

RESERVED = ("skip", "unsure", UNSURE, UNSURE_TEXT)
"""What is no class: it is what labels are called that are none."""


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
    return events.loc[:, list(ALL_COLUMNS)].to_csv(index=False, lineterminator="\n").encode()


def normalize(labels: Any, annotator: str, map_classes: Mapping[str, str] | None = None) -> Incoming:
    """Bring labels into the columns of `ALL_COLUMNS`, all of them text.

    Parameters
    ----------
    labels : DataFrame with the columns id and label, mapping of id to label, or Series of labels indexed by id
        A DataFrame may hold the other columns of `ALL_COLUMNS`, too. A line without label and state says nothing; it is
        counted and left out. Blanks around a label are no part of it.
    annotator : str
        Who labelled, where the labels do not say.
    map_classes : mapping of str to str, optional
        Labels to rename; ``skip`` and ``unsure`` make them that state.

    Returns
    -------
    Incoming

    Raises
    ------
    ValueError
        A column is missing, an id is empty, a state unknown or contradicted, a time unreadable, or one annotator says
        two things about one id and no time tells which is the later.
    """
    table = _as_table(labels)
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
    events.loc[events["annotator"] == "", "annotator"] = annotator
    events["state"] = events["state"].str.lower()
    mapped = _rename(events, map_classes or {})
    _complain(events["id"].str.strip() == "", "the id is empty", events, lines)
    blank = (events["label"] == "") & events["state"].isin(["", "label"])
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
    odd = ~events["authority"].str.lower().isin(["", "yes", "true", "1", "no", "false", "0"])
    _complain(odd, "authority is neither yes nor no", events, lines, "authority")
    events["authority"] = np.where(events["authority"].str.lower().isin(["yes", "true", "1"]), "yes", "").astype(object)
    times = pd.to_datetime(events["when"].where(events["when"] != ""), utc=True, format="ISO8601", errors="coerce")
    _complain((events["when"] != "") & times.isna(), "the time is not in ISO 8601 form", events, lines, "when")
    delivery = _text(table["entry"]) if "entry" in table.columns else [""] * len(table)  # our own history tells them
    _complain_of_contradictions(events[~blank], times[~blank], delivery, lines)
    return Incoming(events[~blank].reset_index(drop=True), int(blank.sum()), about, mapped)


def _rename(events: pd.DataFrame, map_classes: Mapping[str, str]) -> dict[str, int]:
    """Rename labels in place; how many of each."""
    if not isinstance(map_classes, Mapping):
        raise TypeError(f"map_classes must be a mapping of an old name to a new one, got {map_classes!r}")
    names = {str(old).strip(): str(new).strip() for old, new in map_classes.items()}
    if not all(names) or not all(names.values()):
        raise ValueError(f"map_classes: a name is empty in {dict(map_classes)}")
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


def _as_table(labels: Any) -> pd.DataFrame:
    if isinstance(labels, pd.DataFrame):
        return labels
    if hasattr(labels, "column_names") and hasattr(labels, "features"):  # datasets: a ClassLabel is a number there
        return from_dataset(labels)
    if hasattr(labels, "to_pandas") and not isinstance(labels, type):  # polars, pyarrow
        return _as_table(labels.to_pandas())
    if isinstance(labels, pd.Series):
        return pd.DataFrame({"id": labels.index, "label": labels.to_numpy()})
    if isinstance(labels, Mapping):
        return pd.DataFrame({"id": list(labels), "label": list(labels.values())}, dtype=object)
    raise TypeError(
        "labels must be a file, a DataFrame with the columns id and label, a mapping of id to label, or a Series "
        f"indexed by id, got {type(labels).__name__}"
    )


def _text(column: pd.Series, strip: bool = True) -> list[str]:
    found = ["" if _is_nothing(value) else _one_line(value) for value in column]
    return [text.strip() for text in found] if strip else found


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


def _complain(wrong: pd.Series, what: str, events: pd.DataFrame, lines: list[int], column: str | None = None) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        found = "" if column is None else f", found {events[column].iloc[rows[0]]!r}"
        raise ValueError(f"labels: {what} in {len(rows)} of {len(events)} lines, first in line {lines[rows[0]]}{found}")


# ------------------------------------------------------------------------------------------------------- checks


def check_ids(
    incoming: Incoming, known: set[str], held_out: set[str], ignore_unknown: bool, mark: str = ""
) -> tuple[Incoming, pd.DataFrame]:
    """Split off labels for ids that the campaign cannot use; an error, unless they are to be ignored.

    Blanks around an id do no harm where one id of the campaign is meant.
    """
    events = incoming.events
    if not events["id"].isin(known).all():
        events = events.assign(id=_without_blanks(events["id"], known))
    bad = ~events["id"].isin(known) | events["id"].isin(held_out)
    if bad.any() and not ignore_unknown:
        raise ValueError(_unknown_ids(events["id"], bad, known, held_out, incoming.about, mark))
    kept = Incoming(events[~bad].reset_index(drop=True), incoming.n_blank, incoming.about, incoming.mapped)
    return kept, events[bad].reset_index(drop=True)


def check_not_handed_out(incoming: Incoming, handed_out: set[str], pending: Collection[str]) -> None:
    """Raise where a spreadsheet has turned an id that waits for its label into another id of the campaign.

    Only what was in a spreadsheet can have been changed by one.
    """
    if "lines" not in incoming.about:
        return
    odd = list(dict.fromkeys(name for name in incoming.events["id"] if name not in handed_out))
    pairs = mangled(odd, pending) if odd else []
    if pairs:
        raise ValueError(
            f"{len(pairs)} of {len(incoming.events)} labels are for ids that were not handed out, and that look like "
            f"ids that were, changed by a spreadsheet: {pairs[0][0]!r} for {pairs[0][1]!r}. Nothing was recorded; if "
            "they are meant, give the labels as JSON lines, which no spreadsheet changes"
        )


def _without_blanks(ids: pd.Series, known: set[str]) -> list[str]:
    stripped: dict[str, list[str]] = {}
    for name in known:
        stripped.setdefault(name.strip(), []).append(name)
    found = []
    for name in ids:
        meant = stripped.get(name.strip(), [])
        found.append(meant[0] if name not in known and len(meant) == 1 else name)
    return found


def _unknown_ids(
    ids: pd.Series, bad: pd.Series, known: set[str], held_out: set[str], about: Mapping[str, Any], mark: str
) -> str:
    """Say which ids are unknown, why that may be, and what to do; leaving labels out is no cure for a wrong file."""
    first = ids[bad].iloc[0]
    where = "belongs to the validation set" if first in held_out else "is not among the features"
    message = (
        f"{int(bad.sum())} of {len(ids)} labels are for ids that this campaign does not label; the first, "
        f"{first!r}, {where}. "
    )
    unknown = list(dict.fromkeys(ids[bad & ~ids.isin(held_out)]))
    pairs = mangled(unknown, known)
    if pairs:
        return message + advice_against_mangling(pairs)
    foreign = [name for name in about.get("campaigns", ()) if name != mark]
    if foreign and mark:
        return message + (
            f"There are tasks of another campaign in this file (its mark is {foreign[0]}, this one's {mark}): add the "
            "file to that one. Nothing was recorded"
        )
    if len(unknown) > 1 and bad.all():
        return message + (
            "Not one id is this campaign's: is it the file, or the project, of another one? Nothing was recorded"
        )
    return message + ("Nothing was recorded; ignore_unknown (--ignore-unknown) leaves such labels out")


def check_class_names(names: Collection[str], what: str = "classes") -> None:
    """Raise where the name of a class is a word for a label that is none, or cannot be written."""
    for name in names:
        if name.strip().lower() in RESERVED or name.strip().lower() == UNSURE_TEXT.lower():
            raise ValueError(
                f"{what}: {name!r} cannot be the name of a class: it is what a row is called that has none (skip), or "
                f"that the annotator cannot tell (unsure; in Label Studio {UNSURE_TEXT!r}). In a file of labels it "
                "belongs into the column state; a class of that name needs another one (map_classes, --map-class "
                f"{name!r}=NEW; =skip and =unsure make it that state)"
            )


def check_classes(incoming: Incoming, known: list[str], allow_new: bool) -> list[str]:
    """Return the classes that are new; an error with counts, unless they are welcome.

    The first labels of a campaign without declared classes define them.
    """
    about_classes = incoming.events["state"].isin(["label", "reject"])
    given = Counter(incoming.events["label"][about_classes])
    new = sorted(set(given) - set(known))
    check_class_names(new, "labels")
    if new and known and not allow_new:
        pairs = mangled(new, known)
        if pairs:
            raise ValueError(
                f"{len(new)} classes are new here, and {pairs[0][0]!r} looks like {pairs[0][1]!r}, changed by a "
                "spreadsheet that took it for a number, a date or a truth value: keep the labels' column as text, "
                f"or rename (map_classes, --map-class {pairs[0][0]}={pairs[0][1]}). Nothing was recorded"
            )
        shown = []
        for name in new[:10]:
            close = difflib.get_close_matches(name, known, n=1)
            shown.append(f"{name!r} ({given[name]}×{f', did you mean {close[0]!r}?' if close else ''})")
        raise ValueError(
            f"{sum(given[name] for name in new)} of {len(incoming.events)} labels are of {len(new)} classes that are "
            f"new here: {', '.join(shown)}{', ...' if len(new) > 10 else ''}. Known: {known[:20]}. Nothing was "
            f"recorded; {_split_class(new, known)}allow_new_classes (--allow-new-classes) admits them, map_classes "
            "(--map-class OLD=NEW) renames them"
        )
    return sorted(set(incoming.events["label"][incoming.events["state"] == "label"]) - set(known))


def _split_class(new: list[str], known: list[str]) -> str:
    for name in new:
        parts = [part.strip() for part in name.split(",")]
        if len(parts) > 1 and set(parts) <= set(known):
            return f"{name!r} was split at its comma when the campaign was begun (quote it, or use --classes-file); "
    return ""


_KEY = ("id", "label", "state", "annotator", "when", "annotation", "authority")


def new_events(
    incoming: pd.DataFrame, history: pd.DataFrame, retracted: pd.DataFrame | None = None, *, again: bool = False
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Events that say something new, and counts of the others.

    With a time an event is known if it was ever received. Without, it is known if it repeats what the annotator said
    last: who says cat, dog, and cat again, means cat. The same holds for a time that several words share.

    Parameters
    ----------
    incoming, history : DataFrame
        Events, everyone under one name.
    retracted : DataFrame, optional
        Events that were taken back here by hand. With a time they stay so when they are received again.
    again : bool, default=False
        It is a file that was received before: words without a time are known, whatever was said since.

    Returns
    -------
    DataFrame
        Positions kept, index of `incoming`.
    dict
        ``known``, ``changed``, ``retracted``.
    """
    received = set(history[list(_KEY)].itertuples(index=False, name=None))
    taken_back = set() if retracted is None else set(retracted[list(_KEY)].itertuples(index=False, name=None))
    said: dict[tuple[str, ...], tuple[Any, ...]] = {}
    row: Any
    for row in latest(history).itertuples(index=False):
        said[_lane(row)] = (row.label, row.state, row.authority, row.when)
    last_of = {_lane(row): row.Index for row in incoming.itertuples()}
    counts = {"known": 0, "changed": 0, "retracted": 0}
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
            known = repeats or again
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
