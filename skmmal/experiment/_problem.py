"""What an experiment is: data, strategies, budgets. Everything is checked here, before anything runs."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import get_scorer
from sklearn.utils.validation import check_consistent_length

from skmmal._arrays import boolean, integer, numeric, off_device
from skmmal._fitted import check_estimator
from skmmal._sklearn import num_samples
from skmmal._store import digest, fingerprint
from skmmal.experiment._annotator import check_annotator
from skmmal.experiment._evaluations import resolve_evaluations
from skmmal.experiment._tasks import LABELS, ONE_CLASS, VALUES, Task, task_of
from skmmal.modalities import as_multimodal, is_multimodal
from skmmal.modalities._blocks import refuse_unread
from skmmal.modalities._mapped import in_memory_bytes, opened, packed
from skmmal.modalities._rows import check_same_rows, rows_of
from skmmal.query import QueryStrategy, available_strategies, get_strategy, strategy_name
from skmmal.query._refusals import groups_refusal, label_refusal, model_refusal
from skmmal.query._units import group_codes, row_costs

__all__ = ["Problem", "describe", "make_problem", "random_seed", "resolve_seeds"]

OWN_COLUMNS = (
    "strategy",
    "seed",
    "round",
    "n_labeled",
    "n_skipped",
    "n_wrong",
    "accuracy",
    "balanced_accuracy",
    "ece",
    "shapley_imbalance",
    "n_groups",
    "cost",
)
TIMINGS = ("fit_seconds", "query_seconds")
METRIC_PREFIXES = ("accuracy_", "balanced_accuracy_", "contribution_", "weaker_weight_")
"""Beside those of `Task.metrics`."""


@dataclass(frozen=True, eq=False)
class Problem:
    """All that a worker needs to run one strategy with one seed."""

    estimator: Any
    strategies: dict[str, QueryStrategy]
    X: Any
    y: np.ndarray
    X_test: Any
    y_test: np.ndarray
    classes: np.ndarray
    n_initial: int
    n_instances: int
    n_rounds: int
    initial_name: str
    initial: QueryStrategy
    scorers: dict[str, Any]
    evaluations: dict[str, Any]
    annotator: Any = None
    task: Task = ONE_CLASS
    groups: np.ndarray | None = None
    costs: np.ndarray | None = None
    class_balance: bool = False

    def units(self, rows: np.ndarray | slice = slice(None)) -> dict[str, Any]:
        """What a strategy is told of some rows: their groups and costs, where there are any."""
        given = {"groups": self.groups, "costs": self.costs}
        return {name: values[rows] for name, values in given.items() if values is not None}

    def spent(self, rows: np.ndarray) -> dict[str, float]:
        """How many groups some rows are, and what they cost."""
        found: dict[str, float] = {}
        if self.groups is not None:
            found["n_groups"] = len(np.unique(self.groups[rows]))
        if self.costs is not None:
            found["cost"] = math.fsum(self.costs[rows])
        return found

    def __sizeof__(self) -> int:
        # joblib's Dask backend sends arguments that are large once to every worker, not once per task
        return sum(_n_bytes(part) for part in (self.X, self.X_test, self.y, self.y_test))

    def __getstate__(self) -> dict[str, Any]:
        return {name: packed(value) for name, value in vars(self).items()}  # a mapped matrix: where it lies

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({name: opened(value) for name, value in state.items()})


def _n_bytes(X: Any) -> int:
    """Bytes that are sent with X: none of what lies in mapped files."""
    return sum(map(in_memory_bytes, X.blocks.values() if is_multimodal(X) else [X]))


def make_problem(
    estimator: Any,
    strategies: Any,
    X: Any,
    y: Any,
    X_test: Any,
    y_test: Any,
    n_initial: int,
    n_instances: int,
    n_rounds: int,
    initial: str | QueryStrategy,
    scoring: Any,
    evaluations: Any = None,
    annotator: Any = None,
    groups: Any = None,
    costs: Any = None,
    class_balance: Any = False,
) -> Problem:
    """Check the arguments of `run_experiment` and bring them into one form."""
    check_same_rows({**rows_of(X, "X"), "groups": groups, "costs": costs})
    estimator, task = _check_estimator(estimator), task_of(estimator, y)
    names = task.names(y) if task is LABELS else None
    X, y = _check_data(X, y, "X", "y", task)
    X_test, y_test = _check_data(X_test, y_test, "X_test", "y_test", task, names)
    if X.shape[1] != X_test.shape[1]:
        raise ValueError(f"X has {X.shape[1]} columns, X_test has {X_test.shape[1]}")
    n_initial = integer(n_initial, "n_initial", 1)
    n_instances = integer(n_instances, "n_instances", 1)
    n_rounds = integer(n_rounds, "n_rounds", 0)
    groups = None if groups is None else group_codes(groups, len(y), "groups", "X")
    costs = None if costs is None else row_costs(costs, len(y), "costs", "X")
    wanted, n_units = n_initial + n_rounds * n_instances, len(y) if groups is None else int(groups.max()) + 1
    if wanted > n_units:
        raise ValueError(
            f"n_initial={n_initial} and n_rounds={n_rounds} of n_instances={n_instances} need {wanted} "
            f"{'rows' if groups is None else 'groups'} to label, X has {n_units}"
        )
    initial_name, initial_strategy = _check_initial(initial)
    resolved = resolve_strategies(strategies)
    by_units = groups is not None or costs is not None
    _check_served(resolved, initial_strategy, task, by_units=by_units)
    if boolean(class_balance, "class_balance") and (by_units or task is not ONE_CLASS):
        raise ValueError(
            "class_balance=True is about single rows, each of one class: not with groups or costs, several labels a "
            "row, or a regressor"
        )
    return Problem(
        estimator=estimator,
        strategies=resolved,
        X=X,
        y=y,
        X_test=X_test,
        y_test=y_test,
        classes=task.names(y, y, y_test) if names is None else names,
        n_initial=n_initial,
        n_instances=n_instances,
        n_rounds=n_rounds,
        initial_name=initial_name,
        initial=initial_strategy,
        scorers=_resolve_scorers(scoring, task),
        evaluations=resolve_evaluations(evaluations),
        annotator=check_annotator(annotator, several_labels=task is LABELS),
        task=task,
        groups=groups,
        costs=costs,
        class_balance=class_balance,
    )


# ------------------------------------------------------------------------------------------------------- checks


def _check_estimator(estimator: Any) -> Any:
    check_estimator(estimator)
    if not hasattr(estimator, "get_params"):
        raise TypeError(
            f"estimator: run_experiment fits a fresh clone in every round, and {type(estimator).__name__} cannot be "
            "cloned: it has no get_params. Derive its class from sklearn.base.BaseEstimator"
        )
    return clone(estimator)


def _check_data(
    X: Any, y: Any, X_name: str, y_name: str, task: Task, names: np.ndarray | None = None
) -> tuple[Any, np.ndarray]:
    check_same_rows({**rows_of(X, X_name), y_name: y})
    refuse_unread(X, X_name)
    X, y = off_device(X), off_device(y)
    if is_multimodal(X):
        X = as_multimodal(X)
    elif not hasattr(X, "shape"):
        X = numeric(X, X_name)
    if len(X.shape) != 2 or X.shape[0] == 0:
        raise ValueError(f"{X_name} must have shape (n_samples, n_features) with at least one row, found {X.shape}")
    y = task.checked(y, y_name, names)
    if num_samples(X) != len(y):
        raise ValueError(f"{X_name} has {num_samples(X)} rows, {y_name} has {len(y)}")
    check_consistent_length(X, y)
    return X, y


def _check_served(
    strategies: Mapping[str, QueryStrategy], initial: QueryStrategy, task: Task, *, by_units: bool
) -> None:
    """Refuse strategies that cannot do what the experiment is about, before anything runs."""
    for strategy in (*strategies.values(), initial):
        if by_units and not strategy.supports_groups:
            raise ValueError(groups_refusal(type(strategy).__name__))
    for strategy in strategies.values():
        if task is LABELS and not strategy.supports_multi_label:
            raise ValueError(label_refusal(type(strategy).__name__))
        if task is VALUES and strategy.requires_model:
            raise TypeError(model_refusal(type(strategy).__name__))


def resolve_strategies(strategies: Any) -> dict[str, QueryStrategy]:
    """Name the strategies: a dict as it is, a list by the strategies' own names."""
    if isinstance(strategies, str | QueryStrategy):
        strategies = [strategies]
    if isinstance(strategies, Mapping):
        named = [(name, value) for name, value in strategies.items()]
    elif isinstance(strategies, Iterable):
        named = [(_own_name(value), value) for value in strategies]
    else:
        raise TypeError(f"strategies must be a list or a dict of strategies or their names, got {strategies!r}")
    if not named:
        raise ValueError(f"strategies is empty; there are {available_strategies()}")
    resolved: dict[str, QueryStrategy] = {}
    for name, value in named:
        if not isinstance(name, str) or not name:
            raise TypeError(f"strategies: a name must be a non-empty string, got {name!r}")
        if name in resolved:
            raise ValueError(f"strategies holds {name!r} twice; give a dict with a name for each")
        resolved[name] = _resolve_strategy(value, f"strategies[{name!r}]")
    return resolved


