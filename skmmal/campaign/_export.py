"""Batches and labels, written for annotation tools and for others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skmmal._paths import local_path
from skmmal.campaign._batch import UNPROMPTED
from skmmal.campaign._campaign import LabelingCampaign
from skmmal.campaign._files import dumps, write
from skmmal.campaign._sets import split
from skmmal.campaign.formats._csv import csv_bytes
from skmmal.campaign.formats._huggingface import write_dataset
from skmmal.campaign.formats._label_studio import hidden_predictions, labeling_config, tasks
from skmmal.campaign.formats._prodigy import prodigy_tasks

__all__ = ["empty_fields", "export_batch", "export_labels"]


def _batch_to_write(campaign: LabelingCampaign, round: int | None, again: bool) -> tuple[int, pd.DataFrame]:
    state = campaign.state()
    if not state.rounds:
        raise ValueError("no batch was handed out yet")
    round = len(state.rounds) if round is None else round
    if not 1 <= round <= len(state.rounds):
        raise ValueError(f"there is no round {round}; {len(state.rounds)} are done")
    batch = state.batches[round - 1]
    return round, batch if again else batch[batch["id"].map(state.waiting) == round]


def empty_fields(
    campaign: LabelingCampaign, data: pd.DataFrame, *, round: int | None = None, again: bool = False
) -> dict[str, int]:
    """How many rows of a batch lack each field; a note stands in its place.

    Parameters
    ----------
    campaign : LabelingCampaign
        With a batch.
    data : DataFrame
        See `read_data`.
    round : int, optional
        Default: the last.
    again : bool, default=False
        Count answered rows, too.

    Returns
    -------
    dict of str to int
        Only fields that some row lacks.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skmmal.campaign import LabelingCampaign, empty_fields
    >>> folder = tempfile.TemporaryDirectory()
    >>> features = {"image": np.eye(6), "text": np.ones((6, 2))}
    >>> campaign = LabelingCampaign.create(folder.name + "/mine", features, ids=list("abcdef"), initial="random")
    >>> batch = campaign.next_batch(3)
    >>> data = pd.DataFrame({"photo": "photo.jpg", "caption": ["", "", "", "", "", "a dog"]}, index=list("abcdef"))
    >>> empty_fields(campaign, data)
    {'caption': 3}
    >>> folder.cleanup()
    """
    batch = _batch_to_write(campaign, round, again)[1]
    rows = data.reindex(batch["id"])
    return {str(name): int((column == "").sum()) for name, column in rows.items() if (column == "").any()}


def export_batch(
    campaign: LabelingCampaign,
    path: Path,
    kind: str,
    *,
    round: int | None = None,
    data: pd.DataFrame | None = None,
    fields: Mapping[str, str] | None = None,
    again: bool = False,
    predictions: str = "strategy",
) -> int:
    """Write the rows of a batch that nobody has answered since, for an annotation tool.

    Parameters
    ----------
    campaign : LabelingCampaign
        With a batch.
    path : Path
        For Label Studio the labelling configuration is written beside it, as ``NAME.xml``.
    kind : {"csv", "jsonl", "indicator", "label-studio", "prodigy"}
        Format. ``"indicator"`` is CSV with an empty column for each label, where rows have several.
    round : int, optional
        Default: the last.
    data : DataFrame, optional
        See `read_data`; needed for Label Studio and Prodigy.
    fields : mapping of str to str, optional
        Column of `data` to its kind: image, text, audio or video.
    again : bool, default=False
        Write answered rows, too. A tool that imports a task twice shows it twice.
    predictions : {"strategy", "all", "none"}, default="strategy"
        Rows whose prediction annotators may see. One that is seen is often accepted: on the rows that were drawn at
        random it would bias the accuracy that is measured on them.

    Returns
    -------
    int
        Number of rows.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skmmal.campaign import LabelingCampaign, export_batch
    >>> folder = tempfile.TemporaryDirectory()
    >>> features = {"image": np.eye(6), "text": np.ones((6, 2))}
    >>> campaign = LabelingCampaign.create(folder.name + "/mine", features, ids=list("abcdef"), initial="random")
    >>> batch = campaign.next_batch(3)
    >>> file = Path(folder.name) / "batch.csv"
    >>> export_batch(campaign, file, "csv")
    3
    >>> file.read_text().splitlines()[0].split(",")[:4]
    ['id', 'rank', 'score', 'chosen_by']
    >>> folder.cleanup()
    """
    path = local_path(path)
    if kind not in ("csv", "jsonl", "indicator", "label-studio", "prodigy"):
        raise ValueError(f"a batch can be written as csv, jsonl, indicator, label-studio or prodigy, not as {kind!r}")
    multilabel, numbers = campaign.settings.multilabel, campaign.settings.answers.numbers
    round, batch = _batch_to_write(campaign, round, again)
    hidden = hidden_predictions(batch, predictions)
    if kind in ("csv", "jsonl", "indicator"):
        table = _without_predictions(batch, hidden)
        if kind == "indicator":
            write(path, csv_bytes(_with_columns(table, campaign)))
        elif kind == "csv":
            write(path, csv_bytes(table.assign(label="", state="")))
        else:
            table = table.assign(label=None if multilabel or numbers else "")
            if multilabel:
                table = _with_lists(table, "predicted", table["confidence"].notna())
            table = _with_numbers(table, "predicted") if numbers else table
            write(path, _jsonl(table.to_dict("records")))
        return len(batch)
    if data is None or not fields:
        raise ValueError(f"{kind} needs what annotators are to see: data and fields (--data, --image COLUMN, ...)")
    classes = campaign.state().classes
    if kind == "label-studio":
        form: dict[str, Any] = {"multilabel": multilabel, "numbers": numbers}
        options: dict[str, Any] = {"predictions": predictions, "campaign": campaign.mark, **form}
        content = tasks(batch, data, fields, round, classes, **options)
        config = labeling_config(fields, classes, **form)
        write(path.with_suffix(".xml"), (config + "\n").encode())
        write(path, dumps(content))
    elif numbers:
        raise ValueError("prodigy's recipes ask for classes; write a batch that is to get numbers as csv or jsonl")
    else:
        write(path, _jsonl(prodigy_tasks(_without_predictions(batch, hidden), data, fields, round, classes)))
    return len(batch)


def _with_columns(table: pd.DataFrame, campaign: LabelingCampaign) -> pd.DataFrame:
    """A table with an empty column for each label, and one for the state."""
    classes = campaign.state().classes
    if not campaign.settings.multilabel:
        raise ValueError("indicator is for campaigns whose rows have several labels (multilabel=True, --multilabel)")
    if not classes:
        raise ValueError("no label is known yet: there is no column to write; declare some (--classes at the start)")
    clash = sorted({*table.columns, "state"} & set(classes))
    if clash:
        raise ValueError(f"the label {clash[0]!r} is called as a column of the batch; write it as csv or jsonl")
    return table.assign(**dict.fromkeys(classes, ""), state="")


def _with_lists(table: pd.DataFrame, column: str, answered: Any) -> pd.DataFrame:
    """A table whose sets are lists; none where there is no answer. Labels that are not known stand in ``unknown``."""
    parts = [split(text) if there else (None, None) for text, there in zip(table[column], answered, strict=True)]
    made = table.assign(**{column: pd.Series([yes for yes, _ in parts], index=table.index, dtype=object)})
    if column == "label":
        unknown = pd.Series([odd for _, odd in parts], index=table.index, dtype=object)
        made.insert(list(made.columns).index("label") + 1, "unknown", unknown)
    return made


def _with_numbers(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A table whose texts of numbers are numbers; none where there is no text."""
    values = [float(text) if text else None for text in table[column]]
    return table.assign(**{column: pd.Series(values, index=table.index, dtype=object)})


