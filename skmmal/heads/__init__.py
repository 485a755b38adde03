"""Networks on cached features: encoders, fusion heads, and how their weights are found.

What needs torch is loaded on first use.
"""

from typing import TYPE_CHECKING, Any

from skmmal._torch import load
from skmmal.heads._factories import AttentionPooling, FusionFactory, GatedUnit, NLGate
from skmmal.heads._fusions import FUSIONS
from skmmal.heads._hooks import EpochRows, Step, TrainingHooks, TrainingRun
from skmmal.heads._linear import LinearHeads

if TYPE_CHECKING:
    from skmmal.heads._additive import AdditiveFusion
    from skmmal.heads._batches import Batches
    from skmmal.heads._modules import ConcatFusion, Encoder, Fusion, LinearFusion, SumFusion
    from skmmal.heads._network import LateFusionModule
    from skmmal.heads._nl_gate import NLGateFusion
    from skmmal.heads._pooled import AttentionFusion, GatedFusion

_MODULES = {
    "AdditiveFusion": "_additive",
    "AttentionFusion": "_pooled",
    "Batches": "_batches",
    "ConcatFusion": "_modules",
    "Encoder": "_modules",
    "Fusion": "_modules",
    "GatedFusion": "_pooled",
    "LateFusionModule": "_network",
    "LinearFusion": "_modules",
    "NLGateFusion": "_nl_gate",
    "SumFusion": "_modules",
}
"""Public name -> module, of those that need torch."""

__all__ = [
    "FUSIONS",
    "AdditiveFusion",
    "AttentionFusion",
    "AttentionPooling",
    "Batches",
    "ConcatFusion",
    "Encoder",
    "EpochRows",
    "Fusion",
    "FusionFactory",
    "GatedFusion",
    "GatedUnit",
    "LateFusionModule",
    "LinearFusion",
    "LinearHeads",
    "NLGate",
    "NLGateFusion",
    "Step",
    "SumFusion",
    "TrainingHooks",
    "TrainingRun",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return load(f"{__name__}.{_MODULES[name]}", name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
