"""Torch modules: modality encoders and linear fusion heads.

Weights are drawn from a given generator and dropout masks too: torch's global random state is not touched.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

from skmmal.heads._classes import UNSEEN_LOGIT

__all__ = [
    "ConcatFusion",
    "Dropout",
    "Encoder",
    "Fusion",
    "LinearFusion",
    "SumFusion",
    "linear_layer",
]


def linear_layer(n_in: int, n_out: int, generator: torch.Generator | None) -> nn.Linear:
    """A linear layer with Xavier-uniform weights and zero intercept."""
    layer = nn.utils.skip_init(_Linear, n_in, n_out)
    bound = math.sqrt(6.0 / (n_in + n_out))
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return layer


def product(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """``values @ weight.T``, by numpy where predictions are made on the processor.

    numpy's OpenBLAS multiplies float64 faster than the MKL in torch's wheels: on AMD EPYC, by a quarter for wide
    layers, twice as fast for the narrow ones whose outputs are classes.
    """
    if torch.is_grad_enabled() or values.device.type != "cpu" or values.dtype != torch.float64 or values.ndim != 2:
        return values @ weight.T
    return torch.from_numpy(values.detach().numpy() @ weight.detach().numpy().T)


class _Linear(nn.Linear):
    """A linear layer by `product` where nothing is learned."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            return super().forward(input)
        return product(input, self.weight).add_(self.bias)


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

    Parameters
    ----------
    n_in : int
        Columns of the modality.
    widths : sequence of int
        Hidden widths.
    dropout : float
        Probability of zeroing a hidden value (a feature where there are no hidden widths) during training.
    generator : torch.Generator or None
        Draws the initial weights.
    n_tokens : int, default=1
        The columns are a flattened grid of that many tokens: every token goes through the same layers, and the
        output is a flattened grid again.

    Examples
    --------
    >>> import torch
    >>> from skmmal.heads import Encoder
    >>> Encoder(6, [16, 4], 0.0, torch.Generator().manual_seed(0))(torch.ones(3, 6)).shape
    torch.Size([3, 4])
    """

    def __init__(
        self,
        n_in: int,
        widths: Sequence[int],
        dropout: float,
        generator: torch.Generator | None,
        n_tokens: int = 1,
    ) -> None:
        super().__init__()
        self.n_in = n_in
        self.n_tokens = n_tokens
        width_in = n_in // n_tokens
        layers: list[nn.Module] = []
        for width in widths:
            layers += [linear_layer(width_in, width, generator), nn.ReLU(), Dropout(dropout)]
            width_in = width
        if not widths and dropout > 0:
            layers.append(Dropout(dropout))
        self.layers = nn.Sequential(*layers)
        self.n_out = n_tokens * width_in

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Encode rows.

        Parameters
        ----------
        values : tensor of shape (n, n_in)
            Features without NaN.

        Returns
        -------
        tensor of shape (n, n_out)
        """
        if self.n_tokens == 1:
            return self.layers(values)
        return self.layers(values.unflatten(1, (self.n_tokens, -1))).flatten(1)