def _without_predictions(batch: pd.DataFrame, hidden: pd.Series) -> pd.DataFrame:
    table = batch.copy()
    table.loc[hidden, "predicted"] = ""
    for name in table.columns:
        if name == "confidence" or name.startswith("contribution_"):
            table.loc[hidden, name] = np.nan
    if "why" in table:  # it names what is predicted
        table.loc[hidden & ~table["chosen_by"].isin(UNPROMPTED), "why"] = ""
    return table


def export_labels(campaign: LabelingCampaign, path: Path, kind: str, *, history: bool = False) -> int:
    """Write the settled labels, or every label received.

    Parameters
    ----------
    campaign : LabelingCampaign
        Its labels.
    path : Path
        File to write; for huggingface a folder that is new or empty.
    kind : {"csv", "jsonl", "indicator", "huggingface"}
        Format. ``"indicator"`` is CSV with a column for each label: 1, 0, or nothing where it is not known or not
        settled. Where rows have several labels, CSV has them with bars between them, and the others have lists. Numbers
        are numbers in the others.
    history : bool, default=False
        Every label received, with annotator and time; `LabelingCampaign.add_labels` takes such a file in again.

    Returns
    -------
    int
        Number of rows.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skmmal.campaign import LabelingCampaign, export_labels
    >>> folder = tempfile.TemporaryDirectory()
    >>> features = {"image": np.eye(6), "text": np.ones((6, 2))}
    >>> campaign = LabelingCampaign.create(folder.name + "/mine", features, ids=list("abcdef"), initial="random")
    >>> batch = campaign.next_batch(3)
    >>> received = campaign.add_labels({name: "cat" for name in batch["id"]}, annotator="ann")
    >>> file = Path(folder.name) / "labels.csv"
    >>> export_labels(campaign, file, "csv")
    3
    >>> print(file.read_text().splitlines()[0])
    id,state,label,n_annotators,n_votes,agreement
    >>> folder.cleanup()
    """
    path = local_path(path)
    if kind not in ("csv", "jsonl", "indicator", "huggingface") or (history and kind == "indicator"):
        able = "csv, jsonl or huggingface" if history else "csv, jsonl, indicator or huggingface"
        raise ValueError(f"labels can be written as {able}, not as {kind!r}")
    state = campaign.state()
    if kind == "indicator":
        found = campaign.indicator()
        write(path, csv_bytes(found.astype("Int64").reset_index(names="id")))
        return len(found)
    table = state.events if history else state.labels.reset_index()
    if state.answers.multilabel and kind != "csv":
        has_set = ["label"] if history else ["label", "conflict"]
        table = _with_lists(table.reset_index(drop=True), "label", table["state"].isin(has_set))
    if state.answers.numbers and kind != "csv":
        table = _with_numbers(table, "label")
    if kind == "huggingface":
        write_dataset(table.astype({"label": np.float64}) if state.answers.numbers else table, state.classes, path)
    else:
        write(path, csv_bytes(table) if kind == "csv" else _jsonl(table.to_dict("records")))
    return len(table)


def _jsonl(lines: list[dict[Any, Any]]) -> bytes:
    """One object per line; NaN becomes null."""
    return b"".join(json.dumps(json.loads(dumps(line)), ensure_ascii=False).encode() + b"\n" for line in lines)
