"""torch, which is optional: the answer of whatever needs it where it is not installed."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from operator import attrgetter
from typing import Any

__all__ = ["import_torch", "installed_torch", "load", "torch_beside_gpu"]


def installed_torch() -> Any:
    """Import torch, or return ``None`` where it is not installed."""
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return None
    return torch


def torch_beside_gpu() -> Any:
    """Import torch where there may be a GPU for it, or return ``None``.

    The import takes seconds and some hundred megabytes: too much for learning that there is no GPU.
    """
    if "torch" not in sys.modules and sys.platform == "linux" and not _has_gpu_driver():
        return None
    return installed_torch()


def _has_gpu_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")  # NVIDIA's, by the name that torch asks for
    except OSError:
        return os.path.exists("/dev/kfd")  # AMD's
    return True


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
