"""Going on with a manifest that has changed: rows that are still right stay, the others are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skmmal.features import FeatureStore, FingerprintError
from skmmal.featurize._contents import NONE, content_number, stamp_number
from skmmal.featurize._manifest import Manifest

SHA = "manifest_sha256"


@dataclass(frozen=True)
class Extension:
    """What a job finds that goes on with a changed manifest.

    Parameters
    ----------
    new, changed, removed : int
        Rows that the cache did not have, rows whose text or file is another one, and rows of the cache that are no
        longer in the manifest.
    """

    new: int = 0
    changed: int = 0
    removed: int = 0

    def __str__(self) -> str:
        kept = f", {self.removed} no longer in the manifest (their features stay)" if self.removed else ""
        return f"{self.new} rows are new, {self.changed} have changed{kept}"


def grown(path: Path, manifest: Manifest, check: Any) -> tuple[FeatureStore, Manifest, Extension]:
    """Return the cache with room for the rows that it lacks, and the manifest in the cache's order.

    Parameters
    ----------
    path : Path
    manifest : Manifest
    check : callable
        Takes the cache, before anything is changed, and raises where it is another job's.
    """
    if not (path / "manifest.json").exists():
        return FeatureStore.create(path, manifest.ids), manifest, Extension(new=len(manifest.ids))
    store = FeatureStore.open(path)
    check(store)
    n_before = len(store)
    store.grow(manifest.ids)
    ordered = manifest.in_order_of([str(identifier) for identifier in store.ids])
    removed = sum(cell is None for cell in ordered.cells)
    return store, ordered, Extension(new=len(store) - n_before, removed=removed)


def renew(
    store: FeatureStore,
    name: str,
    fingerprint: dict[str, Any],
    manifest: Manifest,
    root: Path | None,
    mode: str,
    n_before: int,
) -> int:
    """Find the rows that are no longer right, and let the job go on with the others; return their number.

    Parameters
    ----------
    store : FeatureStore
    name : str
        The modality.
    fingerprint : dict
        The job's.
    manifest : Manifest
        In the cache's order.
    root : Path or None
        The folder that cells are relative to, if they name files.
    mode : {"stat", "content"}
        Whether the contents of a file count as known if its path, size and time are the same.
    n_before : int
        Rows that the cache had.
    """
    if name not in store.metadata:
        return 0
    noted = store.inputs(name)
    before = store.metadata[name]["fingerprint"].get(SHA, "")
    if noted is None:
        if manifest.rows_of(before) is None:
            raise FingerprintError(
                f"modality {name!r} in {store.path} was made by a version that did not note what its rows were made of,"
                " and the rows of its manifest are not the first ones of this one: which of them changed is not known. "
                "Give the former rows as they were, with the new ones behind them, or make the cache anew"
            )
        store.renew(name, fingerprint, inputs=_noted_now(store.written(name), manifest, root))
        return 0
    # texts that stand in the same manifest as before are not looked at one by one
    are_texts = root is None and all(type(cell) is str or cell is None for cell in manifest.cells)
    is_same = are_texts and manifest.sha256_of_first(n_before) == before
    changed = [] if is_same else list(_changed(store.written(name), noted, manifest, root, mode))
    store.renew(name, fingerprint, changed)
    return len(changed)


def _noted_now(written: np.ndarray, manifest: Manifest, root: Path | None) -> tuple[np.ndarray, np.ndarray]:
    contents, stamps = np.zeros((2, len(written)), dtype=np.uint64)
    for row in np.flatnonzero(written).tolist():
        cell = manifest.cells[row]
        if cell is not None:
            contents[row], stamps[row] = content_number(cell, root=root), stamp_number(cell, root)
    return contents, stamps


def _changed(
    written: np.ndarray, noted: tuple[np.ndarray, np.ndarray], manifest: Manifest, root: Path | None, mode: str
) -> Iterator[int]:
    contents, stamps = (numbers.tolist() for numbers in noted)
    for row in np.flatnonzero(written).tolist():
        cell = manifest.cells[row]
        if cell is None:
            continue
        if mode == "stat" and stamps[row] != NONE and stamp_number(cell, root) == stamps[row]:
            continue
        if content_number(cell, root=root) != contents[row]:
            yield row
