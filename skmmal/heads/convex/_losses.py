"""What a head's logits cost, and how the cost changes with them."""

from __future__ import annotations

import numpy as np

__all__ = ["SoftmaxLoss"]


class SoftmaxLoss:
    """Weighted cross-entropy of the rows' classes; every row has one.

    Another loss has the same four methods. Logits and what is derived from them are (K, n): reductions over classes
    then go along whole rows of memory.

    Parameters
    ----------
    labels : int ndarray of shape (n,)
        Classes from 0 to K − 1; what stands in rows of weight zero does not matter, but must be among them.
    weights : ndarray of shape (n,)
        ``C`` times sample weights; zero where the head does not count a row.
    """

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
