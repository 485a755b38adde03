"""Files of a campaign: durable, sealed with a checksum, never a link."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np

from skmmal._atomic import replace_file

SEAL = "sha256"


class CampaignError(ValueError):
    """A campaign's folder, or a file in it, is not what it should be."""


def digest(content: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


def dumps(content: Any) -> bytes:
    """JSON as people read it; equal contents give equal bytes, NaN becomes null."""
    return (json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The content with a checksum of itself as last key."""
    plain = _plain({name: value for name, value in content.items() if name != SEAL})
    return {**plain, SEAL: digest(dumps(plain))}


def read_bytes(path: Path) -> bytes:
    """Content of a file that must be a plain file, not a link to one."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        raise CampaignError(f"{path} is missing; restore it from a backup") from None
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a file"
        raise CampaignError(f"{path} is {kind}; a campaign holds plain files only, refused")
    return path.read_bytes()


def read_sealed(path: Path) -> dict[str, Any]:
    """Read JSON that `sealed` made; one wrong bit is an error that names the file."""
    try:
        content = json.loads(read_bytes(path))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CampaignError(f"{path} is damaged or truncated: it is not JSON ({error})") from None
    if not isinstance(content, dict) or SEAL not in content:
        raise CampaignError(f"{path} is damaged or foreign: it holds no checksum of itself")
    if sealed(content)[SEAL] != content[SEAL]:
        raise CampaignError(f"{path} is damaged or was edited: its checksum differs; restore it from a backup")
    return content


def read_checked(path: Path, expected: Any) -> bytes:
    """Read a file whose checksum is known."""
    content = read_bytes(path)
    if digest(content) != expected:
        raise CampaignError(f"{path} is damaged or was edited: its checksum differs; restore it from a backup")
    return content


def check_folder(path: Path) -> None:
    """Raise unless `path` is a folder and not a link to one."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        raise CampaignError(f"{path} is missing; restore it from a backup") from None
    if not stat.S_ISDIR(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a folder"
        raise CampaignError(f"{path} is {kind}; a campaign holds plain folders only, refused")


def write_new(path: Path, content: bytes) -> None:
    """Write a new file in a folder that nobody sees yet, flushed to disk."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, flushed to disk."""
    with replace_file(path) as file:
        file.write(content)
