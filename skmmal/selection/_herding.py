"""Greedy coverage of points by a Gaussian kernel: herding, also over several modalities with penalties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmmal._arrays import number
from skmmal._chunks import row_chunks
from skmmal._random import RandomState
from skmmal.selection._backend import Array, gather, like, namespace, to_device, to_numpy
from skmmal.selection._dense import as_floats, not_negative, sq_distances, sq_norms
from skmmal.selection._lazy_greedy import LazySearch, lazy_greedy, with_the_rest
from skmmal.selection._validation import (
    check_candidates,
    check_centres,
    check_n_samples,
    check_references,
    check_worth,
)

__all__ = ["Herding", "KernelCoverage", "diverse_herding", "kernel_coverage", "kernel_herding"]

_LARGE_KERNEL = 2**24
"""Elements from which on a kernel that is kept is float32: its memory matters more than its last digits."""


def kernel_herding(
    points: Any,
    n_samples: int,
    *,
    references: Any = None,
    weights: Any = None,
    initial: Any = None,
    bandwidth: float = 1.0,
    random_state: RandomState = None,
    candidates: Any = None,
    device: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pick, one after the other, the point that adds most to the weighted coverage ``Σ_i u_i max_s k(i, s)``.

    The kernel is ``k(i, s) = exp(−‖x_i − x_s‖² / σ²)``.

    Parameters
    ----------
    points : array-like of shape (N, D)
        Who cover, and are to be covered.
    n_samples : int
        How many to pick.
    references : array-like of int, optional
        Rows that are to be covered; by default all.
    weights : array-like of shape (N,), optional
        How much covering each row is worth, not negative; by default 1.
    initial : array-like of shape (L, D), optional
        Points that cover from the beginning.
    bandwidth : float, default=1.0
        σ, the width of the kernel.
    random_state : int, RandomState, Generator or None
        Draws the rest uniformly once nothing adds anything.
    candidates : array-like of int or bool, optional
        Rows that may be picked; by default all.
    device : torch.device or str, optional
        Where the kernel is computed, such as ``"cuda"``; by default here. The same picks, up to ties by rounding.

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
    points = as_floats(points)
    open_rows = check_candidates(candidates, len(points))
    n_samples = check_n_samples(n_samples, int(open_rows.sum()))
    coverage, floor = kernel_coverage(
        points, references=references, weights=weights, initial=initial, bandwidth=bandwidth, device=device
    )

    def take(row: int) -> np.ndarray:
        coverage.take(row)
        return np.asarray([row])

    picked, gains = lazy_greedy(open_rows, n_samples, coverage.gains, take, width=coverage.n_references, floor=floor)
    return with_the_rest(picked, gains, open_rows, n_samples, random_state)


def kernel_coverage(
    points: np.ndarray,
    *,
    references: Any = None,
    weights: Any = None,
    initial: Any = None,
    bandwidth: float = 1.0,
    device: Any = None,
) -> tuple[KernelCoverage, float]:
    """Coverage of points as `kernel_herding` has it, before any pick; and the gain that counts as nothing."""
    bandwidth = number(bandwidth, "bandwidth", 0.0)
    rows = check_references(references, len(points))
    worth = np.ones(len(points)) if weights is None else check_worth(weights, "weights", len(points))
    centres = None if initial is None else check_centres(initial, points)
    return _coverage_of(points, points[rows], worth[rows], bandwidth, centres, device)


def _coverage_of(
    points: np.ndarray,
    targets: np.ndarray,
    worth: np.ndarray,
    bandwidth: float,
    initial: np.ndarray | None,
    device: Any = None,
) -> tuple[KernelCoverage, float]:
    shares = (worth / len(targets)).astype(points.dtype)
    placed = [each if device is None else to_device(each, device) for each in (points, targets)]
    coverage = KernelCoverage([placed[0]], [placed[1]], shares, bandwidth)
    if initial is not None:
        coverage.add([like(initial, placed[0])])
    return coverage, (1e-6 if points.dtype == np.float32 else 1e-14) * float(shares.sum())


class Herding:
    """The point that adds most to the coverage of targets, as points from here or elsewhere are picked.

    Parameters
    ----------
    points : ndarray of shape (N, D)
    open_rows : ndarray of bool, shape (N,)
        Which may be picked.
    targets : ndarray of shape (R, D)
        What is to be covered.
    worth : ndarray of shape (R,)
        How much covering each of them is worth.
    bandwidth : float
    initial : ndarray of shape (L, D), optional
        Points that cover from the beginning.
    """

    def __init__(
        self,
        points: np.ndarray,
        open_rows: np.ndarray,
        targets: np.ndarray,
        worth: np.ndarray,
        bandwidth: float,
        initial: np.ndarray | None = None,
    ) -> None:
        self._coverage, floor = _coverage_of(points, targets, worth, bandwidth, initial)
        self._search = LazySearch(open_rows, self._coverage.gains, width=len(targets), floor=floor)

    def best(self) -> tuple[int, float]:
        """Return the row that adds most, the first on ties, and what it adds; -1 where nothing adds anything."""
        return self._search.best()

    def take(self, point: np.ndarray, rows: np.ndarray) -> None:
        """Let a point (1, D) cover; it is that of some row here, or of none."""
        self._coverage.add([point])
        self._search.drop(rows)


class KernelCoverage:
    """How well points picked cover references, modality by modality: ``Σ_m Σ_n u_n max_s k_m(n, s)``.

    The kernel is ``k_m(n, s) = exp(−‖x_n^m − x_s^m‖² / σ²)``, zero where either lacks the modality.

    Parameters
    ----------
    blocks : list of M ndarrays of shape (N, D_m), or of tensors on one device
    targets : list of M ndarrays of shape (R, D_m), where the blocks are
        What is to be covered.
    shares : ndarray of shape (R,)
        u, how much covering each of them is worth.
    bandwidth : float
    present, target_present : ndarray of bool, shapes (N, M) and (R, M), optional
        By default everything is present.
    keep : bool, default=False
        Whether to keep the kernel of all rows, M N R numbers, in place of computing it again for every gain.
    """

    def __init__(
        self,
        blocks: Sequence[Array],
        targets: Sequence[Array],
        shares: np.ndarray,
        bandwidth: float,
        present: np.ndarray | None = None,
        target_present: np.ndarray | None = None,
        *,
        keep: bool = False,
    ) -> None:
        self._blocks, self._bandwidth, self._present = blocks, bandwidth, present
        self._shares = like(shares, blocks[0])
        self._targets = targets
        self._target_norms = [sq_norms(each) for each in targets]
        self._target_present = target_present
        self._kept: list[np.ndarray] = []
        if keep:
            self._kept = [self._whole_kernel(m) for m in range(len(blocks))]
        self.n_references = len(shares)
        self._covered: list[Array] = [np.zeros(len(shares), dtype=each.dtype) for each in self._kept]
        if not keep:
            self._covered = [norms * 0.0 for norms in self._target_norms]

    def _whole_kernel(self, m: int) -> np.ndarray:
        shape = len(self._blocks[m]), len(self._shares)
        whole = np.empty(shape, dtype=np.float32 if shape[0] * shape[1] > _LARGE_KERNEL else self._blocks[m].dtype)
        for part in row_chunks(*shape):
            whole[part] = self._kernel(m, self._blocks, self._present, part)
        return whole

    def _kernel(
        self, m: int, blocks: Sequence[Array], present: np.ndarray | None, rows: slice | np.ndarray
    ) -> Array:
        """Kernel of some rows of some points with all references."""
        kernel = sq_distances(gather(blocks[m], rows), self._targets[m], self._target_norms[m])
        kernel /= -(self._bandwidth**2)
        namespace(kernel).exp(kernel, out=kernel)
        if present is not None and self._target_present is not None:
            kernel *= present[rows, m, None]
            kernel *= self._target_present[:, m]
        return kernel

    def add(self, blocks: Sequence[Array], present: np.ndarray | None = None) -> None:
        """Let points from elsewhere cover."""
        for part in row_chunks(len(blocks[0]), len(self._shares)):
            for m, covered in enumerate(self._covered):
                library, kernel = namespace(covered), self._kernel(m, blocks, present, part)
                library.maximum(covered, library.amax(kernel, 0), out=covered)

    def gains(self, rows: np.ndarray) -> np.ndarray:
        """By how much each row would raise the coverage."""
        total = np.zeros(len(rows))
        for m, covered in enumerate(self._covered):
            excess = self._kept[m][rows] if self._kept else self._kernel(m, self._blocks, self._present, rows)
            excess -= covered
            total += to_numpy(not_negative(excess) @ self._shares)
        return total

    def joint_gain(self, rows: np.ndarray) -> float:
        """By how much some rows together would raise the coverage."""
        total = 0.0
        for m, covered in enumerate(self._covered):
            kernel = self._kept[m][rows] if self._kept else self._kernel(m, self._blocks, self._present, rows)
            total += float(not_negative(namespace(kernel).amax(kernel, 0) - covered) @ self._shares)
        return total

    def take(self, row: int) -> None:
        """Let a row cover."""
        for m, covered in enumerate(self._covered):
            own = slice(row, row + 1)
            kernel = self._kept[m][own] if self._kept else self._kernel(m, self._blocks, self._present, own)
            namespace(covered).maximum(covered, kernel[0], out=covered)


def diverse_herding(
    blocks: Sequence[Any],
    present: Any,
    n_samples: int,
    *,
    references: np.ndarray,
    groups: np.ndarray,
    bonus: np.ndarray,
    diversity: float,
    bandwidth: float,
    known: Sequence[Any] | None = None,
    known_present: Any = None,
    unit: float = 1.0,
    candidates: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pick the row of largest coverage gain, less its similarity to rows picked, plus a bonus, one after the other.

    Parameters
    ----------
    blocks : list of M array-likes of shape (N, D_m)
        Unit rows; zero where absent.
    present : array-like of bool, shape (N, M)
    n_samples : int
        At most the number of groups among the candidates.
    references : ndarray of int, shape (R,)
        Rows over which coverage is measured.
    groups : ndarray of int, shape (N,)
        Of each group one row is picked.
    bonus : ndarray of shape (N,)
        Added to the gains.
    diversity : float
        Weight of the similarity.
    bandwidth : float
        Width of the kernel.
    known, known_present : optional
        Rows that count as picked before.
    unit : float, default=1.0
        Multiplies coverage.
    candidates : array-like of int or bool, optional
        Rows that may be picked; by default all.

    Returns
    -------
    indices : ndarray of int, shape (n_samples,)
        On ties the lowest index first.
    gains : ndarray of float64, shape (n_samples,)

    Examples
    --------
    >>> corner = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    >>> rows = np.arange(3)
    >>> kind = {"references": rows, "groups": rows, "bonus": np.zeros(3), "diversity": 1.0, "bandwidth": 1.0}
    >>> diverse_herding([corner], np.ones((3, 1), dtype=bool), 2, **kind)[0].tolist()
    [1, 2]
    """
    blocks, present = [np.asarray(block) for block in blocks], np.asarray(present)
    shares = np.full(len(references), 1.0 / len(references), dtype=blocks[0].dtype)
    targets = [block[references] for block in blocks]
    coverage = KernelCoverage(blocks, targets, shares, bandwidth, present, present[references], keep=True)
    similarity = _Similarity(blocks, present)
    has_known = known is not None and known_present is not None and len(known_present) > 0
    if has_known:
        known, known_present = [np.asarray(block) for block in known], np.asarray(known_present)  # type: ignore[union-attr]
        coverage.add(known, known_present)
        if diversity > 0:
            similarity.add(known, known_present)

    def gains_of(rows: np.ndarray) -> np.ndarray:
        gains = unit * coverage.gains(rows) + bonus[rows]
        return gains - diversity * similarity.to_nearest(rows) if diversity > 0 else gains

    def take(row: int) -> np.ndarray:
        coverage.take(row)
        similarity.picked.append(row)
        return np.flatnonzero(groups == groups[row])

    picked, gains = lazy_greedy(
        check_candidates(candidates, len(present)), n_samples, gains_of, take, width=len(references)
    )
    if diversity > 0 and not has_known:
        gains[0] -= diversity  # nothing was there to be similar to
    return np.asarray(picked, dtype=np.int64), np.asarray(gains)


