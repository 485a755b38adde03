"""What the fused head says when some modalities are taken away.

Where a modality is taken away decides what is left of it:

- ``"embedding"``, after the encoder: what remains is what the network sees of an absent modality. That is a zero
  embedding (the BMMAL paper's), or the learned one; heads that attend leave the modality out of the softmax unless it
  has a learned embedding.
- ``"input"``, before the encoder: what remains is the encoder's output for zero features, the mean row of scaled
  data. It is seen like any other.

A modality that a row lacks stays absent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from skmmal.heads._modules import LinearFusion
from skmmal.heads._network import LateFusionModule

__all__ = ["coalition_logits", "logit_shares"]


def coalition_logits(
    module: LateFusionModule,
    embeddings: list[torch.Tensor],
    present: torch.Tensor,
    kept: np.ndarray,
    ablation_point: str = "embedding",
) -> torch.Tensor:
    """Fused logits when only some modalities are kept.

    Parameters
    ----------
    module : LateFusionModule
    embeddings : list of M tensors of shape (n, D_m)
        Of `LateFusionModule.embed`.
    present : bool tensor of shape (n, M)
    kept : bool ndarray of shape (M,)
    ablation_point : {"embedding", "input"}

    Returns
    -------
    tensor of shape (n, K)
    """
    blanks = _blanks(module, ablation_point)
    left = [
        z if keep else torch.where(present[:, m : m + 1], blank, z)
        for m, (z, blank, keep) in enumerate(zip(embeddings, blanks, kept, strict=True))
    ]
    if ablation_point == "embedding":
        present = present & torch.as_tensor(kept, device=present.device)
    return module.fused_logits(left, present)


def logit_shares(
    module: LateFusionModule, embeddings: list[torch.Tensor], ablation_point: str = "embedding"
) -> tuple[list[torch.Tensor], torch.Tensor] | None:
    """Each modality's share of the fused logits, which vanishes where the modality is taken away.

    Parameters
    ----------
    module : LateFusionModule
    embeddings : list of M tensors of shape (n, D_m)
        Of `LateFusionModule.embed`.
    ablation_point : {"embedding", "input"}

    Returns
    -------
    pair of a list of M tensors of shape (n, K) and an intercept of shape (K,), or None
        ``None`` where the head is not linear, or something remains of a modality that is taken away.
    """
    head: Any = module.head
    if isinstance(head, LinearFusion) and not any(bool(blank.any()) for blank in _blanks(module, ablation_point)):
        return head.partial_logits(embeddings)
    return None


def _blanks(module: LateFusionModule, ablation_point: str) -> list[torch.Tensor]:
    """What remains of each modality where it is taken away, (1, D_m): zero features, or an absent modality."""
    like = next(module.parameters())
    nothing = [like.new_zeros(1, encoder.n_in) for encoder in module.encoders]  # type: ignore[call-overload]
    everywhere = torch.full((1, len(nothing)), ablation_point == "input", device=like.device)
    return module.embed(nothing, everywhere)
