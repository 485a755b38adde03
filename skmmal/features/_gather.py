"""Features and labels as other programs write them, gathered from several files into rows that have names."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skmmal._chunks import row_chunks
from skmmal._names import did_you_mean
from skmmal._paths import local_path
from skmmal.features import _sources as sources
from skmmal.features._arrow import ArrowTable, on_disk

__all__ = ["Gathered", "gather"]

LABEL_NAMES = ("label", "labels", "y", "target", "targets", "class")
ID_NAMES = ("id", "ids")
_NUMBERED = re.compile(r"(.+?)[_.\-\[]?\d+\]?")


@dataclass
class Gathered:
    """What the files hold together.

    Parameters
    ----------
    blocks : dict of str to ndarray
        Modalities; a row that a file lacks is NaN.
    ids : list of str
        Of the rows.
    labels : list of str or None
        Of the rows, empty where there is none; None where no file has any.
    notes : list of str
        What was left out, and why.
    """

    blocks: dict[str, np.ndarray]
    ids: list[str]
    labels: list[str] | None
    notes: list[str] = field(default_factory=list)


@dataclass
class _Part:
    """What one file holds."""

    path: Path
    blocks: dict[str, np.ndarray]
    ids: list[str] | None
    labels: list[str] | None
    left_out: list[str]

    @property
    def n_rows(self) -> int:
        sizes = [len(block) for block in self.blocks.values()]
        sizes += [len(column) for column in (self.ids, self.labels) if column is not None]
        return sizes[0] if sizes else 0


def gather(
    paths: Sequence[Any], id_column: str | None = None, label_column: str | None = None, *, room: Path | None = None
) -> Gathered:
    """Read files, and put rows of the same id side by side.

    Parameters
    ----------
    paths : sequence of path-like
        ``.npy`` (its name is the modality's), folders of them, ``.npz``, ``.safetensors``, CSV, Parquet, folders that
        ``datasets`` saved. In arrays, one of one dimension that is called ids, or label, y or target is that.
    id_column, label_column : str, optional
        Array or column with the ids, or the labels. Default: one that is called so.
    room : Path, optional
        Folder beside which there is room for the features: what files hold in another form than the cache goes there,
        into files without a name, a group of rows at a time. Default: the system's folder for such files.

    Returns
    -------
    Gathered
        Rows in the order in which they come first.

    Raises
    ------
    ValueError
        Nothing to read, a column that is not there, numbers of rows that differ without ids, repeated ids.
    """
    room = Path(tempfile.gettempdir()) if room is None else room
    parts = [_read(path, id_column, label_column, room) for path in _expand(paths)]
    parts = _arrays_together(parts)
    _check_columns(parts, id_column, label_column)
    named = [part for part in parts if part.ids is not None]
    _lend_ids(parts, named)
    ids = list(dict.fromkeys(name for part in parts for name in part.ids or ()))
    at = {name: row for row, name in enumerate(ids)}
    blocks: dict[str, np.ndarray] = {}
    labels: list[str] | None = None
    notes = [f"{part.path.name}: {', '.join(part.left_out[:8])} left out" for part in parts if part.left_out]
    for part in parts:
        rows = np.array([at[name] for name in part.ids or ()], dtype=np.intp)
        for name, values in part.blocks.items():
            if name in blocks:
                raise ValueError(f"{part.path}: there is a modality {name!r} already; rename the file or the array")
            blocks[name] = _spread(values, rows, len(ids), room)
            if len(rows) < len(ids):
                notes.append(f"{len(ids) - len(rows)} of {len(ids)} rows have no {name}: missing there")
        if part.labels is not None:
            if labels is not None:
                raise ValueError(f"{part.path}: labels come from another file already; say --label-column or give one")
            labels = [""] * len(ids)
            for row, label in zip(rows, part.labels, strict=True):
                labels[row] = label
    if not blocks:
        raise ValueError(f"{[str(path) for path in paths]} hold no features: no array of two or three dimensions, no "
                         "column of vectors, no columns of numbers")  # fmt: skip
    return Gathered(blocks, ids, labels, notes)


def _expand(paths: Sequence[Any]) -> list[Path]:
    """Files; of a folder of arrays, its files."""
    found: list[Path] = []
    for path in (local_path(each, "files") for each in paths):
        if not path.exists():
            near = did_you_mean(path.name, [other.name for other in path.parent.glob("*")])
            raise FileNotFoundError(f"{path}: there is no such file or folder{near}")
        arrays = sorted(path.glob("*.npy")) if path.is_dir() else []
        is_dataset = any((path / name).exists() for name in ("state.json", "dataset_dict.json"))
        found += arrays if arrays and not is_dataset else [path]
    return found


def _read(path: Path, id_column: str | None, label_column: str | None, room: Path) -> _Part:
    if path.suffix == ".npy":
        arrays = {path.stem: sources.load_array(path, mmap_mode="r")}
        return _from_arrays(path, arrays, id_column, label_column)
    if path.suffix in (".npz", ".safetensors"):
        return _from_arrays(path, sources.read_arrays(path), id_column, label_column)
    if path.suffix in (".csv", ".tsv", ".txt"):
        return _from_table(path, _read_csv(path), {}, id_column, label_column)
    table = ArrowTable(path)
    lists = [name for name in table.column_names if table.holds_vectors(name)]
    blocks = {name: table.column(name, room) for name in lists}
    plain = table.plain([name for name in table.column_names if name not in lists]).to_pandas()
    for name, classes in _class_names(path).items():
        if name in plain:
            plain[name] = [classes[int(code)] if pd.notna(code) and code >= 0 else None for code in plain[name]]
    return _from_table(path, plain, blocks, id_column, label_column)


def _from_arrays(path: Path, arrays: dict[str, np.ndarray], id_column: str | None, label_column: str | None) -> _Part:
    id_name = _find(arrays, id_column, ID_NAMES)
    label_name = _find(arrays, label_column, LABEL_NAMES)
    blocks = {name: values for name, values in arrays.items() if values.ndim in (2, 3) and values.dtype.kind in "biuf"}
    others = [name for name in arrays if name not in blocks and name not in (id_name, label_name)]
    ids = None if id_name is None else [str(value) for value in arrays[id_name].ravel()]
    labels = None if label_name is None else _texts(arrays[label_name].ravel())
    return _Part(path, {k: v for k, v in blocks.items() if k not in (id_name, label_name)}, ids, labels, others)


def _from_table(
    path: Path, table: pd.DataFrame, blocks: dict[str, np.ndarray], id_column: str | None, label_column: str | None
) -> _Part:
    id_name = _find(table, id_column, ID_NAMES)
    label_name = _find(table, label_column, LABEL_NAMES)
    groups: dict[str, list[str]] = {}
    left_out = []
    for name in map(str, table.columns):
        if name in (id_name, label_name):
            continue
        if blocks or not _is_numeric(table[name]):
            left_out.append(name)
            continue
        match = _NUMBERED.fullmatch(name)
        groups.setdefault(match[1] if match else path.stem, []).append(name)
    for group, names in groups.items():
        numbers = [pd.to_numeric(table[name].replace("", None)).to_numpy(dtype=np.float64) for name in names]
        blocks[group] = _whole_rows(path, group, np.stack(numbers, axis=1))
    ids = None if id_name is None else [str(value) for value in table[id_name]]
    labels = None if label_name is None else _texts(table[label_name])
    return _Part(path, blocks, ids, labels, left_out)


def _is_numeric(column: pd.Series) -> bool:
    """Whether all that stands in a column are numbers."""
    given = column.replace("", None)
    return bool(pd.to_numeric(given, errors="coerce").notna().eq(given.notna()).all())


def _whole_rows(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """A row has all of a modality's numbers, or none of them."""
    holes = np.isnan(values)
    torn = np.flatnonzero(holes.any(axis=1) & ~holes.all(axis=1))
    if len(torn):
        raise ValueError(
            f"{path}: {len(torn)} rows of {name!r} have some of its {values.shape[1]} numbers and lack others, the "
            f"first in line {torn[0] + 2}; a row has all of a modality or none: fill them in, or leave the row empty"
        )
    return values


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, sep=None, engine="python", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8 ({error})") from None
    return table


def _class_names(path: Path) -> dict[str, list[str]]:
    """Names of the classes of a saved data set, whose labels are numbers."""
    about = path / "dataset_info.json"
    if not about.is_file():
        return {}
    features = json.loads(about.read_text(encoding="utf-8")).get("features") or {}
    return {
        name: list(kind["names"])
        for name, kind in features.items()
        if isinstance(kind, dict) and kind.get("_type") == "ClassLabel"
    }


def _find(names: Any, wanted: str | None, usual: Sequence[str]) -> str | None:
    if wanted is not None:
        return wanted if wanted in names else None
    plain = {str(name).strip().lower(): str(name) for name in names}
    return next((plain[name] for name in usual if name in plain), None)


def _texts(values: Any) -> list[str]:
    """Labels as texts: 3.0 is class 3, and NaN is no label."""
    texts = []
    for value in values:
        if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
            texts.append("")
        elif isinstance(value, float | np.floating) and float(value).is_integer():
            texts.append(str(int(value)))
        else:
            texts.append(str(value).strip())
    return texts


def _arrays_together(parts: list[_Part]) -> list[_Part]:
    """The .npy files of one folder are what one .npz file would be."""
    folders: dict[Path, _Part] = {}
    together = []
    for part in parts:
        if part.path.suffix != ".npy":
            together.append(part)
            continue
        first = folders.get(part.path.parent)
        if first is None:
            folders[part.path.parent] = part
            together.append(part)
            continue
        first.blocks |= part.blocks
        first.ids = part.ids if first.ids is None else first.ids
        first.labels = part.labels if first.labels is None else first.labels
        first.left_out += part.left_out
    for part in together:
        columns = {**part.blocks, **{"ids": part.ids, "labels": part.labels}}
        sizes = {name: len(values) for name, values in columns.items() if values is not None}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"{part.path}: numbers of rows differ: {sizes}; row i of every array is the same sample")
    return together


