"""What a strategy may know of the pool, computed when first asked for and only once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import softmax
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples, check_is_fitted

from skmmal.modalities import MultimodalArray, as_multimodal, is_multimodal, presence_mask
from skmmal.query._committee import as_classifier
from skmmal.query._linear_head import LinearHead, find_linear_head, fit_stand_in, log_probabilities
from skmmal.query._posterior import (
    LaplacePosterior,
    committee_probabilities,
    dropout_probabilities,
    has_dropout,
    is_committee,
)

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

    @cached_property
    def labeled_probabilities(self) -> np.ndarray:
        """Class probabilities of the labelled rows, shape (L, K); without labelled rows L is 0."""
        if self._X_labeled is None or _num_samples(self._X_labeled) == 0:
            return np.empty((0, self.probabilities.shape[1]))
        X = self._apply_steps(self._X_labeled)
        return _check_probabilities(self.final, self._method("predict_proba")(X), _num_samples(X), "X_labeled")

    @cached_property
    def labeled_codes(self) -> np.ndarray:
        """Columns of the labelled rows' classes, shape (L,); without `y_labeled`, of their predicted classes."""
        if self.y_labeled is None or len(self.labeled_probabilities) == 0:
            return self.labeled_probabilities.argmax(axis=1)
        names = getattr(getattr(self.final, "_committee", self.final), "classes_", None)
        if names is None:
            names = np.unique(np.asarray(self.y_labeled))
        codes = pd.Index(names).get_indexer(pd.Index(np.asarray(self.y_labeled)))
        if (codes < 0).any():
            row = int(np.flatnonzero(codes < 0)[0])
            raise ValueError(f"y_labeled has {np.asarray(self.y_labeled)[row]!s} in row {row}, a class the model lacks")
        return codes

    @cached_property
    def linear_head(self) -> LinearHead:
        """Weights (K, D) and intercepts (K,) of the fused head.

        Where the probabilities are not the softmax of a linear map of the embedding, a ridge regression of their
        logarithms on the pool's embedding stands in.
        """
        self.check_fitted()
        found = find_linear_head(self.final, [block.shape[1] for block in self.embedding], self.probabilities.shape[1])
        if found is not None:
            weights, intercepts = found
            predicted = softmax(self.points @ weights.T + intercepts, axis=1)
            if np.allclose(predicted, self.probabilities, atol=1e-5):
                return found
        return fit_stand_in(self.points, self.probabilities)

    @cached_property
    def logits(self) -> np.ndarray:
        """Logarithms of the probabilities: the logits up to a constant per row, shape (N, K)."""
        return log_probabilities(self.probabilities)

    def monte_carlo_probabilities(
        self, n_samples: int, rng: np.random.RandomState, source: str = "auto", *, joint: bool = False
    ) -> Iterator[np.ndarray]:
        """Class probabilities under draws from the model's posterior, one array of shape (N, K) after the other.

        Parameters
        ----------
        n_samples : int
            Draws; a committee gives as many as it has members.
        rng : RandomState
        source : {"auto", "committee", "dropout", "laplace"}
            ``"committee"``: the members of a committee or of a scikit-learn forest, bagging or voting ensemble.
            ``"dropout"``: passes with dropout on (on the CPU). ``"laplace"``: a Laplace posterior of the fused head
            (see `skmmal.query.BALD`). ``"auto"``: the first of the three that the estimator has.
        joint : bool
            Whether a draw is one network for all rows. By default it need only be right for each row on its own.

        Yields
        ------
        ndarray of float64, shape (N, K)

        Raises
        ------
        ValueError
            The estimator has no members or no dropout, and `source` asks for them.
        """
        n_classes = self.probabilities.shape[1]
        name = type(self.final).__name__
        if source == "auto":
            source = "committee" if is_committee(self.final) else "dropout" if has_dropout(self.final) else "laplace"
        if source == "committee":
            if not is_committee(self.final):
                raise ValueError(f"source='committee', but {name} has no members that predict on their own")
            return committee_probabilities(self.final, self._X, n_classes)
        if source == "dropout":
            if not has_dropout(self.final):
                raise ValueError(f"source='dropout', but {name} has no dropout")
            return dropout_probabilities(self.final, self._X, n_samples, rng, joint=joint)
        sample = self.laplace.joint_samples if joint else self.laplace.marginal_samples
        return sample(self.logits, self.points, n_samples, rng)

    @cached_property
    def laplace(self) -> LaplacePosterior:
        """Laplace posterior of the fused head, from the labelled rows; its prior has precision 1 / C (or 1)."""
        labelled = self.labeled_points
        C = getattr(self.final, "C", 1.0)
        return LaplacePosterior(
            np.empty((0, self.points.shape[1])) if labelled is None else labelled, self.labeled_probabilities, 1.0 / C
        )

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

    @cached_property
    def points(self) -> np.ndarray:
        """The embedding as one matrix, shape (N, D)."""
        return np.concatenate(self.embedding, axis=1)

    @cached_property
    def labeled_points(self) -> np.ndarray | None:
        """The labelled rows' embedding as one matrix, shape (L, D), or ``None`` without any."""
        return None if self.labeled_embedding is None else np.concatenate(self.labeled_embedding, axis=1)

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


def _check_probabilities(final: Any, probabilities: Any, n_rows: int, argument: str = "X_pool") -> np.ndarray:
    array = np.asarray(probabilities, dtype=np.float64)
    if array.ndim != 2 or len(array) != n_rows:
        raise ValueError(
            f"{type(final).__name__}.predict_proba returned shape {array.shape}, expected ({n_rows}, n_classes)"
        )
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(f"{type(final).__name__}.predict_proba is not finite in row {bad[0]} of {argument}")
    return array
