"""Accuracy when modalities are missing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from skmmal._arrays import integer
from skmmal._random import RandomState
from skmmal.modalities import MultimodalArray
from skmmal.reading import accuracies
from skmmal.robustness._measured import (
    Levels,
    MeasuredModel,
    Scores,
    as_floating,
    check_levels,
    curve_table,
    generator_of,
    seeds_of_repeats,
)

__all__ = ["RATES", "lost_blocks", "missing_curve", "turns_of"]

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def missing_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    modality: str | Sequence[str] | None = None,
    rates: Levels = RATES,
    n_repeats: int = 5,
    random_state: RandomState = None,
) -> pd.DataFrame:
    """Accuracy when modalities are missing from a share of the rows.

    Parameters
    ----------
    estimator : fitted classifier, or Pipeline or search with one
        A `LateFusionClassifier` gives the fused accuracy and each modality's own; any other classifier that takes
        rows with NaN, the fused one.
    X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
        Test rows, in any form that the estimator takes, of two modalities or more.
    y : array-like of shape (n_samples,)
        Their labels.
    modality : str or sequence of str, optional
        Which modality goes missing; ``"all"``: each of them, at the same rate. Default: every modality in turn, then
        ``"all"``.
    rates : sequence of float in [0, 1]
        Share of the rows with the modality that lose it. A row never loses its last modality: where it would, the
        one whose turn came last stays. With ``"all"``, the share that is lost is therefore lower than the rate (at
        rate 1 every row has exactly one modality); the column ``disturbed`` says how large it is.
    n_repeats : int, default=5
        Draws of the rows. Within a repeat, what is missing at one rate is missing at all higher ones.
    random_state : int, RandomState, Generator or None
        Draws the rows.

    Returns
    -------
    DataFrame
        With the kind ``"missing"``. A modality's own accuracy is over the rows that still have it, NaN where none
        does.

    Raises
    ------
    ValueError
        Only one modality, an unknown one, or a rate outside [0, 1].

    Examples
    --------
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.robustness import missing_curve
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> clf = LateFusionClassifier().fit(X[::2], y[::2])
    >>> table = missing_curve(clf, X[1::2], y[1::2], modality="zer", rates=[0, 1], n_repeats=1)
    >>> table[["level", "head", "accuracy", "disturbed"]].round(2)
       level   head  accuracy  disturbed
    0    0.0    fou      0.79        0.0
    1    0.0    zer      0.82        0.0
    2    0.0  fused      0.89        0.0
    3    1.0    fou      0.79        1.0
    4    1.0    zer       NaN        1.0
    5    1.0  fused      0.57        1.0
    """
    rates = check_levels(rates, "rates", most=1.0)
    n_repeats = integer(n_repeats, "n_repeats", 1)
    model = MeasuredModel(estimator, X, y)
    present = model.present
    if len(model.names) < 2:
        raise ValueError(f"missing_curve needs two modalities, X has only {model.names[0]!r}: nothing can be missing")
    turns = [turns_of(present, seed, model.names) for seed in seeds_of_repeats(random_state, n_repeats)]

    @cache  # a row's predictions follow from what it has left: there are 2^M − 1 possibilities, for any rate
    def hits_without(lost: tuple[bool, ...]) -> dict[str, np.ndarray]:
        others = (present & ~np.array(lost)).any(axis=1)
        return model.hits(_without(model.features, present & lost & others[:, None]))

    def disturb(columns: list[int], rate: float, repeat: int) -> tuple[Scores, np.ndarray]:
        lost = lost_blocks(present, turns[repeat], columns, rate)
        hits: dict[str, np.ndarray] = {}
        for pattern in np.unique(lost, axis=0):
            rows = (lost == pattern).all(axis=1)
            for head, values in hits_without(tuple(pattern.tolist())).items():
                hits.setdefault(head, np.zeros(len(lost), dtype=bool))[rows] = values[rows]
        return accuracies(hits, model.names, present & ~lost), lost

    return curve_table("missing", model, modality, rates, n_repeats, disturb)


def turns_of(present: np.ndarray, seed: int, names: list[str]) -> np.ndarray:
    """When each block goes missing, shape (n, M): at all rates above this one; infinity where it is absent anyway.

    In a column the values are those of evenly spaced rates, in random order: a rate is met exactly.
    """
    turns = np.full(present.shape, np.inf)
    for m, name in enumerate(names):
        rng = generator_of(seed, name)
        rows = rng.permutation(np.flatnonzero(present[:, m]))
        jitter = 1e-6 * rng.uniform(size=len(rows))  # no ties between the modalities of a row
        turns[rows, m] = (np.arange(len(rows)) + 0.5 - jitter) / max(1, len(rows))
    return turns


def lost_blocks(present: np.ndarray, turns: np.ndarray, columns: list[int], rate: float) -> np.ndarray:
    """Which blocks of some modalities are lost at a rate, bool (n, M)."""
    lost = np.zeros(present.shape, dtype=bool)
    lost[:, columns] = turns[:, columns] < rate
    emptied = np.flatnonzero(~(present & ~lost).any(axis=1))
    lost[emptied, np.where(lost[emptied], turns[emptied], -1.0).argmax(axis=1)] = False
    return lost


def _without(features: MultimodalArray, lost: np.ndarray) -> MultimodalArray:
    blocks = dict(features.blocks)
    for m, (name, block) in enumerate(features.blocks.items()):
        if lost[:, m].any():
            blocks[name] = as_floating(block)
            blocks[name][lost[:, m]] = np.nan
    return MultimodalArray(blocks, features.modalities)
