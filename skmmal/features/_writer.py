"""The resumable writer: rows of one modality, range by range, safe to kill at any moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from skmmal._arrays import numeric
from skmmal._store import dumps, explained, write_file
from skmmal.features._claims import claimed, claims
from skmmal.features._files import decode_block, mutex, npy_offset, open_npy, stored_dtype, to_stored
from skmmal.features._inputs import RowInputs, changed_rows, note_changed
from skmmal.features._manifest import Manifest, Width, read_manifest
from skmmal.features._modality import check_options, check_plain, check_width, entry_of, make_files, refuse_foreign
from skmmal.features._ranges import (
    Marker,
    Range,
    all_ranges,
    checksum,
    finish,
    marker_file,
    read_markers,
    recorded,
    shard_ranges,
    write_range,
    write_remarks,
)


class RowWriter:
    """Writes the rows of one modality, range by range. Made by `FeatureStore.writer`.

    A range is committed in this order: values, flush; presence, flush; marker, flush, rename. A kill between any
    two steps leaves a range without a valid marker, which the next writer hands out again.

    Parameters
    ----------
    manifest : object
        The cache's, as `FeatureStore.writer` gives it.
    name : str
        The modality.
    width : int or (int, int)
        Columns of a row, or ``(tokens, dim)``.
    dtype : str, default="float16"
        Dtype of the stored values.
    fingerprint : mapping, optional
        What must be equal for a later writer to continue.
    metadata : mapping, optional
        What should be remembered of the modality.
    range_rows : int, optional
        Rows of a range, fixed when the modality is created. Default: about 32 MB of them.
    shard : (int, int), default=(0, 1)
        Which part of how many this writer fills.
    inputs : bool, default=False
        Keep a number for each row that stands for what it was made of (see `commit`), so that later jobs can tell
        which rows are still right.

    Attributes
    ----------
    ranges : list of Range
        The ranges of this writer's shard.
    width : int or (int, int)
        Columns of a row, or ``(tokens, dim)``.
    dtype : str
        Dtype of the stored values.
    changed : list of int
        Rows of the shard that are to be made anew although they are there (see `FeatureStore.renew`).

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from skmmal.features import FeatureStore
    >>> store = FeatureStore.create(tempfile.mkdtemp() + "/cache", ids=["a", "b", "c"])
    >>> with store.writer("image", 2, dtype="float32", range_rows=2) as writer:
    ...     for rows in writer.pending():
    ...         writer.commit(rows, np.ones((rows.stop - rows.start, 2)))
    >>> FeatureStore.open(store.path).load()
    MultimodalArray(3 rows: image 2)
    """

    def __init__(
        self,
        manifest: Manifest,
        name: str,
        width: Width,
        *,
        dtype: str = "float16",
        fingerprint: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        range_rows: int | None = None,
        shard: tuple[int, int] = (0, 1),
        inputs: bool = False,
    ) -> None:
        self.width = check_width(width)
        check_options(dtype, range_rows, shard)
        check_plain("fingerprint", fingerprint)
        check_plain("metadata", metadata)
        self.folder, self.name, self.dtype = manifest.folder, name, dtype
        self.shape = (manifest.n_samples, *(self.width if isinstance(self.width, tuple) else (self.width,)))
        with ExitStack() as stack:
            with mutex(self.folder):
                entry = entry_of(manifest, name, self.shape, dtype, fingerprint or {}, metadata or {}, range_rows)
                if name not in manifest.modalities:
                    refuse_foreign(self.folder, name, entry)
                self._all = all_ranges(manifest.n_samples, entry["range_rows"])
                self.ranges = shard_ranges(self._all, shard)
                stack.enter_context(claimed(self.folder, name, self.ranges))
                make_files(manifest, name, entry)
                self._inputs = RowInputs(self.folder, name, manifest.n_samples)
                if inputs:
                    self._inputs.make()
                changed = changed_rows(self.folder, name)
            self._file, self._present_file = self.folder / entry["file"], self.folder / entry["present"]
            self._offset, self._present_offset = npy_offset(self._file), npy_offset(self._present_file)
            self._values = open_npy(self._file, self.shape, stored_dtype(dtype))
            self._present = open_npy(self._present_file, self.shape[:1], np.dtype(bool))
            markers = read_markers(self.folder, name, self._all)
            self._done = {part.index: markers[part.index] for part in self.ranges if self._vouches(markers, part)}
            self._claim = stack.pop_all()
        mine = {row for part in self.ranges for row in range(part.start, part.stop)} if changed else set()
        self.changed = sorted(mine.intersection(changed))
        self._remade = set[int]()
        self._closed = False

    def _vouches(self, markers: dict[int, Marker], part: Range) -> bool:
        """Whether a range has a marker, and still holds what that says."""
        rows, marker = slice(part.start, part.stop), markers.get(part.index)
        return marker is not None and checksum(self._values[rows], self._present[rows]) == marker["crc32"]

    def pending(self) -> list[Range]:
        """Return the ranges of this shard that are not done.

        Returns
        -------
        list of Range
            In the order of the rows.
        """
        return [rows for rows in self.ranges if rows.index not in self._done]

    @property
    def rows_done(self) -> int:
        """Rows of this shard that are done."""
        return sum(rows.stop - rows.start for rows in self.ranges if rows.index in self._done)

    @property
    def rows_present(self) -> int:
        """Rows of this shard that have values, those of unfinished ranges too."""
        return sum(int(self._present[rows.start : rows.stop].sum()) for rows in self.ranges)

    def errors(self) -> list[dict[str, Any]]:
        """Return the failures recorded in this shard, in the order of the rows.

        Returns
        -------
        list of dict
            As `commit` was given them.
        """
        return list(recorded(self._done, "errors"))

    def remarks(self) -> list[dict[str, Any]]:
        """Return what was remarked about rows of this shard, in their order.

        Returns
        -------
        list of dict
            As `commit` was given them.
        """
        return list(recorded(self._done, "remarks"))

    def notes(self, rows: Range) -> dict[str, Any]:
        """Return the notes of a range that is done.

        Parameters
        ----------
        rows : Range
            One of `ranges`.

        Returns
        -------
        dict
            As `commit` was given them.
        """
        return dict(self._done.get(rows.index, {}).get("notes", {}))

    def noted(self, rows: Range) -> tuple[np.ndarray, np.ndarray]:
        """Return what was noted of what the rows of a range were made of.

        Parameters
        ----------
        rows : Range
            One of `ranges`.

        Returns
        -------
        tuple of ndarray of uint64, shape (n_rows,)
            As `commit` was given them; zeros where it was not.
        """
        contents, stamps = self._inputs.read()
        return contents[rows.start : rows.stop], stamps[rows.start : rows.stop]

    def range_of(self, row: int) -> Range:
        """Return the range that a row lies in.

        Parameters
        ----------
        row : int
            A row of the cache.

        Returns
        -------
        Range
            Of any shard.
        """
        return self._all[row // (self._all[0].stop - self._all[0].start)]

    def read(self, rows: Range) -> tuple[np.ndarray, np.ndarray]:
        """Return copies of a range's values and presence, as they are on disk.

        Parameters
        ----------
        rows : Range
            One of `ranges`.

        Returns
        -------
        tuple of ndarray
            Values of shape ``(n_rows, *width)``, and presence of shape ``(n_rows,)``.
        """
        part = slice(rows.start, rows.stop)
        return np.array(decode_block(self._values[part], self.dtype)), np.array(self._present[part])

    def commit(
        self,
        rows: Range,
        values: np.ndarray,
        present: np.ndarray | None = None,
        *,
        errors: Iterable[Mapping[str, Any]] = (),
        remarks: Iterable[Mapping[str, Any]] = (),
        notes: Mapping[str, Any] | None = None,
        seconds: Mapping[str, float] | None = None,
        inputs: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Write a range, and vouch for it.

        Parameters
        ----------
        rows : Range
            One of `ranges`.
        values : ndarray of shape ``(n_rows, *width)``
            Rows that are not present are written as NaN whatever they hold. Fewer rows than the range has are
            written without a marker: the range will be handed out again.
        present : ndarray of bool, shape (n_rows,), optional
            Default: all.
        errors : iterable of mappings
            One per failed row; `errors.jsonl` is made of them.
        remarks : iterable of mappings
            About rows that are there and doubtful; `notes.jsonl` is made of them.
        notes, seconds : mapping, optional
            Facts about the rows, and what they cost, for `info` and ``status``.
        inputs : tuple of ndarray of uint64, shape (n_rows,), optional
            For each row a number that stands for the contents it was made of, 0 where there were none, and one for
            the state of its file (path, size, time).

        Raises
        ------
        ValueError
            Wrong shape, an infinity, or NaN in a row that is present; nothing is written then.
        OSError
            The disk is full or may not be written; the cache stays resumable.
        """
        values = numeric(values, f"the values of modality {self.name!r}")
        n_rows = len(values) if values.ndim else 0
        if values.shape[1:] != self.shape[1:] or not 0 < n_rows <= rows.stop - rows.start:
            raise ValueError(
                f"modality {self.name!r}: rows {rows.start} to {rows.stop} have shape "
                f"{(rows.stop - rows.start, *self.shape[1:])}, got {values.shape}"
            )
        present = np.ones(n_rows, dtype=bool) if present is None else numeric(present, "present").astype(bool)
        if present.shape != (n_rows,):
            raise ValueError(f"present must have shape ({n_rows},), one for each row, found {present.shape}")
        stored = to_stored(f"modality {self.name!r}", rows.start, values, present, self.dtype)
        marker: Marker = {
            "range": rows.index,
            "start": rows.start,
            "stop": rows.stop,
            "crc32": checksum(stored, present),
            "present": int(present.sum()),
        }
        parts = {"errors": [*errors], "remarks": [*remarks], "notes": {**(notes or {})}, "seconds": {**(seconds or {})}}
        marker.update((key, value) for key, value in parts.items() if value)
        try:
            write_range(self._file, self._offset, rows.start, stored)
            write_range(self._present_file, self._present_offset, rows.start, present)
            if inputs is not None:
                self._inputs.write(rows.start, *inputs)
        except OSError as error:
            raise explained(error, self._file) from error
        if n_rows == rows.stop - rows.start:
            write_file(marker_file(self.folder, self.name, rows.index), dumps(marker))
            self._done[rows.index] = marker
            self._remade.update(row for row in self.changed if rows.start <= row < rows.stop)
            self.changed = [row for row in self.changed if row not in self._remade]

    # ------------------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        """Free the rows for others; the last to close a complete modality turns its markers into one file."""
        if self._closed:
            return
        self._closed = True
        with self._claim, mutex(self.folder):
            self._claim.close()
            markers = read_markers(self.folder, self.name, self._all)
            changed = set(changed_rows(self.folder, self.name)) - self._remade
            note_changed(self.folder, self.name, changed)
            if len(markers) == len(self._all) and not changed and not claims(self.folder, self.name):
                finish(self.folder, self.name, markers)
            manifest = read_manifest(self.folder)  # others add modalities, too
            write_remarks(self.folder, manifest["n_samples"], manifest["modalities"])

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        try:
            self.close()
        except OSError:
            if kind is None or not issubclass(kind, OSError):  # else a full disk is told once, and where it began
                raise
