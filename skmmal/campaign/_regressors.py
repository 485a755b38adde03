"""Regressors that a campaign can keep without pickle: those of scikit-learn, and what is built of its parts."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline

from skmmal._persistence import decode, encode

__all__ = ["decoded_regressor", "encoded_regressor", "usual_regressor"]

_KNOWN = ("sklearn", "skmmal")
"""Packages whose classes are read back; nothing else is imported."""


def usual_regressor() -> Any:
    """Ridge regression on all modalities side by side; what is missing counts as its mean.

    The regularization is found by leave-one-out on the labeled rows.
    """
    return make_pipeline(SimpleImputer(keep_empty_features=True), RidgeCV(alphas=np.logspace(-2, 6, 17)))


def encoded_regressor(estimator: Any) -> Any:
    """Estimator as JSON: names of classes, and their parameters.

    Raises
    ------
    TypeError
        A part of it is none of scikit-learn's or skmmal's, or has a parameter that is no plain value.
    """
    if _place(estimator) is None:
        raise TypeError(
            f"estimator: {type(estimator).__name__} is no class of scikit-learn or skmmal, by whose name it could be "
            "read back; a Pipeline of their parts can be"
        )
    value = encode("estimator", estimator, lambda part: _place(part) is not None)
    return {"modules": _places(estimator), "value": value}


def decoded_regressor(content: Any) -> Any:
    """Invert `encoded_regressor`."""
    places = content["modules"]

    def class_of(name: str) -> Any:
        module = str(places[name])
        if module.split(".")[0] not in _KNOWN:
            raise KeyError(f"{module}.{name}")
        found = getattr(import_module(module), name)
        if not (isinstance(found, type) and issubclass(found, BaseEstimator)):
            raise TypeError(f"{module}.{name} is no estimator")
        return found

    return decode(content["value"], class_of)


def _place(part: Any) -> str | None:
    """Public module of an estimator's class; ``None`` where it has none that is read back."""
    kind = type(part)
    package, *path = kind.__module__.split(".")
    if package not in _KNOWN or not isinstance(part, BaseEstimator):
        return None
    public = [package]
    for name in path:
        if name.startswith("_"):
            break
        public.append(name)
    module = ".".join(public)
    return module if getattr(import_module(module), kind.__name__, None) is kind else None


def _places(estimator: Any) -> dict[str, str]:
    """Modules of all classes in an estimator, by their names."""
    found: dict[str, str] = {}
    waiting = [estimator]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
        elif (place := _place(part)) is not None:
            if found.setdefault(type(part).__name__, place) != place:
                raise TypeError(f"estimator holds two classes that are called {type(part).__name__}")
            waiting += part.get_params(deep=False).values()
    return dict(sorted(found.items()))
