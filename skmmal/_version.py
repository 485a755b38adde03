"""The version, and those of what results depend on, for what is written to files."""

from __future__ import annotations

import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__", "versions"]

__version__ = "0.2.0"

_DISTRIBUTIONS = {"numpy": "numpy", "scipy": "scipy", "sklearn": "scikit-learn", "torch": "torch"}


@cache
def versions() -> dict[str, str]:
    """Versions of what the last digits of a result depend on; torch's where it is installed."""
    found = {"python": platform.python_version(), "skmmal": __version__}
    for name, distribution in _DISTRIBUTIONS.items():
        with suppress(PackageNotFoundError):
            found[name] = version(distribution)
    return found