class Fusion(nn.Module):
    """Head of the network: one classifier per modality and one on all of them.

    A head of your own overrides `forward`; the rest has defaults.

    Parameters
    ----------
    widths : sequence of int
        Widths D_m of the embeddings.
    n_classes : int
        Number K of classes.
    generator : torch.Generator, optional
        Draws the initial weights.

    Examples
    --------
    >>> import torch
    >>> from skmmal.heads import Fusion
    >>> class Strongest(Fusion):
    ...     def forward(self, embeddings):
    ...         return torch.stack(self.unimodal_logits(embeddings)).max(dim=0).values
    >>> Strongest([3, 2], 4)([torch.ones(5, 3), torch.ones(5, 2)]).shape
    torch.Size([5, 4])
    """

    linear = False
    """Whether the fused logits are linear in the embeddings (see `LinearFusion`)."""
    uses_presence = False
    """Whether `forward` takes `present`, a bool tensor of shape (n, M), as a second argument."""
    ties_classifiers = True
    """Whether the fused logits may depend on the modalities' own classifiers (`unimodal`). A class that is unknown to
    one of them alone is then left out of its probabilities, but not of its weights."""

    def __init__(self, widths: Sequence[int], n_classes: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.widths = list(widths)
        self.n_classes = n_classes
        self.unimodal = nn.ModuleList(linear_layer(width, n_classes, generator) for width in widths)
        self.register_buffer("met", None, persistent=False)
        self.register_buffer("unmet_logits", None, persistent=False)

    @abstractmethod
    def forward(self, embeddings: list[torch.Tensor]) -> torch.Tensor:
        """Fused logits.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, D_m)
            Outputs of the encoders; zero (or a learned embedding) where a row lacks the modality.

        Returns
        -------
        tensor of shape (n, K)
        """

    def unimodal_logits(self, embeddings: list[torch.Tensor]) -> list[torch.Tensor]:
        """Logits of each modality's own classifier.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, D_m)
            Outputs of the encoders.

        Returns
        -------
        list of M tensors of shape (n, K)
            What is said of rows that lack the modality means nothing.
        """
        inputs = self.unimodal_inputs(embeddings)
        return [head(values) for head, values in zip(self.unimodal, inputs, strict=True)]

    def own_logits(self, embeddings: list[torch.Tensor]) -> list[torch.Tensor]:
        """`unimodal_logits`, in which a class is out of reach that never occurred in a row with the modality.

        `met`, a bool tensor of shape (M + 1, K), says which classes occurred in the rows of the fused head and of each
        modality's; ``None`` before the first fit.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, D_m)
            Outputs of the encoders.

        Returns
        -------
        list of M tensors of shape (n, K)
        """
        logits, met = self.unimodal_logits(embeddings), getattr(self, "met", None)
        if met is None or not self.ties_classifiers:
            return logits
        unmet = getattr(self, "unmet_logits", None)
        if unmet is None:
            unmet = torch.full_like(met, UNSEEN_LOGIT, dtype=logits[0].dtype)
        others = unmet.to(logits[0].dtype)
        return [torch.where(*each) for each in zip(met[1:], logits, others[1:], strict=True)]

    def unimodal_inputs(self, embeddings: list[torch.Tensor]) -> list[torch.Tensor]:
        """What each modality's own classifier sees; here, the embeddings.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, D_m)
            Outputs of the encoders.

        Returns
        -------
        list of M tensors of shape (n, d_m)
            In the widths d_m that the head was built for.
        """
        return embeddings

    def features(self, embeddings: list[torch.Tensor], present: torch.Tensor | None = None) -> list[torch.Tensor]:
        """What the last layer sees of each modality; here, the embeddings.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, D_m)
            Outputs of the encoders.
        present : bool tensor of shape (n, M), optional
            Which row has which modality, by default all; for heads whose `uses_presence` is true.

        Returns
        -------
        list of M tensors of shape (n, F_m)
        """
        return embeddings

    def classify(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Fused logits of what `features` returned.

        Parameters
        ----------
        features : list of M tensors of shape (n, F_m)
            What the last layer sees of each modality.

        Returns
        -------
        tensor of shape (n, K)
        """
        return self(features)

    def last_layer(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Weights and intercepts of `classify`.

        Returns
        -------
        pair of tensors of shapes (K, Σ F_m) and (K,), or None
            ``None`` where `classify` is not linear.
        """
        return None

    def class_layers(self) -> list[nn.Linear]:
        """Layers whose outputs are the classes, for setting single classes.

        Here, all linear layers with as many outputs as there are classes; a head with a hidden layer of that width
        has to say which are meant.

        Returns
        -------
        list of torch.nn.Linear
            With K outputs each.
        """
        return [m for m in self.modules() if isinstance(m, nn.Linear) and m.out_features == self.n_classes]


class LinearFusion(Fusion):
    """A head whose fused logits are linear in the embeddings: ``b + Σ_m z_m W_mᵀ``.

    Parameters
    ----------
    widths : sequence of int
        Widths D_m of the embeddings.
    n_classes : int
        Number K of classes.
    generator : torch.Generator, optional
        Draws the initial weights.

    Examples
    --------
    >>> from skmmal.heads import ConcatFusion, LinearFusion, SumFusion
    >>> issubclass(ConcatFusion, LinearFusion) and issubclass(SumFusion, LinearFusion)
    True
    """

    linear = True

    @abstractmethod
    def partial_logits(self, embeddings: list[torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Split the fused logits into shares of the modalities.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, D_m)
            Outputs of the encoders.

        Returns
        -------
        shares : list of M tensors of shape (n, K)
            ``z_m W_mᵀ``; they and the intercept add up to the fused logits.
        intercept : tensor of shape (K,)
        """

    def last_layer(self) -> tuple[torch.Tensor, torch.Tensor]:
        like = next(self.parameters())
        partial, intercept = self.partial_logits([like.new_ones(width).diag() for width in self.widths])
        return torch.cat(partial).T, intercept


class ConcatFusion(LinearFusion):
    """A linear classifier on the concatenated embeddings.

    Parameters
    ----------
    widths : sequence of int
        Widths D_m of the embeddings.
    n_classes : int
        Number K of classes.
    generator : torch.Generator, optional
        Draws the initial weights.

    Examples
    --------
    >>> import torch
    >>> from skmmal.heads import ConcatFusion
    >>> head = ConcatFusion([3, 2], 4, torch.Generator().manual_seed(0))
    >>> head([torch.ones(5, 3), torch.ones(5, 2)]).shape
    torch.Size([5, 4])
    """

    ties_classifiers = False

    def __init__(self, widths: Sequence[int], n_classes: int, generator: torch.Generator | None = None) -> None:
        super().__init__(widths, n_classes, generator)
        self.fused = linear_layer(sum(widths), n_classes, generator)

    def forward(self, embeddings: list[torch.Tensor]) -> torch.Tensor:
        return self.fused(torch.cat(embeddings, dim=1))

    def partial_logits(self, embeddings: list[torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
        weights = self.fused.weight.split(self.widths, dim=1)
        return [product(z, weight) for z, weight in zip(embeddings, weights, strict=True)], self.fused.bias


class SumFusion(LinearFusion):
    """Fused logits are the mean of the unimodal logits (tied classifiers).

    Parameters
    ----------
    widths : sequence of int
        Widths D_m of the embeddings.
    n_classes : int
        Number K of classes.
    generator : torch.Generator, optional
        Draws the initial weights.

    Attributes
    ----------
    factors : sequence of M float or None
        Of the unimodal logits in the mean; ``None``: all are one.

    Examples
    --------
    >>> import torch
    >>> from skmmal.heads import SumFusion
    >>> head = SumFusion([3, 2], 4, torch.Generator().manual_seed(0))
    >>> embeddings = [torch.ones(5, 3), torch.ones(5, 2)]
    >>> own = head.unimodal_logits(embeddings)
    >>> torch.allclose(head(embeddings), (own[0] + own[1]) / 2)
    True
    """

    factors: Sequence[float] | None = None

    def forward(self, embeddings: list[torch.Tensor]) -> torch.Tensor:
        logits = self.unimodal_logits(embeddings)
        if self.factors is not None:
            logits = [factor * of_modality for factor, of_modality in zip(self.factors, logits, strict=True)]
        return torch.stack(logits).mean(dim=0)

    def partial_logits(self, embeddings: list[torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
        shares = [factor / len(self.widths) for factor in self.factors or [1.0] * len(self.widths)]
        layers = self.class_layers()
        partial = [product(share * z, layer.weight) for share, z, layer in zip(shares, embeddings, layers, strict=True)]
        intercepts = [share * layer.bias for share, layer in zip(shares, layers, strict=True)]
        return partial, torch.stack(intercepts).sum(dim=0)
