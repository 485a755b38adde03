"""DeepFool's iteration: to the nearest boundary of a network that is not linear in the features."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from skmmal._chunks import row_chunks
from skmmal.heads import LateFusionModule
from skmmal.reading import FUSED, Head
from skmmal.reading._late_fusion import LateFusionSource

__all__ = ["deep_fool", "feature_distances"]


def feature_distances(source: LateFusionSource, head: Head, max_iter: int, overshoot: float) -> np.ndarray:
    """Distance of each row of a head to its nearest boundary in the network, in the features; absent blocks stay.

    Parameters
    ----------
    source : LateFusionSource
    head : Head
        One of a reading of that source.
    max_iter : int
    overshoot : float

    Returns
    -------
    ndarray of float64, shape (N,)
        The largest float where no boundary is.
    """
    network, features, present = source.network()
    features, present = features[head.rows], present[head.rows]
    module, axes = _reduced(network)
    index = None if head.name == FUSED else source.modality_names.index(head.name)
    distances = np.empty(len(head))
    for part in row_chunks(len(head), features.shape[1]):
        there = torch.as_tensor(present[part])
        blocks = []
        for m, (block, reduce) in enumerate(zip(features.blocks.values(), axes, strict=True)):
            values = block[part].astype(np.float64)
            values[~present[part, m]] = 0.0
            blocks.append(reduce(torch.from_numpy(values)))
        widths = [block.shape[1] for block in blocks]

        def logits_of(
            points: torch.Tensor,
            rows: torch.Tensor,
            widths: list[int] = widths,
            there: torch.Tensor = there,
        ) -> torch.Tensor:
            embeddings = module.embed(list(points.split(widths, dim=1)), there[rows])
            if index is None:
                return module.fused_logits(embeddings, there[rows])
            return module.head.own_logits(embeddings)[index]

        found = deep_fool(logits_of, torch.cat(blocks, dim=1), max_iter, overshoot)
        distances[part] = np.minimum(found.numpy(), np.finfo(np.float64).max)
    return distances


def deep_fool(
    logits_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    points: torch.Tensor,
    max_iter: int = 50,
    overshoot: float = 0.02,
) -> torch.Tensor:
    """Length of the change that DeepFool finds for each point.

    Parameters
    ----------
    logits_of : callable
        Takes points (n, D) and their numbers (n,), and returns logits (n, K).
    points : tensor of shape (N, D)
    max_iter : int, default=50
    overshoot : float, default=0.02
        The point is looked at that much farther along than the change found so far, so that it lies beyond the
        boundary and not on it; the length does not include it.

    Returns
    -------
    tensor of shape (N,)
        Infinite where the logits of other classes do not come nearer in any direction.
    """
    change = torch.zeros_like(points)
    hopeless = torch.zeros(len(points), dtype=torch.bool)
    rows = torch.arange(len(points))
    with torch.no_grad():
        predicted = logits_of(points, rows).argmax(dim=1)
    for _ in range(max_iter):
        at = (points[rows] + (1.0 + overshoot) * change[rows]).requires_grad_()
        with torch.enable_grad():
            logits = logits_of(at, rows)
            unfooled = logits.argmax(dim=1) == predicted[rows]
            if not unfooled.any():
                break
            lengths, steps = _nearest_boundary(logits, at, predicted[rows])
        moving = unfooled & torch.isfinite(lengths)
        change[rows[moving]] += steps[moving]
        hopeless[rows[unfooled & torch.isinf(lengths)]] = True
        rows = rows[moving & (lengths > 0)]  # a step of zero: on the boundary
        if len(rows) == 0:
            break
    return torch.where(hopeless, torch.inf, torch.linalg.vector_norm(change, dim=1))


def _nearest_boundary(
    logits: torch.Tensor, at: torch.Tensor, predicted: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Length (n,) and step (n, D) to the nearest boundary of the logits linearised at the points.

    One class after the other, so that memory does not grow with the number of classes.
    """
    own = logits.gather(1, predicted[:, None])[:, 0]
    (own_gradient,) = torch.autograd.grad(own.sum(), at, retain_graph=True)
    shortest = torch.full_like(own, torch.inf)
    steps = torch.zeros_like(at)
    with torch.no_grad():
        gaps = own[:, None] - logits
    for k in range(logits.shape[1]):
        (slopes,) = torch.autograd.grad(logits[:, k].sum(), at, retain_graph=True)
        slopes = slopes - own_gradient
        sq_norms = slopes.square().sum(dim=1)
        flat = torch.where(gaps[:, k] > 0, torch.inf, 0.0).to(own.dtype)
        lengths = torch.where(sq_norms > 0, gaps[:, k] / sq_norms.sqrt(), flat)
        nearer = (lengths < shortest) & (predicted != k)
        scale = torch.where(sq_norms > 0, gaps[:, k] / sq_norms, 0.0)
        steps[nearer] = scale[nearer, None] * slopes[nearer]
        shortest = torch.where(nearer, lengths, shortest)
    return shortest.detach(), steps


def _reduced(module: LateFusionModule) -> tuple[LateFusionModule, list[Callable[[torch.Tensor], torch.Tensor]]]:
    """A copy of the network that takes each block in the directions its first layer sees, and the maps onto them.

    A layer of h units looks at h directions of its D inputs. Nothing is gained by moving along the others, and lengths
    are the same in an orthonormal basis of those h: the search is the same one, in fewer columns.
    """
    module = copy.deepcopy(module)
    maps: list[Callable[[torch.Tensor], torch.Tensor]] = []
    for encoder in module.encoders:
        first = encoder.layers[0] if len(encoder.layers) else None  # type: ignore[arg-type,index]
        if not isinstance(first, nn.Linear) or first.out_features >= first.in_features:
            maps.append(nn.Identity())
            continue
        with torch.no_grad():
            left, singular, axes = torch.linalg.svd(first.weight, full_matrices=False)
            first.weight = nn.Parameter(left * singular)
        maps.append(partial(_onto, axes))
    return module, maps


def _onto(axes: torch.Tensor, block: torch.Tensor) -> torch.Tensor:
    """Coordinates of every token of a block along orthonormal axes (r, D)."""
    return (block.unflatten(1, (-1, axes.shape[1])) @ axes.T).flatten(1)
