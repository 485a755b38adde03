"""More to measure of a fitted model than numbers: tables, such as curves under disturbances."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
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

    Examples
    --------
    >>> from skmmal.experiment import Evaluation
    >>> sorted(Evaluation.__abstractmethods__)  # what one of your own says
    ['__call__']
    """

    def __init__(self, *, every_round: bool = False) -> None:
        self.every_round = every_round

    @abstractmethod
    def __call__(self, model: Any, X: Any, y: Any, random_state: int) -> pd.DataFrame:
        """Make the table.

        Parameters
        ----------
        model : fitted classifier
        X : array-like, DataFrame, mapping or MultimodalArray
        y : array-like of shape (n_samples,)
            The test rows and their labels.
        random_state : int
            Follows from the seed of the run and the evaluation's name: every strategy and round meets the same
            disturbances.

        Returns
        -------
        DataFrame
            Numbers, strings and booleans.
        """


class _Curve(Evaluation):
    """A curve of `skmmal.robustness`; the parameters are those of its function."""

    _function: Callable[..., pd.DataFrame]
    _draws = True
    """Whether anything is drawn at random."""

    def __call__(self, model: Any, X: Any, y: Any, random_state: int) -> pd.DataFrame:
        """Make the table."""
        options = self.get_params(deep=False)
        del options["every_round"]
        if self._draws:
            options["random_state"] = random_state
        return self._function(model, X, y, **options)


class MissingRates(_Curve):
    """Accuracy under missing rates: `skmmal.robustness.missing_curve`.

    Parameters
    ----------
    rates : sequence of float in [0, 1]
        Shares of the rows that lose the modality.
    modality : str or sequence of str, optional
        Which goes missing; by default every one in turn, then all.
    n_repeats : int, default=3
        Draws of the rows.
    every_round : bool, default=False
        Evaluate after every round; otherwise after the last.

    Examples
    --------
    >>> MissingRates(rates=[0, 0.5], n_repeats=1)
    MissingRates(n_repeats=1, rates=[0, 0.5])
    """

    _function = staticmethod(robustness.missing_curve)

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


class Noise(_Curve):
    """Accuracy under Gaussian noise: `skmmal.robustness.noise_curve`.

    Parameters
    ----------
    levels : sequence of float, at least 0
        Standard deviations of the noise, in units of each feature's own.
    modality : str or sequence of str, optional
        Which is noisy; by default every one in turn, then all.
    n_repeats : int, default=3
        Draws of the noise.
    every_round : bool, default=False
        Evaluate after every round; otherwise after the last.

    Examples
    --------
    >>> Noise(levels=[0, 1], modality="image")
    Noise(levels=[0, 1], modality='image')
    """

    _function = staticmethod(robustness.noise_curve)

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


class Adversarial(_Curve):
    """Accuracy under adversarial steps: `skmmal.robustness.adversarial_curve`.

    Parameters
    ----------
    method : {"fgsm", "pgd"}, default="fgsm"
        One step or several; see there, as for all but the last.
    norm : {"l2", "linf"}, default="l2"
        Shape of the ball.
    levels : sequence of float, at least 0
        Radii of the ball.
    modality : str or sequence of str, optional
        Which is shifted; by default every one in turn, then all.
    relative : bool, default=True
        Whether radii are in units of a block's root-mean-square row norm.
    target : str, default="fused"
        The head whose loss grows.
    n_steps : int, default=10
        Of ``"pgd"``.
    step_size : float, optional
        Of ``"pgd"``.
    every_round : bool, default=False
        Evaluate after every round; otherwise after the last.

    Examples
    --------
    >>> Adversarial("pgd", norm="linf")
    Adversarial(method='pgd', norm='linf')
    """

    _function = staticmethod(robustness.adversarial_curve)
    _draws = False

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


EVALUATIONS = {
    "missing": MissingRates(),
    "noise": Noise(),
    "fgsm": Adversarial("fgsm"),
    "pgd": Adversarial("pgd"),
}
"""Evaluations by name."""


def resolve_evaluations(evaluations: Any) -> dict[str, Any]:
    """Name the evaluations.

    Parameters
    ----------
    evaluations : dict of str to Evaluation, function or str; sequence of str; str; or None
        A list's are named by the names in `EVALUATIONS`.

    Returns
    -------
    dict of str to Evaluation or function
        Clones.
    """
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
    """Whether an evaluation is made after a round.

    Parameters
    ----------
    evaluation : Evaluation or function
        A plain function's is made after the last.
    round_ : int
        The round that has ended.
    last : int
        The last round.

    Returns
    -------
    bool
    """
    return round_ == last or bool(getattr(evaluation, "every_round", False))


def table_of(name: str, evaluation: Any, model: Any, X: Any, y: Any, random_state: int) -> dict[str, list[Any]]:
    """Make the table; return its columns as plain lists, which JSON can hold.

    Parameters
    ----------
    name : str
        What the evaluation is called, for error messages.
    evaluation : Evaluation or function
        What makes the table.
    model : fitted classifier
        What is evaluated.
    X : array-like, DataFrame, mapping or MultimodalArray
        The test rows.
    y : array-like of shape (n_samples,)
        Their labels.
    random_state : int
        For the evaluation.

    Returns
    -------
    dict of str to list

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
