"""Label Studio's exports: annotations in (`_label_studio` writes the tasks).

JSON holds everything. JSON_MIN, CSV and TSV hold one line per annotation, and leave cancelled (skipped) ones out. What
is an answer is the value of one control, by its name; whatever else there is is an error that says so, never a skip.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Any

import pandas as pd

from skmmal.campaign._votes import ALL_COLUMNS
from skmmal.campaign.formats._label_studio import CAMPAIGN_KEY, CONTROL, KEY, UNSURE, UNSURE_TEXT

__all__ = ["looks_flat", "read_annotations", "read_flat"]

_FLAT = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", "history")
"""Columns that the flat formats have beside the task's data and the controls."""
_UNSURE = {UNSURE, UNSURE_TEXT}
_NUMBERS = ("number", "rating")
"""Types of controls that hold numbers, and the keys of their values."""
_NO_SKIPS = (
    "this format holds no skips: Label Studio leaves cancelled annotations out of it, so that skipped rows stay "
    "pending; the JSON export has them"
)


def read_annotations(
    content: Any,
    where: str = "the export",
    *,
    control: str = CONTROL,
    multilabel: bool = False,
    numbers: bool = False,
) -> pd.DataFrame:
    """Read the JSON export: every annotation of every task.

    A cancelled annotation is a skip, and so is one that answers nothing at all. A task without annotations is blank.
    Drafts and predictions are no annotations.

    Parameters
    ----------
    content : list of dict
        The export.
    where : str
        What error messages call it.
    control : str, default="label"
        Name of the control whose choice is the label.
    multilabel : bool, default=False
        A label is the list of what was chosen. One that answers nothing says that no class applies, and so does one
        that answers other controls only, where some annotation in the export answers this one.
    numbers : bool, default=False
        A label is what a control Number or Rating holds; choosing "I cannot tell" in any control makes it unsure.

    Returns
    -------
    DataFrame
        With the columns that labels are taken in by. ``attrs``: ``campaigns`` (marks of the campaigns whose tasks they
        are), ``projects``, and ``notes`` where "I cannot tell" was chosen beside classes.

    Raises
    ------
    ValueError
        An annotation answers other controls only, or the control is no choice of one class; nothing is guessed.
    """
    if not isinstance(content, list) or not all(isinstance(task, dict) for task in content):
        raise ValueError(f"{where} is not a Label Studio export: expected a list of tasks")
    events: list[dict[str, Any]] = []
    is_answered = multilabel and any(_answers(task, control) for task in content)
    n_torn = 0
    others: Counter[tuple[str, str]] = Counter()
    n_others, first = 0, ""
    marks: dict[str, None] = {}
    for number, task in enumerate(content):
        here = f"{where}: task {number}"
        key = _key(task.get("data"), here)
        marks[_text(task["data"].get(CAMPAIGN_KEY))] = None
        if "annotations" not in task and "completions" in task:
            raise ValueError(
                f"{where} is an export of Label Studio before 1.0 (completions); export it from a newer one"
            )
        annotations = task.get("annotations") or []
        if not isinstance(annotations, list):
            raise ValueError(f"{where}: the annotations of task {number} are not a list")
        project = _text(task.get("project"))
        for annotation in annotations:
            if not isinstance(annotation, dict):
                raise ValueError(f"{where}: an annotation of task {number} is not an object")
            parts = _parts(annotation, here)
            cancelled = bool(annotation.get("was_cancelled"))
            ours = [part for part in parts if part.get("from_name") == control]
            if parts and not ours and not cancelled and not is_answered and not (numbers and _is_unsure(parts)):
                n_others, first = n_others + 1, first or here
                others.update({(_text(part["from_name"]), _text(part.get("type"))) for part in parts})
                continue
            choices = [] if cancelled else _said(parts, control, here, multilabel=multilabel, numbers=numbers)
            n_torn += len(choices) > 1 and not _UNSURE.isdisjoint(choices)
            events.append(
                {
                    "id": key,
                    **(_set_answer(choices) if multilabel and not cancelled else _answer(choices)),
                    **_person(annotation.get("completed_by")),
                    "when": _text(annotation.get("updated_at") or annotation.get("created_at")),
                    "annotation": _text(annotation.get("id")),
                    "lead_time": _text(annotation.get("lead_time")),
                    "origin": _text(ours[0].get("origin")) if choices and ours else "",
                    "project": project,
                    "authority": "yes" if annotation.get("ground_truth") is True else "",
                }
            )
        if not annotations:
            events.append({"id": key, "label": "", "state": "", "project": project})
    if n_others:
        raise ValueError(_other_controls(others, n_others, control, first, numbers))
    projects = sorted({_text(task.get("project")) for task in content})
    return _table(events, campaigns=[mark for mark in marks if mark], projects=projects, **_about_torn(n_torn))


