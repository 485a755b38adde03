"""JSON that carries its own checksum: a flipped bit is noticed, whatever it hits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

__all__ = ["check_seal", "parse_json", "sealed"]

KEY = "sha256"


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content with the checksum of everything in it.

    Examples
    --------
    >>> check_seal(sealed({"round": 1}), "it")
    >>> check_seal({**sealed({"round": 1}), "round": 2}, "it")
    Traceback (most recent call last):
    ValueError: it was changed since it was written: its checksum is another
    """
    return {KEY: _checksum(content), **content}


def check_seal(content: dict[str, Any], where: Any) -> None:
    """Raise `ValueError` if the content is not what was sealed."""
    if content.get(KEY) != _checksum({key: value for key, value in content.items() if key != KEY}):
        raise ValueError(f"{where} was changed since it was written: its checksum is another")


def _checksum(content: dict[str, Any]) -> str:
    # as JSON gives it back: tuples are lists there, and keys are strings
    plain = json.loads(json.dumps(content))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def parse_json(path: Path) -> Any:
    """Return what a JSON file holds; `ValueError` says what is wrong with it, whatever that is."""
    if not path.is_file():  # a pipe would block for ever
        raise ValueError(f"{path} is not a file")
    try:
        return json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError(f"{path} is not valid JSON: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not valid JSON, or is truncated ({error})") from None
