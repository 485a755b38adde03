"""What differs between two runs of the same commands: who ran them, when, where. Kept in files of their own."""

from __future__ import annotations

import getpass
import socket
from datetime import UTC, datetime
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