class _Similarity:
    """Similarity of each row to the most similar one picked, as far as was asked; -1, the least, before any.

    It is the mean of the inner products over the modalities that both have, 0 where there are none.
    """

    def __init__(self, blocks: list[np.ndarray], present: np.ndarray) -> None:
        self._blocks, self._present = blocks, present
        self.picked: list[int] = []
        self._nearest = np.full(len(present), -1.0)
        self._n_seen = np.zeros(len(present), dtype=np.intp)  # how many picks a row has been compared with

    def add(self, others: list[np.ndarray], others_present: np.ndarray) -> None:
        """Compare all rows with points from elsewhere."""
        self._compare(np.arange(len(self._present)), others, others_present)

    def to_nearest(self, rows: np.ndarray) -> np.ndarray:
        """Similarity of some rows to the most similar one picked."""
        new = self.picked[self._n_seen[rows].min() :]
        if new:
            self._compare(rows, [block[new] for block in self._blocks], self._present[new])
            self._n_seen[rows] = len(self.picked)
        return self._nearest[rows]

    def _compare(self, rows: np.ndarray, others: list[np.ndarray], others_present: np.ndarray) -> None:
        width = max(len(others_present), *(block.shape[1] for block in self._blocks))
        for chunk in row_chunks(len(rows), width):
            part = rows[chunk]
            similarity = sum(block[part] @ other.T for block, other in zip(self._blocks, others, strict=True))
            shared = self._present[part].astype(similarity.dtype) @ others_present.T.astype(similarity.dtype)
            similarity /= np.maximum(shared, 1.0)
            self._nearest[part] = np.maximum(self._nearest[part], similarity.max(axis=1))
