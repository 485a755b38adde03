"""Query strategies: which samples to label next."""

from __future__ import annotations

from typing import Any

from skmmal._names import find_name
from skmmal.query._alfamix import ALFAMix
from skmmal.query._badge import BADGE
from skmmal.query._bait import BAIT
from skmmal.query._bald import BALD
from skmmal.query._base import QueryStrategy
from skmmal.query._batchbald import BatchBALD, joint_information_batch
from skmmal.query._bmmal import BMMAL
from skmmal.query._clustermargin import ClusterMargin
from skmmal.query._coregcn import CoreGCN
from skmmal.query._coreset import CoreSet
from skmmal.query._dcom import DCoM, competence
from skmmal.query._deepfool import DeepFool
from skmmal.query._dropquery import DropQuery
from skmmal.query._entropy import EntropySampling
from skmmal.query._epig import EPIG
from skmmal.query._falcun import FALCUN
from skmmal.query._galaxy import GALAXY
from skmmal.query._information import mutual_information, predictive_information
from skmmal.query._kmeans import KMeansSampling
from skmmal.query._least_confidence import LeastConfidenceSampling
from skmmal.query._margin import MarginSampling
from skmmal.query._maxherding import MaxHerding
from skmmal.query._mmcsal import MMCSAL
from skmmal.query._mvopt import MVOPT
from skmmal.query._powerbald import PowerBALD
from skmmal.query._probcover import ProbCover
from skmmal.query._random import RandomSampling
from skmmal.query._typiclust import TypiClust
from skmmal.query._uherding import UHerding
from skmmal.query._uncertaingcn import UncertainGCN

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
    "PowerBALD",
    "ProbCover",
    "QueryStrategy",
    "RandomSampling",
    "TypiClust",
    "UHerding",
    "UncertainGCN",
    "available_strategies",
    "competence",
    "get_strategy",
    "joint_information_batch",
    "mutual_information",
    "predictive_information",
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
