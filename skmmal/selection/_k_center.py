"""Greedy k-centre (farthest-first traversal), lazily and in blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from skmmal.selection._embedding import Embedding
from skmmal.selection._factored import as_embedding
from skmmal.selection._points import Candidates, EmbeddingPoints, Points, as_points
from skmmal.selection._validation import check_n_samples, check_rows

__all__ = ["k_center_greedy"]

_CANDIDATES = 512


def k_center_greedy(
    embedding: Any,
    n_samples: int,
    *,
    initial: Any = None,
    return_sq_distances: bool = False,
    candidates: Any = None,
) -> Any:
    """Pick, one after the other, the point that is farthest from all points picked before.

    Parameters
    ----------
    embedding : Embedding, Points or array-like of shape (N, D)
        The points, or what answers for them.
    n_samples : int
        How many to pick; with initial indices, these do not count and are not picked again.
    initial : Embedding, array-like of shape (L, D), array-like of int, or None
        Centres that are there from the beginning: an embedding of labelled points, or indices into `embedding`.
        ``None`` or no rows: the first pick is the point of largest norm.
    return_sq_distances : bool, default=False
        Whether to return, too, the squared distance each point had when it was picked (for a first pick without any
        centre, its squared norm).
    candidates : array-like of int or bool, optional
        Rows that may be picked; by default all.

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
    points = as_points(embedding, candidates)
    if initial is not None and not isinstance(initial, Embedding) and np.ndim(initial) == 1:
        rows = check_rows(initial, "initial", len(points))
        if len(rows):
            points.add(points.take(rows).embedding, rows)
    elif initial is not None:
        labeled = as_embedding(initial, "initial")
        _check_alike(labeled, points)
        points.add(labeled, np.empty(0, dtype=np.intp))
    n_samples = check_n_samples(n_samples, points.n_open())
    picked, distances = _k_center(points, n_samples)
    return (picked, distances) if return_sq_distances else picked


def _check_alike(labeled: Embedding, points: Points) -> None:
    if isinstance(points, EmbeddingPoints):
        kinds = [(type(each), [str(term) for term in each.terms]) for each in (labeled, points.embedding)]
        if kinds[0] != kinds[1]:
            raise ValueError(f"initial is {labeled!r}, which does not match {points.embedding!r}")


def _k_center(points: Points, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    picked: list[np.ndarray] = []
    found: list[np.ndarray] = []
    n_left = n_samples
    while n_left > 0:
        new = _farthest_block(points, n_left) if points.has_centres else points.largest()
        picked.append(new.rows)
        found.append(new.sq_distances)
        n_left -= len(new.rows)
        if n_left > 0:
            points.add(new.embedding, new.rows)
    return np.concatenate(picked).astype(np.intp), np.concatenate(found)


def _farthest_block(points: Points, n_wanted: int) -> Candidates:
    """Pick from the candidates of largest known distance while they provably hold the farthest point."""
    candidates, bound = points.farthest(_CANDIDATES)
    mutual = candidates.mutual_sq_distances()
    true = candidates.sq_distances.copy()
    block: list[int] = []
    distances: list[float] = []
    while len(block) < min(n_wanted, len(true)):
        at = int(np.argmax(true))
        if block and true[at] <= bound:
            break
        block.append(at)
        distances.append(float(true[at]))
        np.minimum(true, mutual[at], out=true)
        true[at] = -1.0
    return replace(candidates.take(np.asarray(block)), sq_distances=np.asarray(distances))
