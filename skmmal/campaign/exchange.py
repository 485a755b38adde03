"""Files that go to annotation tools and come back."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from skmmal.campaign import label_studio
from skmmal.campaign._files import dumps, write
from skmmal.campaign.huggingface import read_dataset, write_dataset
from skmmal.campaign.prodigy import prodigy_tasks, read_prodigy

if TYPE_CHECKING:
    from skmmal.campaign.campaign import LabelingCampaign

__all__ = ["EXPORTS", "SOURCES", "export_batch", "export_labels", "read_data", "read_labels_file"]

SOURCES = ("auto", "csv", "jsonl", "label-studio", "label-studio-min", "label-studio-csv", "prodigy", "huggingface")
EXPORTS = ("csv", "jsonl", "label-studio", "prodigy", "huggingface")


# ------------------------------------------------------------------------------------------------------------ in


def read_labels_file(path: Path, source: str = "auto") -> pd.DataFrame:
    """Read labels from a file.

    Parameters
    ----------
    path : Path
    source : str, default="auto"
        ``"csv"``: columns ``id,label`` (and ``state``, ``annotator``, ``when``, ``annotation``, ``lead_time``).
        ``"jsonl"``: the same, one JSON object per line. ``"label-studio"``: its JSON export; ``"label-studio-min"``:
        JSON_MIN; ``"label-studio-csv"``: CSV. ``"prodigy"``: JSON lines with ``accept`` and ``answer``.
        ``"huggingface"``: a folder that ``save_to_disk`` wrote. ``"auto"``: what it looks like.

    Returns
    -------
    DataFrame
        Text in every cell.

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
    if source == "huggingface":
        return read_dataset(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a file, or a dataset that save_to_disk wrote")
    if source in ("csv", "label-studio-csv"):
        table = _read_csv(path)
        return label_studio.read_flat(table, str(path)) if source == "label-studio-csv" else table
    if source in ("jsonl", "prodigy"):
        lines = _read_jsonl(path)
        return read_prodigy(lines, str(path)) if source == "prodigy" else _table(lines)
    content = _read_json(path)
    if source == "label-studio":
        return label_studio.read_annotations(content, str(path))
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise ValueError(f"{path} is not a JSON_MIN export: expected a list of objects")
    return label_studio.read_flat(_as_text(_table(content)), str(path))


def _guess(path: Path) -> str:
    if path.is_dir():
        return "huggingface"
    if path.suffix == ".jsonl":
        lines = _read_jsonl(path)
        return "prodigy" if lines and ("options" in lines[0] or "answer" in lines[0]) else "jsonl"
    if path.suffix == ".json":
        content = _read_json(path)
        first = content[0] if isinstance(content, list) and content else {}
        nested = isinstance(first, dict) and isinstance(first.get("data"), dict)
        return "label-studio" if nested or not first else "label-studio-min"
    if path.suffix in (".csv", ".tsv", ".txt", ""):
        return "label-studio-csv" if label_studio.KEY in _read_csv(path).columns else "csv"
    raise ValueError(f"{path}: expected a .csv, .jsonl or .json file, or a folder; say what it is (source, --from)")


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():  # a line with more fields than the header would lose some of them
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path} is empty; expected the columns id,label") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8 ({error})") from None
    return table.astype(object)


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


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    def text(value: Any) -> str:
        if isinstance(value, dict | list):
            return json.dumps(value)
        return "" if value is None else str(value)

    return pd.DataFrame({name: [text(value) for value in column] for name, column in table.items()}, dtype=object)


def read_data(path: Path, fields: Mapping[str, str], id_column: str = "id", prefix: str = "") -> pd.DataFrame:
    """Read what annotators are to see.

    Parameters
    ----------
    path : Path
        CSV with an id and a column for each field.
    fields : mapping of str to str
        Column to its kind (image, text, audio, video).
    id_column : str, default="id"
    prefix : str, default=""
        Put before what is no text and no URL yet, such as ``https://host/`` or ``/data/local-files/?d=``.

    Returns
    -------
    DataFrame
        Indexed by id.
    """
    table = _read_csv(path)
    missing = [name for name in (id_column, *fields) if name not in table.columns]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; it has {list(table.columns)}")
    if table[id_column].duplicated().any():
        raise ValueError(f"{path}: the id {table[id_column][table[id_column].duplicated()].iloc[0]!r} is there twice")
    table = table.set_index(id_column, drop=False)[list(fields)].rename_axis(None)
    for name, kind in fields.items():
        if kind != "text":
            table[name] = [value if "://" in value or not value else prefix + value for value in table[name]]
    return table


# ----------------------------------------------------------------------------------------------------------- out


def export_batch(
    campaign: LabelingCampaign,
    path: Path,
    kind: str,
    *,
    round: int | None = None,
    data: pd.DataFrame | None = None,
    fields: Mapping[str, str] | None = None,
    again: bool = False,
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

    Returns
    -------
    int
        Number of rows.
    """
    if kind not in ("csv", "jsonl", "label-studio", "prodigy"):
        raise ValueError(f"a batch can be written as csv, jsonl, label-studio or prodigy, not as {kind!r}")
    state = campaign.state()
    if not state.rounds:
        raise ValueError("no batch was handed out yet")
    round = len(state.rounds) if round is None else round
    if not 1 <= round <= len(state.rounds):
        raise ValueError(f"there is no round {round}; {len(state.rounds)} are done")
    batch = state.batches[round - 1]
    if not again:
        batch = batch[batch["id"].isin(state.pending)]
    if kind == "csv":
        table = batch.assign(label="", state="")
        write(path, table.to_csv(index=False, lineterminator="\n").encode())
    elif kind == "jsonl":
        write(path, _jsonl(batch.assign(label="").to_dict("records")))
    else:
        if data is None or not fields:
            raise ValueError(f"{kind} needs what annotators are to see: data and fields (--data, --image COLUMN, ...)")
        make = label_studio.tasks if kind == "label-studio" else prodigy_tasks
        found = make(batch, data, fields, round, state.classes)
        if kind == "label-studio":
            config = label_studio.labeling_config(fields, state.classes)
            write(path.with_suffix(".xml"), (config + "\n").encode())
            write(path, dumps(found))
        else:
            write(path, _jsonl(found))
    return len(batch)


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
