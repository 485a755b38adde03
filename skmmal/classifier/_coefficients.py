"""Weights of a fused head that is linear in the features, in scikit-learn's form."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmmal.heads import LinearHeads

__all__ = ["CoefficientsMixin"]


class CoefficientsMixin:
    """`coef_` and `intercept_` of a classifier whose fused head is linear in the features."""

    @property
    def coef_(self: Any) -> np.ndarray:
        """Weights of the fused head, shape (n_classes, n_features), or (1, n_features) with two classes."""
        weights, _, widths = _fused_head(self, "coef_")
        coefficients = np.zeros((len(weights), self.n_features_in_))
        start = 0
        for columns, width in zip(self.modalities_.values(), widths, strict=True):
            coefficients[:, columns] = weights[:, start : start + width]
            start += width
        return coefficients

    @property
    def intercept_(self) -> np.ndarray:
        """Intercepts of the fused head, shape (n_classes,), or (1,) with two classes."""
        return _fused_head(self, "intercept_")[1]


def _fused_head(classifier: Any, asked: str) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Weights, intercepts and the modalities' widths; with two classes, the second one's less the first one's."""
    check_is_fitted(classifier)
    heads = classifier.heads_
    if isinstance(heads, LinearHeads):
        weights, intercepts, widths = heads.fused.weight, heads.fused.intercept, heads.widths
    elif heads.head.linear and not any(True for _ in heads.encoders.parameters()):
        weights, intercepts = (tensor.detach().numpy() for tensor in heads.head.last_layer())
        widths = heads.head.widths
    else:
        why = f"fusion={classifier.fusion!r}, encoder_dim={classifier.encoder_dim!r}"
        raise AttributeError(
            f"{type(classifier).__name__} has no {asked}: its fused head is not linear in the features ({why}); it is "
            "with fusion='concat' or 'sum' and without encoders"
        )
    if len(weights) == 2 and not classifier.multilabel_:
        return weights[1:] - weights[:1], intercepts[1:] - intercepts[:1], widths
    return weights.copy(), intercepts.copy(), widths
