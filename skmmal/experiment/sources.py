"""Data by name, or from files: what the command line reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

from skmmal import datasets
from skmmal._names import did_you_mean, find_name
from skmmal._paths import local_path
from skmmal._store import put_back
from skmmal._tables import KeyColumnError, read_table
from skmmal.features import FeatureStore
from skmmal.modalities import MultimodalArray

__all__ = [
    "DATASETS",
    "Features",
    "Labelled",
    "labelled_rows",
    "load_dataset",
    "load_features",
    "read_label_sets",
    "read_labels",
    "split",
]


@dataclass
class Features:
    """Rows with ids, labelled or not.

    Parameters
    ----------
    X : MultimodalArray
        The rows.
    ids : ndarray of str, shape (n,)
        Their names.
    checksum : str, optional
        Of all values, where a feature cache knows it without reading them.

    Examples
    --------
    >>> from skmmal import MultimodalArray
    >>> Features(MultimodalArray({"image": [[1.0], [2.0]]}), np.array(["a", "b"])).ids.tolist()
    ['a', 'b']
    """

    X: MultimodalArray
    ids: np.ndarray
    checksum: str | None = None


@dataclass
class Labelled:
    """Rows with ids and labels.

    Parameters
    ----------
    X : MultimodalArray
        The rows.
    y : ndarray of shape (n,), or DataFrame of shape (n, L)
        Their classes, or which of several labels each has.
    ids : ndarray of str, shape (n,)
        Their names.
    test : ndarray of bool, shape (n,), optional
        Where a file says which rows to test on.
    groups, costs : ndarray of shape (n,), optional
        Of the rows.

    Examples
    --------
    >>> from skmmal.experiment.sources import load_dataset
    >>> data = load_dataset("digits:fou,pix")
    >>> len(data.X) == len(data.y) == len(data.ids)
    True
    """

    X: MultimodalArray
    y: Any
    ids: np.ndarray
    test: np.ndarray | None = None
    groups: np.ndarray | None = None
    costs: np.ndarray | None = None


# -------------------------------------------------------------------------------------------- data sets by name


def _emoji(option: str, seed: int) -> Labelled:
    target, _, least = option.partition(",")
    bunch = datasets.load_emoji(target=target or "category", min_samples_per_class=int(least or 1))
    return Labelled(bunch.data, bunch.target_names[bunch.target], bunch.names)


def _digits(option: str, seed: int) -> Labelled:
    X, y = datasets.load_digits_views(option.split(",") if option else None, return_X_y=True)
    return Labelled(X, y, np.arange(len(y)).astype(str))


def _mind_the_gap(option: str, seed: int) -> Labelled:
    X, y = datasets.make_mind_the_gap(option or "interaction-redundant", random_state=seed, return_X_y=True)
    return Labelled(X, y, np.arange(len(y)).astype(str))


def _pid(option: str, seed: int) -> Labelled:
    X, y = datasets.make_pid_classification(
        option or "redundancy", 2000, n_classes=4, random_state=seed, return_X_y=True
    )
    return Labelled(X, y, np.arange(len(y)).astype(str))


DATASETS: dict[str, tuple[Callable[[str, int], Labelled], str]] = {
    "emoji": (_emoji, "1636 emoji as image and text, 8 classes; emoji:subcategory,8 for the 68 with 8 rows or more"),
    "digits": (_digits, "2000 handwritten digits in six views; digits:fou,pix for some of them"),
    "mind-the-gap": (_mind_the_gap, f"generated, one pitfall each: mind-the-gap:{datasets.MIND_THE_GAP_PITFALLS[1]}"),
    "pid": (_pid, "generated, from the PID suite: pid:synergy"),
}
"""Name to a loader ``(option, seed)`` and a line of help; the seed draws generated data."""


def load_dataset(name: str, seed: int = 0) -> Labelled:
    """Load ``NAME`` or ``NAME:OPTION``.

    Parameters
    ----------
    name : str
        One of `DATASETS`, and maybe an option.
    seed : int, default=0
        Draws generated data.

    Returns
    -------
    Labelled

    Examples
    --------
    >>> load_dataset("digits:fou,zer").X
    MultimodalArray(2000 rows: fou 76, zer 47)
    """
    kind, _, option = name.partition(":")
    return DATASETS[find_name(kind, list(DATASETS), "dataset")][0](option, seed)


# -------------------------------------------------------------------------------------------------- from files

_IMPORT = (
    "Files as other programs write them (.npy, .npz with ids and y, CSV, Parquet, a saved data set) become a cache and "
    "a file of labels by: skmmal import FILES --out FOLDER"
)


def load_features(path: Path) -> Features:
    """Open a feature cache, or an .npz file whose two- and three-dimensional arrays are the modalities.

    Parameters
    ----------
    path : path-like
        A file may hold ``ids``; otherwise the row numbers, from 0, are the ids.

    Returns
    -------
    Features

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from skmmal.experiment.sources import load_features
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "features.npz"
    ...     np.savez(path, image=np.zeros((3, 4)), text=np.zeros((3, 2)))
    ...     list(load_features(path).X.modalities)
    ['image', 'text']
    """
    path = local_path(path, "--features")
    if put_back(path).is_dir():
        if not (path / "manifest.json").exists():
            raise ValueError(f"--features {path}: a folder without manifest.json is no feature cache. {_IMPORT}")
        store = FeatureStore.open(path)
        return Features(store.load(), np.asarray(store.ids), store.files.checksum())
    if not path.is_file():
        raise FileNotFoundError(f"--features {path}: there is no such folder or file")
    if path.suffix != ".npz":
        raise ValueError(f"--features {path}: expected a feature cache (a folder) or an .npz file. {_IMPORT}")
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    blocks = {name: array for name, array in arrays.items() if array.ndim in (2, 3)}
    others = [name for name in arrays if name not in blocks and name != "ids"]
    if others:
        raise ValueError(
            f"--features {path}: {others} are neither 'ids' nor modalities (two or three dimensions). {_IMPORT}"
        )
    X = MultimodalArray(blocks)
    ids = arrays.get("ids", np.arange(len(X))).astype(str)
    if len(ids) != len(X) or len(set(ids)) < len(ids):
        raise ValueError(f"--features {path}: 'ids' must be {len(X)} distinct values, found {len(set(ids))}")
    return Features(X, ids)


def read_labels(path: Path, beside: Sequence[str] = ()) -> pd.DataFrame:
    r"""Read ``id,label`` and, where there is one, ``split`` (train or test); rows without a label are kept.

    Parameters
    ----------
    path : path-like
        A table in CSV.
    beside : sequence of str
        Further columns.

    Returns
    -------
    DataFrame
        Of texts, in these columns.

    Raises
    ------
    ValueError
        A column is missing, an id is empty or there twice, a split is neither train nor test.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skmmal.experiment.sources import read_labels
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels.csv"
    ...     _ = path.write_text("id,label\na,cat\nb,dog\n")
    ...     read_labels(path)["label"].tolist()
    ['cat', 'dog']
    """
    table = _checked_table(local_path(path, "--labels"), ("id", "label", *beside))
    return table[[name for name in ("id", "label", "split", *beside) if name in table.columns]]


def read_label_sets(path: Path, separator: str = "|", beside: Sequence[str] = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""Read which of several labels each row has.

    Parameters
    ----------
    path : path-like
        A table in CSV with the column ``id``, perhaps ``split``, and either a column ``label`` with the labels of the
        row (``sea|boat``; an empty field is a row that has none, ``?boat`` a label that nobody knows of), or a column
        for each label with 1, 0, or nothing where nobody knows.
    separator : str, default="|"
        What stands between labels.
    beside : sequence of str
        Further columns, which are no labels.

    Returns
    -------
    table : DataFrame
        ``id``, ``split`` and the further columns, texts.
    states : DataFrame of float64
        A column for each label, in the file's order or sorted; NaN where nobody knows.

    Raises
    ------
    ValueError
        As of `read_labels`; there are no labels, or a label's column holds something else than zeros and ones.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skmmal.experiment.sources import read_label_sets
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels.csv"
    ...     _ = path.write_text("id,label\na,sea|boat\nb,\nc,?boat\n")
    ...     read_label_sets(path)[1]
       boat  sea
    0   1.0  1.0
    1   0.0  0.0
    2   NaN  0.0
    """
    path = local_path(path, "--labels")
    table = _checked_table(path, ("id", *beside))
    kept = table[[name for name in ("id", "split", *beside) if name in table.columns]]
    if "label" in table:
        return kept, _sets(table["label"], separator, path)
    names = [name for name in table.columns if name not in kept]
    if not names:
        raise ValueError(f"--labels {path}: neither a column 'label' nor one for each label; it has {list(table)}")
    texts = table[names].apply(lambda column: column.str.strip())
    wrong = np.argwhere(~texts.isin(["", "0", "1", "0.0", "1.0"]).to_numpy())
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"--labels {path}: column {names[column]!r} holds {texts.iloc[row, column]!r} in line "
            f"{_line(table, row)}; a label's column says 1, 0, or nothing where nobody knows (others are "
            "--group-column and --cost-column)"
        )
    return kept, texts.replace("", "nan").astype(np.float64)


