"""Arguments that are on their way to an estimator's ``fit``: told from misspelt names of our own."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from sklearn import get_config
from sklearn.pipeline import Pipeline

from skmmal._names import nearest

__all__ = ["check_fit_arguments"]

_CUTOFF = 0.8
"""How alike two names must be for one to be the other, misspelt: others are on their way to an estimator."""


def check_fit_arguments(caller: str, names: Iterable[str], own: Iterable[str], estimator: Any) -> None:
    """Raise `TypeError` for a name that neither the caller nor the estimator's `fit` takes.

    Parameters
    ----------
    caller : str
        Whose arguments they are, for the error message.
    names : iterable of str
    own : iterable of str
        The caller's own arguments, for the hint.
    estimator : object
        ``None`` takes anything but what looks like a misspelt own name.
    """
    own = list(own)
    for name in names:
        takes = None if estimator is None else _fit_takes(estimator, name)
        near = nearest(name, own, _CUTOFF)
        meant = f"; did you mean {near}?" if near else ""
        if takes or (takes is None and not meant):
            continue
        fit = "an estimator's fit" if estimator is None else f"{type(estimator).__name__}.fit"
        where = f"neither {caller}'s nor one of {fit}"
        if isinstance(estimator, Pipeline) and not meant and "__" not in name:
            meant = f"; a Pipeline's are named after the step: {estimator.steps[-1][0]}__{name}"
        raise TypeError(f"{name} is no argument that is known here: {where}{meant}")


def _fit_takes(estimator: Any, name: str) -> bool | None:
    """Whether `fit` takes an argument of that name; ``None`` where there is no telling."""
    if isinstance(estimator, Pipeline):
        step, _, rest = name.partition("__")
        if rest and step in estimator.named_steps:
            inner = estimator.named_steps[step]
            return True if inner is None or isinstance(inner, str) else _fit_takes(inner, rest)
        return None if _routes() else False
    fit = getattr(estimator, "fit", None)
    if fit is None:
        return False
    try:
        parameters = inspect.signature(fit).parameters
    except (TypeError, ValueError):  # written in C, or without a signature
        return None
    # X and y come first, whatever they are called
    if name in list(parameters)[2:] and parameters[name].kind is not inspect.Parameter.VAR_KEYWORD:
        return True
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return False
    inner = getattr(estimator, "estimator", None)
    # a meta-estimator hands on what it does not take itself
    return _fit_takes(inner, name) if inner is not None and hasattr(inner, "fit") and not _routes() else None


def _routes() -> bool:
    return bool(get_config().get("enable_metadata_routing", False))
