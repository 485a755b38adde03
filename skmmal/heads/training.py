"""Mini-batch training with AdamW: features stay on the device, batches are index slices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from skmmal.heads.modules import LateFusionModule

__all__ = ["Batches", "head_losses", "train_adamw"]


@dataclass
class Batches:
    """The labelled rows, on the device that trains.

    Parameters
    ----------
    blocks : list of M tensors of shape (n, D_m)
        Without NaN.
    present : bool tensor of shape (n, M)
    labels : int64 tensor of shape (n,)
    weights : tensor of shape (n,)
        Sample weight times class weight.
    """

    blocks: list[torch.Tensor]
    present: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: torch.Tensor) -> Batches:
        """Some of the rows."""
        return Batches([b[rows] for b in self.blocks], self.present[rows], self.labels[rows], self.weights[rows])


def head_losses(module: LateFusionModule, batch: Batches) -> list[torch.Tensor]:
    """Weighted mean cross-entropy of the fused head and of each modality's head over the rows that have it."""
    embeddings = module.embed(batch.blocks, batch.present)
    logits = [module.head(embeddings), *module.head.unimodal_logits(embeddings)]
    everywhere = torch.ones(len(batch), 1, dtype=torch.bool, device=batch.present.device)
    counted = torch.cat([everywhere, batch.present], dim=1)
    losses = []
    for head, values in enumerate(logits):
        weights = batch.weights * counted[:, head]
        each = cross_entropy(values, batch.labels, reduction="none")
        losses.append((weights * each).sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny))
    return losses


def train_adamw(
    module: LateFusionModule,
    data: Batches,
    *,
    n_epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    modality_dropout: float,
    generator: torch.Generator,
    verbose: int,
) -> list[float]:
    """Train on the mean of the heads' losses; return the mean loss of every epoch.

    Parameters
    ----------
    module : LateFusionModule
        Trained in place; dropout is on during training only.
    data : Batches
    n_epochs, batch_size : int
    learning_rate, weight_decay : float
        Of AdamW; intercepts do not decay.
    modality_dropout : float
        Probability that a present modality is taken as absent for a batch; at least one is kept in each row.
    generator : torch.Generator
        On the device of `data`; draws batches, dropout masks and dropped modalities.
    verbose : int
        Print the loss every `verbose` epochs; 0 is silent.
    """
    decaying = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate)
    device = data.labels.device
    curve = []
    module.train()
    module.set_dropout_generator(generator)
    for epoch in range(n_epochs):
        order = torch.randperm(len(data), generator=generator, device=device)
        total = torch.zeros((), device=device)
        for rows in order.split(batch_size):
            batch = data.take(rows)
            if modality_dropout > 0:
                batch.present = _drop_modalities(batch.present, modality_dropout, generator)
            optimizer.zero_grad(set_to_none=True)
            loss = torch.stack(head_losses(module, batch)).mean()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        curve.append(float(total) / len(data))
        if verbose and (epoch + 1) % verbose == 0:
            print(f"epoch {epoch + 1}/{n_epochs}: loss {curve[-1]:.6f}")
    module.set_dropout_generator(None)
    module.eval()
    return curve


def _drop_modalities(present: torch.Tensor, p: float, generator: torch.Generator) -> torch.Tensor:
    draws = torch.rand(present.shape, generator=generator, device=present.device)
    kept = present & (draws >= p)
    # a row that would lose everything keeps the present modality with the largest draw
    last = torch.where(present, draws, torch.full_like(draws, -1.0)).argmax(dim=1)
    emptied = ~kept.any(dim=1)
    kept[emptied, last[emptied]] = True
    return kept
