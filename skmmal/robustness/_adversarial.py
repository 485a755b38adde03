"""Accuracy when an adversary shifts features, and the shifted features themselves."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
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
from skmmal.robustness._measured import (
    ALL,
    FUSED,
    Levels,
    MeasuredModel,
    Scores,
    check_levels,
    columns_of,
    curve_table,
)

__all__ = ["ATTACK_LEVELS", "adversarial_curve", "adversarial_examples"]

ATTACK_LEVELS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)


def adversarial_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    modality: str | Sequence[str] | None = None,
    levels: Levels = ATTACK_LEVELS,
    method: str = "fgsm",
    norm: str = "l2",
    relative: bool = True,
    target: str = FUSED,
    n_steps: int = 10,
    step_size: float | None = None,
) -> pd.DataFrame:
    """Accuracy when an adversary shifts a modality's features within a ball.

    Parameters
    ----------
    estimator : fitted LateFusionClassifier, or Pipeline or search with one
        Its network is differentiated.
    X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
        Test rows, in any form that the estimator takes.
    y : array-like of shape (n_samples,)
        Their labels, which the adversary knows.
    modality : str or sequence of str, optional
        Which modality is shifted; ``"all"``: all of them together, each within its own ball. Default: every modality
        in turn, then ``"all"``.
    levels : sequence of float, at least 0
        Radii ε; see `adversarial_examples`.
    method : {"fgsm", "pgd"}, default="fgsm"
        One step or several; see `adversarial_examples`, as for all that follow.
    norm : {"l2", "linf"}, default="l2"
        Shape of the ball.
    relative : bool, default=True
        Whether radii are in units of a block's root-mean-square row norm.
    target : str, default="fused"
        The head whose loss grows.
    n_steps : int, default=10
        Of ``"pgd"``.
    step_size : float, optional
        Of ``"pgd"``.

    Returns
    -------
    DataFrame
        With the kind ``"METHOD-NORM"``, such as ``"pgd-l2"``; one repeat, for nothing is drawn.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.robustness import adversarial_curve
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> clf = LateFusionClassifier().fit(X[::2], y[::2])
    >>> table = adversarial_curve(clf, X[1::2], y[1::2], modality="zer", levels=[0, 0.05, 0.1], method="pgd")
    >>> table.pivot(index="level", columns="head", values="accuracy").round(2)
    head    fou  fused   zer
    level
    0.00   0.79   0.89  0.82
    0.05   0.79   0.82  0.72
    0.10   0.79   0.76  0.61
    """
    levels = check_levels(levels, "levels")
    attack = _Attack(method, norm, relative, n_steps, step_size)
    model = MeasuredModel(estimator, X, y)
    network = _AttackedNetwork(model, target)

    def disturb(columns: list[int], level: float, repeat: int) -> tuple[Scores, np.ndarray]:
        return model.accuracies(network.attacked(attack, columns, level)), model.present

    return curve_table(f"{method}-{norm}", model, modality, levels, 1, disturb)


def adversarial_examples(
    estimator: Any,
    X: Any,
    y: Any,
    modality: str | Sequence[str],
    *,
    epsilon: float,
    method: str = "fgsm",
    norm: str = "l2",
    relative: bool = True,
    target: str = FUSED,
    n_steps: int = 10,
    step_size: float | None = None,
) -> MultimodalArray:
    """Shift features within a ball so that the cross-entropy of the true class grows.

    Parameters
    ----------
    estimator : fitted LateFusionClassifier, or Pipeline or search with one
        Its network is differentiated.
    X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
        Rows, in any form that the estimator takes.
    y : array-like of shape (n_samples,)
        Their labels, which the adversary knows.
    modality : str or sequence of str
        What is shifted: one modality, several together, or ``"all"``. Every modality has a ball of its own.
    epsilon : float, at least 0
        Radius of the ball. With `relative`, in units of the block's root-mean-square row norm R over the rows of X
        that have the modality (8 after `ModalityScaler`): ``‖δ‖₂ ≤ ε R`` for ``"l2"``; ``max |δ_j| ≤ ε R / √D`` for
        ``"linf"``, so that both allow the same largest Euclidean length.
    method : {"fgsm", "pgd"}, default="fgsm"
        ``"fgsm"``: one step to the ball's surface, along the gradient (``"l2"``) or its sign (``"linf"``).
        ``"pgd"``: `n_steps` smaller steps from the row itself, each projected back into the ball; of all points on
        the way, the one of largest loss. Nothing is drawn.
    norm : {"l2", "linf"}, default="l2"
        Shape of the ball.
    relative : bool, default=True
        False: `epsilon` is the radius itself.
    target : str, default="fused"
        The head whose loss grows: ``"fused"``, or a modality's name for its own classifier.
    n_steps : int, default=10
        Of ``"pgd"``.
    step_size : float, optional
        Length of a step of ``"pgd"``, in units of the radius. Default: ``2.5 / n_steps``.

    Returns
    -------
    MultimodalArray
        What the classifier sees, after the steps of a pipeline before it; the shifted blocks in float64. Absent
        blocks stay absent.

    Raises
    ------
    TypeError
        The classifier has no network to differentiate.
    ValueError
        An unknown modality, label, method, norm or target; a radius or step that is negative or not finite.

    References
    ----------
    .. [1] Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015, section 4.
    .. [2] Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018, section 2.1.
       Keeping the point of largest loss, the start at the row itself and the balls per modality are ours.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.robustness import adversarial_examples
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> clf = LateFusionClassifier(C=0.01).fit(X, y)
    >>> shifted = adversarial_examples(clf, X, y, "fou", epsilon=0.2)
    >>> bool((shifted["zer"] == X["zer"]).all())
    True
    >>> round(clf.score(X, y), 2), round(clf.score(shifted, y), 2)
    (0.89, 0.87)
    """
    epsilon = number(epsilon, "epsilon", 0, closed=True)
    attack = _Attack(method, norm, relative, n_steps, step_size)
    model = MeasuredModel(estimator, X, y)
    if modality is None:
        raise ValueError(f"modality is None; name one of {model.names}, or {ALL!r}")
    together = columns_of(modality, model.names).values()
    columns = sorted({column for columns in together for column in columns})
    return _AttackedNetwork(model, target).attacked(attack, columns, epsilon)


@dataclass(frozen=True)
class _Attack:
    """How an adversary steps; see `adversarial_examples`."""

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


class _AttackedNetwork:
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

    def attacked(self, attack: _Attack, columns: list[int], epsilon: float) -> MultimodalArray:
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

    def _shifts(self, attack: _Attack, batch: Batches, columns: list[int], radii: list[float]) -> list[torch.Tensor]:
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
