"""Labels in, labels back, and entries undone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skmmal._arrays import integer
from skmmal._paths import local_path
from skmmal.campaign._delivery import file_mark, receive, retraction, whose_csv
from skmmal.campaign._events import RETRACTED
from skmmal.campaign._files import write_new
from skmmal.campaign._folder import CampaignFolder
from skmmal.campaign._incoming import Incoming, normalize
from skmmal.campaign._log import Entry
from skmmal.campaign._sets import SEPARATOR
from skmmal.campaign._stamp import stamp, user_name
from skmmal.campaign._state import State, in_words
from skmmal.campaign.formats import read_labels_file

__all__ = ["LabelsMixin", "names"]


class LabelsMixin(CampaignFolder):
    """Verbs about labels: take them in, take them back, undo what was done."""

    def add_labels(
        self,
        labels: Any,
        *,
        annotator: str | None = None,
        source: str = "auto",
        control: str = "label",
        map_classes: Mapping[str, str] | None = None,
        encoding: str | None = None,
        allow_new_classes: bool = False,
        ignore_unknown: bool = False,
        snapshot: bool = False,
        authority: str | Sequence[str] = (),
        separator: str = SEPARATOR,
        by: str | None = None,
    ) -> dict[str, Any]:
        """Take labels in: all that are valid at once, or none.

        The latest word of each annotator about a row counts, by the labels' own times, or else by arrival. Only the
        very same file (name, content, time of its last change) brings nothing back that was changed since.

        Parameters
        ----------
        labels : path-like, DataFrame, mapping or Series
            A file (see `skmmal.campaign.read_labels_file`), or labels with their ids. A DataFrame may hold the
            columns ``state`` (``label``, ``skip``, ``unsure``, ``reject``: not of this class), ``annotator``,
            ``when``, ``annotation``, ``authority``, and a batch's ``again``: a row that was handed out once more got
            this answer then, even where it repeats the same person's earlier one. Where rows have several labels, a
            label is a list of them, or a text with `separator` between them; or there is a column for each label that
            holds 1, 0 or nothing (not known), with the ids in ``id`` or in the index. No label applies: an empty list,
            or the state ``none``. Where labels are numbers, a label is a finite one, with a decimal point.
        annotator : str, optional
            Who labelled, where the labels do not say. Default: the user.
        source : str, default="auto"
            Kind of file: ``"csv"``, ``"excel"``, ``"parquet"``, ``"json"``, ``"jsonl"``, ``"label-studio"``,
            ``"label-studio-min"``, ``"label-studio-csv"``, ``"prodigy"``, ``"huggingface"``.
        control : str, default="label"
            Label Studio: name of the control whose choice is the label.
        map_classes : mapping of str to str, optional
            Labels to rename, old name to new one; the new names ``skip`` and ``unsure`` make them that.
        encoding : str, optional
            Of a CSV file that is not in Unicode.
        allow_new_classes : bool, default=False
            Admit classes that the campaign has not seen.
        ignore_unknown : bool, default=False
            Leave out labels for ids that are not in the campaign (they are kept in the entry's ``ignored.csv``).
        snapshot : bool, default=False
            `labels` is everything that there is: what it no longer holds is retracted. Of Label Studio's JSON export,
            that is annotations of its projects; of a table, labels of its annotators that have no annotation's number.
        authority : str or sequence of str, optional
            Annotators whose word settles conflicts, from now on, whenever it came. An annotation that is marked as
            ground truth in Label Studio does so, too.
        separator : str, default="|"
            Stands between the labels of a row in a text.
        by : str, optional
            Who hands them in. Default: the user.

        Returns
        -------
        dict
            ``entry`` (``None``: nothing new), ``new``, ``known`` (received before), ``changed`` (of the new ones: they
            change an annotator's earlier word), ``blank`` (without label and state), ``ignored``, ``states``,
            ``new_classes``; and where there is any, ``vanished`` (retracted by the snapshot), ``stay_retracted``
            (retracted before, and the same), ``mapped``, ``authority``, ``notes``.

        Raises
        ------
        ValueError
            Unknown ids, classes not seen before, labels that cannot be read, or that contradict each other; nothing is
            recorded.
        TimeoutError
            Another process holds the campaign.
        """
        ids = self._all_ids()
        file = None
        if isinstance(labels, str | os.PathLike):
            path = local_path(labels, "labels")
            classes = {*self.state().classes, *(map_classes or {})}
            labels = read_labels_file(
                path, source, control=control, encoding=encoding, classes=classes, ids=ids, **self._form(separator)
            )
            file = file_mark(path)
        known = self.state().classes if self.settings.multilabel else ()
        incoming = normalize(labels, annotator or user_name(), map_classes, classes=known, **self._form(separator))
        with self._changing("add-labels") as state:
            return self._take_in(
                state,
                incoming,
                ids,
                stamp(by, file=file) if file else stamp(by),
                allow_new_classes=allow_new_classes,
                ignore_unknown=ignore_unknown,
                snapshot=snapshot,
                authority=names("authority", authority),
                file=file,
            )

    def _take_in(
        self,
        state: State,
        incoming: Incoming,
        ids: set[str],
        stamp: dict[str, Any],
        *,
        about: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Record what is new of a delivery; the caller holds the lock. `about` is put into the receipt."""
        delivery = receive(state, incoming, ids, set(self._validation["id"]), mark=self.mark, **options)
        if not delivery.is_news:
            return {"entry": None, **delivery.said}
        entry = self._append(state, {**delivery.receipt, **(about or {})}, stamp, delivery.fill)
        return {"entry": entry.number, **delivery.said}

    def _form(self, separator: str) -> dict[str, Any]:
        """How labels are to be understood."""
        if not isinstance(separator, str) or not separator.strip():
            raise ValueError(f"separator must be a text that is not blank, got {separator!r}")
        answers = self.settings.answers
        return {"multilabel": answers.multilabel, "separator": separator, "numbers": answers.numbers}

    def retract(
        self,
        ids: str | Sequence[str],
        *,
        annotator: str | None = None,
        reason: str = "",
        by: str | None = None,
    ) -> dict[str, Any]:
        """Take back what was said about some ids, by an entry of its own; nothing is deleted, and it can be undone.

        The ids are unlabelled again (pending, where they were handed out), and can be labelled again. The same label
        with the same time stays retracted when it is received once more; a later one counts.

        Parameters
        ----------
        ids : str or sequence of str
            Whose labels are taken back.
        annotator : str, optional
            Whose words. Default: everybody's.
        reason : str, default=""
            Kept in the stamp.
        by : str, optional
            Who takes them back. Default: the user.

        Returns
        -------
        dict
            ``entry`` (``None``: they were retracted already), ``retracted`` (events taken back), ``ids``.

        Raises
        ------
        ValueError
            An id is not in the campaign, or has no label (by that annotator); nothing is recorded.
        """
        wanted = names("ids", ids)
        with self._changing("retract") as state:
            known = {*state.events["id"], *state.retracted["id"]}
            if not set(wanted) <= known:
                known |= self._all_ids()
            events = retraction(state, wanted, annotator, known)
            said = {"retracted": len(events), "ids": sorted(set(events["id"]))}
            if events.empty:
                return {"entry": None, **said}

            def fill(path: Path) -> None:
                write_new(path / RETRACTED, whose_csv(events))

            receipt = {"kind": "retract", "annotator": annotator, **said}
            entry = self._append(state, receipt, stamp(by, reason=reason), fill)
            return {"entry": entry.number, **said}

    def undo(self, entry: int | None = None, *, by: str | None = None, reason: str = "") -> dict[str, Any]:
        """Undo an entry by adding one that reverses it; nothing is deleted.

        Parameters
        ----------
        entry : int, optional
            Number of the entry. Default: the last that counts and is no undo and no push. An undo can be undone by its
            number. If the entry is undone already, nothing changes.
        by : str, optional
            Who undoes it. Default: the user.
        reason : str, default=""
            Kept in the stamp.

        Returns
        -------
        dict
            ``entry`` (``None``: it was undone already), ``undoes``, ``what``.

        Raises
        ------
        ValueError
            There is no such entry, it is a round and not the last one, or a push: what was sent is not called back.
        """
        with self._changing("undo") as state:
            target = _entry_to_undo(state, entry)
            said = {"undoes": target.number, "what": in_words(target)}
            if target.number in state.undone:
                return {"entry": None, **said}
            _check_undo(state, target)
            done = self._append(state, {"kind": "undo", "undoes": target.number}, stamp(by, reason=reason))
            return {"entry": done.number, **said}


def _entry_to_undo(state: State, number: int | None) -> Entry:
    if number is None:
        counting = [entry for entry in state.counting if entry.kind not in ("undo", "push")]
        if not counting:
            raise ValueError("there is nothing to undo")
        return counting[-1]
    if integer(number, "entry", 1) > len(state.entries):
        raise ValueError(f"there is no entry {number}; the log holds {len(state.entries)}")
    return state.entries[number - 1]


def _check_undo(state: State, target: Entry) -> None:
    """Rounds are undone, and come back, from the end only: later ones build on them."""
    if target.kind == "round" and target.number != state.rounds[-1].number:
        last = state.rounds[-1]
        raise ValueError(f"{in_words(target)} is not the last round; undo entry {last.number} first")
    if target.kind == "push":
        raise ValueError(
            f"{in_words(target)}, and annotators may have them open: what was sent is not called back. Delete the "
            "tasks on the server; the next pull takes their labels back"
        )
    if target.kind != "undo":
        return
    back = state.entries[int(target.receipt["undoes"]) - 1]
    if back.kind == "round" and back.receipt["round"] != len(state.rounds) + 1:
        raise ValueError(
            f"{in_words(back)} cannot come back: there is another round {back.receipt['round']} now; undo that first"
        )


def names(what: str, given: Any) -> list[str]:
    """One name, or several."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, Iterable) or isinstance(given, bytes | Mapping):
        raise TypeError(f"{what} must be a name or a list of names, got {given!r}")
    return [str(name) for name in given]
