"""Features on the principal axes of the labelled rows: centred first, and squared only where nothing is lost by it."""

from __future__ import annotations

import math

import torch

__all__ = ["GRAM_LIMIT", "PrincipalAxes", "check_power", "weighted_mean"]

GRAM_LIMIT = 1e7
"""Largest ``w ‖Z‖² / l2`` at which Z Zᵀ stands for Z, with w the largest weight of a row.

A change of Z Zᵀ by E moves the least objective f by no more than ``w ‖E‖ f / l2``: by the envelope theorem it is
``½ βᵀEβ / l2`` with β the weighted residuals, whose squares sum to no more than ``2 w f``. E is rounding, some 1e-15 of
‖Z‖², and what `_RANK_TOLERANCE` leaves out; so f stays right to better than 1e-7. Beyond, the singular values of Z
itself are taken, which takes a few times as long and loses only directions 1e16 times as short as the longest.
"""
_RANK_TOLERANCE = 1e-14


def weighted_mean(block: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Mean row (D,); of all rows alike where there are no weights, or all are zero."""
    if weights is None or not bool((weights > 0).any()):
        return block.mean(dim=0)
    return (weights / weights.sum()) @ block


def check_power(length: float, block: torch.Tensor) -> float:
    """Square of a block's norm, if that is a number."""
    power = length * length
    if not math.isfinite(power):
        raise ValueError(
            f"X holds values up to {float(block.abs().max()):.3g}, too large to be squared: scale the features first "
            "(skmmal.ModalityScaler)"
        )
    return power


class PrincipalAxes:
    """Rotation of features X (n, D), less their mean row, onto coordinates Z (n, r) with r ≤ min(n, D).

    Parameters
    ----------
    X : tensor of shape (n, D)
        In float64.
    mean : tensor of shape (D,), optional
        What is taken off the rows; nothing by default.
    stiffness : float, default=0.0
        Largest weight of a row, over l2: how much small directions matter (see `GRAM_LIMIT`).

    Attributes
    ----------
    Z : tensor of shape (n, r)
    variances : tensor of shape (r,)
        Squared norms of the columns of Z.
    """

    def __init__(self, X: torch.Tensor, mean: torch.Tensor | None = None, *, stiffness: float = 0.0) -> None:
        n, n_features = X.shape
        self._mean = mean
        X = X if mean is None else X - mean
        power = check_power(float(torch.linalg.vector_norm(X)), X)
        self._by_rows: tuple[torch.Tensor, torch.Tensor] | None = None
        if power * stiffness > GRAM_LIMIT:
            left, values, right = torch.linalg.svd(X, full_matrices=False)
            keep = values > torch.finfo(X.dtype).eps * max(n, n_features) * values[:1]
            self.variances = values[keep].square()
            self._basis = right[keep].T
            self.Z = left[:, keep] * values[keep]
            return
        is_wide = n < n_features
        values, vectors = torch.linalg.eigh(X @ X.T if is_wide else X.T @ X)
        largest = float(values[-1]) if len(values) else 0.0
        keep = values > _RANK_TOLERANCE * largest if largest > 0 else torch.zeros_like(values, dtype=torch.bool)
        self.variances = values[keep]
        vectors = vectors[:, keep]
        if is_wide:
            lengths = self.variances.sqrt()
            self.Z = vectors * lengths
            self._by_rows = X, vectors / lengths  # the basis is their product, not worth forming
        else:
            self._basis = vectors
            self.Z = X @ vectors

    def to_features(self, V: torch.Tensor) -> torch.Tensor:
        """Weights on the features (D, K) of weights on the coordinates (r, K)."""
        if self._by_rows is None:
            return self._basis @ V
        X, coefficients = self._by_rows
        return X.T @ (coefficients @ V)

    def from_features(self, W: torch.Tensor) -> torch.Tensor:
        """Weights on the coordinates: the part of `W` that lies in the rows' span."""
        if self._by_rows is None:
            return self._basis.T @ W
        X, coefficients = self._by_rows
        return coefficients.T @ (X @ W)

    def mean_logits(self, W: torch.Tensor) -> torch.Tensor:
        """What the mean row adds to the logits (K,)."""
        return W.new_zeros(W.shape[1]) if self._mean is None else self._mean @ W
