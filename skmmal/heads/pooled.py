"""Fusions of one vector per modality: gates, and attention pooling. Token grids are averaged first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral

import torch
from torch import nn

from skmmal._sklearn import Interval, StrOptions
from skmmal.heads.additive import AdditiveFusion, FusionFactory, everything_present, masked_softmax
from skmmal.heads.modules import linear_layer

__all__ = ["AttentionFusion", "AttentionPooling", "GatedFusion", "GatedUnit"]


class GatedUnit(FusionFactory):
    """Gated multimodal unit: every hidden feature chooses between the modalities.

    With z_m a modality's embedding (the mean over its tokens) and z all of them side by side,

    ``h = Σ_m g_m ⊙ tanh(A_m z_m + a_m)``,  ``g = softmax_m(B z + c)`` or ``g = σ(B z + c)``,

    and the last layer is linear in h. An absent modality counts as zero in z, has no gate, and a softmax is over the
    present ones alone.

    Parameters
    ----------
    width : int, default=128
        Width of h.
    gate : {"softmax", "sigmoid"}, default="softmax"
        ``"softmax"``: for each feature, the gates of a row sum to one; with two modalities this is the paper's
        bimodal unit, ``g`` and ``1 − g``. ``"sigmoid"``: independent gates, the paper's unit for more modalities.

    References
    ----------
    .. [1] Arevalo et al., "Gated multimodal units for information fusion", ICLR 2017 workshop (arXiv 1702.01992),
       section 3. Absent modalities are our extension.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.heads import GatedUnit
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> clf = LateFusionClassifier(fusion=GatedUnit(width=32), max_iter=20, random_state=0)
    >>> clf.fit(X[::2], y[::2]).embed(X)["fou"].shape
    (2000, 32)
    """

    _parameter_constraints: dict = {
        "width": [Interval(Integral, 1, None, closed="left")],
        "gate": [StrOptions({"softmax", "sigmoid"})],
    }

    def __init__(self, width: int = 128, gate: str = "softmax") -> None:
        self.width = width
        self.gate = gate

    def build(
        self, grids: Mapping[str, tuple[int, int]], n_classes: int, generator: torch.Generator | None
    ) -> GatedFusion:
        """Build the head."""
        self._validate_params()
        return GatedFusion(list(grids.values()), self.width, self.gate, n_classes, generator)


class GatedFusion(AdditiveFusion):
    """The network of `GatedUnit`."""

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
        """Gated hidden features of each modality, (n, width)."""
        present = everything_present(embeddings) if present is None else present
        pooled = self.unimodal_inputs(embeddings)
        scores = self.gates(torch.cat(pooled, dim=1)).unflatten(1, (len(pooled), -1))  # (n, M, width)
        there = present[:, :, None]
        gates = masked_softmax(scores, there, dim=1) if self.gate == "softmax" else torch.sigmoid(scores) * there
        hidden = [torch.tanh(layer(z)) for layer, z in zip(self.hidden, pooled, strict=True)]
        return [gates[:, m] * values for m, values in enumerate(hidden)]


class AttentionPooling(FusionFactory):
    """Attention over modalities: a row's fused vector is a weighted mean of one vector per modality.

    With z_m a modality's embedding (the mean over its tokens),

    ``v_m = A_m z_m + a_m``,  ``w = softmax_m(uᵀ tanh(V v_m + c))``,  ``h = Σ_m w_m v_m``,

    and the last layer is linear in h. V, c and u are shared by the modalities. The softmax is over the present
    modalities alone: a row with one modality is that modality's v.

    Parameters
    ----------
    width : int, default=128
        Width of the common space of v and h.

    References
    ----------
    .. [1] Ilse, Tomczak and Welling, "Attention-based deep multiple instance learning", ICML 2018
       (arXiv 1802.04712), equation 8, with a row's modalities as the bag; the maps into a common space are ours.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.heads import AttentionPooling
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> clf = LateFusionClassifier(fusion=AttentionPooling(width=32), max_iter=20, random_state=0)
    >>> clf.fit(X[::2], y[::2]).embed(X)["fou"].shape
    (2000, 32)
    """

    _parameter_constraints: dict = {"width": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, width: int = 128) -> None:
        self.width = width

    def build(
        self, grids: Mapping[str, tuple[int, int]], n_classes: int, generator: torch.Generator | None
    ) -> AttentionFusion:
        """Build the head."""
        self._validate_params()
        return AttentionFusion(list(grids.values()), self.width, n_classes, generator)


class AttentionFusion(AdditiveFusion):
    """The network of `AttentionPooling`."""

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
        """Weighted vectors of each modality, (n, width)."""
        present = everything_present(embeddings) if present is None else present
        pooled = self.unimodal_inputs(embeddings)
        vectors = torch.stack([layer(z) for layer, z in zip(self.project, pooled, strict=True)], dim=1)
        scores = torch.tanh(self.hidden(vectors)) @ self.score.T  # (n, M, 1)
        return list((masked_softmax(scores, present[:, :, None], dim=1) * vectors).unbind(dim=1))
