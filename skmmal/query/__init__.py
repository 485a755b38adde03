"""Query strategies: which samples to label next."""

from __future__ import annotations

from typing import Any

from skmmal.query.base import QueryStrategy
from skmmal.query.diversity import CoreSet, KMeansSampling
from skmmal.query.gradient import BADGE, BMMAL
from skmmal.query.random import RandomSampling
from skmmal.query.uncertainty import EntropySampling, LeastConfidenceSampling, MarginSampling
from skmmal.query.view import PoolView

_STRATEGIES: dict[str, type[QueryStrategy]] = {
    "badge": BADGE,
    "bmmal": BMMAL,
    "coreset": CoreSet,
    "entropy": EntropySampling,
    "kmeans": KMeansSampling,
    "least-confidence": LeastConfidenceSampling,
    "margin": MarginSampling,
    "random": RandomSampling,
}

__all__ = [
    "BADGE",
    "BMMAL",
    "CoreSet",
    "EntropySampling",
    "KMeansSampling",
    "LeastConfidenceSampling",
    "MarginSampling",
    "PoolView",
    "QueryStrategy",
    "RandomSampling",
    "available_strategies",
    "get_strategy",
]


def available_strategies() -> list[str]:
    """Names that `get_strategy` knows, in alphabetical order.

    Examples
    --------
    >>> "bmmal" in available_strategies()
    True
    """
    return sorted(_STRATEGIES)


def get_strategy(name: str, **params: Any) -> QueryStrategy:
    """Return a strategy by its name.

    Parameters
    ----------
    name : str
        One of `available_strategies`; case, hyphens and underscores do not matter.
    **params
        The strategy's parameters.

    Returns
    -------
    QueryStrategy

    Raises
    ------
    ValueError
        There is no such strategy.

    Examples
    --------
    >>> get_strategy("bmmal", random_state=0)
    BMMAL(random_state=0)
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    by_plain_name = {_plain(known): strategy for known, strategy in _STRATEGIES.items()}
    if _plain(name) not in by_plain_name:
        raise ValueError(f"unknown strategy {name!r}; there are {available_strategies()}")
    return by_plain_name[_plain(name)](**params)


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