def _check_columns(parts: list[_Part], id_column: str | None, label_column: str | None) -> None:
    known = [name for part in parts for name in [*part.blocks, *part.left_out]]
    for option, wanted, found in (
        ("--id-column", id_column, [part.ids for part in parts]),
        ("--label-column", label_column, [part.labels for part in parts]),
    ):
        if wanted is not None and all(each is None for each in found):
            near = did_you_mean(wanted, known)
            raise ValueError(f"{option} {wanted!r}: no file has it; there are {known[:20]}{near}")
    for part in parts:
        if part.ids is not None:
            twice = pd.Index(part.ids)[pd.Index(part.ids).duplicated()]
            if len(twice):
                raise ValueError(f"{part.path}: the id {twice[0]!r} is there twice ({len(twice)} such rows)")
            if "" in part.ids:
                raise ValueError(f"{part.path}: the id of row {part.ids.index('') + 1} is empty")


def _lend_ids(parts: list[_Part], named: list[_Part]) -> None:
    """Files without ids: rows in the order of the one that has some, or numbered where none has."""
    for part in parts:
        if part.ids is not None:
            continue
        if not named:
            part.ids = [str(row) for row in range(part.n_rows)]
            sizes = {str(other.path): other.n_rows for other in parts}
            if len(set(sizes.values())) > 1:
                raise ValueError(f"no file has ids, and numbers of rows differ: {sizes}. Name the ids (--id-column)")
            continue
        fitting = {tuple(other.ids or ()) for other in named if other.n_rows == part.n_rows}
        if len(fitting) != 1:
            raise ValueError(
                f"{part.path} has {part.n_rows} rows and no ids, and the files with ids have "
                f"{sorted({other.n_rows for other in named})}: which row is which cannot be told. Give it ids (an "
                "array or column 'id', or --id-column NAME)"
            )
        part.ids = list(next(iter(fitting)))


def _spread(values: np.ndarray, rows: np.ndarray, n_rows: int, room: Path) -> np.ndarray:
    """Rows at their places; the others are NaN."""
    if len(rows) == n_rows and np.array_equal(rows, np.arange(n_rows)):
        return values
    dtype = values.dtype if values.dtype.kind == "f" else np.result_type(values.dtype, np.float32)
    spread = on_disk((n_rows, *values.shape[1:]), dtype, room)
    for part in row_chunks(n_rows, math.prod(values.shape[1:])):
        spread[part] = np.nan
    for part in row_chunks(len(rows), math.prod(values.shape[1:])):
        spread[rows[part]] = values[part]
    return spread