def _resolve_strategy(value: Any, argument: str) -> QueryStrategy:
    if isinstance(value, str):
        return get_strategy(value)
    if isinstance(value, QueryStrategy):
        return clone(value)
    raise TypeError(f"{argument} must be a QueryStrategy or its name, got {value!r}")


def _own_name(value: Any) -> str:
    strategy = get_strategy(value) if isinstance(value, str) else value
    return strategy_name(strategy) or type(strategy).__name__


def _check_initial(initial: Any) -> tuple[str, QueryStrategy]:
    strategy = _resolve_strategy(initial, "initial")
    if strategy.requires_model:
        able = available_strategies(needs_model=False)
        raise ValueError(f"initial={initial!r} needs a fitted model, and there is none yet; use one of {able}")
    return _own_name(initial), strategy


def _resolve_scorers(scoring: Any, task: Task) -> dict[str, Any]:
    if scoring is None:
        return {}
    if isinstance(scoring, str):
        scoring = [scoring]
    named = dict(scoring) if isinstance(scoring, Mapping) else {name: name for name in scoring}
    for name in named:
        if not isinstance(name, str):
            raise TypeError(f"scoring must name its scorers, got {name!r}; give a dict for callables")
        taken = (*OWN_COLUMNS, *TIMINGS, *task.metrics)
        if name in taken or name.startswith((*METRIC_PREFIXES, *(f"{metric}_" for metric in task.metrics))):
            raise ValueError(f"scoring: {name!r} is the name of a column that is there already; give it another name")
    return {name: get_scorer(scorer) for name, scorer in named.items()}


