"""Weights of a fused head that is linear in the features, in scikit-learn's form."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

__all__ = ["CoefficientsMixin"]


class CoefficientsMixin:
    """`coef_` and `intercept_` of a classifier whose network (`module_`) ends in a linear fused head."""

    @property
    def coef_(self: Any) -> np.ndarray:
        """Weights of the fused head, shape (n_classes, n_features), or (1, n_features) with two classes."""
        weights, _ = _fused_head(self, "coef_")
        coefficients = np.zeros((len(weights), self.n_features_in_))
        start = 0
        for columns, width in zip(self.modalities_.values(), self.module_.head.widths, strict=True):
            coefficients[:, columns] = weights[:, start : start + width]
            start += width
        return coefficients

    @property
    def intercept_(self) -> np.ndarray:
        """Intercepts of the fused head, shape (n_classes,), or (1,) with two classes."""
        return _fused_head(self, "intercept_")[1]


def _fused_head(classifier: Any, asked: str) -> tuple[np.ndarray, np.ndarray]:
    """Weights and intercepts; with two classes, the second one's less the first one's."""
    check_is_fitted(classifier)
    module = classifier.module_
    if not module.head.linear or any(True for _ in module.encoders.parameters()):
        why = f"fusion={classifier.fusion!r}, encoder_dim={classifier.encoder_dim!r}"
        raise AttributeError(
            f"{type(classifier).__name__} has no {asked}: its fused head is not linear in the features ({why}); it is "
            "with fusion='concat' or 'sum' and without encoders"
        )
    weights, intercepts = (tensor.detach().numpy() for tensor in module.head.last_layer())
    if len(weights) == 2:
        return weights[1:] - weights[:1], intercepts[1:] - intercepts[:1]
    return weights.copy(), intercepts.copy()
