"""Mini-batch training: features stay on the device, batches are index slices, hooks may change what happens."""

from __future__ import annotations

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from skmmal.heads._batches import Batches, drop_modalities
from skmmal.heads._curves import TrainingCurves
from skmmal.heads._hooks import Step, TrainingHooks, TrainingRun
from skmmal.heads._network import LateFusionModule
from skmmal.heads._scores import discrepancy_sums, modality_scores

__all__ = ["head_losses", "make_optimizer", "scale_gradients", "train"]

MOMENTUM = 0.9
"""Of ``sgd``; the balancing methods were published with it."""


def head_losses(
    module: LateFusionModule, batch: Batches, embeddings: list[torch.Tensor], fused: list[torch.Tensor]
) -> torch.Tensor:
    """Weighted cross-entropy of the fused head and of each modality's head over the rows that have it.

    Parameters
    ----------
    module : LateFusionModule
    batch : Batches
    embeddings : list of M tensors of shape (n, D_m)
        What the modalities' own heads see.
    fused : list of M tensors of shape (n, D_m)
        What the fused head sees; mostly the same.

    Returns
    -------
    tensor of shape (2, M + 1)
        Sums of weighted losses, and sums of weights.
    """
    logits = [module.fused_logits(fused, batch.present), *module.head.own_logits(embeddings)]
    everywhere = torch.ones(len(batch), 1, dtype=torch.bool, device=batch.present.device)
    counted = torch.cat([everywhere, batch.present], dim=1)
    sums, totals = [], []
    for head, values in enumerate(logits):
        weights = batch.weights * counted[:, head]
        sums.append((weights * _losses(values, batch)).sum())
        totals.append(weights.sum())
    return torch.stack([torch.stack(sums), torch.stack(totals)])


def _losses(logits: torch.Tensor, batch: Batches) -> torch.Tensor:
    """Loss (n,) of each row: its class's cross-entropy, or the sum of its labels' logistic losses."""
    if batch.labels.ndim == 1:
        return cross_entropy(logits, batch.labels, reduction="none")
    # what nobody knows counts nothing
    states = batch.labels.nan_to_num(0.0)
    losses = binary_cross_entropy_with_logits(logits, states, weight=batch.label_weights, reduction="none")
    return torch.where(batch.labels.isnan(), 0.0, losses).sum(dim=1)


def scale_gradients(values: list[torch.Tensor], factor: float) -> list[torch.Tensor]:
    """The same values, whose gradients are multiplied by `factor` on their way back."""
    if factor == 1.0:
        return values
    return [each.detach() + factor * (each - each.detach()) for each in values]


def make_optimizer(
    module: LateFusionModule, name: str, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Optimiser with a group of parameters for each encoder, so that methods may slow down one of them.

    Parameters
    ----------
    module : LateFusionModule
    name : {"adamw", "sgd"}
        ``"sgd"`` has momentum 0.9.
    learning_rate, weight_decay : float
        Intercepts do not decay.

    Returns
    -------
    torch.optim.Optimizer
        The groups of encoder m carry ``"encoder": m``, the others ``"encoder": None``.
    """
    encoding = {id(p) for p in module.encoders.parameters()}
    parts: list[tuple[int | None, list[torch.nn.Parameter]]] = [
        (m, list(encoder.parameters())) for m, encoder in enumerate(module.encoders)
    ]
    parts.append((None, [p for p in module.parameters() if id(p) not in encoding]))
    groups = []
    for encoder, parameters in parts:
        for decaying in (True, False):
            chosen = [p for p in parameters if (p.ndim > 1) == decaying]
            if chosen:
                groups.append({"params": chosen, "weight_decay": weight_decay if decaying else 0.0, "encoder": encoder})
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=MOMENTUM)
    # one kernel for all parameters: a seventh of an epoch's time less; other devices than these may lack it
    fused = next(module.parameters()).device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=learning_rate, fused=fused)


def train(run: TrainingRun, hooks: TrainingHooks, *, modality_dropout: float, verbose: int) -> TrainingCurves:
    """Train the network of a run on the mean of the heads' losses; dropout is on during training only.

    Parameters
    ----------
    run : TrainingRun
        Its module is trained in place; its generator draws batches, dropout masks and dropped modalities.
    hooks : TrainingHooks
    modality_dropout : float
        Probability that a present modality is taken as absent for a batch; at least one is kept in each row.
    verbose : int
        Print the loss every `verbose` epochs; 0 is silent.

    Returns
    -------
    TrainingCurves
    """
    module = run.module
    # without encoders nothing is left behind, and the comparison would cost a quarter of the time
    compare = type(hooks) is not TrainingHooks or next(module.encoders.parameters(), None) is not None
    compare = compare and run.data.labels.ndim == 1  # it compares probabilities of the true class
    curves = TrainingCurves(len(run.names) + 1, compare)
    module.train()
    module.set_dropout_generator(run.generator)
    hooks.begin(run)
    for epoch in range(run.n_epochs):
        rows, kept = hooks.epoch_rows(epoch)
        curves.start_epoch(run.data.weights)
        order = torch.randperm(len(rows), generator=run.generator, device=rows.device)
        for drawn in order.split(run.batch_size):
            batch = run.data.take(rows[drawn])
            if kept is not None:
                batch.present = batch.present & kept[drawn]
            if modality_dropout > 0:
                batch.present = drop_modalities(batch.present, modality_dropout, run.generator)
            batch.present = hooks.mask(batch.present)
            _train_on(run, hooks, epoch, batch, curves)
        curves.end_epoch()
        hooks.end_epoch(epoch)
        if verbose and (epoch + 1) % verbose == 0:
            print(f"epoch {epoch + 1}/{run.n_epochs}: loss {curves.objective[-1]:.6f}")
    hooks.finish()
    module.set_dropout_generator(None)
    module.eval()
    return curves


def _train_on(run: TrainingRun, hooks: TrainingHooks, epoch: int, batch: Batches, curves: TrainingCurves) -> None:
    """One step of the optimiser."""
    run.optimizer.zero_grad(set_to_none=True)
    embeddings = run.module.embed(batch.blocks, batch.present)
    discrepancy = None
    if curves.compare:
        scores = modality_scores(run.module.head, embeddings, batch.labels)
        discrepancy = discrepancy_sums(scores, batch.present, batch.weights)
    step = Step(epoch, batch, embeddings, discrepancy)
    fused = hooks.fused_input(step)
    sums = head_losses(run.module, batch, scale_gradients(embeddings, run.unimodal_weight), fused)
    losses = hooks.losses(step, list(sums[0] / sums[1].clamp_min(torch.finfo(sums.dtype).tiny)))
    objective = torch.stack(losses).mean()
    hooks.backward(objective, losses)
    hooks.gradients(step)
    run.optimizer.step()
    curves.add(step, objective, sums)
