"""What differs between two runs of the same commands: who ran them, when, where. Kept in files of their own."""

from __future__ import annotations

import getpass
import platform
import socket
from datetime import UTC, datetime
from functools import cache
from typing import Any


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def user_name() -> str:
    """Name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user id, as in some containers
        return "unknown"


def stamp(by: str | None = None, **more: Any) -> dict[str, Any]:
    """Who, when, where."""
    return {"when": now(), "by": by or user_name(), "host": socket.gethostname(), **more}


@cache
def versions() -> dict[str, str]:
    """Versions of what the result of a round depends on."""
    import numpy
    import scipy
    import sklearn
    import torch

    from skmmal._version import __version__

    modules = (numpy, scipy, sklearn, torch)
    versions = {module.__name__: str(module.__version__) for module in modules}
    return {"python": platform.python_version(), "skmmal": __version__, **versions}
