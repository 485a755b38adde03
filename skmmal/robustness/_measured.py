"""A fitted classifier on disturbed versions of its test rows, and the table of a curve."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_consistent_length

from skmmal._arrays import number, off_device
from skmmal._fitted import require_fitted
from skmmal._labels import known_indicator
from skmmal._random import RandomState, check_rng, draw_seed
from skmmal._targets import SEVERAL_LABELS
from skmmal.modalities import MultimodalArray, is_multimodal, presence_mask
from skmmal.reading import ALL, FUSED, accuracies, read

__all__ = [
    "ALL",
    "FUSED",
    "Levels",
    "MeasuredModel",
    "Scores",
    "as_floating",
    "check_levels",
    "columns_of",
    "curve_table",
    "generator_of",
    "seeds_of_repeats",
]

Levels = Sequence[float]
Scores = dict[str, float]
Disturbance = Callable[[list[int], float, int], tuple[Scores, np.ndarray]]
"""From columns of modalities, level and repeat to the accuracies, and which blocks (n, M) were changed."""


class MeasuredModel:
    """A fitted classifier, test rows as it sees them, and how accurate it is on any version of these rows.

    Parameters
    ----------
    estimator : fitted classifier, or Pipeline or search with one
    X, y
        Test rows and their labels.

    Attributes
    ----------
    source : Source
        The reading of the rows as they are.
    features : MultimodalArray
        The rows as the classifier sees them.
    names : list of str
        The M modalities.
    present : ndarray of bool, shape (n, M)
    """

    def __init__(self, estimator: Any, X: Any, y: Any) -> None:
        require_fitted(estimator)
        self.source = cast(Any, read(estimator, X).source)
        self.features = self.source.features
        self.present = presence_mask(self.features)
        self.names = list(self.features.modalities)
        if ALL in self.names:
            raise ValueError(f"a modality is named {ALL!r}, which here means all modalities; rename it")
        several = self.source.target is SEVERAL_LABELS
        self.y = known_indicator(y, np.asarray(self.source.classes), "y") if several else column_or_1d(off_device(y))
        check_consistent_length(self.features, self.y)
        self._classifier = self.source.final
        seen = self.source.X
        # a classifier that knows no modalities was fitted on a matrix or a frame, and is given one again
        self._like = None if is_multimodal(seen) or hasattr(self._classifier, "modalities") else seen

    def hits(self, features: MultimodalArray) -> dict[str, np.ndarray]:
        """Which rows every head predicts rightly, bool (n,); of several labels all must be right."""
        X: Any = features
        if self._like is not None:
            X = np.asarray(features)
            if isinstance(self._like, pd.DataFrame):
                X = pd.DataFrame(X, index=self._like.index, columns=self._like.columns)
        predictions = cast(Any, read(self._classifier, X).source).predictions
        hits = {head: labels == self.y for head, labels in predictions.items()}
        return {head: each if each.ndim == 1 else each.all(axis=1) for head, each in hits.items()}

    def accuracies(self, features: MultimodalArray) -> Scores:
        """Accuracy of every head on rows that have the modalities which they had."""
        return accuracies(self.hits(features), self.names, self.present)


def curve_table(
    kind: str,
    model: MeasuredModel,
    modality: str | Sequence[str] | None,
    levels: Levels,
    n_repeats: int,
    disturb: Disturbance,
) -> pd.DataFrame:
    """Accuracies under a disturbance, as a tidy table."""
    clean = model.accuracies(model.features)
    lines = []
    for name, columns in columns_of(modality, model.names).items():
        n_blocks = max(1, int(model.present[:, columns].sum()))
        for repeat in range(n_repeats):
            for level in levels:
                scores, share = clean, 0.0
                if level > 0:
                    scores, changed = disturb(columns, level, repeat)
                    share = float(changed[:, columns].sum() / n_blocks)
                line = {"kind": kind, "modality": name, "level": level, "repeat": repeat}
                lines += [
                    {**line, "head": head, "accuracy": accuracy, "disturbed": share}
                    for head, accuracy in scores.items()
                ]
    return pd.DataFrame(lines)


def columns_of(modality: str | Sequence[str] | None, names: list[str]) -> dict[str, list[int]]:
    """Columns of the modalities that are disturbed together, by the name of the curve."""
    if modality is None:
        wanted = [*names, ALL] if len(names) > 1 else names
    elif isinstance(modality, str):
        wanted = [modality]
    elif isinstance(modality, Iterable):
        wanted = list(modality)
    else:
        raise TypeError(f"modality must be a modality's name or a list of names, got {modality!r}")
    for name in wanted:
        if name != ALL and name not in names:
            raise ValueError(f"unknown modality {name!r}; there are {names}, and {ALL!r} for all of them")
    if not wanted:
        raise ValueError(f"modality is empty; there are {names}")
    return {name: list(range(len(names))) if name == ALL else [names.index(name)] for name in wanted}


def check_levels(levels: Any, argument: str, most: float = np.inf) -> list[float]:
    """Return distinct numbers from 0 to `most`, or say which argument holds none."""
    given = levels if isinstance(levels, Iterable) and not isinstance(levels, str) else [levels]
    checked = [number(level, argument, 0, most, closed=True) for level in given]
    if not checked or len(set(checked)) < len(checked):
        raise ValueError(f"{argument} must be distinct and not empty, got {checked}")
    return checked


def as_floating(block: np.ndarray) -> np.ndarray:
    """Copy a block in a dtype that has NaN and enough digits."""
    return block.astype(np.result_type(block.dtype, np.float32) if block.dtype.kind == "f" else np.float64)


def seeds_of_repeats(random_state: RandomState, n_repeats: int) -> list[int]:
    """A seed for each repeat."""
    rng = check_rng(random_state)
    return [draw_seed(rng) for _ in range(n_repeats)]


def generator_of(seed: int, name: str) -> np.random.RandomState:
    """A modality's own generator: its draws do not depend on what else is disturbed."""
    return np.random.RandomState((seed + zlib.crc32(name.encode())) % 2**32)
