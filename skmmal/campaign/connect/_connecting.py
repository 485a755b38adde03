"""Connecting: which project, whether it can do what the campaign needs, and what is agreed upon."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from skmmal._arrays import integer
from skmmal.campaign._source import relative_path
from skmmal.campaign._state import State
from skmmal.campaign.connect._client import ServerError, check_url
from skmmal.campaign.connect._connection import Connection
from skmmal.campaign.connect._interface import Interface, read_interface, same_interface
from skmmal.campaign.connect._media import local_prefix
from skmmal.campaign.connect._server import Server
from skmmal.campaign.formats import labeling_config
from skmmal.campaign.formats._label_studio import CAMPAIGN_KEY, CONTROL, KEY, ROUND, check_fields

__all__ = ["OurTasks", "agree", "agreed", "check_ids", "find_project", "our_tasks", "same_project", "set_up_interface"]


def agree(before: Connection | None, folder: Any, **asked: Any) -> Connection:
    """What is asked for, completed by what was agreed upon before.

    Parameters
    ----------
    before : Connection or None
        The connection so far.
    folder : Path
        Of the campaign.
    **asked : object
        Parameters of `LabelingCampaign.connect`; ``None`` where nothing is said.

    Returns
    -------
    Connection
        Project number 0 where there is none yet.
    """

    def kept(name: str, otherwise: Any = None) -> Any:
        if asked[name] is not None:
            return asked[name]
        return otherwise if before is None else getattr(before, name)

    if asked["url"] is None and before is None:
        raise ValueError("url is needed to connect: the server's address, such as http://localhost:8080 (--url)")
    if (asked["project"] is None) == (asked["new"] is None) and (before is None or asked["new"] is not None):
        raise ValueError("name a project that is there (project=7, --project 7) or a new one (new=..., --new NAME)")
    control = str(kept("control", CONTROL))
    fields = dict(kept("fields", {}))
    check_fields(fields, control)
    if asked["data"] is None and before is None:
        raise ValueError("data is needed: a table with an id and what annotators are to see (--data items.csv)")
    is_path = isinstance(asked["data"], str | os.PathLike)
    prefix, local_files = kept("prefix", ""), kept("local_files")
    if asked["local_files"] is not None:
        if asked["prefix"]:
            raise ValueError("local_files makes the prefix itself; give one of prefix and local_files")
        local_files = "/" + str(local_files).strip("/")
        prefix, _ = local_prefix(local_files, asked["document_root"])
    elif asked["prefix"] is not None:
        local_files = None
    number = 0 if asked["new"] is not None else integer(kept("project"), "project", 1)
    return Connection(
        server=check_url(asked["url"]) if asked["url"] is not None else before.server if before else "",
        project=number,
        created="",
        title=asked["new"] or "",
        fields={str(name): str(kind) for name, kind in fields.items()},
        control=control,
        data=relative_path(asked["data"], folder) if asked["data"] is not None else before.data if before else None,
        id_column=str(kept("id_column", "id")),
        prefix=str(prefix),
        encoding=kept("encoding") if asked["data"] is None or is_path else None,
        local_files=local_files,
    )


def check_ids(items: pd.DataFrame, ids: Collection[str]) -> None:
    """Raise unless annotators can be shown something of every row that may be handed out."""
    missing = sorted(set(ids) - set(items.index))
    if missing:
        raise ValueError(
            f"data: {len(missing)} of {len(ids)} ids of the campaign are not in it, the first: {missing[0]!r}; a row "
            "of which there is nothing to show needs a line all the same, with empty cells"
        )


def find_project(server: Server, wanted: Connection, mark: str, state: State) -> tuple[dict[str, Any], bool]:
    """The project, and whether it was made just now.

    A new one carries the campaign's mark in its description, so that a command that was killed finds it again.
    """
    if wanted.project:
        return server.project(wanted.project), False
    there = server.projects_called(wanted.title)
    ours = [found for found in there if f"campaign {mark}" in str(found.get("description"))]
    if ours:
        return server.project(int(ours[0]["id"])), False
    if there:
        raise ValueError(
            f"{server.url} has a project called {wanted.title!r} already (number {there[0]['id']}): connect to that "
            f"one (project, --project {there[0]['id']}), or take another name"
        )
    config = _interface_for(wanted, state)
    about = f"Rows are chosen by skmmal, campaign {mark}"
    return server.project(server.create_project(wanted.title, about, config)), True


def agreed(wanted: Connection, project: Mapping[str, Any], before: Connection | None) -> Connection:
    """The connection with what the server says of the project; the columns of a project stay as they are."""
    found = replace(wanted, project=int(project["id"]), created=project["created_at"], title=project["title"])
    if before is not None and before.is_same_project(found) and before.fields != found.fields:
        raise ValueError(
            f"fields: project {found.project} was set up with the columns {before.fields}, and Label Studio wants the "
            f"same ones in every task for the life of a project; got {found.fields}. Connect to a new project (--new "
            "NAME); labels that were pulled stay"
        )
    return found


def same_project(server: Server, to: Connection) -> dict[str, Any]:
    """The project that the campaign is connected to; another one that has its number by now is an error."""
    project = server.project(to.project)
    if project["created_at"] != to.created:
        raise ServerError(
            f"project {to.project} of {to.server} is not the one that this campaign is connected to: that was made at "
            f"{to.created}, this one ({project['title']!r}) at {project['created_at']}. Was the server set up anew? "
            "Nothing was recorded; connect again (skmmal campaign connect)"
        )
    return project


def set_up_interface(
    server: Server,
    project: Mapping[str, Any],
    to: Connection,
    state: State,
    *,
    replace_config: bool = False,
) -> tuple[Interface, bool]:
    """Bring the labelling interface up to date where it is ours, and hold it against what is needed where it is not.

    Returns
    -------
    Interface
    bool
        Whether it was changed on the server.
    """
    where = f"the labelling interface of project {to.project}"
    now = read_interface(project["label_config"], to.control, where)
    multilabel = state.answers.multilabel
    ours = same_interface(project["label_config"], to.fields, to.control, multilabel)
    if ours and set(state.classes) <= set(now.classes):
        return now, False
    if not (ours or now.is_empty or replace_config):
        now.check(to.control, to.fields, state.classes, where, multilabel=multilabel)
        return now, False
    config = _interface_for(to, state)
    server.change_project(to.project, label_config=config)
    return read_interface(config, to.control, where), True


def _interface_for(to: Connection, state: State) -> str:
    return labeling_config(to.fields, state.classes, control=to.control, multilabel=state.answers.multilabel)


@dataclass(frozen=True)
class OurTasks:
    """Tasks of a project, sorted by whose they are.

    Attributes
    ----------
    tasks : list of dict
        Of this campaign.
    numbers : dict of str to list of int
        Task numbers by our id.
    rounds : dict of str to list of int
        Rounds that these tasks were made in, in the same order; 0 where that is not known.
    n_foreign : int
        Tasks without an id of ours, or of another campaign.
    marks : dict of str to int
        Marks of other campaigns, and how many tasks have them.
    """

    tasks: list[dict[str, Any]]
    numbers: dict[str, list[int]]
    rounds: dict[str, list[int]]
    n_foreign: int
    marks: dict[str, int]

    def lacking(self, state: State) -> dict[str, int]:
        """Rows that wait for an answer and have no task to give it in, and the round that handed them out.

        A row that was answered and handed out once more needs a task of that round: those who answered are not shown
        the earlier one again.
        """
        answered = set(state.waiting) - set(state.pending)
        return {
            name: number
            for name, number in state.unanswered.items()
            if name not in self.numbers or (name in answered and max(self.rounds[name]) < number)
        }

    @property
    def notes(self) -> list[str]:
        """What is odd about them, in words."""
        several = [name for name, rounds in self.rounds.items() if len(set(rounds)) < len(rounds)]
        notes = []
        if self.n_foreign:
            notes.append(f"{self.n_foreign} tasks of the project are not this campaign's; they are left alone")
        if several:
            notes.append(
                f"{len(several)} rows are there as several tasks, the first: {several[0]!r} (tasks "
                f"{', '.join(map(str, self.numbers[several[0]]))}); delete those that nobody has answered"
            )
        return notes


def our_tasks(tasks: Sequence[dict[str, Any]], mark: str) -> OurTasks:
    """Sort tasks of a project by our id; those of other campaigns, and those that are no campaign's, are not ours."""
    ours: list[dict[str, Any]] = []
    numbers: dict[str, list[int]] = {}
    rounds: dict[str, list[int]] = {}
    marks: Counter[str] = Counter()
    for task in tasks:
        data = task.get("data")
        data = data if isinstance(data, dict) else {}
        name, whose = data.get(KEY), str(data.get(CAMPAIGN_KEY) or "")
        if name in (None, "") or (whose and whose != mark):
            marks.update([whose] if whose and whose != mark else [])
            continue
        ours.append(task)
        numbers.setdefault(str(name), []).append(task["id"])
        made_in = data.get(ROUND)
        rounds.setdefault(str(name), []).append(made_in if isinstance(made_in, int) else 0)
    return OurTasks(ours, numbers, rounds, len(tasks) - len(ours), dict(marks))