def resolve_seeds(seeds: Any) -> list[int]:
    """A number n as the seeds 0 to n − 1, a list as it is."""
    if isinstance(seeds, Integral) and not isinstance(seeds, bool):
        return list(range(integer(seeds, "seeds", 1)))
    if isinstance(seeds, str | bool) or not isinstance(seeds, Iterable):
        raise TypeError(f"seeds must be a number of seeds or a list of integers, got {seeds!r}")
    found = [integer(seed, "seeds", 0) for seed in seeds]
    if not found or len(set(found)) < len(found):
        raise ValueError(f"seeds must be distinct and not empty, got {found}")
    return found


# --------------------------------------------------------------------------------------------------- randomness


def random_seed(*key: str | int) -> int:
    """Seed for a purpose: a function of its name alone, so that no order of execution can change it."""
    hashed = hashlib.sha256(json.dumps(key).encode()).digest()
    return int.from_bytes(hashed[:4], "little") >> 1  # numpy and torch take 31 bits everywhere


def set_random_states(estimator: BaseEstimator, *key: str | int) -> None:
    """Set every ``random_state`` of an estimator, nested ones too."""
    names = [name for name in sorted(estimator.get_params()) if name.split("__")[-1] == "random_state"]
    estimator.set_params(**{name: random_seed(*key, name) for name in names})


# -------------------------------------------------------------------------------------------------- description


