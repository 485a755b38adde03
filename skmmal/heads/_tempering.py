"""One temperature for logits, from rows that they were not fitted on."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

__all__ = ["fit_temperature", "tempered_losses"]

_MOST = np.log(10.0)
"""Largest logarithm of a temperature, and of its inverse."""


def tempered_losses(logits: np.ndarray, labels: np.ndarray, temperature: float) -> np.ndarray:
    """Cross-entropy of every row, its logits divided by a temperature.

    Parameters
    ----------
    logits : ndarray of shape (n, K)
        Minus infinity for classes that are out of reach.
    labels : int ndarray of shape (n,)
        Classes, within reach.
    temperature : float

    Returns
    -------
    ndarray of shape (n,)
    """
    scaled = logits / temperature
    return logsumexp(scaled, axis=1) - scaled[np.arange(len(labels)), labels]


def fit_temperature(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray, *, spread: float = np.inf) -> float:
    """Find the temperature at which the rows' classes are most probable.

    ``Σ_i w_i loss_i(T) + (log T)² / (2 s²)`` is minimised over T from 0.1 to 10, s the spread: with few rows the
    temperature stays near one.

    Parameters
    ----------
    logits : ndarray of shape (n, K)
        Of rows that they were not fitted on; minus infinity for classes that are out of reach.
    labels : int ndarray of shape (n,)
        Classes, within reach.
    weights : ndarray of shape (n,)
        Of the rows.
    spread : float, default=inf
        Standard deviation of log T that is expected beforehand.

    Returns
    -------
    float
        One where there are no rows.

    References
    ----------
    .. [1] Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2. The prior is ours.
    """
    if not len(labels):
        return 1.0

    def objective(log_temperature: float) -> float:
        losses = tempered_losses(logits, labels, float(np.exp(log_temperature)))
        return float(weights @ losses) + 0.5 * (log_temperature / spread) ** 2

    return float(np.exp(minimize_scalar(objective, bounds=(-_MOST, _MOST), method="bounded").x))
