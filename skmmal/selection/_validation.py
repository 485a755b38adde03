"""Checks that the selection algorithms share."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmmal._arrays import integer, numeric
from skmmal.selection._dense import as_floats

__all__ = [
    "check_candidates",
    "check_centres",
    "check_n_samples",
    "check_references",
    "check_rows",
    "check_worth",
]


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


def check_references(references: Any, n_points: int) -> np.ndarray:
    """Row numbers to be covered, all where none are given."""
    if references is None:
        return np.arange(n_points)
    rows = numeric(references, "references", 1)
    if rows.dtype.kind not in "iu" or len(rows) == 0 or rows.min() < 0 or rows.max() >= n_points:
        raise ValueError(f"references must be row numbers from 0 to {n_points - 1}, at least one, got {references!r}")
    return rows


def check_centres(initial: Any, points: np.ndarray) -> np.ndarray:
    """Points that cover from the beginning, in the dtype of those to be picked."""
    centres = as_floats(initial, "initial")
    if centres.shape[1] != points.shape[1]:
        raise ValueError(f"initial has {centres.shape[1]} columns, points has {points.shape[1]}")
    return centres.astype(points.dtype, copy=False)


def check_worth(values: Any, argument: str, n_points: int) -> np.ndarray:
    """Finite numbers that are not negative, one for each point."""
    worth = numeric(values, argument).astype(np.float64)
    if worth.shape != (n_points,) or not np.isfinite(worth).all() or (worth < 0).any():
        raise ValueError(f"{argument} must be {n_points} finite numbers that are not negative")
    return worth
