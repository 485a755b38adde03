"""Folders of safetensors and JSON: nothing that is loaded can run code."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from skmmal._paths import local_path
from skmmal._store import check_format, check_seal, digest, fsync_folder, locked, parse_json, sealed, sweep, write_file

_DESCRIPTION, _WEIGHTS = "estimator.json", "weights.safetensors"
_NEXT = "weights.next.safetensors"
"""The new weights, from when they are whole until they have taken the old ones' name."""


def write_folder(path: str | os.PathLike, description: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a description and arrays so that a reader sees the old pair or the new pair, also after a kill.

    The description says which weights are its own, so that putting it in place is what replaces the old pair.
    """
    folder = local_path(path)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; give a folder")
    if folder.is_dir() and not (folder / _DESCRIPTION).is_file() and any(map(_is_foreign, folder.iterdir())):
        raise FileExistsError(f"{folder} holds other files; give a new folder or one written by save")
    weights = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    text = json.dumps(sealed({**description, "weights_sha256": digest(weights)}), indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", remove=True):
        _settle(folder)
        write_file(folder / _NEXT, weights)
        write_file(folder / _DESCRIPTION, text.encode())
        os.replace(folder / _NEXT, folder / _WEIGHTS)
        fsync_folder(folder)


def _is_foreign(path: Path) -> bool:
    """Whether no save that was killed, or runs, has left a file."""
    return not path.name.startswith(".") and path.name != _NEXT


def _settle(folder: Path) -> None:
    """Give the weights of a save that was killed their name, if the description is theirs already."""
    for name in (_NEXT, _DESCRIPTION):
        sweep(folder, name)
    if (folder / _NEXT).is_file() and (folder / _DESCRIPTION).is_file():
        with suppress(ValueError):
            if digest((folder / _NEXT).read_bytes()) == parse_json(folder / _DESCRIPTION).get("weights_sha256"):
                os.replace(folder / _NEXT, folder / _WEIGHTS)


def read_folder(
    path: str | os.PathLike, format_name: str, version: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write_folder` wrote; `ValueError` says what is wrong with the folder."""
    folder = local_path(path)
    before = None
    while True:
        description = _read_description(folder, format_name, version)
        for name in (_WEIGHTS, _NEXT):
            with suppress(FileNotFoundError):
                if not (folder / name).is_file():  # a pipe would block for ever
                    continue
                weights = (folder / name).read_bytes()
                if digest(weights) == description.get("weights_sha256"):
                    return description, _arrays(folder / name, weights)
        if description == before:
            if not (folder / _WEIGHTS).is_file():
                raise ValueError(f"{folder} holds no {_WEIGHTS}")
            raise ValueError(f"{folder / _WEIGHTS} is damaged or belongs to another save: its checksum differs")
        before = description  # perhaps another process saves there: once more


def _read_description(folder: Path, format_name: str, version: int) -> dict[str, Any]:
    if not (folder / _DESCRIPTION).is_file():
        raise FileNotFoundError(f"{folder} holds no {_DESCRIPTION}; it was not written by save")
    description = parse_json(folder / _DESCRIPTION)
    check_format(description, folder / _DESCRIPTION, format_name, version)
    if description["version"] > 1:  # the first version had no checksum of the description
        check_seal(description, folder / _DESCRIPTION)
    return description


def _arrays(path: Path, weights: bytes) -> dict[str, np.ndarray]:
    try:
        return load(weights)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from None


def encode(name: str, value: Any, is_saved: Callable[[Any], bool] = lambda value: False) -> Any:
    """Turn a parameter into JSON; tuples and slices are marked so that they come back as they were.

    Objects that `is_saved` says yes to are written as the class's name and the object's parameters.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):  # strict JSON has no word for it
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return {"tuple": [encode(name, part, is_saved) for part in value]}
    if isinstance(value, slice):
        return {"slice": [encode(name, part) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, np.ndarray):
        if value.dtype == object and not all(isinstance(item, str) for item in value.ravel()):
            raise TypeError(f"{name} holds objects that are not strings; they cannot be saved without pickle")
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, list):
        return [encode(name, part, is_saved) for part in value]
    if isinstance(value, dict):
        return {"dict": [[encode(name, key), encode(name, part, is_saved)] for key, part in value.items()]}
    if is_saved(value):
        params = value.get_params(deep=False)
        return {
            "object": type(value).__name__,
            "params": {key: encode(f"{name}__{key}", part, is_saved) for key, part in params.items()},
        }
    raise TypeError(f"{name}={value!r} cannot be saved without pickle; set it to a plain value before saving")


def decode(value: Any, class_of: Callable[[str], Any] | None = None) -> Any:
    """Invert `encode`; `class_of` returns the class of a name, or raises `LookupError`."""
    if isinstance(value, list):
        return [decode(part, class_of) for part in value]
    if isinstance(value, dict):
        if "tuple" in value:
            return tuple(decode(part, class_of) for part in value["tuple"])
        if "float" in value:
            return float(value["float"])
        if "slice" in value:
            return slice(*value["slice"])
        if "array" in value:
            return np.array(value["array"], dtype=value["dtype"])
        if "object" in value:
            if class_of is None:
                raise LookupError(value["object"])
            return class_of(value["object"])(**{key: decode(part, class_of) for key, part in value["params"].items()})
        return {decode(key): decode(part, class_of) for key, part in value["dict"]}
    return value
