"""Strategies on a pool that is spread over workers: who serves it, on which heads, and among which rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmmal.query._heads import Selection, check_on, in_turns
from skmmal.query._refusals import label_refusal
from skmmal.reading import ALL, FUSED
from skmmal.reading._sharded import PoolOnWorkers, ShardedReading

__all__ = ["select_on_shards"]


def select_on_shards(
    strategy: Any,
    estimator: Any,
    pool: PoolOnWorkers | ShardedReading,
    n_instances: int,
    labelled: tuple[Any, Any],
    candidates: np.ndarray | None,
    on: str,
    rng: np.random.RandomState,
) -> tuple[Selection, list[str]]:
    """Run a strategy on the head or heads that `on` names; the rows are the pool's.

    Parameters
    ----------
    strategy : QueryStrategy
    estimator : classifier or None
    pool : ShardedPool or ShardedReading
    n_instances : int
    labelled : pair
        Labelled rows and their labels.
    candidates : ndarray of bool or None
        Rows that may be picked.
    on : str
    rng : RandomState

    Returns
    -------
    rows, scores : ndarray
    modality_names : list of str
    """
    if isinstance(pool, ShardedReading):
        shards = pool
    else:
        X_labeled, y_labeled = labelled if strategy._reads_labelled_on_shards else (None, None)
        shards = pool.read(estimator, X_labeled, y_labeled, candidates=candidates)
    if strategy.requires_model:
        shards.check_fitted()
    if not strategy.supports_multi_label and shards.serves_several_labels:
        raise ValueError(label_refusal(type(strategy).__name__))
    check_on(on, shards)
    if on == FUSED:
        found = _select_among(strategy, shards, n_instances, rng)
    elif on == ALL and not strategy._heads_take_turns:
        found = _select_among(strategy, shards.on(ALL), n_instances, rng)
    elif on == ALL:
        names = [FUSED, *shards.modality_names]
        found = in_turns([_select_own(strategy, shards, name, n_instances, rng) for name in names], n_instances)
    else:
        rows, scores = _select_own(strategy, shards, on, n_instances, rng)
        if len(rows) < n_instances:
            rest = shards.without(rows)
            more, more_scores = _select_own(strategy, rest, FUSED, n_instances - len(rows), rng)
            rows, scores = np.append(rows, more), np.append(scores, more_scores)
        found = rows, scores
    return found, shards.modality_names if strategy.compares_modalities or on != FUSED else []


def _select_own(
    strategy: Any, shards: ShardedReading, name: str, n_instances: int, rng: np.random.RandomState
) -> Selection:
    """Select among the rows that a head speaks for, at most as many as may be picked."""
    own = shards.on(name)
    if own.n_open == 0:
        return np.empty(0, dtype=np.intp), np.empty(0)
    return _select_among(strategy, own, min(n_instances, own.n_open), rng)


def _select_among(strategy: Any, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
    """Select among the candidates; a strategy that cares for no other rows sees no others."""
    if shards.n_open < len(shards) and not strategy._looks_beyond_candidates:
        shards = shards.among_candidates()
    positions, scores = strategy._select_shards(shards, n_instances, rng)
    return shards.pool_rows(positions), scores
