"""Files of a campaign: plain files and folders, never links, that are what was written."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skmmal._store import SEAL, digest, dumps, parse_json, write_new
from skmmal._store import sealed as sealed_by_content
from skmmal._store import write_file as write

__all__ = [
    "SEAL",
    "CampaignError",
    "check_folder",
    "digest",
    "dumps",
    "read_bytes",
    "read_checked",
    "read_sealed",
    "sealed",
    "write",
    "write_new",
]


class CampaignError(ValueError):
    """A campaign's folder, or a file in it, is not what it should be.

    Examples
    --------
    >>> from skmmal.campaign import CampaignError
    >>> issubclass(CampaignError, ValueError)
    True
    """


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The content with a checksum of itself as last key."""
    return sealed_by_content(content, as_text=True)


def check_folder(path: Path) -> None:
    """Raise unless `path` is a folder and not a link to one."""
    _check_kind(path, stat.S_ISDIR, "folder")


def read_bytes(path: Path) -> bytes:
    """Content of a file that must be a plain file, not a link to one."""
    _check_kind(path, stat.S_ISREG, "file")
    return path.read_bytes()


def _check_kind(path: Path, is_kind: Callable[[int], bool], kind: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        raise CampaignError(f"{path} is missing; restore it from a backup") from None
    if not is_kind(mode):
        found = "a symbolic link" if stat.S_ISLNK(mode) else f"not a {kind}"
        raise CampaignError(f"{path} is {found}; a campaign holds plain {kind}s only, refused")


def read_sealed(path: Path) -> dict[str, Any]:
    """Read JSON that `sealed` made; one wrong bit is an error that names the file."""
    _check_kind(path, stat.S_ISREG, "file")
    content = parse_json(path, CampaignError)
    if not isinstance(content, dict) or SEAL not in content:
        raise CampaignError(f"{path} is damaged or foreign: it holds no checksum of itself")
    if sealed(content)[SEAL] != content[SEAL]:
        raise _damaged(path)
    return content


def read_checked(path: Path, expected: Any) -> bytes:
    """Read a file whose checksum is known."""
    content = read_bytes(path)
    if digest(content) != expected:
        raise _damaged(path)
    return content


def _damaged(path: Path) -> CampaignError:
    return CampaignError(f"{path} is damaged or was edited: its checksum differs; restore it from a backup")
