"""One annotator at work: what is shown next, and what becomes of the answer. Knows nothing of HTTP."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pandas as pd

from skmmal.campaign._batch import UNPROMPTED
from skmmal.campaign._campaign import LabelingCampaign
from skmmal.campaign._sets import check_label_names, join, split
from skmmal.campaign._state import State
from skmmal.campaign.formats._label_studio import hidden_predictions
from skmmal.campaign.page._media import Media

__all__ = ["AnsweredElsewhereError", "Session"]

STATES = ("label", "skip", "unsure")


class AnsweredElsewhereError(ValueError):
    """The row does not wait any more: another tab, another person, or another command was faster."""


class Session:
    """Rows that wait, in the order of their batches, and answers that go into the campaign at once.

    Parameters
    ----------
    campaign : LabelingCampaign
        Every answer is an entry of its log before the page hears of it.
    media : Media
        What the rows look like.
    annotator : str
        Whose answers they are.
    predictions : {"strategy", "all", "none"}, default="strategy"
        Rows whose prediction is shown; never by default on those that were drawn at random.
    n_instances : int, optional
        Rows of the batches that the page asks for. Default: the campaign's.
    allow_new_classes : bool, default=False
        Whether the annotator may name classes that are not there yet.
    """

    def __init__(
        self,
        campaign: LabelingCampaign,
        media: Media,
        annotator: str,
        *,
        predictions: str = "strategy",
        n_instances: int | None = None,
        allow_new_classes: bool = False,
    ) -> None:
        hidden_predictions(pd.DataFrame({"chosen_by": []}), predictions)  # a wrong word is an error now
        if campaign.settings.answers.numbers:
            raise ValueError(
                "the labelling page offers classes, and the labels of this campaign are numbers: write the batch for a "
                "spreadsheet or for Label Studio (export), and take the numbers in (add-labels)"
            )
        self.campaign, self.media, self.annotator = campaign, media, annotator
        self.predictions, self.n_instances, self.allow_new_classes = predictions, n_instances, allow_new_classes
        self._given: list[tuple[int, str]] = []  # entries of this session, which can be undone, and their ids
        self._lock = threading.Lock()  # the page asks in several threads, and a campaign is for one

    def view(self) -> dict[str, Any]:
        """All that the page shows."""
        with self._lock:
            return self._view(self.campaign.state())

    def answer(self, row: str, labels: Sequence[str], state: str = "label", seconds: float = 0.0) -> dict[str, Any]:
        """Record an answer.

        Parameters
        ----------
        row : str
            Id of a row that waits.
        labels : sequence of str
            Names of classes: one, or several in a campaign of sets, where none says that none applies. None for skip
            and unsure.
        state : {"label", "skip", "unsure"}, default="label"
            Kind of answer.
        seconds : float, default=0.0
            How long the row was in sight.

        Returns
        -------
        dict
            See `view`.

        Raises
        ------
        ValueError
            The answer is none, or its class is new; nothing is recorded.
        AnsweredElsewhereError
            The row does not wait.
        """
        if state not in STATES:
            raise ValueError(f"state must be one of {list(STATES)}, got {state!r}")
        several = self.campaign.settings.multilabel
        if (bool(labels) and state != "label") or (state == "label" and not labels and not several):
            raise ValueError("an answer is the names of classes, or skip, or unsure")
        if len(labels) > 1 and not several:
            raise ValueError(f"{row!r} takes one class, found {list(labels)}")
        check_label_names(labels if several else (), "labels")
        with self._lock:
            before = self.campaign.state()
            if row not in before.waiting:
                raise AnsweredElsewhereError(f"{row!r} does not wait for an answer any more")
            task = self._task(before, row)
            events = _events(row, labels, state, _origin(task["suggestion"], labels, state), seconds)
            received = self.campaign.add_labels(
                events,
                annotator=self.annotator,
                allow_new_classes=self.allow_new_classes or not before.classes,
                by=self.annotator,
            )
            self._given.append((received["entry"], row))
            return self._view(self.campaign.state())

    def undo(self) -> dict[str, Any]:
        """Undo the last answer of this session; its row is shown again."""
        with self._lock:
            if not self._given:
                raise ValueError("there is nothing to undo in this session")
            entry, row = self._given[-1]
            self.campaign.undo(entry, by=self.annotator, reason="undone on the labelling page")
            self._given.pop()
            return self._view(self.campaign.state(), first=row)

    def next_batch(self, round: int) -> dict[str, Any]:
        """Hand out round number `round`; where it is there already, nothing changes."""
        with self._lock:
            self.campaign.next_batch(self.n_instances, round=round, by=self.annotator)
            return self._view(self.campaign.state())

    def _view(self, state: State, first: str | None = None) -> dict[str, Any]:
        rows = _queue(state)
        if first in rows:
            rows = [first, *(name for name in rows if name != first)]
        shown = [self._task(state, name) for name in rows[:2]]
        at = state.waiting[rows[0]] if rows else len(state.rounds)
        n_batch = len(state.batches[at - 1]) if at else 0
        return {
            "campaign": self.campaign.folder.absolute().name,
            "annotator": self.annotator,
            "classes": state.classes,
            "may_name_classes": self.allow_new_classes or not state.classes,
            "several": self.campaign.settings.multilabel,
            "round": at,
            "n_rounds": len(state.rounds),
            "n_batch": n_batch,
            "n_left": sum(number == at for number in state.waiting.values()),
            "n_waiting": len(rows),
            "n_labels": len(state.ids_in_state("label")),
            "can_undo": bool(self._given),
            "task": shown[0] if shown else None,
            "upcoming": shown[1]["media"] if len(shown) > 1 else [],
        }

    def _task(self, state: State, row: str) -> dict[str, Any]:
        number = state.waiting[row]
        batch = state.batches[number - 1]
        line = batch[batch["id"] == row].iloc[0]
        hidden = bool(hidden_predictions(batch[batch["id"] == row], self.predictions).iloc[0])
        predicted, confidence = str(line["predicted"]), _number(line.get("confidence"))
        suggestion = None
        if confidence is not None and not hidden:
            labels = split(predicted)[0] if self.campaign.settings.multilabel else [predicted]
            suggestion = {"labels": labels, "confidence": confidence}
        told = not hidden or line["chosen_by"] in UNPROMPTED  # the reason names what the model predicts
        media = [
            self.media.describe(row, name, "media?" + urlencode({"id": row, "field": name}))
            for name in self.media.fields
        ]
        return {
            "id": row,
            "rank": int(line["rank"]),
            "media": media,
            "suggestion": suggestion,
            "why": str(line.get("why", "")) if told else f"chosen by {line['chosen_by']}",
            "said": _said(state, row),
            "group": _group(state, batch, row),
        }


def _queue(state: State) -> list[str]:
    """Rows that wait, in order; those of one group of a batch behind each other."""
    place: dict[str, tuple[int, int, int]] = {}
    for number, batch in enumerate(state.batches, start=1):
        groups = batch["group"] if "group" in batch else [""] * len(batch)
        first: dict[str, int] = {}
        for i, (name, group) in enumerate(zip(batch["id"], groups, strict=True)):
            if state.waiting.get(name) == number:
                place[name] = (number, first.get(group, i) if group != "" else i, i)
            first.setdefault(group, i)
    return sorted(place, key=place.__getitem__)


def _group(state: State, batch: pd.DataFrame, row: str) -> dict[str, Any] | None:
    """Which of its group's rows this is."""
    if "group" not in batch or batch["group"][batch["id"] == row].iloc[0] == "":
        return None
    name = str(batch["group"][batch["id"] == row].iloc[0])
    members = list(batch["id"][batch["group"] == name])
    return {"name": name, "size": len(members), "answered": sum(member not in state.waiting for member in members)}


def _said(state: State, row: str) -> str:
    """Where a row was handed out once more: that it was, without the answer, which would sway the next one."""
    if row not in state.labels.index:
        return ""
    settled = str(state.labels.at[row, "state"])
    words = {"conflict": "annotators disagree", "skip": "it was skipped", "unsure": "the annotator could not tell"}
    return f"labelled once more: {words.get(settled, 'its label is doubted')}"


def _origin(suggestion: dict[str, Any] | None, labels: Sequence[str], state: str) -> str:
    if state != "label":
        return ""
    if suggestion is None:
        return "manual"
    return "prediction" if set(labels) == set(suggestion["labels"]) else "prediction-changed"


def _events(row: str, labels: Sequence[str], state: str, origin: str, seconds: float) -> pd.DataFrame:
    """What `LabelingCampaign.add_labels` takes."""
    word = {
        "id": row,
        "label": join(labels),
        "state": state,
        "when": datetime.now(UTC).isoformat(timespec="microseconds"),
        "lead_time": f"{seconds:.1f}",
        "origin": origin,
    }
    return pd.DataFrame([word], dtype=object)


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
