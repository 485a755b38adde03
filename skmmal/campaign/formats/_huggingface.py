"""Labels as Hugging Face datasets, out and in (extra ``huggingface``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from skmmal._store import new_folder

__all__ = ["from_dataset", "is_dataset", "read_dataset", "to_dataset", "write_dataset"]


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ImportError("Hugging Face datasets need the package: pip install 'skmmal[huggingface]'") from error
    return datasets


def to_dataset(table: pd.DataFrame, classes: Sequence[str]) -> Any:
    """Make a Dataset of a table; ``label`` becomes a ClassLabel, null where there is none.

    Parameters
    ----------
    table : DataFrame
        With a column ``label``; where rows have several labels it holds lists, and so does a column ``unknown``: both
        become sequences of ClassLabel.
    classes : sequence of str

    Returns
    -------
    datasets.Dataset
    """
    datasets = _datasets()
    kinds = {name: _kind(datasets, column) for name, column in table.items()}
    one = datasets.ClassLabel(names=list(classes)) if len(classes) else datasets.Value("string")
    codes = {name: code for code, name in enumerate(classes)}
    has_sets = "unknown" in table
    if has_sets:
        kinds["unknown"] = datasets.Sequence(one)
    kinds["label"] = datasets.Sequence(one) if has_sets else one

    def coded(column: pd.Series) -> list[Any]:
        if not has_sets:
            return [codes.get(label) for label in column]
        return [None if names is None else [codes[name] for name in names] for names in column]

    columns = {
        str(name): coded(column) if name in ("label", "unknown") else column.tolist() for name, column in table.items()
    }
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


def _kind(datasets: Any, column: pd.Series) -> Any:
    kind = {"i": "int64", "f": "float64", "b": "bool"}.get(getattr(column.dtype, "kind", "O"), "string")
    return datasets.Value(kind)


def write_dataset(table: pd.DataFrame, classes: Sequence[str], path: Path) -> None:
    """Save a Dataset to a folder that is new or empty, whole or not at all."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} exists and is not empty; give a new folder")
    dataset = to_dataset(table, classes)
    with new_folder(path) as unfinished:
        dataset.save_to_disk(str(unfinished))


def is_dataset(path: Path) -> bool:
    """Whether a folder is what `datasets` saves."""
    return (path / "state.json").is_file() and (path / "dataset_info.json").is_file()


def read_dataset(path: Path, *, multilabel: bool = False) -> pd.DataFrame:
    """Read labels from a folder that ``save_to_disk`` wrote."""
    datasets = _datasets()
    if not is_dataset(path):
        raise ValueError(f"{path} is not a dataset that save_to_disk wrote (one split: it holds a state.json)")
    return from_dataset(datasets.load_from_disk(str(path)), multilabel=multilabel)


def from_dataset(dataset: Any, *, multilabel: bool = False) -> pd.DataFrame:
    """Table of a Dataset; a ClassLabel becomes the class's name, null or −1 an empty label.

    Parameters
    ----------
    dataset : datasets.Dataset
        With the columns ``id`` and ``label``.
    multilabel : bool, default=False
        ``label`` may be a sequence: the row's labels, none of them in an empty one; null says nothing. A column for
        each label (bool, 0 or 1) will do, too.

    Returns
    -------
    DataFrame
    """
    feature = dataset.features.get("label")
    if multilabel:
        return _table_of_sets(dataset)
    if feature is not None and getattr(feature, "dtype", None) is None:
        raise ValueError(f"the column 'label' is {feature}; a sample has one label: a ClassLabel, a string or a number")
    wanted = [name for name in dataset.column_names if getattr(dataset.features[name], "dtype", None) is not None]
    table = pd.DataFrame({name: list(dataset[name]) for name in wanted}, dtype=object)
    if "label" in table and hasattr(feature, "int2str"):
        table["label"] = ["" if code is None or code < 0 else feature.int2str(int(code)) for code in table["label"]]
    elif "label" in table and str(getattr(feature, "dtype", "")).startswith(("int", "uint")):
        values = {code for code in table["label"] if code is not None}
        if -1 in values and not values <= {-1, 1}:
            raise ValueError(
                "the column 'label' holds −1 among other numbers: is it a class, or no label? Give a ClassLabel, or "
                "null where there is none"
            )
    return table


def _table_of_sets(dataset: Any) -> pd.DataFrame:
    """A table whose labels are lists of names."""
    columns = {}
    for name in dataset.column_names:
        feature = dataset.features[name]
        inner = getattr(feature, "feature", None)
        if inner is None and getattr(feature, "dtype", None) is None:
            continue  # media, and what else is no label
        values = list(dataset[name])
        if name in ("label", "unknown") and inner is not None:
            if not hasattr(inner, "int2str") and getattr(inner, "dtype", "") != "string":
                raise ValueError(
                    f"the column {name!r} is {feature}; expected a sequence of ClassLabel or of strings, or a "
                    "column for each label"
                )
            values = [None if value is None else [_named(inner, code) for code in value] for value in values]
        elif name == "label" and hasattr(feature, "int2str"):
            values = [None if code is None or code < 0 else [feature.int2str(int(code))] for code in values]
        columns[name] = pd.Series(values, dtype=object)
    return pd.DataFrame(columns)


def _named(feature: Any, code: Any) -> str:
    return feature.int2str(int(code)) if hasattr(feature, "int2str") else str(code)
