"""One unit of work: one strategy with one seed, round after round."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from skmmal._alone import said_elsewhere
from skmmal._torch import installed_torch
from skmmal.experiment._annotator import Answers, answers_to
from skmmal.experiment._evaluations import due, table_of
from skmmal.experiment._folder import RunFolder
from skmmal.experiment._oracle import Oracle, oracle_batch
from skmmal.experiment._problem import Problem, random_seed
from skmmal.experiment._rounds import ask, fit_answered, others, read_pool, seeded
from skmmal.experiment.metrics import evaluate
from skmmal.modalities._input import modal_output

__all__ = ["one_thread", "run_unit"]

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
        answers = answers_to(problem.annotator, problem.X, problem.y, problem.classes, random_seed("annotator", seed))
        chosen = np.array([row for record in records for row in record["selected"]], dtype=np.intp)
        # a round's model follows from its rows alone: nothing else has to be kept to go on
        model = fit_answered(problem, answers, chosen, seed, n_done - 1) if n_done else None
        for round_ in range(n_done, problem.n_rounds + 1):
            started = time.perf_counter()
            selected = _choose(problem, model, chosen, answers, name, seed, round_)
            asked = time.perf_counter()
            chosen = np.concatenate([chosen, selected])
            model = fit_answered(problem, answers, chosen, seed, round_)
            seconds = {"fit_seconds": time.perf_counter() - asked, "query_seconds": asked - started}
            record: Record = {"round": round_, "selected": selected.tolist()}
            # by a reading of its own: the query that follows makes all that it needs, and its time is all its own
            measured, by_class = evaluate(model, problem, others(chosen, len(problem.y)))
            record["metrics"] = {**problem.spent(chosen), **measured, **_mistakes(problem, chosen, answers)}
            record["by_class"] = by_class
            tables = _evaluations(problem, model, seed, round_)
            if tables:
                record["evaluations"] = tables
            record["seconds"] = seconds
            if folder is not None:  # at once: whatever ends the next query leaves this round
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


def _choose(
    problem: Problem, model: Any, chosen: np.ndarray, answers: Answers, name: str, seed: int, round_: int
) -> np.ndarray:
    """Rows of X to ask for next."""
    if model is None:
        strategy = seeded(problem.initial, "initial", problem.initial_name, seed)
        with said_elsewhere():
            picked = strategy.query(clone(problem.estimator), problem.X, problem.n_initial, **problem.units())
        return np.asarray(picked)
    rows = others(chosen, len(problem.y))
    if not len(rows):
        return rows
    if isinstance(problem.strategies[name], Oracle):
        return oracle_batch(problem, model, chosen, answers, seed, round_)
    pool = read_pool(problem, model, rows, chosen, answers)
    strategy = seeded(problem.strategies[name], "query", name, seed, round_)
    return rows[ask(problem, strategy, pool, rows, answers.labels[answers.among(chosen)])]


def _mistakes(problem: Problem, chosen: np.ndarray, answers: Answers) -> dict[str, int]:
    """How many of the chosen rows have got no label, and how many a wrong one; nothing where all answers are right."""
    if problem.annotator is None:
        return {}
    labeled = answers.among(chosen)
    n_wrong = int((~problem.task.hits(answers.labels[labeled], problem.y[labeled])).sum())
    return {"n_skipped": len(chosen) - len(labeled), "n_wrong": n_wrong}


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
