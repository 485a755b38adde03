"""A model's predictions of rows that it was not fitted on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold

from skmmal.modalities._containers import take_rows
from skmmal.reading._posterior import aligned
from skmmal.reading._source import Source, SourceError

__all__ = ["HeldOutSource", "folds"]

Fold = tuple[np.ndarray, np.ndarray]
"""Rows to fit on, and rows to predict."""


class HeldOutSource(Source):
    """What models fitted on the other folds say of each row, in the columns of the whole model's classes.

    Parameters
    ----------
    fitted : Source
        What the whole model says.
    model : classifier
        It, to be cloned.
    X, y
        Rows and labels.
    folds : sequence of Fold
    read : callable
        Makes a source of a model and rows.
    """

    def __init__(
        self,
        fitted: Source,
        model: Any,
        X: Any,
        y: np.ndarray,
        folds: Sequence[Fold],
        read: Callable[[Any, Any], Source],
    ) -> None:
        self.name = f"{fitted.name} on held-out folds"
        self._fitted, self._model, self._X, self._y, self._folds, self._read = fitted, model, X, y, folds, read

    def __len__(self) -> int:
        return len(self._fitted)

    @property
    def classes(self) -> np.ndarray | None:
        """Names of the classes."""
        return self._fitted.classes

    @cached_property
    def _parts(self) -> list[tuple[np.ndarray, Source]]:
        parts = []
        for train, test in self._folds:
            model = clone(self._model).fit(take_rows(self._X, train), self._y[train])
            parts.append((test, self._read(model, take_rows(self._X, test))))
        return parts

    def _together(self, answers: list[np.ndarray]) -> np.ndarray:
        """Answers on the folds as one array, in the whole model's columns."""
        names: pd.Index = pd.Index(np.asarray(self.classes))
        whole = np.empty((len(self), len(names)))
        for (rows, source), answer in zip(self._parts, answers, strict=True):
            columns = names.get_indexer(pd.Index(np.asarray(source.classes)))
            whole[rows] = aligned(answer, columns, len(names))
        return whole

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Class probabilities of the fused head."""
        return self._together([source.probabilities for _, source in self._parts])

    @cached_property
    def probabilities_by_modality(self) -> Mapping[str, np.ndarray]:
        """Class probabilities of each modality's own head."""
        by_fold = [source.probabilities_by_modality for _, source in self._parts]
        return {name: self._together([answers[name] for answers in by_fold]) for name in by_fold[0]}

    @property
    def modality_names(self) -> list[str]:
        """Names of the modalities."""
        return self._fitted.modality_names

    @property
    def present(self) -> np.ndarray:
        """Which row has which modality."""
        return self._fitted.present

    @property
    def blocks(self) -> Sequence[np.ndarray]:
        """None: every fold's model may see something else."""
        raise SourceError("models fitted on folds have no features in common")


def folds(y: Any, n_folds: int, seed: int) -> list[Fold]:
    """Folds that share out the classes, as far as there are rows for it."""
    _, counts = np.unique(y, return_counts=True)
    n_folds = min(n_folds, len(y))
    if n_folds < 2:
        raise ValueError(f"predictions on held-out folds need two rows at least, found {len(y)}")
    if counts.max() < n_folds:
        return list(KFold(n_folds, shuffle=True, random_state=seed).split(y))
    with warnings.catch_warnings():  # classes with fewer rows than folds are expected
        warnings.simplefilter("ignore", UserWarning)
        return list(StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(y, y))
