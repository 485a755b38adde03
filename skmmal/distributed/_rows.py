"""Rows that are spread over workers: all of a pool, or some of them; fetched, predicted, read where they are."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Any, Self

import numpy as np

from skmmal._chunks import row_chunks
from skmmal._fitted import known_fitted, open_model
from skmmal.distributed._workers import Shard, WorkerLostError
from skmmal.modalities import MultimodalArray
from skmmal.modalities._array import on_demand
from skmmal.reading._sharded import PoolOnWorkers, ShardedReading, open_view

__all__ = ["RowsOnWorkers", "Subset", "fingerprint_of", "row_hashes"]


class RowsOnWorkers(PoolOnWorkers):
    """Rows on workers, whoever holds them; what all of them can be asked.

    Attributes
    ----------
    ids : ndarray of str, shape (n_samples,), or None
        The rows' ids, where they are known.
    modalities : dict of str to int, or to (int, int)
        Columns of each modality.
    counts, starts : ndarray of int
        Rows of each shard, and the first one's number.
    keys : iterator of int
        Names for what is to be kept on the shards.
    """

    ids: np.ndarray | None
    modalities: dict[str, Any]
    counts: np.ndarray
    starts: np.ndarray
    keys: Iterator[int]

    @abstractmethod
    def ask(self, function: Callable[..., Any], *shared: Any, own: Sequence[tuple | None] | None = None) -> list[Any]:
        """Call a function with every shard, where it is.

        Parameters
        ----------
        function : callable
            Takes a shard (``shard.X`` are its rows), then the arguments.
        *shared : object
            Sent once to every worker.
        own : sequence of tuple or None, optional
            Further arguments for each shard; ``None``: it is not asked.

        Returns
        -------
        list
            Their answers, ``None`` of those that were not asked.

        Raises
        ------
        WorkerLostError
            A worker is gone, or the pool was opened again since these rows were taken of it.
        """

    @abstractmethod
    def close(self) -> None:
        """Let the workers go of the rows."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self.counts.sum())

    def __repr__(self) -> str:
        widths = ", ".join(f"{name} {width}" for name, width in self.modalities.items())
        return f"{type(self).__name__}({len(self)} rows in {len(self.counts)} shards: {widths})"

    def ask_block(self, name: str, function: Callable[..., Any], *shared: Any) -> list[Any]:
        """Call a function with a modality's block and which rows have it, for every shard.

        Parameters
        ----------
        name : str
            The modality.
        function : callable
            Takes the block (n, D_m), an array of bool (n,), then the arguments.
        *shared : object
            Sent once to every worker.

        Returns
        -------
        list
        """
        return self.ask(_of_block, name, function, *shared)

    def take(self, rows: Any) -> MultimodalArray:
        """Fetch rows, to be labelled or fitted.

        Parameters
        ----------
        rows : array-like of int
            Numbers of a few rows.

        Returns
        -------
        MultimodalArray
            In the order asked.
        """
        rows = self._numbers(rows)
        if len(rows) == 0:
            return self.take([0])[:0]
        owners = np.searchsorted(self.starts, rows, side="right") - 1
        own = [(rows[owners == w] - start,) if (owners == w).any() else None for w, start in enumerate(self.starts)]
        found = [each for each in self.ask(_take, own=own) if each is not None]
        order = np.argsort(np.argsort(owners, kind="stable"))
        blocks = {name: np.concatenate([each[name] for each in found])[order] for name in self.modalities}
        return MultimodalArray(blocks, self.modalities)

    def _numbers(self, rows: Any) -> np.ndarray:
        rows = np.asarray(rows, dtype=np.intp).reshape(-1)
        outside = rows[(rows < 0) | (rows >= len(self))]
        if len(outside):
            raise IndexError(f"rows has {outside[0]}, but the pool's rows go from 0 to {len(self) - 1}")
        return rows

    def subset(self, rows: Any, transform: Callable[[MultimodalArray], MultimodalArray] | None = None) -> Subset:
        """Some of the rows, where they are, as a pool of their own.

        Parameters
        ----------
        rows : array-like of int
            Their numbers, each larger than the one before.
        transform : callable, optional
            Makes of each shard's rows what the others see, such as ``scaler.transform_on_demand``. Sent once to every
            worker.

        Returns
        -------
        Subset
            Accepted as `X_pool` as this pool is; the rows that are picked are numbers in `rows`. A context manager.

        Raises
        ------
        IndexError, ValueError
            A number that is none of a row, or numbers that do not ascend.

        Examples
        --------
        >>> import tempfile, numpy as np
        >>> from skmmal.distributed import ShardedPool
        >>> from skmmal.query import CoreSet
        >>> np.save(tempfile.gettempdir() + "/s.npy", np.eye(6) * np.arange(1, 7)[:, None])
        >>> pool = ShardedPool.open({"s": tempfile.gettempdir() + "/s.npy"}, n_workers=2)
        >>> with pool.subset([0, 1, 4]) as some:
        ...     some, CoreSet().query(None, some, 1).tolist()
        (Subset(3 rows in 2 shards: s 6), [2])
        """
        rows = self._numbers(rows)
        if (np.diff(rows) <= 0).any():
            raise ValueError("rows must ascend: a subset keeps the pool's order; np.unique(rows) does")
        return Subset(self, rows, transform)

    def predict(self, model: Any) -> np.ndarray:
        """Predict every row where it is.

        Parameters
        ----------
        model : fitted classifier
            Sent once to every worker.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return np.concatenate(self.ask(_predicted, model, "predict"))

    def predict_proba(self, model: Any) -> np.ndarray:
        """Probabilities of every row; they come together here.

        Parameters
        ----------
        model : fitted classifier
            Sent once to every worker.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return np.concatenate(self.ask(_predicted, model, "predict_proba"))

    def read(
        self, model: Any, X_labeled: Any = None, y_labeled: Any = None, *, candidates: np.ndarray | None = None
    ) -> ShardedReading:
        """Read the rows with a model, every shard where it is.

        Parameters
        ----------
        model : classifier or None
            As of `skmmal.reading.read`; sent once to every worker.
        X_labeled, y_labeled : optional
            Labelled rows, which are sent, too.
        candidates : ndarray of bool, optional
            Which rows may be picked.

        Returns
        -------
        ShardedReading

        Raises
        ------
        ValueError
            A Pipeline whose steps are not fitted: each shard would fit its own.
        """
        opened = open_model(model)
        if opened.steps and not opened.steps_are_fitted and known_fitted(opened.final) is not True:
            raise ValueError(
                "the Pipeline is not fitted, and on shards its steps cannot be fitted on the pool by themselves: fit "
                "them first, for example scaler = ModalityScaler().fit(pool) and "
                "make_pipeline(scaler, classifier.fit(scaler.transform(X_labeled), y_labeled))"
            )
        own: list[tuple] = [(None,)] * len(self.counts)
        if candidates is not None:
            cuts = zip(self.starts, self.counts, strict=True)
            own = [(np.flatnonzero(candidates[start : start + n_rows]),) for start, n_rows in cuts]
        key = next(self.keys)
        found = np.array(self.ask(open_view, key, model, X_labeled, y_labeled, own=own))
        return ShardedReading(self, key, found[:, 0], found[:, 1])


