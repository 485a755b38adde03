"""What `on` means: how a strategy is run on one head or on all.

Strategies are written for a reading and know nothing of `on`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skmmal._names import did_you_mean
from skmmal.reading import ALL, FUSED, Reading

__all__ = ["Selection", "check_on", "in_turns", "select"]

Selection = tuple[np.ndarray, np.ndarray]
"""Pool rows in the order picked, and the score of each when it was picked."""


def select(strategy: Any, pool: Reading, on: str, n_instances: int, rng: np.random.RandomState) -> Selection:
    """Run a strategy on the head or heads that `on` names.

    Parameters
    ----------
    strategy : QueryStrategy
    pool : Reading
        Of the fused head.
    on : str
    n_instances : int
    rng : RandomState

    Returns
    -------
    indices, scores : ndarray

    Raises
    ------
    TypeError, ValueError
        `on` is no string, or neither ``"fused"`` nor ``"all"`` nor a modality.
    """
    check_on(on, pool)
    if on == FUSED:
        return _select_among(strategy, pool, n_instances, rng)
    if on == ALL:
        if not strategy._heads_take_turns:
            return _select_among(strategy, pool.on(ALL), n_instances, rng)
        return in_turns([_select_own(strategy, pool, name, n_instances, rng) for name in pool.heads], n_instances)
    indices, scores = _select_own(strategy, pool, on, n_instances, rng)
    if len(indices) < n_instances:
        rest = np.setdiff1d(np.arange(len(pool)), indices)
        more, more_scores = _select_own(strategy, pool.take(rest), FUSED, n_instances - len(indices), rng)
        indices, scores = np.append(indices, rest[more]), np.append(scores, more_scores)
    return indices, scores


def check_on(on: Any, pool: Any) -> None:
    """Raise `TypeError` or `ValueError` where `on` names none of a pool's heads."""
    if not isinstance(on, str):
        raise TypeError(f"on must be {FUSED!r}, {ALL!r} or the name of a modality, got {on!r}")
    if on == FUSED:  # the pool's modalities need not be known
        return
    names = pool.modality_names
    if on != ALL and on not in names:
        meant = did_you_mean(on, [*names, FUSED, ALL])
        raise ValueError(
            f"on={on!r}, but the pool's modalities are {names}; on may also be {FUSED!r} or {ALL!r}{meant}"
        )
    if on == ALL and ALL in names:
        raise ValueError(f"on={ALL!r} means all heads, but one modality of {names} is named so, too: rename it")


def _select_own(strategy: Any, pool: Reading, name: str, n_instances: int, rng: np.random.RandomState) -> Selection:
    """Select among the rows that a head speaks for, at most as many as may be picked."""
    own = pool.on(name)
    n_most = len(own) if own.candidates is None else int(own.candidates.sum())
    if n_most == 0:
        return np.empty(0, dtype=np.intp), np.empty(0)
    indices, scores = _select_among(strategy, own, min(n_instances, n_most), rng)
    return pool.heads[name].positions[indices], scores


def _select_among(strategy: Any, pool: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
    """Select among the candidates; a strategy that cares for no other rows sees no others."""
    if pool.candidates is None or strategy._looks_beyond_candidates:
        return strategy._select(pool, pool.labelled, n_instances, rng)
    rows = np.flatnonzero(pool.candidates)
    indices, scores = strategy._select(pool.take(rows), pool.labelled, n_instances, rng)
    return rows[indices], scores


def in_turns(selections: list[Selection], n_instances: int) -> Selection:
    """Take the next best row, not yet taken, of each selection in turn; the first has `n_instances` rows."""
    queues = [iter(zip(indices.tolist(), scores.tolist(), strict=True)) for indices, scores in selections]
    taken: dict[int, float] = {}
    while len(taken) < n_instances:
        for queue in queues[: n_instances - len(taken)]:
            row, score = next((pick for pick in queue if pick[0] not in taken), (-1, 0.0))
            if row >= 0:
                taken[row] = score
    return np.asarray(list(taken), dtype=np.intp), np.asarray(list(taken.values()))
