"""OGM-GE: OGM, and noise that the smaller gradient would otherwise lose."""

from __future__ import annotations

import torch

from skmmal.balancing._ogm import OGM

__all__ = ["OGMGE"]

_SMALLEST = 1e-8


class OGMGE(OGM):
    """OGM with generalisation enhancement: Gaussian noise beside the modulated gradient.

    The gradient of each weight matrix of an encoder becomes ``k_m g + ε``, ε normal with the standard deviation of
    the entries of g (before it is multiplied); also where k_m = 1. Everything else is `OGM`.

    Parameters
    ----------
    alpha : float, default=0.8
        Strength α; with 0 the noise is left.
    start, stop : int or float, default=0 and 0.5
        First epoch that is modulated, and the one before which it ends: numbers of epochs (int), or shares of all
        epochs (float).
    modulate : {"gradient", "step"}, default="gradient"
        ``"gradient"`` is the published rule. ``"step"`` (ours) multiplies the optimiser's step of the encoder, its
        learning rate, instead; the noise is added to the gradient.

    See Also
    --------
    OGM : Without noise; says what is ours, and why the published rule is weakened under AdamW.

    Notes
    -----
    Published with ``solver="sgd"``. Under AdamW the coefficient is weakened (see `OGM`) but the noise is not: it is as
    large as the gradient itself.

    References
    ----------
    .. [1] Peng et al., "Balanced multimodal learning via on-the-fly gradient modulation", CVPR 2022
       (arXiv 2203.15332), section 3.3.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.balancing import OGMGE
    >>> LateFusionClassifier(encoder_dim=8, balancing=OGMGE(alpha=0.5), solver="sgd").balancing
    OGMGE(alpha=0.5)
    """

    def _change(self, gradient: torch.Tensor, coefficient: torch.Tensor | float) -> None:
        # a single entry has no spread
        spread = gradient.std() + _SMALLEST if gradient.numel() > 1 else gradient.new_tensor(_SMALLEST)
        generator = self.run.generator
        noise = torch.randn(gradient.shape, generator=generator, dtype=gradient.dtype, device=gradient.device)
        gradient *= coefficient
        gradient += spread * noise
