"""What annotators are to see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from skmmal._paths import local_path
from skmmal._tables import read_table

__all__ = ["as_data", "read_data"]


def read_data(
    path: Path,
    fields: Mapping[str, str],
    id_column: str = "id",
    prefix: str = "",
    *,
    encoding: str | None = None,
    base: str = "",
) -> pd.DataFrame:
    r"""Read what annotators are to see.

    Parameters
    ----------
    path : path-like
        CSV with an id and a column for each field.
    fields : mapping of str to str
        Column to its kind (image, text, audio, video).
    id_column : str, default="id"
        Its name.
    prefix : str, default=""
        Put before names of files, such as ``https://host/`` or ``/data/local-files/?d=``; what is special in a URL is
        quoted in the name. URLs, ``data:`` and what begins with ``/data/`` stay as they are, and so do texts.
    encoding : str, optional
        Default: UTF-8 or UTF-16.
    base : str, default=""
        Folder that the prefix stands for: names of files that begin with it are shortened by it.

    Returns
    -------
    DataFrame
        Indexed by id.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skmmal.campaign import read_data
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "items.csv"
    ...     written = file.write_text("id,photo,caption\n7,a dog.jpg,A dog\n")
    ...     data = read_data(file, {"photo": "image", "caption": "text"}, prefix="https://host/")
    >>> data.loc["7"].to_dict()
    {'photo': 'https://host/a%20dog.jpg', 'caption': 'A dog'}
    """
    path = local_path(path, "data")
    table = read_table(path, key=id_column, encoding=encoding)
    return as_data(table, fields, id_column, prefix, base=base, where=str(path))


def as_data(
    table: pd.DataFrame,
    fields: Mapping[str, str],
    id_column: str = "id",
    prefix: str = "",
    *,
    base: str = "",
    where: str = "data",
) -> pd.DataFrame:
    """Bring a table into the form in which annotators' data is kept; see `read_data`.

    Parameters
    ----------
    table : DataFrame
        With an id, and a column for each field; gaps are empty.
    fields, id_column, prefix, base
        As in `read_data`.
    where : str, default="data"
        What error messages call the table.

    Returns
    -------
    DataFrame
        Indexed by id, all text.
    """
    missing = [name for name in (id_column, *fields) if name not in table.columns]
    if missing:
        raise ValueError(f"{where} has no column {missing[0]!r}; it has {list(table.columns)}")
    table = table[list(dict.fromkeys([id_column, *fields]))].fillna("").astype(str)
    if table[id_column].duplicated().any():
        raise ValueError(f"{where}: the id {table[id_column][table[id_column].duplicated()].iloc[0]!r} is there twice")
    table = table.set_index(id_column, drop=False)[list(fields)].rename_axis(None).astype(object)
    for name, kind in fields.items():
        if kind != "text":
            table[name] = [_url(_below(value, base), prefix) for value in table[name]]
    return table


_WHOLE = re.compile(r"[a-z][a-z0-9+.-]*://|//|data:|/data/", re.IGNORECASE)
"""Beginnings of what is a URL already, or a path on Label Studio's own server."""


def _below(value: str, base: str) -> str:
    """Name of a file from a folder on."""
    folder = base.rstrip("/") + "/"
    return value.strip().removeprefix(folder) if base else value


def _url(value: str, prefix: str) -> str:
    """URL of a file; a name with ``&``, ``#``, ``%`` or a blank would be another file's, or none."""
    value = value.strip()
    if not value or not prefix or _WHOLE.match(value):
        return value
    if value.startswith(prefix) and ("://" in prefix or prefix.startswith("/")):
        return value
    return prefix + quote(value, safe="/")
