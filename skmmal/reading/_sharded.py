"""A pool on workers as a model reads it: each shard has a reading of its own rows, the driver asks them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skmmal._targets import SEVERAL_LABELS
from skmmal.reading._read import read_with_labels
from skmmal.reading._reading import Reading

__all__ = ["PoolOnWorkers", "ShardedReading", "View", "open_view"]


class PoolOnWorkers(ABC):
    """What a pool that is spread over workers is, for those who only have to know it: see `skmmal.distributed`."""

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def read(self, model: Any, X_labeled: Any = None, y_labeled: Any = None, *, candidates: Any = None) -> Any:
        """Let every worker read its rows with a model.

        Parameters
        ----------
        model : estimator or None
            What the workers fit or predict with; ``None`` for their rows alone.
        X_labeled, y_labeled : optional
            The labelled rows and their labels.
        candidates : optional
            Rows that may be picked.

        Returns
        -------
        ShardedReading
        """


@dataclass
class View:
    """Some of a shard's rows as a model reads them, and what is kept of them between questions.

    Parameters
    ----------
    shard : Shard
        Whose rows they are.
    reading : Reading
        With the labelled rows, where they were sent.
    rows : ndarray of int
        Which rows of the shard.
    kept : dict
        What the functions that `ShardedReading.ask` calls keep for the next question.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from skmmal.distributed import ShardedPool, View
    >>> np.save(tempfile.gettempdir() + "/v.npy", np.eye(5))
    >>> pool = ShardedPool.open({"v": tempfile.gettempdir() + "/v.npy"}, n_workers=2)
    >>> pool.read(None).ask(lambda view: isinstance(view, View))
    [True, True]
    """

    shard: Any
    reading: Reading
    rows: np.ndarray
    kept: dict[str, Any] = field(default_factory=dict)


class ShardedRows:
    """Rows that are spread over workers, and how they are asked; parameters as of `ShardedReading`."""

    def __init__(self, pool: Any, key: int, counts: np.ndarray, open_counts: np.ndarray) -> None:
        self.pool, self._key, self._counts, self.open_counts = pool, key, counts, open_counts
        self._asked = np.flatnonzero(counts)
        self.counts = counts[self._asked]
        ends = self.counts.cumsum()
        self.starts, self._n_rows = ends - self.counts, int(ends[-1]) if len(ends) else 0

    def __len__(self) -> int:
        return self._n_rows

    @property
    def n_open(self) -> int:
        """How many rows may be picked."""
        return int(self.open_counts.sum())

    def ask(self, function: Callable[..., Any], *shared: Any, own: list[Any] | None = None) -> list[Any]:
        """Call a function with every shard's part, where it is.

        Parameters
        ----------
        function : callable
            Takes a `View`, then the arguments.
        *shared : object
            Sent once to every worker.
        own : list, optional
            One more argument for each part; ``None`` in place of it: this part is not asked.

        Returns
        -------
        list
            An answer for each part that has rows; ``None`` for one that was not asked.
        """
        arguments: list[tuple | None] = [None] * len(self._counts)
        for at, shard in enumerate(self._asked):
            if own is None:
                arguments[shard] = ()
            elif own[at] is not None:
                arguments[shard] = (own[at],)
        answers = self.pool.ask(_with_view, self._key, function, *shared, own=arguments)
        return [answers[shard] for shard in self._asked]

    def ask_one(self, function: Callable[..., Any], *shared: Any) -> Any:
        """Ask the first part alone: for what is the same everywhere.

        Parameters
        ----------
        function : callable
            As for `ask`.
        *shared : object
            Its further arguments.

        Returns
        -------
        object
        """
        arguments: list[tuple | None] = [None] * len(self._counts)
        arguments[self._asked[0]] = ()
        return self.pool.ask(_with_view, self._key, function, *shared, own=arguments)[self._asked[0]]

    def dealt(self, positions: np.ndarray) -> tuple[list[Any], np.ndarray]:
        """Deal positions out to the parts in which they are.

        Parameters
        ----------
        positions : ndarray of int
            Among all rows.

        Returns
        -------
        own : list
            Positions in each part, ``None`` where it has none of them.
        order : ndarray of int
            Puts what the parts answer, one after the other, into the order of the positions.
        """
        owners = np.searchsorted(self.starts, positions, side="right") - 1
        own = [positions[owners == w] - start if (owners == w).any() else None for w, start in enumerate(self.starts)]
        return own, np.argsort(np.argsort(owners, kind="stable"))

    def gather(self, function: Callable[..., Any], positions: np.ndarray, *shared: Any) -> Any:
        """What a function of a `View`, the shared arguments and positions there returns, in the order of the positions.

        Parameters
        ----------
        function : callable
            Returns an array with one entry for each of its positions, or a list of such arrays.
        positions : ndarray of int
            Among all rows.
        *shared : object
            Sent once to every worker.

        Returns
        -------
        ndarray, or list of ndarray
        """
        own, order = self.dealt(np.asarray(positions, dtype=np.intp))
        found = [each for each in self.ask(function, *shared, own=own) if each is not None]
        if isinstance(found[0], list):
            return [np.concatenate(parts)[order] for parts in zip(*found, strict=True)]
        return np.concatenate(found)[order]

    def pool_rows(self, positions: np.ndarray) -> np.ndarray:
        """Rows of the pool at some positions.

        Parameters
        ----------
        positions : ndarray of int
            Among all rows.

        Returns
        -------
        ndarray of int
        """
        own, order = self.dealt(np.asarray(positions, dtype=np.intp))
        starts = self.pool.starts[self._asked]
        found = zip(self.ask(_rows, own=own), starts, strict=True)
        return np.concatenate([rows + start for rows, start in found if rows is not None])[order]

    def positions_of(self, pool_row: int) -> int | None:
        """Where a row of the pool is among these.

        Parameters
        ----------
        pool_row : int
            Its number in the pool.

        Returns
        -------
        int or None
            ``None`` where it is not among them.
        """
        own: list[Any] = [None] * len(self.starts)
        order = self.pool.starts[self._asked]
        part = int(np.searchsorted(order, pool_row, side="right")) - 1
        if part < 0:
            return None
        own[part] = pool_row - int(order[part])
        found = self.ask(_position, own=own)[part]
        return None if found is None else found + int(self.starts[part])


class ShardedReading(ShardedRows):
    """What a model says of a pool that is spread over workers; all rows stay where they are.

    Strategies ask it in place of a `Reading`: `ask` calls a function with every shard's part. Positions are those of
    the rows that it is about, one shard after the other; `pool_rows` says which rows of the pool they are.

    Parameters
    ----------
    pool : ShardedPool
        Whose rows they are.
    key : int
        What the parts are called on the shards.
    counts : ndarray of int
        Rows in each shard.
    open_counts : ndarray of int
        Rows in each shard that may be picked.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from skmmal.distributed import ShardedPool
    >>> np.save(tempfile.gettempdir() + "/a.npy", np.eye(5))
    >>> pool = ShardedPool.open({"a": tempfile.gettempdir() + "/a.npy"}, n_workers=2)
    >>> pool.read(None).ask(lambda view: len(view.reading))
    [3, 2]
    """

    def highest(self, score: Callable[..., np.ndarray], n_instances: int, *, placed: bool = False) -> tuple:
        """The rows of highest score, highest first, and their scores; on ties the first.

        Parameters
        ----------
        score : callable
            Takes a `Reading`, and returns the scores of its rows.
        n_instances : int
            How many to pick.
        placed : bool, default=False
            Whether the function is told, too, the position of its first row, and how many rows there are in all.

        Returns
        -------
        positions : ndarray of int, shape (n_instances,)
        scores : ndarray of shape (n_instances,)
        """
        places = [(int(start), len(self)) if placed else () for start in self.starts]
        found = self.ask(_highest, score, n_instances, own=places)
        positions = np.concatenate([rows + start for (rows, _), start in zip(found, self.starts, strict=True)])
        scores = np.concatenate([each for _, each in found])
        order = np.lexsort((positions, -scores))[:n_instances]
        return positions[order], scores[order]

    # -- other rows, other heads

    def on(self, name: str) -> ShardedReading:
        """Listen to one head, or to all (see `Reading.on`).

        Parameters
        ----------
        name : str
            ``"fused"``, ``"all"``, or a modality.

        Returns
        -------
        ShardedReading
            For a modality, of the rows that have it.
        """
        return self._derived(_listening, name)

    def among_candidates(self) -> ShardedReading:
        """Leave out the rows that may not be picked.

        Returns
        -------
        ShardedReading
        """
        return self._derived(_candidates)

    def without(self, pool_rows: np.ndarray) -> ShardedReading:
        """Leave out some rows.

        Parameters
        ----------
        pool_rows : ndarray of int
            Their numbers in the pool.

        Returns
        -------
        ShardedReading
        """
        starts = self.pool.starts[self._asked]
        own = [pool_rows[(pool_rows >= start) & (pool_rows < end)] - start for start, end in self._spans(starts)]
        return self._derived(_others, own=own)

    def _spans(self, starts: np.ndarray) -> list[tuple[int, int]]:
        return [(start, start + self.pool.counts[shard]) for start, shard in zip(starts, self._asked, strict=True)]

    def _derived(self, function: Callable[..., Any], *shared: Any, own: list[Any] | None = None) -> ShardedReading:
        key = next(self.pool.keys)
        counts, open_counts = (np.zeros(len(self._counts), dtype=np.intp) for _ in range(2))
        found = self.ask(_derive, key, function, *shared, own=own)
        counts[self._asked], open_counts[self._asked] = np.array(found).reshape(-1, 2).T
        return ShardedReading(self.pool, key, counts, open_counts)

    # -- what is the same everywhere

    @property
    def modality_names(self) -> list[str]:
        """Names of the modalities that the head sees."""
        return self.ask_one(_names)

    @property
    def is_fitted(self) -> bool:
        """Whether there is a fitted model."""
        return self.ask_one(_is_fitted)

    @property
    def serves_several_labels(self) -> bool:
        """Whether rows have several labels."""
        return self.ask_one(_several)

    def check_fitted(self) -> None:
        """Raise `NotFittedError` where there is no fitted model."""
        self.ask_one(_check_fitted)


# ------------------------------------------------------------------------------------------------- on the shards


def open_view(
    shard: Any, key: int, model: Any, X_labeled: Any, y_labeled: Any, candidates: np.ndarray | None
) -> tuple[int, int]:
    """Read a shard's rows with a model; what was kept of earlier readings is let go."""
    reading = read_with_labels(model, shard.X, X_labeled, y_labeled)
    if candidates is not None:
        reading.candidates = np.zeros(len(reading), dtype=bool)
        reading.candidates[candidates] = True
    shard.views = {key: View(shard, reading, np.arange(len(reading)))}
    return _sizes(shard.views[key])


