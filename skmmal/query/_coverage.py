"""What strategies share that cover the pool on embeddings of length one."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from skmmal._sklearn import Interval
from skmmal.reading import Reading
from skmmal.selection._dense import unit_rows

__all__ = ["REFERENCES", "class_count", "labeled_unit_rows"]

REFERENCES: dict = {"max_references": [Interval(Integral, 1, None, closed="left"), None]}


def labeled_unit_rows(labelled: Reading) -> np.ndarray | None:
    """The labelled rows' embedding, of length one; ``None`` without any."""
    return unit_rows(labelled.head.features) if len(labelled) else None


def class_count(pool: Reading, labelled: Reading, n_instances: int) -> int:
    """How many classes there are, as far as the model or the labels tell; else `n_instances`."""
    if pool.is_fitted and pool.source.classes is not None:
        return len(pool.source.classes)
    if labelled.y is not None and len(labelled):
        labels = np.asarray(labelled.y)
        if labels.dtype.kind == "f" and labels.ndim == 1 and (labels % 1 != 0).any():  # values, not classes
            return n_instances
        return len(np.unique(labels)) if labels.ndim == 1 else labels.shape[1]
    return n_instances
