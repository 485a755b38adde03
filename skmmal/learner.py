"""The active learner: an estimator, a strategy, and the rows labelled so far."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_consistent_length

from skmmal._alone import modalities_of, warn_if_lost
from skmmal._arrays import boolean, naming, off_device, own_rows
from skmmal._containers import as_read, countable, n_rows_of, stack_labels, stack_rows, take_rows
from skmmal._fit_arguments import check_fit_arguments
from skmmal._fitted import check_estimator, known_fitted, open_model
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
        Passed to every fit, for example ``classes=``, where the first labels do not cover all classes. A name that the
        estimator's `fit` does not take is an error.

    Attributes
    ----------
    X_training, y_training
        All rows labelled so far, in the container the first ones came in.

    Notes
    -----
    X may be anything the estimator takes: arrays of two and more dimensions, DataFrames, `MultimodalArray`, mappings of
    blocks, tensors, sparse matrices, lists; texts (in a list, a Series, an array, polars or Arrow) in front of a
    vectorizer. Without training data, strategies that need no model can choose the first batch. The names follow
    modAL 0.4.2; unlike there, a strategy is called exactly once in a query, errors are not swallowed, `clone` works,
    and current scikit-learn and pandas do.

    A clone is not trained: it holds the rows, and is fitted on them when it is first asked something (`fit` replaces
    them before). `teach` fits on all rows that the learner holds. Where it holds none, an estimator that came trained
    forgets what it knows, and a warning says so.

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
        self._trained_later = False
        boolean(bootstrap_init, "bootstrap_init")
        boolean(on_transformed, "on_transformed")
        check_fit_arguments("ActiveLearner", fit_kwargs, self._get_param_names(), estimator)
        if (X_training is None) != (y_training is None):
            given, absent = ("X_training", "y_training") if y_training is None else ("y_training", "X_training")
            raise ValueError(f"{given} is given, {absent} is not; give both or neither")
        if X_training is not None:
            _check_pair(X_training, y_training)
            self._fit(X_training, y_training, bootstrap_init, {})

    def __sklearn_clone__(self) -> ActiveLearner:
        # a clone is not trained: it holds the rows, and is fitted on them when it is first asked something
        params = {name: clone(value, safe=False) for name, value in self.get_params(deep=False).items()}
        rows = {name: params.pop(name) for name in ("X_training", "y_training")}
        copy = type(self)(**params)
        copy.X_training, copy.y_training = rows["X_training"], rows["y_training"]
        copy._trained_later = copy.X_training is not None
        if hasattr(self, "_metadata_request"):
            copy._metadata_request = deepcopy(self._metadata_request)
        return copy

    # fit_kwargs are constructor arguments too, so that clone keeps them
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments, those for fitting among them."""
        return {**super().get_params(deep), **self._fit_kwargs}

    def set_params(self, **params: Any) -> ActiveLearner:
        """Set constructor arguments; names that are not the learner's own go to every fit.

        Raises
        ------
        TypeError
            A name is neither the learner's nor one that the estimator's `fit` takes.
        """
        own = {name: value for name, value in params.items() if name.split("__")[0] in self._get_param_names()}
        others = {name: value for name, value in params.items() if name not in own}
        check_fit_arguments("ActiveLearner", others, self._get_param_names(), own.get("estimator", self.estimator))
        self._fit_kwargs.update(others)
        return super().set_params(**own)

    # -------------------------------------------------------------------------------------------------- asking

    def query(self, X_pool: Any, *query_args: Any, return_metrics: bool = False, **query_kwargs: Any) -> tuple:
        """Ask which rows of the pool to label next.

        Parameters
        ----------
        X_pool : array-like, DataFrame, mapping, MultimodalArray, tensor, sparse matrix, or texts in a list or Series
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
        boolean(return_metrics, "return_metrics")
        strategy = self._strategy()
        self._train()
        learner, pool = self, X_pool
        if self.on_transformed and open_model(self.estimator).steps:
            learner, pool = self._behind_the_steps(X_pool)
        result = strategy(learner, pool, *query_args, **query_kwargs)
        # two numbers are two rows, not a row and its score
        pair = isinstance(result, tuple) and len(result) == 2 and not all(np.ndim(part) == 0 for part in result)
        indices, metrics = result if pair else (result, None)
        _check_rows(indices, n_rows_of(X_pool))
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
        opened = open_model(self.estimator)
        if known_fitted(opened.final) is False and not opened.steps_are_fitted:
            opened = opened.with_fitted_steps(X_pool)
        inner = ActiveLearner(opened.final, self.query_strategy)
        inner.X_training = None if self.X_training is None else opened.transform(self.X_training)
        inner.y_training = self.y_training
        return inner, opened.transform(X_pool)

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
            Fit on the new rows alone, and do not keep them (modAL's meaning). A `LateFusionClassifier` with
            ``warm_start="anchor"`` then stays near the model that there is at this call.
        **fit_kwargs
            Passed to the estimator's `fit`, after those of the constructor.

        Warns
        -----
        UserWarning
            The estimator is fitted already, and is now fitted on the new rows alone (with `only_new`, or where the
            learner holds none from before): it forgets the others. With ``warm_start="anchor"`` it does not.
        """
        boolean(bootstrap, "bootstrap")
        boolean(only_new, "only_new")
        check_fit_arguments("teach", fit_kwargs, ("bootstrap", "only_new", *self._fit_kwargs), self.estimator)
        _check_pair(X, y)
        if (only_new or self.X_training is None) and _forgets(self.estimator):
            warnings.warn(_forgetting(self.estimator, n_rows_of(X), only_new), UserWarning, stacklevel=2)
        if only_new:
            with _anchored_at_present(self.estimator):
                self._fit(X, y, bootstrap, fit_kwargs)
            self._trained_later = False
            return
        X_all, y_all, n_before = X, y, 0
        if self.X_training is not None:
            X_all, y_all = stack_rows(self.X_training, X), stack_labels(self.y_training, y)
            n_before = n_rows_of(self.X_training)
        self._fit(X_all, y_all, bootstrap, fit_kwargs, n_before)
        # kept only once the fit has succeeded: a failed one can be repeated
        self.X_training, self.y_training, self._trained_later = X_all, y_all, False

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
        boolean(bootstrap, "bootstrap")
        check_fit_arguments("fit", fit_kwargs, ("bootstrap", *self._fit_kwargs), self.estimator)
        _check_pair(X, y)
        self._fit(X, y, bootstrap, fit_kwargs)
        self.X_training, self.y_training, self._trained_later = X, y, False
        return self

    def _fit(
        self, X: Any, y: Any, bootstrap: bool, fit_kwargs: dict[str, Any], n_before: int = 0
    ) -> None:
        check_estimator(self.estimator)
        self._require("fit")
        rows = np.arange(n_rows_of(X))
        if bootstrap:
            rows = check_rng(self.random_state).randint(len(rows), size=len(rows))
            X, y = take_rows(X, rows), take_rows(y, rows)
        try:
            self.estimator.fit(as_read(X), as_read(y), **{**self._fit_kwargs, **fit_kwargs})
        except (TypeError, ValueError) as error:
            n_rows = int(rows.max(initial=-1)) + 1
            parts = {"X_training": n_before, "the new rows": n_rows} if n_before else {"": n_rows}
            message = own_rows(str(error), parts, rows)
            if message == str(error):
                raise
            raise (TypeError if isinstance(error, TypeError) else ValueError)(message) from error
        warn_if_lost(X, modalities_of(self.estimator), stacklevel=3)

    def _train(self) -> None:
        """Fit a clone on the rows that it holds, now that it is asked something."""
        if self._trained_later and self.X_training is not None:
            self._fit(self.X_training, self.y_training, self.bootstrap_init, {})
            self._trained_later = False

    def _require(self, method: str) -> Any:
        found = getattr(self.estimator, method, None)
        if found is None:
            raise TypeError(f"{type(self.estimator).__name__} has no {method}, which this needs")
        return found

    # --------------------------------------------------------------------------------------------- predicting

    def predict(self, X: Any, **predict_kwargs: Any) -> Any:
        """Call the estimator's `predict`."""
        self._train()
        return self._require("predict")(as_read(X), **predict_kwargs)

    def predict_proba(self, X: Any, **predict_proba_kwargs: Any) -> Any:
        """Call the estimator's `predict_proba`."""
        self._train()
        return self._require("predict_proba")(as_read(X), **predict_proba_kwargs)

    def score(self, X: Any, y: Any, **score_kwargs: Any) -> float:
        """Call the estimator's `score`."""
        self._train()
        return self._require("score")(as_read(X), y, **score_kwargs)

    def __sklearn_is_fitted__(self) -> bool:
        return self.X_training is not None and not self._trained_later


