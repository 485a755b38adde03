"""One unit of work: one strategy with one seed, round after round."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter
from threadpoolctl import threadpool_limits

from skmmal._alone import said_elsewhere
from skmmal._torch import installed_torch
from skmmal.experiment._evaluations import due, table_of
from skmmal.experiment._folder import RunFolder
from skmmal.experiment._problem import Problem, random_seed, set_random_states
from skmmal.experiment.metrics import evaluate
from skmmal.modalities._containers import take_rows
from skmmal.modalities._input import modal_output
from skmmal.reading import Reading, read_with_labels

__all__ = ["fit_round", "one_thread", "run_unit", "seeded"]

Record = dict[str, Any]


def run_unit(problem: Problem, name: str, seed: int, folder: RunFolder | None) -> list[Record]:
    """Run one strategy with one seed, from where the folder's records end.

    Parameters
    ----------
    problem : Problem
        What is run.
    name : str
        Of the strategy.
    seed : int
        Of the run.
    folder : RunFolder, optional
        Where records are kept.

    Returns
    -------
    list of dict
        One record for each round: ``round``, ``selected`` (rows of X, in the order picked), ``metrics``,
        ``by_class``, ``evaluations`` (where there are any) and ``seconds``.
    """
    records = folder.read_unit(name, seed) if folder is not None else []
    n_done = len(records)
    if n_done > problem.n_rounds:
        return records
    with one_thread(), modal_output(problem.X):
        labeled = np.array([row for record in records for row in record["selected"]], dtype=np.intp)
        # a round's model follows from its rows alone: nothing else has to be kept to go on
        model = _fit(problem, labeled, seed, n_done - 1) if n_done else None
        selected, _, query_seconds = _choose(problem, model, labeled, name, seed, n_done)
        for round_ in range(n_done, problem.n_rounds + 1):
            asked = time.perf_counter()
            labeled = np.concatenate([labeled, selected])
            model = _fit(problem, labeled, seed, round_)
            seconds = {"fit_seconds": time.perf_counter() - asked, "query_seconds": query_seconds}
            record: Record = {"round": round_, "selected": selected.tolist()}
            # before the model is measured, which reads the pool, too: the time of a query is all its own
            selected, pool, query_seconds = _choose(problem, model, labeled, name, seed, round_ + 1)
            record["metrics"], record["by_class"] = evaluate(model, problem, pool)
            tables = _evaluations(problem, model, seed, round_)
            if tables:
                record["evaluations"] = tables
            record["seconds"] = seconds
            if folder is not None:
                folder.write_record(name, seed, record)
            records.append(record)
    return records


def _evaluations(problem: Problem, model: Any, seed: int, round_: int) -> dict[str, dict[str, list[Any]]]:
    """Tables that are due after a round."""
    return {
        name: table_of(name, evaluation, model, problem.X_test, problem.y_test, random_seed("evaluation", name, seed))
        for name, evaluation in problem.evaluations.items()
        if due(evaluation, round_, problem.n_rounds)
    }


def _others(labeled: np.ndarray, n_rows: int) -> np.ndarray:
    return np.setdiff1d(np.arange(n_rows), labeled)


def _choose(
    problem: Problem, model: Any, labeled: np.ndarray, name: str, seed: int, round_: int
) -> tuple[np.ndarray, Reading | None, float]:
    """Rows of X to label next, what the model says of the pool, and seconds; behind the last round there are none."""
    started = time.perf_counter()
    if model is None:
        strategy = seeded(problem.initial, "initial", problem.initial_name, seed)
        with said_elsewhere():
            picked = strategy.query(clone(problem.estimator), problem.X, problem.n_initial)
        return np.asarray(picked), None, time.perf_counter() - started
    rows = _others(labeled, len(problem.y))
    if not len(rows):
        return rows, None, 0.0
    known = take_rows(problem.X, labeled), problem.y[labeled]
    pool = read_with_labels(model, take_rows(problem.X, rows), *known)
    if round_ > problem.n_rounds:
        return rows[:0], pool, 0.0
    strategy = seeded(problem.strategies[name], "query", name, seed, round_)
    with said_elsewhere():
        picked = strategy.query(None, pool, problem.n_instances)
    return rows[picked], pool, time.perf_counter() - started


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


def _fit(problem: Problem, labeled: np.ndarray, seed: int, round_: int) -> Any:
    return fit_round(problem.estimator, problem.X, problem.y, problem.classes, labeled, seed, round_)


# ------------------------------------------------------------------------------------------------------ threads

_lock = threading.Lock()
_running = 0
_limits: Any = None
_torch_threads = 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS and torch at one thread, in every worker and also without workers.

    The last bits of a matrix product depend on the number of threads, and results must not depend on `n_jobs`; and
    workers that each start as many threads as there are cores stand in each other's way. The limits are the
    process's: with joblib's threading backend they are lifted when the last unit ends.
    """
    global _running, _limits, _torch_threads
    torch = installed_torch()  # first: only libraries that are loaded can be limited
    with _lock:
        if _running == 0:
            _limits, _torch_threads = threadpool_limits(1), torch.get_num_threads() if torch else 1
        _running += 1
        if torch:
            torch.set_num_threads(1)  # OpenMP keeps the number for each thread
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                _limits.restore_original_limits()
                if torch:
                    torch.set_num_threads(_torch_threads)
