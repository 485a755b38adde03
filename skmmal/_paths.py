"""Paths of this machine: what comes in as one at a public entry, and what only looks like one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["is_url", "local_path", "opened", "place_of"]

# two letters or more before the colon: "C:/" is a drive. ``Path`` makes "s3:/bucket" of "s3://bucket"
_URL = re.compile(r"[a-z][a-z0-9+.-]+(::[a-z][a-z0-9+.-]+)*:/", re.IGNORECASE)


def is_url(path: Any) -> bool:
    """Whether a path is a URL, ``file://`` too.

    Examples
    --------
    >>> is_url("s3://bucket/features"), is_url("C:/features")
    (True, False)
    """
    return isinstance(path, str | os.PathLike) and _URL.match(os.fspath(path)) is not None


def local_path(path: Any, argument: str = "path") -> Path:
    """Return a path on this machine's file systems; a leading ``~`` is the home folder.

    Parameters
    ----------
    path : str or path-like
    argument : str, default="path"
        Its name in the error message.

    Raises
    ------
    TypeError
        Neither a string nor path-like.
    ValueError
        Empty, or a URL: it would name a local folder such as ``s3:``.

    Examples
    --------
    >>> local_path("features").name
    'features'
    >>> local_path("s3://bucket/features")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: path: 's3://bucket/features' is a URL, and only files of this machine are read and written. ...
    """
    if not isinstance(path, str | os.PathLike) or isinstance(text := os.fspath(path), bytes):
        raise TypeError(f"{argument} must be a path (a string or a Path), got {path!r}")
    if not text:
        raise ValueError(f"{argument} is empty; give the path of a file or folder")
    if _URL.match(text):
        if re.match(r"file:/", text, re.IGNORECASE):
            way = f"Give the path itself: {re.sub(r'^file:/+', '/', text, flags=re.IGNORECASE)!r}"
        else:
            way = (
                "Mount it (s3fs, gcsfuse, rclone mount), or copy it there and back (fsspec: "
                "fs.get(url, folder, recursive=True), fs.put)"
            )
        raise ValueError(
            f"{argument}: {_as_url(text)!r} is a URL, and only files of this machine are read and written. {way}"
        )
    if text[0] != "~":
        return Path(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:  # "~$draft.csv" is a name, not a user
        return Path(text)


@contextmanager
def opened(place: str) -> Iterator[IO[bytes]]:
    """Open a local path, or a URL that fsspec knows, for reading bytes."""
    if is_url(place):
        import fsspec

        with fsspec.open(place, "rb") as file:
            yield file
    else:
        with open(place, "rb") as file:
            yield file


def place_of(path: Any, argument: str = "paths") -> str:
    """Where a file or folder is: an absolute local path (also for ``file://``), or a URL that fsspec knows.

    Raises
    ------
    ValueError
        The URL's protocol is not known, or what serves it is not installed.

    Examples
    --------
    >>> place_of("file:///data/manifest.csv"), place_of("memory://manifest.csv")
    ('/data/manifest.csv', 'memory://manifest.csv')
    """
    if not is_url(path):
        return str(local_path(path, argument).absolute())
    text = _as_url(str(path))
    if re.match(r"file:/", text, re.IGNORECASE):
        return str(local_path(re.sub(r"^file:/+", "/", text, flags=re.IGNORECASE), argument))
    try:
        import fsspec

        for part in text.split("::"):
            if "://" in part:
                fsspec.get_filesystem_class(part.partition("://")[0])
    except (ImportError, ValueError) as error:
        raise ValueError(f"{argument}: {text!r} cannot be served here: {error}") from None
    return text


def _as_url(text: str) -> str:
    """Put back the slash that ``Path`` took."""
    return re.sub(r":/(?!/)", "://", text, count=1)
