"""Points given by their coordinates, in the type that these have."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from skmmal._arrays import numeric
from skmmal._chunks import row_chunks
from skmmal._random import draw_seed
from skmmal.selection._backend import Array, namespace

__all__ = [
    "as_floats",
    "draw_references",
    "equal_rows",
    "in_any_ball",
    "nearest_distance",
    "nearest_other",
    "not_negative",
    "pure_radius",
    "sq_distances",
    "sq_norms",
    "unit_rows",
]

_LARGEST_FLOAT32, _LARGEST = 1e17, 1e150
"""Values above the first are computed with in float64, those above the second not at all: squares overflow."""


def as_floats(points: Any, argument: str = "points") -> np.ndarray:
    """Return finite points of float32 or float64 whose squares do not overflow."""
    array = numeric(points, argument, 2, finite=True)
    array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    largest = max(float(array.max(initial=0.0)), -float(array.min(initial=0.0)))
    if largest > _LARGEST_FLOAT32:
        array = array.astype(np.float64, copy=False)
    if largest > _LARGEST:
        raise ValueError(f"{argument} holds values too large to be squared (above {_LARGEST:g}); scale them first")
    return array


def unit_rows(points: Any, *, copy: bool = True) -> np.ndarray:
    """Scale rows to length one; zero rows stay zero.

    Parameters
    ----------
    points : array-like of shape (N, D)
        Finite numbers.
    copy : bool, default=True
        Whether `points` are to stay as they are.

    Returns
    -------
    ndarray of float32 or float64, shape (N, D)

    Examples
    --------
    >>> unit_rows([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    points = as_floats(points)
    return normalize(points, copy=copy) if points.size else points


def sq_norms(points: Array) -> Array:
    """Squared norms of points, in their own type."""
    return namespace(points).einsum("ij,ij->i", points, points)


def sq_distances(first: Array, second: Array, second_sq_norms: Array | None = None) -> Array:
    """Squared distances, never negative, in the points' own type, and where they are.

    scikit-learn's `euclidean_distances` takes float32 to float64 first, which more than doubles the time.

    Examples
    --------
    >>> sq_distances(np.array([[0.0], [1.0]]), np.array([[3.0]]))
    array([[9.],
           [4.]])
    """
    distances = first @ second.T
    distances *= -2.0
    distances += sq_norms(first)[:, None]
    distances += sq_norms(second) if second_sq_norms is None else second_sq_norms
    return not_negative(distances)


def not_negative(values: Array) -> Array:
    """Put zeros in place of negative values, in an array that is the caller's own."""
    return namespace(values).clip(values, 0.0, None, out=values)


def in_any_ball(points: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Whether each point is nearer to some centre than that one's radius.

    Parameters
    ----------
    points : ndarray of shape (N, D)
        Whom to cover.
    centres : ndarray of shape (L, D)
        Middles of the balls.
    radii : ndarray of shape (L,)
        One for each ball.

    Returns
    -------
    ndarray of bool, shape (N,)

    Examples
    --------
    >>> in_any_ball(np.array([[0.5], [3.0]]), np.array([[0.0]]), np.array([1.0]))
    array([ True, False])
    """
    inside = np.zeros(len(points), dtype=bool)
    for part in row_chunks(len(centres), len(points)):
        inside |= (sq_distances(centres[part], points) < np.square(radii[part])[:, None]).any(axis=0)
    return inside


def nearest_other(points: Any, labels: Any) -> np.ndarray:
    """Distance of each point to the nearest point of another label, infinite where there is none.

    Parameters
    ----------
    points : array-like of shape (N, D)
        Finite numbers.
    labels : array-like of shape (N,)
        One for each point.

    Returns
    -------
    ndarray of float64, shape (N,)

    Examples
    --------
    >>> nearest_other([[0.0], [1.0], [5.0]], [0, 0, 1])
    array([5., 4., 4.])
    """
    points, labels = as_floats(points), np.asarray(labels)
    if labels.shape != (len(points),):
        raise ValueError(f"labels must have shape ({len(points)},), found {labels.shape}")
    found = np.full(len(points), np.inf)
    for part in row_chunks(len(points), len(points)):
        distances = sq_distances(points[part], points).astype(np.float64, copy=False)
        distances[labels[part][:, None] == labels] = np.inf
        found[part] = np.sqrt(distances.min(axis=1))
    return found


def pure_radius(points: np.ndarray, labels: np.ndarray, purity: float) -> float:
    """Largest radius up to 1 at which a share `purity` of the balls around points holds one label only.

    Examples
    --------
    >>> pure_radius(np.array([[0.0], [0.5], [2.0]]), np.array([0, 1, 1]), 1.0)
    0.5
    """
    distances = np.sort(nearest_other(points, labels))
    n_impure = int(np.floor((1.0 - purity) * len(points) + 1e-9))
    return float(min(1.0, distances[n_impure])) if n_impure < len(points) else 1.0


def nearest_distance(points: np.ndarray | None) -> float:
    """Smallest distance between two points that are not equal; 1 where there are no two.

    Examples
    --------
    >>> nearest_distance(np.array([[0.0], [0.0], [0.5], [2.0]]))
    0.5
    """
    if points is None or len(points) < 2:
        return 1.0
    distances = NearestNeighbors(n_neighbors=1).fit(points).kneighbors()[0]
    apart = distances[distances > 1e-6]
    return float(apart.min()) if len(apart) else 1.0


def draw_references(n_points: int, most: int | None, rng: np.random.RandomState) -> np.ndarray | None:
    """Draw `most` row numbers without replacement, in ascending order; ``None``, all rows, where there are no more.

    Examples
    --------
    >>> draw_references(5, 5, np.random.RandomState(0)) is None
    True
    """
    if most is None or n_points <= most:
        return None
    return np.sort(np.random.RandomState(draw_seed(rng)).permutation(n_points)[:most])


def equal_rows(blocks: list[np.ndarray]) -> np.ndarray:
    """Number the distinct rows of blocks that share them, in the order in which they come; NaN equals NaN.

    Examples
    --------
    >>> equal_rows([np.array([[0.0, 1.0], [2.0, 1.0], [-0.0, 1.0]])])
    array([0, 1, 0])
    """
    columns = []
    for block in blocks:
        rows = np.ascontiguousarray(block) + 0.0  # adding zero turns -0.0 into 0.0
        columns.append(_numbered(rows))
    return columns[0] if len(columns) == 1 else _numbered(np.column_stack(columns))


def _numbered(rows: np.ndarray) -> np.ndarray:
    contents = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, numbers = np.unique(contents, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbers]
