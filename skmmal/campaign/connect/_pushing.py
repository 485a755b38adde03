"""Pushing: rows that wait for an answer, as tasks of the project, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from skmmal.campaign._state import State
from skmmal.campaign.connect._client import ServerError
from skmmal.campaign.connect._connecting import OurTasks, our_tasks
from skmmal.campaign.connect._connection import Connection
from skmmal.campaign.connect._interface import Interface
from skmmal.campaign.connect._server import PAGE, Server
from skmmal.campaign.formats._label_studio import KEY, ROUND, tasks

__all__ = ["lacking", "send", "tasks_to_send"]


def tasks_to_send(
    state: State,
    lacking: Mapping[str, int],
    items: pd.DataFrame,
    to: Connection,
    interface: Interface,
    *,
    mark: str,
    predictions: str,
) -> list[dict[str, Any]]:
    """Tasks for rows that the server lacks (see `OurTasks.lacking`), round after round, in the order to label in.

    A task that lacks a field that the interface shows is an error here: the server would refuse all that are sent with
    it.
    """
    found: list[dict[str, Any]] = []
    for number, batch in enumerate(state.batches, start=1):
        part = batch[batch["id"].map(lacking) == number]
        if part.empty:
            continue
        found += tasks(
            part,
            items,
            to.fields,
            number,
            interface.classes,
            predictions=predictions,
            campaign=mark,
            control=to.control,
            to=interface.to,
            multilabel=state.answers.multilabel,
        )
    for task in found:
        absent = sorted(interface.variables - set(task["data"]))
        if absent:
            raise ValueError(
                f"the labelling interface of project {to.project} shows {absent}, which the task of "
                f"{task['data']['skmmal_id']!r} lacks, so that the server would refuse it; nothing was sent. Take them "
                "out of the interface (Settings, Labeling Interface), or have it written anew (skmmal campaign connect "
                "--replace-config)"
            )
    return found


def lacking(sent: Sequence[dict[str, Any]], items: pd.DataFrame, to: Connection) -> dict[str, int]:
    """How many of the rows sent lack each field; a note stands in its place."""
    rows = items.reindex([task["data"]["skmmal_id"] for task in sent])
    counts = Counter({name: int((rows[name] == "").sum()) for name in to.fields})
    return {name: n for name, n in counts.items() if n}


def send(server: Server, to: Connection, new: Sequence[dict[str, Any]], mark: str) -> OurTasks:
    """Send tasks, and make sure that all of them have arrived."""
    for start in range(0, len(new), PAGE):
        try:
            server.send(to.project, new[start : start + PAGE])
        except ServerError as error:
            raise ServerError(
                f"{error} ({start} of {len(new)} new tasks have arrived for certain). Push again: what has arrived is "
                "not sent twice",
                passes=error.passes,
                status=error.status,
                pause=error.pause,
            ) from None
    there = our_tasks(server.tasks(to.project), mark)
    missing = [task["data"][KEY] for task in new if task["data"][ROUND] not in there.rounds.get(task["data"][KEY], ())]
    if missing:
        raise ServerError(
            f"{server.url} took {len(new)} tasks and does not list {len(missing)} of them yet, the first: "
            f"{missing[0]!r}. Push again in a while: what has arrived is not sent twice",
            passes=True,
        )
    return there
