"""`FeatureStore`: open, load, write, extend, join and check a feature cache."""

from __future__ import annotations

import hashlib
import os
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from skmmal._atomic import new_folder, put_back, replace_file
from skmmal._paths import local_path
from skmmal._rows import check_ids
from skmmal.features._files import (
    BFLOAT16,
    CacheError,
    check_name,
    decode_block,
    inside,
    mutex,
    open_npy,
    stored_dtype,
    sweep,
    write_json,
)
from skmmal.features._manifest import FORMAT, VERSION, Manifest, Width, read_manifest, width_of
from skmmal.features._ranges import (
    all_ranges,
    checksum,
    default_range_rows,
    errors_of,
    marker_file,
    read_markers,
    remarks_of,
)
from skmmal.features._sources import read_sources
from skmmal.features._writer import CacheInUseError, RowWriter, plain, running
from skmmal.modalities import MultimodalArray, as_multimodal, is_multimodal, presence_mask

OWN_KEYS = ("file", "present", "shape", "dtype", "range_rows", "fingerprint")
"""Keys of a manifest entry that this module writes; what else there is came with `metadata`."""
_TRIES = 1000
"""How often a cache may be replaced while it is being opened."""


class FeatureStore:
    """A folder of features: row *i* of every modality belongs to sample ``ids[i]``.

    ``manifest.json`` says what there is, ``ids.txt`` holds one sample id per line, ``NAME.npy`` the values of a
    modality, ``NAME.present.npy`` which rows have it. ``NAME.ranges.json`` vouches for the rows (checksums,
    failures); a cache without it, made by other means, can be read all the same. Nothing is ever unpickled.

    Make one with `open`, `create`, `write`, `join`, `subset` or `import_files`.

    Attributes
    ----------
    path : Path
    ids : ndarray of str, shape (n_samples,)
    n_samples : int
    modalities : dict of str to int or (int, int)
        Width of each modality, or ``(tokens, dim)`` of a token grid.
    metadata : dict of str to dict
        Each modality's entry in the manifest: shape, dtype, backbone, weights, preprocessing, fingerprint.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> blocks = {"image": np.zeros((3, 4), np.float16), "text": [[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]]}
    >>> store = FeatureStore.write(tempfile.mkdtemp() + "/features", blocks, ids=["a", "b", "c"])
    >>> store
    FeatureStore(3 samples: image 4, text 2)
    >>> store.load(rows=[0, 2])
    MultimodalArray(2 rows: image 4, text 2)
    >>> store.present("text")
    array([ True, False,  True])
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = local_path(path)
        self._identity = _identity(self.path)
        self._manifest = Manifest(self.path)
        self.ids = self._read_ids()
        self._kept: dict[tuple[str, str], Any] = {}  # what was opened: it stays readable when the cache is replaced

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}  # mapped arrays would be pickled as their values

    def __repr__(self) -> str:
        parts = (f"{n} {'×'.join(map(str, w)) if isinstance(w, tuple) else w}" for n, w in self.modalities.items())
        return f"FeatureStore({self.n_samples} samples: {', '.join(parts) or 'no modality yet'})"

    def __len__(self) -> int:
        return self.n_samples

    # ------------------------------------------------------------------------------------------------- reading

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> FeatureStore:
        """Open a cache and check that its files are what the manifest says.

        Parameters
        ----------
        path : path-like
            The folder.

        Returns
        -------
        FeatureStore

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
            before = _identity(place)
            try:
                store = cls(place)
                store._keep()
            except (CacheError, OSError):
                if _identity(put_back(given)) == before:
                    raise
                continue  # it was replaced while it was read
            if before == store._identity == _identity(place):
                return store
        raise CacheError(f"{given} is replaced again and again; it cannot be read meanwhile")

    def _keep(self) -> None:
        """Open and check every file."""
        for name in self.metadata:
            self._kept.update(
                {
                    ("values", name): self._values(name),
                    ("present", name): self._open_present(name),
                    ("markers", name): self._markers(name),
                }
            )

    def _replaced(self) -> bool:
        """Whether another cache stands at the path now."""
        return _identity(self.path) != self._identity

    def _check_current(self) -> None:
        if self._replaced():
            raise CacheError(f"{self.path} was replaced by another cache since it was opened; open it again")

    def _or_kept(self, what: str, name: str, read: Callable[[], Any]) -> Any:
        """Read a file of the cache; if another cache has taken its place, what was opened of this one."""
        try:
            found = read()
        except (CacheError, OSError):
            if not self._replaced():
                raise
            found = None
        if not self._replaced():
            return found
        if (what, name) not in self._kept:
            self._check_current()
        return self._kept[what, name]

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
        """
        names = self._names(modalities)
        if not names:
            raise CacheError(f"{self.path} holds no modality yet" if modalities is None else "modalities is empty")
        if rows is not None and not isinstance(rows, slice):
            rows = _row_numbers(rows, self.n_samples)
        unwritten = {name: left for name in names if (left := self.n_samples - self._rows_done(name))}
        if unwritten:
            warnings.warn(
                f"{self.path} is not finished: rows not written yet, and therefore NaN: {unwritten}. The command "
                "that was filling it resumes where it stopped",
                stacklevel=2,
            )
        blocks = {}
        for name in names:
            values = self._values(name) if name not in unwritten else self._without_torn_rows(name)
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
        if name is None:
            parts = [self.present(each) for each in self.metadata]
            return np.stack(parts, axis=1) if parts else np.zeros((self.n_samples, 0), dtype=bool)
        self._check_known(name)
        return self._or_kept("present", name, lambda: self._open_present(name))

    def _open_present(self, name: str) -> np.ndarray:
        path = self.metadata[name].get("present", f"{name}.present.npy")
        file = inside(self.path, path, f"modality {name!r}")
        return open_npy(file, (self.n_samples,), np.dtype(bool)).view(np.ndarray)

    def index(self, ids: Sequence[str]) -> np.ndarray:
        """Return the rows of some ids, in the order given; unknown ids are a ``KeyError`` with their number."""
        if isinstance(ids, str) or not isinstance(ids, Iterable):
            raise TypeError(f"ids must be a sequence of ids, got {ids!r}")
        ids = list(ids)
        row_of = {str(identifier): row for row, identifier in enumerate(self.ids)}
        unknown = [identifier for identifier in ids if str(identifier) not in row_of]
        if unknown:
            raise KeyError(f"{len(unknown)} ids are not in {self.path}, the first: {unknown[:3]}")
        return np.array([row_of[str(identifier)] for identifier in ids], dtype=np.intp)

    def errors(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return what failed, row by row, with its reason: the content of ``errors.jsonl``."""
        names = list(self.metadata) if name is None else [name]
        return [{"modality": n, **error} for n in names for error in errors_of(self._markers(n))]

    def remarks(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return what is doubtful about rows that are there (cut short, ...): the content of ``notes.jsonl``."""
        names = list(self.metadata) if name is None else [name]
        return [{"modality": n, **remark} for n in names for remark in remarks_of(self._markers(n))]

    def progress(self, name: str) -> dict[str, Any]:
        """Return how far a modality is, from what is on disk.

        Returns
        -------
        dict
            ``"done"`` rows, ``"seconds"`` by stage over the rows of the unfinished job, ``"running"`` (who is
            writing now), ``"seconds_left"`` at the pace of the last ranges, None where that cannot be told.
        """
        self._check_known(name)
        self._check_current()
        done = self._rows_done(name)
        seconds: dict[str, float] = {}
        for marker in self._markers(name).values():
            for stage, value in marker.get("seconds", {}).items():
                seconds[stage] = seconds.get(stage, 0.0) + value
        return {
            "done": done,
            "seconds": seconds,
            "running": running(self.path, name),
            "seconds_left": None if done == self.n_samples else self._seconds_left(name, self.n_samples - done),
        }

    def _seconds_left(self, name: str, rows_left: int) -> float | None:
        recent = []
        for marker in self._markers(name).values():
            with suppress(FileNotFoundError):
                written = marker_file(self.path, name, marker["range"]).stat().st_mtime
                recent.append((written, marker["stop"] - marker["start"]))
        recent = sorted(recent)[-20:]
        passed = recent[-1][0] - recent[0][0] if recent else 0.0
        return rows_left * passed / sum(rows for _, rows in recent[1:]) if passed > 0 else None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return self._manifest.n_samples

    @property
    def metadata(self) -> dict[str, dict[str, Any]]:
        """Manifest entry of each modality."""
        return self._manifest.modalities

    @property
    def modalities(self) -> dict[str, Width]:
        """Width of each modality, or ``(tokens, dim)`` of a token grid."""
        return {name: width_of(entry["shape"]) for name, entry in self.metadata.items()}

    # ------------------------------------------------------------------------------------------------- writing

    @classmethod
    def create(cls, path: str | os.PathLike[str], ids: Any) -> FeatureStore:
        """Make a cache without modalities, or open the one there if it has the same ids.

        Parameters
        ----------
        path : path-like
        ids : sequence of str
            One distinct id per sample, without line breaks.

        Returns
        -------
        FeatureStore

        Raises
        ------
        ValueError
            No ids, a repeated or unusable one, or a cache that holds other ids.
        FileExistsError
            `path` is not empty and not a cache.
        """
        path, text = put_back(local_path(path)), _ids_text(ids)
        path.mkdir(parents=True, exist_ok=True)
        with mutex(path):
            sweep(path, "manifest.json")
            sweep(path, "ids.txt")
            if (path / "manifest.json").exists():
                store = cls(path)
                if hashlib.sha256(text).hexdigest() != hashlib.sha256(_ids_text(store.ids)).hexdigest():
                    raise CacheError(_ids_difference(store, [str(identifier) for identifier in ids]))
                return store
            foreign = [entry.name for entry in path.iterdir() if entry.name not in (".lock", "ids.txt")]
            if foreign:
                raise FileExistsError(f"{path} is not empty and not a feature cache (it holds {foreign[0]!r})")
            with replace_file(path / "ids.txt") as file:
                file.write(text)
            digest = hashlib.sha256(text).hexdigest()
            content = {
                "format": FORMAT,
                "version": VERSION,
                "n_samples": text.count(b"\n"),
                "ids_sha256": digest,
            }
            write_json(path / "manifest.json", {**content, "modalities": {}})
        return cls(path)

    @classmethod
    def write(
        cls,
        path: str | os.PathLike[str],
        blocks: Any,
        ids: Sequence[Any],
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        overwrite: bool = False,
    ) -> FeatureStore:
        """Write a whole cache: it appears complete, or not at all.

        Parameters
        ----------
        path : path-like
            A folder that does not exist or is empty.
        blocks : mapping of str to array, MultimodalArray, or DataFrame with (modality, feature) columns
            A row of a modality that is entirely NaN is missing there.
        ids : sequence of str
        metadata : mapping of str to mapping, optional
            Name to what should be remembered: backbone, weights, preprocessing, ...
        overwrite : bool, default=False
            Replace a cache that is there. At every moment, also after a kill, there is the old one at `path` or the
            new one.

        Returns
        -------
        FeatureStore

        Raises
        ------
        ValueError
            `path` is a URL, ids or values that cannot be used.
        FileExistsError
            `path` holds something, and `overwrite` is false.
        CacheInUseError
            Another process is writing into the cache that is to be replaced.
        """
        path = local_path(path)
        array = as_multimodal(blocks) if is_multimodal(blocks) else MultimodalArray(blocks)
        _check_metadata(metadata, array.modalities)
        for name in array.modalities:
            check_name(name)
        n_ids = _ids_text(ids).count(b"\n")
        if n_ids != len(array):
            raise ValueError(f"blocks have {len(array)} rows, and there are {n_ids} ids; one id for each row is needed")
        check_ids(blocks, ids, "blocks")
        with new_folder(path, _may_be_replaced if overwrite else None) as folder:
            store = cls.create(folder, ids)
            for name, block in array.blocks.items():
                width = array.modalities[name]
                store._write_block(name, width, block, {}, (metadata or {}).get(name, {}))
        return cls.open(path)

    def append(
        self,
        name: str,
        block: Any,
        ids: Sequence[Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> FeatureStore:
        """Add a modality. Interrupted, the same call continues.

        Parameters
        ----------
        name : str
            A name that is not there yet.
        block : array-like of shape (n_samples, n_features) or (n_samples, tokens, dim)
        ids : sequence of str, optional
            Ids of the block's rows, in any order; they must be the cache's. Default: the cache's order.
        metadata : mapping, optional

        Returns
        -------
        FeatureStore
            This one.
        """
        self._check_current()
        array = MultimodalArray({check_name(name): block})
        check_ids(block, self.ids if ids is None else ids, f"modality {name!r}")
        block, width = array[name], array.modalities[name]
        rows = np.arange(len(block))
        if ids is not None:
            given = _ids_text(ids).decode().split("\n")[:-1]
            if len(given) != len(block):
                raise ValueError(f"modality {name!r} has {len(block)} rows and {len(given)} ids")
            at = {identifier: row for row, identifier in enumerate(given)}
            if len(at) != self.n_samples or any(identifier not in at for identifier in self.ids):
                raise CacheError(_ids_difference(self, given))
            rows = np.array([at[identifier] for identifier in self.ids], dtype=np.intp)
        if len(rows) != self.n_samples:
            raise ValueError(f"modality {name!r} has {len(rows)} rows, {self.path} has {self.n_samples} samples")
        content = 0
        for part in all_ranges(self.n_samples, default_range_rows(block[:1].nbytes)):
            chunk = np.ascontiguousarray(block[rows[part.start : part.stop]])
            _present_rows(name, chunk)  # what cannot be used is refused before anything is written
            content = zlib.crc32(chunk.data.cast("B"), content)
        self._write_block(name, width, block, {"appended": content}, metadata or {}, rows)
        return self

    def writer(self, name: str, width: Width, **options: Any) -> RowWriter:
        """Return a resumable writer of one modality's rows.

        Parameters
        ----------
        name : str
        width : int or (int, int)
            Columns of a row, or ``(tokens, dim)``.
        **options
            ``dtype`` (``"float16"``, ``"float32"``, ``"bfloat16"``, ...), ``fingerprint`` (what must be equal for
            a later writer to continue), ``metadata``, ``range_rows`` (fixed when the modality is created),
            ``shard=(i, n)``.

        Returns
        -------
        RowWriter

        Raises
        ------
        CacheInUseError
            Another process is writing these rows.
        FingerprintError
            The modality was made by a different job; the message shows the difference.
        """
        self._check_current()
        return RowWriter(self._manifest, check_name(name), width, **options)

    def join(self, other: FeatureStore, path: str | os.PathLike[str], how: str = "inner") -> FeatureStore:
        """Write a cache with the modalities of two, matched by id.

        Parameters
        ----------
        other : FeatureStore
            Its modalities must have other names.
        path : path-like
            The new folder.
        how : {"inner", "left", "outer"}, default="inner"
            Ids in both; all of this one's; all of this one's, then the other's. What one lacks is missing.

        Returns
        -------
        FeatureStore
        """
        path = local_path(path)
        if how not in ("inner", "left", "outer"):
            raise ValueError(f"how must be 'inner', 'left' or 'outer', got {how!r}")
        same = sorted({*self.metadata} & {*other.metadata})
        if same:
            raise ValueError(f"both caches have modality {same[0]!r}; a joined cache needs distinct names")
        mine, theirs = ({str(i): row for row, i in enumerate(store.ids)} for store in (self, other))
        ids = [i for i in mine if how != "inner" or i in theirs]
        ids += [i for i in theirs if how == "outer" and i not in mine]
        if not ids:
            raise ValueError(f"{self.path} and {other.path} have no id in common")
        with new_folder(path) as folder:
            new = type(self).create(folder, ids)
            for store, row_of in ((self, mine), (other, theirs)):
                store._copy_to(new, np.array([row_of.get(i, -1) for i in ids]), list(store.metadata))
        return self.open(path)

    def subset(
        self,
        path: str | os.PathLike[str],
        rows: Any = None,
        *,
        ids: Sequence[str] | None = None,
        modalities: Sequence[str] | None = None,
    ) -> FeatureStore:
        """Write a cache with some of the rows, or some of the modalities.

        Parameters
        ----------
        path : path-like
            The new folder.
        rows : slice, mask or array of int, optional
        ids : sequence of str, optional
            Instead of `rows`.
        modalities : sequence of str, optional

        Returns
        -------
        FeatureStore
        """
        path = local_path(path)
        if rows is not None and ids is not None:
            raise ValueError("give rows or ids, not both")
        numbers = self.index(ids) if ids is not None else _row_numbers(slice(None) if rows is None else rows, len(self))
        names = self._names(modalities)
        with new_folder(path) as folder:
            self._copy_to(type(self).create(folder, self.ids[numbers]), numbers, names)
        return self.open(path)

    @classmethod
    def import_files(
        cls,
        path: str | os.PathLike[str],
        sources: Any,
        *,
        ids: Sequence[Any] | None = None,
        id_column: str = "id",
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> FeatureStore:
        """Make a cache of features that are already on disk.

        Parameters
        ----------
        path : path-like
            The new folder.
        sources : path or mapping of str to path or (path, key)
            A ``.npz``, ``.safetensors`` or ``.parquet`` file or a Hugging Face ``datasets`` folder
            (``save_to_disk``) whose arrays, or columns of lists, are the modalities; or, per modality, such a file
            and what it is called there (default: the modality's name), or an ``.npy`` file. A key that is a list
            of column names puts scalar columns side by side.
        ids : sequence of str, optional
            Default: the array or column `id_column` of the first source that has one, else the row numbers.
        id_column : str, default="id"
        metadata : mapping, optional
            As in `write`. The file each modality came from is recorded in any case.

        Returns
        -------
        FeatureStore

        Examples
        --------
        >>> import tempfile, numpy as np
        >>> folder = tempfile.mkdtemp()
        >>> np.savez(folder + "/old.npz", id=["a", "b"], image=np.zeros((2, 3)), text=np.ones((2, 2)))
        >>> FeatureStore.import_files(folder + "/new", folder + "/old.npz")
        FeatureStore(2 samples: image 3, text 2)
        """
        path = local_path(path)
        blocks, found, origin = read_sources(sources, id_column)
        if ids is None:
            n_samples = len(next(iter(blocks.values())))
            ids = found if found is not None else [str(row) for row in range(n_samples)]
        notes = {name: {**{"imported_from": origin[name]}, **(metadata or {}).get(name, {})} for name in blocks}
        return cls.write(path, blocks, ids, notes)

    # ------------------------------------------------------------------------------------------------ checking

    def info(self) -> dict[str, Any]:
        """Return what the cache holds: sizes, dtypes, missing rows, failures, provenance. Plain types only."""
        self._check_current()
        modalities = {}
        for name, entry in self.metadata.items():
            markers, present = self._markers(name), self.present(name)
            done = self._rows_done(name)
            modalities[name] = {
                "shape": list(entry["shape"]),
                "dtype": entry["dtype"],
                "bytes": self._file(name).stat().st_size,
                "rows_done": done,
                "complete": done == self.n_samples,
                "present": int(present.sum()),
                "missing": int(self.n_samples - present.sum()) - (self.n_samples - done),
                "errors": sum(len(marker.get("errors", [])) for marker in markers.values()),
                "notes": _sum_notes(markers.values()),
                **{key: value for key, value in entry.items() if key not in OWN_KEYS},
                "fingerprint": entry.get("fingerprint", {}),
            }
            if done < self.n_samples:  # rows beyond the finished ranges may be there, and are not vouched for
                modalities[name]["missing"] = max(0, modalities[name]["missing"])
        return {
            "path": str(self.path),
            "format": FORMAT,
            "version": self._manifest.content["version"],
            "n_samples": self.n_samples,
            "bytes": sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file()),
            "modalities": modalities,
        }

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
        self._check_current()
        problems: list[str] = []
        report: dict[str, Any] = {}
        for name in self.metadata:
            try:
                report[name] = self._verify(name, checksum, problems)
            except CacheError as error:
                problems.append(str(error))
        return {"ok": not problems, "problems": problems, "modalities": report}

    def _verify(self, name: str, read_all: bool, problems: list[str]) -> dict[str, int]:
        entry, markers = self.metadata[name], self._markers(name)
        values, present = self._values(name), self.present(name)
        done = self._rows_done(name)
        if done < self.n_samples:
            problems.append(f"modality {name!r}: {self.n_samples - done} of {self.n_samples} rows are not written")
        for marker in markers.values():
            part = slice(marker["start"], marker["stop"])
            if int(present[part].sum()) != marker.get("present"):
                problems.append(f"modality {name!r}: rows {part.start} to {part.stop} changed their presence")
            elif read_all and checksum(values[part], present[part]) != marker["crc32"]:
                problems.append(f"modality {name!r}: the checksum of rows {part.start} to {part.stop} is wrong")
        report = {"done": done, "missing": int((~present).sum())}
        if not read_all:
            return report
        zero, seen, duplicates = 0, set(), 0
        floats = entry["dtype"] == BFLOAT16 or values.dtype.kind == "f"
        for piece in all_ranges(self.n_samples, default_range_rows(values[:1].nbytes)):
            rows = slice(piece.start, piece.stop)
            chunk = decode_block(np.array(values[rows]), entry["dtype"]).reshape(piece.stop - piece.start, -1)
            there = present[rows]
            if floats:
                nan = np.isnan(chunk)
                wrong = np.where(there, ~np.isfinite(chunk).all(axis=1), ~nan.all(axis=1))
                if wrong.any():
                    row = piece.start + int(np.flatnonzero(wrong)[0])
                    state = "is present but not finite" if present[row] else "is missing but not NaN"
                    problems.append(f"modality {name!r}: row {row} {state} ({int(wrong.sum())} such rows)")
            zero += int((there & ~chunk.any(axis=1)).sum())
            for row in chunk[there]:
                digest = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
                duplicates += digest in seen
                seen.add(digest)
        return {**report, "zero": zero, "duplicates": duplicates}

    # ------------------------------------------------------------------------------------------------ internals

    def _read_ids(self) -> np.ndarray:
        path = inside(self.path, "ids.txt", "the format")
        try:
            text = path.read_bytes()
            ids = text.decode().split("\n")
        except FileNotFoundError:
            raise CacheError(f"{path} is missing") from None
        except UnicodeDecodeError as error:
            raise CacheError(f"{path} is not UTF-8 text ({error})") from None
        ids = [identifier.removesuffix("\r") for identifier in (ids[:-1] if ids[-1] == "" else ids)]
        if len(ids) != self.n_samples:
            raise CacheError(f"{path} has {len(ids)} ids, the manifest says {self.n_samples}; one is truncated")
        if len(set(ids)) != len(ids):
            raise CacheError(f"{path} repeats an id")
        expected = self._manifest.content.get("ids_sha256")
        if expected is not None and hashlib.sha256(text).hexdigest() != expected:
            raise CacheError(f"{path} was changed since the features were made: its checksum is another")
        return np.array(ids, dtype=np.str_)

    def _names(self, modalities: Sequence[str] | None) -> list[str]:
        """Names of modalities, all by default."""
        if modalities is not None and (isinstance(modalities, str) or not isinstance(modalities, Iterable)):
            raise TypeError(f"modalities must be a list of names, got {modalities!r}")
        names = list(self.metadata) if modalities is None else list(modalities)
        for name in names:
            self._check_known(name)
        return names

    def _check_known(self, name: str) -> None:
        if name not in self.metadata:
            raise KeyError(f"unknown modality {name!r}; {self.path} has {list(self.metadata)}")

    def _file(self, name: str) -> Path:
        return inside(self.path, self.metadata[name]["file"], f"modality {name!r}")

    def _values(self, name: str, mode: str = "r") -> np.ndarray:
        entry = self.metadata[name]
        shape, dtype = tuple(entry["shape"]), stored_dtype(entry["dtype"])
        found = self._or_kept("values", name, lambda: open_npy(self._file(name), shape, dtype, mode))
        return np.array(found) if mode == "c" and not found.flags.writeable else found

    def _markers(self, name: str) -> dict[int, dict[str, Any]]:
        rows = self.metadata[name].get("range_rows")
        if rows is None:
            return {}
        ranges = all_ranges(self.n_samples, rows)
        return self._or_kept("markers", name, lambda: read_markers(self.path, name, ranges))

    def _rows_done(self, name: str) -> int:
        if "range_rows" not in self.metadata[name]:
            return self.n_samples
        return sum(marker["stop"] - marker["start"] for marker in self._markers(name).values())

    def _without_torn_rows(self, name: str) -> np.ndarray:
        """Return an unfinished modality with NaN in rows that a kill may have left half-written.

        Copy on write: the file keeps its bytes.
        """
        entry, present, done = self.metadata[name], self.present(name), self._markers(name)
        values = self._values(name, mode="c")
        empty = np.uint16(0x7FC0) if entry["dtype"] == BFLOAT16 else np.nan
        for part in all_ranges(self.n_samples, entry["range_rows"]):
            if part.index in done:
                continue
            absent = part.start + np.flatnonzero(~present[part.start : part.stop])
            chunk = decode_block(values[absent], entry["dtype"])
            if chunk.dtype.kind == "f":
                torn = absent[~np.isnan(chunk).all(axis=tuple(range(1, chunk.ndim)))]
                values[torn] = empty
        return values

    def _write_block(
        self,
        name: str,
        width: Width,
        block: np.ndarray,
        fingerprint: Mapping[str, Any],
        metadata: Mapping[str, Any],
        rows: np.ndarray | None = None,
    ) -> None:
        """Write a modality from an array in memory or memory-mapped."""

        def read(part: slice) -> tuple[np.ndarray, np.ndarray]:
            chunk = np.asarray(block[part if rows is None else rows[part]])
            return chunk, _present_rows(name, chunk)

        dtype = str(block.dtype.name)
        self._stream(name, width, dtype, read, fingerprint=fingerprint, metadata=metadata)

    def _stream(
        self,
        name: str,
        width: Width,
        dtype: str,
        read: Callable[[slice], tuple[np.ndarray, np.ndarray]],
        **options: Any,
    ) -> None:
        with self.writer(name, width, dtype=dtype, **options) as writer:
            for part in writer.pending():
                chunk, present = read(slice(part.start, part.stop))
                writer.commit(part, chunk.reshape(-1, *writer.shape[1:]), present)

    def _copy_to(self, new: FeatureStore, rows: np.ndarray, names: list[str]) -> None:
        """Copy modalities into a new cache; row -1 is a row that is missing there."""
        for name in names:
            entry = self.metadata[name]
            values = self._values(name) if self._rows_done(name) == self.n_samples else self._without_torn_rows(name)
            there = self.present(name)
            dtype = entry["dtype"]
            if (rows < 0).any() and dtype != BFLOAT16 and values.dtype.kind != "f":
                raise ValueError(f"modality {name!r}: dtype {dtype} cannot hold rows that are missing")

            def read(
                part: slice, values: np.ndarray = values, there: np.ndarray = there, dtype: str = dtype
            ) -> tuple[np.ndarray, np.ndarray]:
                chosen = rows[part]
                return decode_block(values[chosen], dtype), there[chosen] & (chosen >= 0)

            kept = {key: value for key, value in entry.items() if key not in OWN_KEYS}
            if entry.get("fingerprint"):
                kept["origin"] = entry["fingerprint"]
            new._stream(name, width_of(entry["shape"]), dtype, read, metadata=kept)


# ------------------------------------------------------------------------------------------------------- helpers


def _ids_text(ids: Iterable[Any]) -> bytes:
    """Return the content of ``ids.txt``, if the ids can stand there."""
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise TypeError(f"ids must be a sequence of ids, got {ids!r}")
    texts = [str(identifier) for identifier in ids]
    if not texts:
        raise ValueError("ids is empty; a cache needs at least one sample")
    seen: dict[str, int] = {}
    for row, identifier in enumerate(texts):
        if not identifier or "\n" in identifier or "\r" in identifier:
            raise ValueError(f"ids: row {row} has {identifier!r}; an id is a non-empty text without line breaks")
        if seen.setdefault(identifier, row) != row:
            raise ValueError(f"ids: {identifier!r} stands in row {seen[identifier]} and again in row {row}")
        if not identifier.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in identifier):
            raise ValueError(f"ids: row {row} has {identifier!r}, half of a character; it cannot be written as UTF-8")
    return ("\n".join(texts) + "\n").encode()


def _ids_difference(store: FeatureStore, given: list[str]) -> str:
    mine = [str(identifier) for identifier in store.ids]
    if set(mine) == set(given):
        what = "the same ids in another order"
    else:
        only = [i for i in given if i not in set(mine)][:3]
        lacking = [i for i in mine if i not in set(given)][:3]
        what = f"{len(given)} ids against {len(mine)}; only here: {only}; only in the cache: {lacking}"
    return f"the ids are not those of the cache {store.path}: {what}"


def _row_numbers(rows: Any, n_samples: int) -> np.ndarray:
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


def _present_rows(name: str, chunk: np.ndarray) -> np.ndarray:
    """Return which rows are not entirely NaN; a row that is partly NaN or infinite is an error."""
    flat = chunk.reshape(len(chunk), int(np.prod(chunk.shape[1:])))
    # the second block keeps a row without this modality from being called a row without any
    always = {f"beside {name}": np.zeros((len(flat), 1), dtype=np.int8)}
    return presence_mask(MultimodalArray({name: flat, **always}))[:, 0]


def _check_metadata(metadata: Mapping[str, Any] | None, names: Mapping[str, Any]) -> None:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise TypeError(f"metadata must map modalities to mappings, got {metadata!r}")
    for name, entry in (metadata or {}).items():
        if name not in names:
            raise ValueError(f"metadata names modality {name!r}; there are {list(names)}")
        plain(f"metadata of {name!r}", entry)
        clash = sorted({*entry} & {*OWN_KEYS})
        if clash:
            raise ValueError(f"metadata of {name!r} sets {clash[0]!r}, which the cache writes itself")


def _sum_notes(markers: Any) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for marker in markers:
        for key, value in marker.get("notes", {}).items():
            total[key] = total.get(key, 0) + value
    return total


def _may_be_replaced(path: Path) -> None:
    """Only a cache is overwritten, never a folder of something else, and none that is being written."""
    for name in read_manifest(path)["modalities"]:
        for holder in running(path, name):
            raise CacheInUseError(f"another job is writing modality {name!r} in {path}: {holder}; it is not replaced")


def _identity(path: Path) -> tuple[int, ...] | None:
    """What tells a cache from another one that takes its place; ``None`` where there is none."""
    try:
        folder, ids = path.stat(), (path / "ids.txt").stat()
    except OSError:
        return None
    return folder.st_dev, folder.st_ino, ids.st_ino, ids.st_mtime_ns
