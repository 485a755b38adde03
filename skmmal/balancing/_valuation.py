"""What each modality of a row is worth for its prediction; training sets that repeat the modalities worth little."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import torch

from skmmal.balancing._base import EPOCHS, Balancing, n_epochs_of
from skmmal.contributions import shapley_values
from skmmal.heads import EpochRows, TrainingRun

__all__ = ["ValuationResampling", "valuations"]


def valuations(correct: Callable[[np.ndarray], np.ndarray], present: np.ndarray) -> np.ndarray:
    """Shapley values of the modalities for a correct prediction.

    The value of a set S of modalities is its size if the prediction with S alone is correct, else 0; absent
    modalities do not add to the size.

    Parameters
    ----------
    correct : callable
        Takes a boolean array of length M (which modalities are kept) and tells for every row whether the prediction
        is correct, shape (n,).
    present : array-like of bool, shape (n, M)
        Which modalities are there.

    Returns
    -------
    ndarray of float64, shape (n, M)
        Rows sum to the number of present modalities if the full prediction is correct, else to 0; an absent modality
        has 0.

    References
    ----------
    .. [1] Wei et al., "Enhancing multimodal cooperation via sample-level modality valuation", CVPR 2024
       (arXiv 2309.06255). More than two modalities, and absent ones, are ours.

    Examples
    --------
    The first modality is right alone, the second is wrong alone, both together are right:

    >>> import numpy as np
    >>> valuations(lambda kept: np.array([kept[0]]), np.array([[True, True]]))
    array([[1.5, 0.5]])
    """
    present = np.asarray(present, dtype=bool)

    def value(kept: np.ndarray) -> np.ndarray:
        return (present & kept).sum(axis=1) * np.asarray(correct(kept), dtype=bool)

    return shapley_values(value, present.shape[1])


class ValuationResampling(Balancing):
    """Base of the methods that repeat modalities worth little: rows join the epoch again, with one modality alone."""

    _parameter_constraints: dict = {"warm_up": EPOCHS}

    warm_up: float

    @abstractmethod
    def _copies(self, values: np.ndarray, present: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """How many copies of each row with one modality alone, shape (n, M), by the row's valuations."""

    def begin(self, run: TrainingRun) -> None:
        super().begin(run)
        self._first = n_epochs_of(self.warm_up, run.n_epochs)

    def epoch_rows(self, epoch: int) -> EpochRows:
        everything = super().epoch_rows(epoch)
        if epoch < self._first:
            return everything
        present = self.run.data.present.cpu().numpy()
        values = valuations(self._correct(everything.rows), present)
        copies = self._copies(values, present, self.run.generator)
        worth = np.where(present, values, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
        self.run.record(epoch, valuation=worth, copies=copies.sum(axis=0))
        return _with_copies(everything.rows, torch.from_numpy(copies).to(everything.rows.device))

    def _correct(self, rows: torch.Tensor) -> Callable[[np.ndarray], np.ndarray]:
        """Whether the fused head is right on each row with some modalities alone; encodes the rows once."""
        run = self.run
        present = run.data.present[rows]
        encoded = run.embed(rows)
        absent = run.embed(rows, torch.zeros_like(present))

        @torch.no_grad()
        def correct(kept: np.ndarray) -> np.ndarray:
            left = present & torch.from_numpy(kept).to(present.device)
            z = [torch.where(left[:, m : m + 1], encoded[m], absent[m]) for m in range(len(encoded))]
            return (run.module.fused_logits(z, left).argmax(dim=1) == run.data.labels[rows]).cpu().numpy()

        return correct


def _with_copies(rows: torch.Tensor, copies: torch.Tensor) -> EpochRows:
    """The rows as they are, then `copies` (n, M) of them with one modality each."""
    n_modalities = copies.shape[1]
    alone = torch.eye(n_modalities, dtype=torch.bool, device=rows.device)
    all_rows, kept = [rows], [torch.ones(len(rows), n_modalities, dtype=torch.bool, device=rows.device)]
    for m in range(n_modalities):
        again = rows.repeat_interleave(copies[:, m])
        all_rows.append(again)
        kept.append(alone[m].expand(len(again), -1))
    return EpochRows(torch.cat(all_rows), torch.cat(kept))
