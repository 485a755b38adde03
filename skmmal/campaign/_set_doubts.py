"""Labels of sets that the model doubts: how probable each state is to a model that did not see the row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import KFold

from skmmal._arrays import integer
from skmmal.campaign._doubts import TooFewLabelsError, likely_wrong

__all__ = ["find_doubts", "unseen_probabilities"]

_GIVEN = np.array(["no", "yes"], dtype=object)


def find_doubts(
    model: Any, X: Any, y: np.ndarray, ids: np.ndarray, classes: list[str], *, n_folds: int = 5, seed: int = 0
) -> pd.DataFrame:
    """List labels of rows, the most doubtful first.

    Parameters
    ----------
    model : LateFusionClassifier
        Cloned for each fold.
    X : MultimodalArray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, n_labels)
        One, zero, and NaN where nobody knows.
    ids : ndarray of shape (n_samples,)
    classes : list of str
        The labels.
    n_folds : int, default=5
        Fewer where there are fewer rows.
    seed : int, default=0
        Draws the folds.

    Returns
    -------
    DataFrame
        ``id``, ``label``, ``given`` (``yes``: the row was said to have it), ``self_confidence`` (probability of that
        under a model that was fitted without the row), ``predicted``, ``confidence`` (of the prediction), and
        ``likely_wrong`` as of `skmmal.campaign._doubts.find_doubts`, for each label by itself. Labels that fewer than
        two rows have, or fewer than two have not, cannot be checked and are left out; ``attrs["unchecked"]`` says how
        many entries that are.

    Raises
    ------
    ValueError
        No label can be checked.
    """
    probabilities = unseen_probabilities(model, X, y, classes, n_folds=n_folds, seed=seed)
    able = np.flatnonzero(~np.isnan(probabilities).all(axis=0))
    tables = [_of_label(classes[column], y[:, column], probabilities[:, column], ids) for column in able]
    table = pd.concat(tables, ignore_index=True)
    unchecked = int((~np.isnan(y)).sum()) - len(table)
    table = table.sort_values(["self_confidence", "id", "label"], kind="stable").reset_index(drop=True)
    table.attrs["unchecked"] = unchecked
    return table


def unseen_probabilities(
    model: Any, X: Any, y: np.ndarray, classes: list[str], *, n_folds: int = 5, seed: int = 0
) -> np.ndarray:
    """Cross-validated probabilities of all labels; parameters as of `find_doubts`.

    Returns
    -------
    ndarray of shape (n_samples, n_labels)
        NaN for labels that cannot be checked.
    """
    n_folds = min(integer(n_folds, "n_folds", 2), len(y))
    n_yes, n_no = (y == 1).sum(axis=0), (y == 0).sum(axis=0)
    able = (n_yes > 1) & (n_no > 1)
    if not able.any():
        found = {name: (int(yes), int(no)) for name, yes, no in zip(classes, n_yes, n_no, strict=True)}
        raise TooFewLabelsError(
            f"a label that two rows have and two have not is needed to check labels, found (have, have not): {found}"
        )
    probabilities = np.empty(y.shape)
    for train, test in KFold(n_folds, shuffle=True, random_state=seed).split(y):
        fold = clone(model).set_params(random_state=seed)
        fold.fit(X[train], y[train], classes=np.array(classes, dtype=str))
        probabilities[test] = fold.predict_proba(X[test])
    probabilities[:, ~able] = np.nan
    return probabilities


def _of_label(name: str, given: np.ndarray, probability: np.ndarray, ids: np.ndarray) -> pd.DataFrame:
    known = np.flatnonzero(~np.isnan(given))
    codes = given[known].astype(np.intp)
    both = np.column_stack([1 - probability[known], probability[known]])
    table = pd.DataFrame(
        {
            "id": ids[known],
            "label": name,
            "given": _GIVEN[codes],
            "self_confidence": both[np.arange(len(known)), codes],
            "predicted": _GIVEN[both.argmax(axis=1)],
            "confidence": both.max(axis=1),
        }
    )
    wrong = likely_wrong(codes, both)
    if wrong is not None:
        table["likely_wrong"] = wrong
    return table
