"""A head as a linear map of its features, where it is one, and a linear stand-in where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from skmmal._probabilities import log_probabilities

__all__ = ["LinearHead", "fit_stand_in", "linear_map_of"]

LinearHead = tuple[np.ndarray, np.ndarray]
"""Weights (K, D) and intercepts (K,)."""


def linear_map_of(final: Any, width: int, n_classes: int) -> LinearHead | None:
    """Read weights and intercepts off a classifier in scikit-learn's form; ``None`` where it has none that fit.

    Parameters
    ----------
    final : classifier
    width, n_classes : int
        Columns that it was fitted on, and classes.
    """
    weights, intercepts = getattr(final, "coef_", None), getattr(final, "intercept_", None)
    if weights is None or intercepts is None or np.ndim(weights) != 2:
        return None
    weights, intercepts = np.asarray(weights, dtype=np.float64), np.atleast_1d(np.asarray(intercepts, dtype=np.float64))
    if len(weights) == 1 and n_classes == 2:  # scikit-learn keeps the second class's row alone
        weights, intercepts = np.vstack([0.0 * weights, weights]), np.append(0.0, intercepts)
    return (weights, intercepts) if weights.shape == (n_classes, width) else None


def fit_stand_in(points: np.ndarray, probabilities: np.ndarray) -> LinearHead:
    """Ridge regression (penalty 1) of the log-probabilities on the features."""
    fitted = Ridge(alpha=1.0).fit(points, log_probabilities(probabilities))
    weights = np.asarray(fitted.coef_, dtype=np.float64).reshape(probabilities.shape[1], points.shape[1])
    return weights, np.full(len(weights), fitted.intercept_, dtype=np.float64)
