"""The criteria by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skmmal._registry import entries, find
from skmmal.stopping._base import StoppingCriterion

__all__ = ["as_criteria", "available_criteria", "get_criterion"]


def available_criteria() -> list[str]:
    """Names that `get_criterion` knows.

    Returns
    -------
    list of str
        Sorted.

    Examples
    --------
    >>> from skmmal.stopping import available_criteria
    >>> "budget" in available_criteria()
    True
    """
    return list(entries("stopping"))


def get_criterion(name: str, **params: Any) -> StoppingCriterion:
    """Return a criterion by its name; ``NAME=VALUE`` sets its threshold.

    Parameters
    ----------
    name : str
        One of `available_criteria` or the class's name (case, hyphens and underscores do not matter), or such as
        ``"budget=500"``: what is enough for this criterion, such as the labels of a budget, the target of an accuracy,
        the rounds of a patience, the threshold of the others.
    **params : object
        The criterion's parameters.

    Returns
    -------
    StoppingCriterion
        With these parameters, checked.

    Raises
    ------
    ValueError
        There is no such criterion, or the value does not fit.

    Examples
    --------
    >>> from skmmal.stopping import get_criterion
    >>> get_criterion("budget=500")
    Budget(max_labels=500)
    >>> get_criterion("predicted-f-change=0.1")
    PredictedFChange(threshold=0.1)
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    plain, equals, value = (part.strip() for part in name.partition("="))
    kind = find("stopping", plain).load()
    parameter = kind.main_parameter
    if equals and parameter in params:
        raise ValueError(f"{name!r} sets {parameter}, and so does {parameter}={params[parameter]!r}")
    return kind(**params, **({parameter: _number(value)} if equals else {})).checked()


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def as_criteria(criteria: Any) -> list[StoppingCriterion]:
    """Criteria from objects, names, or a mix of them.

    Parameters
    ----------
    criteria : str, StoppingCriterion, or a list of them
        Names as `get_criterion` takes them.

    Returns
    -------
    list of StoppingCriterion
        Checked.

    Raises
    ------
    TypeError
        Something in it is neither a criterion nor a name.
    ValueError
        A name is not known, or a parameter cannot be used.

    Examples
    --------
    >>> from skmmal.stopping import Patience, as_criteria
    >>> as_criteria(["budget=500", Patience()])
    [Budget(max_labels=500), Patience()]
    """
    if isinstance(criteria, str | StoppingCriterion):
        criteria = [criteria]
    if isinstance(criteria, Mapping) or not hasattr(criteria, "__iter__"):
        raise TypeError(f"criteria must be a list of stopping criteria or their names, got {criteria!r}")
    asked = [get_criterion(value) if isinstance(value, str) else value for value in criteria]
    for value in asked:
        if not isinstance(value, StoppingCriterion):
            raise TypeError(f"criteria holds {value!r}, which is not a StoppingCriterion")
        value.checked()
    return asked
