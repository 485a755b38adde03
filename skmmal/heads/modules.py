"""Torch modules: modality encoders, fusion heads, and the whole network.

Weights are drawn from a given generator and dropout masks too: torch's global random state is not touched.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["ConcatFusion", "Dropout", "Encoder", "Fusion", "LateFusionModule", "SumFusion"]

UNSEEN_LOGIT = -100.0
"""Intercept of a class without training rows: its probability is zero to double precision."""


def _linear(n_in: int, n_out: int, generator: torch.Generator | None) -> nn.Linear:
    """A linear layer with Xavier-uniform weights and zero intercept."""
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out)
    bound = math.sqrt(6.0 / (n_in + n_out))
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return layer


class Dropout(nn.Module):
    """Dropout that draws its masks from its own generator.

    Parameters
    ----------
    p : float
        Probability of zeroing a value.

    Attributes
    ----------
    generator : torch.Generator or None
        Set before training (or before Monte-Carlo passes); without one, nothing is dropped.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generator: torch.Generator | None = None

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero values with probability p and scale the rest by 1 / (1 − p), while a generator is set."""
        if self.generator is None or self.p == 0.0:
            return values
        keep = torch.rand(values.shape, generator=self.generator, device=values.device) >= self.p
        return values * keep / (1.0 - self.p)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "generator": None}  # generators cannot be pickled


class Encoder(nn.Module):
    """Multi-layer perceptron on one modality: (linear, ReLU, dropout) for each hidden width.

    Without hidden widths it is the identity (plus dropout).
    """

    def __init__(self, n_in: int, widths: Sequence[int], dropout: float, generator: torch.Generator | None) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in widths:
            layers += [_linear(n_in, width, generator), nn.ReLU(), Dropout(dropout)]
            n_in = width
        if not widths and dropout > 0:
            layers.append(Dropout(dropout))
        self.layers = nn.Sequential(*layers)
        self.n_out = n_in

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Encode (n, n_in) to (n, n_out)."""
        return self.layers(values)


class Fusion(nn.Module):
    """Head of the network: one classifier per modality and one on all of them.

    Parameters
    ----------
    widths : sequence of int
        Widths D_m of the embeddings.
    n_classes : int
    generator : torch.Generator or None
        Draws the initial weights.
    """

    linear = False
    """Whether the fused logits are linear in the embeddings, so that `partial_logits` exists."""

    def __init__(self, widths: Sequence[int], n_classes: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.widths = list(widths)
        self.n_classes = n_classes
        self.unimodal = nn.ModuleList(_linear(width, n_classes, generator) for width in widths)

    @abstractmethod
    def forward(self, embeddings: list[torch.Tensor]) -> torch.Tensor:
        """Fused logits (n, K) of M embeddings (n, D_m)."""

    def unimodal_logits(self, embeddings: list[torch.Tensor]) -> list[torch.Tensor]:
        """Logits (n, K) of each modality's own classifier."""
        return [head(values) for head, values in zip(self.unimodal, embeddings, strict=True)]

    def partial_logits(self, embeddings: list[torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Each modality's share (n, K) of the fused logits, and the intercept (K,)."""
        raise NotImplementedError(f"{type(self).__name__} is not linear in the embeddings")

    def linear_layers(self) -> list[nn.Linear]:
        """All layers that end in class logits, for setting single classes."""
        return [layer for layer in self.modules() if isinstance(layer, nn.Linear)]


class ConcatFusion(Fusion):
    """A linear classifier on the concatenated embeddings."""

    linear = True

    def __init__(self, widths: Sequence[int], n_classes: int, generator: torch.Generator | None = None) -> None:
        super().__init__(widths, n_classes, generator)
        self.fused = _linear(sum(widths), n_classes, generator)

    def forward(self, embeddings: list[torch.Tensor]) -> torch.Tensor:
        """Fused logits (n, K)."""
        return self.fused(torch.cat(embeddings, dim=1))

    def partial_logits(self, embeddings: list[torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Each modality's share of the fused logits, and the intercept."""
        weights = self.fused.weight.split(self.widths, dim=1)
        return [z @ weight.T for z, weight in zip(embeddings, weights, strict=True)], self.fused.bias


class SumFusion(Fusion):
    """Fused logits are the mean of the unimodal logits (tied classifiers)."""

    linear = True

    def forward(self, embeddings: list[torch.Tensor]) -> torch.Tensor:
        """Fused logits (n, K)."""
        return torch.stack(self.unimodal_logits(embeddings)).mean(dim=0)

    def partial_logits(self, embeddings: list[torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Each modality's share of the fused logits, and the intercept."""
        share = 1.0 / len(self.widths)
        layers = self.linear_layers()
        partial = [share * z @ layer.weight.T for z, layer in zip(embeddings, layers, strict=True)]
        return partial, share * torch.stack([layer.bias for layer in layers]).sum(dim=0)


class LateFusionModule(nn.Module):
    """Encoders and a fusion head; the embedding of an absent modality is zero."""

    def __init__(self, encoders: Sequence[Encoder], head: Fusion) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.head = head

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return next(self.parameters()).dtype

    @property
    def is_linear(self) -> bool:
        """Whether embeddings are the features themselves."""
        return all(len(encoder.layers) == 0 for encoder in self.encoders)  # type: ignore[arg-type]

    def embed(self, blocks: list[torch.Tensor], present: torch.Tensor) -> list[torch.Tensor]:
        """Embeddings (n, D_m); `blocks` hold no NaN, `present` is boolean of shape (n, M)."""
        return [
            encoder(block) * present[:, m : m + 1].to(block.dtype)
            for m, (encoder, block) in enumerate(zip(self.encoders, blocks, strict=True))
        ]

    def set_dropout_generator(self, generator: torch.Generator | None) -> None:
        """Switch dropout on (masks drawn from `generator`) or off (``None``)."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator
