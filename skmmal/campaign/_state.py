"""What the log amounts to: batches, labels, classes, who is waiting for what."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from skmmal.campaign._batch import RANDOM_SLICE
from skmmal.campaign._events import LabelState, read_table
from skmmal.campaign._log import Entry
from skmmal.campaign._measures import Measures
from skmmal.stopping import RoundState

__all__ = ["MODEL", "NEXT", "SCORE", "SCORES", "STOP_SET", "State", "in_words"]

NEXT, STOP_SET, MODEL = "next.csv", "stop_set.csv", "model"
SCORES, SCORE = "scores.csv", "probability_"
"""Probabilities of the labels, for the rows of a batch that were drawn at random."""
_FLOATS = ("score", "confidence", "contribution_", "cost")


class State(LabelState):
    """The state of a campaign after some log entries; see `LabelState`."""

    @cached_property
    def rounds(self) -> list[Entry]:
        """Rounds that count, in order."""
        return [entry for entry in self.counting if entry.kind == "round"]

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

    @cached_property
    def conflicts(self) -> pd.DataFrame:
        """Ids whose annotators disagree."""
        return self.answers.conflicts(self.understood, self.labels, self.classes)

    @cached_property
    def agreement(self) -> dict[str, Any]:
        """How far annotators agree."""
        return self.answers.agreement(self.understood, self.classes)

    @cached_property
    def waiting(self) -> dict[str, int]:
        """Ids handed out that nobody has said anything about since, in order, and the round that did so.

        Those are the pending ones, and rows that were handed out once more to be labelled again.
        """
        heard = self.events.groupby("id")["entry"].max()
        found: dict[str, int] = {}
        for entry, batch in zip(self.rounds, self.batches, strict=True):
            last = heard.reindex(batch["id"]).fillna(0).to_numpy()
            found.update(dict.fromkeys(batch["id"][last < entry.number], int(entry.receipt["round"])))
        return found

    @cached_property
    def unanswered(self) -> dict[str, int]:
        """`pending` and `waiting` together: ids, and the last round that handed them out."""
        last = {name: number for number, batch in enumerate(self.batches, start=1) for name in batch["id"]}
        return {name: last[name] for name in dict.fromkeys([*self.pending, *self.waiting])}

    @cached_property
    def history(self) -> list[RoundState]:
        """Rounds that had a model, as stopping criteria see them."""
        return [
            _round_state(entry, batch, self)
            for entry, batch in zip(self.rounds, self.batches, strict=True)
            if entry.receipt["model"] is not None
        ]

    @cached_property
    def slices(self) -> dict[int, Measures]:
        """For every round that had a model, how good it was on the rows of its batch that were drawn at random."""
        return {
            int(entry.receipt["round"]): _measured_slice(entry, batch, self)
            for entry, batch in zip(self.rounds, self.batches, strict=True)
            if entry.receipt["model"] is not None
        }


def _batch(entry: Entry) -> pd.DataFrame:
    """Batch of a round; parsed once."""
    if "batch" not in entry.parsed:
        table = read_table(entry.read(NEXT), entry.path / NEXT, ("id", "rank", "chosen_by", "predicted"))
        entry.parsed["batch"] = _typed(table)
    return entry.parsed["batch"]


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """A batch's table with numbers where there are numbers."""
    typed = table.copy()
    typed["rank"] = pd.to_numeric(typed["rank"])
    for name in typed.columns:
        if name.startswith(_FLOATS):
            typed[name] = pd.to_numeric(typed[name].where(typed[name] != "", np.nan)).astype(np.float64)
    return typed


def _round_state(entry: Entry, batch: pd.DataFrame, state: State) -> RoundState:
    measured = entry.receipt["model"]
    # not kept: thousands of rows for every round
    stop_set = read_table(entry.read(STOP_SET), entry.path / STOP_SET, ("id", "predicted"))
    predicted = pd.Series(stop_set["predicted"].to_numpy(), index=stop_set["id"], dtype=object)
    drawn, whole = state.slices[int(entry.receipt["round"])], _compared(entry, batch, state)
    return RoundState(
        entry.receipt["round"],
        measured["n_labeled"],
        predictions=state.answers.cases(predicted, list(entry.receipt["labels"]["classes"])),
        mean_confidence=measured["mean_confidence"],
        mean_entropy=measured["mean_entropy"],
        validation_accuracy=measured["validation_accuracy"],
        n_validation=measured["n_validation"],
        random_accuracy=drawn.accuracy,
        n_random=drawn.n,
        batch_accuracy=whole.accuracy,
        n_batch=whole.n,
    )


def _compared(entry: Entry, batch: pd.DataFrame, state: State, scores: pd.DataFrame | None = None) -> Measures:
    """A round's predictions for rows of its batch, compared with the labels that are there."""
    given = state.answers.known(state.labels)
    known = batch[batch["id"].isin(given.index) & state.answers.is_predicted(batch)]
    units = None if "group" not in known else known["group"].to_numpy()
    classes = list(entry.receipt["labels"]["classes"])
    values = None if scores is None else scores.loc[known["id"], [SCORE + name for name in classes]].to_numpy()
    labels, predicted = given.loc[known["id"]].tolist(), known["predicted"].tolist()
    return state.answers.measures(labels, predicted, classes, values, units)


def _measured_slice(entry: Entry, batch: pd.DataFrame, state: State) -> Measures:
    """The same on the rows that were drawn at random."""
    scores = None
    if SCORES in entry.receipt["files"]:
        scores = read_table(entry.read(SCORES), entry.path / SCORES, ("id",)).set_index("id").astype(np.float64)
    return _compared(entry, batch[batch["chosen_by"] == RANDOM_SLICE], state, scores)


def in_words(entry: Entry) -> str:
    """What an entry of the log did."""
    receipt = entry.receipt
    if entry.kind == "round":
        return f"round {receipt['round']}: {receipt['n_instances']} ids by {receipt['strategy']['name']}"
    if entry.kind == "labels":
        changes = f", {receipt['changed']} of them changes" if receipt["changed"] else ""
        gone = f", {receipt['vanished']} retracted" if receipt.get("vanished") else ""
        leads = f", {' and '.join(receipt['authority'])} settles conflicts" if receipt.get("authority") else ""
        pulled = f" from project {receipt['pulled']}" if receipt.get("pulled") else ""
        return f"{receipt['new']} labels{pulled}{changes}{gone}{leads}"
    if entry.kind == "retract":
        whose = f" by {receipt['annotator']}" if receipt["annotator"] else ""
        return f"{receipt['retracted']} labels{whose} of {len(receipt['ids'])} ids retracted"
    if entry.kind == "connect":
        return f"connected to project {receipt['project']} ({receipt['title']}) of {receipt['server']}"
    if entry.kind == "push":
        return f"{receipt['n_tasks']} tasks sent to project {receipt['project']}"
    return f"entry {receipt['undoes']} undone"
