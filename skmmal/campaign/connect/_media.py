"""Whether the media that annotators are to see can be reached: one of each column is asked for."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

import pandas as pd

from skmmal.campaign.connect._client import ServerError
from skmmal.campaign.connect._server import Server

__all__ = ["VARIABLES", "check_media", "explain_variables", "local_prefix"]

VARIABLES = ("LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED", "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT")
_WITHOUT_HTTP = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]+:", re.IGNORECASE)


def local_prefix(folder: str, root: str | None) -> tuple[str, str]:
    """Beginning of the URLs of files in a folder of the server's machine, and its document root.

    Parameters
    ----------
    folder : str
        Absolute path there.
    root : str, optional
        What ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`` is there. Default: the folder above `folder`.

    Examples
    --------
    >>> local_prefix("/srv/media/pictures", None)
    ('/data/local-files/?d=pictures/', '/srv/media')
    """
    path = PurePosixPath(folder)
    above = path.parent if root is None else PurePosixPath(root)
    for name, value in (("local_files (--local-files)", path), ("document_root (--document-root)", above)):
        if not value.is_absolute() or ".." in value.parts:
            raise ValueError(f"{name} must be an absolute path on the server's machine, got {str(value)!r}")
    if above not in path.parents:
        raise ValueError(
            f"local_files {folder!r} must be a folder below the document root {str(above)!r}: Label Studio gives out "
            "no files of the root itself"
        )
    return f"/data/local-files/?d={quote(path.relative_to(above).as_posix(), safe='/')}/", str(above)


def explain_variables(folder: str, root: str) -> str:
    """How a server is brought to give out files of its machine."""
    return (
        f"Label Studio gives out files of its own machine only if it was started with {VARIABLES[0]}=true and "
        f"{VARIABLES[1]}={root} (the folder above {folder}); set both where it is started, and restart it"
    )


def check_media(
    table: pd.DataFrame, fields: Mapping[str, str], server: Server, *, timeout: float, hint: str = ""
) -> list[str]:
    """Ask for the first medium of each column.

    Parameters
    ----------
    table : DataFrame
        Indexed by id, a column for each field.
    fields : mapping of str to str
        Column to its kind.
    server : Server
        Gives out what begins with ``/``.
    timeout : float
    hint : str, default=""
        What to do where a file of the server's machine is not given out.

    Returns
    -------
    list of str
        What could not be checked.

    Raises
    ------
    ValueError
        One cannot be reached, or is no such medium.
    """
    notes = []
    for name, kind in fields.items():
        values = table[name][table[name] != ""]
        if kind == "text" or values.empty:
            continue
        row, value = str(values.index[0]), str(values.iloc[0])
        if value.startswith("data:"):
            continue
        where = f"data: the {kind} of {row!r} (column {name!r}), {value[:200]!r},"
        if value.startswith("/") and not value.startswith("//"):
            status, found = server.look(value)
            way = hint or "is it a file that was uploaded to that server?"
        elif urlsplit(value).scheme in ("http", "https"):
            status, found = _look(value, where, timeout)
            way = "annotators' browsers ask for it as it stands there"
        elif _WITHOUT_HTTP.match(value):
            notes.append(
                f"the column {name!r} holds addresses such as {value[:60]!r}, which only a storage of the server can "
                "resolve; they were not checked"
            )
            continue
        else:
            raise ValueError(
                f"{where} is no address that a browser can open: put one before it (prefix, --prefix https://host/), "
                "or name the folder on the server's machine that holds the files (local_files, --local-files /folder)"
            )
        if status not in (200, 206):
            raise ValueError(
                f"{where} is not given out (status {status}): {way}; check_media=False (--no-check-media) goes "
                "on without"
            )
        if found == "text/html":
            raise ValueError(f"{where} is a web page and no {kind}: {way}")
    return notes


def _look(url: str, where: str, timeout: float) -> tuple[int, str]:
    """Status and content type of a file anywhere; the token has no part in it."""
    opener = urllib.request.OpenerDirector()
    handlers: list[Any] = [
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ]
    for handler in handlers:
        opener.add_handler(handler)
    headers = {"Range": "bytes=0-0", "User-Agent": "skmmal"}
    request = urllib.request.Request(quote(url, safe="%/:?#[]@!$&'()*+,;=~"), headers=headers)
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.headers.get_content_type()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get_content_type()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ServerError(
            f"{where} cannot be reached ({reason}); check_media=False (--no-check-media) goes on without", passes=True
        ) from None
