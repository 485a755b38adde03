"""A delivery of labels, and labels taken back: what an entry of the log will hold, before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skmmal.campaign._checks import check_classes, check_ids, check_not_handed_out
from skmmal.campaign._events import IGNORED, LABELS, RETRACTED, WHOSE
from skmmal.campaign._files import digest, write_new
from skmmal.campaign._identity import learn, one_person
from skmmal.campaign._incoming import Incoming, events_csv
from skmmal.campaign._news import new_events
from skmmal.campaign._state import State
from skmmal.campaign._votes import latest
from skmmal.campaign.formats._csv import csv_bytes

__all__ = ["Delivery", "file_mark", "receive", "retraction", "whose_csv"]


@dataclass
class Delivery:
    """What is written of a delivery, and what is said of it."""

    said: dict[str, Any]
    receipt: dict[str, Any]
    events: pd.DataFrame
    ignored: pd.DataFrame
    vanished: pd.DataFrame

    @property
    def is_news(self) -> bool:
        """Whether there is anything to record."""
        about_people = bool(self.receipt.get("people") or self.receipt.get("authority"))
        return len(self.events) > 0 or len(self.vanished) > 0 or about_people

    def fill(self, folder: Path) -> None:
        """Write the entry's files."""
        if self.receipt["kind"] == "labels":
            write_new(folder / LABELS, events_csv(self.events))
        if len(self.vanished):
            write_new(folder / RETRACTED, whose_csv(self.vanished))
        if len(self.ignored):
            write_new(folder / IGNORED, events_csv(self.ignored))


def file_mark(path: Path) -> dict[str, Any]:
    """By what a file is known again: name, content and time of its last change."""
    if path.is_dir():
        return {}
    return {"name": path.name, "sha256": digest(path.read_bytes()), "modified_ns": path.stat().st_mtime_ns}


def receive(
    state: State,
    incoming: Incoming,
    known_ids: set[str],
    held_out: set[str],
    *,
    allow_new_classes: bool,
    ignore_unknown: bool,
    snapshot: bool,
    authority: Sequence[str],
    mark: str,
    file: dict[str, Any] | None,
) -> Delivery:
    """Compare what came in with what is known; see `LabelingCampaign.add_labels`."""
    whole = incoming
    incoming, ignored = check_ids(incoming, known_ids, held_out, ignore_unknown, mark)
    handed_out = {name for batch in state.batches for name in batch["id"]}
    check_not_handed_out(incoming, handed_out | set(state.labels.index), state.pending)
    new_classes = check_classes(incoming, state.admitted, allow_new_classes, state.answers)
    content = incoming.digest
    people = _new_people(state, incoming.events)
    everyone = {**state.people, **people}
    events = one_person(incoming.events, everyone)
    history = one_person(state.received, everyone)
    vanished = _vanished(history, events, whole) if snapshot else history.iloc[:0]
    if snapshot and len(vanished):
        history = history.drop(index=vanished.index)
    annotators = sorted({*history["annotator"], *events["annotator"]})
    absent = [name for name in authority if everyone.get(name, name) not in annotators]
    if absent:
        raise ValueError(f"authority: there is no label by {absent[0]!r}; annotators are {annotators[:20]}")
    leads = sorted({everyone.get(name, name) for name in authority} - state.authorities)
    retracted = one_person(state.retracted, everyone)
    before = _was_received(state, content, file)
    kept, counts = new_events(events, history, retracted, again=before, waiting=state.waiting)
    fresh = incoming.events.loc[kept.index].reset_index(drop=True)
    counted = {
        "new": len(fresh),
        "known": counts["known"],
        "changed": counts["changed"],
        "blank": incoming.n_blank,
        "ignored": len(ignored),
        "states": dict(sorted(Counter(fresh["state"]).items())),
        "new_classes": new_classes if len(fresh) else [],
    }
    more = _without_empty(
        {
            "stay_retracted": counts["retracted"],
            "vanished": len(vanished),
            "mapped": incoming.mapped,
            "authority": leads,
        }
    )
    receipt = {"kind": "labels", **counted, "source_sha256": content, **more}
    receipt |= _without_empty({"people": people, "snapshot": bool(snapshot)})
    notes = _notes(incoming, mark) + _unmarked(counts["unmarked"])
    said = {**counted, **more, **_without_empty({"notes": notes})}
    return Delivery(said, receipt, fresh, ignored, state.received.loc[vanished.index])


def _without_empty(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if value}


def _was_received(state: State, content: str, file: dict[str, Any] | None) -> bool:
    """Whether this very file was taken in before: it brings back no word that was changed since."""
    return bool(file) and any(
        entry.receipt["source_sha256"] == content and entry.stamp.get("file") == file for entry in state.label_entries
    )


