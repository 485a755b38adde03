"""Where stopping criteria would have ended an experiment that has run, and what that would have cost."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from skmmal._arrays import boolean
from skmmal.experiment._common_range import UnfinishedWarning
from skmmal.experiment._problem import random_seed
from skmmal.experiment._results import ExperimentResults
from skmmal.experiment._rounds import fit_round
from skmmal.experiment._tasks import LABELS, ONE_CLASS, VALUES, Task, mean, of_config
from skmmal.modalities._containers import take_rows
from skmmal.reading import read
from skmmal.stopping import RoundState, StoppingCriterion, as_criteria

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
    label: Any = None,
) -> Iterator[list[RoundState]]:
    """Histories of one run, as they were known after each round.

    Parameters
    ----------
    results : ExperimentResults
        Of the experiment.
    strategy : str
        Name of the strategy whose run it is.
    seed : int
        Seed of the run.
    estimator : estimator, optional
        The one that the experiment was run with, with its `X` and `y`. The models are fitted again from the recorded
        rows: criteria that look at predictions need that. Without them a history holds the accuracy on the test rows
        (as validation rows) and the number of labels.
    X : array-like of shape (n_samples, n_features), optional
        Rows of the experiment.
    y : array-like of shape (n_samples,), optional
        Their labels.
    n_stop_set : int, default=2000
        Rows of X, drawn once for each seed, on which models are compared.
    label : object, optional
        Of several labels a row, the one that the histories are about. By default all together: every label of every
        row is predicted for itself, and the mean average precision stands for the accuracy.

    Yields
    ------
    list of RoundState
        One for each round so far.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.experiment import run_experiment, stopping_history
    >>> X, y = load_iris(return_X_y=True)
    >>> results = run_experiment(
    ...     LogisticRegression(), ["margin"], X[::2], y[::2], X_test=X[1::2], y_test=y[1::2],
    ...     n_initial=10, n_instances=5, n_rounds=2, seeds=1, initial="kmeans",
    ... )
    >>> [len(history) for history in stopping_history(results, "margin", 0)]
    [1, 2, 3]
    """
    run = results.frame[(results.frame["strategy"] == strategy) & (results.frame["seed"] == seed)].sort_values("round")
    if run.empty:
        raise ValueError(f"the results hold no run of strategy {strategy!r} with seed {seed}")
    if len({estimator is None, X is None, y is None}) > 1:
        raise ValueError("give estimator, X and y together, or none of them")
    if X is not None and "annotator" in results.config:
        raise ValueError(
            "the experiment had an annotator, and y does not say what was answered: leave out estimator, X and y"
        )
    judge = _Judge.of(results, label)
    accuracies = judge.accuracies(results, strategy, seed)
    history = [
        RoundState(
            int(line["round"]),
            int(line["n_labeled"]),
            validation_accuracy=accuracies[int(line["round"])],
            n_validation=int(results.config.get("n_test", 0)),
        )
        for line in run.to_dict("records")
    ]
    if X is None:
        yield from (history[: n + 1] for n in range(len(history)))
        return
    task = of_config(results.config)
    y = task.checked(y, "y")
    classes = np.array(results.config["classes"], dtype=y.dtype if task is ONE_CLASS else None)
    chosen = results.selected[(results.selected["strategy"] == strategy) & (results.selected["seed"] == seed)]
    model = None
    labeled = np.empty(0, dtype=np.intp)
    drawn = np.random.RandomState(random_seed("stop-set", seed)).permutation(len(y))[:n_stop_set]
    for n, state in enumerate(history):
        batch = chosen[chosen["round"] == state.round].sort_values("rank")["row"].to_numpy(dtype=np.intp)
        if model is not None:  # the labels of the last batch are there now
            hits = judge.hits(model.predict(take_rows(X, batch)), y[batch])
            history[n - 1] = replace(history[n - 1], batch_accuracy=mean(hits), n_batch=len(hits))
        labeled = np.concatenate([labeled, batch])
        model = fit_round(estimator, X, y, classes, labeled, seed, state.round)
        history[n] = judge.with_predictions(state, model, X, np.setdiff1d(np.arange(len(y)), labeled), drawn)
        yield history[: n + 1]


@dataclass(frozen=True)
class _Judge:
    """What of a run criteria look at: the classes, or one of several labels, or all of them together.

    Each label of each row is then a case of its own, with the classes 0 and 1.
    """

    task: Task
    label: Any = None
    column: int | None = None

    @classmethod
    def of(cls, results: ExperimentResults, label: Any) -> _Judge:
        """Of a run; `label` is one of several, or ``None``."""
        task, names = of_config(results.config), results.config["classes"]
        if task is VALUES:
            raise ValueError("stopping criteria judge classifiers; this experiment had a regressor")
        if label is None:
            return cls(task)
        if task is not LABELS or label not in names:
            known = f"the labels are {names}" if task is LABELS else "rows of this experiment have one class each"
            raise ValueError(f"label {label!r}: {known}")
        return cls(task, label, names.index(label))

    def accuracies(self, results: ExperimentResults, strategy: str, seed: int) -> dict[int, float]:
        """What stands for the accuracy on the test rows, by round."""
        if self.label is None:
            table, column = results.frame, self.task.main_metric
        else:
            table, column = results.classes[results.classes["label"] == self.label], str(self.task.of_label)
        run = table[(table["strategy"] == strategy) & (table["seed"] == seed)]
        return dict(zip(run["round"].astype(int).tolist(), run[column].astype(float).tolist(), strict=True))

    def hits(self, predicted: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Which cases are predicted rightly, without those that nobody knows."""
        if self.task is ONE_CLASS:
            return predicted == y
        columns = slice(None) if self.column is None else [self.column]
        predicted, y = np.asarray(predicted)[:, columns], y[:, columns]
        return (predicted == y)[~np.isnan(y)]

    def with_predictions(
        self, state: RoundState, model: Any, X: Any, pool: np.ndarray, drawn: np.ndarray
    ) -> RoundState:
        """The state with what a model says of the rows that have no label yet."""
        if not len(pool):
            return state
        in_stop_set = np.flatnonzero(np.isin(pool, drawn))
        names: dict[int, Any] = dict(zip(in_stop_set.tolist(), pool[in_stop_set].tolist(), strict=True))
        if self.task is ONE_CLASS:
            probabilities, classes = model.predict_proba(take_rows(X, pool)), model.classes_
        else:
            of_labels = read(model, take_rows(X, pool)).source.probabilities
            of_labels = of_labels if self.column is None else of_labels[:, [self.column]]
            n_labels, classes = of_labels.shape[1], [0, 1]
            probabilities = np.column_stack([1.0 - of_labels.ravel(), of_labels.ravel()])
            names = {row * n_labels + k: (name, k) for row, name in names.items() for k in range(n_labels)}
        return RoundState.from_probabilities(
            state.round,
            state.n_labeled,
            probabilities,
            classes,
            names,
            validation_accuracy=state.validation_accuracy,
            n_validation=state.n_validation,
        )


