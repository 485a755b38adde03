"""Files that go to annotation tools and come back."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from skmmal._paths import local_path
from skmmal.campaign import label_studio
from skmmal.campaign._files import SEAL, dumps, write
from skmmal.campaign._tables import our_columns, read_excel, read_parquet, read_table
from skmmal.campaign.annotations import looks_flat, read_annotations, read_flat
from skmmal.campaign.batch import RANDOM_SLICE
from skmmal.campaign.huggingface import read_dataset, write_dataset
from skmmal.campaign.prodigy import looks_like_prodigy, prodigy_tasks, read_prodigy

if TYPE_CHECKING:
    from skmmal.campaign.campaign import LabelingCampaign

__all__ = [
    "EXPORTS",
    "SOURCES",
    "empty_fields",
    "export_batch",
    "export_labels",
    "mark",
    "read_data",
    "read_labels_file",
]

SOURCES = (
    "auto", "csv", "excel", "json", "jsonl", "parquet", "label-studio", "label-studio-min", "label-studio-csv",
    "prodigy", "huggingface",
)  # fmt: skip
EXPORTS = ("csv", "jsonl", "label-studio", "prodigy", "huggingface")
_SHEETS = {".xls", ".xlsb", ".ods", ".fods", ".numbers", ".gsheet"}


# ------------------------------------------------------------------------------------------------------------ in


def read_labels_file(
    path: Path,
    source: str = "auto",
    *,
    control: str = label_studio.CONTROL,
    encoding: str | None = None,
    classes: Collection[str] = (),
    ids: Collection[str] = (),
) -> pd.DataFrame:
    """Read labels from a file.

    Parameters
    ----------
    path : Path
    source : str, default="auto"
        ``"csv"``: columns ``id,label`` (and ``state``, ``annotator``, ``when``, ``annotation``, ...), with commas,
        semicolons, tabs or bars between them, in UTF-8 or UTF-16, or in the encoding that is said or that `ids` and
        `classes` confirm. ``"excel"``: the same, .xlsx (needs openpyxl); ``"parquet"``: the same (needs pyarrow).
        ``"jsonl"``: the same, one JSON object per line; ``"json"``: a list of such objects, or one object from id to
        label. ``"label-studio"``: its JSON export; ``"label-studio-min"``: JSON_MIN; ``"label-studio-csv"``: CSV or
        TSV. ``"prodigy"``: JSON lines with ``answer``. ``"huggingface"``: a folder that ``save_to_disk`` wrote.
        ``"auto"``: what it looks like.
    control : str, default="label"
        Label Studio: name of the control whose choice is the label.
    encoding : str, optional
        Of a table that is text.
    classes, ids : collection of str
        What is known: it confirms encodings, and tells a class whose name looks like JSON from JSON.

    Returns
    -------
    DataFrame
        Text in every cell. ``attrs`` may hold ``lines`` (of the rows in the file), ``notes`` (what there is to know
        about the format), ``campaigns`` and ``projects`` (whose tasks they are).

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it is none of these.
    """
    if source not in SOURCES:
        raise ValueError(f"source must be one of {list(SOURCES)}, got {source!r}")
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    source = _guess(path) if source == "auto" else source
    where = str(path)
    if source == "huggingface":
        return read_dataset(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a file, or a dataset that save_to_disk wrote")
    if source in ("csv", "label-studio-csv"):

        def fits(table: pd.DataFrame) -> bool:
            return _says_what_is_known(table, classes, ids)

        table = read_table(path, encoding=encoding, fits=fits)
        if source == "label-studio-csv" or looks_flat(table.columns):
            return read_flat(_records(table), where, control=control, classes=classes)
        return our_columns(table, where)
    if source in ("excel", "parquet"):
        return our_columns(read_excel(path) if source == "excel" else read_parquet(path), where)
    if source in ("jsonl", "prodigy"):
        lines = _read_jsonl(path)
        return read_prodigy(lines, where) if source == "prodigy" else our_columns(_table(lines), where)
    content = _read_json(path)
    if source == "label-studio":
        return read_annotations(content, where, control=control)
    if source == "json" and isinstance(content, dict):
        content = [{"id": name, "label": label} for name, label in content.items()]
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        what = "a JSON_MIN export" if source == "label-studio-min" else "a list of labels"
        raise ValueError(f"{path} is not {what}: expected a list of objects")
    if source == "json":
        return our_columns(_table(content), where)
    return read_flat(content, where, control=control, classes=classes)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _says_what_is_known(table: pd.DataFrame, classes: Collection[str], ids: Collection[str]) -> bool:
    """Whether every id and label with other letters than ASCII is one of the campaign's: the encoding is right then."""
    given = our_columns(table, "the file")
    for name, known in (("id", ids), ("label", classes)):
        if name in given:
            odd = {cell.strip() for cell in given[name] if not cell.isascii()}
            if not odd <= {text.strip() for text in known}:
                return False
    return True


