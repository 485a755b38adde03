"""Rows that cover a pool best, in every modality: greedy selection of MMCSAL."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch

from skmmal._chunks import chunk_rows, row_chunks

_LAZY_BLOCK = 256
_LARGE_KERNEL = 2**24


def content_groups(features: Any) -> np.ndarray:
    """Number the distinct rows: rows with the very same features (or the same absences) share a number."""
    numbers: dict[bytes, int] = {}
    groups = np.empty(len(features), dtype=np.int64)
    blocks = list(features.blocks.values())
    for row in range(len(features)):
        content = hashlib.blake2b(digest_size=16)
        for block in blocks:
            content.update((block[row] + 0.0).tobytes())  # adding zero turns -0.0 into 0.0
        groups[row] = numbers.setdefault(content.digest(), len(numbers))
    return groups


def greedy_selection(
    blocks: list[torch.Tensor],
    present: torch.Tensor,
    n_instances: int,
    *,
    references: np.ndarray,
    groups: np.ndarray,
    alignment: np.ndarray,
    lambda_div: float,
    kernel_width: float,
    known: list[torch.Tensor] | None = None,
    known_present: torch.Tensor | None = None,
    unit: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Take the row of largest gain, one after the other; lazily, and exactly (the lowest index on ties).

    Parameters
    ----------
    blocks : list of M tensors of shape (N, D_m)
        Unit rows; zero where absent.
    present : bool tensor of shape (N, M)
    n_instances : int
        At most the number of groups.
    references : ndarray of int, shape (R,)
        Rows over which coverage is measured.
    groups : ndarray of int, shape (N,)
        Of each group one row is taken.
    alignment : ndarray of shape (N,)
        Added to the gains, already weighted.
    lambda_div, kernel_width : float
    known, known_present : optional
        Rows that count as taken before.
    unit : float, default=1.0
        Multiplies coverage.

    Returns
    -------
    indices : ndarray of int, shape (n_instances,)
    gains : ndarray of float64, shape (n_instances,)
    """
    coverage = _Coverage(blocks, present, references, kernel_width)
    closest = np.full(len(present), -np.inf)
    any_known = known is not None and known_present is not None and len(known_present) > 0
    if any_known:
        coverage.add(known, known_present)  # type: ignore[arg-type]
        if lambda_div > 0:
            closest = _closest(blocks, present, known, known_present)  # type: ignore[arg-type]
    indices, found = np.empty(n_instances, dtype=np.int64), np.empty(n_instances)
    gains = np.empty(len(present))
    age = np.zeros(len(gains), dtype=np.int64)  # how many picks a row's gain has seen

    def evaluate(rows: np.ndarray, n_picked: int) -> None:
        some = torch.as_tensor(rows)
        gains[rows] = unit * coverage.gains(some).numpy() + alignment[rows]
        since = indices[age[rows].min() : n_picked]
        if lambda_div > 0 and len(since):
            taken = torch.as_tensor(since)
            nearest = _closest([b[some] for b in blocks], present[some], [b[taken] for b in blocks], present[taken])
            closest[rows] = np.maximum(closest[rows], nearest)
        if n_picked or any_known:
            gains[rows] -= lambda_div * closest[rows] if lambda_div > 0 else 0.0
        age[rows] = n_picked

    step = chunk_rows(len(references))
    for start in range(0, len(gains), step):
        evaluate(np.arange(start, min(start + step, len(gains))), 0)
    free = np.ones(len(gains), dtype=bool)
    for pick in range(n_instances):
        while True:
            best = int(np.argmax(gains))
            if age[best] == pick:
                break
            top = np.argpartition(-gains, min(_LAZY_BLOCK, len(gains) - 1))[:_LAZY_BLOCK]
            evaluate(np.union1d(top[(age[top] < pick) & free[top]], [best]), pick)
        indices[pick], found[pick] = best, gains[best]
        copies = groups == groups[best]
        free[copies], gains[copies] = False, -np.inf
        coverage.take(best)
        if pick == 0 and not any_known:
            # with nothing taken the diversity term was zero, and similarities go down to -1: loosen the bounds once
            gains += lambda_div
    return indices, found


class _Coverage:
    """How well the rows taken cover the references, modality by modality; holds the kernel of all rows."""

    def __init__(
        self, blocks: list[torch.Tensor], present: torch.Tensor, references: np.ndarray, kernel_width: float
    ) -> None:
        rows = torch.as_tensor(references)
        self.kernel_width = kernel_width
        self.references = [block[rows] for block in blocks]
        self.there = present[rows]
        self.kernels = []
        for m, block in enumerate(blocks):
            # a large kernel is kept in float32: its memory matters more than its last digits
            dtype = torch.float32 if len(block) * len(rows) > _LARGE_KERNEL else block.dtype
            kernel = torch.empty(len(block), len(rows), dtype=dtype)
            for part in row_chunks(len(block), len(rows)):
                kernel[part] = self._kernel(m, block[part], present[part, m]).to(dtype)
            self.kernels.append(kernel)
        self.covered = [torch.zeros(len(rows), dtype=kernel.dtype) for kernel in self.kernels]

    def _kernel(self, m: int, values: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Kernel of some rows with all references, zero where either lacks the modality."""
        references = self.references[m]
        sq_norms = (values**2).sum(dim=1)[:, None] + (references**2).sum(dim=1)
        sq_distances = torch.addmm(sq_norms, values, references.T, alpha=-2.0).clamp_min_(0.0)
        kernel = sq_distances.mul_(-1.0 / self.kernel_width**2).exp_()
        return kernel.mul_(self.there[:, m].to(kernel.dtype)).mul_(there[:, None].to(kernel.dtype))

    def gains(self, rows: torch.Tensor) -> torch.Tensor:
        """Sum over modalities of the mean rise in coverage that each row would bring, float64."""
        total = torch.zeros(len(rows), dtype=torch.float64)
        for kernel, covered in zip(self.kernels, self.covered, strict=True):
            total += kernel[rows].sub_(covered).clamp_min_(0.0).sum(dim=1, dtype=torch.float64)
        return total / len(self.there)

    def take(self, row: int) -> None:
        """Let a row of the pool cover."""
        for kernel, covered in zip(self.kernels, self.covered, strict=True):
            torch.maximum(covered, kernel[row], out=covered)

    def add(self, blocks: list[torch.Tensor], present: torch.Tensor) -> None:
        """Let other rows cover."""
        for part in row_chunks(len(present), len(self.there)):
            for m, (block, covered) in enumerate(zip(blocks, self.covered, strict=True)):
                kernel = self._kernel(m, block[part], present[part, m]).to(covered.dtype)
                torch.maximum(covered, kernel.max(dim=0).values, out=covered)


def _closest(
    blocks: list[torch.Tensor], present: torch.Tensor, others: list[torch.Tensor], others_present: torch.Tensor
) -> np.ndarray:
    """Largest similarity of each row to the others: the mean over the modalities both have (0 if none), float64."""
    out = np.empty(len(present))
    width = max(len(others_present), *(block.shape[1] for block in blocks))
    for rows in row_chunks(len(present), width):
        products = [block[rows] @ other.T for block, other in zip(blocks, others, strict=True)]
        similarity = torch.stack(products).sum(dim=0)
        shared = present[rows].to(similarity.dtype) @ others_present.T.to(similarity.dtype)
        out[rows] = (similarity / shared.clamp_min(1.0)).max(dim=1).values.numpy()
    return out
