"""Copies of a network with its dropout on, for Monte-Carlo passes."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch

from skmmal._random import torch_generator
from skmmal.heads._modules import Dropout

__all__ = ["dropped_networks", "has_dropout"]


def has_dropout(module: torch.nn.Module) -> bool:
    """Whether a network drops anything in training."""
    return any(isinstance(part, Dropout) and part.p > 0 for part in module.modules())


def dropped_networks(
    module: torch.nn.Module, n_draws: int, rng: np.random.RandomState, *, joint: bool = False
) -> Iterator[torch.nn.Module]:
    """A copy of a network with dropout on, as often as there are draws; the network itself is not touched.

    With `joint` a draw has one mask for all rows: one network, and the rows' probabilities are comparable.
    """
    dropped = copy.deepcopy(module)
    shared = _share_masks(dropped) if joint else []
    generator = torch_generator(rng)
    for part in dropped.modules():
        if isinstance(part, Dropout):
            part.generator = generator
    for _ in range(n_draws):
        for mask in shared:
            mask.renew()
        yield dropped


class _SharedDropout(Dropout):
    """Dropout whose mask is the same for all rows, until `renew`."""

    keep: torch.Tensor | None = None

    def renew(self) -> None:
        """Draw another mask at the next pass."""
        self.keep = None

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero the same columns of every row."""
        if self.keep is None:
            self.keep = torch.rand(values.shape[1:], generator=self.generator, device=values.device) >= self.p
        return values * self.keep / (1.0 - self.p)


def _share_masks(module: torch.nn.Module) -> list[_SharedDropout]:
    """Replace a network's dropout by one with shared masks."""
    shared = []
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Dropout):
                shared.append(_SharedDropout(child.p))
                setattr(parent, name, shared[-1])
    return shared
