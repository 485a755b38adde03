"""What an experiment is about: one class a row, several labels, or numbers; and what is measured of each."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import average_precision_score, f1_score, hamming_loss, mean_absolute_error, r2_score
from sklearn.utils import column_or_1d

from skmmal._arrays import naming, numeric, off_device
from skmmal._fitted import predicts_values
from skmmal._labels import known_indicator, several_labels

__all__ = ["LABELS", "ONE_CLASS", "TASKS", "VALUES", "Task", "class_accuracies", "mean", "of_config", "task_of"]

Scores = dict[str, float]
ByLabel = dict[str, np.ndarray]


class Task(ABC):
    """What `y` is: how it is checked, and what of a head's answers is measured."""

    name: str
    """How the configuration of a run calls it."""
    main_metric: str
    """The column of the results that says most."""
    metrics: tuple[str, ...]
    """Columns that each head has."""
    of_label: str | None = None
    """The column of the table of classes that says most; ``None``: there is none."""

    @abstractmethod
    def checked(self, y: Any, argument: str, names: np.ndarray | None = None) -> np.ndarray:
        """What is to be learned, one entry for each row; `names` are the labels that its columns must have."""

    @abstractmethod
    def names(self, y: Any, *checked: np.ndarray) -> np.ndarray:
        """Names of the classes or labels."""

    @abstractmethod
    def hits(self, predicted: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Which rows are predicted rightly, all of their labels."""

    @abstractmethod
    def measure(
        self, y: np.ndarray, predicted: np.ndarray, scores: np.ndarray | None, classes: np.ndarray, rows: np.ndarray
    ) -> tuple[Scores, ByLabel]:
        """Measure a head on some rows.

        Parameters
        ----------
        y, predicted : ndarray of shape (n,) or (n, L)
        scores : ndarray of shape (n, K), optional
            Probabilities, or what ranks rows as they do.
        classes : ndarray of shape (K,)
        rows : ndarray of bool, shape (n,)

        Returns
        -------
        measured : dict of str to float
            A number for each of `metrics`.
        by_label : dict of str to ndarray of shape (K,)
        """


class _OneClass(Task):
    """One of K classes."""

    name = "one class"
    main_metric = "accuracy"
    metrics = ("accuracy", "balanced_accuracy")
    of_label = "accuracy"

    def checked(self, y: Any, argument: str, names: np.ndarray | None = None) -> np.ndarray:
        with naming(argument):
            y = column_or_1d(off_device(y))
        _refuse_absent(y, argument)
        return y

    def names(self, y: Any, *checked: np.ndarray) -> np.ndarray:
        try:
            return np.unique(np.concatenate(checked))
        except TypeError:
            raise ValueError("y and y_test mix labels of different types; use strings or numbers in both") from None

    def hits(self, predicted: np.ndarray, y: np.ndarray) -> np.ndarray:
        return predicted == y

    def measure(
        self, y: np.ndarray, predicted: np.ndarray, scores: np.ndarray | None, classes: np.ndarray, rows: np.ndarray
    ) -> tuple[Scores, ByLabel]:
        recalls = class_accuracies(y, predicted, classes, rows)
        hits = (predicted == y)[rows]
        known = recalls[~np.isnan(recalls)]
        return {"accuracy": mean(hits), "balanced_accuracy": mean(known)}, {"accuracy": recalls}


class _SeveralLabels(Task):
    """Any of L labels: an indicator matrix, NaN where nobody knows (in the pool)."""

    name = "several labels"
    main_metric = "mean_average_precision"
    metrics = ("mean_average_precision", "f1_macro", "f1_micro", "hamming_loss", "subset_accuracy")
    of_label = "average_precision"

    def checked(self, y: Any, argument: str, names: np.ndarray | None = None) -> np.ndarray:
        if names is not None:
            return known_indicator(y, names, argument)
        with naming(argument):
            found = several_labels(y)
        assert found is not None
        return found[0] if np.isnan(found[0]).any() else found[0].astype(np.intp)

    def names(self, y: Any, *checked: np.ndarray) -> np.ndarray:
        found = several_labels(y)
        assert found is not None
        return found[1]

    def hits(self, predicted: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (predicted == y).all(axis=1)

    def measure(
        self, y: np.ndarray, predicted: np.ndarray, scores: np.ndarray | None, classes: np.ndarray, rows: np.ndarray
    ) -> tuple[Scores, ByLabel]:
        y, predicted = y[rows], predicted[rows]
        nothing = np.full(y.shape[1], np.nan)
        if not len(y):
            return dict.fromkeys(self.metrics, float("nan")), {"average_precision": nothing, "f1": nothing}
        precisions = nothing.copy()
        if scores is not None:
            for label in np.flatnonzero(y.any(axis=0)):  # of a label that no row has nothing can be said
                precisions[label] = average_precision_score(y[:, label], scores[rows, label])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)  # F1 of a label that is nowhere is zero
            measured = {
                "mean_average_precision": mean(precisions[~np.isnan(precisions)]),
                "f1_macro": float(f1_score(y, predicted, average="macro", zero_division=0)),
                "f1_micro": float(f1_score(y, predicted, average="micro", zero_division=0)),
                "hamming_loss": float(hamming_loss(y, predicted)),
                "subset_accuracy": mean(self.hits(predicted, y)),
            }
            by_label = np.asarray(f1_score(y, predicted, average=None, zero_division=0), dtype=float)
        return measured, {"average_precision": precisions, "f1": by_label}


class _Values(Task):
    """A number for each row, to be predicted by a regressor."""

    name = "values"
    main_metric = "r2"
    metrics = ("r2", "mae")

    def checked(self, y: Any, argument: str, names: np.ndarray | None = None) -> np.ndarray:
        with naming(argument):
            y = column_or_1d(off_device(y))
        _refuse_absent(y, argument)
        return numeric(y, argument, 1, finite=True).astype(np.float64)

    def names(self, y: Any, *checked: np.ndarray) -> np.ndarray:
        return np.empty(0)

    def hits(self, predicted: np.ndarray, y: np.ndarray) -> np.ndarray:
        raise ValueError("values are not predicted rightly or wrongly: this needs a classifier")

    def measure(
        self, y: np.ndarray, predicted: np.ndarray, scores: np.ndarray | None, classes: np.ndarray, rows: np.ndarray
    ) -> tuple[Scores, ByLabel]:
        y, predicted = y[rows], predicted[rows]
        r2 = float(r2_score(y, predicted)) if len(y) > 1 else float("nan")
        return {"r2": r2, "mae": float(mean_absolute_error(y, predicted))}, {}


ONE_CLASS: Task = _OneClass()
LABELS: Task = _SeveralLabels()
VALUES: Task = _Values()
TASKS = {task.name: task for task in (ONE_CLASS, LABELS, VALUES)}


def task_of(estimator: Any, y: Any) -> Task:
    """What an estimator is to learn: an indicator matrix says that rows have several labels, a regressor that values.

    Parameters
    ----------
    estimator : BaseEstimator
    y : array-like

    Returns
    -------
    Task
    """
    if predicts_values(estimator):
        return VALUES
    with naming("y"):
        return ONE_CLASS if several_labels(y) is None else LABELS


def of_config(config: Mapping[str, Any]) -> Task:
    """What a run was about, by its configuration."""
    return TASKS[config.get("task", ONE_CLASS.name)]


def class_accuracies(y: np.ndarray, predicted: np.ndarray, classes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Share of each class's rows that is predicted rightly.

    Parameters
    ----------
    y, predicted : ndarray of shape (n,)
        True and predicted classes.
    classes : ndarray of shape (n_classes,)
        Whose shares.
    rows : ndarray of bool, shape (n,)
        Rows that count.

    Returns
    -------
    ndarray of shape (n_classes,)
        NaN for a class without any row.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.experiment.metrics import class_accuracies
    >>> y, predicted = np.array([0, 0, 1]), np.array([0, 1, 1])
    >>> class_accuracies(y, predicted, np.array([0, 1]), np.ones(3, dtype=bool))
    array([0.5, 1. ])
    """
    hits = predicted == y
    return np.array([mean(hits[rows & (y == label)]) for label in classes])


def mean(values: np.ndarray) -> float:
    """Mean, NaN of nothing."""
    return float(values.mean()) if len(values) else float("nan")


def _refuse_absent(y: np.ndarray, argument: str) -> None:
    absent = np.flatnonzero(pd.isna(y))
    if len(absent):
        raise ValueError(f"{argument} is missing in row {absent[0]} ({len(absent)} such rows); an experiment needs all")
