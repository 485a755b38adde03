"""Label Studio: tasks and labelling configuration out (`_label_studio_exports` reads what comes back).

Label Studio gives every task an id of its own on import, so ours travels in the task's data, as ``skmmal_id``. What it
calls a prediction's score is a confidence, and it lists the lowest first: the largest probability goes there; the
strategy's score and rank are data (``skmmal_score``, ``skmmal_rank``). The order of the file is the order of the batch.
Label Studio shows the predictions of one model version only, so that is the same in every round; the round is data,
too (``skmmal_round``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from skmmal.campaign._batch import RANDOM_SLICE, UNPROMPTED
from skmmal.campaign._sets import split
from skmmal.campaign.formats._placeholders import placeholder

__all__ = ["MEDIA", "MODEL_VERSION", "UNSURE", "labeling_config", "tasks"]

MEDIA = {"image": "Image", "text": "Text", "audio": "Audio", "video": "Video"}
"""Kind of medium to the tag that shows it."""
CONTROL = "label"
"""Name of the control that the annotator answers with."""
UNSURE, UNSURE_TEXT = "skmmal:unsure", "I cannot tell"
KEY, CAMPAIGN_KEY, ROUND = "skmmal_id", "skmmal_campaign", "skmmal_round"
MODEL_VERSION = "skmmal"
"""One for all rounds: after a second import Label Studio would show no prediction of the other version."""
PREDICTIONS = ("all", "strategy", "none")
"""Rows that get a prediction: all, those that the strategy chose, none."""
MANY = 20
"""With so many classes there is a box that filters them."""
HOTKEYS = "123456789qwertyiopasfgjklzxcnm"  # 0 is "I cannot tell"; the others are Label Studio's own, or move regions


def labeling_config(
    fields: Mapping[str, str],
    classes: Sequence[str],
    *,
    unsure: bool = True,
    control: str = CONTROL,
    multilabel: bool = False,
    numbers: bool = False,
) -> str:
    """Labelling configuration: the media on the left, why the row was chosen and the classes on the right.

    Everything is on one screen: the media share the height, the classes scroll beside them, every class has a key as
    long as there are keys, and 20 classes or more have a box to filter them.

    Parameters
    ----------
    fields : mapping of str to str
        Name of each data field to its kind: image, text, audio or video.
    classes : sequence of str
        Choices, in this order.
    unsure : bool, default=True
        Offer "I cannot tell", too.
    control : str, default="label"
        Name of the control.
    multilabel : bool, default=False
        Several classes may be chosen, or none: a submitted task without a choice says that none applies.
    numbers : bool, default=False
        A number is asked for, and `classes` are empty; "I cannot tell" is a choice of its own.

    Returns
    -------
    str
        XML.

    Raises
    ------
    ValueError
        No class, a field that cannot be used, or a class that XML cannot hold.

    Examples
    --------
    >>> print(labeling_config({"photo": "image"}, ["cat", "dog"], unsure=False))
    <View style="display: flex; gap: 1em; align-items: flex-start">
      <View style="flex: 3; min-width: 0">
        <Image name="photo" value="$photo" maxHeight="55vh" />
      </View>
      <View style="flex: 1; min-width: 14em; max-height: 85vh; overflow-y: auto">
        <Header value="$skmmal_why" size="6" />
        <Choices name="label" toName="photo" choice="single" required="true">
          <Choice value="cat" hotkey="1" />
          <Choice value="dog" hotkey="2" />
        </Choices>
      </View>
    </View>
    """
    check_fields(fields, control)
    if not classes and not numbers:
        raise ValueError("no class is known yet; a labelling configuration needs some (--classes at the start)")
    odd = [label for label in classes if re.search(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]", label)]
    if odd:
        raise ValueError(f"the class {odd[0]!r} holds a control character, which XML cannot hold")
    if unsure and not {UNSURE, UNSURE_TEXT}.isdisjoint(classes):
        raise ValueError(f"no class can be called {UNSURE_TEXT!r} or {UNSURE!r}: that is what 'unsure' is called")
    view = ElementTree.Element("View", {"style": "display: flex; gap: 1em; align-items: flex-start"})
    media = ElementTree.SubElement(view, "View", {"style": "flex: 3; min-width: 0"})
    n_images = max(1, sum(kind == "image" for kind in fields.values()))
    for name, kind in fields.items():
        shown = {"image": {"maxHeight": f"{55 // n_images}vh"}, "video": {"height": "360"}}.get(kind, {})
        place = media
        if kind == "text":
            place = ElementTree.SubElement(media, "View", {"style": "max-height: 25vh; overflow-y: auto"})
        ElementTree.SubElement(place, MEDIA[kind], {"name": name, "value": f"${name}", **shown})
    side = ElementTree.SubElement(
        view, "View", {"style": "flex: 1; min-width: 14em; max-height: 85vh; overflow-y: auto"}
    )
    ElementTree.SubElement(side, "Header", {"value": "$skmmal_why", "size": "6"})
    if len(classes) >= MANY:
        ElementTree.SubElement(
            side,
            "Filter",
            {
                "name": f"{control}_filter",
                "toName": control,
                "hotkey": "shift+f",
                "minlength": "0",
                "placeholder": "filter",
            },
        )
    if numbers:
        _ask_number(side, control, next(iter(fields)), unsure)
        ElementTree.indent(view)
        return ElementTree.tostring(view, encoding="unicode")
    rule = {"choice": "multiple"} if multilabel else {"choice": "single", "required": "true"}
    choices = ElementTree.SubElement(side, "Choices", {"name": control, "toName": next(iter(fields)), **rule})
    for label, key in zip_longest(classes, HOTKEYS[: len(classes)]):
        ElementTree.SubElement(choices, "Choice", {"value": label, **({"hotkey": key} if key else {})})
    if unsure:
        ElementTree.SubElement(choices, "Choice", {"value": UNSURE_TEXT, "alias": UNSURE, "hotkey": "0"})
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode")


def _ask_number(side: ElementTree.Element, control: str, to: str, unsure: bool) -> None:
    """A field for a number, and a choice for those who cannot tell; neither is required, as one of them is enough."""
    ElementTree.SubElement(side, "Number", {"name": control, "toName": to})
    if unsure:
        choices = ElementTree.SubElement(
            side, "Choices", {"name": f"{control}_unsure", "toName": to, "choice": "single"}
        )
        ElementTree.SubElement(choices, "Choice", {"value": UNSURE_TEXT, "alias": UNSURE, "hotkey": "0"})


def check_fields(fields: Mapping[str, str], control: str = CONTROL) -> None:
    """Raise unless every field has a usable name and a known kind."""
    if not fields:
        raise ValueError(f"no data field is named; give one of {list(MEDIA)} with its column")
    for name, kind in fields.items():
        if kind not in MEDIA:
            raise ValueError(f"field {name!r} has the kind {kind!r}; known are {list(MEDIA)}")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name.startswith("skmmal_") or name == control:
            raise ValueError(
                f"{name!r} cannot name a data field: use letters, digits and '_', not beginning with skmmal_, and not "
                f"{control!r}"
            )


def hidden_predictions(batch: pd.DataFrame, predictions: str) -> pd.Series:
    """Rows of a batch whose prediction annotators must not see."""
    if predictions not in PREDICTIONS:
        raise ValueError(f"predictions must be one of {list(PREDICTIONS)}, got {predictions!r}")
    if predictions == "strategy":
        return batch["chosen_by"] == RANDOM_SLICE
    return pd.Series(predictions == "none", index=batch.index)


def tasks(
    batch: pd.DataFrame,
    data: pd.DataFrame,
    fields: Mapping[str, str],
    round: int,
    classes: Sequence[str],
    *,
    predictions: str = "strategy",
    campaign: str = "",
    multilabel: bool = False,
    control: str = CONTROL,
    to: str | None = None,
    numbers: bool = False,
) -> list[dict[str, Any]]:
    """Tasks to import, one for each row of a batch, with the model's prediction attached.

    Parameters
    ----------
    batch : DataFrame
        See `skmmal.campaign.batch_table`.
    data : DataFrame
        Indexed by id: a column for each field, with URLs or texts.
    fields : mapping of str to str
        As in `labeling_config`. Label Studio wants every field in every task: in place of what a row lacks there is a
        tiny medium, or a text, that says so, and ``skmmal_why`` says it, too.
    round : int
    classes : sequence of str
        Only predictions among them are attached, of sets of labels those that are not empty.
    predictions : {"all", "strategy", "none"}, default="strategy"
        Rows that get a prediction. Annotators who see one tend to accept it: on the rows that were drawn at random it
        would bias the accuracy that is measured there, so that by default those have none.
    campaign : str, default=""
        Mark of the campaign, by which its tasks are told from others'.
    multilabel : bool, default=False
        What is predicted is a set of classes.
    control : str, default="label"
        Name of the control that predictions answer.
    to : str, optional
        What that control is about. Default: the first field.
    numbers : bool, default=False
        What is predicted is a number.

    Returns
    -------
    list of dict
    """
    check_fields(fields, control)
    missing = [name for name in batch["id"] if name not in data.index]
    if missing:
        raise ValueError(f"{len(missing)} of {len(batch)} ids are not in the data, the first: {missing[0]!r}")
    hidden = hidden_predictions(batch, predictions)
    written = []
    for row, without in zip(batch.to_dict("records"), hidden, strict=True):
        given = {name: data.at[row["id"], name] for name in fields}
        absent = [name for name, value in given.items() if value == ""]
        # the reason names what the model predicts
        why = f"chosen by {row['chosen_by']}" if without and row["chosen_by"] not in UNPROMPTED else row.get("why", "")
        task: dict[str, Any] = {
            "data": {
                KEY: row["id"],
                **{name: value if value != "" else placeholder(name, fields[name]) for name, value in given.items()},
                ROUND: int(round),
                "skmmal_rank": int(row["rank"]),
                "skmmal_why": "; ".join(
                    [part for part in (why,) if part] + [f"no {name} for this row" for name in absent]
                )
                or f"round {round}",
            }
        }
        if campaign:
            task["data"][CAMPAIGN_KEY] = campaign
        if pd.notna(row["score"]):
            task["data"]["skmmal_score"] = float(row["score"])
        value = _predicted(row["predicted"], classes, multilabel=multilabel, numbers=numbers)
        if value and not without:
            answer = {"from_name": control, "to_name": to or next(iter(fields)), **value}
            sure = {} if numbers else {"score": float(row["confidence"])}
            task["predictions"] = [{"model_version": MODEL_VERSION, **sure, "result": [answer]}]
        written.append(task)
    return written


def _predicted(text: str, classes: Sequence[str], *, multilabel: bool, numbers: bool) -> dict[str, Any]:
    """What is predicted of a row, as an answer of Label Studio's; empty where there is nothing to show."""
    if numbers:
        return {"type": "number", "value": {"number": float(text)}} if text else {}
    chosen = split(text)[0] if multilabel else [text]
    if chosen and set(chosen) <= set(classes):
        return {"type": "choices", "value": {"choices": chosen}}
    return {}
