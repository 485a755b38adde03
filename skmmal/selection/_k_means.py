"""k-means as several strategies use it: labels of points, and the point nearest to each centre."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from skmmal._random import draw_seed
from skmmal.selection._coverage import unit_rows

__all__ = ["cluster", "pick_among", "representatives"]

_SMALL = 2_000_000_000
"""Points × clusters × columns up to which k-means works in all columns."""
_COMPONENTS, _ITERATIONS = 128, 50
"""Principal components, and iterations, of k-means where there is more to do."""


def cluster(
    points: np.ndarray, n_clusters: int, rng: np.random.RandomState, max_iter: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """Label points by k-means; return labels and centres.

    Where there is much to do, it looks at the leading principal components only: those are where k-means clusters lie
    (Ding and He, ICML 2004), and every point still counts in every iteration. Mini-batches in all columns cost more
    and leave most of the points of wide features in a few clusters.
    """
    n_clusters = min(int(n_clusters), len(points))
    seed = draw_seed(rng)
    seen = points
    if points.size * n_clusters > _SMALL:
        max_iter = min(max_iter, _ITERATIONS)
        if points.shape[1] > _COMPONENTS < len(points):
            pca = PCA(_COMPONENTS, svd_solver="randomized", iterated_power=2, random_state=seed)
            pca.set_output(transform="default")  # whatever scikit-learn's own setting is
            with np.errstate(invalid="ignore"):  # equal points have no variance whose shares there could be
                seen = pca.fit_transform(points)
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


def representatives(points: np.ndarray, n_clusters: int, rng: np.random.RandomState) -> np.ndarray:
    """Row nearest to each centre of k-means; random rows where clusters were empty."""
    if n_clusters >= len(points):
        return np.arange(len(points))
    labels, centres = cluster(points, n_clusters, rng)
    distances = np.linalg.norm(points - centres[labels], axis=1)
    nearest_first = np.argsort(distances, kind="stable")
    _, first = np.unique(labels[nearest_first], return_index=True)
    chosen = nearest_first[first]
    rest = np.setdiff1d(np.arange(len(points)), chosen)
    return np.concatenate([chosen, rng.permutation(rest)[: n_clusters - len(chosen)]])


def pick_among(points: np.ndarray, candidates: np.ndarray, n_wanted: int, rng: np.random.RandomState) -> np.ndarray:
    """Pick by k-means among candidates, on points of length one; where they are too few, draw the rest from the others.

    Parameters
    ----------
    points : ndarray of shape (N, D)
    candidates : ndarray of int
        Rows of `points`.
    n_wanted : int
    rng : RandomState

    Returns
    -------
    ndarray of int, shape (n_wanted,)
    """
    if len(candidates) > n_wanted:
        return candidates[representatives(unit_rows(points[candidates]), n_wanted, rng)]
    others = np.setdiff1d(np.arange(len(points)), candidates)
    return np.concatenate([candidates, rng.permutation(others)[: n_wanted - len(candidates)]])
