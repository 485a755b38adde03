"""Exact D² sampling (k-means++ seeding), in blocks."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal, overload

import numpy as np
import torch

from skmmal._random import RandomState, check_rng
from skmmal.selection._embedding import Embedding, _sq_distances, as_embedding
from skmmal.selection._nearest import NearestCentre
from skmmal.selection._validation import check_n_samples

__all__ = ["d2_sampling"]

_FIRST_BLOCK, _LARGEST_BLOCK = 8, 512


@overload
def d2_sampling(
    embedding: Any,
    n_samples: int,
    *,
    random_state: RandomState = ...,
    first: str | int = ...,
    return_sq_distances: Literal[False] = ...,
) -> np.ndarray: ...
@overload
def d2_sampling(
    embedding: Any,
    n_samples: int,
    *,
    random_state: RandomState = ...,
    first: str | int = ...,
    return_sq_distances: Literal[True],
) -> tuple[np.ndarray, np.ndarray]: ...
def d2_sampling(
    embedding: Any,
    n_samples: int,
    *,
    random_state: RandomState = None,
    first: str | int = "norm",
    return_sq_distances: bool = False,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Pick points one after the other, each with probability proportional to its squared distance.

    The squared distance is that to the nearest point picked before (D² sampling, the seeding of k-means++).

    Parameters
    ----------
    embedding : Embedding or array-like of shape (N, D)
        The points.
    n_samples : int
        How many to pick, from 1 to N.
    random_state : int, RandomState, Generator or None
    first : {"norm", "random"} or int
        The first point: the one of largest norm (as in BADGE's own code; the lowest index on ties), uniformly
        at random (as in k-means++), or a given index.
    return_sq_distances : bool
        Whether to return, too, the squared distance each point had when it was picked (for the first one, its
        squared norm).

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
    points = as_embedding(embedding)
    n_samples = check_n_samples(n_samples, len(points))
    rng = check_rng(random_state)
    picked, distances = _d2_sampling(points, n_samples, rng, _first_index(points, first, rng))
    return (picked, distances) if return_sq_distances else picked


def _first_index(points: Embedding, first: str | int, rng: np.random.RandomState) -> int:
    if isinstance(first, Integral) and not isinstance(first, bool):
        if not 0 <= first < len(points):
            raise ValueError(f"first must be an index within 0..{len(points) - 1}, got {first}")
        return int(first)
    if first == "random":
        return int(rng.randint(len(points)))
    if first == "norm":
        norms = points._norms64()
        largest = float(norms.max())
        # nothing tells zero points apart
        return int(torch.argmax((norms == largest).to(torch.uint8))) if largest > 0 else int(rng.randint(len(points)))
    raise ValueError(f"first must be 'norm', 'random' or an index, got {first!r}")


def _d2_sampling(
    points: Embedding, n_samples: int, rng: np.random.RandomState, first: int
) -> tuple[np.ndarray, np.ndarray]:
    nearest = NearestCentre(points)
    picked = [first]
    found = [float(points._norms64()[first])]
    new = [first]
    size = _FIRST_BLOCK
    while len(picked) < n_samples:
        nearest.add(np.asarray(new))
        known = nearest.sq_distances.to("cpu", torch.float64).numpy()
        cumulative = known.cumsum()
        if cumulative[-1] <= 0:
            break
        size = min(size, 8 + 5 * (n_samples - len(picked)) // 4)
        candidates = np.searchsorted(cumulative, rng.random_sample(size) * cumulative[-1], side="right")
        candidates = np.minimum(candidates, np.flatnonzero(known)[-1])  # rounding at the upper end
        accepted = _thin(points, candidates, known[candidates], rng.random_sample(size))
        accepted = accepted[: n_samples - len(picked)]
        new = [int(candidates[at]) for at, _ in accepted]
        picked += new
        found += [distance for _, distance in accepted]
        size = _next_size(size, len(new))
    if len(picked) < n_samples:
        rest = np.setdiff1d(np.arange(len(points)), picked)
        picked += rng.permutation(rest)[: n_samples - len(picked)].tolist()
        found += [0.0] * (n_samples - len(found))
    return np.asarray(picked, dtype=np.intp), np.asarray(found)


def _thin(points: Embedding, candidates: np.ndarray, known: np.ndarray, uniform: np.ndarray) -> list[tuple[int, float]]:
    """Go through the candidates in order; keep each with probability (true D²) / (known D²)."""
    index = torch.as_tensor(candidates, device=points.device)
    mutual = _sq_distances(points, index, points, index).cpu().numpy()
    points._release()
    true = known.copy()
    kept = []
    for at in range(len(candidates)):
        if uniform[at] * known[at] < true[at]:
            kept.append((at, float(true[at])))
            np.minimum(true, mutual[at], out=true)
    return kept


def _next_size(size: int, n_accepted: int) -> int:
    """Grow the blocks while most candidates are accepted, shrink them when few are."""
    if n_accepted > 0.6 * size:
        return min(2 * size, _LARGEST_BLOCK)
    if n_accepted < 0.25 * size:
        return max(size // 2, _FIRST_BLOCK)
    return size
