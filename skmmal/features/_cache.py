"""The files of a cache that is open: they stay what they were when another cache takes their place."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skmmal._store import digest, dumps
from skmmal.features._files import CacheError, decode_block, empty_value, inside, open_npy, stored_dtype
from skmmal.features._manifest import Manifest
from skmmal.features._ranges import Marker, all_ranges, read_markers, vouched


class CacheFiles:
    """The files of a cache, each opened and checked when it is asked for.

    Attributes
    ----------
    path : Path
    manifest : Manifest
    ids : ndarray of str, shape (n_samples,)
    identity : object
        What tells this cache from another one that takes its place.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = identity_of(path)
        self.manifest = Manifest(path)
        self.ids = _read_ids(self.manifest)
        self._kept: dict[tuple[str, str], Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}  # mapped arrays would be pickled as their values

    def keep(self) -> None:
        """Open and check every file; from now on they stay readable when the cache is replaced."""
        for name in self.manifest.modalities:
            for what, read in (("values", self.values), ("present", self.present), ("markers", self.markers)):
                self._kept[what, name] = read(name)

    @property
    def is_current(self) -> bool:
        """Whether what was opened still stands at the path."""
        return identity_of(self.path) == self.identity

    def check_current(self) -> None:
        """Raise if another cache stands at the path now."""
        if not self.is_current:
            raise CacheError(f"{self.path} was replaced by another cache since it was opened; open it again")

    def entry(self, name: str) -> dict[str, Any]:
        """A modality's entry in the manifest."""
        if name not in self.manifest.modalities:
            raise KeyError(f"unknown modality {name!r}; {self.path} has {list(self.manifest.modalities)}")
        return self.manifest.modalities[name]

    def names(self, modalities: Sequence[str] | None) -> list[str]:
        """Names of modalities, all by default."""
        if modalities is not None and (isinstance(modalities, str) or not isinstance(modalities, Iterable)):
            raise TypeError(f"modalities must be a list of names, got {modalities!r}")
        names = list(self.manifest.modalities) if modalities is None else list(modalities)
        for name in names:
            self.entry(name)
        return names

    def file(self, name: str) -> Path:
        """Where a modality's values are."""
        return inside(self.path, self.entry(name)["file"], f"modality {name!r}")

    def values(self, name: str, mode: str = "r") -> np.ndarray:
        """Map a modality's values, as they are stored."""
        entry = self.entry(name)
        shape, dtype = tuple(entry["shape"]), stored_dtype(entry["dtype"])
        found = self._or_kept("values", name, lambda: open_npy(self.file(name), shape, dtype, mode))
        return np.array(found) if mode == "c" and not found.flags.writeable else found

    def present(self, name: str) -> np.ndarray:
        """Map which rows have a modality."""
        path, shape = self.entry(name).get("present", f"{name}.present.npy"), (self.manifest.n_samples,)

        def read() -> np.ndarray:
            return open_npy(inside(self.path, path, f"modality {name!r}"), shape, np.dtype(bool)).view(np.ndarray)

        return self._or_kept("present", name, read)

    def markers(self, name: str) -> dict[int, Marker]:
        """Read what vouches for a modality's ranges."""
        rows = self.entry(name).get("range_rows")
        if rows is None:
            return {}
        ranges = all_ranges(self.manifest.n_samples, rows)
        return self._or_kept("markers", name, lambda: read_markers(self.path, name, ranges))

    def checksum(self) -> str | None:
        """Checksum of everything by those of the ranges: no value is read. ``None`` where some are not known."""
        found = []
        for name, entry in self.manifest.modalities.items():
            if "range_rows" not in entry:
                return None
            n_ranges = len(all_ranges(self.manifest.n_samples, entry["range_rows"]))
            ranges = vouched(self.path, name, self.file(name), self.markers(name), n_ranges)
            if ranges is None:
                return None
            found.append([name, entry["dtype"], list(entry["shape"]), entry["range_rows"], ranges])
        return digest(dumps(found))

    def rows_done(self, name: str) -> int:
        """Rows that are vouched for; all of a cache that was made by other means."""
        if "range_rows" not in self.entry(name):
            return self.manifest.n_samples
        return sum(marker["stop"] - marker["start"] for marker in self.markers(name).values())

    def without_torn_rows(self, name: str) -> np.ndarray:
        """Map an unfinished modality with NaN in rows that a kill may have left half-written.

        Copy on write: the file keeps its bytes.
        """
        entry, present, done = self.entry(name), self.present(name), self.markers(name)
        values = self.values(name, mode="c")
        for part in all_ranges(self.manifest.n_samples, entry["range_rows"]):
            if part.index in done:
                continue
            absent = part.start + np.flatnonzero(~present[part.start : part.stop])
            chunk = decode_block(values[absent], entry["dtype"])
            if chunk.dtype.kind == "f":
                torn = absent[~np.isnan(chunk).all(axis=tuple(range(1, chunk.ndim)))]
                values[torn] = empty_value(entry["dtype"])
        return values

    def _or_kept(self, what: str, name: str, read: Callable[[], Any]) -> Any:
        """Read a file of the cache; if another cache has taken its place, what was opened of this one."""
        try:
            found = read()
        except (CacheError, OSError):
            if self.is_current:
                raise
        else:
            if self.is_current:
                return found
        if (what, name) not in self._kept:
            self.check_current()
        return self._kept[what, name]


