"""What the fusions that gate and attend have in common: modalities add up to the last layer's input."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

from skmmal.heads._modules import Fusion, linear_layer

__all__ = ["AdditiveFusion", "everything_present", "masked_softmax"]


class AdditiveFusion(Fusion):
    """A head whose last layer sees the sum of one vector per modality: ``logits = W Σ_m h_m + b``.

    Subclasses say what h_m is. An absent modality's is zero, and it has no say in the others'; its embedding comes in
    as zeros. Each modality's own classifier sees the mean of its tokens.

    Parameters
    ----------
    grids : sequence of M (int, int)
        Tokens and their width.
    n_features : int
        Width F of h_m.
    n_classes : int
        Number K of classes.
    generator : torch.Generator, optional
        Draws the initial weights.

    Examples
    --------
    >>> from skmmal.heads import AdditiveFusion, AttentionFusion, GatedFusion, NLGateFusion
    >>> all(issubclass(head, AdditiveFusion) for head in (AttentionFusion, GatedFusion, NLGateFusion))
    True
    """

    uses_presence = True
    ties_classifiers = False

    def __init__(
        self,
        grids: Sequence[tuple[int, int]],
        n_features: int,
        n_classes: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__([dim for _, dim in grids], n_classes, generator)
        self.grids = list(grids)
        self.widths = [tokens * dim for tokens, dim in grids]
        self.fused = linear_layer(n_features, n_classes, generator)

    @abstractmethod
    def features(self, embeddings: list[torch.Tensor], present: torch.Tensor | None = None) -> list[torch.Tensor]:
        """Each modality's summand h_m.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, T_m d_m)
            Flattened grids; zero where a row lacks the modality.
        present : bool tensor of shape (n, M), optional
            Which row has which modality, by default all.

        Returns
        -------
        list of M tensors of shape (n, F)
        """

    def forward(self, embeddings: list[torch.Tensor], present: torch.Tensor | None = None) -> torch.Tensor:
        """Fused logits.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, T_m d_m)
            Flattened grids; zero where a row lacks the modality.
        present : bool tensor of shape (n, M), optional
            Which row has which modality, by default all.

        Returns
        -------
        tensor of shape (n, K)
        """
        return self.classify(self.features(embeddings, present))

    def classify(self, features: list[torch.Tensor]) -> torch.Tensor:
        return self.fused(torch.stack(features).sum(dim=0))

    def last_layer(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and intercepts of `classify`.

        Returns
        -------
        weights : tensor of shape (K, M F)
            The same F columns for each modality.
        intercepts : tensor of shape (K,)
        """
        return self.fused.weight.repeat(1, len(self.grids)), self.fused.bias

    def class_layers(self) -> list[nn.Linear]:
        return [layer for layer in (*self.unimodal, self.fused) if isinstance(layer, nn.Linear)]

    def unimodal_inputs(self, embeddings: list[torch.Tensor]) -> list[torch.Tensor]:
        return [tokens.mean(dim=1) for tokens in self._tokens(embeddings)]

    def _tokens(self, embeddings: list[torch.Tensor]) -> list[torch.Tensor]:
        """The embeddings as grids (n, T_m, d_m)."""
        return [z.unflatten(1, grid) for z, grid in zip(embeddings, self.grids, strict=True)]


def everything_present(embeddings: list[torch.Tensor]) -> torch.Tensor:
    """Mask (n, M) of rows that miss nothing."""
    return torch.ones(len(embeddings[0]), len(embeddings), dtype=torch.bool, device=embeddings[0].device)


def masked_softmax(scores: torch.Tensor, mask: torch.Tensor, dim: int) -> torch.Tensor:
    """Softmax over the entries in `mask`; the others are zero, and all are where the mask is empty."""
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=dim) * mask
