"""What a head's logits cost, and how the cost changes with them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.special import expit

__all__ = ["Loss", "SigmoidLoss", "SoftmaxLoss"]


class Loss(Protocol):
    """What the logits (K, n) of a head cost; reductions over classes then go along whole rows of memory."""

    weights: np.ndarray
    """Of the rows, (n,), or of every class in them, (K, n)."""
    is_shared: bool
    """Whether the classes share a row's probability: a shift of all its logits then changes nothing."""

    def value(self, logits: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the sum of the rows' losses, and their probabilities (K, n)."""

    def residuals(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the gradient (K, n) with respect to the logits."""

    def curvature_along(self, probabilities: np.ndarray, change: np.ndarray) -> float:
        """Return the second derivative along a change (K, n) of the logits."""

    def row_curvatures(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the mean second derivative (n,) along the directions that matter."""


class SoftmaxLoss:
    """Weighted cross-entropy of the rows' classes; every row has one.

    Parameters
    ----------
    labels : int ndarray of shape (n,)
        Classes from 0 to K − 1; what stands in rows of weight zero does not matter, but must be among them.
    weights : ndarray of shape (n,)
        ``C`` times sample weights; zero where the head does not count a row.
    """

    is_shared = True

    def __init__(self, labels: np.ndarray, weights: np.ndarray) -> None:
        self.labels, self.weights = labels, weights
        self._rows = np.arange(len(labels))
        self._by_dtype = {np.dtype(kind): weights.astype(kind) for kind in (np.float32, np.float64)}

    def value(self, logits: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the sum of the rows' losses, and their probabilities (K, n)."""
        shifted = logits - logits.max(axis=0)
        of_true_class = shifted[self.labels, self._rows]
        probabilities = np.exp(shifted, out=shifted)
        totals = probabilities.sum(axis=0)
        probabilities /= totals
        losses = np.log(totals.astype(np.float64)) - of_true_class
        return float(self.weights @ losses), probabilities

    def residuals(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the gradient (K, n) with respect to the logits."""
        weights = self._by_dtype[probabilities.dtype]
        residuals = probabilities * weights
        residuals[self.labels, self._rows] -= weights
        return residuals

    def curvature_along(self, probabilities: np.ndarray, change: np.ndarray) -> float:
        """Return the second derivative along a change (K, n) of the logits."""
        scaled = probabilities * change
        totals = scaled.sum(axis=0)
        of_rows = np.einsum("kn,kn->n", scaled, change) - totals * totals
        return float(of_rows.astype(np.float64) @ self.weights)

    def row_curvatures(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the mean second derivative (n,) along directions that change no sum of a row's logits."""
        of_rows = 1.0 - np.einsum("kn,kn->n", probabilities, probabilities)
        return np.maximum(of_rows, 0.0) * (self.weights / max(len(probabilities) - 1, 1))


class SigmoidLoss:
    """Weighted logistic losses of labels that a row has or has not, each for itself.

    Parameters
    ----------
    states : ndarray of shape (K, n)
        One where a row has the label, zero where it has not; what stands where the weight is zero does not matter,
        but must be finite.
    weights : ndarray of shape (K, n)
        ``C`` times the weight of the row and of the label's state; zero where the state is not known, or the head does
        not count the row.
    """

    is_shared = False

    def __init__(self, states: np.ndarray, weights: np.ndarray) -> None:
        self.weights = weights
        self._by_dtype = {
            np.dtype(kind): (states.astype(kind), weights.astype(kind)) for kind in (np.float32, np.float64)
        }

    def value(self, logits: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the sum of the labels' losses, and their probabilities (K, n)."""
        states, weights = self._by_dtype[logits.dtype]
        losses = np.logaddexp(0, logits) - states * logits
        losses *= weights
        return float(losses.sum(axis=0, dtype=np.float64).sum()), expit(logits)

    def residuals(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the gradient (K, n) with respect to the logits."""
        states, weights = self._by_dtype[probabilities.dtype]
        return (probabilities - states) * weights

    def curvature_along(self, probabilities: np.ndarray, change: np.ndarray) -> float:
        """Return the second derivative along a change (K, n) of the logits."""
        _, weights = self._by_dtype[probabilities.dtype]
        of_labels = probabilities * (1 - probabilities) * weights
        of_labels *= change * change
        return float(of_labels.sum(axis=0, dtype=np.float64).sum())

    def row_curvatures(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the mean second derivative (n,) over the labels."""
        return (probabilities * (1 - probabilities) * self.weights).sum(axis=0) / len(probabilities)
