"""Which classes a head knows: muting the others, waking them, and going on from former weights."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from torch import nn

from skmmal.heads._batches import Batches
from skmmal.heads._modules import UNSEEN_LOGIT, Fusion, LateFusionModule

__all__ = [
    "class_positions",
    "classes_met",
    "continue_from",
    "known_classes",
    "mute_unmet_classes",
    "set_met",
    "wake_met_classes",
]


def classes_met(data: Batches, n_classes: int) -> torch.Tensor:
    """Which classes occur in the rows of each head: bool, (M + 1, K), the fused head first.

    A modality that no row has knows what the fused head knows, and its head says of all of that the same.
    """
    onehot = torch.nn.functional.one_hot(data.labels, n_classes).to(torch.float64)
    fused = onehot.any(dim=0, keepdim=True)
    own = data.present.T.to(torch.float64) @ onehot > 0
    return torch.cat([fused, torch.where(own.any(dim=1, keepdim=True), own, fused)])


def set_met(head: Fusion, met: torch.Tensor) -> None:
    """Let a head know what `classes_met` found."""
    head.met = met.to(next(head.parameters()).device)


def _known_by_layer(head: Fusion, met: torch.Tensor) -> list[tuple[nn.Linear, torch.Tensor]]:
    """The layers whose outputs are the classes, and the classes (K,) that each knows."""
    own = {} if head.ties_classifiers else {id(layer): m for m, layer in enumerate(head.unimodal, start=1)}
    return [(layer, met[own.get(id(layer), 0)].to(layer.weight.device)) for layer in head.class_layers()]


@torch.no_grad()
def mute_unmet_classes(module: LateFusionModule, met: torch.Tensor) -> None:
    """Give every class probability zero in the heads that have no row of it."""
    for layer, known in _known_by_layer(module.head, met):
        layer.weight[~known] = 0.0
        if layer.bias is not None:
            layer.bias[~known] = UNSEEN_LOGIT


@torch.no_grad()
def wake_met_classes(module: LateFusionModule, former: torch.Tensor, met: torch.Tensor) -> None:
    """Let classes that were muted and now have rows start level with the least likely of the others."""
    pairs = zip(_known_by_layer(module.head, former), _known_by_layer(module.head, met), strict=True)
    for (layer, before), (_, now) in pairs:
        if layer.bias is not None:
            lowest = layer.bias[before].min() if before.any() else layer.bias.new_zeros(())
            layer.bias[now & ~before] = lowest


def class_positions(former: Any, classes: Any) -> list[int]:
    """Where each former class is among the classes; −1 where it is not."""
    return pd.Index(classes).get_indexer(pd.Index(former)).tolist()


def continue_from(former: LateFusionModule, position: list[int], module: LateFusionModule, option: str) -> torch.Tensor:
    """Start `module` from former weights; return which of its classes they know in each head, (M + 1, K).

    Parameters
    ----------
    former : LateFusionModule
    position : list of int
        Of `class_positions`.
    module : LateFusionModule
    option : str
        What asked for it, for the error message.

    Raises
    ------
    ValueError
        The networks differ in more than their classes.
    """
    if _shape(former) != _shape(module):
        raise ValueError(
            f"{option}, but the network's shape has changed since the last fit; set warm_start=False"
        )
    kept = [k for k, at in enumerate(position) if at >= 0]
    places = [position[k] for k in kept]
    met = torch.zeros(len(former.head.unimodal) + 1, module.head.n_classes, dtype=torch.bool)
    met[:, places] = known_classes(former.head)[:, kept]
    _copy_class_rows(former, module, kept, places, met)
    return met


def known_classes(head: Fusion) -> torch.Tensor:
    """Which classes each head of a fitted network knows, bool (M + 1, K)."""
    met = getattr(head, "met", None)
    if met is not None:
        return met
    # a model of a version that did not note it
    biases = [layer.bias for layer in head.class_layers() if layer.bias is not None]
    seen = torch.stack([bias > UNSEEN_LOGIT / 2 for bias in biases]).any(dim=0)
    return seen.expand(len(head.unimodal) + 1, -1)


def _shape(module: LateFusionModule) -> list:
    """What two networks must share to continue each other: all but the classes."""
    layers = module.head.class_layers()
    by_class = {id(p) for layer in layers for p in layer.parameters()}
    others = [(name, tuple(p.shape)) for name, p in module.named_parameters() if id(p) not in by_class]
    return [type(module.head), others, [layer.in_features for layer in layers]]


@torch.no_grad()
def _copy_class_rows(
    source: LateFusionModule, target: LateFusionModule, kept: list[int], places: list[int], met: torch.Tensor
) -> None:
    """Copy all weights, and the `kept` classes of `source` to their `places` in `target`; the others are muted."""
    by_class = {id(p) for layer in target.head.class_layers() for p in layer.parameters()}
    for former, parameter in zip(source.parameters(), target.parameters(), strict=True):
        if id(parameter) not in by_class:
            parameter.copy_(former)
    for old, new in zip(source.head.class_layers(), target.head.class_layers(), strict=True):
        new.weight[places] = old.weight[kept].to(new.weight.dtype)
        if new.bias is not None:
            new.bias[places] = old.bias[kept].to(new.bias.dtype)
    mute_unmet_classes(target, met)
