"""The base of all strategies: the public verb, modAL's protocol, and the validation both need."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral
from typing import Any, Literal, overload

import numpy as np
from sklearn.base import BaseEstimator

from skmmal._containers import stack_labels, stack_rows
from skmmal._random import check_rng
from skmmal.query.view import PoolView

__all__ = ["QueryStrategy"]

Selection = tuple[np.ndarray, np.ndarray]
"""Pool rows in the order picked, and the score of each when it was picked."""


class QueryStrategy(BaseEstimator):
    """Base class of query strategies.

    A subclass implements `_select`; everything it may want to know of the pool it asks the view for.
    """

    requires_model = True
    """Whether the strategy needs a fitted estimator."""

    _parameter_constraints: dict = {}

    @abstractmethod
    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        """Pick `n_instances` rows of the pool."""

    @overload
    def query(
        self,
        estimator: Any,
        X_pool: Any,
        n_instances: int = ...,
        *,
        X_labeled: Any = ...,
        y_labeled: Any = ...,
        return_scores: Literal[False] = ...,
    ) -> np.ndarray: ...
    @overload
    def query(
        self,
        estimator: Any,
        X_pool: Any,
        n_instances: int = ...,
        *,
        X_labeled: Any = ...,
        y_labeled: Any = ...,
        return_scores: Literal[True],
    ) -> Selection: ...
    def query(
        self,
        estimator: Any,
        X_pool: Any,
        n_instances: int = 1,
        *,
        X_labeled: Any = None,
        y_labeled: Any = None,
        return_scores: bool = False,
    ) -> np.ndarray | Selection:
        """Choose which rows of the pool to label next.

        Parameters
        ----------
        estimator : classifier
            Fitted (unless the strategy needs no model); it is not changed. A Pipeline's steps before the last are
            applied to X first.
        X_pool : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            The unlabelled rows.
        n_instances : int, default=1
            How many to choose, from 1 to n_samples.
        X_labeled, y_labeled : optional
            The labelled rows, for strategies that keep away from them.
        return_scores : bool, default=False
            Whether to return, too, the score each row had when it was picked (higher is more wanted).

        Returns
        -------
        indices : ndarray of int, shape (n_instances,)
            Distinct rows of `X_pool`, in the order picked.
        scores : ndarray of float64, shape (n_instances,)
            Only with `return_scores`.

        Raises
        ------
        NotFittedError
            The strategy needs a model and `estimator` is not fitted.
        TypeError, ValueError
            `estimator` lacks a method, or an argument cannot be used.
        """
        self._validate_params()
        view = PoolView(estimator, X_pool, X_labeled, y_labeled)
        n_instances = _check_n_instances(n_instances, len(view))
        if self.requires_model:
            view.check_fitted()
        indices, scores = self._select(view, n_instances, check_rng(getattr(self, "random_state", None)))
        return (indices, scores) if return_scores else indices

    def __call__(self, learner: Any, X_pool: Any, n_instances: int = 1, **kwargs: Any) -> Selection:
        """ModAL's protocol: choose for a learner, and return a pair.

        Parameters
        ----------
        learner : modAL or skmmal learner, modAL committee, or classifier
            Its estimator is used, and the training data it holds.
        X_pool : array-like
        n_instances : int, default=1
        **kwargs
            Passed to `query`.

        Returns
        -------
        indices : ndarray of int, shape (n_instances,)
        scores : ndarray of float64, shape (n_instances,)
        """
        X_labeled, y_labeled = _training_data(learner)
        kwargs.setdefault("X_labeled", X_labeled)
        kwargs.setdefault("y_labeled", y_labeled)
        estimator = getattr(learner, "estimator", learner) if _is_learner(learner) else learner
        return self.query(estimator, X_pool, n_instances, **{**kwargs, "return_scores": True})


def _is_learner(learner: Any) -> bool:
    # meta-estimators have an .estimator too, but only learners teach
    return hasattr(learner, "teach") and hasattr(learner, "estimator")


def _training_data(learner: Any) -> tuple[Any, Any]:
    """The labelled rows a learner holds, or the members of a committee hold together."""
    holders = getattr(learner, "learner_list", [learner])
    held = [
        (holder.X_training, holder.y_training) for holder in holders if getattr(holder, "X_training", None) is not None
    ]
    if not held:
        return None, None
    X, y = held[0]
    for more_X, more_y in held[1:]:
        X, y = stack_rows(X, more_X), stack_labels(y, more_y)
    return X, y


def _check_n_instances(n_instances: Any, n_pool: int) -> int:
    if not isinstance(n_instances, Integral) or isinstance(n_instances, bool):
        raise TypeError(f"n_instances must be an integer, got {n_instances!r}")
    if n_pool == 0:
        raise ValueError(f"X_pool is empty, and n_instances={n_instances}: there is nothing to choose from")
    if not 1 <= int(n_instances) <= n_pool:
        raise ValueError(f"n_instances={n_instances}, but it must be from 1 to the {n_pool} rows of X_pool")
    return int(n_instances)


def highest(scores: np.ndarray, n_instances: int) -> Selection:
    """Rows of highest score, highest first; on ties the lowest index."""
    order = np.argsort(-scores, kind="stable")[:n_instances]
    return order, scores[order]
