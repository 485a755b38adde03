"""A head as a linear map of its embedding, where it is one, and a linear stand-in where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.linear_model import Ridge

from skmmal.heads import AdditiveFusion, Fusion
from skmmal.heads.classes import known_classes
from skmmal.heads.modules import UNSEEN_LOGIT

__all__ = ["find_linear_head", "find_modality_head", "fit_stand_in", "log_probabilities"]

LinearHead = tuple[np.ndarray, np.ndarray]
"""Weights (K, D) and intercepts (K,)."""


def find_linear_head(final: Any, widths: list[int], n_classes: int) -> LinearHead | None:
    """Read weights and intercepts off a fitted classifier; ``None`` where it is not linear in its embedding."""
    head = getattr(getattr(final, "module_", None), "head", None)
    if isinstance(head, AdditiveFusion):  # one layer for all modalities, which sees their sum
        return _of_layer(head.fused)
    if isinstance(head, Fusion):
        with torch.inference_mode():
            found = head.last_layer()
            return None if found is None else (found[0].numpy().copy(), found[1].numpy().copy())
    weights, intercepts = getattr(final, "coef_", None), getattr(final, "intercept_", None)
    if hasattr(final, "embed") or weights is None or intercepts is None or np.ndim(weights) != 2:
        return None
    weights, intercepts = np.asarray(weights, dtype=np.float64), np.atleast_1d(np.asarray(intercepts, dtype=np.float64))
    if len(weights) == 1 and n_classes == 2:  # scikit-learn keeps the second class's row alone
        weights, intercepts = np.vstack([0.0 * weights, weights]), np.append(0.0, intercepts)
    return (weights, intercepts) if weights.shape == (n_classes, sum(widths)) else None


def find_modality_head(final: Any, index: int, width: int) -> LinearHead | None:
    """Read weights and intercepts of a modality's own classifier; ``None`` where it is not one linear layer."""
    head = getattr(getattr(final, "module_", None), "head", None)
    layers = getattr(head, "unimodal", None)
    layer = None if layers is None or index >= len(layers) else layers[index]
    if not isinstance(layer, torch.nn.Linear) or layer.in_features != width:
        return None
    weights, intercepts = _of_layer(layer)
    if isinstance(head, Fusion):  # a layer that the fused head shares says something of classes unknown to this head
        unknown = ~known_classes(head)[index + 1].cpu().numpy()
        weights[unknown], intercepts[unknown] = 0.0, UNSEEN_LOGIT
    return weights, intercepts


def _of_layer(layer: torch.nn.Linear) -> LinearHead:
    return layer.weight.detach().cpu().double().numpy().copy(), layer.bias.detach().cpu().double().numpy().copy()


def fit_stand_in(points: np.ndarray, probabilities: np.ndarray) -> LinearHead:
    """Ridge regression (penalty 1) of the log-probabilities on the embedding."""
    fitted = Ridge(alpha=1.0).fit(points, log_probabilities(probabilities))
    weights = np.asarray(fitted.coef_, dtype=np.float64).reshape(probabilities.shape[1], points.shape[1])
    return weights, np.full(len(weights), fitted.intercept_, dtype=np.float64)


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Logarithms, with zero taken as the smallest normal number."""
    return np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
