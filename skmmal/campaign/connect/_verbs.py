"""Verbs about a labelling server: connect to a project, push rows to it, pull labels from it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from skmmal.campaign._batches import BatchesMixin
from skmmal.campaign._files import write_new
from skmmal.campaign._incoming import normalize
from skmmal.campaign._labels import LabelsMixin, names
from skmmal.campaign._stamp import stamp, user_name
from skmmal.campaign._state import State
from skmmal.campaign.connect import _watching
from skmmal.campaign.connect._client import Client
from skmmal.campaign.connect._connecting import (
    agree,
    agreed,
    check_ids,
    find_project,
    our_tasks,
    same_project,
    set_up_interface,
)
from skmmal.campaign.connect._connection import PUSHED, Connection, connection, pushed, pushed_csv, read_items
from skmmal.campaign.connect._media import check_media, explain_variables, local_prefix
from skmmal.campaign.connect._pulling import counted, read_project
from skmmal.campaign.connect._pushing import lacking, send, tasks_to_send
from skmmal.campaign.connect._server import Server
from skmmal.campaign.connect._token import Token
from skmmal.campaign.formats._label_studio import MODEL_VERSION, PREDICTIONS

__all__ = ["ConnectMixin"]


class ConnectMixin(BatchesMixin, LabelsMixin):
    """Verbs about a Label Studio server. Each is one entry in the log, and can be given again."""

    def connect(
        self,
        url: str | None = None,
        *,
        project: int | None = None,
        new: str | None = None,
        data: Any = None,
        fields: Mapping[str, str] | None = None,
        id_column: str | None = None,
        prefix: str | None = None,
        encoding: str | None = None,
        local_files: str | None = None,
        document_root: str | None = None,
        control: str | None = None,
        replace_config: bool = False,
        check_media: bool = True,
        timeout: float = 60.0,
        by: str | None = None,
    ) -> dict[str, Any]:
        """Connect the campaign to a project of a Label Studio server.

        The project is made, or checked: its labeling interface shows the media and offers every class, and one medium
        of each column can be reached. The user's token is taken from the environment variable ``LABEL_STUDIO_API_KEY``
        and written nowhere. Given again, it changes nothing; what is not said stays as it was.

        Parameters
        ----------
        url : str, optional
            Root of the server, such as ``http://localhost:8080``. Needed the first time.
        project : int, optional
            Number of a project that is there.
        new : str, optional
            Name of a project to make. One that this campaign made is found again.
        data : path-like or DataFrame, optional
            What annotators are to see: an id, and a column for each field (see `skmmal.campaign.read_data`). A path is
            kept, and read again by each push.
        fields : mapping of str to str, optional
            Column of `data` to its kind: image, text, audio or video. They stay the same for the life of a project.
        id_column : str, optional
            Default: ``"id"``.
        prefix : str, optional
            Put before what is no URL.
        encoding : str, optional
            Of a CSV file that is not in Unicode.
        local_files : str, optional
            Folder on the server's machine whose files the server gives out; names of files in `data` are relative to
            it. A storage for it is registered with the project.
        document_root : str, optional
            What ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`` is there. Default: the folder above `local_files`.
        control : str, optional
            Name of the control whose choice is the label. Default: ``"label"``.
        replace_config : bool, default=False
            Write the labeling interface anew, where people have written it.
        check_media : bool, default=True
            Ask for one medium of each column.
        timeout : float, default=60.0
            Seconds for an answer.
        by : str, optional
            Who connects. Default: the user.

        Returns
        -------
        dict
            ``entry`` (``None``: it was connected so before), ``server``, ``project``, ``title``, ``link``, ``made``
            (whether the project was made just now), ``notes``.

        Raises
        ------
        ValueError
            Labels are numbers, or something does not fit: ids without data, an interface that lacks classes, columns
            that changed, tasks of another campaign, media that are not given out. Nothing is recorded.
        ServerError
            The server is away, refuses, or answers what cannot be used. Nothing is recorded.
        TimeoutError
            Another process holds the campaign.
        """
        if self.settings.answers.numbers:
            raise ValueError(
                "connect is for campaigns whose labels are classes; numbers go to Label Studio and come back by files: "
                "export --to label-studio, and add-labels"
            )
        asked = {
            "url": url, "project": project, "new": new, "data": data, "fields": fields, "id_column": id_column,
            "prefix": prefix, "encoding": encoding, "local_files": local_files, "document_root": document_root,
            "control": control,
        }  # fmt: skip
        with self._changing("connect") as state:
            before = connection(state)
            wanted = agree(before, self.folder, **asked)
            items = read_items(self, wanted, data)
            check_ids(items, self._all_ids() - set(self._validation["id"]))
            server = _server(wanted, timeout)
            found, made = find_project(server, wanted, self.mark, state)
            to = agreed(wanted, found, before)
            notes = _check_project(server, found, to, state, self.mark, replace_config)
            hint = _offer_files(server, to, document_root)
            if check_media:
                notes += _check_media(items, to, server, timeout, hint)
            said = {"server": to.server, "project": to.project, "title": to.title, "link": to.link, "made": made}
            if to == before:
                return {"entry": None, **said, "notes": notes}
            entry = self._append(state, to.to_receipt(), stamp(by))
            return {"entry": entry.number, **said, "notes": notes}

    def push(
        self,
        *,
        predictions: str = "strategy",
        data: str | os.PathLike[str] | pd.DataFrame | None = None,
        timeout: float = 60.0,
        by: str | None = None,
    ) -> dict[str, Any]:
        """Send rows that were handed out and are not answered to the project, each once.

        What is there already, by our id, is not sent again: not after a kill, and not by two at the same time. A row
        that was answered and handed out once more is sent as another task, for who has answered a task is not shown it
        again. New classes get their button first.

        Parameters
        ----------
        predictions : {"strategy", "all", "none"}, default="strategy"
            Rows whose prediction annotators may see. One that is seen is often accepted: on the rows that were drawn at
            random it would bias the accuracy that is measured on them.
        data : path-like or DataFrame, optional
            What annotators are to see, if it has moved, or was a DataFrame.
        timeout : float, default=60.0
            Seconds for an answer.
        by : str, optional
            Who sends. Default: the user.

        Returns
        -------
        dict
            ``entry`` (``None``: nothing is there that was not recorded), ``sent`` (tasks sent just now), ``there``
            (rows that wait and were there already), ``placeholders`` (how many of the rows sent lack each column: a
            note stands in its place), ``project``, ``link``, ``notes``.

        Raises
        ------
        ValueError
            The campaign is not connected, a row is not in the data, or a task would lack what the interface shows.
            Nothing was sent.
        ServerError
            The server is away, refuses, or answers what cannot be used. Push again: what has arrived is not sent twice.
        TimeoutError
            Another process holds the campaign.
        """
        if predictions not in PREDICTIONS:
            raise ValueError(f"predictions must be one of {list(PREDICTIONS)}, got {predictions!r}")
        with self._changing("push") as state:
            to = _connected(state)
            items = read_items(self, to, data)
            server = _server(to, timeout)
            project = same_project(server, to)
            there = our_tasks(server.tasks(to.project), self.mark)
            interface, changed = set_up_interface(server, project, to, state)
            options = {"mark": self.mark, "predictions": predictions}
            new = tasks_to_send(state, there.lacking(state), items, to, interface, **options)
            n_there = len(state.unanswered) - len(new)
            if new:
                there = send(server, to, new, self.mark)
            if any("predictions" in task for task in new) and project.get("model_version") not in ("", MODEL_VERSION):
                server.change_project(to.project, model_version=MODEL_VERSION)  # or the suggestions are not shown
            notes = there.notes + (["the labeling interface has buttons for new classes now"] if changed else [])
            said = {"sent": len(new), "there": n_there, "placeholders": lacking(new, items, to), "notes": notes}
            said |= {"project": to.project, "link": to.link}
            name = to.name(state)
            pairs = {(row, str(number)) for row, numbers in there.numbers.items() for number in numbers}
            fresh = sorted(pairs - pushed(state, name), key=lambda pair: int(pair[1]))
            if not fresh:
                return {"entry": None, **said}
            receipt = {"kind": "push", "project": name, "n_tasks": len(fresh)}
            entry = self._append(
                state, receipt, stamp(by, server=to.server), lambda path: write_new(path / PUSHED, pushed_csv(fresh))
            )
            return {"entry": entry.number, **said}

    def pull(
        self,
        *,
        watch: float | None = None,
        next_when: float = 0.9,
        predictions: str = "strategy",
        data: str | os.PathLike[str] | pd.DataFrame | None = None,
        map_classes: Mapping[str, str] | None = None,
        allow_new_classes: bool = False,
        authority: str | Sequence[str] = (),
        timeout: float = 60.0,
        by: str | None = None,
        report: Callable[[str, Any], None] | None = None,
    ) -> dict[str, Any]:
        """Take in every annotation of the project: new ones, changed ones, skips; what was deleted is retracted.

        Parameters
        ----------
        watch : float, optional
            Let the campaign run by itself: pull every so many seconds, hand out the next batch when the last one is
            answered, and push it, until nothing is left. A server that is away is waited for.
        next_when : float, default=0.9
            With `watch`: share of the last batch that must be answered.
        predictions : {"strategy", "all", "none"}, default="strategy"
            With `watch`: see `push`.
        data : path-like or DataFrame, optional
            With `watch`: see `push`.
        map_classes : mapping of str to str, optional
            Labels to rename, see `add_labels`.
        allow_new_classes : bool, default=False
            Admit classes that the campaign has not seen.
        authority : str or sequence of str, optional
            Annotators whose word settles conflicts, from now on. So does a ground truth, as Label Studio calls it.
        timeout : float, default=60.0
            Seconds for an answer.
        by : str, optional
            Who pulls. Default: the user.
        report : callable, optional
            With `watch`: called as ``report(what, said)`` for ``"pull"``, ``"next"``, ``"push"``, ``"wait"`` (said: the
            error that may pass) and ``"over"``. Default: what may pass is a warning.

        Returns
        -------
        dict
            As `add_labels`, and ``project``, ``link``, ``pending`` (rows that wait for an answer), ``not_there`` (those
            of them that are not on the server: push sends them), ``origins`` (labels on the server: ``manual``,
            ``prediction`` (a suggestion accepted), ``prediction-changed``).

        Raises
        ------
        ValueError
            The campaign is not connected, or an annotation cannot be used. Nothing is recorded.
        ServerError
            The server is away, refuses, or answers what cannot be used. Nothing is recorded.
        TimeoutError
            Another process holds the campaign.
        """
        once = partial(
            self._pull,
            map_classes=map_classes,
            allow_new_classes=allow_new_classes,
            authority=names("authority", authority),
            timeout=timeout,
            by=by,
        )
        if watch is None:
            return once()
        seconds, share = _watching.check_watch(watch, next_when)

        def hand_out() -> dict[str, Any] | None:
            state = self.state()
            if _watching.answered_share(state) < share:
                return None
            number = len(state.rounds) + 1
            return {"round": number, "batch": self.next_batch(round=number, by=by)}

        def send_out() -> dict[str, Any]:
            return self.push(predictions=predictions, data=data, timeout=timeout, by=by)

        return _watching.run(once, hand_out, send_out, report or _warn, seconds)

    def _pull(
        self,
        *,
        map_classes: Mapping[str, str] | None,
        allow_new_classes: bool,
        authority: list[str],
        timeout: float,
        by: str | None,
    ) -> dict[str, Any]:
        ids = self._all_ids()
        with self._changing("pull") as state:
            to = _connected(state)
            server = _server(to, timeout)
            same_project(server, to)
            table, there = read_project(server, to, state, self.mark)
            multilabel = self.settings.multilabel
            known = state.classes if multilabel else ()
            incoming = normalize(table, user_name(), map_classes, classes=known, multilabel=multilabel)
            said = self._take_in(
                state,
                incoming,
                ids,
                stamp(by, server=to.server),
                about={"pulled": to.name(state)},
                allow_new_classes=allow_new_classes,
                ignore_unknown=False,
                snapshot=True,
                authority=authority,
                file=None,
            )
        now = self.state()
        more = {
            "project": to.project,
            "link": to.link,
            "pending": len(now.unanswered),
            "not_there": len(there.lacking(now)),
            "origins": counted(incoming.events),
        }
        notes = [*said.get("notes", ()), *there.notes]
        return {**said, **more, **({"notes": notes} if notes else {})}


def _server(to: Connection, timeout: float) -> Server:
    return Server(Client(to.server, Token.from_environment(), timeout=timeout))


def _connected(state: State) -> Connection:
    to = connection(state)
    if to is None:
        raise ValueError("the campaign is not connected to a server; skmmal campaign connect DIR --url ... comes first")
    return to


def _check_project(
    server: Server, found: Mapping[str, Any], to: Connection, state: State, mark: str, replace_config: bool
) -> list[str]:
    """Hold a project against what the campaign needs; what is odd, in words."""
    there = our_tasks(server.tasks(to.project), mark)
    if there.marks:
        other, n = next(iter(there.marks.items()))
        raise ValueError(
            f"project {to.project} ({to.title!r}) holds {n} tasks of another campaign (its mark is {other}, this one's "
            f"{mark}); a project is one campaign's: make a new one (new, --new NAME)"
        )
    notes = there.notes
    if server.is_plain:
        notes.append(f"{to.server} is not encrypted: whoever listens on the network can read the token; use https")
    interface, _ = set_up_interface(server, found, to, state, replace_config=replace_config)
    foreign = interface.foreign_classes(state.classes)
    if foreign and state.classes:
        notes.append(
            f"the labeling interface offers {len(foreign)} classes that the campaign does not know: {foreign[:10]}; a "
            "pull that finds them says so and takes nothing, unless they are welcome (allow_new_classes, "
            "--allow-new-classes) or renamed (map_classes, --map-class)"
        )
    return notes


def _offer_files(server: Server, to: Connection, document_root: str | None) -> str:
    """Have a folder of the server's machine given out; what to do if it is not."""
    if to.local_files is None:
        return ""
    _, root = local_prefix(to.local_files, document_root)
    hint = explain_variables(to.local_files, root)
    server.offer_folder(to.project, to.local_files, hint)
    return hint


def _check_media(items: pd.DataFrame, to: Connection, server: Server, timeout: float, hint: str) -> list[str]:
    return check_media(items, to.fields, server, timeout=timeout, hint=hint)


def _warn(what: str, said: Any) -> None:
    if what == "wait":
        warnings.warn(str(said), RuntimeWarning, stacklevel=4)
