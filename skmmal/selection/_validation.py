"""Checks that the selection algorithms share."""

from __future__ import annotations

from numbers import Integral
from typing import Any


def check_n_samples(n_samples: Any, n_points: int) -> int:
    """Return `n_samples` if it is a whole number from 1 to `n_points`."""
    if not isinstance(n_samples, Integral) or isinstance(n_samples, bool):
        raise TypeError(f"n_samples must be an integer, got {n_samples!r}")
    if not 1 <= int(n_samples) <= n_points:
        raise ValueError(f"n_samples must be from 1 to the {n_points} points there are, got {n_samples}")
    return int(n_samples)
