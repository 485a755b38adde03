"""How estimators take X: any accepted form in, a `MultimodalArray` out, with scikit-learn's bookkeeping."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skmmal._arrays import naming
from skmmal.modalities import (
    Layout,
    MultimodalArray,
    as_multimodal,
    is_multimodal,
    presence_mask,
    resolve_layout,
    unpack,
)


def validate_features(estimator: Any, X: Any, *, reset: bool) -> MultimodalArray:
    """Return `X` as a `MultimodalArray` and set or check what the estimator knows of its features.

    On `reset`, sets ``modalities_`` (name to columns), ``n_features_in_`` and, for frames,
    ``feature_names_in_``; otherwise checks `X` against them and brings its modalities into the fitted order.
    A fitted estimator takes blocks where it was fitted on a matrix, and the other way round.
    """
    if is_multimodal(X):
        return _validate_blocks(estimator, X, reset)
    if hasattr(X, "detach"):
        X = X.detach().cpu().numpy()
    names = list(X.columns) if isinstance(X, pd.DataFrame) else None
    with naming("X"):
        matrix = validate_data(estimator, X, reset=reset, dtype="numeric", ensure_all_finite=False)
    if reset:
        layout = resolve_layout(estimator.modalities, matrix.shape[1], names)
        _remember(estimator, layout)
    return unpack(matrix, Layout(estimator.modalities_, _grids(estimator._widths)))


def fitted_features(estimator: Any, X: Any) -> tuple[MultimodalArray, np.ndarray]:
    """Return X as a fitted estimator sees it, and which modality is there in which row."""
    check_is_fitted(estimator)
    features = validate_features(estimator, X, reset=False)
    return features, presence_mask(features)


class BlockTransformer(TransformerMixin, BaseEstimator):
    """Transformer that makes a new block of every modality's block, row by row."""

    modalities: Any

    def transform(self, X: Any) -> Any:
        """Transform every modality.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)

        Returns
        -------
        MultimodalArray or ndarray
            A matrix for a plain matrix, a `MultimodalArray` for the other forms. Missing blocks stay missing (NaN).
        """
        features, present = fitted_features(self, X)
        blocks = {
            name: self._transform_block(name, block, present[:, index])
            for index, (name, block) in enumerate(features.blocks.items())
        }
        return self._as_blocks(blocks, features) if is_multimodal(X) else self._as_matrix(blocks)

    @abstractmethod
    def _transform_block(self, name: str, block: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Rows of the new block, NaN where the modality is absent."""

    def _as_blocks(self, blocks: dict[str, np.ndarray], features: MultimodalArray) -> MultimodalArray:
        return MultimodalArray(blocks)

    def _as_matrix(self, blocks: dict[str, np.ndarray]) -> np.ndarray:
        return np.hstack(list(blocks.values()))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.modalities is not None
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _validate_blocks(estimator: Any, X: Any, reset: bool) -> MultimodalArray:
    names = _frame_names(X) if isinstance(X, pd.DataFrame) else None
    if reset:
        features = as_multimodal(X, estimator.modalities)
        if len(features) == 0:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        _remember(estimator, features.layout)
        estimator.n_features_in_ = features.shape[1]
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
        estimator._block_feature_names = names
        return features
    features = as_multimodal(X, estimator._widths)
    if len(features) == 0:
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
    fitted = getattr(estimator, "_block_feature_names", None)
    if names is not None and fitted is not None:
        for modality, expected in fitted.items():
            if names[modality] != expected:
                raise ValueError(
                    f"modality {modality!r}: the feature names should match those that were passed during fit "
                    f"(expected {expected[:5]}..., found {names[modality][:5]}...)"
                )
    return features


def _remember(estimator: Any, layout: Layout) -> None:
    estimator.modalities_ = layout.columns
    estimator._widths = layout.widths
    estimator._block_feature_names = None


def _grids(widths: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {name: width for name, width in widths.items() if isinstance(width, tuple)}


def _frame_names(frame: pd.DataFrame) -> dict[str, list]:
    return {name: list(frame[name].columns) for name in dict.fromkeys(frame.columns.get_level_values(0))}
