"""Greedy coverage of a set of points: kernel herding and maximum cover by balls, lazily exact and in blocks."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from sklearn.preprocessing import normalize

from skmmal._chunks import row_chunks
from skmmal._random import RandomState, check_rng
from skmmal.selection._validation import check_n_samples

__all__ = ["ball_cover", "kernel_herding", "nearest_other", "unit_rows"]

_BLOCK = 64
_ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)
"""Set bits of each byte (numpy has `bitwise_count` from 2.0 on only)."""


def unit_rows(points: Any) -> np.ndarray:
    """Scale rows to length one; zero rows stay zero.

    Examples
    --------
    >>> unit_rows([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    return normalize(_floating(points))


def kernel_herding(
    points: Any,
    n_samples: int,
    *,
    references: Any = None,
    weights: Any = None,
    initial: Any = None,
    sigma: float = 1.0,
    random_state: RandomState = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pick, one after the other, the point that adds most to the weighted coverage ``Σ_i u_i max_s k(i, s)``.

    The kernel is ``k(i, s) = exp(−‖x_i − x_s‖² / σ²)``.

    Parameters
    ----------
    points : array-like of shape (N, D)
        Who may be picked.
    n_samples : int
    references : array-like of int, optional
        Rows that are to be covered; by default all.
    weights : array-like of shape (N,), optional
        How much covering each row is worth, not negative; by default 1.
    initial : array-like of shape (L, D), optional
        Points that cover from the beginning.
    sigma : float, default=1.0
    random_state : int, RandomState, Generator or None
        Draws the rest uniformly once nothing adds anything.

    Returns
    -------
    indices : ndarray of int, shape (n_samples,)
        Distinct, in the order picked; on ties the lowest index.
    gains : ndarray of float64, shape (n_samples,)
        What each pick added, as a mean over the references.

    Notes
    -----
    The same picks as the textbook loop: a gain never grows, so gains known from before are upper bounds, and a point
    whose gain is up to date and not below any bound is the best. Memory: N + R for R references, and a block.

    References
    ----------
    .. [1] Bae, Noh and Sutherland, "Generalized coverage for more robust low-budget active learning", ECCV 2024,
       section 3: MaxHerding. Lazy greedy: Minoux 1978.

    Examples
    --------
    >>> kernel_herding([[0.0], [0.1], [0.2], [5.0], [5.1]], 2)[0].tolist()
    [1, 3]
    """
    points = _floating(points)
    n_samples = check_n_samples(n_samples, len(points))
    if not (isinstance(sigma, Real) and np.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma must be a finite number above zero, got {sigma!r}")
    rows = np.arange(len(points)) if references is None else np.asarray(references)
    targets = points[rows]
    worth = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=np.float64)
    if worth.shape != (len(points),) or not np.isfinite(worth).all() or (worth < 0).any():
        raise ValueError(f"weights must be {len(points)} finite numbers that are not negative")
    shares = (worth[rows] / len(rows)).astype(points.dtype)
    norms, target_norms = _sq_norms(points), _sq_norms(targets)
    covered = np.zeros(len(targets), dtype=points.dtype)

    def kernel(block: np.ndarray, block_norms: np.ndarray) -> np.ndarray:
        exponents = block @ targets.T
        exponents *= 2.0
        exponents -= block_norms[:, None]
        exponents -= target_norms
        np.minimum(exponents, 0.0, out=exponents)
        exponents /= sigma**2
        return np.exp(exponents, out=exponents)

    if initial is not None:
        centres = _floating(initial).astype(points.dtype, copy=False)
        for part in row_chunks(len(centres), len(targets)):
            np.maximum(covered, kernel(centres[part], _sq_norms(centres[part])).max(axis=0), out=covered)

    def gains_of(index: np.ndarray) -> np.ndarray:
        excess = kernel(points[index], norms[index])
        excess -= covered
        np.maximum(excess, 0.0, out=excess)
        return excess @ shares

    def take(index: int) -> None:
        np.maximum(covered, kernel(points[index : index + 1], norms[index : index + 1])[0], out=covered)

    floor = 1e-6 * float(shares.sum()) if points.dtype == np.float32 else 1e-14 * float(shares.sum())
    return _lazy_greedy(len(points), len(targets), n_samples, gains_of, take, floor, random_state)


def ball_cover(
    points: Any,
    n_samples: int,
    *,
    radius: float,
    references: Any = None,
    initial: Any = None,
    random_state: RandomState = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pick, one after the other, the point whose ball covers most points that no ball covers yet.

    Parameters
    ----------
    points : array-like of shape (N, D)
    n_samples : int
    radius : float
        A point covers those at a distance below it, and itself.
    references : array-like of int, optional
        Rows that are to be covered; by default all.
    initial : array-like of shape (L, D), optional
        Points that cover from the beginning.
    random_state : int, RandomState, Generator or None
        Draws the rest uniformly once everything is covered.

    Returns
    -------
    indices : ndarray of int, shape (n_samples,)
        Distinct, in the order picked; on ties the lowest index.
    gains : ndarray of float64, shape (n_samples,)
        Share of the references that each pick covered anew.

    Notes
    -----
    Who covers whom is kept as bits: N R / 8 bytes for R references.

    References
    ----------
    .. [1] Yehuda et al., "Active learning through a covering lens", NeurIPS 2022, algorithm 1: ProbCover.

    Examples
    --------
    >>> ball_cover([[0.0], [0.1], [0.2], [5.0], [5.1]], 2, radius=0.15)[0].tolist()
    [1, 3]
    """
    points = _floating(points)
    n_samples = check_n_samples(n_samples, len(points))
    rows = np.arange(len(points)) if references is None else np.asarray(references)
    targets = points[rows]
    n_bytes = -(-len(rows) // 8)
    covers = np.empty((len(points), n_bytes), dtype=np.uint8)
    for part in row_chunks(len(points), len(targets)):
        near = _sq_distances(points[part], targets) < radius**2
        covers[part] = np.packbits(near, axis=1)
    at = np.arange(len(rows))
    covers[rows, at // 8] |= np.uint8(128) >> (at % 8).astype(np.uint8)  # itself, whatever rounding says
    open_targets = np.ones(len(rows), dtype=bool)
    if initial is not None:
        centres = _floating(initial).astype(points.dtype, copy=False)
        for part in row_chunks(len(centres), len(targets)):
            open_targets &= ~(_sq_distances(centres[part], targets) < radius**2).any(axis=0)
    uncovered = np.packbits(open_targets)

    def gains_of(index: np.ndarray) -> np.ndarray:
        return _ONES[covers[index] & uncovered].sum(axis=1, dtype=np.int64) / len(rows)

    def take(index: int) -> None:
        np.bitwise_and(uncovered, ~covers[index], out=uncovered)

    return _lazy_greedy(len(points), n_bytes, n_samples, gains_of, take, 0.0, random_state)


def nearest_other(points: Any, labels: Any) -> np.ndarray:
    """Distance of each point to the nearest point of another label, infinite where there is none.

    Examples
    --------
    >>> nearest_other([[0.0], [1.0], [5.0]], [0, 0, 1])
    array([5., 4., 4.])
    """
    points, labels = _floating(points), np.asarray(labels)
    found = np.full(len(points), np.inf)
    for part in row_chunks(len(points), len(points)):
        distances = _sq_distances(points[part], points).astype(np.float64, copy=False)
        distances[labels[part][:, None] == labels] = np.inf
        found[part] = np.sqrt(distances.min(axis=1))
    return found


def _lazy_greedy(
    n_points: int,
    width: int,
    n_samples: int,
    gains_of: Callable[[np.ndarray], np.ndarray],
    take: Callable[[int], None],
    floor: float,
    random_state: RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy maximisation of a submodular function; gains not above `floor` count as nothing."""
    bounds = np.empty(n_points)
    for part in row_chunks(n_points, width):
        bounds[part] = gains_of(np.arange(part.start, part.stop))
    fresh = np.ones(n_points, dtype=bool)
    picked: list[int] = []
    gains: list[float] = []
    while len(picked) < n_samples:
        best = int(np.argmax(bounds))
        while not fresh[best]:
            stale = np.where(fresh, -np.inf, bounds)
            n_block = min(_BLOCK, int((stale > -np.inf).sum()))
            block = np.sort(np.argpartition(-stale, n_block - 1)[:n_block])
            bounds[block] = np.minimum(gains_of(block), bounds[block])
            fresh[block] = True
            best = int(np.argmax(bounds))
        if bounds[best] <= floor:
            break
        picked.append(best)
        gains.append(float(bounds[best]))
        take(best)
        fresh[:] = False
        bounds[best] = -np.inf
        fresh[picked] = True
    left = np.setdiff1d(np.arange(n_points), picked)
    rest = check_rng(random_state).permutation(left)[: n_samples - len(picked)]
    indices = np.concatenate([np.asarray(picked, dtype=np.intp), rest.astype(np.intp)])
    return indices, np.concatenate([gains, np.zeros(len(rest))])


def _floating(points: Any) -> np.ndarray:
    array = np.asarray(points)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _sq_norms(points: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", points, points)


def _sq_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    distances = first @ second.T
    distances *= -2.0
    distances += _sq_norms(first)[:, None]
    distances += _sq_norms(second)
    return np.maximum(distances, 0.0, out=distances)
