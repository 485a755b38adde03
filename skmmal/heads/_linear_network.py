"""Linear heads as a torch network, and back; both work on the same memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from skmmal.heads._linear import LinearHeads
from skmmal.heads._modules import ConcatFusion, Encoder, SumFusion
from skmmal.heads._network import LateFusionModule, map_of

__all__ = ["as_network", "is_linear", "linear_heads_of"]


def is_linear(module: LateFusionModule) -> bool:
    """Whether a network is nothing but linear heads on the features themselves."""
    # a learned embedding times its weights is not linear in them
    return module.is_linear and module.absent is None and type(module.head) in (ConcatFusion, SumFusion)


def as_network(heads: LinearHeads) -> LateFusionModule:
    """The network of linear heads, made when it is first asked for; a change in either is one in both."""
    if heads.network is None:
        generator = torch.Generator()  # torch's own is not touched
        head = (SumFusion if heads.is_sum else ConcatFusion)(heads.widths, heads.met.shape[1], generator)
        if isinstance(head, SumFusion):
            head.factors = heads.factors
        for layer, each in zip(_layers(head), heads.maps, strict=True):
            layer.weight = nn.Parameter(torch.from_numpy(each.weight))
            layer.bias = nn.Parameter(torch.from_numpy(each.intercept))
        module = LateFusionModule([Encoder(width, (), 0.0, None) for width in heads.widths], head)
        module.set_met(heads.met, heads.unmet_logits)
        heads.network = module.eval()
    return heads.network


def linear_heads_of(module: LateFusionModule, center: np.ndarray | None = None) -> LinearHeads:
    """The heads of a network that `is_linear`, in float64 and on the CPU."""
    factors = module.head.factors if isinstance(module.head, SumFusion) else None
    heads = LinearHeads([map_of(layer) for layer in _layers(module.head)], module.met, center, factors)
    heads.unmet_logits, heads.network = module.unmet_logits, module
    return heads


def _layers(head: Any) -> list[nn.Linear]:
    """The class layers in the order of `LinearHeads.maps`."""
    return [*([head.fused] if isinstance(head, ConcatFusion) else []), *head.unimodal]
