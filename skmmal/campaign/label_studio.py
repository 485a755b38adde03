"""Label Studio: tasks out, annotations in.

Label Studio gives every task an id of its own on import, so ours travels in the task's data, as ``skmmal_id``. What it
calls a prediction's score is a confidence, and it lists the lowest first: the largest probability goes there; the
strategy's score and rank are data (``skmmal_score``, ``skmmal_rank``). The order of the file is the order of the batch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from skmmal.campaign.votes import EVENT_COLUMNS

__all__ = ["MEDIA", "UNSURE", "labeling_config", "read_annotations", "read_flat", "tasks"]

MEDIA = {"image": "Image", "text": "Text", "audio": "Audio", "video": "Video"}
"""Kind of medium to the tag that shows it."""
CONTROL = "label"
"""Name of the control that the annotator answers with."""
UNSURE, UNSURE_TEXT = "skmmal:unsure", "I cannot tell"
KEY = "skmmal_id"


def labeling_config(fields: Mapping[str, str], classes: Sequence[str], *, unsure: bool = True) -> str:
    """Labelling configuration: the media, one above the other, and one choice among the classes.

    Parameters
    ----------
    fields : mapping of str to str
        Name of each data field to its kind: image, text, audio or video.
    classes : sequence of str
    unsure : bool, default=True
        Offer "I cannot tell", too.

    Returns
    -------
    str
        XML.

    Examples
    --------
    >>> print(labeling_config({"photo": "image"}, ["cat", "dog"], unsure=False))
    <View>
      <Image name="photo" value="$photo" />
      <Choices name="label" toName="photo" choice="single" required="true">
        <Choice value="cat" />
        <Choice value="dog" />
      </Choices>
    </View>
    """
    check_fields(fields)
    if not classes:
        raise ValueError("no class is known yet; a labelling configuration needs some (--classes at the start)")
    view = ElementTree.Element("View")
    for name, kind in fields.items():
        ElementTree.SubElement(view, MEDIA[kind], {"name": name, "value": f"${name}"})
    choices = ElementTree.SubElement(
        view, "Choices", {"name": CONTROL, "toName": next(iter(fields)), "choice": "single", "required": "true"}
    )
    for label in classes:
        ElementTree.SubElement(choices, "Choice", {"value": label})
    if unsure:
        ElementTree.SubElement(choices, "Choice", {"value": UNSURE_TEXT, "alias": UNSURE})
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode")


def check_fields(fields: Mapping[str, str]) -> None:
    """Raise unless every field has a usable name and a known kind."""
    if not fields:
        raise ValueError(f"no data field is named; give one of {list(MEDIA)} with its column")
    for name, kind in fields.items():
        if kind not in MEDIA:
            raise ValueError(f"field {name!r} has the kind {kind!r}; known are {list(MEDIA)}")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name.startswith("skmmal_") or name == CONTROL:
            raise ValueError(
                f"{name!r} cannot name a data field: use letters, digits and '_', not beginning with skmmal_, and not "
                f"{CONTROL!r}"
            )


def tasks(
    batch: pd.DataFrame, data: pd.DataFrame, fields: Mapping[str, str], round: int, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Tasks to import, one for each row of a batch, with the model's prediction attached.

    Parameters
    ----------
    batch : DataFrame
        See `skmmal.campaign.batch.batch_table`.
    data : DataFrame
        Indexed by id: a column for each field, with URLs or texts.
    fields : mapping of str to str
        As in `labeling_config`. What a row lacks is an empty text: Label Studio wants every field in every task.
    round : int
    classes : sequence of str
        Only predictions among them are attached.

    Returns
    -------
    list of dict
    """
    check_fields(fields)
    missing = [name for name in batch["id"] if name not in data.index]
    if missing:
        raise ValueError(f"{len(missing)} of {len(batch)} ids are not in the data, the first: {missing[0]!r}")
    first = next(iter(fields))
    found = []
    for row in batch.to_dict("records"):
        content = {name: data.at[row["id"], name] for name in fields}
        task: dict[str, Any] = {
            "data": {
                KEY: row["id"],
                **content,
                "skmmal_round": int(round),
                "skmmal_rank": int(row["rank"]),
                "skmmal_why": row.get("why", ""),
            }
        }
        if pd.notna(row["score"]):
            task["data"]["skmmal_score"] = float(row["score"])
        if row["predicted"] in classes:
            answer = {
                "from_name": CONTROL,
                "to_name": first,
                "type": "choices",
                "value": {"choices": [row["predicted"]]},
            }
            task["predictions"] = [
                {"model_version": f"skmmal-r{round:03d}", "score": float(row["confidence"]), "result": [answer]}
            ]
        found.append(task)
    return found


