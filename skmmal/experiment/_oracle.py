"""What is left to gain: batches chosen by somebody who knows the labels."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skmmal._sklearn import Interval
from skmmal.experiment._annotator import Answers
from skmmal.experiment._problem import Problem, random_seed
from skmmal.experiment._rounds import ask, fit_answered, others, read_pool, seeded
from skmmal.modalities._containers import take_rows

__all__ = ["ORACLE", "Oracle", "check_oracle", "oracle_batch"]

ORACLE = "oracle"
"""Its name among the strategies of a run."""


class Oracle(BaseEstimator):
    """Take the best of many batches: the one after which the model is most accurate on validation rows.

    The batches of a round are one of each strategy's from the whole pool, `n_subsets` of each strategy's from random
    halves of the pool, and `n_random` random ones. A model is fitted for every one of them, with the labels that it
    would get.

    Parameters
    ----------
    n_subsets : int, default=4
        Batches of each strategy from random halves of the pool.
    n_random : int, default=20
        Random batches.
    validation_size : float, default=0.3
        Share of the pool's rows on which batches are judged. They are drawn for each seed among those that are not
        labelled at first, and are never picked. The test rows are not looked at.

    Notes
    -----
    It knows the labels, so it is no strategy: the distance to it is what is left to gain, at least. It takes one step
    at a time, by a finite sample of validation rows, and from the batches that it is shown, so that better choices may
    be missed. Ties go to the batch that was shown first. Cost: ``S (1 + n_subsets)`` queries of S strategies and
    ``S (1 + n_subsets) + n_random`` fits a round.

    References
    ----------
    .. [1] "BoSS", CVPR 2026: the best of many batches by many strategies on random subsets. The numbers of batches,
       the halves, and the validation rows from the pool are ours.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.experiment import Oracle, run_experiment
    >>> X, y = load_iris(return_X_y=True)
    >>> results = run_experiment(
    ...     LogisticRegression(), ["margin", "random"], X[::2], y[::2], X_test=X[1::2], y_test=y[1::2],
    ...     n_initial=6, n_instances=3, n_rounds=2, seeds=2, oracle=Oracle(n_random=5),
    ... )
    >>> results.strategies
    ['margin', 'random', 'oracle']
    """

    compares_modalities = False

    _parameter_constraints: dict = {
        "n_subsets": [Interval(Integral, 0, None, closed="left")],
        "n_random": [Interval(Integral, 0, None, closed="left")],
        "validation_size": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, *, n_subsets: int = 4, n_random: int = 20, validation_size: float = 0.3) -> None:
        self.n_subsets = n_subsets
        self.n_random = n_random
        self.validation_size = validation_size

    def n_validation(self, n_pool: int) -> int:
        """How many validation rows there are.

        Parameters
        ----------
        n_pool : int
            Rows of the pool.

        Returns
        -------
        int
        """
        return max(1, round(self.validation_size * n_pool))


def check_oracle(oracle: Any, n_pool: int, wanted: int) -> Oracle | None:
    """Make the oracle that `run_experiment` was asked for.

    Parameters
    ----------
    oracle : bool or Oracle
        As there.
    n_pool : int
        Rows of the pool.
    wanted : int
        Rows that are labelled at the end.

    Returns
    -------
    Oracle or None
    """
    if isinstance(oracle, bool | np.bool_):
        if not oracle:
            return None
        oracle = Oracle()
    if not isinstance(oracle, Oracle):
        raise TypeError(f"oracle must be True, False or an Oracle, got {oracle!r}")
    oracle._validate_params()
    n_validation = oracle.n_validation(n_pool)
    if wanted + n_validation > n_pool:
        raise ValueError(
            f"oracle: {wanted} rows to label and {n_validation} validation rows are more than the {n_pool} of X; lower "
            "Oracle(validation_size=), n_rounds or n_instances"
        )
    return oracle


def oracle_batch(problem: Problem, model: Any, chosen: np.ndarray, answers: Answers, seed: int, round_: int) -> Any:
    """Rows of the best batch of a round.

    Parameters
    ----------
    problem : Problem
        What is run; one of its strategies is an `Oracle`, the others are asked.
    model : classifier
        Fitted on the chosen rows.
    chosen : ndarray of int
        Rows that were asked for before.
    answers : Answers
        The annotator's.
    seed, round_ : int
        Of the run, and of the round.

    Returns
    -------
    ndarray of int, shape (n_instances,)
    """
    oracle: Any = problem.strategies[ORACLE]
    order = np.random.RandomState(random_seed(ORACLE, "validation", seed)).permutation(len(problem.y))
    first = chosen[: problem.n_initial]
    validation = np.sort(order[~np.isin(order, first)][: oracle.n_validation(len(problem.y))])
    pool = others(np.concatenate([chosen, validation]), len(problem.y))
    X, y = take_rows(problem.X, validation), problem.y[validation]
    best, highest = None, -1.0
    for batch in _batches(problem, oracle, model, pool, chosen, answers, (seed, round_)):
        fitted = fit_answered(problem, answers, np.concatenate([chosen, batch]), seed, round_)
        accuracy = float(np.mean(fitted.predict(X) == y))  # of several labels, the mean over them
        if accuracy > highest:
            best, highest = batch, accuracy
    return best


def _batches(
    problem: Problem,
    oracle: Oracle,
    model: Any,
    pool: np.ndarray,
    chosen: np.ndarray,
    answers: Answers,
    key: tuple[int, int],
) -> Iterator[np.ndarray]:
    """Batches to compare."""
    n_half = max(problem.n_instances, len(pool) // 2)
    for name, strategy in problem.strategies.items():
        for number in range(1 + oracle.n_subsets if name != ORACLE else 0):
            rng = np.random.RandomState(random_seed(ORACLE, "subset", name, *key, number))
            part = pool if number == 0 else np.sort(rng.choice(pool, n_half, replace=False))
            asked = seeded(strategy, ORACLE, name, *key, number)
            yield part[ask(problem, asked, read_pool(problem, model, part, chosen, answers), part)]
    for number in range(oracle.n_random):
        rng = np.random.RandomState(random_seed(ORACLE, "random", *key, number))
        yield rng.choice(pool, problem.n_instances, replace=False)
