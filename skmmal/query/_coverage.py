"""What strategies share that cover the pool on embeddings of length one."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval

from skmmal._random import draw_seed
from skmmal.reading import Reading
from skmmal.selection._coverage import nearest_other, unit_rows

__all__ = ["REFERENCES", "class_count", "draw_references", "labeled_unit_rows", "pure_radius"]

REFERENCES: dict = {"max_references": [Interval(Integral, 1, None, closed="left"), None]}


def draw_references(n_pool: int, most: int | None, rng: np.random.RandomState) -> np.ndarray | None:
    """At most that many rows of the pool, in order; ``None`` where all of them count."""
    if most is None or n_pool <= most:
        return None
    return np.sort(np.random.RandomState(draw_seed(rng)).permutation(n_pool)[:most])


def labeled_unit_rows(labelled: Reading) -> np.ndarray | None:
    """The labelled rows' embedding, of length one; ``None`` without any."""
    return unit_rows(labelled.head.features) if len(labelled) else None


def class_count(pool: Reading, labelled: Reading, n_instances: int) -> int:
    """How many classes there are, as far as the model or the labels tell; else `n_instances`."""
    if pool.is_fitted and pool.source.classes is not None:
        return len(pool.source.classes)
    if labelled.y is not None and len(labelled):
        return len(np.unique(np.asarray(labelled.y)))
    return n_instances


def pure_radius(points: np.ndarray, labels: np.ndarray, purity: float) -> float:
    """Largest radius up to 1 at which a share `purity` of the balls holds one label only."""
    distances = np.sort(nearest_other(points, labels))
    n_impure = int(np.floor((1.0 - purity) * len(points) + 1e-9))
    return float(min(1.0, distances[n_impure])) if n_impure < len(points) else 1.0
