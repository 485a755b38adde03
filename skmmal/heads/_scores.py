"""How well each modality alone tells the true class during training, and how far ahead of the others it is."""

from __future__ import annotations

import torch

from skmmal.heads._modules import Fusion, LinearFusion

__all__ = ["discrepancy_ratios", "discrepancy_sums", "modality_scores"]


@torch.no_grad()
def modality_scores(head: Fusion, embeddings: list[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """Probability of the true class by each modality alone, shape (n, M).

    A linear fusion gives each modality its share of the fused logits and of the intercept,
    ``s_m = W_m z_m + b / M``. Other fusions have no such shares; there the modalities' own heads speak (ours).

    Parameters
    ----------
    head : Fusion
    embeddings : list of M tensors of shape (n, D_m)
    labels : int64 tensor of shape (n,)

    Returns
    -------
    tensor of shape (n, M)
        ``softmax_y(s_m)``. What is said of an absent modality means nothing.
    """
    if isinstance(head, LinearFusion):
        partial, intercept = head.partial_logits(embeddings)
        logits = [part + intercept / len(partial) for part in partial]
    else:
        logits = head.own_logits(embeddings)
    stacked = torch.stack(logits, dim=1)  # (n, M, K)
    return torch.softmax(stacked, dim=2).gather(2, labels[:, None, None].expand(-1, len(logits), 1))[:, :, 0]


def discrepancy_sums(
    scores: torch.Tensor, present: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Numerators and denominators of the discrepancy ratios, which add up over batches.

    Parameters
    ----------
    scores : tensor of shape (n, M)
        See `modality_scores`.
    present : bool tensor of shape (n, M)
    weights : tensor of shape (n,)

    Returns
    -------
    own, others : tensors of shape (M,)
        Sums over the rows that have modality m and another one: of m's score, and of the mean score of the others
        that the row has.
    """
    n_modalities = scores.shape[1]
    others = 1 - torch.eye(n_modalities, dtype=scores.dtype, device=scores.device)
    there = present.to(scores.dtype)
    n_others = there @ others
    counted = there * (n_others > 0) * weights[:, None]
    mean_of_others = (scores * there) @ others / n_others.clamp_min(1.0)
    return (counted * scores).sum(dim=0), (counted * mean_of_others).sum(dim=0)


def discrepancy_ratios(own: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Discrepancy ratio of each modality: ``ρ_m = S_m / S_others``, above one for a modality that is ahead.

    With two modalities that are never absent it is the ratio of OGM-GE (Peng et al., CVPR 2022, section 3.2). Ours:
    for more modalities the others are averaged; and modalities are compared on rows that have both, so that one
    which is often absent, or absent from hard rows, is not taken for a weak or a strong one.

    Parameters
    ----------
    own, others : tensors of shape (M,)
        Of `discrepancy_sums`.

    Returns
    -------
    tensor of shape (M,)
        NaN for a modality that was never seen beside another.
    """
    return own / others
