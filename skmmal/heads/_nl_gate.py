"""Non-local gate: the tokens of one modality attend to the tokens of all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from skmmal.heads._additive import AdditiveFusion, everything_present, masked_softmax
from skmmal.heads._modules import linear_layer

__all__ = ["NLGateFusion"]


class NLGateFusion(AdditiveFusion):
    """The network of `skmmal.heads.NLGate`.

    The mean over the query's tokens is linear in the attended values: it falls into one summand per modality, with
    the mean of the x_i in the query's.

    Parameters
    ----------
    grids : sequence of M (int, int)
        Tokens and their width.
    query : int
        Position of the modality that asks.
    width : int
        Width of keys and values, a multiple of `n_heads`.
    n_heads : int
        Attention heads.
    n_classes : int
        Number of classes.
    generator : torch.Generator, optional
        Draws the initial weights.

    Examples
    --------
    >>> import torch
    >>> from skmmal.heads import NLGateFusion
    >>> head = NLGateFusion([(4, 3), (2, 6)], query=0, width=2, n_heads=1, n_classes=5)
    >>> head([torch.ones(7, 12), torch.ones(7, 12)]).shape
    torch.Size([7, 5])
    """

    def __init__(
        self,
        grids: Sequence[tuple[int, int]],
        query: int,
        width: int,
        n_heads: int,
        n_classes: int,
        generator: torch.Generator | None = None,
    ) -> None:
        dim = grids[query][1]
        super().__init__(grids, dim, n_classes, generator)
        self.query = query
        self.n_heads = n_heads
        self.queries = linear_layer(dim, width, generator)
        self.keys = nn.ModuleList(linear_layer(d, width, generator) for _, d in grids)
        self.values = nn.ModuleList(linear_layer(d, width, generator) for _, d in grids)
        self.output = nn.Parameter(linear_layer(width, dim, generator).weight.detach().clone())

    def attention(self, embeddings: list[torch.Tensor], present: torch.Tensor | None = None) -> torch.Tensor:
        """Attention weights of every token.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, T_m d_m)
            Flattened grids; zero where a row lacks the modality.
        present : bool tensor of shape (n, M), optional
            Which row has which modality, by default all.

        Returns
        -------
        tensor of shape (n, n_heads, T_q, T)
            For each of the query's T_q tokens, weights of all T tokens that sum to one; absent ones have zero.
        """
        present = everything_present(embeddings) if present is None else present
        tokens = self._tokens(embeddings)
        queries = self._split(self.queries(tokens[self.query]))
        keys = self._split(torch.cat([layer(x) for layer, x in zip(self.keys, tokens, strict=True)], dim=1))
        counts = torch.tensor([count for count, _ in self.grids], device=present.device)
        there = present.repeat_interleave(counts, dim=1)
        scores = queries @ keys.transpose(2, 3) / math.sqrt(keys.shape[-1])
        return masked_softmax(scores, there[:, None, None, :], dim=3)

    def features(self, embeddings: list[torch.Tensor], present: torch.Tensor | None = None) -> list[torch.Tensor]:
        shares = self.attention(embeddings, present).mean(dim=2).split([count for count, _ in self.grids], dim=2)
        summands = []
        for m, (tokens, layer, share) in enumerate(zip(self._tokens(embeddings), self.values, shares, strict=True)):
            # values are linear: the tokens are averaged first, and one vector per head is mapped instead of each token
            weights = layer.weight.unflatten(0, (self.n_heads, -1))  # type: ignore[operator]
            intercepts = layer.bias.unflatten(0, (self.n_heads, -1))  # type: ignore[operator]
            attended = torch.einsum("nhd,hwd->nhw", share @ tokens, weights)
            attended = attended + intercepts * share.sum(dim=2, keepdim=True)
            summand = attended.flatten(1) @ self.output.T
            summands.append(summand + tokens.mean(dim=1) if m == self.query else summand)
        return summands

    def _split(self, values: torch.Tensor) -> torch.Tensor:
        """(n, T, w) to (n, heads, T, w / heads)."""
        return values.unflatten(2, (self.n_heads, -1)).transpose(1, 2)
