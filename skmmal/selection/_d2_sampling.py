"""Exact D² sampling (k-means++ seeding), in blocks."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any, Literal, overload

import numpy as np

from skmmal._random import RandomState, check_rng
from skmmal.selection._points import Candidates, Points, as_points
from skmmal.selection._validation import check_n_samples

__all__ = ["d2_sampling"]

_FIRST_BLOCK, _LARGEST_BLOCK = 8, 512
_LARGE_POOL, _LARGE_BATCH = 10_000, 64
"""From so many points or picks on, passes cost more than candidates that are not accepted: blocks grow faster."""


@overload
def d2_sampling(
    embedding: Any,
    n_samples: int,
    *,
    random_state: RandomState = ...,
    first: str | int = ...,
    return_sq_distances: Literal[False] = ...,
    candidates: Any = ...,
) -> np.ndarray: ...
@overload
def d2_sampling(
    embedding: Any,
    n_samples: int,
    *,
    random_state: RandomState = ...,
    first: str | int = ...,
    return_sq_distances: Literal[True],
    candidates: Any = ...,
) -> tuple[np.ndarray, np.ndarray]: ...
def d2_sampling(
    embedding: Any,
    n_samples: int,
    *,
    random_state: RandomState = None,
    first: str | int = "norm",
    return_sq_distances: bool = False,
    candidates: Any = None,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Pick points one after the other, each with probability proportional to its squared distance.

    The squared distance is that to the nearest point picked before (D² sampling, the seeding of k-means++).

    Parameters
    ----------
    embedding : Embedding, Points or array-like of shape (N, D)
        The points, or what answers for them.
    n_samples : int
        How many to pick, from 1 to as many as may be picked.
    random_state : int, RandomState, Generator or None
        Draws the points.
    first : {"norm", "random"} or int, default="norm"
        The first point: the one of largest norm (as in BADGE's own code; the lowest index on ties), uniformly
        at random (as in k-means++), or a given index.
    return_sq_distances : bool, default=False
        Whether to return, too, the squared distance each point had when it was picked (for the first one, its
        squared norm).
    candidates : array-like of int or bool, optional
        Rows that may be picked; by default all.

    Returns
    -------
    indices : ndarray of int, shape (n_samples,)
        Distinct, in the order picked.
    sq_distances : ndarray of float64, shape (n_samples,)
        Only with `return_sq_distances`.

    Raises
    ------
    ValueError
        `n_samples` is not within 1..N, `first` is neither a known word nor an index, or a point is not finite.

    Notes
    -----
    The sequence has *exactly* the distribution of one-at-a-time sampling. Many candidates are drawn at once from
    the last known distribution; going through them in order, each is accepted with probability (true D²) /
    (known D²), where the true one takes the points accepted since into account. That is rejection sampling: an
    accepted candidate is a draw from the true distribution. When the candidates are used up, all N distances are
    brought up to date in one matrix product. Cost: one product N × D × n_samples in a few dozen calls;
    workspace: a chunk of rows times a block of centres. Where all distances are zero, the rest is drawn uniformly
    from the points not picked.

    References
    ----------
    .. [1] Arthur and Vassilvitskii, "k-means++: The advantages of careful seeding", SODA 2007, section 2.2.
    .. [2] Ash et al., "Deep batch active learning by diverse, uncertain gradient lower bounds", ICLR 2020,
       algorithm 1.

    Examples
    --------
    >>> from skmmal.selection import DenseEmbedding, d2_sampling
    >>> points = DenseEmbedding([[0.0, 0.0], [0.0, 0.1], [5.0, 0.0], [5.0, 0.1], [0.0, 9.0]])
    >>> d2_sampling(points, 3, random_state=0).tolist()
    [4, 2, 0]
    """
    points = as_points(embedding, candidates)
    n_samples = check_n_samples(n_samples, points.n_open())
    rng = check_rng(random_state)
    picked, distances = _d2_sampling(points, n_samples, rng, _first(points, first, rng))
    return (picked, distances) if return_sq_distances else picked


def _first(points: Points, first: str | int, rng: np.random.RandomState) -> Candidates:
    if isinstance(first, Integral) and not isinstance(first, bool):
        if not 0 <= first < len(points):
            raise ValueError(f"first must be an index within 0..{len(points) - 1}, got {first}")
        if first not in points.open_rows():
            raise ValueError(f"first must be one of the candidates, got {first}")
        return points.take(np.asarray([first], dtype=np.intp))
    if first not in ("norm", "random"):
        raise ValueError(f"first must be 'norm', 'random' or an index, got {first!r}")
    if first == "norm" and (largest := points.largest()).sq_distances[0] > 0:
        return largest
    # nothing tells zero points apart
    return points.take(points.open_rows()[[rng.randint(points.n_open())]])


def _d2_sampling(
    points: Points, n_samples: int, rng: np.random.RandomState, new: Candidates
) -> tuple[np.ndarray, np.ndarray]:
    picked, found = [new.rows], [new.sq_distances]
    is_large = len(points) >= _LARGE_POOL or n_samples >= _LARGE_BATCH
    size, growth = (4 * _FIRST_BLOCK, 4) if is_large else (_FIRST_BLOCK, 2)
    n_left = n_samples - 1
    while n_left > 0:
        points.add(new.embedding, new.rows)
        mass = points.mass()
        if mass <= 0:
            rest = rng.permutation(points.open_rows())[:n_left]
            picked, found = [*picked, rest], [*found, np.zeros(len(rest))]
            break
        size = min(size, 8 + 5 * n_left // 4)
        drawn = points.draw(rng.random_sample(size) * mass)
        new = _thin(drawn, rng.random_sample(size), n_left)
        picked, found = [*picked, new.rows], [*found, new.sq_distances]
        n_left -= len(new.rows)
        size = _next_size(size, len(new.rows), growth)
    return np.concatenate(picked).astype(np.intp), np.concatenate(found)


def _thin(drawn: Candidates, uniform: np.ndarray, n_wanted: int) -> Candidates:
    """Go through the candidates in order; keep each with probability (true D²) / (known D²)."""
    mutual, known = drawn.mutual_sq_distances(), drawn.sq_distances
    true = known.copy()
    kept: list[int] = []
    distances: list[float] = []
    for at in range(len(known)):
        if len(kept) < n_wanted and uniform[at] * known[at] < true[at]:
            kept.append(at)
            distances.append(float(true[at]))
            np.minimum(true, mutual[at], out=true)
    return replace(drawn.take(np.asarray(kept, dtype=np.intp)), sq_distances=np.asarray(distances))


def _next_size(size: int, n_accepted: int, growth: int) -> int:
    """Grow the blocks while most candidates are accepted, shrink them when few are."""
    if n_accepted > 0.6 * size:
        return min(growth * size, _LARGEST_BLOCK)
    if n_accepted < 0.25 * size:
        return max(size // 2, _FIRST_BLOCK)
    return size
