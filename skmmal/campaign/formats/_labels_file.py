"""Labels from a file, whatever has written it."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from skmmal._tables import read_table
from skmmal.campaign._sets import SEPARATOR, split
from skmmal.campaign.formats._csv import our_columns, read_excel, read_parquet
from skmmal.campaign.formats._huggingface import read_dataset
from skmmal.campaign.formats._label_studio import CONTROL
from skmmal.campaign.formats._label_studio_exports import looks_flat, read_annotations, read_flat
from skmmal.campaign.formats._prodigy import looks_like_prodigy, read_prodigy

__all__ = ["SOURCES", "read_labels_file"]

SOURCES = (
    "auto", "csv", "excel", "json", "jsonl", "parquet", "label-studio", "label-studio-min", "label-studio-csv",
    "prodigy", "huggingface",
)  # fmt: skip
_SHEETS = {".xls", ".xlsb", ".ods", ".fods", ".numbers", ".gsheet"}


def read_labels_file(
    path: Path,
    source: str = "auto",
    *,
    control: str = CONTROL,
    encoding: str | None = None,
    classes: Collection[str] = (),
    ids: Collection[str] = (),
    multilabel: bool = False,
    separator: str = SEPARATOR,
    numbers: bool = False,
) -> pd.DataFrame:
    r"""Read labels from a file.

    Parameters
    ----------
    path : Path
        The file.
    source : str, default="auto"
        ``"csv"``: columns ``id,label`` (and ``state``, ``annotator``, ``when``, ``annotation``, ...), with commas,
        semicolons, tabs or bars between them, in UTF-8 or UTF-16, or in the encoding that is said or that `ids` and
        `classes` confirm. ``"excel"``: the same, .xlsx (needs openpyxl); ``"parquet"``: the same (needs pyarrow).
        ``"jsonl"``: the same, one JSON object per line; ``"json"``: a list of such objects, or one object from id to
        label. ``"label-studio"``: its JSON export; ``"label-studio-min"``: JSON_MIN; ``"label-studio-csv"``: CSV or
        TSV. ``"prodigy"``: JSON lines with ``answer``. ``"huggingface"``: a folder that ``save_to_disk`` wrote.
        ``"auto"``: what it looks like.
    control : str, default="label"
        Label Studio: name of the control whose choice, or number, is the label.
    encoding : str, optional
        Of a table that is text.
    classes, ids : collection of str
        What is known: it confirms encodings, and tells a class whose name looks like JSON from JSON.
    multilabel : bool, default=False
        Whether rows have several labels: those of tools come as lists; a table may have a column for each label.
    separator : str, default="|"
        Stands between the labels of a row in a text.
    numbers : bool, default=False
        Whether labels are numbers: those of Label Studio come from the controls Number and Rating.

    Returns
    -------
    DataFrame
        Text in every cell. ``attrs`` may hold ``lines`` (of the rows in the file), ``notes`` (what there is to know
        about the format), ``campaigns`` and ``projects`` (whose tasks they are).

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it is none of these.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skmmal.campaign import read_labels_file
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "labels.jsonl"
    ...     written = file.write_text('{"id": "a", "label": "cat"}\n{"id": "b", "label": "dog"}\n')
    ...     labels = read_labels_file(file)
    >>> labels[["id", "label"]].to_numpy().tolist()
    [['a', 'cat'], ['b', 'dog']]
    """
    if source not in SOURCES:
        raise ValueError(f"source must be one of {list(SOURCES)}, got {source!r}")
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    source = _guess(path, multilabel) if source == "auto" else source
    where = str(path)
    if source == "huggingface":
        return read_dataset(path, multilabel=multilabel)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a file, or a dataset that save_to_disk wrote")
    if source in ("csv", "label-studio-csv"):

        def fits(table: pd.DataFrame) -> bool:
            return _says_what_is_known(table, classes, ids, separator if multilabel else None)

        table = read_table(path, encoding=encoding, fits=fits)
        if source == "label-studio-csv" or looks_flat(table.columns):
            found = table.to_dict("records")
            return read_flat(found, where, control=control, classes=classes, multilabel=multilabel, numbers=numbers)
        return our_columns(table, where)
    if source in ("excel", "parquet"):
        columns = ("id",) if multilabel else ("id", "label")
        return our_columns(read_excel(path, columns) if source == "excel" else read_parquet(path), where)
    if source in ("jsonl", "prodigy"):
        lines = _read_jsonl(path)
        return (
            read_prodigy(lines, where, multilabel=multilabel)
            if source == "prodigy"
            else our_columns(_table(lines), where)
        )
    content = _read_json(path)
    if source == "label-studio":
        return read_annotations(content, where, control=control, multilabel=multilabel, numbers=numbers)
    if source == "json" and isinstance(content, dict):
        content = [{"id": name, "label": label} for name, label in content.items()]
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        what = "a JSON_MIN export" if source == "label-studio-min" else "a list of labels"
        raise ValueError(f"{path} is not {what}: expected a list of objects")
    if source == "json":
        return our_columns(_table(content), where)
    return read_flat(content, where, control=control, classes=classes, multilabel=multilabel, numbers=numbers)


def _says_what_is_known(
    table: pd.DataFrame, classes: Collection[str], ids: Collection[str], separator: str | None
) -> bool:
    """Whether every id and label with other letters than ASCII is one of the campaign's: the encoding is right then."""
    given = our_columns(table, "the file")
    for name, known in (("id", ids), ("label", classes)):
        if name in given:
            cells = {cell.strip() for cell in given[name] if not cell.isascii()}
            if name == "label" and separator is not None:
                cells = {part for cell in cells for half in split(cell, separator) for part in half}
            odd = {part for part in cells if not part.isascii()}
            if not odd <= {text.strip() for text in known}:
                return False
    return True


def _guess(path: Path, multilabel: bool) -> str:
    suffix = path.suffix.lower()
    if path.is_dir():
        return "huggingface"
    if suffix in (".jsonl", ".ndjson"):
        return "prodigy" if looks_like_prodigy(_read_jsonl(path)[:1]) else "jsonl"
    if suffix == ".json":
        return _guess_json(path, multilabel)
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


def _guess_json(path: Path, multilabel: bool) -> str:
    content = _read_json(path)
    if isinstance(content, dict):
        no_labels = dict if multilabel else dict | list
        return (
            "json" if content and not any(isinstance(part, no_labels) for part in content.values()) else "label-studio"
        )
    first = content[0] if isinstance(content, list) and content else {}
    if not isinstance(first, dict) or not first or isinstance(first.get("data"), dict):
        return "label-studio"
    names = {str(name).strip().lower() for name in first}
    needed = {"id"} if multilabel else {"id", "label"}
    return "json" if needed <= names and not looks_flat(first) else "label-studio-min"


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON, or is truncated ({error})") from None


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    entries = []
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
        entries.append(entry)
    return entries


def _table(lines: list[dict[str, Any]]) -> pd.DataFrame:
    columns = list(dict.fromkeys(name for line in lines for name in line))
    return pd.DataFrame({name: [line.get(name) for line in lines] for name in columns}, dtype=object)
