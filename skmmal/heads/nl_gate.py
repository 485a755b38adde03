"""Non-local gate: the tokens of one modality attend to the tokens of all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral

import torch
from torch import nn

from skmmal._sklearn import Interval
from skmmal.heads.additive import AdditiveFusion, FusionFactory, everything_present, masked_softmax
from skmmal.heads.modules import linear_layer

__all__ = ["NLGate", "NLGateFusion"]


class NLGate(FusionFactory):
    """Non-local gate: the query modality's tokens attend to the tokens of all modalities.

    With x_i the query modality's tokens and y_j all modalities' tokens (the query's among them),

    ``o_i = x_i + H Σ_j softmax_j(θ(x_i) · φ_m(y_j) / √w) g_m(y_j)``,

    m the modality of token j, θ, φ_m, g_m linear layers of width w; the last layer is linear in the mean of the o_i.
    A feature vector that is no grid is one token.

    The tokens of an absent modality are left out of the softmax. Where the query modality itself is absent, its
    tokens are zero: the queries are then θ's intercept, a learned vector (zero at first, so that attention starts as
    the mean over the present tokens), and the sum over x_i is nothing.

    Parameters
    ----------
    query : str, int or None, default=None
        The modality that asks, by name or position. ``None`` is the first one.
    width : int or None, default=None
        Width w of keys and values; ``None`` is half the width of the query's tokens, as in the papers.
    n_heads : int, default=1
        Attention heads, which share w evenly.

    Notes
    -----
    It is meant for token grids: the result lives in the space of the query's tokens. On single feature vectors
    `GatedUnit` is the better choice (README).

    Multiplications per row, with T tokens of width d in all and T_q of them asking: (T + T_q) d w for keys and
    queries, T_q T w for the attention; values cost next to nothing, as the mean over the queries is taken first
    (README: measured cost). Differences from the papers' gate: tokens of the modalities stand one after the
    other (theirs are stacked as channels after pooling the video in space, which needs grids that match), scores are
    divided by √(w / n_heads), several heads are possible, H has no intercept (the last layer has one), the
    result is averaged and classified (theirs goes through another convolution stage). Absent modalities are ours.

    References
    ----------
    .. [1] Wang, Tran and Feiszli, "What makes training multi-modal classification networks hard?", CVPR 2020,
       section 1.1 and supplement (NL gates).
    .. [2] Wang et al., "Non-local neural networks", CVPR 2018, section 3.2 (embedded Gaussian).
    .. [3] Shen et al., "Towards balanced active learning for multimodal classification", ACM MM 2023
       (arXiv 2306.08306), its code (``model/avmodel_nl_gate.py``): video is the query.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal import LateFusionClassifier, MultimodalArray
    >>> from skmmal.heads import NLGate
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 3
    >>> video = rng.normal(size=(60, 4, 8)) + y[:, None, None]  # 4 tokens of width 8
    >>> X = MultimodalArray({"audio": rng.normal(size=(60, 2, 6)), "video": video})
    >>> clf = LateFusionClassifier(fusion=NLGate(query="video"), random_state=0).fit(X, y)
    >>> {name: values.shape for name, values in clf.embed(X).items()}
    {'audio': (60, 8), 'video': (60, 8)}
    """

    _parameter_constraints: dict = {
        "query": [str, Integral, None],
        "width": [Interval(Integral, 1, None, closed="left"), None],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, query: str | int | None = None, width: int | None = None, n_heads: int = 1) -> None:
        self.query = query
        self.width = width
        self.n_heads = n_heads

    def build(
        self, grids: Mapping[str, tuple[int, int]], n_classes: int, generator: torch.Generator | None
    ) -> NLGateFusion:
        """Build the head.

        Raises
        ------
        ValueError
            There is no such query modality, or `width` cannot be shared evenly by the heads.
        """
        self._validate_params()
        names = list(grids)
        query = 0 if self.query is None else self.query
        if isinstance(query, str):
            if query not in grids:
                raise ValueError(f"NLGate: query={query!r} is no modality; there are {names}")
            query = names.index(query)
        elif not 0 <= query < len(names):
            raise ValueError(f"NLGate: query={query} is out of range for the {len(names)} modalities {names}")
        width = self.width
        if width is None:  # half, brought to a multiple of the heads
            width = self.n_heads * max(1, grids[names[query]][1] // 2 // self.n_heads)
        if width % self.n_heads:
            raise ValueError(f"NLGate: width={width} cannot be shared evenly by n_heads={self.n_heads}")
        return NLGateFusion(list(grids.values()), query, width, self.n_heads, n_classes, generator)


class NLGateFusion(AdditiveFusion):
    """The network of `NLGate`.

    The mean over the query's tokens is linear in the attended values: it falls into one summand per modality, with
    the mean of the x_i in the query's.
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
        """Attention weights of every token (absent ones zero), shape (n, n_heads, T_q, T); they sum to one over T."""
        present = everything_present(embeddings) if present is None else present
        tokens = self._tokens(embeddings)
        queries = self._split(self.queries(tokens[self.query]))
        keys = self._split(torch.cat([layer(x) for layer, x in zip(self.keys, tokens, strict=True)], dim=1))
        counts = torch.tensor([count for count, _ in self.grids], device=present.device)
        there = present.repeat_interleave(counts, dim=1)
        scores = queries @ keys.transpose(2, 3) / math.sqrt(keys.shape[-1])
        return masked_softmax(scores, there[:, None, None, :], dim=3)

    def features(self, embeddings: list[torch.Tensor], present: torch.Tensor | None = None) -> list[torch.Tensor]:
        """Each modality's share of the mean gated token, (n, d) with d the width of the query's tokens."""
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