def _sets(texts: pd.Series, separator: str, path: Path) -> pd.DataFrame:
    """Which labels rows have, from their names with a separator between."""
    if not separator:
        raise ValueError("--label-separator is empty; what stands between labels?")
    parts = [[part.strip() for part in text.split(separator) if part.strip()] for text in texts]
    names = sorted({part.removeprefix("?") for row in parts for part in row})
    if len(names) < 2:
        raise ValueError(f"--labels {path}: all labels are {names}, several are needed; {separator!r} separates them")
    states = pd.DataFrame(0.0, index=texts.index, columns=names)
    at = {name: column for column, name in enumerate(names)}
    values = states.to_numpy(copy=True)
    for row, labels in enumerate(parts):
        for label in labels:
            values[row, at[label.removeprefix("?")]] = np.nan if label.startswith("?") else 1.0
    return pd.DataFrame(values, index=texts.index, columns=names)


def _checked_table(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    """A table of texts with these columns, with ids that are distinct and splits that are known."""
    if not path.is_file():
        raise FileNotFoundError(f"--labels {path}: there is no such file")
    try:
        table = read_table(path, where=f"--labels {path}")
    except KeyColumnError as error:
        raise ValueError(f"{error}. {_IMPORT}") from None
    missing = [name for name in needed if name not in table.columns]
    if missing:
        way_out = did_you_mean(missing[0], table.columns) or f". {_IMPORT}"
        raise ValueError(f"--labels {path}: no column {missing[0]!r}; it has {list(table.columns)}{way_out}")
    empty = np.flatnonzero(table["id"] == "")
    if len(empty):
        raise ValueError(f"--labels {path}: the id is empty in line {_line(table, empty[0])}")
    twice = np.flatnonzero(table["id"].duplicated())
    if len(twice):
        raise ValueError(
            f"--labels {path}: id {table['id'].iloc[twice[0]]!r} is there twice, again in line "
            f"{_line(table, twice[0])} ({len(twice)} such lines)"
        )
    if "split" in table:
        wrong = np.flatnonzero(~table["split"].isin(["train", "test"]))
        if len(wrong):
            raise ValueError(
                f"--labels {path}: split is {table['split'].iloc[wrong[0]]!r} in line {_line(table, wrong[0])}; "
                "expected train or test"
            )
    return table


def _line(table: pd.DataFrame, row: int) -> int:
    """Line of the file that a row stands in."""
    return table.attrs["lines"][table.index[row]] if "lines" in table.attrs else row + 2


def labelled_rows(features: Features, labels: pd.DataFrame, path: Path) -> np.ndarray:
    """Row of the features for each line of the labels; ids that are not there are an error.

    Parameters
    ----------
    features : Features
        The rows.
    labels : DataFrame
        Of `read_labels`.
    path : path-like
        Where the labels came from, for the error.

    Returns
    -------
    ndarray of int

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathlib import Path
    >>> from skmmal import MultimodalArray
    >>> from skmmal.experiment.sources import Features, labelled_rows
    >>> features = Features(MultimodalArray({"image": np.zeros((3, 2))}), np.array(["a", "b", "c"]))
    >>> labelled_rows(features, pd.DataFrame({"id": ["c", "a"], "label": ["x", "y"]}), Path("labels.csv"))
    array([2, 0])
    """
    rows = pd.Index(features.ids).get_indexer(pd.Index(labels["id"]))
    unknown = np.flatnonzero(rows < 0)
    if len(unknown):
        hint = _mangled(features.ids, labels["id"].iloc[unknown])
        raise ValueError(
            f"--labels {path}: {len(unknown)} of {len(labels)} ids are not among the features, the first: "
            f"{labels['id'].iloc[unknown[0]]!r} in line {_line(labels, unknown[0])}{hint}"
        )
    return rows


def _mangled(ids: np.ndarray, unknown: pd.Series) -> str:
    """What a spreadsheet may have done to ids: zeros in front dropped."""
    whole = {str(name).lstrip("0"): str(name) for name in ids if str(name).startswith("0")}
    found = next((whole[name] for name in unknown if name in whole), None)
    return "" if found is None else f". The features have {found!r}: a spreadsheet has dropped zeros in front"


def usable_rows(X: MultimodalArray) -> np.ndarray:
    """Mask of the rows that have at least one modality (featurization may have failed for all of them)."""
    usable = np.zeros(len(X), dtype=bool)
    for block in X.blocks.values():
        usable |= ~np.isnan(block[:, 0]) if block.dtype.kind == "f" else True
    return usable


# ------------------------------------------------------------------------------------------------------- split


def split(data: Labelled, test_size: float, seed: int) -> tuple[Labelled, Labelled]:
    """Pool and test rows: as the file says, or drawn by class; a class of one row goes to the pool.

    Whole groups are drawn where there are any, and rows without regard to their labels where they have several.

    Parameters
    ----------
    data : Labelled
        All rows.
    test_size : float
        Share of the rows to test on.
    seed : int
        Draws them.

    Returns
    -------
    pool : Labelled
        The rows to learn from.
    test : Labelled
        The others.

    Examples
    --------
    >>> from skmmal.experiment.sources import load_dataset, split
    >>> pool, test = split(load_dataset("digits:fou,pix"), 0.25, seed=0)
    >>> len(pool.y), len(test.y)
    (1500, 500)
    """
    test = data.test
    if test is not None and data.groups is not None:
        both = np.intersect1d(data.groups[test], data.groups[~test])
        if len(both):
            raise ValueError(f"the group {both[0]!s} has training and test rows ({len(both)} such groups)")
    if test is None and (data.groups is not None or isinstance(data.y, pd.DataFrame)):
        # a group is on one side as a whole; sets of labels are too many to be strata
        test = np.zeros(len(data.y), dtype=bool)
        names = np.arange(len(test)) if data.groups is None else data.groups
        test[next(GroupShuffleSplit(1, test_size=test_size, random_state=seed).split(test, groups=names))[1]] = True
    if test is None:
        test = np.zeros(len(data.y), dtype=bool)
        _, codes, counts = np.unique(data.y, return_inverse=True, return_counts=True)
        divisible = np.flatnonzero(counts[codes] > 1)
        splitter = StratifiedShuffleSplit(1, test_size=test_size, random_state=seed)
        try:
            _, drawn = next(splitter.split(divisible, codes[divisible]))
        except ValueError as error:
            raise ValueError(f"--test-size {test_size}: {error}") from None
        test[divisible[drawn]] = True
    if test.all() or not test.any():
        raise ValueError(f"{int(test.sum())} of {len(test)} rows are test rows; both parts need some")
    return _take(data, ~test), _take(data, test)


def _take(data: Labelled, mask: np.ndarray) -> Labelled:
    rows: Any = np.flatnonzero(mask)
    y = data.y.iloc[rows] if isinstance(data.y, pd.DataFrame) else data.y[rows]
    groups, costs = (None if each is None else each[rows] for each in (data.groups, data.costs))
    return replace(data, X=data.X[rows], y=y, ids=data.ids[rows], test=None, groups=groups, costs=costs)