def describe(problem: Problem, seeds: list[int], *, data: bool) -> dict[str, Any]:
    """What determines the results, as JSON; with `data`, fingerprints of the arrays too."""
    description: dict[str, Any] = {
        "estimator": _describe_estimator(problem.estimator),
        "strategies": {name: _describe_estimator(strategy) for name, strategy in problem.strategies.items()},
        "initial": {"name": problem.initial_name, **_describe_estimator(problem.initial)},
        "n_initial": problem.n_initial,
        "n_instances": problem.n_instances,
        "n_rounds": problem.n_rounds,
        "seeds": seeds,
        "classes": [plain(label) for label in problem.classes],
        "scoring": {name: _describe_value(scorer) for name, scorer in problem.scorers.items()},
        "n_pool": len(problem.y),
        "n_test": len(problem.y_test),
    }
    # runs without any are described as they always were
    if problem.evaluations:
        description["evaluations"] = {name: _describe_any(value) for name, value in problem.evaluations.items()}
    if problem.task is not ONE_CLASS:
        description["task"] = problem.task.name
    if problem.annotator is not None:
        description["annotator"] = _describe_any(problem.annotator)
    if problem.class_balance:
        description["class_balance"] = True
    if is_multimodal(problem.X):
        description["modalities"] = {name: _describe_value(width) for name, width in problem.X.modalities.items()}
    if data:
        description["data"] = {
            "X": _fingerprint(problem.X),
            "y": _fingerprint_labels(problem.y),
            "X_test": _fingerprint(problem.X_test),
            "y_test": _fingerprint_labels(problem.y_test),
        }
        description["data"].update({name: _fingerprint_labels(values) for name, values in problem.units().items()})
    elif problem.units():
        description["units"] = sorted(problem.units())
    return description


def plain(value: Any) -> Any:
    """A label or number as JSON holds it."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, bool | int | float | str) else str(value)


_LATER = {"modality_weights": None, "prior": None, "aggregate": "mean"}
"""Parameters that runs of earlier versions do not name, and what they have stood for."""


def _describe_estimator(estimator: Any) -> dict[str, Any]:
    # random states are left out: the seeds replace them
    params = {
        name: _describe_value(value)
        for name, value in sorted(estimator.get_params().items())
        if name.split("__")[-1] != "random_state" and not hasattr(value, "get_params")
    }
    # a run without any is described as it always was
    later = {name for name in params if name.split("__")[-1] in _LATER}
    params = {
        name: value
        for name, value in params.items()
        if name not in later or value != _describe_value(_LATER[name.split("__")[-1]])
    }
    return {"class": _path_of(type(estimator)), "params": params}


def _describe_any(value: Any) -> Any:
    return _describe_estimator(value) if hasattr(value, "get_params") else _describe_value(value)


def _path_of(named: Any) -> str:
    """Where a class or function is imported from; of ours the public place, which stays when a file moves."""
    module, name = named.__module__, named.__qualname__
    if f"{module}.".startswith("skmmal."):
        package = module.partition("._")[0]
        if getattr(sys.modules.get(package), name, None) is named:
            return f"{package}.{name}"
    return f"{module}.{name}"


def _describe_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list) and all(isinstance(part, str | QueryStrategy) for part in value):
        return [_describe_any(part) for part in value]
    if isinstance(value, tuple | list) and all(not hasattr(part, "get_params") for part in value):
        return [_describe_value(part) for part in value]
    if isinstance(value, Mapping):
        return {str(name): _describe_value(part) for name, part in value.items()}
    if isinstance(value, slice):
        return str(value)
    if hasattr(value, "__qualname__"):  # a function or a class
        return _path_of(value)
    try:
        return f"{type(value).__name__} {joblib.hash(_without_estimators(value))}"
    except pickle.PicklingError:
        return type(value).__qualname__


def _without_estimators(value: Any) -> Any:
    # a Pipeline's list of steps: the steps' own parameters are described one by one
    if isinstance(value, tuple | list):
        return [_without_estimators(part) for part in value]
    return type(value).__qualname__ if hasattr(value, "get_params") else value


def _fingerprint(X: Any) -> str:
    if is_multimodal(X):
        return fingerprint(X.blocks)
    if hasattr(X, "tocsr"):
        return str(joblib.hash(X, hash_name="sha1"))
    return fingerprint({"": np.asarray(X)})


def _fingerprint_labels(y: np.ndarray) -> str:
    if y.ndim == 2:
        return fingerprint({"": y})
    return digest(json.dumps([plain(label) for label in y]).encode())