def _sizes(view: View) -> tuple[int, int]:
    candidates = view.reading.candidates
    return len(view.reading), len(view.reading) if candidates is None else int(candidates.sum())


def _with_view(shard: Any, key: int, function: Callable[..., Any], *arguments: Any) -> Any:
    if key not in shard.views:
        raise RuntimeError("the rows were read anew, or the pool was opened again, since this was read: read it again")
    return function(shard.views[key], *arguments)


def _derive(view: View, key: int, function: Callable[..., View], *arguments: Any) -> tuple[int, int]:
    derived = function(view, *arguments)
    view.shard.views[key] = derived
    return _sizes(derived)


def _listening(view: View, name: str) -> View:
    reading = view.reading.on(name)
    positions = np.searchsorted(view.reading.rows, reading.rows)
    return View(view.shard, reading, view.rows[positions])


def _candidates(view: View) -> View:
    candidates = view.reading.candidates
    positions = np.arange(len(view.reading)) if candidates is None else np.flatnonzero(candidates)
    return View(view.shard, view.reading.take(positions), view.rows[positions])


def _others(view: View, rows: np.ndarray) -> View:
    positions = np.flatnonzero(~np.isin(view.rows, rows))
    return View(view.shard, view.reading.take(positions), view.rows[positions])


def _rows(view: View, positions: np.ndarray) -> np.ndarray:
    return view.rows[positions]


def _position(view: View, row: int) -> int | None:
    found = np.flatnonzero(view.rows == row)
    return int(found[0]) if len(found) else None


def _highest(view: View, score: Callable[..., np.ndarray], n_instances: int, place: tuple) -> tuple:
    return view.reading.highest(score(view.reading, *place), n_instances)


def _names(view: View) -> list[str]:
    return list(view.reading.modality_names)


def _is_fitted(view: View) -> bool:
    return view.reading.is_fitted


def _several(view: View) -> bool:
    return view.reading.source.target is SEVERAL_LABELS


def _check_fitted(view: View) -> None:
    view.reading.source.check_fitted()
