"""Greedy cover of points by balls of one radius, exact and as bits."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from skmmal._arrays import number, numeric
from skmmal._chunks import row_chunks
from skmmal._random import RandomState
from skmmal.selection._dense import as_floats, in_any_ball, sq_distances
from skmmal.selection._lazy_greedy import with_the_rest
from skmmal.selection._validation import (
    check_candidates,
    check_centres,
    check_n_samples,
    check_references,
    check_worth,
)

__all__ = ["BallCover", "ball_cover", "mixed_cover"]


def ball_cover(
    points: Any,
    n_samples: int,
    *,
    radius: float,
    references: Any = None,
    initial: Any = None,
    random_state: RandomState = None,
    candidates: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pick, one after the other, the point whose ball covers most points that no ball covers yet.

    Parameters
    ----------
    points : array-like of shape (N, D)
        Who cover, and are to be covered.
    n_samples : int
        How many to pick.
    radius : float
        A point covers those at a distance below it, and itself.
    references : array-like of int, optional
        Rows that are to be covered; by default all.
    initial : array-like of shape (L, D), optional
        Points that cover from the beginning.
    random_state : int, RandomState, Generator or None
        Draws the rest uniformly once everything is covered.
    candidates : array-like of int or bool, optional
        Rows that may be picked; by default all.

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
    points = as_floats(points)
    open_rows = check_candidates(candidates, len(points))
    n_samples = check_n_samples(n_samples, int(open_rows.sum()))
    rows = check_references(references, len(points))
    radius, covered = number(radius, "radius", 0.0), np.zeros(len(rows), dtype=bool)
    if initial is not None:
        centres = check_centres(initial, points)
        covered = in_any_ball(points[rows], centres, np.full(len(centres), radius))
    cover = BallCover(points, rows, radius, covered)
    picked: list[int] = []
    gains: list[float] = []
    while len(picked) < n_samples:
        degrees = np.where(open_rows, cover.degrees, 0)
        best = int(np.argmax(degrees))
        if degrees[best] == 0:
            break
        picked.append(best)
        gains.append(float(degrees[best] / len(rows)))
        cover.take(best)
    return with_the_rest(picked, gains, open_rows, n_samples, random_state)


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
    candidates: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pick, one after the other, the point of largest ``share · uncertainty + (1 − share) · degree``.

    The degree of a point is how many points its ball covers that no ball covers yet. Before every pick both terms are
    divided by their largest value among the points left.

    Parameters
    ----------
    points : array-like of shape (N, D)
        Who cover, and are to be covered.
    n_samples : int
        How many to pick.
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
    candidates : array-like of int or bool, optional
        Rows that may be picked; by default all.

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
    points = as_floats(points)
    open_rows = check_candidates(candidates, len(points))
    n_samples = check_n_samples(n_samples, int(open_rows.sum()))
    radius, uncertainty = number(radius, "radius", 0.0), check_worth(uncertainty, "uncertainty", len(points))
    if not isinstance(share, Real) or isinstance(share, bool) or not 0 <= share <= 1:
        raise ValueError(f"share must be a number from 0 to 1, got {share!r}")
    rows = check_references(references, len(points))
    is_covered = np.zeros(len(rows), dtype=bool) if covered is None else numeric(covered, "covered").astype(bool)
    if is_covered.shape != rows.shape:
        raise ValueError(f"covered must have shape {rows.shape}, one for each reference, found {is_covered.shape}")
    cover = BallCover(points, rows, radius, is_covered)
    left = open_rows.copy()
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
    return with_the_rest(picked, scores, open_rows, n_samples, random_state)


def _of_largest(values: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Values as a share of the largest one left; zeros where that is zero."""
    largest = values[left].max()
    return values / largest if largest > 0 else np.zeros(len(values))


class BallCover:
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
    sets : sequence of ndarrays of int, optional
        Sets of points that cover together; they take the place of the points. By default each point is one.

    Attributes
    ----------
    degrees : ndarray of int64, shape (N,)
    """

    def __init__(
        self,
        points: np.ndarray,
        rows: np.ndarray,
        radius: float,
        covered: np.ndarray,
        sets: Sequence[np.ndarray] | None = None,
    ) -> None:
        n_coverers = len(points) if sets is None else len(sets)
        self._coverers = np.empty((len(rows), -(-n_coverers // 8)), dtype=np.uint8)
        for part in row_chunks(len(rows), len(points)):
            is_near = sq_distances(points[rows[part]], points) < radius**2
            # itself, whatever rounding says
            is_near[np.arange(len(is_near)), rows[part]] = True
            if sets is not None:
                is_near = np.column_stack([is_near[:, members].any(axis=1) for members in sets])
            self._coverers[part] = np.packbits(is_near, axis=1)
        self._is_open = ~covered
        self.degrees = np.zeros(n_coverers, dtype=np.int64)
        for row in np.flatnonzero(self._is_open):
            self.degrees += np.unpackbits(self._coverers[row], count=n_coverers)

    def take(self, index: int) -> None:
        """Cover what a point covers."""
        covered = (self._coverers[:, index // 8] >> np.uint8(7 - index % 8)) & 1
        new = np.flatnonzero(self._is_open & covered.astype(bool))
        self._is_open[new] = False
        for row in new:
            self.degrees -= np.unpackbits(self._coverers[row], count=len(self.degrees))
