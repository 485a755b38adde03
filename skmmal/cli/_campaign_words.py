"""What the commands of a campaign say of what they did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from skmmal.cli._shared import note, print_table, say

if TYPE_CHECKING:
    from skmmal.campaign import Status

__all__ = ["say_received", "show_status"]

_COUNTS = {
    "changed": "of them change an earlier word",
    "known": "received before",
    "blank": "not labelled yet",
    "ignored": "for unknown ids, left out",
    "vanished": "no longer there, retracted",
    "stay_retracted": "retracted before, and the same",
}


def say_received(found: dict[str, Any], file: Path) -> None:
    """What came of a file of labels."""
    states = ", ".join(f"{n} {state}" for state, n in found["states"].items())
    line = f"{file}: {found['new']} new" + (f" ({states})" if states else "")
    for key, words in _COUNTS.items():
        if found.get(key):
            line += f", {found[key]} {words}"
    if found["new_classes"]:
        line += f"; new classes: {', '.join(found['new_classes'])}"
    for old, n in found.get("mapped", {}).items():
        line += f"; {old}: {n} renamed"
    if found.get("authority"):
        line += f"; {', '.join(found['authority'])} settles conflicts"
    say(line if found["entry"] is None else f"{line} [entry {found['entry']}]")
    for text in found.get("notes", ()):
        note(f"{file}: {text}.")


def show_status(found: Status) -> None:
    """Where a campaign stands: sentences, tables, advice."""
    for line in found.sentences:
        say(line)
    if len(found.rounds):
        print_table("Rounds", found.rounds)
    if len(found.classes):
        print_table("Classes", found.classes.reset_index())
    if len(found.annotators):
        print_table("Annotators", found.annotators.reset_index())
    for pair in found.agreement["pairs"]:
        kappa = "undefined" if pair["kappa"] is None else f"{pair['kappa']:.2f}"
        say(f"{pair['first']} and {pair['second']}: {pair['agree']:.0%} of {pair['n']} agree, Cohen's κ {kappa}")
    if len(found.conflicts):
        print_table("Annotators disagree", found.conflicts.head(20))
    say("\nTime to stop? (advice only)")
    words = {True: "stop", False: "go on", None: "?"}
    for advice in found.advice:
        say(f"  {advice.criterion}: {words[advice.stop]}: {advice.sentence}")
