"""How far confidence is from accuracy."""

from __future__ import annotations

import numpy as np

from skmmal._arrays import integer, numeric

__all__ = ["expected_calibration_error"]


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, n_bins: int = 32) -> float:
    """Mean distance between confidence and accuracy, over bins of equal width.

    ``Σ_b n_b / n · |accuracy_b − confidence_b|``

    Parameters
    ----------
    confidence : array-like of shape (n,)
        Probability of the predicted class.
    correct : array-like of bool, shape (n,)
        Whether the prediction is right.
    n_bins : int, default=32
        How many bins; they are closed above: ``(0, 1/32], (1/32, 2/32]`` and so on.

    Returns
    -------
    float
        Between 0 and 1.

    References
    ----------
    .. [1] Guo et al., "On calibration of modern neural networks", ICML 2017, section 2; 32 bins as in the BMMAL
       repository.

    Examples
    --------
    >>> from skmmal.experiment.metrics import expected_calibration_error
    >>> round(expected_calibration_error([0.9, 0.9, 0.6, 0.6], [True, True, True, False]), 3)
    0.1
    """
    confidence = numeric(confidence, "confidence", 1).astype(np.float64)
    correct = numeric(correct, "correct", 1).astype(bool)
    integer(n_bins, "n_bins", 1)
    if len(confidence) == 0 or len(correct) != len(confidence):
        raise ValueError(
            f"confidence and correct must be of one length above 0, got {len(confidence)} and {len(correct)}"
        )
    if not ((confidence >= -1e-9) & (confidence <= 1 + 1e-9)).all():  # NaN, too
        raise ValueError("confidence must hold probabilities, from 0 to 1")
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    gaps = np.bincount(bins, weights=np.asarray(correct, dtype=np.float64) - confidence, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(confidence))
