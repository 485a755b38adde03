"""Accuracy under Gaussian noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from skmmal._arrays import integer
from skmmal._random import RandomState
from skmmal.modalities import MultimodalArray
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

__all__ = ["NOISE_LEVELS", "noise_curve"]

NOISE_LEVELS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)


def noise_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    modality: str | Sequence[str] | None = None,
    levels: Levels = NOISE_LEVELS,
    n_repeats: int = 5,
    random_state: RandomState = None,
) -> pd.DataFrame:
    """Accuracy when Gaussian noise is added to a modality.

    Parameters
    ----------
    estimator : fitted classifier, or Pipeline or search with one
        Anything that predicts rows with NaN, where X has any.
    X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
        Test rows, in any form that the estimator takes.
    y : array-like of shape (n_samples,)
        Their labels.
    modality : str or sequence of str, optional
        Which modality is noisy; ``"all"``: all of them, independently. Default: every modality in turn, then
        ``"all"``.
    levels : sequence of float, at least 0
        Standard deviation of the noise, in units of each feature's own standard deviation over the rows of X that
        have the modality. At level 1 signal and noise have the same variance.
    n_repeats : int, default=5
        Draws of the noise. Within a repeat, levels differ by a factor only.
    random_state : int, RandomState, Generator or None
        Draws the noise.

    Returns
    -------
    DataFrame
        With the kind ``"noise"``. Absent blocks stay absent.

    Raises
    ------
    ValueError
        An unknown modality, or a level that is negative or not finite.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.robustness import noise_curve
    >>> X, y = load_iris(return_X_y=True)
    >>> table = noise_curve(LogisticRegression().fit(X[::2], y[::2]), X[1::2], y[1::2], random_state=0)
    >>> table.groupby("level")["accuracy"].mean().round(2).tolist()
    [0.96, 0.93, 0.85, 0.67, 0.53, 0.4]
    """
    levels = check_levels(levels, "levels")
    n_repeats = integer(n_repeats, "n_repeats", 1)
    model = MeasuredModel(estimator, X, y)
    features, present = model.features, model.present
    seeds = seeds_of_repeats(random_state, n_repeats)

    @lru_cache(maxsize=len(model.names))  # levels differ by a factor only
    def noise(m: int, repeat: int) -> np.ndarray:
        name = model.names[m]
        drawn = generator_of(seeds[repeat], name).standard_normal(features[name].shape)
        return drawn * _deviations(features[name], present[:, m])

    def disturb(columns: list[int], level: float, repeat: int) -> tuple[Scores, np.ndarray]:
        added = {model.names[m]: level * noise(m, repeat) for m in columns}
        return model.accuracies(_plus(features, added)), present

    return curve_table("noise", model, modality, levels, n_repeats, disturb)


def _plus(features: MultimodalArray, added: dict[str, np.ndarray]) -> MultimodalArray:
    blocks = dict(features.blocks)
    for name, values in added.items():
        blocks[name] = as_floating(features[name])
        blocks[name] += values  # NaN stays NaN
    return MultimodalArray(blocks, features.modalities)


def _deviations(block: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Standard deviation of every column over the rows that have the modality; 0 where none has."""
    rows = block[there].astype(np.float64)
    return rows.std(axis=0) if len(rows) else np.zeros(block.shape[1])
