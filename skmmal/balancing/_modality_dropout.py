"""Modality dropout: take modalities as missing, at random."""

from __future__ import annotations

from numbers import Real

import torch

from skmmal._sklearn import Interval
from skmmal.balancing._base import Balancing
from skmmal.heads._batches import drop_modalities

__all__ = ["ModalityDropout"]


class ModalityDropout(Balancing):
    """Modality dropout: in each row of a batch, each present modality is taken as missing with probability p.

    At least one modality is kept in each row; what is kept is not rescaled. The same as the classifier's parameter
    `modality_dropout`, as an object beside the other methods.

    Parameters
    ----------
    p : float, default=0.2
        From 0 to below 1.

    Notes
    -----
    It does without encoders, too: the fused head then learns from rows with fewer modalities.

    References
    ----------
    .. [1] Neverova et al., "ModDrop: adaptive multi-modal gesture recognition", TPAMI 2016 (arXiv 1501.00102).
       That at least one modality is kept is a common variant.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.balancing import ModalityDropout
    >>> LateFusionClassifier(encoder_dim=8, balancing=ModalityDropout(p=0.3)).balancing
    ModalityDropout(p=0.3)
    """

    needs_encoders = False

    _parameter_constraints: dict = {"p": [Interval(Real, 0, 1, closed="left")]}

    def __init__(self, p: float = 0.2) -> None:
        self.p = p

    def mask(self, present: torch.Tensor) -> torch.Tensor:
        return drop_modalities(present, self.p, self.run.generator) if self.p > 0 else present
