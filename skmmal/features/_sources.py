"""Reading features that other programs wrote."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skmmal._paths import local_path
from skmmal.features._files import CacheError, read_json

__all__ = ["column", "is_list", "load_array", "read_arrays", "read_arrow", "read_sources"]

Blocks = dict[str, np.ndarray]


def read_sources(sources: Any, id_column: str) -> tuple[Blocks, list[str] | None, dict[str, str]]:
    """Return blocks, ids (where a source has them) and each block's origin."""
    if not isinstance(sources, Mapping):
        path = local_path(sources, "sources")
        blocks, ids = _read_all(path, id_column)
        return blocks, ids, {name: f"{path.name}:{name}" for name in blocks}
    if not sources:
        raise ValueError("sources is empty; at least one modality is needed")
    blocks, origin, ids, ids_from = {}, {}, None, None
    for name, source in sources.items():
        file, key = (source, name) if isinstance(source, str | os.PathLike) else source
        file = local_path(file, f"sources[{name!r}]")
        blocks[name], found = _read_one(file, key, id_column)
        origin[name] = file.name if file.suffix == ".npy" else f"{file.name}:{key}"
        if found is not None and ids is not None and found != ids:
            raise ValueError(f"{file} and {ids_from} have different ids; import them apart and join the caches")
        if found is not None:
            ids, ids_from = found, file
    return blocks, ids, origin


def _read_all(path: Path, id_column: str) -> tuple[Blocks, list[str] | None]:
    """Read every modality of a file; arrays that are no blocks (labels, names) are left alone."""
    if path.suffix == ".npy":
        raise ValueError(f"{path}: an .npy file has no names; pass a mapping such as {{'image': {str(path)!r}}}")
    if path.suffix in (".npz", ".safetensors"):
        arrays = read_arrays(path)
        blocks = {name: values for name, values in arrays.items() if _is_block(values)}
        ids = _ids(arrays.get(id_column))
    else:
        table = read_arrow(path)
        blocks = {name: column(path, table, name) for name in table.column_names if is_list(table, name)}
        ids = _ids(table[id_column].to_pylist() if id_column in table.column_names else None)
    if not blocks:
        raise CacheError(f"{path} holds no array of shape (n_samples, n_features) or (n_samples, tokens, dim)")
    return blocks, ids


def _read_one(path: Path, key: Any, id_column: str) -> tuple[np.ndarray, list[str] | None]:
    if path.suffix == ".npy":
        return load_array(path, mmap_mode="r"), None
    if path.suffix in (".npz", ".safetensors"):
        arrays = read_arrays(path)
        if key not in arrays:
            raise KeyError(f"{path} has no array {key!r}; it has {sorted(arrays)}")
        return arrays[key], _ids(arrays.get(id_column))
    table = read_arrow(path)
    ids = _ids(table[id_column].to_pylist() if id_column in table.column_names else None)
    if isinstance(key, list | tuple):
        return np.stack([column(path, table, name) for name in key], axis=1), ids
    return column(path, table, key), ids


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


def read_arrow(path: Path) -> Any:
    """Read Parquet (a file, or a folder of files), or a folder that ``datasets`` saved, as an Arrow table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if (path / "state.json").exists():
        state = read_json(path / "state.json")
        tables = []
        for entry in state["_data_files"]:
            file = path / Path(entry["filename"]).name
            with pa.memory_map(str(file)) as source:
                tables.append(pa.ipc.open_stream(source).read_all())
        table = pa.concat_tables(tables)
        indices = state.get("_indices_data_files")
        if indices:
            raise CacheError(f"{path} was saved with a row selection; call flatten_indices() before save_to_disk")
        return table
    if (path / "dataset_dict.json").exists():
        raise CacheError(f"{path} holds several splits; name one of them, such as {path / 'train'}")
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        return pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise CacheError(
            f"{path} is none of .npy, .npz, .safetensors, Parquet or a saved datasets folder ({error})"
        ) from None


def is_list(table: Any, name: str) -> bool:
    import pyarrow as pa

    kind = table.schema.field(name).type
    kind = getattr(kind, "storage_type", kind)
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
        if pa.types.is_floating(kind) or pa.types.is_integer(kind):
            return True
    return False


def column(path: Path, table: Any, name: str) -> np.ndarray:
    """Return a column as an array; a null row is missing, that is NaN."""
    if name not in table.column_names:
        raise KeyError(f"{path} has no column {name!r}; it has {table.column_names}")
    values = table[name].combine_chunks()
    if hasattr(values, "storage"):
        values = values.storage
    rows = [None if row is None else np.asarray(row) for row in values.to_numpy(zero_copy_only=False)]
    rows = [None if row is None else _dense(row) for row in rows]
    shapes = {row.shape for row in rows if row is not None}
    if len(shapes) != 1:
        raise CacheError(f"{path}: column {name!r} has rows of different shapes: {sorted(shapes)[:3]}")
    (shape,) = shapes
    dtype = np.result_type(*{row.dtype for row in rows if row is not None})
    if any(row is None for row in rows):
        dtype = np.result_type(dtype, np.float16)
    return np.stack([np.full(shape, np.nan, dtype) if row is None else row.astype(dtype) for row in rows])


def _dense(row: np.ndarray) -> np.ndarray:
    """Turn lists of lists, which Arrow gives as arrays of arrays, into one array."""
    return np.stack([_dense(part) for part in row]) if row.dtype == object else row
