"""Names of classes from the command line and from files."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from skmmal.campaign.formats import read_lines

__all__ = ["read_classes", "split_classes"]

_JOINS = r"(&|\+|/|and|or|und|oder|et|ou|y|o|e|en|og|och)"


def split_classes(text: str) -> tuple[list[str], str]:
    """Split names at commas, except inside quotes.

    Returns
    -------
    list of str
    str
        A doubt: why a name may have been split. Empty if there is none.

    Examples
    --------
    >>> split_classes('"Home, Kitchen & Garden",Books')
    (['Home, Kitchen & Garden', 'Books'], '')
    >>> split_classes("Home, Kitchen & Garden,Books")[0]
    ['Home', 'Kitchen & Garden', 'Books']
    """
    try:
        parts = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise ValueError(f"--classes: {text!r} cannot be split at its commas ({error}); use --classes-file") from None
    names = [part.strip() for part in parts if part.strip()]
    return names, _doubt(text, names)


def _doubt(text: str, names: list[str]) -> str:
    odd = [
        name
        for name in names
        if re.match(rf"{_JOINS}(\s|$)", name, re.IGNORECASE)
        or re.search(rf"\s{_JOINS}$", name, re.IGNORECASE)
        or name.count("(") != name.count(")")
    ]
    # "Home, Kitchen & Garden": what follows a comma joins two things
    odd = odd or [name for name in names[1:] if re.search(r"\s(&|and|und|et)\s", name, re.IGNORECASE)]
    if not odd:
        return ""
    return (
        f"--classes was split at its commas into {len(names)} names, among them {odd[0]!r}, which looks like a part of "
        'another: quote names that hold a comma ("Home, Kitchen & Garden"), or use --classes-file.'
    )


def read_classes(path: Path) -> list[str]:
    """Read names of classes, one a line."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    names = read_lines(path)
    if not names:
        raise ValueError(f"{path} names no class; expected one a line")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: the class {twice[0]!r} is there twice")
    return names