def _new_people(state: State, events: pd.DataFrame) -> dict[str, str]:
    """Names of people that this delivery tells."""
    together = pd.concat([state.received.drop(columns="entry"), events], ignore_index=True)
    learned = learn(together)
    return {number: name for number, name in learned.items() if state.people.get(number) != name}


def _vanished(history: pd.DataFrame, events: pd.DataFrame, incoming: Incoming) -> pd.DataFrame:
    """Events that a full export no longer holds.

    Of Label Studio's export: annotations of its projects. Of a table: what its annotators said without an annotation's
    number.
    """
    about = incoming.about
    if about.get("flat") or about.get("prodigy"):
        raise ValueError(
            "snapshot (--snapshot) needs an export that holds everything: Label Studio's JSON, or a table of labels; "
            "this format leaves answers out, or does not tell them apart"
        )
    if "projects" in about:
        projects = set(about["projects"]) - {""}
        if not projects:
            raise ValueError(
                "snapshot (--snapshot): the export names no project, or holds no task at all, so that nothing tells "
                "what it no longer holds; nothing was retracted. Retract by hand: skmmal campaign retract"
            )
        numbered = history["annotation"] != ""
        from_here = history["project"].isin(projects)
        held = set(zip(incoming.events["id"], incoming.events["annotation"], strict=True))
        pairs = zip(history["id"], history["annotation"], strict=True)
        still_held = pd.Series([pair in held for pair in pairs], history.index, dtype=bool)
        unnamed = numbered & (history["project"] == "")  # flat formats and the first version name no project
        if set(history["project"][numbered]) - {""} <= projects and still_held[unnamed].any():
            from_here |= unnamed  # it is this one: there is no other, and it holds some of them
        return history[numbered & from_here & ~still_held]
    if incoming.events.empty:
        raise ValueError("snapshot (--snapshot): there is no label at all in it; nothing was retracted")
    by_hand = (history["annotation"] == "") & history["annotator"].isin(set(events["annotator"]))
    said = set(zip(events["id"], events["annotator"], strict=True))
    still_said = [pair in said for pair in zip(history["id"], history["annotator"], strict=True)]
    return history[by_hand & ~np.array(still_said, dtype=bool)]


def _unmarked(n: int) -> list[str]:
    """What there is to know of words that were received before, about rows that wait for another answer."""
    if not n:
        return []
    return [
        f"{n} labels about rows that were handed out once more repeat what the same person said before, and nothing "
        "tells a new answer from the old one: keep the batch's column again, or give the time (when)"
    ]


def _notes(incoming: Incoming, mark: str) -> list[str]:
    notes = list(incoming.about.get("notes", ()))
    foreign = [name for name in incoming.about.get("campaigns", ()) if name != mark]
    if foreign:
        notes.append(
            f"tasks in it were written by another campaign (its mark is {foreign[0]}, this one's {mark}); their ids "
            "are those of rows here, too"
        )
    return notes


# ------------------------------------------------------------------------------------------------------- retraction


def whose_csv(events: pd.DataFrame) -> bytes:
    """What is taken back, as the bytes of a CSV file."""
    return csv_bytes(events[WHOSE].drop_duplicates().sort_values(WHOSE, kind="stable"))


def retraction(state: State, ids: Collection[str], annotator: str | None, known_ids: Collection[str]) -> pd.DataFrame:
    """Events that a retraction by hand takes back, as received; none where they are taken back already."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        raise ValueError("ids: there is no id to retract")
    unknown = [name for name in wanted if name not in known_ids]
    if unknown:
        raise ValueError(f"ids: {len(unknown)} of {len(wanted)} are not in this campaign, the first: {unknown[0]!r}")
    who = None if annotator is None else state.people.get(annotator, annotator)
    hits = state.events["id"].isin(wanted)
    before = state.retracted["id"].isin(wanted)
    if who is not None:
        hits &= state.events["annotator"] == who
        before &= state.retracted["annotator"] == who
    labeled = set(state.events["id"][hits])
    unlabeled = [name for name in wanted if name not in labeled | set(state.retracted["id"][before])]
    if unlabeled:
        said = latest(state.events[state.events["id"] == unlabeled[0]])
        names = f"; labels of {unlabeled[0]!r} are by {sorted(said['annotator'])}" if len(said) else ""
        whose = "" if annotator is None else f" by {annotator!r}"
        raise ValueError(
            f"ids: of {len(unlabeled)} of {len(wanted)} there is no label{whose}, the first: {unlabeled[0]!r}{names}. "
            "Nothing was retracted"
        )
    return state.received[hits.to_numpy()]
