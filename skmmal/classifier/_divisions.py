"""How labeled rows are divided into folds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, check_cv

from skmmal.heads._classes import classes_met, labels_met
from skmmal.heads.convex import Fold, LabeledRows

__all__ = ["divided", "rows_that_decide"]

_FOLDS = 4
_LARGE, _SHARE = 10**8, 0.15
"""Rows × features × classes beyond which a share of the rows decides."""


def rows_that_decide(rows: LabeledRows) -> np.ndarray:
    """Choose the rows on which candidates are compared: all of them, or of a large problem a share of every class.

    Parameters
    ----------
    rows : LabeledRows

    Returns
    -------
    int ndarray
        Rising positions.
    """
    n_columns = rows.labels.shape[1] if rows.has_several_labels else int(rows.labels.max()) + 1
    a_row = sum(block.shape[1] for block in rows.blocks) * n_columns
    share = max(_SHARE, _LARGE / (a_row * len(rows)))
    if share >= 1:
        return np.arange(len(rows))
    order = np.argsort(_strata(rows.labels), kind="stable")
    taken = np.floor(np.arange(1, len(rows) + 1) * share) > np.floor(np.arange(len(rows)) * share)
    return np.sort(order[taken])


def divided(rows: LabeledRows, cv: Any, places: np.ndarray, groups: np.ndarray | None, n_classes: int) -> list[Fold]:
    """Divide rows into folds.

    Parameters
    ----------
    rows : LabeledRows
    cv : int, splitter, iterable of (train, test) or None
    places : int ndarray of shape (n,)
        Where the rows stand among those that an iterable's positions are of.
    groups : int ndarray of shape (n,) or None
        A group's rows are on one side of a division that is ours.
    n_classes : int

    Returns
    -------
    list of Fold
        Those in which a head has something to tell apart, and a row to be asked about; test rows of classes that the
        training rows lack are left out. Of several labels a row, sets of labels take the place of classes where rows
        are dealt to folds.
    """
    folds = []
    for train, test in _splits(rows.labels, cv, places, groups):
        is_trained_on = np.zeros(len(rows), dtype=bool)
        is_trained_on[train] = True
        trained = rows.at(np.flatnonzero(is_trained_on))
        if rows.has_several_labels:
            met, _ = labels_met(trained.labels, trained.present, trained.weights)
        else:
            met = classes_met(trained.labels, trained.present, n_classes)
            test = test[met[0][rows.labels[test]]]
        if met[0].sum() > (0 if rows.has_several_labels else 1) and len(test):
            folds.append(Fold(is_trained_on, test, met))
    return folds


def _strata(labels: np.ndarray) -> np.ndarray:
    """What rows are dealt by: their classes, or their sets of labels."""
    if labels.ndim == 1:
        return labels
    return np.unique(np.nan_to_num(labels), axis=0, return_inverse=True)[1].ravel()


def _splits(
    labels: np.ndarray, cv: Any, places: np.ndarray, groups: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of the rows to train on, and of those to test."""
    if cv is not None and not isinstance(cv, Integral):
        yield from _given_splits(labels, cv, places, groups)
        return
    n_folds = _FOLDS if cv is None else int(cv)
    labels = _strata(labels)
    if groups is not None:
        n_folds = min(n_folds, len(np.unique(groups)))
        if n_folds < 2:
            return
        is_common = np.bincount(labels).max() >= n_folds
        splitter = StratifiedGroupKFold(n_folds) if is_common else GroupKFold(n_folds)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            yield from splitter.split(labels, labels, groups)
        return
    # dealt in turn, class after class: no class needs as many rows as there are folds
    of_row = np.empty(len(labels), dtype=np.intp)
    of_row[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % n_folds
    for fold in range(min(n_folds, len(labels))):
        yield np.flatnonzero(of_row != fold), np.flatnonzero(of_row == fold)


def _given_splits(
    labels: np.ndarray, cv: Any, places: np.ndarray, groups: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What a splitter or an iterable says; positions in the latter are of all rows, some of which do not count."""
    splitter = check_cv(cv, labels, classifier=True)
    if hasattr(cv, "split"):
        yield from splitter.split(labels, labels, groups)
        return
    for pair in splitter.split():
        yield tuple(np.flatnonzero(np.isin(places, _positions(part))) for part in pair)  # type: ignore[misc]


def _positions(part: Any) -> np.ndarray:
    part = np.asarray(part)
    return np.flatnonzero(part) if part.dtype == bool else part
