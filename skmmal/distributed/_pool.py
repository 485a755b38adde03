"""`ShardedPool`: rows that lie in files, each opened by the worker that answers for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np

from skmmal._arrays import integer
from skmmal._store import digest, dumps
from skmmal.distributed._parts import Part, cut, find_parts, places_of
from skmmal.distributed._rows import RowsOnWorkers
from skmmal.distributed._workers import Shard, Workers, packed, unpacked, workers_of

__all__ = ["ShardedPool"]


class ShardedPool(RowsOnWorkers):
    """A pool whose rows stay where they are: on the workers of a Dask or Ray cluster, or in files of this machine.

    Query strategies take it as `X_pool`, where the registry says that they serve shards (``skmmal strategies``). Every
    worker opens its own rows by their path, is sent the model once, and answers what selection asks; only candidates
    and numbers travel, as many whatever the number of rows. The rows picked are those of one machine, in the same
    order, up to ties by rounding where sums over rows are put together.

    Make one with `open`; it is a context manager.

    Parameters
    ----------
    parts : sequence of Part
        What `open` found.
    workers : Workers
        Who is to hold them.
    n_workers : int
        How many of these.
    ids : list of str, optional
        One for each row.

    Attributes
    ----------
    ids : ndarray of str, shape (n_samples,), or None
        The rows' ids, where the files have them.
    counts, starts : ndarray of int
        Rows of each shard, and the first one's number in the pool.
    keys : iterator of int
        Names for what is to be kept on the shards.
    opened_from : dict, or None
        What `open` was given, in JSON's types; ``None`` where the ids were given, too.
    traffic : dict of str to int
        Bytes ``"sent"`` and ``"received"``, and the number of ``"questions"``, since the pool was opened.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.distributed import ShardedPool
    >>> from skmmal.query import BMMAL
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> clf = LateFusionClassifier().fit(X[::20], y[::20])
    >>> folder = tempfile.mkdtemp()
    >>> for name, block in X[1::2].blocks.items():
    ...     np.save(f"{folder}/{name}.npy", block)
    >>> pool = ShardedPool.open({name: f"{folder}/{name}.npy" for name in X.modalities}, n_workers=3)
    >>> pool
    ShardedPool(1000 rows in 3 shards: fou 76, zer 47)
    >>> pool.take([5, 2])
    MultimodalArray(2 rows: fou 76, zer 47)
    >>> batch = BMMAL(random_state=0).query(clf, pool, 5)
    >>> bool((batch == BMMAL(random_state=0).query(clf, X[1::2], 5)).all())
    True
    """

    def __init__(self, parts: Sequence[Part], workers: Workers, n_workers: int, ids: list[str] | None = None) -> None:
        self._parts, self._workers, self._n_workers = list(parts), workers, n_workers
        self.ids = None if ids is None else np.array(ids, dtype=np.str_)
        self.traffic = {"sent": 0, "received": 0, "questions": 0}
        self.keys = count(1)
        self.opened_from: dict[str, Any] | None = None
        self._start()

    @classmethod
    def open(
        cls,
        paths: Any,
        client: Any = None,
        *,
        n_workers: int | None = None,
        ids: Sequence[str] | None = None,
        id_column: str = "id",
    ) -> ShardedPool:
        """Open files, each row on one worker.

        Parameters
        ----------
        paths : mapping, path, or list of paths
            ``{"image": "image.npy", "text": ["text-0.npy", "text-1.npy"]}``: one .npy file for each modality, or
            several that follow one another; or folders of feature caches (`skmmal.FeatureStore`), or Parquet files or
            folders of them, whose columns of vectors are the modalities. Rows that lack a modality are NaN, in Parquet
            null. Local paths are mapped and must be the same for all workers; URLs that fsspec serves
            (``s3://``, ``gs://``, ``memory://``) are read into the worker's memory, for .npy and Parquet.
        client : None, dask.distributed.Client or the module ray, optional
            Whose workers open them; by default this process.
        n_workers : int, optional
            How many workers, each with as many rows as the files allow; by default all that the client has, one
            without a client. A worker may hold rows of several files.
        ids : sequence of str, optional
            One for each row; by default those of the caches, or of the Parquet column `id_column`.
        id_column : str, default="id"
            Parquet's column of ids.

        Returns
        -------
        ShardedPool

        Raises
        ------
        TypeError, ValueError
            A path or URL that cannot be served, files that do not go together, no rows, or ids that are not as many.
        """
        workers = workers_of(client)
        parts, found = find_parts(paths, id_column)
        n_rows = sum(map(len, parts))
        if n_rows == 0:
            raise ValueError("paths: the files hold no rows")
        wanted = workers.count if n_workers is None else integer(n_workers, "n_workers", 1)
        if ids is not None and len(ids) != n_rows:
            raise ValueError(f"ids has {len(ids)} entries, and the files have {n_rows} rows")
        known = found if ids is None else [str(each) for each in ids]
        pool = cls(parts, workers, min(max(wanted, 1), n_rows), known)
        if ids is None:
            pool.opened_from = {"paths": places_of(paths), "id_column": id_column}
        return pool

    def _start(self) -> None:
        dealt = [parts for parts in cut(self._parts, self._n_workers) if parts]
        self._counts_by_worker = [len(parts) for parts in dealt]
        self.counts = np.array([len(part) for parts in dealt for part in parts])
        self.starts = self.counts.cumsum() - self.counts
        self._workers.start(dealt)
        facts = self.ask(_facts)
        if any(fact != facts[0] for fact in facts):
            raise ValueError(f"the shards differ in modalities or their widths: {facts}")
        self.modalities: dict[str, Any] = facts[0]

    def checksum(self) -> str | None:
        """What tells, without reading a value, that the rows are those of before.

        Returns
        -------
        str or None
            Of caches by their own checksums, of other files by their size and time, of URLs by what serves them;
            ``None`` where a cache does not know.
        """
        marks = [part.mark() for part in self._parts]
        return None if None in marks else digest(dumps(marks))

    def reopen(self) -> None:
        """Open all rows again on the workers that there are now, after one was lost."""
        self._workers.stop()
        self._start()

    def close(self) -> None:
        """Let the workers go of the rows."""
        self._workers.stop()

    def ask(self, function: Callable[..., Any], *shared: Any, own: Sequence[tuple | None] | None = None) -> list[Any]:
        arguments = [()] * len(self.counts) if own is None else list(own)
        messages, at = [], 0
        for n_shards in self._counts_by_worker:
            own_of_worker, at = arguments[at : at + n_shards], at + n_shards
            asked = any(each is not None for each in own_of_worker)
            messages.append(packed((function, shared, own_of_worker)) if asked else None)
        answers = self._workers.ask(messages)
        self.traffic["sent"] += sum(len(message) for message in messages if message is not None)
        self.traffic["received"] += sum(len(answer) for answer in answers if answer is not None)
        self.traffic["questions"] += 1
        found: list[Any] = []
        for answer, n_shards in zip(answers, self._counts_by_worker, strict=True):
            found += [None] * n_shards if answer is None else unpacked(answer)
        return found


def _facts(shard: Shard) -> dict[str, Any]:
    return dict(shard.X.modalities)
