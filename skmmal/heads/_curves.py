"""What is noted of every epoch of a training."""

from __future__ import annotations

import torch

from skmmal.heads._hooks import Step
from skmmal.heads._scores import discrepancy_ratios

__all__ = ["TrainingCurves"]


class TrainingCurves:
    """What is noted of every epoch of a training.

    Parameters
    ----------
    n_heads : int
        M + 1.
    compare : bool
        Whether the discrepancy of the modalities is noted.

    Attributes
    ----------
    objective : list of float
        Mean of what was minimised.
    losses : list of list of float
        Cross-entropy of the fused head and of the modalities' heads, each over the rows that it counted.
    ratios : list of list of float
        Discrepancy ratios of the modalities, if they are compared.
    """

    def __init__(self, n_heads: int, compare: bool) -> None:
        self.compare = compare
        self.objective: list[float] = []
        self.losses: list[list[float]] = []
        self.ratios: list[list[float]] = []
        self._n_heads = n_heads

    def start_epoch(self, like: torch.Tensor) -> None:
        """Begin an epoch; sums are of the dtype and on the device of `like`."""
        self._n_rows = 0
        self._objective = like.new_zeros(())
        self._losses = like.new_zeros(2, self._n_heads)
        self._discrepancy = like.new_zeros(2, self._n_heads - 1)

    def add(self, step: Step, objective: torch.Tensor, losses: torch.Tensor) -> None:
        """Add a batch: its objective, and its heads' (sums of losses, sums of weights)."""
        self._n_rows += len(step.batch)
        self._objective += objective.detach() * len(step.batch)
        self._losses += losses.detach()
        if step.discrepancy is not None:
            self._discrepancy += torch.stack(step.discrepancy)

    def end_epoch(self) -> None:
        """Note the epoch."""
        self.objective.append(float(self._objective) / self._n_rows)
        self.losses.append((self._losses[0] / self._losses[1]).tolist())
        if self.compare:
            self.ratios.append(discrepancy_ratios(*self._discrepancy).tolist())
