"""The base of all balancing methods, and what several of them need."""

from __future__ import annotations

from math import ceil
from numbers import Integral, Real
from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator

from skmmal._sklearn import Interval, RealNotInt, StrOptions
from skmmal.heads._hooks import TrainingHooks, TrainingRun

if TYPE_CHECKING:
    import torch

    from skmmal.heads._modules import Fusion

__all__ = [
    "ABOVE_ZERO",
    "EPOCHS",
    "MODULATE",
    "NOT_NEGATIVE",
    "PROBABILITY",
    "Balancing",
    "EpochMeans",
    "n_epochs_of",
    "window_of",
]

EPOCHS = [Interval(Integral, 0, None, closed="left"), Interval(RealNotInt, 0, 1, closed="both")]
"""Constraint of parameters that count epochs (int) or are a share of all epochs (float)."""
NOT_NEGATIVE = [Interval(Real, 0, None, closed="left")]
ABOVE_ZERO = [Interval(Real, 0, None, closed="neither")]
PROBABILITY = [Interval(Real, 0, 1, closed="both")]
MODULATE = [StrOptions({"gradient", "step"})]


class Balancing(TrainingHooks, BaseEstimator):
    """Base class of balancing methods: parameters, and what the method does at the hooks of the training.

    `LateFusionClassifier` trains with a clone, so a fit leaves the object it was given as it is; what a method has
    to remember during the training, it may keep on itself. A method of your own overrides hooks of
    `skmmal.heads.TrainingHooks`.

    Examples
    --------
    >>> from skmmal.balancing import OGM, Balancing, CRMT
    >>> isinstance(OGM(), Balancing), OGM.needs_encoders, CRMT.fusion.__name__
    (True, True, 'CRMTFusion')
    """

    needs_encoders = True
    """Whether there must be at least two modalities, and an encoder for one of them."""
    fusion: type[Fusion] | None = None
    """Fusion head that takes the place of ``"concat"``."""

    _parameter_constraints: dict = {}


class EpochMeans:
    """Means, over the steps of an epoch, of what a method notes for every modality."""

    def __init__(self) -> None:
        self._steps: dict[str, list[torch.Tensor]] = {}

    def add(self, **values: torch.Tensor) -> None:
        """Note tensors of shape (M,) for a step."""
        for name, value in values.items():
            self._steps.setdefault(name, []).append(value)

    def record(self, run: TrainingRun, epoch: int, **others: torch.Tensor) -> None:
        """Log the means, and others beside them, where a step noted anything; begin anew."""
        import torch

        if self._steps:
            means = {name: torch.stack(values).mean(dim=0) for name, values in self._steps.items()}
            run.record(epoch, **means, **others)
            self._steps.clear()


def n_epochs_of(value: float, n_epochs: int) -> int:
    """Resolve a number of epochs (int) or a share of all (float)."""
    return int(value) if isinstance(value, Integral) else ceil(value * n_epochs - 1e-9)


def window_of(start: float, stop: float, n_epochs: int) -> range:
    """Epochs from `start` to before `stop`, each a number (int) or a share of all (float)."""
    return range(n_epochs_of(start, n_epochs), n_epochs_of(stop, n_epochs))
