"""The convex solver on a network: its class layers are read and filled."""

from __future__ import annotations

import numpy as np
import torch

from skmmal.heads._batches import Batches, mean_row
from skmmal.heads._classes import mute_unmet_classes
from skmmal.heads._modules import ConcatFusion, LateFusionModule, SumFusion
from skmmal.heads.convex import Anchor, LabeledRows, LinearMap, fit_layers

__all__ = ["fit_convex", "is_convex"]


def is_convex(module: LateFusionModule) -> bool:
    """Whether the objective is convex: linear heads on the features themselves."""
    # a learned embedding times its weights is not convex
    return module.is_linear and module.absent is None and type(module.head) in (ConcatFusion, SumFusion)


@torch.no_grad()
def fit_convex(
    module: LateFusionModule,
    data: Batches,
    met: torch.Tensor,
    *,
    C: float,
    max_iter: int,
    tol: float | str,
    warm: bool,
    anchor: LateFusionModule | None = None,
    anchored: torch.Tensor | None = None,
) -> tuple[int, list[float]]:
    """Solve for the head's weights; return the iterations (the most of any head) and the objective's curve.

    Parameters
    ----------
    module : LateFusionModule
        Its head is filled in; with `warm` its present weights are the starting point.
    data : Batches
        Rows of weight zero left out.
    met : bool tensor of shape (M + 1, K)
        Which classes each head knows, the fused head first. The others get probability zero there.
    C, max_iter, tol
        See `LateFusionClassifier`.
    warm : bool
    anchor : LateFusionModule, optional
        Weights that the penalty pulls towards, and logits of its mean row (`centre`): intercepts are not free then.
    anchored : bool tensor of shape (M + 1, K), optional
        Which classes each of the anchor's heads knows; it pulls the others towards zero.
    """
    layers = _layers(module)
    rows = LabeledRows(
        [_array(block) for block in data.blocks], _array(data.present), _array(data.labels), _array(data.weights)
    )
    former = None
    if anchor is not None and anchored is not None:
        centre = mean_row(data) if anchor.centre is None else anchor.centre
        widths = [block.shape[1] for block in data.blocks]
        former = Anchor(_layers(anchor), _array(anchored), [_array(part) for part in centre.split(widths)])
    found = fit_layers(layers, rows, _array(met), C=C, max_iter=max_iter, tol=tol, warm=warm, anchor=former)
    for layer, map_ in zip(_class_layers(module), layers, strict=True):
        layer.weight.copy_(torch.from_numpy(map_.weight))
        layer.bias.copy_(torch.from_numpy(map_.intercept))
    mute_unmet_classes(module, met)
    return found


def _class_layers(module: LateFusionModule) -> list[torch.nn.Linear]:
    head = module.head
    return [*([head.fused] if isinstance(head, ConcatFusion) else []), *head.unimodal]


def _layers(module: LateFusionModule) -> list[LinearMap]:
    return [LinearMap(_array(layer.weight), _array(layer.bias)) for layer in _class_layers(module)]


def _array(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()
