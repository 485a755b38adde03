"""Writing rows into a cache that is there, and adding rows: the part of `FeatureStore` that featurization jobs use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from skmmal._store import locked, plain
from skmmal.features._cache import ids_text
from skmmal.features._claims import CacheInUseError, running
from skmmal.features._copies import add_rows, check_new_rows
from skmmal.features._files import check_name, mutex
from skmmal.features._growth import grow
from skmmal.features._inputs import RowInputs, changed_rows, note_changed
from skmmal.features._manifest import Width, read_manifest
from skmmal.features._modality import check_fingerprint, check_plain
from skmmal.features._reader import CacheReader
from skmmal.features._writer import RowWriter
from skmmal.modalities import MultimodalArray, as_multimodal, is_multimodal
from skmmal.modalities._rows import check_ids


class GrowingCache(CacheReader):
    """A feature cache whose rows can be written and become more; see `FeatureStore`."""

    def extend(self, blocks: Any, ids: Sequence[Any]) -> Self:
        """Add rows behind those that are there: at every moment there is the cache before or the longer one.

        A cache that grew is the one that `write` makes of all rows at once. What a featurization job made is extended
        by the job (``--extend``); rows that are added here beside it end its claim to the modality.

        Parameters
        ----------
        blocks : mapping of str to array, MultimodalArray, or DataFrame with (modality, feature) columns
            The new rows; a modality that is not in it is missing there. They are stored in the cache's dtypes.
        ids : sequence of str
            One for each row, distinct from all that are there.

        Returns
        -------
        FeatureStore
            This one, with the new rows.

        Raises
        ------
        CacheError
            A modality is not finished, or another cache stands at the path since this one was opened.
        CacheInUseError
            Another process is writing into the cache.
        ValueError
            A modality that the cache does not have (see `append`), another width, values that the cache's dtype
            cannot hold, or ids that cannot be used.

        Examples
        --------
        >>> import tempfile, numpy as np
        >>> from skmmal import FeatureStore
        >>> store = FeatureStore.write(tempfile.mkdtemp() + "/cache", {"image": np.zeros((2, 3))}, ids=["a", "b"])
        >>> store.extend({"image": np.ones((1, 3))}, ids=["c"])
        FeatureStore(3 samples: image 3)
        """
        self.files.check_current()
        array = as_multimodal(blocks) if is_multimodal(blocks) else MultimodalArray(blocks)
        text = ids_text(ids)
        check_new_rows(self.files, array, text)
        check_ids(blocks, ids, "blocks")

        def finish(folder: Path) -> None:
            store = type(self)(folder)
            for name in self.metadata:
                add_rows(self.files, store.writer, store.files.manifest, name, array)

        grow(self.files, ids_text(self.ids) + text, may_be_replaced, finish)
        return self._reopen()

    def grow(self, ids: Sequence[Any]) -> Self:
        """Make room for more rows, which are not written yet: what a job does that goes on with a longer manifest.

        Parameters
        ----------
        ids : sequence of str
            Those of the new rows; those that are there already stay where they are.

        Returns
        -------
        FeatureStore
            This one, longer. Rows that are there stay; the end of each modality is open.

        Raises
        ------
        CacheError, CacheInUseError
            As of `extend`.
        ValueError
            Ids that cannot be used.
        """
        given = ids_text(ids).decode().split("\n")[:-1]
        with locked(self.path.with_name(f".{self.path.name}.grow"), remove=True):  # of several jobs the first one grows
            if not self.files.is_current:
                self._reopen()
            self.files.manifest.reload()  # a job may have begun another modality
            known = self.ids.tolist()
            new = given[len(known) :]
            if given[: len(known)] != known:
                there = set(known)
                new = [identifier for identifier in given if identifier not in there]
            if new:
                grow(self.files, ids_text([*known, *new]), may_be_replaced)
                self._reopen()
        return self

    def written(self, name: str) -> np.ndarray:
        """Return which rows of a modality are done and vouched for, with or without features.

        Parameters
        ----------
        name : str
            The modality.

        Returns
        -------
        ndarray of bool, shape (n_samples,)
        """
        if "range_rows" not in self.files.entry(name):
            return np.ones(self.n_samples, dtype=bool)
        found = np.zeros(self.n_samples, dtype=bool)
        for marker in self.files.markers(name).values():
            found[marker["start"] : marker["stop"]] = True
        return found

    def inputs(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return what was noted of what a job made each row of.

        Parameters
        ----------
        name : str
            The modality.

        Returns
        -------
        tuple of ndarray of uint64, shape (n_samples,), or None
            Numbers that stand for contents (0: none, or not made yet) and for the states of files; None where
            nothing was noted.
        """
        self.files.entry(name)
        noted = RowInputs(self.path, name, self.n_samples)
        return noted.read() if noted.exist else None

    def check_same_job(self, name: str, fingerprint: Mapping[str, Any], but: Sequence[str] = ()) -> None:
        """Refuse to go on with a modality that a different job has made; one that is not there is nobody's.

        Parameters
        ----------
        name : str
            The modality.
        fingerprint : mapping
            The job's.
        but : sequence of str
            Keys of the fingerprint that may differ.

        Raises
        ------
        FingerprintError
            The message shows the difference.
        """
        if name in self.metadata:
            before = self.metadata[name].get("fingerprint", {})
            made_by, now = ({key: each[key] for key in each if key not in but} for each in (before, fingerprint))
            check_fingerprint(self.path, name, made_by, now)

    def renew(
        self,
        name: str,
        fingerprint: Mapping[str, Any],
        changed: Iterable[int] = (),
        inputs: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Let a job with another fingerprint go on with a modality, once it has found out which rows are still right.

        Parameters
        ----------
        name : str
            The modality.
        fingerprint : mapping
            The job's. It takes the place of the one that is there.
        changed : iterable of int
            Rows that are to be made anew, beside those that are not written. Until they are, the modality is not
            finished.
        inputs : tuple of ndarray of uint64, shape (n_samples,), optional
            What the rows were made of, where that was not noted (see `RowWriter.commit`).
        """
        self.files.check_current()
        check_plain("fingerprint", fingerprint)
        with mutex(self.path):
            if inputs is not None:
                noted = RowInputs(self.path, name, self.n_samples)
                noted.make()
                noted.write(0, *inputs)
            note_changed(self.path, name, {*changed_rows(self.path, name), *changed})  # first: it is what a kill leaves
            manifest = self.files.manifest
            manifest.set_entry(name, {**self.files.entry(name), "fingerprint": plain(dict(fingerprint))})

    def _reopen(self) -> Self:
        fresh = self.open(self.path)
        self.files, self.ids = fresh.files, fresh.ids
        return self

    def writer(self, name: str, width: Width, **options: Any) -> RowWriter:
        """Return a resumable writer of one modality's rows.

        Parameters
        ----------
        name : str
            The modality, which may be new.
        width : int or (int, int)
            Columns of a row, or ``(tokens, dim)``.
        **options
            ``dtype`` (``"float16"``, ``"float32"``, ``"bfloat16"``, ...), ``fingerprint`` (what must be equal for
            a later writer to continue), ``metadata``, ``range_rows`` (fixed when the modality is created),
            ``shard=(i, n)``, ``inputs`` (note what rows are made of).

        Returns
        -------
        RowWriter
            Hands out the ranges that are not written yet.

        Raises
        ------
        CacheInUseError
            Another process is writing these rows.
        FingerprintError
            The modality was made by a different job; the message shows the difference.
        """
        self.files.check_current()
        return RowWriter(self.files.manifest, check_name(name), width, **options)


def may_be_replaced(path: Path) -> None:
    """Only a cache is overwritten, never a folder of something else, and none that is being written."""
    for name in read_manifest(path)["modalities"]:
        for holder in running(path, name):
            raise CacheInUseError(f"another job is writing modality {name!r} in {path}: {holder}; it is not replaced")
