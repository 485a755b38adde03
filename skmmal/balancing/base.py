"""The base of all balancing methods."""

from __future__ import annotations

from math import ceil
from numbers import Integral, Real

from sklearn.base import BaseEstimator

from skmmal._sklearn import Interval, RealNotInt
from skmmal.heads.hooks import TrainingHooks
from skmmal.heads.modules import Fusion

__all__ = ["Balancing"]

EPOCHS = [Interval(Integral, 0, None, closed="left"), Interval(RealNotInt, 0, 1, closed="both")]
"""Constraint of parameters that count epochs (int) or are a share of all epochs (float)."""
POSITIVE = [Interval(Real, 0, None, closed="left")]


class Balancing(TrainingHooks, BaseEstimator):
    """Base class of balancing methods: parameters, and what the method does at the hooks of the training.

    `LateFusionClassifier` trains with a clone, so a fit leaves the object it was given as it is; what a method has
    to remember during the training, it may keep on itself. A method of your own overrides hooks of
    `skmmal.heads.hooks.TrainingHooks`.
    """

    needs_encoders = True
    """Whether there must be at least two modalities, and an encoder for one of them."""
    fusion: type[Fusion] | None = None
    """Fusion head that takes the place of ``"concat"``."""

    _parameter_constraints: dict = {}


def n_epochs_of(value: float, n_epochs: int) -> int:
    """Resolve a number of epochs (int) or a share of all (float)."""
    return int(value) if isinstance(value, Integral) else ceil(value * n_epochs - 1e-9)
