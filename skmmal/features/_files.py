"""Files that survive a kill, stay inside their folder, and are never pickles."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from skmmal._store import locked, parse_json, replace_file

BFLOAT16 = "bfloat16"
_BFLOAT16_NAN = np.uint16(0x7FC0)


class CacheError(ValueError):
    """A feature cache, or a file in it, is not what it should be.

    Examples
    --------
    >>> from skmmal.features import CacheError, FeatureStore
    >>> try:
    ...     FeatureStore.open("no-such-folder")
    ... except CacheError as error:
    ...     print("refused")
    refused
    """


def mutex(folder: Path) -> AbstractContextManager[None]:
    """Let one process at a time change what a folder's manifest says. Held briefly; a dead holder frees it."""
    return locked(folder / ".lock")


# ------------------------------------------------------------------------------------------------------ names


def check_name(name: object) -> str:
    """Return a modality's name if it can be part of a file's name."""
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w-]*", name):
        raise ValueError(
            f"modality {name!r} cannot name a file; use letters, digits, '_' and '-' (it becomes NAME.npy)"
        )
    return name


def inside(folder: Path, name: object, argument: str) -> Path:
    """Return the path of a file that a manifest names, if it lies in `folder` (symbolic links followed)."""
    if not isinstance(name, str) or not name:
        raise CacheError(f"{argument}: expected the name of a file in {folder}, found {name!r}")
    parts = re.split(r"[/\\]", name)
    path = folder / name
    if ".." in parts or Path(name).is_absolute() or ":" in parts[0] or parts[0] == "":
        raise CacheError(f"{argument} names {name!r}, which leaves the folder {folder}; refused")
    try:
        leaves, other = not path.resolve().is_relative_to(folder.resolve()), path.exists() and not path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a name too long, a null character
        raise CacheError(f"{argument} names {name[:100]!r}, which is no file: {error}") from None
    if leaves:
        raise CacheError(f"{argument} names {name!r}, a link that leaves the folder {folder}; refused")
    if other:  # a folder, or a pipe, which would block whoever reads it
        raise CacheError(f"{argument} names {name!r}, which is not a file")
    return path


def read_json(path: Path) -> Any:
    """Read JSON, with an error that names the file."""
    return parse_json(path, CacheError)


# -------------------------------------------------------------------------------------------------------- arrays


def allocate(path: Path, shape: tuple[int, ...], dtype: np.dtype, fill: Any, first: np.ndarray | None = None) -> None:
    """Write an .npy file of the rows `first` and then of constant `fill`, whole or not at all."""
    row = np.full(shape[1:], fill, dtype=dtype)
    step = max(1, min(shape[0], 2**24 // max(1, row.nbytes)))
    chunk = np.broadcast_to(row, (step, *shape[1:])).tobytes()
    with replace_file(path) as file:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        begin = 0 if first is None else len(first)
        for start in range(0, begin, step):
            file.write(np.ascontiguousarray(first[start : min(start + step, begin)]).data.cast("B"))  # type: ignore[index]
        for start in range(begin, shape[0], step):
            file.write(chunk[: min(step, shape[0] - start) * row.nbytes])


def open_npy(path: Path, shape: tuple[int, ...], dtype: np.dtype, mode: Any = "r") -> np.ndarray:
    """Memory-map an .npy file that must have this shape and dtype."""
    try:
        array = np.load(path, mmap_mode=mode, allow_pickle=False)
    except FileNotFoundError:
        raise CacheError(f"{path} is missing") from None
    except PermissionError:
        raise
    except Exception as error:  # a damaged header ends in all kinds of errors, of Python's tokenizer too
        raise CacheError(f"{path} is truncated, or not an .npy file of numbers ({error})") from None
    if not isinstance(array, np.memmap):
        raise CacheError(f"{path} is not an .npy file of numbers")
    if array.shape != shape or array.dtype != dtype:
        raise CacheError(f"{path} holds shape {array.shape}, dtype {array.dtype}; the manifest says {shape}, {dtype}")
    return array


def npy_offset(path: Path) -> int:
    """Return where the values of an .npy file begin."""
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, fortran, _ = read(file)
        if fortran:
            raise CacheError(f"{path} is stored by columns; rows cannot be written into it")
        return file.tell()


def stored_dtype(dtype: str) -> np.dtype:
    """Return the dtype in the .npy file: numpy has no bfloat16, so its bits are kept as uint16."""
    try:
        stored = np.dtype(np.uint16) if dtype == BFLOAT16 else np.dtype(dtype)
    except TypeError:
        raise CacheError(f"unknown dtype {dtype!r}") from None
    if stored.kind not in "biuf":
        raise CacheError(f"dtype {dtype!r} is not one of numbers")
    return stored


def holds_missing(dtype: str) -> bool:
    """Whether rows can be missing: the dtype has NaN."""
    return dtype == BFLOAT16 or np.dtype(dtype).kind == "f"


def empty_value(dtype: str) -> Any:
    """Return what stands in rows that are not written: NaN, or zero where the dtype has no NaN."""
    if dtype == BFLOAT16:
        return _BFLOAT16_NAN
    return np.nan if holds_missing(dtype) else 0


def encode_block(values: np.ndarray, dtype: str) -> np.ndarray:
    """Convert values to what the file stores (bfloat16: rounded to nearest even, as torch does)."""
    if dtype != BFLOAT16:
        return np.ascontiguousarray(values, dtype=np.dtype(dtype))
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), _BFLOAT16_NAN, rounded)


def decode_block(stored: np.ndarray, dtype: str) -> np.ndarray:
    """Undo `encode_block`; everything but bfloat16 (which becomes float32) is returned as it is."""
    if dtype != BFLOAT16:
        return stored
    return (np.asarray(stored).astype(np.uint32) << 16).view(np.float32)


def to_stored(where: str, first_row: int, values: np.ndarray, present: np.ndarray, dtype: str) -> np.ndarray:
    """Convert rows to what the file stores, NaN where they are missing; a row that cannot be stored is an error."""
    if not holds_missing(dtype):
        if not present.all():
            raise ValueError(f"{where}: dtype {dtype} cannot hold rows that are missing")
        return encode_block(values, dtype)
    with np.errstate(over="ignore"):
        stored = encode_block(np.where(present.reshape(-1, *[1] * (values.ndim - 1)), values, np.nan), dtype)
    finite = np.isfinite(decode_block(stored, dtype)).all(axis=tuple(range(1, stored.ndim)))
    unusable = np.flatnonzero(present & ~finite)
    if len(unusable):
        raise ValueError(
            f"{where}: row {first_row + unusable[0]} is not finite as {dtype} (a value is NaN, infinite, or too large "
            "for the dtype)"
        )
    return stored
