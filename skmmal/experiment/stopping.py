"""Where stopping criteria would have ended an experiment that has run, and what that would have cost."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import column_or_1d
from sklearn.utils.validation import _num_samples, has_fit_parameter

from skmmal._containers import take_rows
from skmmal.experiment.problem import random_seed, set_random_states
from skmmal.experiment.results import ExperimentResults
from skmmal.experiment.statistics import UnfinishedWarning
from skmmal.stopping import RoundState, as_criteria

__all__ = ["stopping_history", "stopping_points"]


def stopping_history(
    results: ExperimentResults,
    strategy: str,
    seed: int,
    *,
    estimator: Any = None,
    X: Any = None,
    y: Any = None,
    n_stop_set: int = 2000,
) -> Iterator[list[RoundState]]:
    """Histories of one run, as they were known after each round.

    Parameters
    ----------
    results : ExperimentResults
    strategy : str
    seed : int
    estimator, X, y : optional
        The estimator, rows and labels that the experiment was run with. The models are fitted again from the recorded
        rows: criteria that look at predictions need that. Without them a history holds the accuracy on the test rows
        (as validation rows) and the number of labels.
    n_stop_set : int, default=2000
        Rows of X, drawn once for each seed, on which models are compared.

    Yields
    ------
    list of RoundState
        One for each round so far.
    """
    run = results.frame[(results.frame["strategy"] == strategy) & (results.frame["seed"] == seed)].sort_values("round")
    if run.empty:
        raise ValueError(f"the results hold no run of strategy {strategy!r} with seed {seed}")
    if len({estimator is None, X is None, y is None}) > 1:
        raise ValueError("give estimator, X and y together, or none of them")
    chosen = results.selected[(results.selected["strategy"] == strategy) & (results.selected["seed"] == seed)]
    history: list[RoundState] = []
    model = None
    labeled = np.empty(0, dtype=np.intp)
    for line in run.to_dict("records"):
        state = RoundState(
            int(line["round"]),
            int(line["n_labeled"]),
            validation_accuracy=float(line["accuracy"]),
            n_validation=int(results.config.get("n_test", 0)),
        )
        if X is not None:
            batch = chosen[chosen["round"] == line["round"]].sort_values("rank")["row"].to_numpy(dtype=np.intp)
            if model is not None:  # the labels of the last batch are there now
                hits = model.predict(take_rows(X, batch)) == column_or_1d(y)[batch]
                history[-1] = replace(history[-1], batch_accuracy=float(hits.mean()), n_batch=len(batch))
            labeled = np.concatenate([labeled, batch])
            model = _fit(estimator, X, column_or_1d(y), labeled, seed, int(line["round"]), results)
            state = _with_predictions(state, model, X, labeled, seed, n_stop_set)
        history.append(state)
        yield list(history)


def _fit(
    estimator: Any, X: Any, y: np.ndarray, labeled: np.ndarray, seed: int, round_: int, results: ExperimentResults
) -> Any:
    """The round's model, as the runner fits it."""
    model = clone(estimator)
    set_random_states(model, "fit", seed, round_)
    final, prefix = model, ""
    if hasattr(model, "steps"):
        final, prefix = model.steps[-1][1], f"{model.steps[-1][0]}__"
    params = {}
    if has_fit_parameter(final, "classes"):
        params[f"{prefix}classes"] = np.array(results.config["classes"], dtype=y.dtype)
    return model.fit(take_rows(X, labeled), y[labeled], **params)


def _with_predictions(
    state: RoundState, model: Any, X: Any, labeled: np.ndarray, seed: int, n_stop_set: int
) -> RoundState:
    n_rows = _num_samples(X)
    drawn = np.random.RandomState(random_seed("stop-set", seed)).permutation(n_rows)[:n_stop_set]
    pool = np.setdiff1d(np.arange(n_rows), labeled)
    if not len(pool):
        return state
    wanted = set(drawn.tolist())
    seen = RoundState.from_probabilities(
        state.round,
        state.n_labeled,
        model.predict_proba(take_rows(X, pool)),
        model.classes_,
        {i: int(row) for i, row in enumerate(pool) if int(row) in wanted},
    )
    return replace(
        state,
        predictions=seen.predictions,
        mean_confidence=seen.mean_confidence,
        mean_entropy=seen.mean_entropy,
    )


def stopping_points(
    results: ExperimentResults,
    criteria: Any,
    *,
    estimator: Any = None,
    X: Any = None,
    y: Any = None,
    n_stop_set: int = 2000,
) -> pd.DataFrame:
    """First round at which each criterion advises to stop, for every strategy and seed.

    Parameters
    ----------
    results : ExperimentResults
    criteria : list of StoppingCriterion or str
    estimator, X, y, n_stop_set
        See `stopping_history`.

    Returns
    -------
    DataFrame
        ``strategy``, ``seed``, ``criterion``, ``round`` and ``n_labeled`` (NaN: it never says stop), ``accuracy``
        (on the test rows, at that round; at the end if it never stops), ``final_accuracy``, ``saved`` (share of the
        labels that would not have been needed). Runs that have not ended are left out, with a warning.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.experiment import run_experiment
    >>> X, y = load_iris(return_X_y=True)
    >>> results = run_experiment(
    ...     LogisticRegression(), ["margin"], X[::2], y[::2], X_test=X[1::2], y_test=y[1::2],
    ...     n_initial=10, n_instances=5, n_rounds=4, seeds=2, initial="kmeans",
    ... )
    >>> stopping_points(results, ["budget=20"])[["strategy", "seed", "criterion", "n_labeled", "saved"]]
      strategy  seed criterion  n_labeled     saved
    0   margin     0    budget       20.0  0.333333
    1   margin     1    budget       20.0  0.333333
    """
    found = as_criteria(criteria)
    lines = []
    ends = results.frame.groupby(["strategy", "seed"], sort=False, as_index=False)["round"].max()
    ended = ends["round"] == ends["round"].max()
    if not ended.all():
        warnings.warn(
            f"{int((~ended).sum())} of {len(ends)} runs have not ended; what a criterion would have saved of them is "
            "not known, and they are left out",
            UnfinishedWarning,
            stacklevel=2,
        )
    runs = ends[ended]
    for strategy, seed in zip(runs["strategy"].tolist(), runs["seed"].tolist(), strict=True):
        run = results.frame[(results.frame["strategy"] == strategy) & (results.frame["seed"] == seed)]
        accuracy: dict[int, float] = dict(zip(run["round"], run["accuracy"], strict=True))
        n_labeled: dict[int, int] = dict(zip(run["round"], run["n_labeled"], strict=True))
        last = max(n_labeled)
        histories = stopping_history(results, strategy, seed, estimator=estimator, X=X, y=y, n_stop_set=n_stop_set)
        stopped: dict[int, int] = {}
        for history in histories:
            for i, criterion in enumerate(found):
                if i not in stopped and criterion.advise(history).stop:
                    stopped[i] = history[-1].round
        for i, criterion in enumerate(found):
            at = stopped.get(i, last)
            lines.append(
                {
                    "strategy": strategy,
                    "seed": seed,
                    "criterion": criterion._name(),
                    "round": float(at) if i in stopped else np.nan,
                    "n_labeled": float(n_labeled[at]) if i in stopped else np.nan,
                    "accuracy": accuracy[at],
                    "final_accuracy": accuracy[last],
                    "saved": 1.0 - n_labeled[at] / n_labeled[last],
                }
            )
    return pd.DataFrame(lines)
