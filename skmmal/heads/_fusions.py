"""The fusions by name."""

from __future__ import annotations

from typing import Any

from skmmal.heads._factories import AttentionPooling, GatedUnit, NLGate
from skmmal.heads._modules import ConcatFusion, SumFusion

__all__ = ["FUSIONS"]

FUSIONS: dict[str, Any] = {
    "concat": ConcatFusion,
    "sum": SumFusion,
    "nl-gate": NLGate(),
    "gated": GatedUnit(),
    "attention": AttentionPooling(),
}
"""What `LateFusionClassifier` takes as `fusion`, by name: a `FusionFactory`, or a callable that builds a head."""
