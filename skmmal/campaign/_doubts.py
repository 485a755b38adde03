"""Labels that the model doubts: how probable they are to a model that did not see them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold

from skmmal._arrays import integer

__all__ = ["TooFewLabelsError", "find_doubts", "likely_wrong", "self_confidence"]


class TooFewLabelsError(ValueError):
    """No label can be held against a model that did not see it."""


def self_confidence(model: Any, X: Any, y: np.ndarray, *, n_folds: int = 5, seed: int = 0) -> np.ndarray:
    """Cross-validated probabilities of all classes.

    Parameters
    ----------
    model : LateFusionClassifier
        Cloned for each fold.
    X : MultimodalArray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    n_folds : int, default=5
        Fewer where the rarest class that has two labels or more has fewer.
    seed : int, default=0
        Draws the folds.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        Columns in the order of ``np.unique(y)``. Rows of a class with one label are NaN: without that label the class
        is unknown.
    """
    classes, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    checkable = np.flatnonzero(counts[codes] > 1)
    probabilities = np.full((len(y), len(classes)), np.nan)
    if len(checkable) < 2 or len(np.unique(codes[checkable])) < 2:
        raise TooFewLabelsError(
            "two classes with two labels each are needed to check labels, found "
            f"{dict(zip(classes.tolist(), counts.tolist(), strict=True))}"
        )
    n_folds = int(min(n_folds, counts[counts > 1].max()))
    alone = np.flatnonzero(counts[codes] == 1)
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for train, test in _folds(splitter, checkable, codes[checkable]):
        fold = clone(model).set_params(random_state=seed)
        rows = np.concatenate([train, alone])
        fold.fit(X[rows], y[rows], classes=classes)
        probabilities[test] = fold.predict_proba(X[test])
    return probabilities


def _folds(splitter: StratifiedKFold, rows: np.ndarray, codes: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    with warnings.catch_warnings():
        # a class with fewer labels than folds is in some folds only, which does no harm here
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return [(rows[train], rows[test]) for train, test in splitter.split(rows, codes)]


def likely_wrong(codes: np.ndarray, probabilities: np.ndarray) -> np.ndarray | None:
    """Which labels confident learning takes for wrong; ``None`` where cleanlab is not installed.

    References
    ----------
    .. [1] Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR 2021.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        return None
    return np.asarray(find_label_issues(codes, probabilities, n_jobs=1), dtype=bool)


def find_doubts(model: Any, X: Any, y: np.ndarray, ids: np.ndarray, *, n_folds: int = 5, seed: int = 0) -> pd.DataFrame:
    """List labels, the most doubtful first.

    Parameters
    ----------
    model : LateFusionClassifier
    X : MultimodalArray of shape (n_samples, n_features)
    y, ids : ndarray of shape (n_samples,)
    n_folds : int, default=5
    seed : int, default=0

    Returns
    -------
    DataFrame
        ``id``, ``label``, ``self_confidence`` (probability of the label under a model that was fitted without this
        row), ``predicted``, ``confidence`` (of the prediction), ``likely_wrong`` (confident learning; the column is
        there if cleanlab is installed, the extra ``noise``). Labels that are the only one of their class cannot be
        checked and are left out; ``attrs["unchecked"]`` says how many.

    Raises
    ------
    ValueError
        Fewer than two classes have two labels.

    Notes
    -----
    A low self-confidence is a reason to look again, not a proof: rare and new kinds of rows have it too.

    References
    ----------
    .. [1] Kuan and Mueller, "Model-agnostic label quality scoring to detect real-world label errors", ICML 2022
       workshop on data-centric machine learning (self-confidence).
    """
    integer(n_folds, "n_folds", 2)
    probabilities = self_confidence(model, X, y, n_folds=n_folds, seed=seed)
    checked = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    classes, codes = np.unique(y, return_inverse=True)
    known = probabilities[checked]
    table = pd.DataFrame(
        {
            "id": ids[checked],
            "label": y[checked],
            "self_confidence": known[np.arange(len(checked)), codes[checked]],
            "predicted": classes[known.argmax(axis=1)],
            "confidence": known.max(axis=1),
        }
    )
    # cleanlab wants every class among the labels: the columns of those with one label go
    kept = np.unique(codes[checked])
    renormalised = known[:, kept] / known[:, kept].sum(axis=1, keepdims=True)
    wrong = likely_wrong(np.searchsorted(kept, codes[checked]), renormalised)
    if wrong is not None:
        table["likely_wrong"] = wrong
    table = table.sort_values(["self_confidence", "id"], kind="stable").reset_index(drop=True)
    table.attrs["unchecked"] = len(y) - len(checked)
    return table
