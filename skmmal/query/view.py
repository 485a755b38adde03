"""What a strategy may know of the pool, computed when first asked for and only once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples, check_is_fitted

from skmmal.modalities import MultimodalArray, as_multimodal, is_multimodal, presence_mask
from skmmal.query._committee import as_classifier

__all__ = ["PoolView"]


class PoolView:
    """Lazy view of a pool through an estimator.

    The view alone knows about pipelines (the steps before the last are applied), searches (their best estimator
    is used), committees, plain scikit-learn classifiers (their embedding is X itself) and missing modalities
    (zero in every embedding).

    Parameters
    ----------
    estimator : classifier or None
    X_pool : array-like, DataFrame, mapping or MultimodalArray
    X_labeled, y_labeled : optional
        The labelled rows.
    """

    def __init__(self, estimator: Any, X_pool: Any, X_labeled: Any = None, y_labeled: Any = None) -> None:
        self.estimator = getattr(estimator, "best_estimator_", estimator)
        if isinstance(self.estimator, Pipeline):
            self._steps, final = self.estimator[:-1], self.estimator[-1]
        else:
            self._steps, final = None, self.estimator
        self.final = as_classifier(final)
        self._X_pool = _as_container(X_pool, "X_pool")
        self._n_rows = _num_samples(self._X_pool)
        self._X_labeled = None if X_labeled is None else _as_container(X_labeled, "X_labeled")
        self.y_labeled = y_labeled
        if X_labeled is not None and y_labeled is not None and _num_samples(self._X_labeled) != len(y_labeled):
            raise ValueError(f"X_labeled has {_num_samples(self._X_labeled)} rows, y_labeled has {len(y_labeled)}")

    def __len__(self) -> int:
        return self._n_rows

    # ---------------------------------------------------------------------------------------------- the model

    @cached_property
    def is_fitted(self) -> bool:
        """Whether there is a fitted model."""
        if self.final is None:
            return False
        try:
            check_is_fitted(self.final)
        except NotFittedError:
            return False
        except TypeError:  # not a scikit-learn estimator: it says so itself when it is used
            return True
        return True

    def check_fitted(self) -> None:
        """Raise `NotFittedError` where there is no fitted model."""
        if not self.is_fitted:
            name = "the estimator" if self.final is None else type(self.final).__name__
            raise NotFittedError(f"{name} is not fitted yet, and this strategy needs a model: fit it on labelled rows")

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Class probabilities of the fused head, shape (N, K), float64."""
        self.check_fitted()
        return _check_probabilities(self.final, self._method("predict_proba")(self._X), len(self))

    @cached_property
    def contributions(self) -> np.ndarray:
        """Contribution of each modality to the predicted class's probability, shape (N, M)."""
        self.check_fitted()
        return np.asarray(self._method("modality_contributions")(self._X))

    @cached_property
    def gradient_residuals(self) -> np.ndarray:
        """Gradient of the cross-entropy, at the predicted class, by the logits: ``p − onehot(ŷ)``, shape (N, K)."""
        residuals = self.probabilities.copy()
        residuals[np.arange(len(self)), residuals.argmax(axis=1)] -= 1.0
        return residuals

    def require(self, *methods: str) -> None:
        """Raise `TypeError` if the final estimator lacks one of the methods."""
        for method in methods:
            self._method(method)

    def _method(self, name: str) -> Any:
        method = getattr(self.final, name, None)
        if method is None:
            raise TypeError(
                f"{type(self.final).__name__} has no {name}, which this strategy needs"
                + ("; use a LateFusionClassifier" if name != "predict_proba" else "")
            )
        return method

    # ------------------------------------------------------------------------------------------- the features

    @cached_property
    def _X(self) -> Any:
        """The pool as the final estimator sees it."""
        return self._apply_steps(self._X_pool)

    def _apply_steps(self, X: Any) -> Any:
        return self._steps.transform(X) if self._steps is not None and len(self._steps) and self.is_fitted else X

    @cached_property
    def embedding(self) -> list[np.ndarray]:
        """What the fused head sees of each modality: M blocks of shapes (N, D_m), absent rows zero."""
        return self._embed(self._X)

    @cached_property
    def labeled_embedding(self) -> list[np.ndarray] | None:
        """The labelled rows' embedding, or ``None`` without any."""
        if self._X_labeled is None or _num_samples(self._X_labeled) == 0:
            return None
        return self._embed(self._apply_steps(self._X_labeled))

    def _embed(self, X: Any) -> list[np.ndarray]:
        if self.is_fitted and hasattr(self.final, "embed"):
            return list(self.final.embed(X).values())
        if sparse.issparse(X):
            return [X.toarray()]
        features = as_multimodal(X, None if is_multimodal(X) else getattr(self.final, "modalities", None))
        present = presence_mask(features)
        return [_zero_absent(block, present[:, m]) for m, block in enumerate(features.blocks.values())]


def _as_container(X: Any, argument: str) -> Any:
    """A mapping as one container (so that any classifier takes it); everything else as it is."""
    if isinstance(X, Mapping) and not sparse.issparse(X):
        return MultimodalArray(X)
    if hasattr(X, "detach"):
        X = X.detach().cpu().numpy()
    shape = getattr(X, "shape", None) or np.shape(X)
    if len(shape) != 2:
        raise ValueError(f"{argument} must have shape (n_samples, n_features), found {tuple(shape)}")
    return X


def _zero_absent(block: np.ndarray, present: np.ndarray) -> np.ndarray:
    if present.all():
        return block
    values = block.copy()
    values[~present] = 0.0
    return values


def _check_probabilities(final: Any, probabilities: Any, n_rows: int) -> np.ndarray:
    array = np.asarray(probabilities, dtype=np.float64)
    if array.ndim != 2 or len(array) != n_rows:
        raise ValueError(
            f"{type(final).__name__}.predict_proba returned shape {array.shape}, expected ({n_rows}, n_classes)"
        )
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(f"{type(final).__name__}.predict_proba is not finite in row {bad[0]} of X_pool")
    return array
