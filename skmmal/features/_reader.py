"""Reading a feature cache: `CacheReader`, what `FeatureStore` can do without changing anything on the disk."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from skmmal._paths import local_path
from skmmal._store import put_back
from skmmal.features import _inspection
from skmmal.features._cache import CacheFiles, identity_of
from skmmal.features._files import CacheError, decode_block
from skmmal.features._manifest import Width, width_of
from skmmal.modalities import MultimodalArray

_TRIES = 1000
"""How often a cache may be replaced while it is being opened."""


class CacheReader:
    """A feature cache that is open for reading; see `FeatureStore`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = local_path(path)
        self.files = CacheFiles(self.path)
        self.ids = self.files.ids

    def __repr__(self) -> str:
        parts = (f"{n} {'×'.join(map(str, w)) if isinstance(w, tuple) else w}" for n, w in self.modalities.items())
        return f"{type(self).__name__}({self.n_samples} samples: {', '.join(parts) or 'no modality yet'})"

    def __len__(self) -> int:
        return self.n_samples

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a cache and check that its files are what the manifest says.

        Parameters
        ----------
        path : path-like
            The folder.

        Returns
        -------
        FeatureStore
            The cache, open.

        Raises
        ------
        CacheError
            A ``ValueError``: not a cache, written by a newer version, a file missing, truncated or of another
            shape or dtype than the manifest says, or a name that leaves the folder.
        ValueError
            `path` is a URL.

        Notes
        -----
        While another process replaces the cache (``write(..., overwrite=True)``), this gives the old one or the new
        one, and what it gave stays what it was: an opened store goes on reading the files that it opened.
        """
        given = local_path(path)
        for _ in range(_TRIES):
            place = put_back(given)
            before = identity_of(place)
            try:
                store = cls(place)
                store.files.keep()
            except (CacheError, OSError):
                if identity_of(put_back(given)) == before:
                    raise
                continue  # it was replaced while it was read
            if before == store.files.identity == identity_of(place):
                return store
        raise CacheError(f"{given} is replaced again and again; it cannot be read meanwhile")

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return self.files.manifest.n_samples

    @property
    def metadata(self) -> dict[str, dict[str, Any]]:
        """Manifest entry of each modality."""
        return self.files.manifest.modalities

    @property
    def modalities(self) -> dict[str, Width]:
        """Width of each modality, or ``(tokens, dim)`` of a token grid."""
        return {name: width_of(entry["shape"]) for name, entry in self.metadata.items()}

    def load(
        self,
        rows: Any = None,
        modalities: Sequence[str] | None = None,
    ) -> MultimodalArray:
        """Return features as a `MultimodalArray`; what is missing or not yet written is NaN.

        Without `rows` the blocks are memory-mapped and nothing is read before it is used (bfloat16 alone is
        read and widened to float32: numpy has no such type).

        Parameters
        ----------
        rows : slice, mask or array of int, optional
            Rows to read into memory.
        modalities : sequence of str, optional
            Modalities to load, in this order. Default: all.

        Returns
        -------
        MultimodalArray
            One block for each modality; token grids side by side, token by token.
        """
        names = self.files.names(modalities)
        if not names:
            raise CacheError(f"{self.path} holds no modality yet" if modalities is None else "modalities is empty")
        if rows is not None and not isinstance(rows, slice):
            rows = row_numbers(rows, self.n_samples)
        unwritten = {name: left for name in names if (left := self.n_samples - self.files.rows_done(name))}
        if unwritten:
            warnings.warn(
                f"{self.path} is not finished: rows not written yet, and therefore NaN: {unwritten}. The command "
                "that was filling it resumes where it stopped",
                stacklevel=2,
            )
        blocks = {}
        for name in names:
            values = self.files.values(name) if name not in unwritten else self.files.without_torn_rows(name)
            blocks[name] = decode_block(values if rows is None else values[rows], self.metadata[name]["dtype"])
        return MultimodalArray(blocks)

    def present(self, name: str | None = None) -> np.ndarray:
        """Return which rows have a modality.

        Parameters
        ----------
        name : str, optional
            Default: all modalities, in the order of `modalities`.

        Returns
        -------
        ndarray of bool, shape (n_samples,), memory-mapped, or (n_samples, n_modalities)
            ``store.load(rows=store.present().any(axis=1))`` leaves out the rows whose featurization failed.
        """
        if name is not None:
            return self.files.present(name)
        parts = [self.files.present(each) for each in self.metadata]
        return np.stack(parts, axis=1) if parts else np.zeros((self.n_samples, 0), dtype=bool)

    def index(self, ids: Sequence[str]) -> np.ndarray:
        """Return the rows of some ids.

        Parameters
        ----------
        ids : sequence of str
            In any order.

        Returns
        -------
        ndarray of int, shape (n_ids,)
            Row numbers, in the order of `ids`.

        Raises
        ------
        KeyError
            Ids that the cache does not have, with their number.
        """
        if isinstance(ids, str) or not isinstance(ids, Iterable):
            raise TypeError(f"ids must be a sequence of ids, got {ids!r}")
        ids = [str(identifier) for identifier in ids]
        row_of = {str(identifier): row for row, identifier in enumerate(self.ids)}
        unknown = [identifier for identifier in ids if identifier not in row_of]
        if unknown:
            raise KeyError(f"{len(unknown)} ids are not in {self.path}, the first: {unknown[:3]}")
        return np.array([row_of[identifier] for identifier in ids], dtype=np.intp)

    def errors(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return what failed, row by row, with its reason: the content of ``errors.jsonl``.

        Parameters
        ----------
        name : str, optional
            Default: all modalities.

        Returns
        -------
        list of dict
            One for each failure: the modality, id and row, and what the job recorded.
        """
        return _inspection.records(self.files, "errors", name)

    def remarks(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return what is doubtful about rows that are there (cut short, ...): the content of ``notes.jsonl``.

        Parameters
        ----------
        name : str, optional
            Default: all modalities.

        Returns
        -------
        list of dict
            One for each remark: the modality, id and row, and what the job recorded.
        """
        return _inspection.records(self.files, "remarks", name)

    def progress(self, name: str) -> dict[str, Any]:
        """Return how far a modality is, from what is on disk.

        Parameters
        ----------
        name : str
            The modality.

        Returns
        -------
        dict
            ``"done"`` rows, ``"seconds"`` by stage over the rows of the unfinished job, ``"running"`` (who is
            writing now), ``"seconds_left"`` at the pace of the last ranges, None where that cannot be told.
        """
        return _inspection.progress(self.files, name)

    def info(self) -> dict[str, Any]:
        """Return what the cache holds: sizes, dtypes, missing rows, failures, provenance.

        Returns
        -------
        dict
            Plain types only; ``"modalities"`` maps each name to what there is to say of it.
        """
        return _inspection.info(self.files)

    def verify(self, checksum: bool = False) -> dict[str, Any]:
        """Check the cache and say what is wrong with it.

        Parameters
        ----------
        checksum : bool, default=False
            Read everything: compare checksums, find rows that are partly NaN, infinite, all zero or repeated.

        Returns
        -------
        dict
            ``"ok"`` (no problem), ``"problems"`` (list of str), and ``"modalities"``: name to the number of rows
            ``done``, ``missing``, and with `checksum` ``zero`` and ``duplicates`` (which are no problem in
            themselves).
        """
        return _inspection.verify(self.files, checksum)


def row_numbers(rows: Any, n_samples: int) -> np.ndarray:
    """Return any form of row index as row numbers."""
    if not isinstance(rows, slice):
        rows = np.asarray(rows)
        if rows.size == 0 and rows.dtype != bool:
            rows = rows.astype(np.intp)
        if rows.ndim != 1 or rows.dtype.kind not in "biu":
            raise IndexError(f"rows must be a slice, a mask or a list of integers, got dtype {rows.dtype}")
    try:
        return np.arange(n_samples)[rows]
    except IndexError as error:
        raise IndexError(f"rows: {error}") from None
