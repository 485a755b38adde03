"""torch, which is optional: the answer of whatever needs it where it is not installed."""

from __future__ import annotations

import importlib
from operator import attrgetter
from typing import Any

__all__ = ["import_torch", "installed_torch", "load"]


def installed_torch() -> Any:
    """Import torch, or return ``None`` where it is not installed."""
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return None
    return torch


def import_torch(what: str) -> Any:
    """Import torch for something that cannot do without.

    Parameters
    ----------
    what : str
        What needs it, as the user knows it.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        It is not installed; the message says what needs it and how to get it.
    """
    torch = installed_torch()
    if torch is None:
        raise _not_installed(what, "torch")
    return torch


def load(module: str, name: str, extra: str = "torch") -> Any:
    """Import what a package gives away lazily.

    Parameters
    ----------
    module : str
        Where it is.
    name : str
        What is asked for; with dots, an attribute of an attribute.
    extra : str, default="torch"
        The extra of this distribution that brings all it needs.

    Returns
    -------
    object

    Raises
    ------
    ImportError
        It needs torch, which is not installed; see `import_torch`.
    """
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise _not_installed(name, extra) from error
    return attrgetter(name)(imported)


def _not_installed(what: str, extra: str) -> ImportError:
    return ImportError(f'{what} needs torch, which is not installed: pip install "skmmal[{extra}]"', name="torch")
