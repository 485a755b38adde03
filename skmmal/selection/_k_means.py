"""k-means as several strategies use it: labels of points, and the point nearest to each centre."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.extmath import randomized_svd

from skmmal._chunks import row_chunks
from skmmal._random import draw_seed
from skmmal.selection._dense import unit_rows
from skmmal.selection._validation import check_candidates

__all__ = ["cluster", "clusters_and_distances", "pick_among", "representatives"]

_SMALL = 2_000_000_000
"""Points × clusters × columns up to which k-means works in all columns."""
_COMPONENTS, _ITERATIONS = 128, 50
"""Principal components, and iterations, of k-means where there is more to do."""


def cluster(
    points: np.ndarray, n_clusters: int, rng: np.random.RandomState, max_iter: int = 100, *, overwrite: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Label points by k-means; return labels and centres.

    Where there is much to do, it looks at the leading principal components only: those are where k-means clusters lie
    (Ding and He, ICML 2004), and every point still counts in every iteration. Mini-batches in all columns cost more
    and leave most of the points of wide features in a few clusters.

    With `overwrite` large points are centred in their place, and so are the centres: distances stay what they are.
    """
    n_clusters = min(int(n_clusters), len(points))
    seed = draw_seed(rng)
    seen = points
    if points.size * n_clusters > _SMALL:
        max_iter = min(max_iter, _ITERATIONS)
        if points.shape[1] > _COMPONENTS < len(points):
            # PCA(copy=False) would leave neither the points nor what they are less their mean
            centred = points if overwrite else points.copy()
            centred -= points.mean(axis=0)
            directions, lengths, _ = randomized_svd(centred, _COMPONENTS, n_iter=2, random_state=seed)
            seen = directions * lengths
    model = KMeans(n_clusters, n_init=1, max_iter=max_iter, random_state=seed)
    with warnings.catch_warnings():  # duplicates leave clusters empty; callers expect that
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = model.fit_predict(seen)
    return labels, model.cluster_centers_ if seen is points else _means(points, labels, n_clusters)


def _means(points: np.ndarray, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Mean of the points with each label; zero where there is none."""
    members = sparse.csr_array(
        (np.ones(len(labels), dtype=points.dtype), (labels, np.arange(len(labels)))), shape=(n_clusters, len(labels))
    )
    return (members @ points) / np.maximum(np.bincount(labels, minlength=n_clusters), 1)[:, None].astype(points.dtype)


def clusters_and_distances(
    points: np.ndarray, n_clusters: int, rng: np.random.RandomState, max_iter: int = 100, *, overwrite: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Label points by k-means; return labels, and distances to the centres. Parameters as of `representatives`."""
    labels, centres = cluster(points, n_clusters, rng, max_iter, overwrite=overwrite)
    distances = np.concatenate(
        [np.linalg.norm(points[rows] - centres[labels[rows]], axis=1) for rows in row_chunks(*points.shape)]
    )
    return labels, distances


def representatives(
    points: np.ndarray,
    n_clusters: int,
    rng: np.random.RandomState,
    max_iter: int = 100,
    candidates: Any = None,
    *,
    overwrite: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Pick the point nearest to each centre of k-means, and random ones where clusters have none.

    Parameters
    ----------
    points : ndarray of shape (N, D)
    n_clusters : int
        How many to pick.
    rng : RandomState
    max_iter : int, default=100
    candidates : array-like of int or bool, optional
        Rows that may be picked; all are clustered.
    overwrite : bool, default=False
        Whether the points may be centred in their place.

    Returns
    -------
    rows : ndarray of int, shape (n_clusters,)
    distances : ndarray of shape (n_clusters,)
        To the centres of their clusters.
    """
    labels, distances = clusters_and_distances(points, n_clusters, rng, max_iter, overwrite=overwrite)
    open_rows = np.flatnonzero(check_candidates(candidates, len(points)))
    nearest_first = open_rows[np.argsort(distances[open_rows], kind="stable")]
    _, first = np.unique(labels[nearest_first], return_index=True)
    chosen = nearest_first[first]
    rest = np.setdiff1d(open_rows, chosen)
    rows = np.concatenate([chosen, rng.permutation(rest)[: n_clusters - len(chosen)]])
    return rows, distances[rows]


def pick_among(points: np.ndarray, rows: np.ndarray, n_wanted: int, rng: np.random.RandomState) -> np.ndarray:
    """Pick by k-means among some rows of points of length one; where these are too few, draw the rest from the others.

    Parameters
    ----------
    points : ndarray of shape (N, D)
    rows : ndarray of int
    n_wanted : int
    rng : RandomState

    Returns
    -------
    ndarray of int, shape (n_wanted,)
    """
    if len(rows) > n_wanted:
        return rows[representatives(unit_rows(points[rows]), n_wanted, rng)[0]]
    others = np.setdiff1d(np.arange(len(points)), rows)
    return np.concatenate([rows, rng.permutation(others)[: n_wanted - len(rows)]])
