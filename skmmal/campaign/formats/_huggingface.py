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
        With a column ``label``.
    classes : sequence of str

    Returns
    -------
    datasets.Dataset
    """
    datasets = _datasets()
    kinds = {name: _kind(datasets, column) for name, column in table.items()}
    kinds["label"] = datasets.ClassLabel(names=list(classes)) if len(classes) else datasets.Value("string")
    codes = {name: code for code, name in enumerate(classes)}
    columns = {
        str(name): [codes.get(label) for label in column] if name == "label" else column.tolist()
        for name, column in table.items()
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


def read_dataset(path: Path) -> pd.DataFrame:
    """Read labels from a folder that ``save_to_disk`` wrote."""
    datasets = _datasets()
    if not is_dataset(path):
        raise ValueError(f"{path} is not a dataset that save_to_disk wrote (one split: it holds a state.json)")
    return from_dataset(datasets.load_from_disk(str(path)))


def from_dataset(dataset: Any) -> pd.DataFrame:
    """Table of a Dataset; a ClassLabel becomes the class's name, null or −1 an empty label.

    Parameters
    ----------
    dataset : datasets.Dataset
        With the columns ``id`` and ``label``.

    Returns
    -------
    DataFrame
    """
    feature = dataset.features.get("label")
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
