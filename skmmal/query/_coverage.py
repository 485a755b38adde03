"""What strategies share that cover the pool on embeddings of length one."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval

from skmmal._random import draw_seed
from skmmal.query.view import PoolView
from skmmal.selection.coverage import nearest_other, unit_rows

__all__ = ["REFERENCES", "class_count", "draw_references", "labeled_unit_rows", "pure_radius"]

REFERENCES: dict = {"max_references": [Interval(Integral, 1, None, closed="left"), None]}


def draw_references(n_pool: int, most: int | None, rng: np.random.RandomState) -> np.ndarray | None:
    """At most that many rows of the pool, in order; ``None`` where all of them count."""
    if most is None or n_pool <= most:
        return None
    return np.sort(np.random.RandomState(draw_seed(rng)).permutation(n_pool)[:most])


def labeled_unit_rows(view: PoolView) -> np.ndarray | None:
    """The labelled rows' embedding, of length one; ``None`` without any."""
    return None if view.labeled_points is None else unit_rows(view.labeled_points)


def class_count(view: PoolView, n_instances: int) -> int:
    """How many classes there are, as far as the model or the labels tell; else `n_instances`."""
    if view.is_fitted and getattr(view.final, "classes_", None) is not None:
        return len(view.final.classes_)
    if view.y_labeled is not None and len(view.y_labeled):
        return len(np.unique(np.asarray(view.y_labeled)))
    return n_instances


def pure_radius(points: np.ndarray, labels: np.ndarray, purity: float) -> float:
    """Largest radius up to 1 at which a share `purity` of the balls holds one label only."""
    distances = np.sort(nearest_other(points, labels))
    n_impure = int(np.floor((1.0 - purity) * len(points) + 1e-9))
    return float(min(1.0, distances[n_impure])) if n_impure < len(points) else 1.0
