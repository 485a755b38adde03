"""Sets of labels on their way in: lists, texts with a separator, or a column for each label; brought into one form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from skmmal.campaign._sets import check_label_names, join, split
from skmmal.campaign._votes import ALL_COLUMNS

__all__ = ["as_sets", "new_names"]

_YES, _NO = {"1", "1.0", "true", "yes", "x"}, {"0", "0.0", "false", "no"}
_OURS = {
    *ALL_COLUMNS,
    "unknown",
    "entry",
    "again",
    "rank",
    "score",
    "chosen_by",
    "predicted",
    "confidence",
    "why",
    "group",
    "cost",
}
"""Columns that are no labels: those of deliveries, and of the batches that are handed out."""
_EMPTY = "none"
"""What the state says where no label applies, for spreadsheets, in which an empty cell says nothing."""


def as_sets(
    table: pd.DataFrame, map_classes: Mapping[str, str], separator: str, classes: Collection[str]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Bring the labels of a table into text, in a column ``label``; see `_sets`.

    Parameters
    ----------
    table : DataFrame
        With a column ``label`` of lists (an empty one is an answer: no label applies) or of texts (an empty one is an
        answer where the state is ``label`` or ``none``), and perhaps a column ``unknown`` of labels that are not known;
        or with a column for each label.
    map_classes : mapping of str to str
        Labels to rename.
    separator : str
        Stands between the labels of a text.
    classes : collection of str
        Labels that are known.

    Returns
    -------
    table : DataFrame
        With texts in ``label``, and ``state`` set to ``label`` where the set is empty.
    mapped : dict of str to int
        How often each label was renamed.

    Raises
    ------
    ValueError
        A cell is neither a set nor a yes or no, or a name cannot be a label's.
    """
    names = new_names(map_classes)
    mapped = dict.fromkeys(names, 0)
    if "label" not in table.columns:
        table = _from_columns(table, classes, set(names))
    states = [_word(value).lower() for value in table["state"]] if "state" in table.columns else [""] * len(table)
    unknown = table["unknown"] if "unknown" in table.columns else [None] * len(table)
    labels = []
    for row, (value, more) in enumerate(zip(table["label"], unknown, strict=True)):
        is_answer = _is_set(value) or states[row] in ("label", _EMPTY)
        yes, odd = _parts(value, separator)
        odd += _parts(more, separator)[0]
        if states[row] == _EMPTY and (yes or odd):
            raise ValueError(
                f"labels: the state is {_EMPTY}, no label applies, and there are labels, in row {row + 1}: {yes}"
            )
        words = {names.get(name, name) for name in yes} & {"skip", "unsure"}
        for old in names:
            mapped[old] += old in yes
        if words and len(yes) == 1 and states[row] in ("", "label"):
            labels.append("")
            states[row] = words.pop()
            continue
        yes, odd = [names.get(name, name) for name in yes], [names.get(name, name) for name in odd]
        check_label_names([*yes, *odd], "labels")
        labels.append(join(yes, set(odd) - set(yes)))
        if is_answer and states[row] in ("", _EMPTY):
            states[row] = "label"
    made = table.assign(label=pd.Series(labels, index=table.index, dtype=object), state=states)
    made.attrs.update(table.attrs)
    return made, mapped


def new_names(map_classes: Mapping[str, str]) -> dict[str, str]:
    """Names of classes by those that stand in their place in a file."""
    if not isinstance(map_classes, Mapping):
        raise TypeError(f"map_classes must be a mapping of an old name to a new one, got {map_classes!r}")
    names = {str(old).strip(): str(new).strip() for old, new in map_classes.items()}
    if not all(names) or not all(names.values()):
        raise ValueError(f"map_classes: a name is empty in {dict(map_classes)}")
    return names


def _is_set(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset | np.ndarray)


def _parts(value: Any, separator: str) -> tuple[list[str], list[str]]:
    """Labels of a cell, and labels that are not known."""
    if _is_set(value):
        if any(_is_set(part) or isinstance(part, dict) for part in value):
            raise ValueError(f"labels: {value!r} is no list of labels")
        return [name for name in map(_word, value) if name], []
    if isinstance(value, dict):
        raise ValueError(f"labels: {value!r} is no list of labels")
    return split(_word(value), separator)


def _word(value: Any) -> str:
    if value is None or (np.ndim(value) == 0 and bool(pd.isna(value))):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip()


# ------------------------------------------------------------------------------------------- a column for each label


def _from_columns(table: pd.DataFrame, classes: Collection[str], renamed: Collection[str]) -> pd.DataFrame:
    """A table with a column for each label, as one of lists; of a label without a column nothing is said."""
    if "id" not in table.columns and not isinstance(table.index, pd.RangeIndex):
        table = table.rename_axis("id").reset_index()
    names = _label_columns(table, {*classes, *renamed})
    if not names:
        raise ValueError(
            "labels: there is no column 'label', and none that is a label's: a column for each label says 1 (the row "
            f"has it), 0 (it has not) or nothing (not known); there are {[str(name) for name in table.columns]}"
        )
    cells = np.array([[_cell(value) for value in table[name]] for name in names]).T.reshape(len(table), len(names))
    wrong = np.argwhere(cells == "wrong")
    if len(wrong):
        row, column = wrong[0]
        lines = table.attrs.get("lines", range(1, len(table) + 1))
        raise ValueError(
            f"labels: the column {names[column]!r} holds {table[names[column]].iloc[row]!r} in line {lines[row]}; a "
            "column for each label says 1 or yes, 0 or no, or nothing (not known)"
        )
    if (cells == "yes").any() and not (cells == "no").any() and (cells == "").any():
        raise ValueError(
            f"labels: the columns {names[:5]} say which labels rows have, and nowhere that a row has one not (0): an "
            "empty cell says that it is not known. Write zeros, or give the sets in one column, label. Nothing was "
            "recorded"
        )
    plain = np.array([name.strip() for name in names], dtype=object)
    answered = (cells != "").any(axis=1)
    columns = {"label": cells == "yes", "unknown": cells == ""}
    lists = {
        column: [list(plain[mask]) if known else None for mask, known in zip(masks, answered, strict=True)]
        for column, masks in columns.items()
    }
    absent = sorted(set(classes) - set(plain))
    lists["unknown"] = [None if found is None else found + absent for found in lists["unknown"]]
    made = {column: pd.Series(values, index=table.index, dtype=object) for column, values in lists.items()}
    return table.drop(columns=names).assign(**made)


def _label_columns(table: pd.DataFrame, classes: Collection[str]) -> list[str]:
    """Columns that are labels': of the known ones by name, others where they hold nothing but yes and no."""
    found = []
    for name in table.columns:
        if not isinstance(name, str) or name in _OURS or name.startswith("contribution_"):
            continue
        cells = {_cell(value) for value in table[name]}
        if name.strip() in classes or (cells <= {"yes", "no", ""} and cells != {""}):
            found.append(name)
    return found


def _cell(value: Any) -> str:
    word = _word(value).lower()
    return "yes" if word in _YES else "no" if word in _NO else "wrong" if word else ""
