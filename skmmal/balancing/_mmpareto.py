"""MMPareto: combine the gradients of fused and unimodal loss so that neither suffers."""

from __future__ import annotations

import torch

from skmmal.balancing._base import ABOVE_ZERO, Balancing, EpochMeans
from skmmal.heads import TrainingRun

__all__ = ["MMPareto", "pareto_weights"]

_SMALLEST_WEIGHT = 1e-3


def pareto_weights(fused: torch.Tensor, unimodal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (α_f, α_u), summing to one, of two gradients.

    One half each where the gradients agree (their inner product is positive). Where they conflict, those of the
    shortest vector between them: it has the same, non-negative inner product with both, so a step along it hurts
    neither loss.

    Parameters
    ----------
    fused, unimodal : tensors of shape (P,)
        Gradients of the fused and of the unimodal loss.

    Returns
    -------
    fused_weight, unimodal_weight : tensors of shape ()
        In a conflict between 0.001 and 0.999, as published.

    References
    ----------
    .. [1] Wei and Hu, "MMPareto: boosting multimodal learning with innocent unimodal assistance", ICML 2024
       (arXiv 2405.17730).

    Examples
    --------
    >>> import torch
    >>> pareto_weights(torch.tensor([1.0, 0.0]), torch.tensor([-0.5, 0.5]))
    (tensor(0.4000), tensor(0.6000))
    """
    difference = unimodal - fused
    shortest = (difference @ unimodal) / (difference @ difference).clamp_min(torch.finfo(fused.dtype).tiny)
    shortest = shortest.clamp(_SMALLEST_WEIGHT, 1 - _SMALLEST_WEIGHT)
    weight = torch.where(fused @ unimodal > 0, torch.full_like(shortest, 0.5), shortest)
    return weight, 1 - weight


class MMPareto(Balancing):
    """Multimodal Pareto gradients: each encoder follows its unimodal loss as far as the fused loss does not suffer.

    For the encoder of modality m, g_f is the gradient of the fused loss and g_u that of the modality's own.
    Direction: ``h = 2 α_f g_f + 2 α_u g_u`` (see `pareto_weights`). Length, for each tensor of parameters:
    ``γ h · max(1, ‖g_f + g_u‖ / ‖h‖)``. The heads get the plain gradients.

    Parameters
    ----------
    gamma : float, default=1.5
        Factor γ on the encoders' gradients; with 1 and no conflict, training is the plain one.

    Notes
    -----
    Published with ``solver="sgd"`` and the sum of the losses. Here, g_f and g_u are the gradients of the losses as
    they enter the objective, the mean over the M + 1 heads: a published learning rate corresponds to M + 1 times
    that here. AdamW cancels the constant γ; the direction and the varying length remain. With the
    classifier's ``unimodal_weight=0`` there is nothing to combine.

    Works for any number of modalities as published; in a batch in which no row has modality m both gradients of
    its encoder are zero.

    `balancing_log_` has for every epoch the mean weight `fused_weight` (α_f) and the share of batches in `conflict`.

    References
    ----------
    .. [1] Wei and Hu, "MMPareto: boosting multimodal learning with innocent unimodal assistance", ICML 2024
       (arXiv 2405.17730).

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.balancing import MMPareto
    >>> from skmmal.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(n_samples=200, random_state=0, return_X_y=True)
    >>> clf = LateFusionClassifier(encoder_dim=8, balancing=MMPareto(), max_iter=4, random_state=0).fit(X, y)
    >>> sorted(clf.balancing_log_[0])
    ['conflict', 'epoch', 'fused_weight', 'modality']
    """

    _parameter_constraints: dict = {"gamma": ABOVE_ZERO}

    def __init__(self, gamma: float = 1.5) -> None:
        self.gamma = gamma

    def begin(self, run: TrainingRun) -> None:
        super().begin(run)
        encoding = {id(p) for p in run.module.encoders.parameters()}
        self._others = [p for p in run.module.parameters() if id(p) not in encoding]
        self._means = EpochMeans()

    def backward(self, objective: torch.Tensor, losses: list[torch.Tensor]) -> None:
        fused, *unimodal = (loss / len(losses) for loss in losses)
        combined = [
            self._combine(list(encoder.parameters()), fused, own)
            for encoder, own in zip(self.run.module.encoders, unimodal, strict=True)
        ]
        objective.backward(inputs=self._others)
        for encoder, (gradients, *_) in zip(self.run.module.encoders, combined, strict=True):
            for parameter, gradient in zip(encoder.parameters(), gradients, strict=True):
                parameter.grad = gradient
        _, weights, conflicts = zip(*combined, strict=True)
        self._means.add(fused_weight=torch.stack(weights), conflict=torch.stack(conflicts))

    def _combine(
        self, parameters: list[torch.Tensor], fused: torch.Tensor, own: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
        """Gradients of an encoder's parameters, the weight of the fused one, and whether they conflict."""
        if not parameters:
            return [], fused.new_tensor(0.5), fused.new_tensor(0.0)
        each_fused = _gradients(fused, parameters)
        each_own = _gradients(own, parameters)
        g_f, g_u = (torch.cat([part.flatten() for part in each]) for each in (each_fused, each_own))
        weight_f, weight_u = pareto_weights(g_f, g_u)
        gradients = []
        for f, u in zip(each_fused, each_own, strict=True):
            direction = 2 * weight_f * f + 2 * weight_u * u
            length = direction.norm()
            stretch = torch.where(length > 0, (f + u).norm() / length, torch.ones_like(length)).clamp_min(1.0)
            gradients.append(self.gamma * stretch * direction)
        return gradients, weight_f, (g_f @ g_u < 0).to(g_f.dtype)

    def end_epoch(self, epoch: int) -> None:
        self._means.record(self.run, epoch)


def _gradients(loss: torch.Tensor, parameters: list[torch.Tensor]) -> list[torch.Tensor]:
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]
