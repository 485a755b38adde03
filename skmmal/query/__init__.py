"""Query strategies: which samples to label next."""

from __future__ import annotations

from typing import Any

from skmmal._names import find_name
from skmmal.query.base import QueryStrategy
from skmmal.query.batchbald import BatchBALD
from skmmal.query.bayesian import BALD, EPIG, PowerBALD
from skmmal.query.boundary import FALCUN, GALAXY, DeepFool
from skmmal.query.clustering import ALFAMix, ClusterMargin, DropQuery
from skmmal.query.cold_start import MMCSAL
from skmmal.query.coverage import MaxHerding, ProbCover, TypiClust, UHerding
from skmmal.query.dcom import DCoM
from skmmal.query.design import MVOPT
from skmmal.query.diversity import CoreSet, KMeansSampling
from skmmal.query.gradient import BADGE, BMMAL
from skmmal.query.graph import CoreGCN, UncertainGCN
from skmmal.query.information import BAIT
from skmmal.query.random import RandomSampling
from skmmal.query.uncertainty import EntropySampling, LeastConfidenceSampling, MarginSampling
from skmmal.query.view import PoolView

_STRATEGIES: dict[str, type[QueryStrategy]] = {
    "alfamix": ALFAMix,
    "badge": BADGE,
    "bait": BAIT,
    "bald": BALD,
    "batchbald": BatchBALD,
    "bmmal": BMMAL,
    "clustermargin": ClusterMargin,
    "coregcn": CoreGCN,
    "coreset": CoreSet,
    "dcom": DCoM,
    "deepfool": DeepFool,
    "dropquery": DropQuery,
    "entropy": EntropySampling,
    "epig": EPIG,
    "falcun": FALCUN,
    "galaxy": GALAXY,
    "kmeans": KMeansSampling,
    "least-confidence": LeastConfidenceSampling,
    "margin": MarginSampling,
    "maxherding": MaxHerding,
    "mmcsal": MMCSAL,
    "mvopt": MVOPT,
    "powerbald": PowerBALD,
    "probcover": ProbCover,
    "random": RandomSampling,
    "typiclust": TypiClust,
    "uherding": UHerding,
    "uncertaingcn": UncertainGCN,
}

__all__ = [
    "BADGE",
    "BAIT",
    "BALD",
    "BMMAL",
    "EPIG",
    "FALCUN",
    "GALAXY",
    "MMCSAL",
    "MVOPT",
    "ALFAMix",
    "BatchBALD",
    "ClusterMargin",
    "CoreGCN",
    "CoreSet",
    "DCoM",
    "DeepFool",
    "DropQuery",
    "EntropySampling",
    "KMeansSampling",
    "LeastConfidenceSampling",
    "MarginSampling",
    "MaxHerding",
    "PoolView",
    "PowerBALD",
    "ProbCover",
    "QueryStrategy",
    "RandomSampling",
    "TypiClust",
    "UHerding",
    "UncertainGCN",
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
