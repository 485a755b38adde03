"""The active learner: an estimator, a strategy, and the rows labelled so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_consistent_length

from skmmal._alone import modalities_of, warn_if_lost
from skmmal._arrays import naming, off_device
from skmmal._containers import countable, n_rows_of, stack_labels, stack_rows, take_rows
from skmmal._random import RandomState, check_rng
from skmmal._rows import check_same_rows, rows_of
from skmmal.query import LeastConfidenceSampling, QueryStrategy, get_strategy

__all__ = ["ActiveLearner"]


class ActiveLearner(BaseEstimator):
    """Pool-based active learner with modAL's surface.

    Parameters
    ----------
    estimator : classifier
        Fitted in place by `teach` and `fit`.
    query_strategy : QueryStrategy, str or callable, default=None
        One of ours, its name, or any function of modAL's form ``f(learner, X_pool, **kwargs)`` that returns indices or
        a pair (indices, metrics). ``None`` is least confidence, modAL's default.
    X_training, y_training : optional
        Rows that are labelled already; the estimator is fitted on them at once.
    bootstrap_init : bool, default=False
        Fit that first time on a bootstrap sample of them.
    on_transformed : bool, default=False
        Let the strategy see a Pipeline's last step and X transformed by the others, instead of the Pipeline and X.
        Our own strategies look through Pipelines either way.
    random_state : int, RandomState, Generator or None
        Draws bootstrap samples.
    **fit_kwargs
        Passed to every fit, for example ``classes=``, where the first labels do not cover all classes.

    Attributes
    ----------
    X_training, y_training
        All rows labelled so far, in the container the first ones came in.

    Notes
    -----
    X may be anything the estimator takes: arrays, DataFrames, `MultimodalArray`, mappings of blocks, tensors, sparse
    matrices, lists. Without training data, strategies that need no model can choose the first batch. The names follow
    modAL 0.4.2; unlike there, a strategy is called exactly once in a query, errors are not swallowed, `clone` works,
    and current scikit-learn and pandas do.

    Examples
    --------
    >>> from skmmal import ActiveLearner, LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import BMMAL
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> strategy = BMMAL(random_state=0)
    >>> learner = ActiveLearner(LateFusionClassifier(), strategy, X[:1000:20], y[:1000:20], classes=range(10))
    >>> rows, instances = learner.query(X[1000:], n_instances=20)
    >>> learner.teach(instances, y[1000:][rows])
    >>> len(learner.y_training)
    70
    """

    def __init__(
        self,
        estimator: Any,
        query_strategy: QueryStrategy | str | Callable[..., Any] | None = None,
        X_training: Any = None,
        y_training: Any = None,
        bootstrap_init: bool = False,
        on_transformed: bool = False,
        *,
        random_state: RandomState = None,
        **fit_kwargs: Any,
    ) -> None:
        self.estimator = estimator
        self.query_strategy = query_strategy
        self.X_training = X_training
        self.y_training = y_training
        self.bootstrap_init = bootstrap_init
        self.on_transformed = on_transformed
        self.random_state = random_state
        self._fit_kwargs = fit_kwargs
        if (X_training is None) != (y_training is None):
            given, absent = ("X_training", "y_training") if y_training is None else ("y_training", "X_training")
            raise ValueError(f"{given} is given, {absent} is not; give both or neither")
        if X_training is not None:
            _check_pair(X_training, y_training)
            self._fit(X_training, y_training, bootstrap_init, {})

    # fit_kwargs are constructor arguments too, so that clone keeps them
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments, those for fitting among them."""
        return {**super().get_params(deep), **self._fit_kwargs}

    def set_params(self, **params: Any) -> ActiveLearner:
        """Set constructor arguments; names that are not the learner's own go to every fit."""
        own = {name: value for name, value in params.items() if name.split("__")[0] in self._get_param_names()}
        self._fit_kwargs.update({name: value for name, value in params.items() if name not in own})
        return super().set_params(**own)

    # -------------------------------------------------------------------------------------------------- asking

    def query(self, X_pool: Any, *query_args: Any, return_metrics: bool = False, **query_kwargs: Any) -> tuple:
        """Ask which rows of the pool to label next.

        Parameters
        ----------
        X_pool : array-like, DataFrame, mapping, MultimodalArray, tensor or sparse matrix
            The unlabelled rows.
        *query_args, **query_kwargs
            Passed to the strategy, for example ``n_instances=20``.
        return_metrics : bool, default=False
            Whether to return the strategy's scores too.

        Returns
        -------
        indices : ndarray of int
            Rows of `X_pool`.
        instances
            Those rows, in the container of `X_pool`.
        metrics : ndarray or None
            Only with `return_metrics`: the score of each row, ``None`` where the strategy gives none.
        """
        strategy = self._strategy()
        learner, pool = self, X_pool
        if self.on_transformed and hasattr(self.estimator, "steps"):
            learner, pool = self._behind_the_steps(X_pool)
        result = strategy(learner, pool, *query_args, **query_kwargs)
        indices, metrics = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
        instances = take_rows(X_pool, np.asarray(indices))
        return (indices, instances, metrics) if return_metrics else (indices, instances)

    def _strategy(self) -> Callable[..., Any]:
        if self.query_strategy is None:
            return LeastConfidenceSampling()
        if isinstance(self.query_strategy, str):
            return get_strategy(self.query_strategy)
        if isinstance(self.query_strategy, type):
            name = self.query_strategy.__name__
            raise TypeError(f"query_strategy is the class {name}; give an object, {name}()")
        if not callable(self.query_strategy):
            raise TypeError(f"query_strategy must be a strategy, a name or a callable, got {self.query_strategy!r}")
        return self.query_strategy

    def _behind_the_steps(self, X_pool: Any) -> tuple[ActiveLearner, Any]:
        """A learner whose estimator is the Pipeline's last step, and the pool as that step sees it."""
        steps, final = self.estimator[:-1], self.estimator[-1]
        inner = ActiveLearner(final, self.query_strategy)
        inner.X_training = None if self.X_training is None else steps.transform(self.X_training)
        inner.y_training = self.y_training
        return inner, steps.transform(X_pool)

    # ------------------------------------------------------------------------------------------------ learning

    def teach(self, X: Any, y: Any, bootstrap: bool = False, only_new: bool = False, **fit_kwargs: Any) -> None:
        """Add labelled rows and fit again.

        Parameters
        ----------
        X : array-like, DataFrame, mapping, MultimodalArray, tensor or sparse matrix
        y : array-like of shape (n_samples,)
        bootstrap : bool, default=False
            Fit on a bootstrap sample of the rows.
        only_new : bool, default=False
            Fit on the new rows alone, and do not keep them (modAL's meaning).
        **fit_kwargs
            Passed to the estimator's `fit`, after those of the constructor.
        """
        _check_pair(X, y)
        if only_new:
            self._fit(X, y, bootstrap, fit_kwargs)
            return
        X_all, y_all = X, y
        if self.X_training is not None:
            X_all, y_all = stack_rows(self.X_training, X), stack_labels(self.y_training, y)
        self._fit(X_all, y_all, bootstrap, fit_kwargs)
        # kept only once the fit has succeeded: a failed one can be repeated
        self.X_training, self.y_training = X_all, y_all

    def fit(self, X: Any, y: Any, bootstrap: bool = False, **fit_kwargs: Any) -> ActiveLearner:
        """Replace the labelled rows and fit.

        Parameters
        ----------
        X, y, bootstrap, **fit_kwargs
            As in `teach`.

        Returns
        -------
        ActiveLearner
        """
        _check_pair(X, y)
        self._fit(X, y, bootstrap, fit_kwargs)
        self.X_training, self.y_training = X, y
        return self

    def _fit(self, X: Any, y: Any, bootstrap: bool, fit_kwargs: dict[str, Any]) -> None:
        if bootstrap:
            n_rows = n_rows_of(X)
            rows = check_rng(self.random_state).randint(n_rows, size=n_rows)
            X, y = take_rows(X, rows), take_rows(y, rows)
        self.estimator.fit(X, y, **{**self._fit_kwargs, **fit_kwargs})
        warn_if_lost(X, modalities_of(self.estimator), stacklevel=3)

    # --------------------------------------------------------------------------------------------- predicting

    def predict(self, X: Any, **predict_kwargs: Any) -> Any:
        """Call the estimator's `predict`."""
        return self.estimator.predict(X, **predict_kwargs)

    def predict_proba(self, X: Any, **predict_proba_kwargs: Any) -> Any:
        """Call the estimator's `predict_proba`."""
        return self.estimator.predict_proba(X, **predict_proba_kwargs)

    def score(self, X: Any, y: Any, **score_kwargs: Any) -> float:
        """Call the estimator's `score`."""
        return self.estimator.score(X, y, **score_kwargs)

    def __sklearn_is_fitted__(self) -> bool:
        return self.X_training is not None


def _check_pair(X: Any, y: Any) -> None:
    for argument, value in (("X", X), ("y", y)):
        if value is None:
            raise ValueError(f"{argument} is None; rows and their labels are needed")
    with naming("X and y"):
        check_consistent_length(countable(X), off_device(y))
    check_same_rows({**rows_of(X, "X"), "y": y})
