"""Networks on cached features: encoders, fusion heads, and how their weights are found.

What needs torch is loaded on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from skmmal.heads.factories import AttentionPooling, FusionFactory, GatedUnit, NLGate
from skmmal.heads.fusions import FUSIONS
from skmmal.heads.linear import LinearHeads

if TYPE_CHECKING:
    from skmmal.heads.additive import AdditiveFusion
    from skmmal.heads.modules import ConcatFusion, Encoder, Fusion, LateFusionModule, LinearFusion, SumFusion
    from skmmal.heads.nl_gate import NLGateFusion
    from skmmal.heads.pooled import AttentionFusion, GatedFusion

_MODULES = {
    "AdditiveFusion": "additive",
    "AttentionFusion": "pooled",
    "ConcatFusion": "modules",
    "Encoder": "modules",
    "Fusion": "modules",
    "GatedFusion": "pooled",
    "LateFusionModule": "modules",
    "LinearFusion": "modules",
    "NLGateFusion": "nl_gate",
    "SumFusion": "modules",
}
"""Public name -> module, of those that need torch."""

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
    "LinearHeads",
    "NLGate",
    "NLGateFusion",
    "SumFusion",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"skmmal.heads.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'skmmal.heads' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
