"""A campaign that runs by itself: pull, and when a batch is mostly answered hand out the next one, and push it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from skmmal.campaign._batches import NothingLeftError
from skmmal.campaign._state import State
from skmmal.campaign.connect._client import ServerError

__all__ = ["answered_share", "check_watch", "run"]

_LONGEST = 900.0
"""Seconds between two looks at a server that is away."""


def check_watch(watch: Any, next_when: Any) -> tuple[float, float]:
    """Seconds between two looks, and the share that must be answered, as numbers."""
    for name, value in (("watch", watch), ("next_when", next_when)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} must be a number, got {value!r}")
    if not watch > 0:
        raise ValueError(f"watch must be a number of seconds above 0, got {watch}")
    if not 0 < next_when <= 1:
        raise ValueError(f"next_when must be a share above 0 and up to 1, got {next_when}")
    return float(watch), float(next_when)


def answered_share(state: State) -> float:
    """Share of the last batch that somebody has said something about since; 1 where there is no batch."""
    if not state.rounds:
        return 1.0
    return 1.0 - float(state.batches[-1]["id"].isin(state.unanswered).mean())


def run(
    pull: Callable[[], dict[str, Any]],
    next_batch: Callable[[], dict[str, Any] | None],
    push: Callable[[], dict[str, Any]],
    report: Callable[[str, Any], None],
    seconds: float,
) -> dict[str, Any]:
    """Go on until nothing is left to hand out and everything is answered.

    Parameters
    ----------
    pull, push : callable
    next_batch : callable
        Hands out a batch if it is time; ``None`` if it is not.
    report : callable
        Told what was done, and what went wrong and may pass.
    seconds : float
        Between two looks.

    Returns
    -------
    dict
        What the last pull said.
    """
    n_failures = 0
    is_over = False
    while True:
        try:
            said = pull()
            report("pull", said)
            try:
                handed_out = None if is_over else next_batch()
            except NothingLeftError as error:
                handed_out, is_over = None, True
                report("over", str(error))
            if handed_out is not None:
                report("next", handed_out)
            if handed_out is not None or said["not_there"]:
                report("push", push())
            n_failures = 0
        except (ServerError, TimeoutError) as error:
            if isinstance(error, ServerError) and not error.passes:
                raise
            n_failures += 1
            report("wait", error)
            asked = getattr(error, "pause", None) or 0.0
            time.sleep(max(asked, min(seconds * 2.0 ** (n_failures - 1), max(seconds, _LONGEST))))
            continue
        if is_over and not said["pending"]:
            return said
        time.sleep(seconds)