def _check_pair(X: Any, y: Any) -> None:
    for argument, value in (("X", X), ("y", y)):
        if value is None:
            raise ValueError(f"{argument} is None; rows and their labels are needed")
    with naming("X and y"):
        check_consistent_length(countable(X), off_device(y))
    check_same_rows({**rows_of(X, "X"), "y": y})


def _check_rows(indices: Any, n_rows: int) -> None:
    """Refuse what a strategy of the user's own returned if it would be read as other rows."""
    rows = np.asarray(indices)
    if rows.dtype.kind not in "iu" and rows.size:
        raise TypeError(f"query_strategy must return rows of X_pool as integers, it returned {rows.dtype} values")
    if rows.size and not (rows.min() >= 0 and rows.max() < n_rows):
        raise ValueError(
            f"query_strategy returned row {rows.max() if rows.min() >= 0 else rows.min()}, X_pool has {n_rows} rows"
        )


# ------------------------------------------------------------------------------------------------------ forgetting


def _forgets(estimator: Any) -> bool:
    """Whether the estimator has learned something that its next fit does not keep."""
    opened = open_model(estimator)
    if not opened.searched or getattr(opened.final, "warm_start", False) == "anchor":
        return False
    return bool(known_fitted(opened.final))


@contextmanager
def _anchored_at_present(estimator: Any) -> Iterator[None]:
    """Let an anchored fit stay near the model that there is now: earlier rows do not come again to keep it there."""
    final = getattr(open_model(estimator).final, "__dict__", {})
    former = final.pop("anchor_", None)
    try:
        yield
    except BaseException:
        if former is not None:
            final["anchor_"] = former
        raise


def _forgetting(estimator: Any, n_rows: int, only_new: bool) -> str:
    final = open_model(estimator).final
    warm = " (warm_start=True only says where the fit starts)" if getattr(final, "warm_start", False) else ""
    call = "teach(only_new=True)" if only_new else "teach()"
    mend = "leave only_new out" if only_new else "give the rows that it was fitted on as X_training= and y_training="
    return (
        f"{call} fits {type(final).__name__} on these {n_rows} rows alone, and what it had learned from other rows is "
        f"forgotten{warm}. To keep it, {mend}, or use LateFusionClassifier(warm_start='anchor'), whose fit stays near "
        "the weights that it came with"
    )
