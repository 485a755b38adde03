"""k-means as several strategies use it: labels of points, and the point nearest to each centre."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from skmmal._random import draw_seed

__all__ = ["cluster", "representatives"]

_FULL_BATCH = 50_000_000
"""Points × clusters × columns up to which every iteration looks at every point."""


def cluster(points: np.ndarray, n_clusters: int, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Label points by k-means (mini-batches where there is much to do); return labels and centres."""
    n_clusters = min(n_clusters, len(points))
    seed = draw_seed(rng)
    if points.size * n_clusters <= _FULL_BATCH:
        model = KMeans(n_clusters, n_init=1, max_iter=100, random_state=seed)
    else:
        batch = max(1024, 2 * n_clusters)
        model = MiniBatchKMeans(
            n_clusters,
            n_init=1,
            max_iter=5,
            batch_size=batch,
            init="k-means++",
            init_size=max(3 * n_clusters, 3 * 1024),
            reassignment_ratio=0.0,
            random_state=seed,
        )
    with warnings.catch_warnings():  # duplicates leave clusters empty; callers expect that
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit_predict(points), model.cluster_centers_


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
