"""Whether numbers are precise enough for what they differ by."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from skmmal.modalities import MultimodalArray

__all__ = ["warn_of_lost_digits"]

_COARSE = 0.5
"""Distance of neighboring numbers, over the standard deviation of a column, from which on the column is mostly rounding."""
_SUSPECT = 1e3
"""Largest value over the standard deviation below which no floating point in use, but float16, is coarse."""


def warn_of_lost_digits(
    features: MultimodalArray, rows: np.ndarray, present: np.ndarray, working: torch.dtype
) -> None:
    """Warn of columns whose values lie so far from zero that their differences are rounding.

    Parameters
    ----------
    features : MultimodalArray
    rows : int ndarray of shape (n,)
        The rows that count.
    present : bool ndarray of shape (n, M)
    working : torch.dtype
        What is computed in.
    """
    single = np.dtype(np.float32)
    for index, (name, block) in enumerate(features.blocks.items()):
        kind = block.dtype if block.dtype.kind == "f" else np.dtype(np.float64)
        narrower = working is torch.float32 and kind.itemsize > single.itemsize
        found = _coarse_column(block[rows[present[:, index]]], single if narrower else kind)
        if found is None:
            continue
        column, mean, spread, spacing = found
        way_out = (
            "subtract their mean before (skmmal.ModalityScaler)"
            if narrower
            else "subtract their mean before they are rounded to that type, or store them in float64"
        )
        warnings.warn(
            f"modality {name!r}: column {column} has mean {mean:.3g} and standard deviation {spread:.3g}, but numbers "
            f"of that size are {spacing:.3g} apart in {single if narrower else kind}"
            f"{', in which this solver computes' if narrower else ''}: what its rows differ by is lost; {way_out}",
            UserWarning,
            stacklevel=6,
        )


def _coarse_column(values: np.ndarray, kind: np.dtype) -> tuple[int, float, float, float] | None:
    """First column that is mostly rounding: its number, mean, standard deviation, and the distance of neighbors."""
    if len(values) < 2:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        means = values.mean(axis=0, dtype=np.float64)
        spreads = np.sqrt(np.square(values - means).mean(axis=0))
        spacings = np.spacing(np.abs(means).astype(kind)).astype(np.float64)
        coarse = np.flatnonzero((spreads > 0) & (spacings > _COARSE * spreads) & np.isfinite(spacings))
    if len(coarse) == 0:
        return None
    first = int(coarse[0])
    return first, float(means[first]), float(spreads[first]), float(spacings[first])
