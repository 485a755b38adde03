"""More to measure of a fitted model than numbers: tables, such as curves under disturbances."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from skmmal import robustness
from skmmal._arrays import naming
from skmmal._names import find_name

__all__ = [
    "EVALUATIONS",
    "Adversarial",
    "Evaluation",
    "MissingRates",
    "Noise",
    "due",
    "resolve_evaluations",
    "table_of",
]

KEYS = ("strategy", "seed", "round", "n_labeled")


class Evaluation(ABC, BaseEstimator):
    """A table to be made of a fitted model and the test rows.

    Subclasses store their parameters verbatim, `every_round` among them.

    Parameters
    ----------
    every_round : bool, default=False
        Evaluate after every round; otherwise after the last.
    """

    def __init__(self, *, every_round: bool = False) -> None:
        self.every_round = every_round

    @abstractmethod
    def __call__(self, model: Any, X: Any, y: Any, random_state: int) -> pd.DataFrame:
        """Make the table.

        Parameters
        ----------
        model : fitted classifier
        X, y
            The test rows.
        random_state : int
            Follows from the seed of the run and the evaluation's name: every strategy and round meets the same
            disturbances.

        Returns
        -------
        DataFrame
            Numbers, strings and booleans.
        """


class MissingRates(Evaluation):
    """Accuracy under missing rates: `skmmal.robustness.missing_curve`.

    Parameters
    ----------
    rates, modality, n_repeats
        See there.
    every_round : bool, default=False
        Evaluate after every round; otherwise after the last.

    Examples
    --------
    >>> MissingRates(rates=[0, 0.5], n_repeats=1)
    MissingRates(n_repeats=1, rates=[0, 0.5])
    """

    def __init__(
        self,
        rates: Sequence[float] = robustness.RATES,
        *,
        modality: str | Sequence[str] | None = None,
        n_repeats: int = 3,
        every_round: bool = False,
    ) -> None:
        super().__init__(every_round=every_round)
        self.rates = rates
        self.modality = modality
        self.n_repeats = n_repeats

    def __call__(self, model: Any, X: Any, y: Any, random_state: int) -> pd.DataFrame:
        """Make the table."""
        return robustness.missing_curve(
            model,
            X,
            y,
            modality=self.modality,
            rates=self.rates,
            n_repeats=self.n_repeats,
            random_state=random_state,
        )


class Noise(Evaluation):
    """Accuracy under Gaussian noise: `skmmal.robustness.noise_curve`.

    Parameters
    ----------
    levels, modality, n_repeats
        See there.
    every_round : bool, default=False
        Evaluate after every round; otherwise after the last.

    Examples
    --------
    >>> Noise(levels=[0, 1], modality="image")
    Noise(levels=[0, 1], modality='image')
    """

    def __init__(
        self,
        levels: Sequence[float] = robustness.NOISE_LEVELS,
        *,
        modality: str | Sequence[str] | None = None,
        n_repeats: int = 3,
        every_round: bool = False,
    ) -> None:
        super().__init__(every_round=every_round)
        self.levels = levels
        self.modality = modality
        self.n_repeats = n_repeats

    def __call__(self, model: Any, X: Any, y: Any, random_state: int) -> pd.DataFrame:
        """Make the table."""
        return robustness.noise_curve(
            model,
            X,
            y,
            modality=self.modality,
            levels=self.levels,
            n_repeats=self.n_repeats,
            random_state=random_state,
        )


class Adversarial(Evaluation):
    """Accuracy under adversarial steps: `skmmal.robustness.adversarial_curve`.

    Parameters
    ----------
    method, norm, levels, modality, relative, target, n_steps, step_size
        See there.
    every_round : bool, default=False
        Evaluate after every round; otherwise after the last.

    Examples
    --------
    >>> Adversarial("pgd", norm="linf")
    Adversarial(method='pgd', norm='linf')
    """

    def __init__(
        self,
        method: str = "fgsm",
        *,
        norm: str = "l2",
        levels: Sequence[float] = robustness.ATTACK_LEVELS,
        modality: str | Sequence[str] | None = None,
        relative: bool = True,
        target: str = "fused",
        n_steps: int = 10,
        step_size: float | None = None,
        every_round: bool = False,
    ) -> None:
        super().__init__(every_round=every_round)
        self.method = method
        self.norm = norm
        self.levels = levels
        self.modality = modality
        self.relative = relative
        self.target = target
        self.n_steps = n_steps
        self.step_size = step_size

    def __call__(self, model: Any, X: Any, y: Any, random_state: int) -> pd.DataFrame:
        """Make the table; nothing is drawn."""
        options = self.get_params(deep=False)
        options.pop("every_round")
        return robustness.adversarial_curve(model, X, y, **options)


EVALUATIONS = {
    "missing": MissingRates(),
    "noise": Noise(),
    "fgsm": Adversarial("fgsm"),
    "pgd": Adversarial("pgd"),
}
"""Evaluations by name."""


def resolve_evaluations(evaluations: Any) -> dict[str, Any]:
    """Name the evaluations: a dict as it is, a list by the names in `EVALUATIONS`."""
    if evaluations is None:
        return {}
    if isinstance(evaluations, str):
        evaluations = [evaluations]
    if isinstance(evaluations, Mapping):
        named = list(evaluations.items())
    elif isinstance(evaluations, Iterable):
        named = [(_registered(value) if isinstance(value, str) else value, value) for value in evaluations]
    else:
        raise TypeError(f"evaluations must be a dict or a list of names, got {evaluations!r}")
    resolved: dict[str, Any] = {}
    for name, value in named:
        if not isinstance(name, str) or not name:
            raise TypeError(f"evaluations: a name must be a non-empty string, got {name!r}; give a dict for objects")
        if name in resolved:
            raise ValueError(f"evaluations holds {name!r} twice")
        if isinstance(value, str):
            value = EVALUATIONS[_registered(value)]
        if not callable(value):
            raise TypeError(f"evaluations[{name!r}] must be an Evaluation, a function or a name, got {value!r}")
        resolved[name] = clone(value) if isinstance(value, BaseEstimator) else value
    return resolved


def _registered(name: str) -> str:
    with naming("evaluations"):
        return find_name(name, list(EVALUATIONS), "name")


def due(evaluation: Any, round_: int, last: int) -> bool:
    """Whether an evaluation is made after a round; a plain function's, after the last."""
    return round_ == last or bool(getattr(evaluation, "every_round", False))


def table_of(name: str, evaluation: Any, model: Any, X: Any, y: Any, random_state: int) -> dict[str, list[Any]]:
    """Make the table; return its columns as plain lists, which JSON can hold.

    Raises
    ------
    TypeError, ValueError
        It is no DataFrame, has no row, holds something else than numbers, strings and booleans, or a column that the
        results have already.
    """
    table = evaluation(model, X, y, random_state=random_state)
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"evaluations[{name!r}] returned a {type(table).__name__}, expected a DataFrame")
    if table.empty:
        raise ValueError(f"evaluations[{name!r}] returned an empty table")
    columns: dict[str, list[Any]] = {}
    for column in table.columns:
        if not isinstance(column, str) or column in KEYS or column in columns:
            raise ValueError(f"evaluations[{name!r}]: a column must have a name of its own, got {column!r}")
        values = [value.item() if isinstance(value, np.generic) else value for value in table[column].tolist()]
        wrong = [value for value in values if not isinstance(value, bool | int | float | str)]
        if wrong:
            raise TypeError(
                f"evaluations[{name!r}]: column {column!r} holds {wrong[0]!r}, expected numbers, strings or booleans"
            )
        columns[column] = values
    return columns
