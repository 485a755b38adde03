"""What MVOPT takes from the heads: how unsure they are, what they hold rows for; and the rows its widths come of."""

from __future__ import annotations

import numpy as np

from skmmal._targets import ONE_CLASS
from skmmal.query._uncertainty import margin_uncertainty
from skmmal.reading import Reading

__all__ = ["beliefs_of", "unsureness", "width_rows"]

_WIDTH_ROWS = 1_000


def width_rows(n_pool: int, n_known: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of so many rows of the pool, and of the labelled ones, the width of a kernel comes of."""
    n_rows = n_pool + n_known
    rows = np.arange(n_rows) if n_rows <= _WIDTH_ROWS else np.linspace(0, n_rows - 1, _WIDTH_ROWS).astype(np.intp)
    return rows[rows < n_pool], rows[rows >= n_pool] - n_pool


def unsureness(pool: Reading) -> np.ndarray | None:
    """How much each row's variance counts: how unsure the fused head is, and the modalities' own heads on average.

    ``None`` without a model.
    """
    if not pool.is_fitted:
        return None
    target = pool.source.target
    weights = margin_uncertainty(pool.head.probabilities, target)
    by_modality = pool.probabilities_by_modality
    if by_modality is not None:
        own = [margin_uncertainty(by_modality[name], target) for name in pool.modality_names]
        # a head has no say in rows that lack its modality; as a mean over those that have, such rows, of which the
        # fused head is less sure anyway, would be picked twice as often again, for nothing gained
        weights = weights + (np.column_stack(own) * pool.present).mean(axis=1)
    return weights


def beliefs_of(reading: Reading, order: list[int], dtype: type) -> list[np.ndarray]:
    """Columns of each modality whose squared distances are h.

    They are the roots of the probabilities of the fused head and of the modality's own, if it has one.
    """
    fused, by_modality = reading.head.probabilities, reading.probabilities_by_modality
    if by_modality is None:
        return [_root(reading, [fused], dtype)] * len(order)
    names = [reading.modality_names[m] for m in order]
    return [_root(reading, [fused, by_modality[name]], dtype) for name in names]


def _root(reading: Reading, probabilities: list[np.ndarray], dtype: type) -> np.ndarray:
    """Roots of the distributions that heads see, each counting its share."""
    if reading.source.target is not ONE_CLASS:  # those of every label's state
        share = len(probabilities) * probabilities[0].shape[1]
        probabilities = [part for each in probabilities for part in (each, 1.0 - each)]
        return np.sqrt(np.hstack(probabilities) / share, dtype=dtype)
    if len(probabilities) == 1:
        return np.sqrt(probabilities[0], dtype=dtype)
    return np.sqrt(np.hstack(probabilities) / len(probabilities), dtype=dtype)
