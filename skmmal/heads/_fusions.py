"""The fusions by name; torch is imported when one is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from skmmal.heads._factories import AttentionPooling, GatedUnit, NLGate

if TYPE_CHECKING:
    import torch

    from skmmal.heads._modules import Fusion

__all__ = ["FUSIONS"]


def _concat(widths: Sequence[int], n_classes: int, generator: torch.Generator | None = None) -> Fusion:
    from skmmal.heads._modules import ConcatFusion

    return ConcatFusion(widths, n_classes, generator)


def _sum(widths: Sequence[int], n_classes: int, generator: torch.Generator | None = None) -> Fusion:
    from skmmal.heads._modules import SumFusion

    return SumFusion(widths, n_classes, generator)


FUSIONS: dict[str, Any] = {
    "concat": _concat,
    "sum": _sum,
    "nl-gate": NLGate(),
    "gated": GatedUnit(),
    "attention": AttentionPooling(),
}
"""What `LateFusionClassifier` takes as `fusion`, by name: a `FusionFactory`, or a callable that builds a head."""
