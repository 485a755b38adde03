"""skmmal: scikit-learn-style multimodal active learning over precomputed features."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from skmmal._version import __version__ as __version__

# Public name -> module. Loaded on first use, so that ``import skmmal`` stays light.
_EXPORTS = {
    "ActiveLearner": "learner",
    "BMMAL": "query",
    "FeatureStore": "features",
    "LabelingCampaign": "campaign",
    "LateFusionClassifier": "classifier",
    "LateFusionClassifierCV": "classifier",
    "ModalityScaler": "preprocessing",
    "MultimodalArray": "modalities",
    "run_experiment": "experiment",
}
# What was here once and is found in its room; served still.
_ELSEWHERE = {
    "CrossModalEncoder": "representation",
    "ExperimentResults": "experiment",
    "PerModality": "preprocessing",
    "concatenate": "modalities",
    "pack": "modalities",
    "unpack": "modalities",
}
_SUBPACKAGES = (
    "balancing",
    "campaign",
    "candidates",
    "classifier",
    "contributions",
    "datasets",
    "diagnostics",
    "display",
    "distributed",
    "experiment",
    "features",
    "featurize",
    "heads",
    "learner",
    "modalities",
    "preprocessing",
    "query",
    "reading",
    "representation",
    "robustness",
    "selection",
    "stopping",
)
"""Every public module below, so that ``import skmmal; skmmal.balancing.OGM`` works."""

__all__ = [*_EXPORTS, *_SUBPACKAGES, "__version__"]

if TYPE_CHECKING:
    from skmmal.campaign import LabelingCampaign as LabelingCampaign
    from skmmal.classifier import LateFusionClassifier as LateFusionClassifier
    from skmmal.classifier import LateFusionClassifierCV as LateFusionClassifierCV
    from skmmal.experiment import ExperimentResults as ExperimentResults
    from skmmal.experiment import run_experiment as run_experiment
    from skmmal.features import FeatureStore as FeatureStore
    from skmmal.learner import ActiveLearner as ActiveLearner
    from skmmal.modalities import MultimodalArray as MultimodalArray
    from skmmal.modalities import concatenate as concatenate
    from skmmal.modalities import pack as pack
    from skmmal.modalities import unpack as unpack
    from skmmal.preprocessing import ModalityScaler as ModalityScaler
    from skmmal.preprocessing import PerModality as PerModality
    from skmmal.query import BMMAL as BMMAL
    from skmmal.representation import CrossModalEncoder as CrossModalEncoder


def __getattr__(name: str) -> Any:
    room = _EXPORTS.get(name) or _ELSEWHERE.get(name)
    if room is not None:
        return getattr(importlib.import_module(f"skmmal.{room}"), name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"skmmal.{name}")
    raise AttributeError(f"module 'skmmal' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
