"""Rows on their way into a cache: from arrays, and from other caches."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from skmmal.features._cache import CacheFiles
from skmmal.features._files import CacheError, decode_block, encode_block, holds_missing, stored_dtype
from skmmal.features._inputs import inputs_files
from skmmal.features._manifest import OWN_KEYS, Manifest, width_of
from skmmal.features._ranges import all_ranges
from skmmal.features._writer import RowWriter
from skmmal.modalities import MultimodalArray, presence_mask

Read = Callable[[slice], tuple[np.ndarray, np.ndarray]]
"""Gives values and presence of a cache's rows."""


def fill(writer: RowWriter, read: Read) -> None:
    """Write all rows that a writer has pending."""
    with writer:
        for part in writer.pending():
            values, present = read(slice(part.start, part.stop))
            writer.commit(part, values.reshape(-1, *writer.shape[1:]), present)


def rows_of_block(name: str, block: np.ndarray, order: np.ndarray | None = None) -> Read:
    """Rows of an array, in memory or mapped, in another order."""

    def read(part: slice) -> tuple[np.ndarray, np.ndarray]:
        values = np.ascontiguousarray(block[part if order is None else order[part]])
        return values, present_rows(name, values)

    return read


def copy_rows(files: CacheFiles, writer_of: Callable[..., RowWriter], rows: np.ndarray, names: Sequence[str]) -> None:
    """Copy modalities of a cache into a new one; row -1 is a row that is missing there."""
    for name in names:
        entry = files.entry(name)
        dtype = entry["dtype"]
        if (rows < 0).any() and not holds_missing(dtype):
            raise ValueError(f"modality {name!r}: dtype {dtype} cannot hold rows that are missing")
        metadata = {key: value for key, value in entry.items() if key not in OWN_KEYS}
        if entry.get("fingerprint"):
            metadata["origin"] = entry["fingerprint"]
        writer = writer_of(name, width_of(entry["shape"]), dtype=dtype, metadata=metadata)
        fill(writer, rows_of_cache(files, name, rows))


def rows_of_cache(files: CacheFiles, name: str, rows: np.ndarray) -> Read:
    """Rows of a cache, in another order; -1 is a row that is missing."""
    # rows that a kill has left half-written are not present, and the writer makes them NaN
    values, present, dtype = files.values(name), files.present(name), files.entry(name)["dtype"]

    def read(part: slice) -> tuple[np.ndarray, np.ndarray]:
        chosen = rows[part]
        return decode_block(values[chosen], dtype), present[chosen] & (chosen >= 0)

    return read


def rows_then(files: CacheFiles, name: str, more: Read) -> Read:
    """Rows of a cache, and behind them others."""
    before, n_before = rows_of_cache(files, name, np.arange(files.manifest.n_samples)), files.manifest.n_samples

    def read(part: slice) -> tuple[np.ndarray, np.ndarray]:
        middle = min(max(part.start, n_before), part.stop)
        parts = [before(slice(part.start, middle))] if middle > part.start else []
        if part.stop > middle:
            parts.append(more(slice(middle - n_before, part.stop - n_before)))
        values, present = zip(*parts, strict=True)
        shape = files.entry(name)["shape"][1:]
        return np.concatenate([each.reshape(-1, *shape) for each in values]), np.concatenate(present)

    return read


def no_rows(shape: Sequence[int], dtype: str) -> Read:
    """Rows that are all missing."""

    def read(part: slice) -> tuple[np.ndarray, np.ndarray]:
        n_rows = part.stop - part.start
        return decode_block(np.zeros((n_rows, *shape), stored_dtype(dtype)), dtype), np.zeros(n_rows, dtype=bool)

    return read


def present_rows(name: str, chunk: np.ndarray) -> np.ndarray:
    """Return which rows are not entirely NaN; a row that is partly NaN or infinite is an error."""
    flat = chunk.reshape(len(chunk), int(np.prod(chunk.shape[1:])))
    # the second block keeps a row without this modality from being called a row without any
    always = {f"beside {name}": np.zeros((len(flat), 1), dtype=np.int8)}
    return presence_mask(MultimodalArray({name: flat, **always}))[:, 0]


def check_new_rows(files: CacheFiles, array: MultimodalArray, ids: bytes) -> None:
    """Refuse rows that cannot stand behind those of a cache."""
    new = ids.decode().split("\n")[:-1]
    if len(new) != len(array):
        raise ValueError(f"blocks have {len(array)} rows, and there are {len(new)} ids; one id for each row is needed")
    known = {str(identifier) for identifier in files.ids}
    for row, identifier in enumerate(new):
        if identifier in known:
            raise ValueError(f"ids: row {row} has {identifier!r}, which {files.path} has already; ids must be distinct")
    for name in array.modalities:
        if name not in files.manifest.modalities:
            raise ValueError(
                f"modality {name!r} is not in {files.path}, which has {list(files.manifest.modalities)}; `append` adds "
                "a modality, `extend` rows"
            )
    for name, entry in files.manifest.modalities.items():
        left = files.manifest.n_samples - files.rows_done(name)
        if left:
            raise CacheError(
                f"modality {name!r} in {files.path} is not finished ({left} rows are left); finish it first"
            )
        if name not in array.modalities:
            if not holds_missing(entry["dtype"]):
                raise ValueError(
                    f"modality {name!r} is not in blocks, and its dtype {entry['dtype']} cannot hold missing rows"
                )
            continue
        if array.modalities[name] != width_of(entry["shape"]):
            raise ValueError(
                f"modality {name!r} has width {width_of(entry['shape'])} in {files.path}, blocks have "
                f"{array.modalities[name]}"
            )
        if not holds_missing(entry["dtype"]) and not np.can_cast(array[name].dtype, np.dtype(entry["dtype"])):
            raise ValueError(
                f"modality {name!r} is stored as {entry['dtype']}, which cannot hold blocks of {array[name].dtype}"
            )


def add_rows(
    files: CacheFiles, writer_of: Callable[..., RowWriter], manifest: Manifest, name: str, array: MultimodalArray
) -> None:
    """Fill the new rows of a modality that has grown."""
    entry = files.entry(name)
    dtype, made_by = entry["dtype"], entry.get("fingerprint", {})
    more = rows_of_block(name, array[name]) if name in array.modalities else no_rows(entry["shape"][1:], dtype)
    fill(writer_of(name, width_of(entry["shape"]), dtype=dtype, fingerprint=made_by), rows_then(files, name, more))
    if set(made_by) == {"appended"}:  # a checksum of all values, as `FeatureStore.append` makes it
        content = made_by["appended"]
        for part in all_ranges(len(array), entry["range_rows"]):
            values = encode_block(more(slice(part.start, part.stop))[0], dtype)
            content = zlib.crc32(values.data.cast("B"), content)
        manifest.set_entry(name, {**manifest.modalities[name], "fingerprint": {"appended": content}})
    elif made_by:
        for path in inputs_files(manifest.folder, name):
            path.unlink(missing_ok=True)
        manifest.set_entry(name, {**manifest.modalities[name], "origin": made_by, "fingerprint": {}})
