"""``manifest.json``: what a cache says it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skmmal._store import dumps, sweep, write_file
from skmmal.features._files import CacheError, check_name, inside, read_json, stored_dtype

FORMAT, VERSION = "skmmal-features", 1

OWN_KEYS = ("file", "present", "shape", "dtype", "range_rows", "fingerprint")
"""Keys of an entry that the cache writes itself; what else there is came with `metadata`."""

Width = int | tuple[int, int]


class Manifest:
    """The manifest of the cache in a folder, as it was when last read.

    Attributes
    ----------
    folder : Path
    content : dict
        Everything in the file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reload()

    def reload(self) -> None:
        """Read what is there now: other processes add modalities too."""
        self.content = read_manifest(self.folder)

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return self.content["n_samples"]

    @property
    def modalities(self) -> dict[str, dict[str, Any]]:
        """Entry of each modality."""
        return self.content["modalities"]

    def set_entry(self, name: str, entry: Mapping[str, Any]) -> None:
        """Put a modality in; the caller holds the folder's mutex."""
        self.reload()
        self.modalities[name] = dict(entry)
        sweep(self.folder, "manifest.json")
        write_file(self.folder / "manifest.json", dumps(self.content))


def width_of(shape: Sequence[int]) -> Width:
    """Columns of a row, or ``(tokens, dim)``, from the shape of a modality's file."""
    return shape[1] if len(shape) == 2 else (shape[1], shape[2])


def read_manifest(path: Path) -> dict[str, Any]:
    """Read and check ``manifest.json``."""
    file = path / "manifest.json"
    if not path.is_dir():
        raise CacheError(f"{path} is not a folder; a feature cache is a folder with a manifest.json")
    if not file.exists():
        raise CacheError(f"{path} is not a feature cache: it has no manifest.json")
    manifest = read_json(inside(path, "manifest.json", "the format"))
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise CacheError(f"{file} is not a feature cache's: its format is {found!r}, expected {FORMAT!r}")
    version = manifest.get("version")
    if not isinstance(version, int) or version < 1:
        raise CacheError(f"{file}: version must be a whole number, found {version!r}")
    if version > VERSION:
        raise CacheError(
            f"{file} has version {version}, written by a newer skmmal; this one reads up to {VERSION}: upgrade it"
        )
    n_samples, modalities = manifest.get("n_samples"), manifest.get("modalities")
    if not isinstance(n_samples, int) or n_samples < 1:
        raise CacheError(f"{file}: n_samples must be a positive whole number, found {n_samples!r}")
    if not isinstance(modalities, dict):
        raise CacheError(f"{file}: modalities must map names to entries, found {modalities!r}")
    for name, entry in modalities.items():
        _check_entry(file, name, entry, n_samples)
    return manifest


def _check_entry(file: Path, name: str, entry: Any, n_samples: int) -> None:
    where = f"{file}: modality {name!r}"
    try:
        check_name(name)
    except ValueError as error:
        raise CacheError(f"{file}: {error}") from None
    if not isinstance(entry, dict):
        raise CacheError(f"{where} must be an entry, found {entry!r}")
    shape = entry.get("shape")
    if not isinstance(shape, list) or len(shape) not in (2, 3) or not all(type(s) is int and s > 0 for s in shape):
        raise CacheError(f"{where}: shape must be [N, D] or [N, tokens, D], found {shape!r}")
    if shape[0] != n_samples:
        raise CacheError(f"{where}: shape {shape} does not fit n_samples {n_samples}")
    if not isinstance(entry.get("dtype"), str):
        raise CacheError(f"{where}: dtype must be a name, found {entry.get('dtype')!r}")
    stored_dtype(entry["dtype"])
    inside(file.parent, entry.get("file"), where)
    inside(file.parent, entry.get("present", f"{name}.present.npy"), where)
    rows = entry.get("range_rows", 1)
    if type(rows) is not int or rows < 1:
        raise CacheError(f"{where}: range_rows must be a positive whole number, found {rows!r}")
