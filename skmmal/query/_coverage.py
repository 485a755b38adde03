"""What strategies share that cover the pool on embeddings of length one."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral

import numpy as np

from skmmal._sklearn import Interval
from skmmal.query._base import Selection
from skmmal.reading import Reading
from skmmal.reading._sharded import ShardedReading, View
from skmmal.selection._dense import draw_references, nearest_distance
from skmmal.selection._herding import Herding
from skmmal.selection._lazy_greedy import with_the_rest
from skmmal.selection._validation import check_centres, check_worth

__all__ = ["REFERENCES", "class_count", "herding_on_shards", "labeled_unit_rows"]

REFERENCES: dict = {"max_references": [Interval(Integral, 1, None, closed="left"), None]}


def labeled_unit_rows(labelled: Reading) -> np.ndarray | None:
    """The labelled rows' embedding, of length one; ``None`` without any."""
    return labelled.head.unit_features if len(labelled) else None


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


# ------------------------------------------------------------------------------------------------- on shards


def herding_on_shards(
    shards: ShardedReading,
    n_instances: int,
    rng: np.random.RandomState,
    *,
    max_references: int | None,
    bandwidth: float | str,
    worth: Callable[[Reading], np.ndarray] | None = None,
    taken: np.ndarray | None = None,
) -> Selection:
    """`kernel_herding` of rows that are spread over workers: references are sent once, then one row a pick.

    Parameters
    ----------
    shards : ShardedReading
    n_instances : int
    rng : RandomState
    max_references : int or None
    bandwidth : float or "adaptive"
    worth : callable, optional
        How much covering each row of a reading is worth; by default 1.
    taken : int ndarray, optional
        Positions of rows that cover as labelled ones do, and are not picked.

    Returns
    -------
    positions, gains : ndarray of shape (n_instances,)
    """
    references = draw_references(len(shards), max_references, rng)
    positions = np.arange(len(shards)) if references is None else references
    targets, weights = shards.gather(_targets, positions, worth)
    weights = check_worth(weights, "weights", len(positions))
    taken = np.empty(0, dtype=np.intp) if taken is None else taken
    covering = shards.gather(_points_at, taken) if len(taken) else None
    nobody = taken[:0]
    own = [nobody if rows is None else rows for rows in shards.dealt(taken)[0]]
    best = shards.ask(_begin, targets, weights, bandwidth, covering, own=own)
    picked: list[int] = []
    gains: list[float] = []
    while len(picked) < n_instances:
        part = int(np.argmax([gain for _, gain, _ in best]))
        row, gain, point = best[part]
        if row < 0:
            break
        picked.append(row + int(shards.starts[part]))
        gains.append(gain)
        if len(picked) < n_instances:
            best = shards.ask(_go_on, point, own=[[row] if w == part else [] for w in range(len(best))])
    is_open = np.ones(len(shards), dtype=bool)
    if len(picked) < n_instances and shards.n_open < len(shards):
        is_open = np.concatenate(shards.ask(_open_rows))
    is_open[taken] = False
    return with_the_rest(picked, gains, is_open, n_instances, rng)


def _points(view: View) -> np.ndarray:
    if "points" not in view.kept:
        view.kept["points"] = view.reading.head.unit_features
    return view.kept["points"]


def _points_at(view: View, positions: np.ndarray) -> np.ndarray:
    return _points(view)[positions]


def _targets(view: View, worth: Callable[[Reading], np.ndarray] | None, positions: np.ndarray) -> list[np.ndarray]:
    weights = np.ones(len(view.reading)) if worth is None else worth(view.reading)
    return [_points(view)[positions], weights[positions]]


def _begin(
    view: View,
    targets: np.ndarray,
    weights: np.ndarray,
    bandwidth: float | str,
    covering: np.ndarray | None,
    taken: np.ndarray,
) -> tuple:
    points, known = _points(view), labeled_unit_rows(view.reading.labelled)
    width = nearest_distance(known) if isinstance(bandwidth, str) else float(bandwidth)
    if covering is not None:
        known = covering if known is None else np.concatenate([known, covering])
    centres = None if known is None else check_centres(known, points)
    is_open = _open_rows(view).copy()
    is_open[taken] = False
    view.kept["herding"] = Herding(points, is_open, targets, weights, width, centres)
    return _best(view)


def _go_on(view: View, point: np.ndarray, own: list[int]) -> tuple:
    view.kept["herding"].take(point, np.asarray(own, dtype=np.intp))
    return _best(view)


def _best(view: View) -> tuple:
    row, gain = view.kept["herding"].best()
    return row, gain, view.kept["points"][row : row + 1] if row >= 0 else None


def _open_rows(view: View) -> np.ndarray:
    candidates = view.reading.candidates
    return np.ones(len(view.reading), dtype=bool) if candidates is None else candidates
