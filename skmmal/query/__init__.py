"""Query strategies: which samples to label next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skmmal._registry import ENTRIES
from skmmal._torch import load

# public name -> module; loaded on first use, since some strategies need a library that is slow to import
_EXPORTS = {
    **{entry.class_name: entry.module for entry in ENTRIES if entry.kind == "strategy"},
    "Partitioned": "skmmal.query._partitioned",
    "QueryStrategy": "skmmal.query._base",
    "available_strategies": "skmmal.query._strategies",
    "competence": "skmmal.query._dcom",
    "get_strategy": "skmmal.query._strategies",
    "joint_information_batch": "skmmal.query._batchbald",
    "mutual_information": "skmmal.query._information",
    "predictive_information": "skmmal.query._information",
    "strategy_name": "skmmal.query._strategies",
    "strategy_table": "skmmal.query._strategies",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from skmmal.query._alfamix import ALFAMix as ALFAMix
    from skmmal.query._auto import Auto as Auto
    from skmmal.query._badge import BADGE as BADGE
    from skmmal.query._bait import BAIT as BAIT
    from skmmal.query._bald import BALD as BALD
    from skmmal.query._base import QueryStrategy as QueryStrategy
    from skmmal.query._batchbald import BatchBALD as BatchBALD
    from skmmal.query._batchbald import joint_information_batch as joint_information_batch
    from skmmal.query._bmmal import BMMAL as BMMAL
    from skmmal.query._clustermargin import ClusterMargin as ClusterMargin
    from skmmal.query._coregcn import CoreGCN as CoreGCN
    from skmmal.query._coreset import CoreSet as CoreSet
    from skmmal.query._dcom import DCoM as DCoM
    from skmmal.query._dcom import competence as competence
    from skmmal.query._deepfool import DeepFool as DeepFool
    from skmmal.query._dropquery import DropQuery as DropQuery
    from skmmal.query._entropy import EntropySampling as EntropySampling
    from skmmal.query._epig import EPIG as EPIG
    from skmmal.query._falcun import FALCUN as FALCUN
    from skmmal.query._galaxy import GALAXY as GALAXY
    from skmmal.query._head_disagreement import HeadDisagreement as HeadDisagreement
    from skmmal.query._information import mutual_information as mutual_information
    from skmmal.query._information import predictive_information as predictive_information
    from skmmal.query._kmeans import KMeansSampling as KMeansSampling
    from skmmal.query._label_cardinality import LabelCardinality as LabelCardinality
    from skmmal.query._least_confidence import LeastConfidenceSampling as LeastConfidenceSampling
    from skmmal.query._margin import MarginSampling as MarginSampling
    from skmmal.query._maxherding import MaxHerding as MaxHerding
    from skmmal.query._mmc import MMC as MMC
    from skmmal.query._mmcsal import MMCSAL as MMCSAL
    from skmmal.query._mvopt import MVOPT as MVOPT
    from skmmal.query._partitioned import Partitioned as Partitioned
    from skmmal.query._powerbald import PowerBALD as PowerBALD
    from skmmal.query._probcover import ProbCover as ProbCover
    from skmmal.query._random import RandomSampling as RandomSampling
    from skmmal.query._refine import Refine as Refine
    from skmmal.query._strategies import available_strategies as available_strategies
    from skmmal.query._strategies import get_strategy as get_strategy
    from skmmal.query._strategies import strategy_name as strategy_name
    from skmmal.query._strategies import strategy_table as strategy_table
    from skmmal.query._tcm import TCM as TCM
    from skmmal.query._typiclust import TypiClust as TypiClust
    from skmmal.query._uherding import UHerding as UHerding
    from skmmal.query._uncertaingcn import UncertainGCN as UncertainGCN


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return load(_EXPORTS[name], name)
    raise AttributeError(f"module 'skmmal.query' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
