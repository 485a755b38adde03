"""Reading features that other programs wrote."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skmmal._paths import local_path
from skmmal.features._arrow import ArrowTable
from skmmal.features._files import CacheError

__all__ = ["load_array", "read_arrays", "read_sources"]

Blocks = dict[str, np.ndarray]


def read_sources(sources: Any, id_column: str, room: Path) -> tuple[Blocks, list[str] | None, dict[str, str]]:
    """Return blocks, ids (where a source has them) and each block's origin; `room` is for what must go to the disk."""
    if not isinstance(sources, Mapping):
        path = local_path(sources, "sources")
        blocks, ids = _read_all(path, id_column, room)
        return blocks, ids, {name: f"{path.name}:{name}" for name in blocks}
    if not sources:
        raise ValueError("sources is empty; at least one modality is needed")
    blocks, origin, ids, ids_from = {}, {}, None, None
    for name, source in sources.items():
        file, key = (source, name) if isinstance(source, str | os.PathLike) else source
        file = local_path(file, f"sources[{name!r}]")
        blocks[name], found = _read_one(file, key, id_column, room)
        origin[name] = file.name if file.suffix == ".npy" else f"{file.name}:{key}"
        if found is not None and ids is not None and found != ids:
            raise ValueError(f"{file} and {ids_from} have different ids; import them apart and join the caches")
        if found is not None:
            ids, ids_from = found, file
    return blocks, ids, origin


def _read_all(path: Path, id_column: str, room: Path) -> tuple[Blocks, list[str] | None]:
    """Read every modality of a file; arrays that are no blocks (labels, names) are left alone."""
    if path.suffix == ".npy":
        raise ValueError(f"{path}: an .npy file has no names; pass a mapping such as {{'image': {str(path)!r}}}")
    if path.suffix in (".npz", ".safetensors"):
        arrays = read_arrays(path)
        blocks = {name: values for name, values in arrays.items() if _is_block(values)}
        ids = _ids(arrays.get(id_column))
    else:
        table = ArrowTable(path)
        blocks = {name: table.column(name, room) for name in table.column_names if table.holds_vectors(name)}
        ids = table.ids(id_column)
    if not blocks:
        raise CacheError(f"{path} holds no array of shape (n_samples, n_features) or (n_samples, tokens, dim)")
    return blocks, ids


def _read_one(path: Path, key: Any, id_column: str, room: Path) -> tuple[np.ndarray, list[str] | None]:
    if path.suffix == ".npy":
        return load_array(path, mmap_mode="r"), None
    if path.suffix in (".npz", ".safetensors"):
        arrays = read_arrays(path)
        if key not in arrays:
            raise KeyError(f"{path} has no array {key!r}; it has {sorted(arrays)}")
        return arrays[key], _ids(arrays.get(id_column))
    table = ArrowTable(path)
    if isinstance(key, list | tuple):
        return np.stack([table.column(name, room) for name in key], axis=1), table.ids(id_column)
    return table.column(key, room), table.ids(id_column)


def _is_block(values: np.ndarray) -> bool:
    return values.ndim in (2, 3) and values.dtype.kind in "biuf"


def _ids(values: Any) -> list[str] | None:
    return None if values is None else [str(value) for value in values]


def load_array(path: Path, **options: Any) -> Any:
    try:
        return np.load(path, allow_pickle=False, **options)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged header ends in all kinds of errors, of Python's tokenizer too
        raise CacheError(f"{path} cannot be read: {error}; pickled objects are never loaded") from None


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    with load_array(path) as archive:
        arrays = {}
        for name in archive.files:
            try:
                arrays[name] = archive[name]
            except ValueError as error:
                raise CacheError(f"{path}: array {name!r} cannot be read: {error}") from None
        return arrays


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import safe_open

    if not path.exists():
        raise FileNotFoundError(path)
    with safe_open(path, framework="pt") as file:  # numpy's reader has no bfloat16
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    return {
        name: (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
        for name, tensor in tensors.items()
    }
