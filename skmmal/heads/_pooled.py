"""Fusions of one vector per modality: gates, and attention pooling. Token grids are averaged first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from skmmal.heads._additive import AdditiveFusion, everything_present, masked_softmax
from skmmal.heads._modules import linear_layer

__all__ = ["AttentionFusion", "GatedFusion"]


class GatedFusion(AdditiveFusion):
    """The network of `skmmal.heads.GatedUnit`.

    Parameters
    ----------
    grids : sequence of M (int, int)
        Tokens and their width.
    width : int
        Width of the hidden features.
    gate : {"softmax", "sigmoid"}
        Whether the gates of a row sum to one for each feature.
    n_classes : int
        Number of classes.
    generator : torch.Generator, optional
        Draws the initial weights.

    Examples
    --------
    >>> import torch
    >>> from skmmal.heads import GatedFusion
    >>> head = GatedFusion([(1, 3), (1, 2)], 8, "softmax", 4, torch.Generator().manual_seed(0))
    >>> head([torch.ones(5, 3), torch.ones(5, 2)]).shape
    torch.Size([5, 4])
    """

    def __init__(
        self,
        grids: Sequence[tuple[int, int]],
        width: int,
        gate: str,
        n_classes: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(grids, width, n_classes, generator)
        dims = [dim for _, dim in grids]
        self.gate = gate
        self.hidden = nn.ModuleList(linear_layer(dim, width, generator) for dim in dims)
        self.gates = linear_layer(sum(dims), len(dims) * width, generator)

    def features(self, embeddings: list[torch.Tensor], present: torch.Tensor | None = None) -> list[torch.Tensor]:
        present = everything_present(embeddings) if present is None else present
        pooled = self.unimodal_inputs(embeddings)
        scores = self.gates(torch.cat(pooled, dim=1)).unflatten(1, (len(pooled), -1))  # (n, M, width)
        there = present[:, :, None]
        gates = masked_softmax(scores, there, dim=1) if self.gate == "softmax" else torch.sigmoid(scores) * there
        hidden = [torch.tanh(layer(z)) for layer, z in zip(self.hidden, pooled, strict=True)]
        return [gates[:, m] * values for m, values in enumerate(hidden)]


class AttentionFusion(AdditiveFusion):
    """The network of `skmmal.heads.AttentionPooling`.

    Parameters
    ----------
    grids : sequence of M (int, int)
        Tokens and their width.
    width : int
        Width of the common space of the modalities' vectors.
    n_classes : int
        Number of classes.
    generator : torch.Generator, optional
        Draws the initial weights.

    Examples
    --------
    >>> import torch
    >>> from skmmal.heads import AttentionFusion
    >>> head = AttentionFusion([(1, 3), (1, 2)], 8, 4, torch.Generator().manual_seed(0))
    >>> head([torch.ones(5, 3), torch.ones(5, 2)]).shape
    torch.Size([5, 4])
    """

    def __init__(
        self,
        grids: Sequence[tuple[int, int]],
        width: int,
        n_classes: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(grids, width, n_classes, generator)
        self.project = nn.ModuleList(linear_layer(dim, width, generator) for _, dim in grids)
        self.hidden = linear_layer(width, width, generator)
        self.score = nn.Parameter(linear_layer(width, 1, generator).weight.detach().clone())

    def features(self, embeddings: list[torch.Tensor], present: torch.Tensor | None = None) -> list[torch.Tensor]:
        present = everything_present(embeddings) if present is None else present
        pooled = self.unimodal_inputs(embeddings)
        vectors = torch.stack([layer(z) for layer, z in zip(self.project, pooled, strict=True)], dim=1)
        scores = torch.tanh(self.hidden(vectors)) @ self.score.T  # (n, M, 1)
        return list((masked_softmax(scores, present[:, :, None], dim=1) * vectors).unbind(dim=1))
