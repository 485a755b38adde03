"""Pulling: every annotation of the project's tasks, in the form that labels come in."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from skmmal.campaign._state import State
from skmmal.campaign.connect._client import ServerError
from skmmal.campaign.connect._connecting import OurTasks, our_tasks
from skmmal.campaign.connect._connection import Connection, pushed
from skmmal.campaign.connect._server import Server
from skmmal.campaign.formats._label_studio_exports import read_annotations

__all__ = ["counted", "read_project"]


def read_project(server: Server, to: Connection, state: State, mark: str) -> tuple[pd.DataFrame, OurTasks]:
    """Every annotation of this campaign's tasks, everyone by e-mail where the server tells it.

    Returns
    -------
    DataFrame
        What `normalize` takes; ``attrs["projects"]`` names the project, also where no annotation is left.
    OurTasks
    """
    people = server.people()
    ours = our_tasks(server.tasks(to.project, annotations=True), mark)
    name = to.name(state)
    _check_there(state, ours, to, name)
    content = []
    for task in ours.tasks:
        if not all(map(_is_whole, task["annotations"])):
            raise ServerError(
                f"{server.url} gives annotations of task {task['id']} without number or result; nothing was recorded: "
                "is it Label Studio 1.13 or newer?"
            )
        given = [{**one, "completed_by": _person(one, people)} for one in task["annotations"]]
        content.append({"data": task["data"], "annotations": given, "project": name})
    table = read_annotations(content, f"project {to.project}", control=to.control, multilabel=state.answers.multilabel)
    table.attrs["projects"] = [name]
    return table, ours


def _is_whole(annotation: Any) -> bool:
    return isinstance(annotation, dict) and annotation.get("id") is not None and "result" in annotation


def _person(annotation: dict[str, Any], people: dict[int, str]) -> Any:
    number = annotation.get("completed_by")
    return {"id": number, "email": people[number]} if isinstance(number, int) and number in people else number


def _check_there(state: State, ours: OurTasks, to: Connection, name: str) -> None:
    """A project from which everything of ours is gone is no reason to take every label back."""
    n_known = len(pushed(state, name)) or int((state.received["project"] == name).sum())
    if n_known and not ours.tasks:
        raise ServerError(
            f"project {to.project} of {to.server} holds no task of this campaign any more, and it did ({n_known}). Was "
            "it emptied, or restored from an older backup? Nothing was retracted; if the labels are to go, take them "
            "back by hand (skmmal campaign retract), and push to send the tasks once more"
        )


def counted(events: pd.DataFrame) -> dict[str, int]:
    """How the labels on the server came about: by hand, a suggestion accepted, a suggestion changed."""
    origins = Counter(events["origin"][(events["state"] == "label") & (events["origin"] != "")])
    return dict(sorted(origins.items()))
