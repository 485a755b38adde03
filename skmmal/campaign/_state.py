"""What the log amounts to: batches, labels, classes, who is waiting for what."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from skmmal.campaign._files import CampaignError
from skmmal.campaign._identity import one_person
from skmmal.campaign._log import Entry, effective
from skmmal.campaign.batch import RANDOM_SLICE
from skmmal.campaign.votes import ALL_COLUMNS, EVENT_COLUMNS, MORE_COLUMNS, resolve
from skmmal.experiment.stopping import RoundState

NEXT, STOP_SET, LABELS, IGNORED, MODEL = "next.csv", "stop_set.csv", "labels.csv", "ignored.csv", "model"
RETRACTED = "retracted.csv"
WHOSE = ["id", "annotator", "project", "annotation"]
"""What a retraction names, as it was received: every event before it that is the same in these is taken back."""
_FLOATS = ("score", "confidence", "contribution_")


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


def typed_batch(table: pd.DataFrame) -> pd.DataFrame:
    """A batch's table with numbers where there are numbers."""
    typed = table.copy()
    typed["rank"] = pd.to_numeric(typed["rank"])
    for name in typed.columns:
        if name.startswith(_FLOATS):
            typed[name] = pd.to_numeric(typed[name].where(typed[name] != "", np.nan)).astype(np.float64)
    return typed


@dataclass(eq=False)
class State:
    """The state of a campaign after some log entries."""

    entries: list[Entry]
    declared: list[str]

    @cached_property
    def _effective(self) -> tuple[list[Entry], dict[int, int]]:
        return effective(self.entries)

    @property
    def undone(self) -> dict[int, int]:
        """Number of each undone entry, and of the entry that undid it."""
        return self._effective[1]

    @cached_property
    def rounds(self) -> list[Entry]:
        """Rounds that count, in order."""
        return [entry for entry in self._effective[0] if entry.kind == "round"]

    @cached_property
    def label_entries(self) -> list[Entry]:
        """Entries with labels that count, in order."""
        return [entry for entry in self._effective[0] if entry.kind == "labels"]

    # ----------------------------------------------------------------------------------------------------- labels

    @cached_property
    def _replayed(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Events that count, and events that were taken back by hand; as received, in order of arrival."""
        parts: list[pd.DataFrame] = []
        taken_back: list[pd.DataFrame] = []
        for entry in self._effective[0]:
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
        known: dict[str, str] = {}
        for entry in self.label_entries:
            known.update(entry.receipt.get("people", {}))
        return known

    @cached_property
    def authorities(self) -> set[str]:
        """Annotators whose word settles conflicts."""
        return {name for entry in self.label_entries for name in entry.receipt.get("authority", ())}

    @property
    def received(self) -> pd.DataFrame:
        """Events that count, as they were received."""
        return self._replayed[0]

    @cached_property
    def retracted(self) -> pd.DataFrame:
        """Events that were taken back by hand."""
        return one_person(self._replayed[1], self.people.items())

    @cached_property
    def events(self) -> pd.DataFrame:
        """Every label received that counts, in order of arrival, and the entry it came in; everyone by one name."""
        events = one_person(self.received, self.people.items())
        if not self.authorities or events.empty:
            return events
        lead = events["annotator"].isin(self.authorities)
        return events.assign(authority=events["authority"].where(~lead, "yes"))

    @cached_property
    def labels(self) -> pd.DataFrame:
        """Every id that someone said something about, settled (see `skmmal.campaign.votes.resolve`)."""
        return resolve(self.events)

    @cached_property
    def classes(self) -> list[str]:
        """Classes declared at the start or seen since, sorted."""
        seen = self.events["label"][self.events["state"] == "label"]
        return sorted({*self.declared, *seen})

    @cached_property
    def admitted(self) -> list[str]:
        """Classes that are no news: `classes`, and those whose labels were all taken back."""
        received = [table["label"][table["state"] == "label"] for table in map(_events, self.label_entries)]
        return sorted({*self.declared, *(name for column in received for name in column)})

    @cached_property
    def class_counts(self) -> dict[str, int]:
        """Settled labels of each class."""
        counts = Counter(self.labels["label"][self.labels["state"] == "label"])
        return {name: counts.get(name, 0) for name in self.classes}

    def ids_in_state(self, state: str) -> list[str]:
        """Ids settled to a state, sorted."""
        return list(self.labels.index[self.labels["state"] == state])

    # ---------------------------------------------------------------------------------------------------- batches

    @cached_property
    def batches(self) -> list[pd.DataFrame]:
        """Table of every round's batch."""
        return [_batch(entry) for entry in self.rounds]

    @cached_property
    def pending(self) -> list[str]:
        """Ids handed out that nobody has said anything about, in the order they were handed out."""
        answered = set(self.labels.index)
        handed_out = dict.fromkeys(name for batch in self.batches for name in batch["id"])
        return [name for name in handed_out if name not in answered]

    # ------------------------------------------------------------------------------------------------ for stopping

    @cached_property
    def history(self) -> list[RoundState]:
        """Rounds that had a model, as stopping criteria see them."""
        return [
            _round_state(entry, batch, self.labels)
            for entry, batch in zip(self.rounds, self.batches, strict=True)
            if entry.receipt["model"] is not None
        ]


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


def _retracted(entry: Entry) -> pd.DataFrame:
    """What an entry takes back; parsed once."""
    if "retracted" not in entry.parsed:
        entry.parsed["retracted"] = read_table(entry.read(RETRACTED), entry.path / RETRACTED, tuple(WHOSE))[WHOSE]
    return entry.parsed["retracted"]


def _batch(entry: Entry) -> pd.DataFrame:
    """Batch of a round; parsed once."""
    if "batch" not in entry.parsed:
        table = read_table(entry.read(NEXT), entry.path / NEXT, ("id", "rank", "chosen_by", "predicted"))
        entry.parsed["batch"] = typed_batch(table)
    return entry.parsed["batch"]


def _round_state(entry: Entry, batch: pd.DataFrame, labels: pd.DataFrame) -> RoundState:
    measured = entry.receipt["model"]
    # not kept: thousands of rows for every round
    stop_set = read_table(entry.read(STOP_SET), entry.path / STOP_SET, ("id", "predicted"))
    slice_accuracy, n_slice = hit_rate(batch[batch["chosen_by"] == RANDOM_SLICE], labels)
    batch_accuracy, n_batch = hit_rate(batch, labels)
    return RoundState(
        entry.receipt["round"],
        measured["n_labeled"],
        predictions=pd.Series(stop_set["predicted"].to_numpy(), index=stop_set["id"], dtype=object),
        mean_confidence=measured["mean_confidence"],
        mean_entropy=measured["mean_entropy"],
        validation_accuracy=measured["validation_accuracy"],
        n_validation=measured["n_validation"],
        random_accuracy=slice_accuracy,
        n_random=n_slice,
        batch_accuracy=batch_accuracy,
        n_batch=n_batch,
    )


def hit_rate(batch: pd.DataFrame, labels: pd.DataFrame) -> tuple[float | None, int]:
    """Share of a batch's predictions that the labels agree with, and of how many."""
    given = labels["label"][labels["state"] == "label"]
    known = batch[batch["id"].isin(given.index) & (batch["predicted"] != "")]
    if known.empty:
        return None, 0
    hits = known["predicted"].to_numpy() == given.loc[known["id"]].to_numpy()
    return float(hits.mean()), len(hits)
