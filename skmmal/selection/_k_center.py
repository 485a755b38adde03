"""Greedy k-centre (farthest-first traversal), lazily and in blocks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from skmmal.selection._embedding import Embedding, StackedEmbedding, _sq_distances, as_embedding
from skmmal.selection._nearest import NearestCentre
from skmmal.selection._validation import check_n_samples

__all__ = ["k_center_greedy"]

_CANDIDATES = 512


def k_center_greedy(embedding: Any, n_samples: int, *, initial: Any = None, return_sq_distances: bool = False) -> Any:
    """Pick, one after the other, the point that is farthest from all points picked before.

    Parameters
    ----------
    embedding : Embedding or array-like of shape (N, D)
        The points.
    n_samples : int
        How many to pick; with initial indices, these do not count and are not picked again.
    initial : Embedding, array-like of shape (L, D), array-like of int, or None
        Centres that are there from the beginning: an embedding of labelled points, or indices into `embedding`.
        ``None`` or no rows: the first pick is the point of largest norm.
    return_sq_distances : bool
        Whether to return, too, the squared distance each point had when it was picked (for a first pick without any
        centre, its squared norm).

    Returns
    -------
    indices : ndarray of int, shape (n_samples,)
        Distinct, in the order picked; on ties the lowest index. Once every point coincides with a centre, the
        lowest indices not yet picked.
    sq_distances : ndarray of float64, shape (n_samples,)
        Only with `return_sq_distances`.

    Raises
    ------
    ValueError
        `n_samples` is not within 1..(points that may be picked), an index is out of range, a point not finite.

    Notes
    -----
    The same indices as the textbook loop. Distances to the nearest centre only fall, so a distance known from the
    last pass is an upper bound: as long as the farthest of a few hundred candidates, kept exact among themselves,
    is farther than the bound of everything else, it is the farthest of all and needs no pass over the points.

    References
    ----------
    .. [1] Gonzalez, "Clustering to minimize the maximum intercluster distance", TCS 1985.
    .. [2] Sener and Savarese, "Active learning for convolutional neural networks: a core-set approach",
       ICLR 2018, algorithm 1.

    Examples
    --------
    >>> from skmmal.selection import DenseEmbedding, k_center_greedy
    >>> k_center_greedy(DenseEmbedding([[0.0], [1.0], [5.0], [9.0]]), 2, initial=[0]).tolist()
    [3, 2]
    """
    points = as_embedding(embedding)
    nearest = NearestCentre(points)
    available = np.ones(len(points), dtype=bool)
    if initial is not None and not isinstance(initial, Embedding) and np.ndim(initial) == 1:
        indices = _check_indices(initial, len(points))
        available[indices] = False
        n_samples = check_n_samples(n_samples, int(available.sum()))
        nearest.add(indices)
    else:
        n_samples = check_n_samples(n_samples, len(points))
        if initial is not None:
            _add_labelled(nearest, points, as_embedding(initial, "initial"))
    picked, distances = _k_center(points, nearest, available, n_samples)
    return (picked, distances) if return_sq_distances else picked


def _check_indices(initial: Any, n_points: int) -> np.ndarray:
    indices = np.asarray(initial)
    if indices.size == 0:
        return np.empty(0, dtype=np.intp)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"initial must hold indices or be an embedding, found dtype {indices.dtype}")
    if indices.min() < 0 or indices.max() >= n_points:
        raise ValueError(f"initial must hold indices within 0..{n_points - 1}, found {indices.min()}..{indices.max()}")
    return np.unique(indices)


def _add_labelled(nearest: NearestCentre, points: Embedding, labelled: Embedding) -> None:
    if type(labelled) is not type(points) or labelled._shape_text() != points._shape_text():
        raise ValueError(f"initial is {labelled!r}, which does not match {points!r}")
    if isinstance(points, StackedEmbedding) and labelled._n_factors != points._n_factors:
        raise ValueError(f"the parts of initial, {labelled!r}, are cut into other blocks than those of {points!r}")
    nearest.add(np.arange(len(labelled)), source=labelled)


def _k_center(
    points: Embedding, nearest: NearestCentre, available: np.ndarray, n_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    picked: list[int] = []
    found: list[float] = []
    if len(points) and math.isinf(float(nearest.sq_distances.max())):  # no centre yet
        norms = points._norms64().cpu().numpy()
        picked.append(int(np.flatnonzero(available)[np.argmax(norms[available])]))
        found.append(float(norms[picked[0]]))
        available[picked] = False
        nearest.add(np.asarray(picked))
    while len(picked) < n_samples:
        known = nearest.sq_distances.to("cpu", torch.float64).numpy().copy()
        known[~available] = -1.0
        block = _farthest_block(points, known, n_samples - len(picked))
        new = [index for index, _ in block]
        available[new] = False
        picked += new
        found += [distance for _, distance in block]
        if len(picked) < n_samples:
            nearest.add(np.asarray(new))
    return np.asarray(picked, dtype=np.intp), np.asarray(found)


def _farthest_block(points: Embedding, known: np.ndarray, n_wanted: int) -> list[tuple[int, float]]:
    """Pick from the candidates of largest known distance while they provably hold the farthest point."""
    n_candidates = min(_CANDIDATES, int((known >= 0).sum()))
    order = np.argpartition(-known, n_candidates - 1)[:n_candidates]
    # the first pick is the textbook's own argmax, whatever the partition did with ties
    candidates = np.union1d(order, np.argmax(known))
    outside = known.copy()
    outside[candidates] = -1.0
    bound = outside.max()
    index = torch.as_tensor(candidates, device=points.device)
    mutual = _sq_distances(points, index, points, index).to("cpu", torch.float64).numpy()
    points._release()
    true = known[candidates]
    block: list[tuple[int, float]] = []
    while len(block) < min(n_wanted, len(candidates)):
        at = int(np.argmax(true))
        if block and true[at] <= bound:
            break
        block.append((int(candidates[at]), float(true[at])))
        np.minimum(true, mutual[at], out=true)
        true[at] = -1.0
    return block
