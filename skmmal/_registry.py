"""What has a name: query strategies, balancing methods and stopping criteria, a line each; loaded when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

from skmmal._names import find_name, plain_name
from skmmal._torch import load

__all__ = ["ENTRIES", "GROUP", "Entry", "entries", "find", "name_of"]

GROUP = "skmmal.strategies"
"""The entry points by which other distributions add strategies: ``name = "their_package.module:TheirStrategy"``."""

_KINDS = {"strategy": "strategy", "balancing": "balancing method", "stopping": "stopping criterion"}


@dataclass(frozen=True)
class Entry:
    """One thing that has a name, and what it can do; a strategy's capabilities mean nothing for the other kinds.

    Parameters
    ----------
    kind : {"strategy", "balancing", "stopping"}
    name : str
        What it is called; several words are joined by hyphens.
    path : str
        ``"module:Class"``.
    needs_model : bool, default=False
        Whether it needs a fitted model; without, it can choose the first batch.
    needs_features : bool, default=True
        Whether it looks at features; without, probabilities (or nothing) will do: rows may be texts.
    needs_labels : bool, default=False
        Whether it needs labelled rows beside the pool (`X_labeled`).
    on : bool, default=False
        Whether it can listen to one modality's head, or to all.
    compares_modalities : bool, default=False
        Whether it is about several modalities.
    missing_modalities : bool, default=True
        Whether it serves rows that lack modalities.
    multi_label, groups, shards : bool, default=False
        Whether it serves several labels a row, whole groups of rows (and costs), and a pool that is spread over workers.
    """

    kind: str
    name: str
    path: str
    needs_model: bool = False
    needs_features: bool = True
    needs_labels: bool = False
    on: bool = False
    compares_modalities: bool = False
    missing_modalities: bool = True
    multi_label: bool = False
    groups: bool = False
    shards: bool = False

    @property
    def module(self) -> str:
        """Where its class is."""
        return self.path.partition(":")[0]

    @property
    def class_name(self) -> str:
        """The name of its class."""
        return self.path.partition(":")[2]

    def load(self) -> Any:
        """Import its class."""
        return load(self.module, self.class_name)


ENTRIES: tuple[Entry, ...] = (
    Entry("balancing", "crmt", "skmmal.balancing._crmt:CRMT"),
    Entry("balancing", "mmpareto", "skmmal.balancing._mmpareto:MMPareto"),
    Entry("balancing", "modality-dropout", "skmmal.balancing._modality_dropout:ModalityDropout"),
    Entry("balancing", "modality-valuation", "skmmal.balancing._modality_valuation:ModalityValuation"),
    Entry("balancing", "ogm", "skmmal.balancing._ogm:OGM"),
    Entry("balancing", "ogm-ge", "skmmal.balancing._ogm_ge:OGMGE"),
    Entry("balancing", "opm", "skmmal.balancing._opm:OPM"),
    Entry("balancing", "opm+ogm", "skmmal.balancing._opm_ogm:OPMOGM"),
    Entry("balancing", "relearning", "skmmal.balancing._relearning:DiagnosingRelearning"),
    Entry("balancing", "sample-valuation", "skmmal.balancing._sample_valuation:SampleValuation"),
    Entry("stopping", "budget", "skmmal.stopping:Budget"),
    Entry("stopping", "classification-change", "skmmal.stopping:ClassificationChange"),
    Entry("stopping", "confidence", "skmmal.stopping:ConfidenceThreshold"),
    Entry("stopping", "max-rounds", "skmmal.stopping:MaxRounds"),
    Entry("stopping", "overall-uncertainty", "skmmal.stopping:OverallUncertainty"),
    Entry("stopping", "patience", "skmmal.stopping:Patience"),
    Entry("stopping", "performance-change", "skmmal.stopping:PerformanceChange"),
    Entry("stopping", "predicted-f-change", "skmmal.stopping:PredictedFChange"),
    Entry("stopping", "selected-accuracy", "skmmal.stopping:SelectedAccuracy"),
    Entry("stopping", "stabilizing-predictions", "skmmal.stopping:StabilizingPredictions"),
    Entry("stopping", "target-accuracy", "skmmal.stopping:TargetAccuracy"),
    Entry("strategy", "alfamix", "skmmal.query._alfamix:ALFAMix", needs_model=True, on=True),
    Entry("strategy", "auto", "skmmal.query._auto:Auto", multi_label=True, groups=True, shards=True),
    Entry("strategy", "badge", "skmmal.query._badge:BADGE", needs_model=True, on=True, multi_label=True, groups=True, shards=True),
    Entry("strategy", "bait", "skmmal.query._bait:BAIT", needs_model=True, on=True, groups=True, shards=True),
    Entry("strategy", "bald", "skmmal.query._bald:BALD", needs_model=True, on=True, multi_label=True, groups=True, shards=True),
    Entry("strategy", "batchbald", "skmmal.query._batchbald:BatchBALD", needs_model=True, on=True),
    Entry("strategy", "bmmal", "skmmal.query._bmmal:BMMAL", needs_model=True, compares_modalities=True, multi_label=True, groups=True, shards=True),
    Entry("strategy", "clustermargin", "skmmal.query._clustermargin:ClusterMargin", needs_model=True, on=True),
    Entry("strategy", "coregcn", "skmmal.query._coregcn:CoreGCN", on=True),
    Entry("strategy", "coreset", "skmmal.query._coreset:CoreSet", on=True, multi_label=True, groups=True, shards=True),
    Entry("strategy", "dcom", "skmmal.query._dcom:DCoM", on=True, groups=True),
    Entry("strategy", "deepfool", "skmmal.query._deepfool:DeepFool", needs_model=True, on=True),
    Entry("strategy", "dropquery", "skmmal.query._dropquery:DropQuery", needs_model=True, on=True),
    Entry("strategy", "entropy", "skmmal.query._entropy:EntropySampling", needs_model=True, needs_features=False, on=True, multi_label=True, groups=True, shards=True),
    Entry("strategy", "epig", "skmmal.query._epig:EPIG", needs_model=True, on=True, multi_label=True, groups=True),
    Entry("strategy", "falcun", "skmmal.query._falcun:FALCUN", needs_model=True, needs_features=False, on=True),
    Entry("strategy", "galaxy", "skmmal.query._galaxy:GALAXY", needs_model=True, needs_features=False, on=True),
    Entry("strategy", "head-disagreement", "skmmal.query._head_disagreement:HeadDisagreement", needs_model=True, compares_modalities=True),
    Entry("strategy", "kmeans", "skmmal.query._kmeans:KMeansSampling", on=True, multi_label=True, groups=True),
    Entry("strategy", "label-cardinality", "skmmal.query._label_cardinality:LabelCardinality", needs_model=True, needs_features=False, on=True, multi_label=True, groups=True),
    Entry("strategy", "least-confidence", "skmmal.query._least_confidence:LeastConfidenceSampling", needs_model=True, needs_features=False, on=True, multi_label=True, groups=True, shards=True),
    Entry("strategy", "margin", "skmmal.query._margin:MarginSampling", needs_model=True, needs_features=False, on=True, multi_label=True, groups=True, shards=True),
    Entry("strategy", "maxherding", "skmmal.query._maxherding:MaxHerding", on=True, multi_label=True, groups=True, shards=True),
    Entry("strategy", "mmc", "skmmal.query._mmc:MMC", needs_model=True, needs_features=False, on=True, multi_label=True, groups=True),
    Entry("strategy", "mmcsal", "skmmal.query._mmcsal:MMCSAL", compares_modalities=True, multi_label=True),
    Entry("strategy", "mvopt", "skmmal.query._mvopt:MVOPT", multi_label=True, groups=True, shards=True),
    Entry("strategy", "powerbald", "skmmal.query._powerbald:PowerBALD", needs_model=True, on=True, multi_label=True, groups=True, shards=True),
    Entry("strategy", "probcover", "skmmal.query._probcover:ProbCover", on=True, multi_label=True, groups=True),
    Entry("strategy", "random", "skmmal.query._random:RandomSampling", needs_features=False, multi_label=True, groups=True, shards=True),
    Entry("strategy", "refine", "skmmal.query._refine:Refine", needs_model=True),
    Entry("strategy", "tcm", "skmmal.query._tcm:TCM", on=True, multi_label=True, groups=True),
    Entry("strategy", "typiclust", "skmmal.query._typiclust:TypiClust", on=True, multi_label=True, groups=True),
    Entry("strategy", "uherding", "skmmal.query._uherding:UHerding", on=True, multi_label=True, groups=True, shards=True),
    Entry("strategy", "uncertaingcn", "skmmal.query._uncertaingcn:UncertainGCN", on=True),
)


def entries(kind: str) -> Mapping[str, Entry]:
    """Return all entries of a kind by name, in alphabetical order.

    Strategies include those of other distributions (`GROUP`), of which only name and path are known; one whose name is
    ours is left out.

    Parameters
    ----------
    kind : {"strategy", "balancing", "stopping"}

    Returns
    -------
    mapping of str to Entry
        It cannot be changed.
    """
    known = _own(kind)
    if kind == "strategy":
        taken = {plain_name(name) for name in known}
        for point in entry_points(group=GROUP):
            if plain_name(point.name) not in taken:
                known[point.name] = Entry(kind, point.name, point.value)
    return MappingProxyType(dict(sorted(known.items())))


def _own(kind: str) -> dict[str, Entry]:
    """Those that come with skmmal, by name."""
    return {entry.name: entry for entry in ENTRIES if entry.kind == kind}


def find(kind: str, name: str) -> Entry:
    """Return the entry of a name, however it is spelt.

    Parameters
    ----------
    kind : {"strategy", "balancing", "stopping"}
    name : str
        Its name, or that of its class; case, hyphens, underscores and plus signs do not matter.

    Returns
    -------
    Entry
        Its class is not imported yet.

    Raises
    ------
    TypeError
        Not a string.
    ValueError
        There is none; the message holds the nearest name and all of them.

    Examples
    --------
    >>> find("strategy", "BM-MAL").path
    'skmmal.query._bmmal:BMMAL'
    """
    # to look through what other distributions bring takes longer than many a query
    own = _own(kind)
    known = own if isinstance(name, str) and name in own else entries(kind)
    return known[find_name(name, {entry.name: entry.class_name for entry in known.values()}, _KINDS[kind])]


def name_of(kind: str, cls: type) -> str | None:
    """Return the name under which a class is known, or ``None``; nothing is imported that need not be.

    Parameters
    ----------
    kind : {"strategy", "balancing", "stopping"}
    cls : type
        An heir of a registered class is another one.

    Returns
    -------
    str or None
        The registered spelling.
    """
    for known in (_own, entries):
        for name, entry in known(kind).items():
            if entry.class_name.rpartition(".")[2] == cls.__name__ and entry.load() is cls:
                return name
    return None
