"""How well the modalities of each row belong together."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd

from skmmal._chunks import row_chunks

__all__ = ["canonical_alignment", "mean_over_pairs"]

_CCA_ROWS, _CCA_RANK, _CCA_ROWS_PER_DIMENSION = 10_000, 64, 10


def mean_over_pairs(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Mean over the pairs of modalities a row has; where it has none, the average of the other rows.

    Parameters
    ----------
    values : ndarray of shape (N, M (M − 1) / 2)
        One column for each pair, in the order of `itertools.combinations`.
    present : ndarray of bool, shape (N, M)

    Returns
    -------
    ndarray of shape (N,)
    """
    pairs = list(combinations(range(present.shape[1]), 2))
    paired = np.column_stack([present[:, a] & present[:, b] for a, b in pairs])
    count = paired.sum(axis=1)
    if not count.any():
        return np.zeros(len(values))
    mean = np.where(paired, values, 0.0).sum(axis=1) / np.maximum(count, 1)
    return np.where(count > 0, mean, mean[count > 0].mean())


def canonical_alignment(blocks: list[torch.Tensor], present: np.ndarray, seed: int) -> np.ndarray:
    """How well each row's modalities belong together: the cosine of their canonical variates, mean over pairs.

    Each modality is centred, whitened and reduced to its leading principal components (at most 64, and at most one
    for every ten rows: that is the regularisation); the singular vectors of the cross-correlation, weighted by the
    square root of the canonical correlations, take both into one space. Fitted on at most 10,000 rows of each pair.
    """
    rng = np.random.RandomState(seed)
    columns = []
    for a, b in combinations(range(len(blocks)), 2):
        both = np.flatnonzero(present[:, a] & present[:, b])
        scores = np.zeros(len(present))
        fitted = np.sort(rng.permutation(both)[:_CCA_ROWS])
        if len(fitted) > 2:
            maps = [_whitening(blocks[m][fitted].double().numpy(), seed) for m in (a, b)]
        if len(fitted) > 2 and all(axes.shape[1] for _, axes in maps):
            white = [_whiten(blocks[m], fitted, maps[k]) for k, m in enumerate((a, b))]
            left, correlation, right = np.linalg.svd(white[0].T @ white[1] / len(fitted), full_matrices=False)
            weights = (left * np.sqrt(correlation), right.T * np.sqrt(correlation))
            for rows in row_chunks(len(both), max(blocks[a].shape[1], blocks[b].shape[1])):
                part = both[rows]
                u, v = (_whiten(blocks[m], part, maps[k]) @ weights[k] for k, m in enumerate((a, b)))
                length = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
                scores[part] = np.divide((u * v).sum(axis=1), length, out=np.zeros(len(part)), where=length > 1e-12)
        columns.append(scores)
    return mean_over_pairs(np.column_stack(columns), present)


def _whitening(values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and map (D, r) that make the leading principal components uncorrelated with variance one."""
    mean = values.mean(axis=0)
    rank = min(max(1, len(values) // _CCA_ROWS_PER_DIMENSION), _CCA_RANK, *values.shape)
    _, singular, axes = randomized_svd(values - mean, rank, random_state=seed)
    # directions without spread carry rounding only
    kept = singular > 1e-6 * np.sqrt(len(values))
    return mean, axes[kept].T / singular[kept] * np.sqrt(len(values))


def _whiten(block: torch.Tensor, rows: np.ndarray, mapping: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    mean, axes = mapping
    return (block[rows].double().numpy() - mean) @ axes