class Subset(RowsOnWorkers):
    """Some rows of a pool, where they are; made by `ShardedPool.subset`, and used as the pool itself is.

    Parameters
    ----------
    of : ShardedPool
        Whose rows they are.
    rows : ndarray of int
        Their numbers there, ascending.
    transform : callable, optional
        What is made of them.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from skmmal.distributed import ShardedPool
    >>> np.save(tempfile.gettempdir() + "/t.npy", np.arange(8.0)[:, None])
    >>> pool = ShardedPool.open({"t": tempfile.gettempdir() + "/t.npy"}, n_workers=2)
    >>> pool.subset([1, 5, 6]).take([2, 0])["t"].ravel().tolist()
    [6.0, 1.0]
    """

    def __init__(
        self, of: RowsOnWorkers, rows: np.ndarray, transform: Callable[[MultimodalArray], MultimodalArray] | None
    ) -> None:
        if len(rows) == 0:
            raise ValueError("rows is empty: a pool needs a row")
        self._of, self._key = of, next(of.keys)
        self.ids = None if of.ids is None else of.ids[rows]
        ends = np.searchsorted(rows, of.starts + of.counts)
        begins = np.append(0, ends[:-1])
        self._asked = np.flatnonzero(ends > begins)
        self.counts = (ends - begins)[self._asked]
        self.starts = self.counts.cumsum() - self.counts
        self.keys = count(1)
        own: list[tuple | None] = [None] * len(of.counts)
        for shard in self._asked:
            own[shard] = (rows[begins[shard] : ends[shard]] - of.starts[shard],)
        found = of.ask(_make_subset, self._key, transform, own=own)
        self.modalities = found[self._asked[0]]

    def ask(self, function: Callable[..., Any], *shared: Any, own: Sequence[tuple | None] | None = None) -> list[Any]:
        arguments: list[tuple | None] = [None] * len(self._of.counts)
        for at, shard in enumerate(self._asked):
            arguments[shard] = () if own is None else own[at]
        answers = self._of.ask(_on_subset, self._key, function, *shared, own=arguments)
        return [answers[shard] for shard in self._asked]

    def close(self) -> None:
        """Let the workers go of what they keep of these rows."""
        with suppress(WorkerLostError):  # who is gone keeps nothing
            self._of.ask(_drop_subset, self._key)


