"""The active learner: an estimator, a strategy, and the rows labeled so far."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skmmal._alone import modalities_of, warn_if_lost
from skmmal._arrays import boolean, own_rows
from skmmal._fit_arguments import check_fit_arguments
from skmmal._fitted import check_estimator, known_fitted, open_model
from skmmal._names import did_you_mean
from skmmal._random import RandomState, check_rng
from skmmal.learner._answers import EstimatorAnswersMixin, is_trained
from skmmal.learner._forgetting import anchored_at_present, forgets, forgetting, goes_on
from skmmal.learner._labeled import check_pair, first_rows, of_one_class, stacked
from skmmal.learner._lessons import Lesson, Lessons, random_states, random_states_set, set_state
from skmmal.modalities._containers import as_read, n_rows_of, take_rows
from skmmal.query import LeastConfidenceSampling, QueryStrategy, get_strategy

__all__ = ["ActiveLearner"]


class ActiveLearner(EstimatorAnswersMixin):
    """Pool-based active learner with modAL's surface.

    Parameters
    ----------
    estimator : classifier
        Fitted in place by `teach` and `fit`.
    query_strategy : QueryStrategy, str or callable, default=None
        One of ours, its name, or any function of modAL's form ``f(learner, X_pool, **kwargs)`` that returns indices or
        a pair (indices, metrics). ``None`` is least confidence, modAL's default.
    X_training, y_training : optional
        Rows that are labeled already; the estimator is fitted on them at once.
    bootstrap_init : bool, default=False
        Fit that first time on a bootstrap sample of them.
    on_transformed : bool, default=False
        Let the strategy see a Pipeline's last step and X transformed by the others, instead of the Pipeline and X.
        Our own strategies look through Pipelines either way.
    initial : QueryStrategy, str or callable, default=None
        The strategy for a start without labels: it chooses as long as the estimator is not fitted, or all labels are of
        one class. Of ours, those that need no model will do, as ``"random"`` or ``"mmcsal"``. With ``None``,
        `query_strategy` chooses from the first batch on, and most need a fitted estimator.
    random_state : int, RandomState, Generator or None
        Draws bootstrap samples.
    **fit_kwargs
        Passed to every fit, for example ``classes=``, where the first labels do not cover all classes. A name that the
        estimator's `fit` does not take is an error.

    Attributes
    ----------
    X_training, y_training
        All rows labeled so far, in the container the first ones came in.
    classes_, n_features_in_, feature_names_in_
        Those of the estimator, where it has them.

    Notes
    -----
    X may be anything the estimator takes: arrays of two and more dimensions, DataFrames, `MultimodalArray`, mappings of
    blocks, tensors, sparse matrices, lists; texts (in a list, a Series, an array, polars or Arrow) in front of a
    vectorizer. The names follow modAL 0.4.2; unlike there, a strategy is called exactly once in a query, errors are not
    swallowed, `clone` works, and current scikit-learn and pandas do.

    Labels that come one by one can be put in with `add`, and the estimator fitted on all of them by `fit` (or the next
    `teach`). `undo` takes the rows of the last `add` or `teach` back.

    To scikit-learn the learner is what its estimator is (a classifier, say), and has the methods that it has.

    A clone is not trained: it holds the rows, and is fitted on them when it is first asked something. Where a learner
    holds none, an estimator that came trained forgets with the first `teach` what it knows, and a warning says so.

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
        initial: QueryStrategy | str | Callable[..., Any] | None = None,
        random_state: RandomState = None,
        **fit_kwargs: Any,
    ) -> None:
        self.estimator = estimator
        self.query_strategy = query_strategy
        self.X_training = X_training
        self.y_training = y_training
        self.bootstrap_init = bootstrap_init
        self.on_transformed = on_transformed
        self.initial = initial
        self.random_state = random_state
        self._fit_kwargs = fit_kwargs
        self._lessons = Lessons(Lesson(0))
        boolean(bootstrap_init, "bootstrap_init")
        boolean(on_transformed, "on_transformed")
        check_fit_arguments("ActiveLearner", fit_kwargs, self._get_param_names(), estimator)
        if (X_training is None) != (y_training is None):
            given, absent = ("X_training", "y_training") if y_training is None else ("y_training", "X_training")
            raise ValueError(f"{given} is given, {absent} is not; give both or neither")
        if X_training is not None:
            check_pair(X_training, y_training)
            self._lessons = Lessons(self._learn(X_training, y_training, bootstrap_init, {}, may_wait=True))

    def __sklearn_clone__(self) -> ActiveLearner:
        # a clone is not trained: it holds the rows, and is fitted on them when it is first asked something
        params = {name: clone(value, safe=False) for name, value in self.get_params(deep=False).items()}
        rows = {name: params.pop(name) for name in ("X_training", "y_training")}
        copy = type(self)(**params)
        n_rows = 0 if self.X_training is None else n_rows_of(self.X_training)
        lessons = Lessons(Lesson(n_rows, n_rows > 0, self.bootstrap_init), fitted_later=n_rows > 0)
        copy.__dict__.update(rows, _lessons=lessons)
        if hasattr(self, "_metadata_request"):
            copy.__dict__["_metadata_request"] = deepcopy(self._metadata_request)
        return copy

    # fit_kwargs are constructor arguments too, so that clone keeps them
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments, those for fitting among them.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return those of the estimator and the strategies, too.

        Returns
        -------
        dict of str to object
            By name.
        """
        return {**super().get_params(deep), **self._fit_kwargs}

    def set_params(self, **params: Any) -> ActiveLearner:
        """Set constructor arguments; names that are not the learner's own go to every fit.

        Parameters
        ----------
        **params
            By name; ``estimator__C`` is the estimator's `C`.

        Returns
        -------
        ActiveLearner
            Itself.

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
            The unlabeled rows.
        *query_args
            Passed to the strategy: ``n_instances`` comes first.
        return_metrics : bool, default=False
            Whether to return the strategy's scores too.
        **query_kwargs
            Passed to the strategy, for example ``n_instances=20``.

        Returns
        -------
        indices : ndarray of int
            Rows of `X_pool`.
        instances
            Those rows, in the container of `X_pool`.
        metrics : ndarray or None
            Only with `return_metrics`: the score of each row, ``None`` where the strategy gives none.

        Raises
        ------
        NotFittedError
            The strategy needs a fitted estimator, and there is none, nor a strategy for the start (`initial`).
        TypeError, ValueError
            The strategy takes no such argument, or returns what are no rows of `X_pool`.
        """
        boolean(return_metrics, "return_metrics")
        strategy = self._strategy(X_pool)
        _check_arguments(strategy, query_kwargs)
        learner, pool = self, X_pool
        if self.on_transformed and open_model(self.estimator).steps:
            learner, pool = _behind_the_steps(self, X_pool)
        try:
            result = strategy(learner, pool, *query_args, **query_kwargs)
        except NotFittedError as error:
            if self.initial is not None:
                raise
            fit = "" if self.X_training is None else "fit() fits it on the labeled rows that the learner holds; "
            way_out = "initial= takes a strategy that chooses until then, as ActiveLearner(..., initial='random')"
            raise NotFittedError(f"{error} ({fit}{way_out})") from error
        # two numbers are two rows, not a row and its score
        pair = isinstance(result, tuple) and len(result) == 2 and not all(np.ndim(part) == 0 for part in result)
        indices, metrics = result if pair else (result, None)
        _check_rows(indices, n_rows_of(X_pool))
        instances = take_rows(X_pool, np.asarray(indices))
        return (indices, instances, metrics) if return_metrics else (indices, instances)

    def _strategy(self, X_pool: Any) -> Callable[..., Any]:
        """Who chooses now: `initial`, as long as there is no model that tells classes apart."""
        given = LeastConfidenceSampling() if self.query_strategy is None else self.query_strategy
        strategy = _as_strategy(given, "query_strategy")
        if self.initial is None:
            self._catch_up()
            return strategy
        initial = _as_strategy(self.initial, "initial")
        knows_others = hasattr(open_model(self.estimator).final, "anchor_")
        if self._lessons.have_fitted and of_one_class(self.y_training) and not knows_others:
            return initial
        self._catch_up()
        return strategy if is_trained(self.estimator, X_pool) else initial

    # ------------------------------------------------------------------------------------------------ learning

    def teach(self, X: Any, y: Any, bootstrap: bool = False, only_new: bool = False, **fit_kwargs: Any) -> None:
        """Add labeled rows and fit again.

        Parameters
        ----------
        X : array-like, DataFrame, mapping, MultimodalArray, tensor or sparse matrix
            The rows. `undo` takes them back.
        y : array-like of shape (n_samples,)
            Their labels.
        bootstrap : bool, default=False
            Fit on a bootstrap sample of the rows.
        only_new : bool, default=False
            Fit on the new rows alone, and do not keep them (modAL's meaning). A `LateFusionClassifier` with
            ``warm_start="anchor"`` then stays near the model that there is at this call. `undo` does not reach back
            behind such a lesson.
        **fit_kwargs
            Passed to the estimator's `fit`, after those of the constructor.

        Raises
        ------
        TypeError, ValueError
            Rows or labels do not go with each other or with those held, or the estimator cannot be fitted on them; then
            everything stays as it was. With `initial`, rows on which the estimator cannot be fitted because all labels
            are of one class are no error: they are kept, as by `add`, and `initial` goes on choosing.

        Warns
        -----
        UserWarning
            The estimator is fitted already, and is now fitted on the new rows alone (with `only_new`, or where the
            learner holds none from before): it forgets the others. With ``warm_start="anchor"`` it does not.
        """
        boolean(bootstrap, "bootstrap")
        boolean(only_new, "only_new")
        check_estimator(self.estimator)
        check_fit_arguments("teach", fit_kwargs, ("bootstrap", "only_new", *self._fit_kwargs), self.estimator)
        check_pair(X, y)
        n_before = 0 if self.X_training is None else n_rows_of(self.X_training)
        if (only_new or self.X_training is None) and forgets(self.estimator):
            warnings.warn(forgetting(self.estimator, n_rows_of(X), only_new), UserWarning, stacklevel=2)
        if only_new:
            with anchored_at_present(self.estimator):
                self._fit(X, y, bootstrap, fit_kwargs)
            self._lessons = Lessons(Lesson(n_before))
            return
        if goes_on(self.estimator) and not self._lessons.is_empty:
            self._catch_up()
        X_all, y_all = stacked(self.X_training, self.y_training, X, y)
        self._lessons.keep_model(self.estimator)
        self._lessons.append(self._learn(X_all, y_all, bootstrap, fit_kwargs, n_before, may_wait=True))

    def add(self, X: Any, y: Any) -> None:
        """Add labeled rows without a fit: the model stays as it is until the next `teach`, or `fit` without rows.

        Strategies that keep away from labeled rows know the new ones at once.

        Parameters
        ----------
        X : array-like, DataFrame, mapping, MultimodalArray, tensor or sparse matrix
            The rows. `undo` takes them back.
        y : array-like of shape (n_samples,)
            Their labels.

        Raises
        ------
        TypeError, ValueError
            Rows or labels do not go with each other or with those held; then everything stays as it was.

        Examples
        --------
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skmmal import ActiveLearner
        >>> learner = ActiveLearner(LogisticRegression())
        >>> for row, label in ([-3.0], "no"), ([2.0], "yes"), ([3.0], "yes"):
        ...     learner.add([row], [label])
        >>> learner.fit().predict([[-2.0], [1.0]])
        array(['no', 'yes'], dtype='<U3')
        """
        check_pair(X, y)
        self.X_training, self.y_training = stacked(self.X_training, self.y_training, X, y)
        self._lessons.append(Lesson(n_rows_of(self.X_training)))

    def undo(self) -> None:
        """Take the rows of the last `add` or `teach` back; call it again for those before.

        The learner is then as before that call: the rows, the model, and the generators among the random states of
        estimator and learner. Where the model knew the rows it is fitted again, with the arguments that it was fitted
        with, when it is next asked something. Teaching the same rows again gives the same model.

        Raises
        ------
        ValueError
            There is nothing to undo. The rows that the constructor or `fit` was given stay.

        Notes
        -----
        No more than the number of rows is remembered of a lesson, and no models, with two exceptions. A model that came
        trained, or was taught with ``only_new=True``, is copied before the first lesson that changes it. An
        estimator that goes on from its former weights (`warm_start`) is copied before each lesson; the last copy is
        kept. The first `undo` gives it back, and further ones fit from the first such model there was.

        Examples
        --------
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skmmal import ActiveLearner
        >>> learner = ActiveLearner(LogisticRegression(), X_training=[[0.0], [1.0]], y_training=[0, 1])
        >>> learner.teach([[0.1]], [1])  # a slip of the mouse
        >>> learner.undo()
        >>> learner.X_training, learner.predict([[0.1]])
        ([[0.0], [1.0]], array([0]))
        """
        if self._lessons.is_empty:
            since = "since the learner was made, fit() was given rows, or teach(only_new=True) changed the model"
            raise ValueError(f"there is nothing to undo: no rows were added or taught {since}")
        if self.X_training is None or n_rows_of(self.X_training) != self._lessons.n_rows:
            raise ValueError("X_training was set from outside: there is no telling which of its rows were taught last")
        self._lessons.take_back(self)
        self.X_training, self.y_training = first_rows(self.X_training, self.y_training, self._lessons.n_rows)

    def fit(self, X: Any = None, y: Any = None, bootstrap: bool = False, **fit_kwargs: Any) -> ActiveLearner:
        """Replace the labeled rows and fit; without rows, fit on those that the learner holds.

        Parameters
        ----------
        X : array-like, DataFrame, mapping, MultimodalArray, tensor or sparse matrix, optional
            The rows that take the place of all others.
        y : array-like of shape (n_samples,), optional
            Their labels.
        bootstrap : bool, default=False
            Fit on a bootstrap sample of the rows.
        **fit_kwargs
            Passed to the estimator's `fit`, after those of the constructor.

        Returns
        -------
        ActiveLearner
            Itself.

        Raises
        ------
        TypeError, ValueError
            As of `teach`; or there are no rows to fit on.
        """
        boolean(bootstrap, "bootstrap")
        check_fit_arguments("fit", fit_kwargs, ("bootstrap", *self._fit_kwargs), self.estimator)
        if X is None and y is None and self.X_training is not None:
            self._lessons.keep_model(self.estimator)
            self._lessons.append(self._learn(self.X_training, self.y_training, bootstrap, fit_kwargs))
        else:
            check_pair(X, y)
            self._lessons = Lessons(self._learn(X, y, bootstrap, fit_kwargs))
        return self

    def _learn(
        self, X: Any, y: Any, bootstrap: bool, fit_kwargs: dict[str, Any], n_before: int = 0, may_wait: bool = False
    ) -> Lesson:
        """Fit on these rows and hold them, once the fit has succeeded: a failed one can be repeated."""
        check_estimator(self.estimator)
        lesson = Lesson(n_rows_of(X), True, bootstrap, fit_kwargs, random_states(self))
        told = any(name.endswith("classes") for name in (*self._fit_kwargs, *fit_kwargs))
        may_wait = may_wait and self.initial is not None and not told and of_one_class(y)
        is_new = known_fitted(self.estimator) is False
        former = deepcopy(vars(self.estimator)) if may_wait and not is_new else None
        try:
            self._fit(X, y, bootstrap, fit_kwargs, n_before)
        except (TypeError, ValueError) as error:
            if is_new or former is not None:  # some of scikit-learn's have set their classes by then
                set_state(self.estimator, former)
            # by scikit-learn's convention the message says "class" where one class is what is wrong
            if not may_wait or not re.search(r"\bclass", str(error)):
                raise
            lesson = Lesson(lesson.n_rows)
        self.X_training, self.y_training = X, y
        return lesson

    def _fit(self, X: Any, y: Any, bootstrap: bool, fit_kwargs: Mapping[str, Any], n_before: int = 0) -> None:
        if not hasattr(self.estimator, "fit"):
            raise TypeError(f"{type(self.estimator).__name__} has no fit, which this needs")
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
        warn_if_lost(X, modalities_of(self.estimator), stacklevel=4)

    def _catch_up(self) -> None:
        """Make the fit that was put off, of a clone or after `undo`, now that the model is asked something."""
        lesson = self._lessons.pending
        if lesson is not None and self.X_training is not None:
            X, y = first_rows(self.X_training, self.y_training, lesson.n_rows)
            with random_states_set(self, lesson.random):
                self._fit(X, y, lesson.bootstrap, lesson.arguments)
            self._lessons.pending = None

    def __sklearn_is_fitted__(self) -> bool:
        fitted = known_fitted(self.estimator)
        return self._lessons.pending is None and (self.X_training is not None if fitted is None else fitted)


def _as_strategy(given: Any, argument: str) -> Callable[..., Any]:
    if isinstance(given, str):
        return get_strategy(given)
    if isinstance(given, type):
        raise TypeError(f"{argument} is the class {given.__name__}; give an object, {given.__name__}()")
    if not callable(given):
        raise TypeError(f"{argument} must be a strategy, a name or a callable, got {given!r}")
    return given


def _check_arguments(strategy: Callable[..., Any], given: Iterable[str]) -> None:
    """Answer arguments that a function of the user's own does not take; our strategies do so themselves."""
    try:
        parameters = inspect.signature(strategy).parameters
    except (TypeError, ValueError):  # written in C, or without a signature
        return
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = [*list(parameters)[2:], "return_metrics"]  # behind the learner and the pool
    for name in given:
        if name not in known:
            what = getattr(strategy, "__name__", type(strategy).__name__)
            raise TypeError(f"{what} has no argument {name!r}; it has {', '.join(known)}{did_you_mean(name, known)}")


def _behind_the_steps(learner: ActiveLearner, X_pool: Any) -> tuple[ActiveLearner, Any]:
    """A learner whose estimator is the Pipeline's last step, and the pool as that step sees it."""
    opened = open_model(learner.estimator)
    if known_fitted(opened.final) is False and not opened.steps_are_fitted:
        opened = opened.with_fitted_steps(X_pool)
    inner = ActiveLearner(opened.final, learner.query_strategy)
    inner.X_training = None if learner.X_training is None else opened.transform(learner.X_training)
    inner.y_training = learner.y_training
    return inner, opened.transform(X_pool)


def _check_rows(indices: Any, n_rows: int) -> None:
    """Refuse what a strategy of the user's own returned if it would be read as other rows."""
    rows = np.asarray(indices)
    if rows.dtype.kind not in "iu" and rows.size:
        raise TypeError(f"query_strategy must return rows of X_pool as integers, it returned {rows.dtype} values")
    if rows.size and not (rows.min() >= 0 and rows.max() < n_rows):
        raise ValueError(
            f"query_strategy returned row {rows.max() if rows.min() >= 0 else rows.min()}, X_pool has {n_rows} rows"
        )
