"""Points that are spread over workers, as selection asks them: only candidates travel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skmmal.reading._sharded import ShardedReading, View
from skmmal.selection import Candidates, Embedding, EmbeddingPoints, Points

__all__ = ["ShardedPoints"]


class ShardedPoints(Points):
    """Points of a sharded pool; every shard answers for its own.

    The picks of `d2_sampling` and `k_center_greedy` are those of the same points in one place, row for row, up to the
    rounding of sums over rows.

    Parameters
    ----------
    shards : ShardedReading
        All of whose rows may be picked.
    points : callable
        Makes the `EmbeddingPoints` of a shard from its `View` and the further arguments.
    *arguments : object
        Sent once to every worker.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from skmmal.distributed import ShardedPoints, ShardedPool
    >>> from skmmal.selection import DenseEmbedding, EmbeddingPoints, k_center_greedy
    >>> np.save(tempfile.gettempdir() + "/b.npy", [[0.0], [1.0], [5.0], [9.0]])
    >>> pool = ShardedPool.open({"b": tempfile.gettempdir() + "/b.npy"}, n_workers=2)
    >>> points = ShardedPoints(pool.read(None), lambda view: EmbeddingPoints(DenseEmbedding(view.reading.head.blocks)))
    >>> k_center_greedy(points, 2).tolist()
    [3, 0]
    """

    def __init__(self, shards: ShardedReading, points: Callable[..., EmbeddingPoints], *arguments: Any) -> None:
        self._shards = shards
        self._taken = np.empty(0, dtype=np.intp)
        self._masses = np.empty(0)
        self._has_centres = all(shards.ask(_keep, points, *arguments))

    def __len__(self) -> int:
        return len(self._shards)

    def open_rows(self) -> np.ndarray:
        is_open = np.ones(len(self), dtype=bool)
        is_open[self._taken] = False
        return np.flatnonzero(is_open)

    def n_open(self) -> int:
        return len(self) - len(self._taken)

    @property
    def has_centres(self) -> bool:
        return self._has_centres

    def take(self, rows: np.ndarray) -> Candidates:
        own, order = self._shards.dealt(np.asarray(rows, dtype=np.intp))
        return self._together(self._ask("take", own=own)).take(order)

    def largest(self) -> Candidates:
        answers = self._ask("largest")
        best = int(np.argmax([each.sq_distances[0] for each in answers]))
        return self._together([each if w == best else None for w, each in enumerate(answers)])

    def mass(self) -> float:
        self._masses = np.array(self._ask("mass"))
        return float(self._masses.sum())

    def draw(self, positions: np.ndarray) -> Candidates:
        ends = self._masses.cumsum()
        last = np.flatnonzero(self._masses)[-1]  # rounding at the upper end
        owners = np.minimum(np.searchsorted(ends, positions, side="right"), last)
        own = [
            positions[owners == w] - (ends[w] - self._masses[w]) if (owners == w).any() else None
            for w in range(len(ends))
        ]
        return self._together(self._ask("draw", own=own)).take(np.argsort(np.argsort(owners, kind="stable")))

    def farthest(self, n_points: int) -> tuple[Candidates, float]:
        n_each = -(-n_points // len(self._shards.starts))
        answers = self._ask("farthest", n_each)
        return self._together([each for each, _ in answers]), max(bound for _, bound in answers)

    def add(self, centres: Embedding, rows: np.ndarray) -> None:
        dealt, _ = self._shards.dealt(rows)
        self._ask("add", centres, own=[rows[:0] if own is None else own for own in dealt])
        self._taken, self._has_centres = np.append(self._taken, rows), True

    def _ask(self, question: str, *shared: Any, own: list[Any] | None = None) -> list[Any]:
        return self._shards.ask(_answer, question, *shared, own=own)

    def _together(self, answers: list[Candidates | None]) -> Candidates:
        """Candidates of all shards, their rows by positions among all points."""
        return Candidates.stack(
            [
                Candidates(each.rows + start, each.sq_distances, each.embedding)
                for each, start in zip(answers, self._shards.starts, strict=True)
                if each is not None
            ]
        )


def _keep(view: View, points: Callable[..., EmbeddingPoints], *arguments: Any) -> bool:
    view.kept["points"] = points(view, *arguments)
    return view.kept["points"].has_centres


def _answer(view: View, question: str, *arguments: Any) -> Any:
    return getattr(view.kept["points"], question)(*arguments)