def _guess(path: Path) -> str:
    suffix = path.suffix.lower()
    if path.is_dir():
        return "huggingface"
    if suffix in (".jsonl", ".ndjson"):
        return "prodigy" if looks_like_prodigy(_read_jsonl(path)[:1]) else "jsonl"
    if suffix == ".json":
        return _guess_json(path)
    if suffix in (".xlsx", ".xlsm"):
        return "excel"
    if suffix in (".parquet", ".pq"):
        return "parquet"
    if suffix in (".csv", ".tsv", ".tab", ".txt", ""):
        return "csv"  # or Label Studio's: its columns tell
    if suffix in _SHEETS:
        raise ValueError(f"{path}: this spreadsheet format is not read; save it as .xlsx or as 'CSV UTF-8'")
    raise ValueError(
        f"{path}: expected a .csv, .tsv, .xlsx, .parquet, .jsonl or .json file, or a folder; say what it is (source, "
        "--from)"
    )


def _guess_json(path: Path) -> str:
    content = _read_json(path)
    if isinstance(content, dict):
        return (
            "json"
            if content and not any(isinstance(part, dict | list) for part in content.values())
            else "label-studio"
        )
    first = content[0] if isinstance(content, list) and content else {}
    if not isinstance(first, dict) or not first or isinstance(first.get("data"), dict):
        return "label-studio"
    names = {str(name).strip().lower() for name in first}
    return "json" if {"id", "label"} <= names and not looks_flat(first) else "label-studio-min"


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON, or is truncated ({error})") from None


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    found = []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error})") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{path}: line {number} is not JSON, or is truncated ({error})") from None
        if not isinstance(entry, dict):
            raise ValueError(f"{path}: line {number} is not an object")
        found.append(entry)
    return found


def _table(lines: list[dict[str, Any]]) -> pd.DataFrame:
    columns = list(dict.fromkeys(name for line in lines for name in line))
    return pd.DataFrame({name: [line.get(name) for line in lines] for name in columns}, dtype=object)


def read_data(
    path: Path, fields: Mapping[str, str], id_column: str = "id", prefix: str = "", *, encoding: str | None = None
) -> pd.DataFrame:
    """Read what annotators are to see.

    Parameters
    ----------
    path : Path
        CSV with an id and a column for each field.
    fields : mapping of str to str
        Column to its kind (image, text, audio, video).
    id_column : str, default="id"
    prefix : str, default=""
        Put before names of files, such as ``https://host/`` or ``/data/local-files/?d=``; what is special in a URL is
        quoted in the name. URLs, ``data:`` and what begins with ``/data/`` stay as they are, and so do texts.
    encoding : str, optional
        Default: UTF-8 or UTF-16.

    Returns
    -------
    DataFrame
        Indexed by id.
    """
    table = read_table(path, key=id_column, encoding=encoding)
    missing = [name for name in (id_column, *fields) if name not in table.columns]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; it has {list(table.columns)}")
    if table[id_column].duplicated().any():
        raise ValueError(f"{path}: the id {table[id_column][table[id_column].duplicated()].iloc[0]!r} is there twice")
    table = table.set_index(id_column, drop=False)[list(fields)].rename_axis(None)
    for name, kind in fields.items():
        if kind != "text":
            table[name] = [_url(value, prefix) for value in table[name]]
    return table


_WHOLE = re.compile(r"[a-z][a-z0-9+.-]*://|//|data:|/data/", re.IGNORECASE)
"""Beginnings of what is a URL already, or a path on Label Studio's own server."""


def _url(value: str, prefix: str) -> str:
    """URL of a file; a name with ``&``, ``#``, ``%`` or a blank would be another file's, or none."""
    value = value.strip()
    if not value or not prefix or _WHOLE.match(value):
        return value
    if value.startswith(prefix) and ("://" in prefix or prefix.startswith("/")):
        return value
    return prefix + quote(value, safe="/")


# ----------------------------------------------------------------------------------------------------------- out


def mark(campaign: LabelingCampaign) -> str:
    """By what a campaign's tasks are told from others'."""
    return str(campaign._config[SEAL])[:12]