# ------------------------------------------------------------------------------------------------------------ in


def read_annotations(content: Any, where: str = "the export") -> pd.DataFrame:
    """Read the JSON export: every annotation of every task.

    A cancelled annotation is a skip, and so is one without an answer. A task without annotations is blank. Drafts and
    predictions are no annotations.

    Parameters
    ----------
    content : list of dict
        The export.
    where : str
        What error messages call it.

    Returns
    -------
    DataFrame
        With the columns that labels are taken in by.
    """
    if not isinstance(content, list) or not all(isinstance(task, dict) for task in content):
        raise ValueError(f"{where} is not a Label Studio export: expected a list of tasks")
    events = []
    for number, task in enumerate(content):
        key = _key(task.get("data"), f"{where}: task {number}")
        annotations = task.get("annotations") or []
        if not isinstance(annotations, list):
            raise ValueError(f"{where}: the annotations of task {number} are not a list")
        for annotation in annotations:
            if not isinstance(annotation, dict):
                raise ValueError(f"{where}: an annotation of task {number} is not an object")
            events.append(
                {
                    "id": key,
                    **_answer(_choices(annotation, f"{where}: task {number}"), bool(annotation.get("was_cancelled"))),
                    "annotator": _person(annotation.get("completed_by")),
                    "when": annotation.get("updated_at") or annotation.get("created_at") or "",
                    "annotation": _text(annotation.get("id")),
                    "lead_time": _text(annotation.get("lead_time")),
                }
            )
        if not annotations:
            events.append({"id": key, "label": "", "state": ""})
    return pd.DataFrame(events, columns=list(EVENT_COLUMNS), dtype=object)


def _key(data: Any, where: str) -> str:
    if not isinstance(data, dict) or data.get(KEY) in (None, ""):
        raise ValueError(f"{where} has no {KEY} in its data; was it exported by skmmal?")
    return str(data[KEY])


def _choices(annotation: dict[str, Any], where: str) -> list[str]:
    found: list[str] = []
    for part in annotation.get("result") or []:
        if isinstance(part, dict) and part.get("from_name") == CONTROL and part.get("type") == "choices":
            value = part.get("value")
            choices = value.get("choices") if isinstance(value, dict) else None
            if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
                raise ValueError(f"{where} has an answer without a list of choices: {value!r}")
            found += choices
    if len(found) > 1:
        raise ValueError(f"{where} has {len(found)} choices, {found}; a sample has one label (choice='single')")
    return found


def _answer(choices: Sequence[str], cancelled: bool) -> dict[str, str]:
    if cancelled or not choices:
        return {"label": "", "state": "skip"}
    if choices[0] in (UNSURE, UNSURE_TEXT):
        return {"label": "", "state": "unsure"}
    return {"label": choices[0], "state": "label"}


def _person(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return _text(value)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def read_flat(table: pd.DataFrame, where: str = "the export") -> pd.DataFrame:
    """Read the JSON_MIN or CSV export: one line per annotation, a column named after the control.

    Parameters
    ----------
    table : DataFrame
        All text.
    where : str

    Returns
    -------
    DataFrame

    Notes
    -----
    These formats do not tell a cancelled annotation from an empty one; both are skips. A line without an annotation's
    number is blank.
    """
    if KEY not in table.columns:
        raise ValueError(f"{where} has no column {KEY}; was it exported by skmmal?")
    events = []
    for number, row in enumerate(table.to_dict("records")):
        if row[KEY] == "":
            raise ValueError(f"{where}: {KEY} is empty in entry {number}")
        choices = _flat_choices(row.get(CONTROL, ""), f"{where}: entry {number}")
        answered = choices or row.get("annotation_id", "") != ""
        events.append(
            {
                "id": row[KEY],
                **(_answer(choices, False) if answered else {"label": "", "state": ""}),
                "annotator": row.get("annotator", ""),
                "when": row.get("updated_at", "") or row.get("created_at", ""),
                "annotation": row.get("annotation_id", ""),
                "lead_time": row.get("lead_time", ""),
            }
        )
    return pd.DataFrame(events, columns=list(EVENT_COLUMNS), dtype=object)


def _flat_choices(value: str, where: str) -> list[str]:
    """One label, or, where several could be chosen, JSON with the list of them."""
    if value.startswith(("{", "[")):
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError:
            return [value]
        parsed = parsed.get("choices", parsed) if isinstance(parsed, dict) else parsed
        if isinstance(parsed, list):
            if len(parsed) > 1:
                raise ValueError(f"{where} has {len(parsed)} choices, {parsed}; a sample has one label")
            return [str(choice) for choice in parsed]
    return [value] if value else []