def fingerprint_of(rows: RowsOnWorkers) -> int:
    """Fingerprint of all values and their order, `row_hashes` summed; independent of how they are dealt out."""
    return sum(rows.ask(_hashes, own=[(int(start),) for start in rows.starts])) % _MODULUS


_MODULUS = 2**256


def row_hashes(X: MultimodalArray, start: int = 0) -> int:
    """Sum of the SHA-256 of every row's number and bytes, as integers below 2²⁵⁶.

    Rows can be hashed wherever they are, and in any parts: a sum of hashes is as hard to meet by chance as one hash.

    Parameters
    ----------
    X : MultimodalArray
    start : int, default=0
        Number of the first row.
    """
    total = 0
    blocks = [(f"{name} {block.dtype} {block.shape[1:]};".encode(), block) for name, block in X.blocks.items()]
    for rows in row_chunks(len(X), sum(int(np.prod(block.shape[1:])) for _, block in blocks)):
        values = [(header, np.ascontiguousarray(block[rows])) for header, block in blocks]
        for at in range(rows.stop - rows.start):
            found = hashlib.sha256((start + rows.start + at).to_bytes(8, "big"))
            for header, chunk in values:
                found.update(header)
                found.update(chunk[at].data)
            total += int.from_bytes(found.digest(), "big")
    return total % _MODULUS


# ------------------------------------------------------------------------------------------------- on the shards


class _SomeRows(Shard):
    """Rows of a shard, perhaps made otherwise."""

    def __init__(self, X: MultimodalArray) -> None:
        self.X, self.views = X, {}
        self.subsets = {}

    def __len__(self) -> int:
        return len(self.X)


def _make_subset(
    shard: Shard, key: int, transform: Callable[[MultimodalArray], MultimodalArray] | None, rows: np.ndarray
) -> dict[str, Any]:
    X = on_demand(shard.X)[rows]
    shard.subsets[key] = _SomeRows(X if transform is None else transform(X))
    return dict(shard.subsets[key].X.modalities)


def _on_subset(shard: Shard, key: int, function: Callable[..., Any], *arguments: Any) -> Any:
    if key not in shard.subsets:
        raise WorkerLostError("the pool was opened again, or the subset closed: make it anew, pool.subset(rows)")
    return function(shard.subsets[key], *arguments)


def _drop_subset(shard: Shard, key: int) -> None:
    shard.subsets.pop(key, None)


def _hashes(shard: Shard, start: int) -> int:
    return row_hashes(shard.X, start)


def _of_block(shard: Shard, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    return function(shard.X[name], shard.present[:, list(shard.X.modalities).index(name)], *arguments)


def _take(shard: Shard, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.asarray(block[rows]) for name, block in shard.X.blocks.items()}


def _predicted(shard: Shard, model: Any, method: str) -> np.ndarray:
    return np.asarray(getattr(model, method)(shard.X))
