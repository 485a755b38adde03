"""What the log amounts to: batches, labels, classes, who is waiting for what."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from skmmal.campaign._batch import RANDOM_SLICE
from skmmal.campaign._events import LabelState, read_table
from skmmal.campaign._log import Entry
from skmmal.stopping import RoundState

__all__ = ["MODEL", "NEXT", "STOP_SET", "State", "in_words"]

NEXT, STOP_SET, MODEL = "next.csv", "stop_set.csv", "model"
_FLOATS = ("score", "confidence", "contribution_")


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
    def history(self) -> list[RoundState]:
        """Rounds that had a model, as stopping criteria see them."""
        return [
            _round_state(entry, batch, self.labels)
            for entry, batch in zip(self.rounds, self.batches, strict=True)
            if entry.receipt["model"] is not None
        ]


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


def _round_state(entry: Entry, batch: pd.DataFrame, labels: pd.DataFrame) -> RoundState:
    measured = entry.receipt["model"]
    # not kept: thousands of rows for every round
    stop_set = read_table(entry.read(STOP_SET), entry.path / STOP_SET, ("id", "predicted"))
    slice_accuracy, n_slice = _hit_rate(batch[batch["chosen_by"] == RANDOM_SLICE], labels)
    batch_accuracy, n_batch = _hit_rate(batch, labels)
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


def _hit_rate(batch: pd.DataFrame, labels: pd.DataFrame) -> tuple[float | None, int]:
    """Share of a batch's predictions that the labels agree with, and of how many."""
    given = labels["label"][labels["state"] == "label"]
    known = batch[batch["id"].isin(given.index) & (batch["predicted"] != "")]
    if known.empty:
        return None, 0
    hits = known["predicted"].to_numpy() == given.loc[known["id"]].to_numpy()
    return float(hits.mean()), len(hits)


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
