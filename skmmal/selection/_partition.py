"""The papers' pool splitting: choose from parts of the pool on their own, each part a joblib task."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from numbers import Integral
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.utils._param_validation import Interval

from skmmal._random import draw_seed
from skmmal.selection import Embedding

__all__ = ["PARTITION_CONSTRAINTS", "in_partitions"]

PARTITION_CONSTRAINTS: dict = {
    "partitions": [Interval(Integral, 1, None, closed="left")],
    "n_jobs": [Integral, None],
    "random_state": ["random_state", np.random.Generator],
}


def in_partitions(
    select: Callable[..., tuple[np.ndarray, np.ndarray]],
    embedding: Embedding,
    n_instances: int,
    partitions: int,
    n_jobs: int | None,
    rng: np.random.RandomState,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Run ``select(embedding, n_instances, seed, **options)`` on the pool, or on random parts of it.

    Every part gives picks in proportion to its size. The parts' picks are interleaved: first every part's first,
    then every part's second, and so on. The result depends on `rng` alone, not on `n_jobs`.
    """
    if partitions == 1:
        return select(embedding, n_instances, draw_seed(rng), **options)
    parts = np.array_split(rng.permutation(len(embedding)), min(partitions, len(embedding)))
    # part i gives the picks that fall to its rows when n_instances are spread evenly over all rows
    ends = np.cumsum([len(part) for part in parts]) * n_instances // len(embedding)
    counts = np.diff(ends, prepend=0)
    seeds = [draw_seed(rng) for _ in parts]
    found = Parallel(n_jobs=n_jobs)(
        delayed(select)(embedding.take(part), int(count), seed, **options)
        for part, count, seed in zip(parts, counts, seeds, strict=True)
        if count > 0
    )
    chosen = [
        list(zip(part[indices].tolist(), scores.tolist(), strict=True))
        for part, (indices, scores) in zip([p for p, c in zip(parts, counts, strict=True) if c > 0], found, strict=True)
    ]
    interleaved = [pick for turn in zip_longest(*chosen) for pick in turn if pick is not None]
    indices, scores = zip(*interleaved, strict=True)
    return np.asarray(indices, dtype=np.intp), np.asarray(scores)