def _batch_to_write(campaign: LabelingCampaign, round: int | None, again: bool) -> tuple[int, pd.DataFrame]:
    state = campaign.state()
    if not state.rounds:
        raise ValueError("no batch was handed out yet")
    round = len(state.rounds) if round is None else round
    if not 1 <= round <= len(state.rounds):
        raise ValueError(f"there is no round {round}; {len(state.rounds)} are done")
    batch = state.batches[round - 1]
    return round, batch if again else batch[batch["id"].isin(state.pending)]


def empty_fields(
    campaign: LabelingCampaign, data: pd.DataFrame, *, round: int | None = None, again: bool = False
) -> dict[str, int]:
    """How many rows of a batch lack each field; a note stands in its place."""
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
    """Write the rows of a batch that nobody has answered yet, for an annotation tool.

    Parameters
    ----------
    campaign : LabelingCampaign
    path : Path
        For Label Studio the labelling configuration is written beside it, as ``NAME.xml``.
    kind : {"csv", "jsonl", "label-studio", "prodigy"}
    round : int, optional
        Default: the last.
    data, fields : optional
        See `read_data`; needed for Label Studio and Prodigy.
    again : bool, default=False
        Write answered rows, too. A tool that imports a task twice shows it twice.
    predictions : {"strategy", "all", "none"}, default="strategy"
        Rows whose prediction annotators may see. One that is seen is often accepted: on the rows that were drawn at
        random it would bias the accuracy that is measured on them.

    Returns
    -------
    int
        Number of rows.
    """
    path = local_path(path)
    if kind not in ("csv", "jsonl", "label-studio", "prodigy"):
        raise ValueError(f"a batch can be written as csv, jsonl, label-studio or prodigy, not as {kind!r}")
    round, batch = _batch_to_write(campaign, round, again)
    classes = campaign.state().classes
    hidden = label_studio.hidden_predictions(batch, predictions)
    if kind == "csv":
        table = _without_predictions(batch, hidden).assign(label="", state="")
        write(path, table.to_csv(index=False, lineterminator="\n").encode())
    elif kind == "jsonl":
        write(path, _jsonl(_without_predictions(batch, hidden).assign(label="").to_dict("records")))
    else:
        if data is None or not fields:
            raise ValueError(f"{kind} needs what annotators are to see: data and fields (--data, --image COLUMN, ...)")
        if kind == "label-studio":
            found = label_studio.tasks(
                batch, data, fields, round, classes, predictions=predictions, campaign=mark(campaign)
            )
            config = label_studio.labeling_config(fields, classes)
            write(path.with_suffix(".xml"), (config + "\n").encode())
            write(path, dumps(found))
        else:
            write(path, _jsonl(prodigy_tasks(_without_predictions(batch, hidden), data, fields, round, classes)))
    return len(batch)


def _without_predictions(batch: pd.DataFrame, hidden: pd.Series) -> pd.DataFrame:
    table = batch.copy()
    table.loc[hidden, "predicted"] = ""
    for name in table.columns:
        if name == "confidence" or name.startswith("contribution_"):
            table.loc[hidden, name] = np.nan
    if "why" in table:  # it names what is predicted
        table.loc[hidden & (table["chosen_by"] != RANDOM_SLICE), "why"] = ""
    return table


def export_labels(campaign: LabelingCampaign, path: Path, kind: str, *, history: bool = False) -> int:
    """Write the settled labels, or every label received.

    Parameters
    ----------
    campaign : LabelingCampaign
    path : Path
    kind : {"csv", "jsonl", "huggingface"}
    history : bool, default=False
        Every label received, with annotator and time; `LabelingCampaign.add_labels` takes such a file in again.

    Returns
    -------
    int
        Number of rows.
    """
    path = local_path(path)
    if kind not in ("csv", "jsonl", "huggingface"):
        raise ValueError(f"labels can be written as csv, jsonl or huggingface, not as {kind!r}")
    state = campaign.state()
    table = state.events if history else state.labels.reset_index()
    if kind == "csv":
        write(path, table.to_csv(index=False, lineterminator="\n").encode())
    elif kind == "jsonl":
        write(path, _jsonl(table.to_dict("records")))
    else:
        write_dataset(table, state.classes, path)
    return len(table)


def _jsonl(lines: list[dict[Any, Any]]) -> bytes:
    """One object per line; NaN becomes null."""
    return b"".join(json.dumps(json.loads(dumps(line)), ensure_ascii=False).encode() + b"\n" for line in lines)
