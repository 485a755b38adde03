"""Networks on cached features: encoders, fusion heads, and how their weights are found."""

from skmmal.heads.modules import ConcatFusion, Encoder, Fusion, LateFusionModule, SumFusion

FUSIONS: dict[str, type[Fusion]] = {"concat": ConcatFusion, "sum": SumFusion}
"""Fusion heads by name."""

__all__ = ["FUSIONS", "ConcatFusion", "Encoder", "Fusion", "LateFusionModule", "SumFusion"]
