"""What a round is made of: a strategy that is asked, and a model that is fitted on the rows labelled so far."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skmmal._alone import said_elsewhere
from skmmal.experiment._annotator import Answers
from skmmal.experiment._problem import Problem, set_random_states
from skmmal.modalities._containers import take_rows
from skmmal.query import QueryStrategy
from skmmal.query._class_balance import balance_classes, rows_to_balance
from skmmal.reading import Reading, read_with_labels

__all__ = ["ask", "fit_answered", "fit_round", "others", "read_pool", "seeded"]


def seeded(estimator: Any, *key: str | int) -> Any:
    """Copy an estimator or strategy, with random states that follow from a key.

    Parameters
    ----------
    estimator : BaseEstimator
        Left as it is.
    *key : str or int
        What it is for; see `random_seed`.

    Returns
    -------
    BaseEstimator
        Not fitted.
    """
    copy = clone(estimator)
    set_random_states(copy, *key)
    return copy


def fit_round(
    estimator: Any, X: Any, y: np.ndarray, classes: np.ndarray, labeled: np.ndarray, seed: int, round_: int
) -> Any:
    """Fit a new model on the labelled rows; its randomness is the same for every strategy of the seed.

    Parameters
    ----------
    estimator : BaseEstimator
        Left as it is.
    X : array-like of shape (n_samples, n_features)
        All rows of the experiment.
    y : ndarray of shape (n_samples,)
        Their labels.
    classes : ndarray of shape (n_classes,)
        All classes, for estimators that want to know those which have no label yet.
    labeled : ndarray of int
        Rows that have a label in this round.
    seed, round_ : int
        Of the run, and of the round.

    Returns
    -------
    BaseEstimator
        Fitted.
    """
    model = seeded(estimator, "fit", seed, round_)
    prefix = f"{model.steps[-1][0]}__" if isinstance(model, Pipeline) else ""
    final = model[-1] if isinstance(model, Pipeline) else model
    fit_params = {f"{prefix}classes": classes} if has_fit_parameter(final, "classes") else {}
    return model.fit(take_rows(X, labeled), y[labeled], **fit_params)


def fit_answered(problem: Problem, answers: Answers, chosen: np.ndarray, seed: int, round_: int) -> Any:
    """Fit a new model on those of the chosen rows that have got a label.

    Parameters
    ----------
    problem : Problem
        What is run.
    answers : Answers
        The annotator's.
    chosen : ndarray of int
        Rows that were asked for.
    seed, round_ : int
        Of the run, and of the round.

    Returns
    -------
    BaseEstimator
        Fitted.
    """
    labeled = answers.among(chosen)
    if not len(labeled):
        raise ValueError(
            f"annotator: none of the {len(chosen)} rows chosen with seed {seed} has got a label; raise n_initial, or "
            "lower how many are skipped"
        )
    return fit_round(problem.estimator, problem.X, answers.labels, problem.classes, labeled, seed, round_)


def read_pool(problem: Problem, model: Any, pool: np.ndarray, chosen: np.ndarray, answers: Answers) -> Reading:
    """What a model says of rows without a label, beside those that have got one.

    Parameters
    ----------
    problem : Problem
        What is run.
    model : classifier
        Fitted.
    pool : ndarray of int
        Rows that it reads.
    chosen : ndarray of int
        Rows that were asked for before.
    answers : Answers
        The annotator's.

    Returns
    -------
    Reading
    """
    labeled = answers.among(chosen)
    known = take_rows(problem.X, labeled), answers.labels[labeled]
    return read_with_labels(model, take_rows(problem.X, pool), *known)


def ask(
    problem: Problem, strategy: QueryStrategy, pool: Reading, rows: np.ndarray, known: np.ndarray | None = None
) -> np.ndarray:
    """Rows that a strategy picks next.

    Parameters
    ----------
    problem : Problem
        What is run.
    strategy : QueryStrategy
        With the random state of this query.
    pool : Reading
        Of `read_pool`.
    rows : ndarray of int
        Which rows of the experiment these are.
    known : ndarray, optional
        Labels so far. Where classes are to be balanced, rows are chosen among the strategy's picks by the classes that
        the model takes them for, those of fewest labels first.

    Returns
    -------
    ndarray of int, shape (n_instances,)
        Of the reading, in the order picked.
    """
    n_wanted = problem.n_instances
    if not problem.class_balance or known is None:
        with said_elsewhere():
            return strategy.query(None, pool, n_wanted, **problem.units(rows))
    with said_elsewhere():
        picked = strategy.query(None, pool, rows_to_balance(n_wanted, len(rows)))
    predicted = np.asarray(pool.source.classes)[pool.head.probabilities[picked].argmax(axis=1)]
    return picked[balance_classes(predicted, Counter(map(str, known)), n_wanted)]


def others(rows: np.ndarray, n_rows: int) -> np.ndarray:
    """Rows that are not among some, sorted.

    Parameters
    ----------
    rows : ndarray of int
        Which are left out.
    n_rows : int
        How many rows there are.

    Returns
    -------
    ndarray of int
    """
    return np.setdiff1d(np.arange(n_rows), rows)
