"""Query strategies: which samples to label next."""

from __future__ import annotations

from typing import Any

from skmmal._names import find_name
from skmmal.query.base import QueryStrategy
from skmmal.query.bayesian import BALD, EPIG, PowerBALD
from skmmal.query.design import MVOPT
from skmmal.query.gradient import BADGE, BMMAL
from skmmal.query.uncertainty import EntropySampling, LeastConfidenceSampling, MarginSampling

_STRATEGIES: dict[str, type[QueryStrategy]] = {
    "badge": BADGE,
    "bald": BALD,
    "bmmal": BMMAL,
    "entropy": EntropySampling,
    "epig": EPIG,
    "least-confidence": LeastConfidenceSampling,
    "margin": MarginSampling,
    "mvopt": MVOPT,
    "powerbald": PowerBALD,
}

__all__ = [
    "BADGE",
    "BALD",
    "BMMAL",
    "EPIG",
    "MVOPT",
    "EntropySampling",
    "LeastConfidenceSampling",
    "MarginSampling",
    "PowerBALD",
    "QueryStrategy",
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
        One of `available_strategies`, or the class's name; case, hyphens and underscores do not matter.
    **params
        The strategy's parameters.

    Returns
    -------
    QueryStrategy

    Raises
    ------
    ValueError
        There is no such strategy; the message names the nearest.

    Examples
    --------
    >>> get_strategy("bmmal", random_state=0)
    BMMAL(random_state=0)
    """
    return _STRATEGIES[find_name(name, _STRATEGIES, "strategy")](**params)
