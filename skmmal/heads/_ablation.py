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

from collections.abc import Callable

import numpy as np
import torch

from skmmal.contributions import linear_coalition_value
from skmmal.heads._modules import LinearFusion
from skmmal.heads._network import LateFusionModule

__all__ = ["coalition_hits", "coalition_logits", "coalition_value"]


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
    return _logits(module, embeddings, present, kept, _blanks(module, ablation_point), ablation_point)


def coalition_value(
    module: LateFusionModule,
    embeddings: list[torch.Tensor],
    present: torch.Tensor,
    target: np.ndarray | None,
    ablation_point: str = "embedding",
) -> tuple[Callable[[np.ndarray], np.ndarray], torch.Tensor]:
    """Probability of a target class for any coalition, for `skmmal.contributions.shapley_values`.

    A linear head whose ablated embeddings are zero needs one product per modality for all coalitions; otherwise the
    head is evaluated for each of them.

    Parameters
    ----------
    module : LateFusionModule
    embeddings : list of M tensors of shape (n, D_m)
        Of `LateFusionModule.embed`.
    present : bool tensor of shape (n, M)
    target : int ndarray of shape (n,) or None
        Columns of the classes; ``None``: of the predicted ones.
    ablation_point : {"embedding", "input"}

    Returns
    -------
    value : callable
        From a bool ndarray of shape (M,) to a float64 ndarray of shape (n,).
    logits : tensor of shape (n, K)
        The fused ones, which are made on the way.
    """
    blanks = _blanks(module, ablation_point)
    shares = _shares(module, embeddings, blanks)
    # a linear head's logits are the modalities' shares together
    logits = module.fused_logits(embeddings, present) if shares is None else sum(shares[0], shares[1])
    if target is None:
        target = logits.argmax(dim=1).cpu().numpy()
    if shares is not None:
        partial, intercept = shares
        return linear_coalition_value([_double(part) for part in partial], _double(intercept), target), logits
    rows = np.arange(len(target))

    def value(kept: np.ndarray) -> np.ndarray:
        kept_logits = _logits(module, embeddings, present, kept, blanks, ablation_point)
        return torch.softmax(kept_logits.double(), dim=1).cpu().numpy()[rows, target]

    return value, logits


def coalition_hits(
    module: LateFusionModule,
    embeddings: list[torch.Tensor],
    present: torch.Tensor,
    target: np.ndarray,
    ablation_point: str = "embedding",
) -> Callable[[np.ndarray], np.ndarray]:
    """Whether the target class is the most probable one, for any coalition: `coalition_value` for accuracy.

    Returns
    -------
    callable
        From a bool ndarray of shape (M,) to a float64 ndarray of shape (n,), of zeros and ones.
    """
    blanks = _blanks(module, ablation_point)
    shares = _shares(module, embeddings, blanks)
    wanted = torch.as_tensor(target, device=present.device)

    def value(kept: np.ndarray) -> np.ndarray:
        if shares is None:
            logits = _logits(module, embeddings, present, kept, blanks, ablation_point)
        else:
            partial, intercept = shares
            members = (part for part, keep in zip(partial, kept, strict=True) if keep)
            logits = sum(members, intercept.expand_as(partial[0]))
        return _double(logits.argmax(dim=1) == wanted)

    return value


def _shares(
    module: LateFusionModule, embeddings: list[torch.Tensor], blanks: list[torch.Tensor]
) -> tuple[list[torch.Tensor], torch.Tensor] | None:
    """Each modality's share (n, K) of the fused logits, zero where it is taken away, and the intercept (K,).

    ``None`` where the head is not linear, or something remains of a modality that is taken away.
    """
    if isinstance(module.head, LinearFusion) and not any(bool(blank.any()) for blank in blanks):
        return module.head.partial_logits(embeddings)
    return None


def _blanks(module: LateFusionModule, ablation_point: str) -> list[torch.Tensor]:
    """What remains of each modality where it is taken away, (1, D_m): zero features, or an absent modality."""
    like = next(module.parameters())
    nothing = [like.new_zeros(1, encoder.n_in) for encoder in module.encoders]  # type: ignore[call-overload]
    everywhere = torch.full((1, len(nothing)), ablation_point == "input", device=like.device)
    return module.embed(nothing, everywhere)


def _logits(
    module: LateFusionModule,
    embeddings: list[torch.Tensor],
    present: torch.Tensor,
    kept: np.ndarray,
    blanks: list[torch.Tensor],
    ablation_point: str,
) -> torch.Tensor:
    left = [
        z if keep else torch.where(present[:, m : m + 1], blank, z)
        for m, (z, blank, keep) in enumerate(zip(embeddings, blanks, kept, strict=True))
    ]
    if ablation_point == "embedding":
        present = present & torch.as_tensor(kept, device=present.device)
    return module.fused_logits(left, present)


def _double(values: torch.Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
