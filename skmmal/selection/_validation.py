"""Checks that the selection algorithms share."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmmal._arrays import integer, numeric

__all__ = ["check_candidates", "check_n_samples", "check_rows"]


def check_n_samples(n_samples: Any, n_points: int) -> int:
    """Return `n_samples` if it is a whole number from 1 to `n_points`."""
    wanted = integer(n_samples, "n_samples", 1)
    if wanted > n_points:
        raise ValueError(f"n_samples must be from 1 to the {n_points} points there are to pick from, got {n_samples}")
    return wanted


def check_rows(rows: Any, argument: str, n_points: int) -> np.ndarray:
    """Return row numbers, distinct and in ascending order."""
    found = numeric(rows, argument, 1)
    if found.size == 0:
        return np.empty(0, dtype=np.intp)
    if found.dtype.kind not in "iu":
        raise TypeError(f"{argument} must hold row numbers, found dtype {found.dtype}")
    if found.min() < 0 or found.max() >= n_points:
        raise ValueError(
            f"{argument} must hold row numbers within 0..{n_points - 1}, found {found.min()}..{found.max()}"
        )
    return np.unique(found)


def check_candidates(candidates: Any, n_points: int) -> np.ndarray:
    """Return a mask of the rows that may be picked: all, or those of some row numbers or of a mask."""
    if candidates is None:
        return np.ones(n_points, dtype=bool)
    found = numeric(candidates, "candidates", 1)
    if found.dtype == bool and len(found) == n_points:
        return found.copy()
    mask = np.zeros(n_points, dtype=bool)
    mask[check_rows(found, "candidates", n_points)] = True
    return mask
