"""What people said, replayed from the log: labels, who gave them, and what was taken back."""

from __future__ import annotations

import io
from collections import Counter
from functools import cached_property
from typing import Any

import pandas as pd

from skmmal.campaign._answers import ONE_CLASS, Answers
from skmmal.campaign._files import CampaignError
from skmmal.campaign._identity import one_person
from skmmal.campaign._log import Entry, effective
from skmmal.campaign._votes import ALL_COLUMNS, EVENT_COLUMNS, MORE_COLUMNS

__all__ = ["IGNORED", "LABELS", "RETRACTED", "WHOSE", "LabelState", "read_table"]

LABELS, IGNORED, RETRACTED = "labels.csv", "ignored.csv", "retracted.csv"
WHOSE = ["id", "annotator", "project", "annotation"]
"""What a retraction names, as it was received: every event before it that is the same in these is taken back."""


def read_table(content: bytes, path: Any, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a CSV file of text; it must have the columns."""
    try:
        table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise CampaignError(f"{path} is not a CSV file ({error})") from None
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise CampaignError(f"{path} has no column {missing[0]!r}")
    return table.astype(object)


class LabelState:
    """What the entries of a log amount to, as far as labels go.

    Parameters
    ----------
    entries : list of Entry
        Of the log, in order.
    declared : list of str
        Classes that the campaign began with.
    answers : Answers, default=ONE_CLASS
        What a label is.
    earlier : LabelState, optional
        What earlier entries of the same log amounted to: what it has replayed is not replayed again.

    Attributes
    ----------
    counting : list of Entry
        Entries that were not undone.
    undone : dict of int to int
        Number of each undone entry, and of the entry that undid it.
    """

    def __init__(
        self,
        entries: list[Entry],
        declared: list[str],
        answers: Answers = ONE_CLASS,
        earlier: LabelState | None = None,
    ) -> None:
        self.entries = entries
        self.declared = declared
        self.answers = answers
        self.counting, self.undone = effective(entries)
        self._earlier = earlier

    @cached_property
    def label_entries(self) -> list[Entry]:
        """Entries with labels that count, in order."""
        return [entry for entry in self.counting if entry.kind == "labels"]

    @cached_property
    def replayed(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Events that count, and events that were taken back by hand; as received, in order of arrival."""
        parts: list[pd.DataFrame] = []
        taken_back: list[pd.DataFrame] = []
        earlier, self._earlier, n = self._earlier, None, 0
        if earlier is not None and earlier.counting == self.counting[: len(earlier.counting)]:  # nothing was undone
            parts, taken_back, n = [earlier.replayed[0]], [earlier.replayed[1]], len(earlier.counting)
        for entry in self.counting[n:]:
            if RETRACTED in entry.receipt["files"]:
                before = _together(parts)
                gone = pd.MultiIndex.from_frame(before[WHOSE]).isin(pd.MultiIndex.from_frame(_retracted(entry)))
                parts = [before[~gone]]
                if not entry.receipt.get("snapshot"):
                    taken_back.append(before[gone])
            if LABELS in entry.receipt["files"]:
                parts.append(_events(entry))
        return _together(parts), _together(taken_back)

    @cached_property
    def people(self) -> dict[str, str]:
        """Names of people that some events know by number."""
        learned = [entry.receipt.get("people", {}) for entry in self.label_entries]
        return {number: name for people in learned for number, name in people.items()}

    @cached_property
    def authorities(self) -> set[str]:
        """Annotators whose word settles conflicts."""
        return {name for entry in self.label_entries for name in entry.receipt.get("authority", ())}

    @property
    def received(self) -> pd.DataFrame:
        """Events that count, as they were received."""
        return self.replayed[0]

    @cached_property
    def retracted(self) -> pd.DataFrame:
        """Events that were taken back by hand."""
        return one_person(self.replayed[1], self.people)

    @cached_property
    def events(self) -> pd.DataFrame:
        """Every label received that counts, in order of arrival, and the entry it came in; everyone by one name."""
        events = one_person(self.received, self.people)
        if not self.authorities or events.empty:
            return events
        lead = events["annotator"].isin(self.authorities)
        return events.assign(authority=events["authority"].where(~lead, "yes"))

    @cached_property
    def labels(self) -> pd.DataFrame:
        """Every id that someone said something about, settled (see `Answers.resolve`)."""
        return self.answers.resolve(self.understood, self.classes)

    @cached_property
    def understood(self) -> pd.DataFrame:
        """Events, each as far as it could know the classes."""
        return self.answers.since(self.events, self._admitted_in)

    @cached_property
    def classes(self) -> list[str]:
        """Classes declared at the start or seen since, sorted."""
        seen = self.events["label"][self.events["state"] == "label"].unique()
        return sorted({*self.declared, *(name for label in seen for name in self.answers.named(label))})

    @cached_property
    def admitted(self) -> list[str]:
        """Classes that are no news: `classes`, and those whose labels were all taken back."""
        return sorted({*self.declared, *self._admitted_in})

    @cached_property
    def _admitted_in(self) -> dict[str, int]:
        """Classes that were not declared, and the entry in which each came first."""
        first: dict[str, int] = {}
        for entry in self.label_entries:
            for label in _labels(entry):
                for name in self.answers.named(label):
                    first.setdefault(name, entry.number)
        return {name: number for name, number in first.items() if name not in self.declared}

    @cached_property
    def class_counts(self) -> dict[str, int]:
        """Settled labels of each class."""
        settled = self.answers.known(self.labels)
        counts = Counter(name for label in settled for name in self.answers.sure(label))
        return {name: counts.get(name, 0) for name in self.classes}

    def ids_in_state(self, state: str) -> list[str]:
        """Ids settled to a state, sorted."""
        return list(self.labels.index[self.labels["state"] == state])


def _together(parts: list[pd.DataFrame]) -> pd.DataFrame:
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame({**{name: pd.Series(dtype=object) for name in ALL_COLUMNS}, "entry": []})
    return pd.concat(parts, ignore_index=True)


def _events(entry: Entry) -> pd.DataFrame:
    """Labels that came in an entry; parsed once. The first version kept fewer columns."""
    if "events" not in entry.parsed:
        table = read_table(entry.read(LABELS), entry.path / LABELS, EVENT_COLUMNS)
        missing = {name: "" for name in MORE_COLUMNS if name not in table.columns}
        entry.parsed["events"] = table.assign(**missing)[list(ALL_COLUMNS)].astype(object).assign(entry=entry.number)
    return entry.parsed["events"]


def _labels(entry: Entry) -> list[str]:
    """Labels that came in an entry, each once; collected once."""
    if "labels" not in entry.parsed:
        table = _events(entry)
        entry.parsed["labels"] = table["label"][table["state"] == "label"].unique().tolist()
    return entry.parsed["labels"]


def _retracted(entry: Entry) -> pd.DataFrame:
    """What an entry takes back; parsed once."""
    if "retracted" not in entry.parsed:
        entry.parsed["retracted"] = read_table(entry.read(RETRACTED), entry.path / RETRACTED, tuple(WHOSE))[WHOSE]
    return entry.parsed["retracted"]
