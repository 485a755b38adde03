"""The whole network: encoders and a fusion head.

The fused logits of rows are ``module(blocks, present)``. In two steps:

    embeddings = module.embed(blocks, present)             # M tensors (n, D_m): the encoders' outputs
    logits = module.fused_logits(embeddings, present)

``module.head(embeddings)`` are the same logits where every modality is present, and for every head whose
``uses_presence`` is false (concat and sum fusion): those see an absent modality as its embedding, which is zero. Heads
that attend over modalities leave the absent ones out of the softmax, and need to be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from skmmal.heads._classes import UNSEEN_LOGIT, classes_by_intercepts
from skmmal.heads._modules import Dropout, Encoder, Fusion
from skmmal.heads.convex import LinearMap

__all__ = ["LateFusionModule", "map_of"]


class LateFusionModule(nn.Module):
    """Encoders and a fusion head.

    Parameters
    ----------
    encoders : sequence of M Encoder
        One for each modality, in the order of the blocks.
    head : Fusion
        For embeddings of the encoders' widths.
    learned_absence : bool, default=False
        Whether a learned embedding (zero at first) stands in for an absent modality's. Otherwise it is zero, and
        heads that attend leave it out.

    Examples
    --------
    >>> from skmmal.heads import ConcatFusion, Encoder, LateFusionModule
    >>> encoders = [Encoder(width, [4], 0.0, None) for width in (6, 3)]
    >>> module = LateFusionModule(encoders, ConcatFusion([4, 4], 2))
    >>> len(module.encoders)
    2
    """

    def __init__(self, encoders: Sequence[Encoder], head: Fusion, learned_absence: bool = False) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.head = head
        self.unmet_logits: np.ndarray | float = UNSEEN_LOGIT
        self.absent = nn.ParameterList(torch.zeros(encoder.n_out) for encoder in encoders) if learned_absence else None

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return next(self.parameters()).dtype

    @property
    def is_linear(self) -> bool:
        """Whether embeddings are the features themselves."""
        return all(len(encoder.layers) == 0 for encoder in self.encoders)  # type: ignore[arg-type]

    def embed(self, blocks: list[torch.Tensor], present: torch.Tensor) -> list[torch.Tensor]:
        """Encode rows.

        Parameters
        ----------
        blocks : list of M tensors
            Features of each modality without NaN, of the shape (n, n_in) that its encoder takes.
        present : bool tensor of shape (n, M)
            Which row has which modality.

        Returns
        -------
        list of M tensors of shape (n, D_m)
            Zero, or the learned embedding, where a row lacks the modality.
        """
        embeddings = []
        for m, (encoder, block) in enumerate(zip(self.encoders, blocks, strict=True)):
            there = present[:, m : m + 1]
            embedding = encoder(block)
            if self.absent is not None:
                embedding = torch.where(there, embedding, self.absent[m])
            elif not there.all():  # a product with ones would take as long as a small head
                embedding = embedding * there.to(block.dtype)
            embeddings.append(embedding)
        return embeddings

    def fused_logits(self, embeddings: list[torch.Tensor], present: torch.Tensor) -> torch.Tensor:
        """Fused logits of embeddings, some of them of absent modalities.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, D_m)
            As `embed` returns them.
        present : bool tensor of shape (n, M)
            Which row has which modality.

        Returns
        -------
        tensor of shape (n, K)
        """
        return self.head(embeddings, self._attended(present)) if self.head.uses_presence else self.head(embeddings)

    def features(self, embeddings: list[torch.Tensor], present: torch.Tensor) -> list[torch.Tensor]:
        """What the last layer sees of each modality.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, D_m)
            As `embed` returns them.
        present : bool tensor of shape (n, M)
            Which row has which modality.

        Returns
        -------
        list of M tensors of shape (n, F_m)
        """
        return self.head.features(embeddings, self._attended(present))

    def _attended(self, present: torch.Tensor) -> torch.Tensor:
        # a learned embedding is there to be seen
        return present if self.absent is None else torch.ones_like(present)

    def forward(self, blocks: list[torch.Tensor], present: torch.Tensor) -> torch.Tensor:
        """Fused logits.

        Parameters
        ----------
        blocks : list of M tensors
            Features of each modality without NaN, of the shape (n, n_in) that its encoder takes.
        present : bool tensor of shape (n, M)
            Which row has which modality.

        Returns
        -------
        tensor of shape (n, K)
        """
        return self.fused_logits(self.embed(blocks, present), present)

    def set_dropout_generator(self, generator: torch.Generator | None) -> None:
        """Switch dropout on or off.

        Parameters
        ----------
        generator : torch.Generator or None
            Draws the masks; ``None`` switches dropout off.
        """
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator

    # ------------------------------------------------------------------------------------ as skmmal.heads._classes asks

    @property
    def met(self) -> np.ndarray:
        """Which classes each head has met, bool (M + 1, K), the fused head first."""
        met = getattr(self.head, "met", None)
        return classes_by_intercepts(self, len(self.encoders)) if met is None else met.cpu().numpy()

    def set_met(self, met: np.ndarray, unmet_logits: np.ndarray | float = UNSEEN_LOGIT) -> None:
        """Let the heads know which classes they have met.

        Parameters
        ----------
        met : bool ndarray of shape (M + 1, K)
            The fused head first.
        unmet_logits : float, or ndarray of shape (M + 1, K)
            What they say of the others.
        """
        device = next(self.parameters()).device
        self.head.met = torch.from_numpy(met).to(device)
        self.unmet_logits = unmet_logits
        self.head.unmet_logits = torch.as_tensor(np.broadcast_to(unmet_logits, met.shape).copy(), device=device)

    @property
    def shape(self) -> Any:
        """What another fit's network must share with this one to go on from it."""
        layers = self.head.class_layers()
        by_class = {id(parameter) for layer in layers for parameter in layer.parameters()}
        others = [(name, tuple(p.shape)) for name, p in self.named_parameters() if id(p) not in by_class]
        return [type(self.head), others, [layer.in_features for layer in layers]]

    def class_layers(self) -> list[tuple[LinearMap, int]]:
        """Return the layers whose outputs are the classes, and which row of `met` says what classes each knows.

        Returns
        -------
        list of (LinearMap, int)
            On the network's memory, which must be the CPU's.
        """
        head = self.head
        own = {} if head.ties_classifiers else {id(layer): m for m, layer in enumerate(head.unimodal, start=1)}
        return [(map_of(layer), own.get(id(layer), 0)) for layer in head.class_layers()]

    @torch.no_grad()
    def copy_shared(self, former: LateFusionModule) -> None:
        """Copy the weights that belong to no class.

        Parameters
        ----------
        former : LateFusionModule
            Of the same shape.
        """
        by_class = {id(parameter) for layer in self.head.class_layers() for parameter in layer.parameters()}
        for old, new in zip(former.parameters(), self.parameters(), strict=True):
            if id(new) not in by_class:
                new.copy_(old)


def map_of(layer: nn.Linear) -> LinearMap:
    """Weights and intercepts of a layer, on its memory."""
    weight = layer.weight.detach().numpy()
    if layer.bias is None:
        return LinearMap(weight, np.full(len(weight), np.nan))  # nobody's memory
    return LinearMap(weight, layer.bias.detach().numpy())
