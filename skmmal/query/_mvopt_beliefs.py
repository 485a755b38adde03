"""What MVOPT takes from the heads: how unsure they are, what they hold rows for; and how its features are scaled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from skmmal._chunks import row_chunks
from skmmal._targets import ONE_CLASS
from skmmal.query._sharpening import sharpened
from skmmal.query._uncertainty import margin_uncertainty
from skmmal.reading import Reading
from skmmal.reading._source import FUSED
from skmmal.selection._gaussian_kernels import median_sq_distance

__all__ = ["beliefs_of", "drawn_rows", "unsureness", "width_and_centre"]

_DRAWN_ROWS = 1_000


def drawn_rows(n_pool: int, n_known: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of so many rows of the pool, and of the labelled ones, a kernel's width and centre come of.

    At most 1,000, evenly spaced so that none has to be drawn.
    """
    n_rows = n_pool + n_known
    rows = np.arange(n_rows) if n_rows <= _DRAWN_ROWS else np.linspace(0, n_rows - 1, _DRAWN_ROWS).astype(np.intp)
    return rows[rows < n_pool], rows[rows >= n_pool] - n_pool


def width_and_centre(points: np.ndarray) -> tuple[float, np.ndarray]:
    """Median squared distance between points, and their mean; 1 and 0 where there are none."""
    centre = points.mean(axis=0, dtype=np.float64) if len(points) else np.zeros(points.shape[1])
    return median_sq_distance(points), centre


def unsureness(pool: Reading, powers: Mapping[str, float]) -> np.ndarray | None:
    """How much each row's variance counts: how unsure the fused head is, and the modalities' own heads on average.

    ``None`` without a model. Heads are sharpened by their powers (see `exponents`).
    """
    if not pool.is_fitted:
        return None
    target = pool.source.target
    fused, by_modality = _sharpened(pool, powers)
    weights = margin_uncertainty(fused, target)
    if by_modality is not None:
        own = [margin_uncertainty(by_modality[name], target) for name in pool.modality_names]
        # a head has no say in rows that lack its modality; as a mean over those that have, such rows, of which the
        # fused head is less sure anyway, would be picked twice as often again, for nothing gained
        weights = weights + (np.column_stack(own) * pool.present).mean(axis=1)
    return weights


def beliefs_of(reading: Reading, order: list[int], dtype: type, powers: Mapping[str, float]) -> list[np.ndarray]:
    """Columns of each modality whose squared distances are h.

    They are the roots of the probabilities of the fused head and of the modality's own, if it has one, sharpened.
    """
    fused, by_modality = _sharpened(reading, powers)
    if by_modality is None:
        return [_root(reading, [fused], dtype)] * len(order)
    names = [reading.modality_names[m] for m in order]
    return [_root(reading, [fused, by_modality[name]], dtype) for name in names]


def _sharpened(reading: Reading, powers: Mapping[str, float]) -> tuple[np.ndarray, dict[str, np.ndarray] | None]:
    reading.source.read_heads()
    target, by_modality = reading.source.target, reading.probabilities_by_modality
    fused = sharpened(reading.head.probabilities, powers.get(FUSED, 1.0), target)
    if by_modality is None:
        return fused, None
    return fused, {name: sharpened(each, powers.get(name, 1.0), target) for name, each in by_modality.items()}


def _root(reading: Reading, probabilities: list[np.ndarray], dtype: type) -> np.ndarray:
    """Roots of the distributions that heads see, each counting its share."""
    is_several = reading.source.target is not ONE_CLASS  # distributions are those of every label's state
    n_heads, n_columns = len(probabilities), probabilities[0].shape[1]
    roots = np.empty((len(reading), n_heads * n_columns * (1 + is_several)), dtype)
    for rows in row_chunks(*roots.shape):
        parts = [each[rows] for each in probabilities]
        share = n_heads * n_columns if is_several else n_heads
        if is_several:
            parts = [part for each in parts for part in (each, 1.0 - each)]
        roots[rows] = np.sqrt(np.hstack(parts) / share, dtype=dtype)
    return roots
