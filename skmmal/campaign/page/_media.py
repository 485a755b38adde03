"""Files that the page may show: those that the data name, below one folder, and no others."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["Media", "byte_range"]

_URL = re.compile(r"[a-z][a-z0-9+.-]+:|//", re.IGNORECASE)
_MORE_TYPES = {".webp": "image/webp", ".avif": "image/avif", ".opus": "audio/ogg", ".flac": "audio/flac"}


@dataclass
class Media:
    """What the rows of a campaign look like.

    Parameters
    ----------
    data : DataFrame
        Indexed by id, a column for each field (see `skmmal.campaign.read_data`); names of files are relative to `root`.
    fields : mapping of str to str
        Column to its kind: image, text, audio or video.
    root : Path
        Nothing outside it is read, wherever a name or a symbolic link points.
    """

    data: pd.DataFrame
    fields: Mapping[str, str]
    root: Path

    def __post_init__(self) -> None:
        if not self.fields:
            raise ValueError("nothing is to be shown: name columns of the data (--image, --text, --audio, --video)")
        if not self.root.is_dir():
            raise FileNotFoundError(f"root: {self.root} is no folder; it holds the files that the data name (--root)")
        self._real_root = self.root.resolve()
        for name in self._files():
            column = self.data[name].astype(str)
            urls = column[column.str.match(_URL)]
            if len(urls):
                raise ValueError(
                    f"{urls.iloc[0]!r} (column {name!r}, id {urls.index[0]!r}) is a URL, and the page needs no "
                    "network: give names of files below the root (--root)"
                )

    def _files(self) -> list[str]:
        return [name for name, kind in self.fields.items() if kind != "text"]

    def find(self, row: str, field: str) -> Path | None:
        """File of a row's field; None where there is none that may be read."""
        if row not in self.data.index or self.fields.get(field, "text") == "text":
            return None
        name = str(self.data.at[row, field]).strip()
        if not name or "\0" in name:
            return None
        try:
            path = (self._real_root / name).resolve()
            allowed = path.is_relative_to(self._real_root) and path.is_file() and os.access(path, os.R_OK)
        except (OSError, RuntimeError):  # a name too long, a loop of links
            return None
        return path if allowed and self.content_type(path, field) else None

    def content_type(self, path: Path, field: str) -> str:
        """MIME type of a file that fits the field's kind; empty where it does not: no page is served as a picture."""
        kind = self.fields[field]
        ending = path.suffix.lower()
        found = _MORE_TYPES.get(ending) or mimetypes.types_map.get(ending, "")
        family = found.partition("/")[0]
        # sound comes in containers of video, too
        return found if family == kind or {family, kind} == {"audio", "video"} else ""

    def absent(self, rows: list[str]) -> dict[str, int]:
        """How many of the rows lack each field."""
        counts = {name: sum(self.describe(row, name, "")["kind"] == "none" for row in rows) for name in self.fields}
        return {name: n for name, n in counts.items() if n}

    def describe(self, row: str, field: str, url: str) -> dict[str, Any]:
        """What the page is told of a row's field."""
        kind = self.fields[field]
        if row not in self.data.index:
            return {"name": field, "kind": "none", "text": f"The data have no row {row!r}."}
        value = str(self.data.at[row, field])
        if kind == "text" and value.strip():
            return {"name": field, "kind": kind, "text": value}
        if kind != "text" and self.find(row, field) is not None:
            return {"name": field, "kind": kind, "url": url, "text": Path(value).name}
        missing = f"The file {value!r} cannot be shown." if kind != "text" and value.strip() else f"No {field}."
        return {"name": field, "kind": "none", "text": missing}


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte, and the one behind the last, that a ``Range`` header asks for; None for the whole file.

    Raises
    ------
    ValueError
        The file has no such bytes (status 416).

    References
    ----------
    .. [1] RFC 9110, section 14: a header of another unit, of several ranges or in no known form may be ignored.

    Examples
    --------
    >>> byte_range("bytes=2-4", 10), byte_range("bytes=-3", 10), byte_range("bytes=7-", 10), byte_range(None, 10)
    ((2, 5), (7, 10), (7, 10), None)
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").strip(), re.ASCII)
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        first, end = max(0, size - int(match[2])), size
    else:
        first, end = int(match[1]), size if match[2] == "" else min(size, int(match[2]) + 1)
        if match[2] and int(match[2]) < first:
            return None
    if first >= size:
        raise ValueError(f"bytes={first}-: the file has {size}")
    return first, end
