"""Greedy coverage of a set of points: kernel herding and maximum cover by balls, lazily exact and in blocks."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from sklearn.preprocessing import normalize

from skmmal._arrays import numeric
from skmmal._chunks import row_chunks
from skmmal._random import RandomState, check_rng
from skmmal.selection._validation import check_n_samples

__all__ = ["ball_cover", "in_any_ball", "kernel_herding", "mixed_cover", "nearest_other", "unit_rows"]

_BLOCK = 64
_LARGEST_FLOAT32, _LARGEST = 1e17, 1e150
"""Values above the first are computed with in float64, those above the second not at all: squares overflow."""


def unit_rows(points: Any) -> np.ndarray:
    """Scale rows to length one; zero rows stay zero.

    Examples
    --------
    >>> unit_rows([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    points = _floating(points)
    return normalize(points) if points.size else points


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
    sigma = _check_size("sigma", sigma)
    rows = _rows_to_cover(references, len(points))
    targets = points[rows]
    worth = np.ones(len(points)) if weights is None else _worth(weights, "weights", len(points))
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
        centres = _centres(initial, points)
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
    Who covers whom is kept as bits: N R / 8 bytes for R references. A reference leaves the sums once, when it is
    covered first: N R additions for all picks together, and O(N) a pick.

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
    rows = _rows_to_cover(references, len(points))
    radius, covered = _check_size("radius", radius), np.zeros(len(rows), dtype=bool)
    if initial is not None:
        centres = _centres(initial, points)
        covered = in_any_ball(points[rows], centres, np.full(len(centres), radius))
    cover = _Cover(points, rows, radius, covered)
    picked: list[int] = []
    gains: list[float] = []
    while len(picked) < n_samples:
        best = int(np.argmax(cover.degrees))
        if cover.degrees[best] == 0:
            break
        picked.append(best)
        gains.append(float(cover.degrees[best] / len(rows)))
        cover.take(best)
    return _with_the_rest(picked, gains, len(points), n_samples, random_state)


def mixed_cover(
    points: Any,
    n_samples: int,
    *,
    radius: float,
    uncertainty: Any,
    share: float,
    references: Any = None,
    covered: Any = None,
    random_state: RandomState = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pick, one after the other, the point of largest ``share · uncertainty + (1 − share) · degree``.

    The degree of a point is how many points its ball covers that no ball covers yet. Before every pick both terms are
    divided by their largest value among the points left.

    Parameters
    ----------
    points : array-like of shape (N, D)
    n_samples : int
    radius : float
        A point covers those at a distance below it, and itself.
    uncertainty : array-like of shape (N,)
        Not negative.
    share : float
        From 0 (maximum cover, as `ball_cover`) to 1 (uncertainty alone).
    references : array-like of int, optional
        Rows that are to be covered; by default all.
    covered : array-like of bool, shape (number of references,), optional
        References that are covered from the beginning.
    random_state : int, RandomState, Generator or None
        Draws the rest uniformly once no point scores above zero.

    Returns
    -------
    indices : ndarray of int, shape (n_samples,)
        Distinct, in the order picked; on ties the lowest index.
    scores : ndarray of float64, shape (n_samples,)

    Notes
    -----
    Who covers whom is kept as bits: N R / 8 bytes for R references. A reference leaves the degrees once, when it is
    covered first: N R additions for all picks together, and O(N) a pick.

    References
    ----------
    .. [1] Mishal and Weinshall, "DCoM: active learning for all learners", 2024 (arXiv 2407.01804), section 3.

    Examples
    --------
    >>> line = [[0.0], [0.1], [0.2], [5.0], [5.1]]
    >>> mixed_cover(line, 2, radius=0.15, uncertainty=[0, 0, 0, 0.5, 1], share=0.2)[0].tolist()
    [1, 4]
    """
    points = _floating(points)
    n_samples = check_n_samples(n_samples, len(points))
    radius, uncertainty = _check_size("radius", radius), _worth(uncertainty, "uncertainty", len(points))
    if not isinstance(share, Real) or isinstance(share, bool) or not 0 <= share <= 1:
        raise ValueError(f"share must be a number from 0 to 1, got {share!r}")
    rows = _rows_to_cover(references, len(points))
    is_covered = np.zeros(len(rows), dtype=bool) if covered is None else numeric(covered, "covered").astype(bool)
    if is_covered.shape != rows.shape:
        raise ValueError(f"covered must have shape {rows.shape}, one for each reference, found {is_covered.shape}")
    cover = _Cover(points, rows, radius, is_covered)
    left = np.ones(len(points), dtype=bool)
    picked: list[int] = []
    scores: list[float] = []
    while len(picked) < n_samples:
        score = share * _of_largest(uncertainty, left) + (1.0 - share) * _of_largest(cover.degrees, left)
        best = int(np.argmax(np.where(left, score, -np.inf)))
        if score[best] <= 0:
            break
        picked.append(best)
        scores.append(float(score[best]))
        left[best] = False
        cover.take(best)
    return _with_the_rest(picked, scores, len(points), n_samples, random_state)


class _Cover:
    """Which points cover which references, and how many that are open yet each would cover.

    Kept as bits by reference: one row, all points that cover it. A reference leaves the degrees once, when it is
    covered first.

    Parameters
    ----------
    points : ndarray of shape (N, D)
    rows : ndarray of int, shape (R,)
        The references.
    radius : float
    covered : ndarray of bool, shape (R,)
        References that are covered from the beginning.

    Attributes
    ----------
    degrees : ndarray of int64, shape (N,)
    """

    def __init__(self, points: np.ndarray, rows: np.ndarray, radius: float, covered: np.ndarray) -> None:
        self._coverers = np.empty((len(rows), -(-len(points) // 8)), dtype=np.uint8)
        for part in row_chunks(len(rows), len(points)):
            self._coverers[part] = np.packbits(_sq_distances(points[rows[part]], points) < radius**2, axis=1)
        # itself, whatever rounding says
        self._coverers[np.arange(len(rows)), rows // 8] |= np.uint8(128) >> (rows % 8).astype(np.uint8)
        self._is_open = ~covered
        self.degrees = np.zeros(len(points), dtype=np.int64)
        for row in np.flatnonzero(self._is_open):
            self.degrees += np.unpackbits(self._coverers[row], count=len(points))

    def take(self, index: int) -> None:
        """Cover what a point covers."""
        covered = (self._coverers[:, index // 8] >> np.uint8(7 - index % 8)) & 1
        new = np.flatnonzero(self._is_open & covered.astype(bool))
        self._is_open[new] = False
        for row in new:
            self.degrees -= np.unpackbits(self._coverers[row], count=len(self.degrees))


def in_any_ball(points: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Whether each point is nearer to some centre than that one's radius.

    Examples
    --------
    >>> in_any_ball(np.array([[0.5], [3.0]]), np.array([[0.0]]), np.array([1.0]))
    array([ True, False])
    """
    inside = np.zeros(len(points), dtype=bool)
    for part in row_chunks(len(centres), len(points)):
        inside |= (_sq_distances(centres[part], points) < np.square(radii[part])[:, None]).any(axis=0)
    return inside


def _with_the_rest(
    picked: list[int], gains: list[float], n_points: int, n_samples: int, random_state: RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Picks and, to make up their number, others drawn from those left, with a gain of zero."""
    left = np.setdiff1d(np.arange(n_points), picked)
    rest = check_rng(random_state).permutation(left)[: n_samples - len(picked)]
    indices = np.concatenate([np.asarray(picked, dtype=np.intp), rest.astype(np.intp)])
    return indices, np.concatenate([gains, np.zeros(len(rest))])


def _of_largest(values: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Values as a share of the largest one left; zeros where that is zero."""
    largest = values[left].max()
    return values / largest if largest > 0 else np.zeros(len(values))


def nearest_other(points: Any, labels: Any) -> np.ndarray:
    """Distance of each point to the nearest point of another label, infinite where there is none.

    Examples
    --------
    >>> nearest_other([[0.0], [1.0], [5.0]], [0, 0, 1])
    array([5., 4., 4.])
    """
    points, labels = _floating(points), np.asarray(labels)
    if labels.shape != (len(points),):
        raise ValueError(f"labels must have shape ({len(points)},), found {labels.shape}")
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
    return _with_the_rest(picked, gains, n_points, n_samples, random_state)


def _floating(points: Any, argument: str = "points") -> np.ndarray:
    array = numeric(points, argument, 2, finite=True)
    array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    largest = float(np.abs(array).max(initial=0.0))
    if largest > _LARGEST_FLOAT32:
        array = array.astype(np.float64, copy=False)
    if largest > _LARGEST:
        raise ValueError(f"{argument} holds values too large to be squared (above {_LARGEST:g}); scale them first")
    return array


def _rows_to_cover(references: Any, n_points: int) -> np.ndarray:
    """Row numbers to be covered, all where none are given."""
    if references is None:
        return np.arange(n_points)
    rows = numeric(references, "references", 1)
    if rows.dtype.kind not in "iu" or len(rows) == 0 or rows.min() < 0 or rows.max() >= n_points:
        raise ValueError(f"references must be row numbers from 0 to {n_points - 1}, at least one, got {references!r}")
    return rows


def _centres(initial: Any, points: np.ndarray) -> np.ndarray:
    """Points that cover from the beginning, in the dtype of those to be picked."""
    centres = _floating(initial, "initial")
    if centres.shape[1] != points.shape[1]:
        raise ValueError(f"initial has {centres.shape[1]} columns, points has {points.shape[1]}")
    return centres.astype(points.dtype, copy=False)


def _worth(values: Any, argument: str, n_points: int) -> np.ndarray:
    """Finite numbers that are not negative, one for each point."""
    worth = numeric(values, argument).astype(np.float64)
    if worth.shape != (n_points,) or not np.isfinite(worth).all() or (worth < 0).any():
        raise ValueError(f"{argument} must be {n_points} finite numbers that are not negative")
    return worth


def _check_size(argument: str, size: Any) -> float:
    if not isinstance(size, Real) or isinstance(size, bool) or not 0 < float(size) < np.inf:
        raise ValueError(f"{argument} must be a finite number above zero, got {size!r}")
    return float(size)


def _sq_norms(points: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", points, points)


def _sq_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    distances = first @ second.T
    distances *= -2.0
    distances += _sq_norms(first)[:, None]
    distances += _sq_norms(second)
    return np.maximum(distances, 0.0, out=distances)