def stopping_points(
    results: ExperimentResults,
    criteria: Any,
    *,
    estimator: Any = None,
    X: Any = None,
    y: Any = None,
    n_stop_set: int = 2000,
    by_label: bool = False,
) -> pd.DataFrame:
    """First round at which each criterion advises to stop, for every strategy and seed.

    Parameters
    ----------
    results : ExperimentResults
        Of the experiment.
    criteria : list of StoppingCriterion or str
        As in `get_criterion`.
    estimator : estimator, optional
        With `X` and `y` those of the experiment; see `stopping_history`.
    X : array-like of shape (n_samples, n_features), optional
        Rows of the experiment.
    y : array-like of shape (n_samples,), optional
        Their labels.
    n_stop_set : int, default=2000
        Rows on which models are compared.
    by_label : bool, default=False
        Of several labels a row, whether each is judged by itself (a column ``label``); by default all together.

    Returns
    -------
    DataFrame
        ``strategy``, ``seed``, ``criterion``, ``round`` and ``n_labeled`` (NaN: it never says stop), ``accuracy``
        (on the test rows, at that round; at the end if it never stops; of several labels the mean average precision, or
        the label's average precision), ``final_accuracy``, ``saved`` (share of the
        labels that would not have been needed). Runs that have not ended are left out, with a warning.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.experiment import run_experiment, stopping_points
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
    asked = as_criteria(criteria)
    ends = results.frame.groupby(["strategy", "seed"], sort=False, as_index=False)["round"].max()
    ended = ends["round"] == ends["round"].max()
    if not ended.all():
        warnings.warn(
            f"{int((~ended).sum())} of {len(ends)} runs have not ended; what a criterion would have saved of them is "
            "not known, and they are left out",
            UnfinishedWarning,
            stacklevel=2,
        )
    labels: list[Any] = [None]
    if boolean(by_label, "by_label"):
        labels = list(results.config["classes"])
    lines = []
    given = {"estimator": estimator, "X": X, "y": y, "n_stop_set": n_stop_set}
    for strategy, seed in ends.loc[ended, ["strategy", "seed"]].itertuples(index=False):
        for label in labels:
            histories = stopping_history(results, strategy, seed, **given, label=label)
            stopped, last = _first_stops(asked, histories)
            key = {"strategy": strategy, "seed": seed, **({} if label is None else {"label": label})}
            lines += [_line(key, criterion, at, last) for criterion, at in zip(asked, stopped, strict=True)]
    return pd.DataFrame(lines)


def _line(key: dict[str, Any], criterion: StoppingCriterion, at: RoundState | None, last: RoundState) -> dict[str, Any]:
    """What a criterion would have saved of a run."""
    end = last if at is None else at
    return {
        **key,
        "criterion": criterion.name,
        "round": np.nan if at is None else float(at.round),
        "n_labeled": np.nan if at is None else float(at.n_labeled),
        "accuracy": end.validation_accuracy,
        "final_accuracy": last.validation_accuracy,
        "saved": 1.0 - end.n_labeled / last.n_labeled,
    }


def _first_stops(
    criteria: Sequence[StoppingCriterion], histories: Iterator[list[RoundState]]
) -> tuple[list[RoundState | None], RoundState]:
    """Round at which each criterion first says stop, and the last round."""
    stopped: list[RoundState | None] = [None] * len(criteria)
    for history in histories:
        for i, criterion in enumerate(criteria):
            if stopped[i] is None and criterion.advise(history).stop:
                stopped[i] = history[-1]
    return stopped, history[-1]
