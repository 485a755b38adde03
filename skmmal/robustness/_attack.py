"""An adversary's steps along the gradients of a network."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from skmmal._arrays import integer, number, one_of
from skmmal._block_transformer import present_chunks
from skmmal._chunks import row_chunks
from skmmal._labels import known_codes
from skmmal.heads import Batches
from skmmal.heads._tensors import as_batches, resolve_device
from skmmal.modalities import MultimodalArray
from skmmal.reading._late_fusion import LateFusionSource
from skmmal.robustness._measured import FUSED, MeasuredModel

__all__ = ["Attack", "AttackedNetwork"]


@dataclass(frozen=True)
class Attack:
    """How an adversary steps; parameters as of `adversarial_examples`."""

    method: str
    norm: str
    relative: bool
    n_steps: int
    step_size: float | None

    def __post_init__(self) -> None:
        one_of(self.method, "method", ("fgsm", "pgd"))
        one_of(self.norm, "norm", ("l2", "linf"))
        integer(self.n_steps, "n_steps", 1)
        if self.step_size is not None:
            number(self.step_size, "step_size", 0, closed=True)

    def radius(self, epsilon: float, block: np.ndarray, present: np.ndarray) -> float:
        """Radius of a block's ball."""
        if not self.relative or not present.any():
            return epsilon
        squares = sum(float((values**2).sum()) for values in present_chunks(block, present))
        length = np.sqrt(squares / present.sum())
        return float(epsilon * length * (1.0 if self.norm == "l2" else 1.0 / np.sqrt(block.shape[1])))

    def step(self, gradient: torch.Tensor, length: float) -> torch.Tensor:
        """Steepest ascent of that length."""
        if self.norm == "linf":
            return length * gradient.sign()
        norms = gradient.norm(dim=1, keepdim=True)
        return length * torch.where(norms > 0, gradient / norms, gradient)

    def project(self, shift: torch.Tensor, radius: float) -> torch.Tensor:
        """Nearest point of the ball."""
        if self.norm == "linf":
            return shift.clamp(-radius, radius)
        norms = shift.norm(dim=1, keepdim=True)
        return torch.where(norms > radius, shift * (radius / norms), shift)


class AttackedNetwork:
    """The network of a `LateFusionClassifier`, for gradients by its inputs."""

    def __init__(self, model: MeasuredModel, target: str) -> None:
        final = model.source.final
        if not isinstance(model.source, LateFusionSource):
            raise TypeError(f"{type(final).__name__} has no network to differentiate; use a LateFusionClassifier")
        one_of(target, "target", (FUSED, *model.names))
        module, self.features, self.present = model.source.network()
        self.names = model.names
        self.head = None if target == FUSED else model.names.index(target)
        self.codes = known_codes(model.y, final.classes_, "y")
        self.device = resolve_device(final.device)
        self.module = module if self.device.type == "cpu" else copy.deepcopy(module).to(self.device)

    def attacked(self, attack: Attack, columns: list[int], epsilon: float) -> MultimodalArray:
        """The rows with some modalities shifted."""
        features, present = self.features, self.present
        names = [self.names[m] for m in columns]
        blocks = dict(features.blocks)
        blocks.update({name: features[name].astype(np.float64) for name in names})
        radii = [attack.radius(epsilon, features[name], present[:, m]) for m, name in zip(columns, names, strict=True)]
        for rows in row_chunks(*features.shape):
            batch = as_batches(features, present, rows, self.module.dtype, self.device)
            batch.labels = torch.as_tensor(self.codes[rows], device=self.device)
            for name, shift in zip(names, self._shifts(attack, batch, columns, radii), strict=True):
                blocks[name][rows] += shift.cpu().numpy()  # NaN stays NaN
        return MultimodalArray(blocks, features.modalities)

    def _shifts(self, attack: Attack, batch: Batches, columns: list[int], radii: list[float]) -> list[torch.Tensor]:
        shifts = [torch.zeros_like(batch.blocks[m]) for m in columns]
        if attack.method == "fgsm":
            _, gradients = self._loss(batch, columns, shifts)
            return [attack.step(gradient, radius) for gradient, radius in zip(gradients, radii, strict=True)]
        share = 2.5 / attack.n_steps if attack.step_size is None else attack.step_size
        best, largest = shifts, torch.full_like(batch.labels, -torch.inf, dtype=batch.blocks[0].dtype)
        for step in range(attack.n_steps + 1):
            loss, gradients = self._loss(batch, columns, shifts)
            better = (loss > largest)[:, None]
            best = [torch.where(better, new, old) for new, old in zip(shifts, best, strict=True)]
            largest = torch.maximum(loss, largest)
            if step < attack.n_steps:
                shifts = [
                    attack.project(shift + attack.step(gradient, share * radius), radius)
                    for shift, gradient, radius in zip(shifts, gradients, radii, strict=True)
                ]
        return best

    def _loss(
        self, batch: Batches, columns: list[int], shifts: list[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Loss of every row, and its gradient by the shifted blocks (zero where a block is absent)."""
        shifted = list(batch.blocks)
        with torch.enable_grad():
            leaves = [(batch.blocks[m] + shift).requires_grad_() for m, shift in zip(columns, shifts, strict=True)]
            for m, leaf in zip(columns, leaves, strict=True):
                shifted[m] = leaf
            embeddings = self.module.embed(shifted, batch.present)
            if self.head is None:
                logits = self.module.fused_logits(embeddings, batch.present)
            else:
                logits = self.module.head.own_logits(embeddings)[self.head]
            loss = cross_entropy(logits, batch.labels, reduction="none")
            # rows do not touch each other: the gradient of the sum holds each row's own
            by_leaf = torch.autograd.grad(loss.sum(), leaves, allow_unused=True)
        gradients = [
            torch.zeros_like(leaf) if gradient is None else gradient * batch.present[:, m : m + 1]
            for m, leaf, gradient in zip(columns, leaves, by_leaf, strict=True)
        ]
        return loss.detach(), gradients
