"""Labelled rows on the device that trains."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["Batches", "drop_modalities"]


@dataclass
class Batches:
    """The labelled rows, on the device that trains.

    Parameters
    ----------
    blocks : list of M tensors of shape (n, D_m)
        Without NaN.
    present : bool tensor of shape (n, M)
        Which row has which modality.
    labels : int64 tensor of shape (n,), or float tensor of shape (n, L)
        Classes, from 0 to K − 1; or which labels a row has: one, zero, or NaN where nobody knows.
    weights : tensor of shape (n,)
        Sample weight times class weight.
    label_weights : tensor of shape (n, L), optional
        Factors of the labels' losses.

    Examples
    --------
    >>> import torch
    >>> from skmmal.heads import Batches
    >>> present, labels = torch.ones(5, 1, dtype=torch.bool), torch.zeros(5, dtype=torch.int64)
    >>> rows = Batches([torch.ones(5, 3)], present, labels, torch.ones(5))
    >>> rows.present.shape
    torch.Size([5, 1])
    """

    blocks: list[torch.Tensor]
    present: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    label_weights: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: torch.Tensor) -> Batches:
        """Pick rows.

        Parameters
        ----------
        rows : int64 tensor of shape (k,), or bool tensor of shape (n,)
            Positions, or a mask.

        Returns
        -------
        Batches
            Copies of these rows.
        """
        of_labels = None if self.label_weights is None else self.label_weights[rows]
        return Batches(
            [b[rows] for b in self.blocks], self.present[rows], self.labels[rows], self.weights[rows], of_labels
        )


def drop_modalities(present: torch.Tensor, p: float, generator: torch.Generator) -> torch.Tensor:
    """Take each present modality as absent with probability `p`, but never all of a row.

    Parameters
    ----------
    present : bool tensor of shape (n, M)
    p : float
    generator : torch.Generator

    Returns
    -------
    bool tensor of shape (n, M)
    """
    draws = torch.rand(present.shape, generator=generator, device=present.device)
    kept = present & (draws >= p)
    # a row that would lose everything keeps the present modality with the largest draw
    last = torch.where(present, draws, torch.full_like(draws, -1.0)).argmax(dim=1)
    emptied = ~kept.any(dim=1)
    kept[emptied, last[emptied]] = True
    return kept
