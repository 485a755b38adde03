"""Sets of labels as text: the labels in alphabetical order with bars between them, as in ``boat|sea``.

``?`` before a name says that nobody knows whether the row has that label; what is not named the row has not. The empty
text is the empty set: no label applies.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

__all__ = [
    "SEPARATOR", "UNKNOWN", "among", "check_label_names", "join", "label_hits", "named", "split", "states",
    "text_of_states",
]  # fmt: skip

SEPARATOR = "|"
"""Stands between the labels of a set, as in pandas' ``str.get_dummies``."""
UNKNOWN = "?"
"""Stands before a label of which nobody knows whether the row has it."""


def check_label_names(names: Iterable[str], what: str) -> None:
    """Raise where a name would be taken for a set, or for a label that is not known."""
    for name in names:
        if SEPARATOR in name or name.startswith(UNKNOWN):
            raise ValueError(
                f"{what}: {name!r} cannot be the name of a label: {SEPARATOR!r} stands between the labels of a set, "
                f"and {UNKNOWN!r} before a label that is not known; rename it (map_classes, --map-class OLD=NEW)"
            )


def join(names: Collection[str], unknown: Collection[str] = ()) -> str:
    """Text of a set.

    Examples
    --------
    >>> join(["sea", "boat"], unknown=["dog"])
    'boat|sea|?dog'
    """
    return SEPARATOR.join([*sorted(set(names)), *(UNKNOWN + name for name in sorted(set(unknown)))])


def split(text: str, separator: str = SEPARATOR) -> tuple[list[str], list[str]]:
    """Labels of a set, and labels that are not known.

    Examples
    --------
    >>> split("sea | boat|?dog")
    (['sea', 'boat'], ['dog'])
    """
    parts = [part.strip() for part in text.split(separator)]
    yes = [part for part in parts if part and not part.startswith(UNKNOWN)]
    return yes, [part.removeprefix(UNKNOWN).strip() for part in parts if part.startswith(UNKNOWN)]


def named(text: str) -> list[str]:
    """Every label that a set's text names."""
    yes, unknown = split(text)
    return yes + unknown


def states(texts: Iterable[str], classes: Any) -> np.ndarray:
    """Which labels rows have: one, zero, and NaN where nobody knows.

    Parameters
    ----------
    texts : iterable of str
        A set for each row; every label in it is one of the classes.
    classes : sequence of str

    Returns
    -------
    ndarray of float64, shape (n, L)

    Examples
    --------
    >>> states(["sea|?dog", ""], ["dog", "sea"])
    array([[nan,  1.],
           [ 0.,  0.]])
    """
    texts = list(texts)
    column = {name: number for number, name in enumerate(classes)}
    found = np.zeros((len(texts), len(classes)))
    for row, text in enumerate(texts):
        if text:
            yes, unknown = split(text)
            found[row, [column[name] for name in yes]] = 1.0
            found[row, [column[name] for name in unknown]] = np.nan
    return found


def text_of_states(row: np.ndarray, classes: Any) -> str:
    """Text of one row of `states`."""
    yes = [classes[column] for column in np.flatnonzero(row == 1)]
    return join(yes, [classes[column] for column in np.flatnonzero(np.isnan(row))])


def among(text: str, classes: Any) -> str:
    """A set as far as some labels go."""
    yes, unknown = split(text)
    return join([name for name in yes if name in classes], [name for name in unknown if name in classes])


def label_hits(labels: Iterable[str], predicted: Iterable[str], classes: Any) -> np.ndarray:
    """Which labels' states are predicted rightly, (n, L): one, zero, and NaN where nobody knows the state.

    Examples
    --------
    >>> label_hits(["sea|?dog"], ["boat"], ["boat", "dog", "sea"])
    array([[ 0., nan,  0.]])
    """
    truth = states([among(text, classes) for text in labels], classes)
    return np.where(np.isnan(truth), np.nan, truth == states(predicted, classes))
