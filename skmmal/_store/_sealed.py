"""JSON that carries its own checksum, so that a flipped bit is noticed, and what differs between two descriptions."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

SEAL = "sha256"
"""Key of the checksum."""


def digest(content: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


def dumps(content: Any, *, infinite: bool = False) -> bytes:
    """JSON as people read it, of `plain` content; equal contents give equal bytes."""
    return (json.dumps(plain(content, infinite=infinite), indent=1, ensure_ascii=False) + "\n").encode()


def plain(value: Any, *, infinite: bool = False) -> Any:
    """What JSON can hold: NaN becomes null, and so do infinities, unless `infinite` ones are to come back."""
    if isinstance(value, dict):
        return {str(name): plain(part, infinite=infinite) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part, infinite=infinite) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    is_null = isinstance(value, float) and (math.isnan(value) if infinite else not math.isfinite(value))
    return None if is_null else value


def sealed(content: dict[str, Any], *, as_text: bool = False) -> dict[str, Any]:
    """Return the content with the checksum of everything in it; one that is in it already is replaced.

    Parameters
    ----------
    content : dict
        What JSON can hold.
    as_text : bool, default=False
        The checksum is that of the text that `dumps` makes, so that the order of the keys counts, too, and stands last.
        Campaigns have been sealed in this way since the first version, which still reads them.

    Returns
    -------
    dict
        As JSON can hold it.

    Examples
    --------
    >>> check_seal(sealed({"round": 1}), "it")
    >>> check_seal({**sealed({"round": 1}), "round": 2}, "it")
    Traceback (most recent call last):
    ValueError: it was changed since it was written: its checksum is another
    """
    content = {name: value for name, value in content.items() if name != SEAL}
    if as_text:
        return {**plain(content), SEAL: digest(dumps(content))}
    # as JSON gives it back: tuples are lists there, and keys are strings
    read_back = json.loads(json.dumps(content))
    return {SEAL: digest(json.dumps(read_back, sort_keys=True).encode()), **content}


def check_seal(content: dict[str, Any], where: Any, *, as_text: bool = False) -> None:
    """Raise `ValueError` if the content is not what was sealed."""
    if content.get(SEAL) != sealed(content, as_text=as_text)[SEAL]:
        raise ValueError(f"{where} was changed since it was written: its checksum is another")


def parse_json(path: Path, error: type[ValueError] = ValueError) -> Any:
    """Return what a JSON file holds; `error` says what is wrong with it, whatever that is."""
    if not path.exists():
        raise error(f"{path} is missing")
    if not path.is_file():  # a pipe would block for ever
        raise error(f"{path} is not a file")
    try:
        return json.loads(path.read_bytes())
    except RecursionError:
        raise error(f"{path} is not valid JSON: it is nested too deeply") from None
    except (OSError, ValueError) as wrong:
        raise error(f"{path} is not valid JSON, or is truncated ({wrong})") from None


# --------------------------------------------------------------------------------------------------- differences


def difference(before: Any, now: Any, line: str = "{key}: {before!r} there, {now!r} now") -> list[str]:
    """Say, one line each, where two descriptions differ.

    Examples
    --------
    >>> difference({"seed": 1, "steps": [{"C": 1}]}, {"seed": 2, "steps": [{"C": 1}], "n": 3})
    ['seed: 1 there, 2 now', "n: 'absent' there, 3 now"]
    """
    first, second = _flat(json.loads(json.dumps(before))), _flat(json.loads(json.dumps(now)))
    return [
        line.format(key=key, before=first.get(key, "absent"), now=second.get(key, "absent"))
        for key in {**first, **second}
        if first.get(key, "absent") != second.get(key, "absent")
    ]


def check_same(before: Any, now: Any, refusal: str, error: type[ValueError] = ValueError, **options: str) -> None:
    """Raise `error`, which says `refusal` and shows the `difference`, unless two descriptions are the same."""
    lines = difference(before, now, **options)
    if lines:
        raise error(f"{refusal}. The difference:\n  " + "\n  ".join(lines))


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """A description whose keys name the place, such as ``"estimator.params.C"``."""
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        value = {str(index): part for index, part in enumerate(value)}
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for name, part in value.items():
        flat.update(_flat(part, f"{prefix}.{name}" if prefix else name))
    return flat