def identity_of(path: Path) -> tuple[int, ...] | None:
    """What tells a cache from another one that takes its place; ``None`` where there is none."""
    try:
        folder, ids = path.stat(), (path / "ids.txt").stat()
    except OSError:
        return None
    return folder.st_dev, folder.st_ino, ids.st_ino, ids.st_mtime_ns


# ------------------------------------------------------------------------------------------------------------ ids


def _read_ids(manifest: Manifest) -> np.ndarray:
    path = inside(manifest.folder, "ids.txt", "the format")
    try:
        text = path.read_bytes()
        ids = text.decode().split("\n")
    except FileNotFoundError:
        raise CacheError(f"{path} is missing") from None
    except UnicodeDecodeError as error:
        raise CacheError(f"{path} is not UTF-8 text ({error})") from None
    ids = [identifier.removesuffix("\r") for identifier in (ids[:-1] if ids[-1] == "" else ids)]
    if len(ids) != manifest.n_samples:
        raise CacheError(f"{path} has {len(ids)} ids, the manifest says {manifest.n_samples}; one is truncated")
    if len(set(ids)) != len(ids):
        raise CacheError(f"{path} repeats an id")
    expected = manifest.content.get("ids_sha256")
    if expected is not None and hashlib.sha256(text).hexdigest() != expected:
        raise CacheError(f"{path} was changed since the features were made: its checksum is another")
    return np.array(ids, dtype=np.str_)


def ids_text(ids: Iterable[Any]) -> bytes:
    """Return the content of ``ids.txt``, if the ids can stand there."""
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise TypeError(f"ids must be a sequence of ids, got {ids!r}")
    texts = [str(identifier) for identifier in ids]
    if not texts:
        raise ValueError("ids is empty; a cache needs at least one sample")
    content = "\n".join(texts) + "\n"
    if len(set(texts)) == len(texts) and all(texts) and "".join(texts).isprintable():  # millions, as a rule
        return content.encode()
    seen: dict[str, int] = {}
    for row, identifier in enumerate(texts):
        if not identifier or "\n" in identifier or "\r" in identifier:
            raise ValueError(f"ids: row {row} has {identifier!r}; an id is a non-empty text without line breaks")
        if seen.setdefault(identifier, row) != row:
            raise ValueError(f"ids: {identifier!r} stands in row {seen[identifier]} and again in row {row}")
        if not identifier.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in identifier):
            raise ValueError(f"ids: row {row} has {identifier!r}, half of a character; it cannot be written as UTF-8")
    return content.encode()


def refuse_other_ids(path: Path, mine: Iterable[str], given: list[str]) -> None:
    """Raise an error that shows how ids differ from those of a cache."""
    mine = [str(identifier) for identifier in mine]
    what = "the same ids in another order"
    if set(mine) != set(given):
        only = [i for i in given if i not in set(mine)][:3]
        lacking = [i for i in mine if i not in set(given)][:3]
        what = f"{len(given)} ids against {len(mine)}; only here: {only}; only in the cache: {lacking}"
    raise CacheError(f"the ids are not those of the cache {path}: {what}")
