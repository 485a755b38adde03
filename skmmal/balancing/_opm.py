"""OPM: hide the embeddings of modalities that are ahead."""

from __future__ import annotations

import torch

from skmmal.balancing._base import EPOCHS, NOT_NEGATIVE, PROBABILITY, Balancing, EpochMeans, window_of
from skmmal.heads import Step, TrainingRun

__all__ = ["OPM", "opm_drop_probabilities"]


def opm_drop_probabilities(ratios: torch.Tensor, base_rate: float, strength: float) -> torch.Tensor:
    """Probability of hiding each modality: ``q = base_rate (1 + strength tanh(ρ − 1))`` where ρ > 1, else 0.

    Parameters
    ----------
    ratios : tensor of shape (M,)
        Discrepancy ratios ρ; NaN (nothing to compare with) gives 0.
    base_rate : float
        Of a modality that is barely ahead.
    strength : float
        How much faster the probability grows than the ratio.

    Returns
    -------
    tensor of shape (M,)
        At most 1.

    References
    ----------
    .. [1] Wei et al., "On-the-fly modulation for balanced multimodal learning", TPAMI 2024 (arXiv 2410.11582).

    Examples
    --------
    >>> import torch
    >>> opm_drop_probabilities(torch.tensor([2.0, 0.5]), base_rate=0.5, strength=0.5)
    tensor([0.6904, 0.0000])
    """
    ahead = ratios > 1
    q = base_rate * (1 + strength * torch.tanh(ratios - 1))
    return torch.where(ahead, q.clamp(0.0, 1.0), torch.zeros_like(ratios))


class OPM(Balancing):
    """On-the-fly prediction modulation: the embedding of a modality that is ahead is hidden from the fused head.

    In every batch the modalities are compared as in `OGM`. With probability `execution_rate` a batch is modulated:
    modality m is hidden (its embedding zeroed) in each row with probability
    ``q_m = base_rate (1 + strength tanh(ρ_m − 1))`` where ρ_m > 1; what is left is multiplied by ``1 / (1 − θ)``,
    θ the mean of q_m weighted by the widths of the embeddings.

    Parameters
    ----------
    base_rate : float, default=0.5
        q_b; 0 hides nothing.
    strength : float, default=0.5
        λ.
    execution_rate : float, default=0.7
        Share of the batches that are modulated.
    start, stop : int or float, default=0.05 and 1.0
        First epoch that is modulated, and the one before which it ends: numbers of epochs (int), or shares of all
        epochs (float). The authors begin after 5 of 100 epochs.

    See Also
    --------
    OPMOGM : Together with gradient modulation.

    Notes
    -----
    Published with AdamW (learning rate 5e-5) and without losses of single modalities; it works with either solver.

    Ours: a modality's own head sees its embedding as it is, and does not count the rows in which it is hidden. Rows
    in which everything is hidden (possible with three modalities, or missing ones) do not count. An absent modality
    is neither hidden nor multiplied; with ``missing="token"`` a hidden one looks like an absent one. More than two
    modalities: each is compared with the mean of the others.

    `balancing_log_` has for every modulated epoch the mean `drop_probability` of its modulated batches and the share
    `dropped` of rows with the modality in which it was hidden.

    References
    ----------
    .. [1] Wei et al., "On-the-fly modulation for balanced multimodal learning", TPAMI 2024 (arXiv 2410.11582).

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.balancing import OPM
    >>> from skmmal.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(n_samples=200, random_state=0, return_X_y=True)
    >>> method = OPM(start=2, execution_rate=1.0)
    >>> clf = LateFusionClassifier(encoder_dim=8, balancing=method, max_iter=4, random_state=0).fit(X, y)
    >>> sorted({line["epoch"] for line in clf.balancing_log_})
    [2, 3]
    """

    _parameter_constraints: dict = {
        "base_rate": PROBABILITY,
        "strength": NOT_NEGATIVE,
        "execution_rate": PROBABILITY,
        "start": EPOCHS,
        "stop": EPOCHS,
    }

    def __init__(
        self,
        base_rate: float = 0.5,
        *,
        strength: float = 0.5,
        execution_rate: float = 0.7,
        start: float = 0.05,
        stop: float = 1.0,
    ) -> None:
        self.base_rate = base_rate
        self.strength = strength
        self.execution_rate = execution_rate
        self.start = start
        self.stop = stop

    def begin(self, run: TrainingRun) -> None:
        super().begin(run)
        self._window = window_of(self.start, self.stop, run.n_epochs)
        self._widths = run.data.weights.new_tensor(run.module.head.widths)
        self._means = EpochMeans()
        self._count_anew()

    def fused_input(self, step: Step) -> list[torch.Tensor]:
        generator, batch = self.run.generator, step.batch
        if step.epoch not in self._window:
            return step.embeddings
        device = batch.present.device
        if float(torch.rand((), generator=generator, device=device)) >= self.execution_rate:
            return step.embeddings
        q = opm_drop_probabilities(step.ratios, self.base_rate, self.strength)
        draws = torch.rand(batch.present.shape, generator=generator, device=device, dtype=q.dtype)
        hidden = batch.present & (draws < q)
        theta = (self._widths * q).sum() / self._widths.sum()
        factors = torch.where(batch.present, 1 / (1 - theta).clamp_min(1e-6), 1.0)
        self._means.add(drop_probability=q)
        self._hidden += hidden.sum(dim=0)
        self._present += batch.present.sum(dim=0)
        batch.present = batch.present & ~hidden
        batch.weights = batch.weights * batch.present.any(dim=1)
        absent = self.run.module.absent
        return [
            torch.where(hidden[:, m : m + 1], 0.0 if absent is None else absent[m], z * factors[:, m : m + 1])
            for m, z in enumerate(step.embeddings)
        ]

    def end_epoch(self, epoch: int) -> None:
        self._means.record(self.run, epoch, dropped=self._hidden / self._present.clamp_min(1))
        self._count_anew()

    def _count_anew(self) -> None:
        self._hidden = torch.zeros(len(self._widths), dtype=torch.int64, device=self._widths.device)
        self._present = torch.zeros_like(self._hidden)
