"""Networks on cached features: encoders, fusion heads, and how their weights are found."""

from typing import Any

from skmmal.heads.additive import AdditiveFusion, FusionFactory
from skmmal.heads.modules import ConcatFusion, Encoder, Fusion, LateFusionModule, LinearFusion, SumFusion
from skmmal.heads.nl_gate import NLGate, NLGateFusion
from skmmal.heads.pooled import AttentionFusion, AttentionPooling, GatedFusion, GatedUnit

FUSIONS: dict[str, Any] = {
    "concat": ConcatFusion,
    "sum": SumFusion,
    "nl-gate": NLGate(),
    "gated": GatedUnit(),
    "attention": AttentionPooling(),
}
"""What `LateFusionClassifier` takes as `fusion`, by name: a `FusionFactory`, or a callable that builds a head."""

__all__ = [
    "FUSIONS",
    "AdditiveFusion",
    "AttentionFusion",
    "AttentionPooling",
    "ConcatFusion",
    "Encoder",
    "Fusion",
    "FusionFactory",
    "GatedFusion",
    "GatedUnit",
    "LateFusionModule",
    "LinearFusion",
    "NLGate",
    "NLGateFusion",
    "SumFusion",
]
