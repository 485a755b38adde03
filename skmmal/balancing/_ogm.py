"""OGM: slow down the encoders of modalities that are ahead."""

from __future__ import annotations

import torch

from skmmal.balancing._base import EPOCHS, MODULATE, NOT_NEGATIVE, Balancing, EpochMeans, window_of
from skmmal.heads import Step, TrainingRun

__all__ = ["OGM", "ogm_coefficients"]


def ogm_coefficients(ratios: torch.Tensor, alpha: float) -> torch.Tensor:
    """Coefficients of the encoders' gradients: ``k = 1 − tanh(α ρ)`` where ρ > 1, else 1.

    At ρ = 1 the coefficient jumps, from 1 to ``1 − tanh α``: that is the published rule.

    Parameters
    ----------
    ratios : tensor of shape (M,)
        Discrepancy ratios ρ; NaN (nothing to compare with) gives 1.
    alpha : float
        At least 0; 0 gives 1.

    Returns
    -------
    tensor of shape (M,)

    References
    ----------
    .. [1] Peng et al., "Balanced multimodal learning via on-the-fly gradient modulation", CVPR 2022
       (arXiv 2203.15332), section 3.2.

    Examples
    --------
    >>> import torch
    >>> ogm_coefficients(torch.tensor([2.0, 0.5]), alpha=0.5)
    tensor([0.2384, 1.0000])
    """
    return torch.where(ratios > 1, 1 - torch.tanh(alpha * ratios), torch.ones_like(ratios))


class OGM(Balancing):
    """On-the-fly gradient modulation: the encoder of a modality that is ahead gets a smaller gradient.

    In every batch the modalities are compared by the probability that their shares of the fused logits give to the
    true classes (``ρ_m = S_m / S_others``); gradients of encoder m's weights are multiplied by
    ``k_m = 1 − tanh(α ρ_m)`` where ρ_m > 1. The heads are not touched.

    Parameters
    ----------
    alpha : float, default=0.8
        Strength α; 0 changes nothing. The authors used 0.1 (VGGSound) and 0.8 (CREMA-D).
    start, stop : int or float, default=0 and 0.5
        First epoch that is modulated, and the one before which it ends: numbers of epochs (int), or shares of all
        epochs (float). The authors modulate the first half.
    modulate : {"gradient", "step"}, default="gradient"
        ``"gradient"`` is the published rule. ``"step"`` (ours) multiplies the optimiser's step of the encoder, its
        learning rate, instead.

    See Also
    --------
    OGMGE : With noise.

    Notes
    -----
    Published with ``solver="sgd"``. AdamW divides a gradient by its own running magnitude, so a constant factor
    cancels out: under ``solver="adamw"`` the published rule is weakened to what a coefficient does that changes from
    batch to batch. ``modulate="step"`` means the same under both optimisers; in ``examples/balanced_training.py`` it
    closes 36 % of the gap under AdamW, the published rule 26 %.

    Ours: more than two modalities (each is compared with the mean of the others), missing ones (modalities are
    compared on the rows that have both; a batch without such rows is not modulated), weighted rows, and fusions that
    are not linear (the modalities' own heads are compared).

    `balancing_log_` has for every modulated epoch the mean `coefficient` and the share of batches that were `slowed`.

    References
    ----------
    .. [1] Peng et al., "Balanced multimodal learning via on-the-fly gradient modulation", CVPR 2022
       (arXiv 2203.15332), section 3.2.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.balancing import OGM
    >>> from skmmal.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(n_samples=200, random_state=0, return_X_y=True)
    >>> clf = LateFusionClassifier(encoder_dim=8, balancing=OGM(alpha=0.5), solver="sgd", max_iter=4, random_state=0)
    >>> sorted({line["epoch"] for line in clf.fit(X, y).balancing_log_})
    [0, 1]
    """

    _parameter_constraints: dict = {
        "alpha": NOT_NEGATIVE,
        "start": EPOCHS,
        "stop": EPOCHS,
        "modulate": MODULATE,
    }

    def __init__(self, alpha: float = 0.8, *, start: float = 0, stop: float = 0.5, modulate: str = "gradient") -> None:
        self.alpha = alpha
        self.start = start
        self.stop = stop
        self.modulate = modulate

    def begin(self, run: TrainingRun) -> None:
        super().begin(run)
        self._window = window_of(self.start, self.stop, run.n_epochs)
        self._means = EpochMeans()

    def gradients(self, step: Step) -> None:
        active = step.epoch in self._window
        coefficients = ogm_coefficients(step.ratios, self.alpha) if active else torch.ones_like(step.ratios)
        if self.modulate == "step":
            self._scale_steps(coefficients)
        if not active:
            return
        self._means.add(coefficient=coefficients, slowed=(coefficients < 1).to(coefficients.dtype))
        for m, encoder in enumerate(self.run.module.encoders):
            for parameter in encoder.parameters():
                if parameter.ndim > 1 and parameter.grad is not None:
                    self._change(parameter.grad, coefficients[m] if self.modulate == "gradient" else 1.0)

    def _change(self, gradient: torch.Tensor, coefficient: torch.Tensor | float) -> None:
        gradient *= coefficient

    def _scale_steps(self, coefficients: torch.Tensor) -> None:
        factors = coefficients.tolist()
        for group in self.run.optimizer.param_groups:
            if group["encoder"] is not None:
                group["lr"] = self.run.learning_rate * factors[group["encoder"]]

    def end_epoch(self, epoch: int) -> None:
        self._means.record(self.run, epoch)