def _answers(task: dict[str, Any], control: str) -> bool:
    """Whether some annotation of a task answers the control."""
    found = task.get("annotations")
    results = [one.get("result") for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    parts = [part for result in results if isinstance(result, list) for part in result]
    return any(isinstance(part, dict) and part.get("from_name") == control for part in parts)


def _about_torn(n: int) -> dict[str, Any]:
    note = f"{n} annotations choose classes and 'I cannot tell'; they count as unsure"
    return {"notes": [note]} if n else {}


def _table(events: Sequence[Mapping[str, Any]], **attrs: Any) -> pd.DataFrame:
    table = pd.DataFrame(events, columns=list(ALL_COLUMNS), dtype=object).fillna("")
    table.attrs.update(attrs)
    return table


def _key(data: Any, where: str) -> str:
    if not isinstance(data, dict) or data.get(KEY) in (None, ""):
        raise ValueError(f"{where} has no {KEY} in its data; was it exported by skmmal?")
    return str(data[KEY])


def _parts(annotation: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """Answers of an annotation to named controls; relations between regions have no name."""
    result = annotation.get("result") or []
    if not isinstance(result, list) or not all(isinstance(part, dict) for part in result):
        raise ValueError(f"{where} has an annotation whose result is not a list of objects")
    return [part for part in result if part.get("from_name") is not None]


def _said(
    parts: Sequence[dict[str, Any]], control: str, where: str, *, multilabel: bool, numbers: bool
) -> list[str]:
    """Classes that an annotation chooses, or its number; one that cannot tell says so."""
    ours = [part for part in parts if part.get("from_name") == control]
    if not numbers:
        return _choices(ours, control, where, multilabel)
    if _is_unsure(parts):
        return [UNSURE]
    found = [_number(part, control, where) for part in ours]
    if len(found) > 1:
        raise ValueError(f"{where} has {len(found)} numbers, {found}, in {control!r}; a sample has one")
    return found


def _is_unsure(parts: Sequence[dict[str, Any]]) -> bool:
    """Whether "I cannot tell" was chosen, which stands beside a number in a choice of its own."""
    values = [part.get("value") for part in parts if part.get("type") == "choices"]
    chosen = [choice for value in values if isinstance(value, dict) for choice in value.get("choices") or ()]
    return any(choice in _UNSURE for choice in chosen)


def _number(part: Mapping[str, Any], control: str, where: str) -> str:
    kind, value = part.get("type"), part.get("value")
    if kind not in _NUMBERS:
        raise ValueError(
            f"{where}: the control {control!r} is of the type {kind!r}; a number is read from a Number or a Rating. If "
            "another control holds the number, name it: control (--control NAME)"
        )
    return _number_in(value, where)


def _number_in(value: Any, where: str) -> str:
    """Text of the number in ``{"number": 3.5}`` or ``{"rating": 4}``."""
    found = [value[kind] for kind in _NUMBERS if kind in value] if isinstance(value, dict) else []
    if len(found) != 1 or isinstance(found[0], bool) or not isinstance(found[0], int | float):
        raise ValueError(f"{where} has an answer without a number: {value!r}")
    return str(found[0])


def _choices(parts: Sequence[dict[str, Any]], control: str, where: str, multilabel: bool = False) -> list[str]:
    chosen: list[str] = []
    for part in parts:
        if part.get("type") != "choices":
            raise ValueError(
                f"{where}: the control {control!r} is of the type {part.get('type')!r}; a class is read from a choice "
                "(type 'choices') of one value. If another control holds the class, name it: control (--control NAME)"
            )
        value = part.get("value")
        choices = value.get("choices") if isinstance(value, dict) else None
        if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
            raise ValueError(f"{where} has an answer without a list of choices: {value!r}")
        chosen += choices
    if len(chosen) > 1 and not multilabel:
        raise ValueError(
            f"{where} has {len(chosen)} choices, {chosen}; a sample has one label (choice='single'), unless the "
            "campaign was begun with multilabel=True (--multilabel)"
        )
    return chosen


def _other_controls(
    others: Counter[tuple[str, str]], n: int, control: str, first: str, numbers: bool = False
) -> str:
    shown = ", ".join(f"{name!r} ({kind}, {count}×)" for (name, kind), count in sorted(others.items()))
    kinds, what = (_NUMBERS, "number") if numbers else (("choices",), "class")
    able = sorted({name for name, kind in others if kind in kinds})
    if able:
        way = f"if it holds the {what}, name it: " + " or ".join(
            f"control={name!r} (--control {name})" for name in able
        )
    elif numbers:
        way = "none of them is a Number or a Rating, which a number is read from"
    else:
        way = "none of them is a choice (type 'choices'), which a class is read from"
    return (
        f"{first} and {n - 1} more annotations" if n > 1 else f"{first}: an annotation"
    ) + f" answer no control {control!r}, and are no skips either. Controls found: {shown}; {way}. Nothing was recorded"


def _answer(choices: Sequence[str]) -> dict[str, str]:
    if not choices:
        return {"label": "", "state": "skip"}
    if choices[0] in (UNSURE, UNSURE_TEXT):
        return {"label": "", "state": "unsure"}
    return {"label": choices[0], "state": "label"}


def _set_answer(choices: Sequence[str]) -> dict[str, Any]:
    if not _UNSURE.isdisjoint(choices):
        return {"label": "", "state": "unsure"}
    return {"label": list(choices), "state": "label"}


def _person(value: Any) -> dict[str, str]:
    """Name and number of a person; exports give the number alone, or both."""
    if isinstance(value, dict):
        number = _text(value.get("id"))
        name = _text(value.get("email") or value.get("username")) or number
        return {"annotator": name, "annotator_id": number}
    name = _text(value)
    return {"annotator": name, "annotator_id": name if name.isdigit() else ""}


def _text(value: Any) -> str:
    return "" if value is None else str(value)


# ----------------------------------------------------------------------------------------------------- flat formats


def looks_flat(columns: Container[str]) -> bool:
    """Whether columns are those of Label Studio's flat formats, ours or others'."""
    return KEY in columns or ("annotation_id" in columns and "annotator" in columns)


def read_flat(
    rows: Sequence[Mapping[Any, Any]],
    where: str = "the export",
    *,
    control: str = CONTROL,
    classes: Container[str] = (),
    multilabel: bool = False,
    numbers: bool = False,
) -> pd.DataFrame:
    """Read the JSON_MIN, CSV or TSV export: one line per annotation, a column named after the control.

    Parameters
    ----------
    rows : sequence of mapping
        Lines: as JSON_MIN has them, or all text (CSV, TSV).
    where : str
    control : str, default="label"
    classes : container of str
        Classes that are known. In CSV a class may look like the JSON that several choices are written as.
    multilabel : bool, default=False
        A label is the list of what was chosen; an annotation without an answer says that no class applies.
    numbers : bool, default=False
        A label is the number of a control Number or Rating; "I cannot tell" in another column makes it unsure.

    Returns
    -------
    DataFrame
        ``attrs``: ``notes``, ``campaigns``.

    Notes
    -----
    Cancelled annotations are not in these formats. A line without an answer, or without an annotation's number, is
    blank.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if KEY not in columns:
        raise ValueError(
            f"{where} has no column {KEY}; was it exported by skmmal? The column id is Label Studio's own number"
        )
    answered = [row for row in rows if row.get("annotation_id") not in (None, "")]
    if answered and control not in columns:
        candidates = [name for name in columns if name not in _FLAT and not name.startswith("skmmal_")]
        raise ValueError(
            f"{where} has no column {control!r}, the control whose choice is the label, and {len(answered)} "
            f"annotations that are no skips. Columns of data and of other controls: {candidates}; name the control: "
            "control (--control NAME). Nothing was recorded"
        )
    events: list[dict[str, Any]] = []
    n_empty, n_torn = 0, 0
    marks: dict[str, None] = {}
    for number, row in enumerate(rows):
        here = f"{where}: entry {number}"
        if row.get(KEY) in (None, ""):
            raise ValueError(f"{where}: {KEY} is empty in entry {number}")
        marks[_text(row.get(CAMPAIGN_KEY))] = None
        number_ = _text(row.get("annotation_id"))
        # without a number there is no annotation, and what the column holds is the task's own data
        value = row.get(control) if number_ or answered == [] else ""
        if multilabel:
            chosen = _flat_labels(value, classes, control, here)
            n_torn += len(chosen) > 1 and not _UNSURE.isdisjoint(chosen)
            said = _set_answer(chosen) if number_ or chosen else {"label": "", "state": ""}
        else:
            label = _flat_number(row, value, here) if numbers else _flat_label(value, classes, control, here)
            n_empty += bool(number_ and not label)
            said = _answer([label]) if label else {"label": "", "state": ""}
        events.append(
            {
                "id": str(row[KEY]),
                **said,
                **_person(row.get("annotator")),
                "when": _text(row.get("updated_at") or row.get("created_at")),
                "annotation": number_,
                "lead_time": _text(row.get("lead_time")),
            }
        )
    notes = [_NO_SKIPS, *_about_torn(n_torn).get("notes", ())]
    if n_empty:
        notes.append(f"{n_empty} annotations answer no control {control!r}; they count as not labelled, not as skips")
    return _table(events, notes=notes, campaigns=[mark for mark in marks if mark], flat=True)


def _flat_number(row: Mapping[Any, Any], value: Any, where: str) -> str:
    """Number of one annotation, which is written as a list of one object, or what says that there is none."""
    if any(isinstance(cell, str) and cell in _UNSURE for cell in row.values()):
        return UNSURE
    if isinstance(value, str) and value.startswith(("[", "{")):
        try:
            value = json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(f"{where} has an answer without a number: {value!r}") from None
    if isinstance(value, list):
        if len(value) > 1:
            raise ValueError(f"{where} has {len(value)} numbers, {value}; a sample has one")
        value = value[0] if value else None
    return _number_in(value, where) if isinstance(value, dict) else _text(value)


def _flat_labels(value: Any, classes: Container[str], control: str, where: str) -> list[str]:
    """Labels of one annotation: one choice as it is, several as JSON."""
    if isinstance(value, str) and value.startswith("{") and value not in classes:
        with contextlib.suppress(json.JSONDecodeError, RecursionError):
            value = json.loads(value)
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        value = value["choices"]
    if isinstance(value, list) and all(isinstance(choice, str) for choice in value):
        return value
    label = _flat_label(value, classes, control, where)
    return [label] if label else []


def _flat_label(value: Any, classes: Container[str], control: str, where: str) -> str:
    """One label; several choices, and other kinds of answers, are JSON."""
    if value is None or value == "":
        return ""
    parsed = value
    if isinstance(value, str):
        if value in classes or not value.startswith(("{", "[")):
            return value
        try:
            parsed = json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            return value
        if isinstance(parsed, list) and not any(isinstance(part, dict) for part in parsed):
            return value  # Label Studio never writes a choice so: it is the name of a class
    choices = parsed.get("choices") if isinstance(parsed, dict) else None
    if isinstance(choices, list) and all(isinstance(choice, str) for choice in choices):
        if len(choices) > 1:
            raise ValueError(f"{where} has {len(choices)} choices, {choices}; a sample has one label")
        if isinstance(value, str) and (not choices or choices[0] not in classes):
            return value  # a single choice is written as it is, so that this is the name of a class
        return choices[0] if choices else ""
    if isinstance(parsed, dict | list):
        if isinstance(value, str) and isinstance(parsed, dict):
            return value
        raise ValueError(
            f"{where}: the control {control!r} holds {value!r}, which is no choice of one class; if another control "
            "holds the class, name it: control (--control NAME)"
        )
    return str(value)
