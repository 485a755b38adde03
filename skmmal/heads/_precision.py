"""Whether numbers are precise enough for what they differ by."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from skmmal.modalities import MultimodalArray

__all__ = ["warn_of_lost_digits"]

_CHUNK = 1024
_COARSE = 0.5
"""Distance of neighboring numbers, in standard deviations of a column, from which on it is mostly rounding."""


def warn_of_lost_digits(features: MultimodalArray, rows: np.ndarray, present: np.ndarray, working: Any) -> None:
    """Warn of columns whose values lie so far from zero that their differences are rounding.

    Parameters
    ----------
    features : MultimodalArray
    rows : int ndarray of shape (n,)
        The rows that count.
    present : bool ndarray of shape (n, M)
    working : type
        What is computed in.
    """
    single = np.dtype(np.float32)
    for index, (name, block) in enumerate(features.blocks.items()):
        kind = block.dtype if block.dtype.kind == "f" else np.dtype(np.float64)
        narrower = working is np.float32 and kind.itemsize > single.itemsize
        found = _coarse_column(block, rows[present[:, index]], single if narrower else kind)
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
            f"{', in which this solver computes' if narrower else ''}: what its rows differed by is lost; {way_out}",
            UserWarning,
            stacklevel=5,
        )


def _coarse_column(block: np.ndarray, rows: np.ndarray, kind: np.dtype) -> tuple[int, float, float, float] | None:
    """First column that is mostly rounding: its number, mean, standard deviation, and the distance of neighbors."""
    if len(rows) < 2:
        return None
    first = block[rows[0]].astype(np.float64)
    sums, squares = np.zeros((2, len(first)))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(rows), _CHUNK):
            moved = block[rows[start : start + _CHUNK]] - first
            sums += moved.sum(axis=0)
            squares += np.einsum("ij,ij->j", moved, moved)
        moves = sums / len(rows)
        means, spreads = first + moves, np.sqrt(np.maximum(squares / len(rows) - moves**2, 0.0))
        spacings = np.spacing(np.abs(means).astype(kind)).astype(np.float64)
        # a column may be constant because of it: told from one that is meant to be by steps of more than one
        is_coarse = np.where(squares > 0, spacings > _COARSE * spreads, spacings > 1.0)
        coarse = np.flatnonzero(is_coarse & np.isfinite(spacings))
    if len(coarse) == 0:
        return None
    worst = int(coarse[0])
    return worst, float(means[worst]), float(spreads[worst]), float(spacings[worst])
