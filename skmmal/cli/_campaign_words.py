"""What the commands of a campaign say of what they did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from skmmal.cli._shared import note, print_table, say

if TYPE_CHECKING:
    import pandas as pd

    from skmmal.campaign import Status
    from skmmal.campaign._log import Entry

__all__ = ["say_measured", "say_received", "say_round", "show_status"]

_COUNTS = {
    "changed": "of them change an earlier word",
    "known": "received before",
    "blank": "not labelled yet",
    "ignored": "for unknown ids, left out",
    "vanished": "no longer there, retracted",
    "stay_retracted": "retracted before, and the same",
}


def say_received(result: dict[str, Any], file: Path | str) -> None:
    """What came of a file of labels, or of a project."""
    states = ", ".join(f"{n} {state}" for state, n in result["states"].items())
    line = f"{file}: {result['new']} new" + (f" ({states})" if states else "")
    for key, words in _COUNTS.items():
        if result.get(key):
            line += f", {result[key]} {words}"
    if result["new_classes"]:
        line += f"; new classes: {', '.join(result['new_classes'])}"
    for old, n in result.get("mapped", {}).items():
        line += f"; {old}: {n} renamed"
    if result.get("authority"):
        line += f"; {', '.join(result['authority'])} settles conflicts"
    say(line if result["entry"] is None else f"{line} [entry {result['entry']}]")
    for text in result.get("notes", ()):
        note(f"{file}: {text}.")


def say_round(batch: pd.DataFrame, entry: Entry, few: str, out: Path | None) -> None:
    """What was handed out, and where it was written; `few` says what is the case while there is no model."""
    from skmmal.campaign._drift import drift_in_words

    receipt = entry.receipt
    if receipt["cold_start"]:
        note(f"{few}: {receipt['strategy']['name']} chose from the features alone.")
    groups = f" in {batch['group'].nunique()} groups" if "group" in batch else ""
    cost = f", cost {batch['cost'].sum():.4g}" if "cost" in batch else ""
    say(
        f"Round {receipt['round']}: {len(batch)} of {receipt['n_candidates']} rows{groups}{cost}, chosen by "
        f"{receipt['strategy']['name']}: {out if out is not None else entry.path / 'next.csv'}"
    )
    if "drift" in receipt:
        n_before = receipt["features"]["grown_from"]
        note(drift_in_words(receipt["drift"], n_before, receipt["features"]["n_samples"] - n_before))
    if "relabel" in receipt:
        said = receipt["relabel"]
        note(
            f"{said['n']} of these rows are labelled, and are handed out once more (chosen_by relabel); "
            f"{said['n_checked']} labels were put on one scale with the new rows."
            if said["n_checked"]
            else "No label can be held against a model that did not see it yet: all of these rows are new."
        )


def say_measured(standing: Status) -> None:
    """Whether choosing helps, where that is measured of the labels of today."""
    if standing.benefit is not None and standing.measured["is_current"]:
        for line in standing.benefit.sentences:
            note(line)


def show_status(standing: Status) -> None:
    """Where a campaign stands: sentences, tables, advice."""
    for line in standing.sentences:
        say(line)
    if len(standing.rounds):
        print_table("Rounds", standing.rounds)
    if len(standing.classes):
        is_of_sets = "not_known" in standing.classes
        print_table("Labels" if is_of_sets else "Classes", standing.classes.reset_index())
    if len(standing.numbers):
        print_table("Labels", standing.numbers.reset_index())
    if len(standing.groups):
        print_table(
            "Groups" if len(standing.groups) <= 20 else f"Groups (the last 20 of {len(standing.groups)})",
            standing.groups.tail(20).reset_index(),
        )
    if len(standing.annotators):
        print_table("Annotators", standing.annotators.reset_index())
    for pair in standing.agreement["pairs"]:
        if "difference" in pair:
            say(
                f"{pair['first']} and {pair['second']}: mean absolute difference "
                f"{pair['mean_absolute_difference']:.4g} in {pair['n']}, mean difference {pair['difference']:+.4g}"
            )
            continue
        kappa = "undefined" if pair["kappa"] is None else f"{pair['kappa']:.2f}"
        say(f"{pair['first']} and {pair['second']}: {pair['agree']:.0%} of {pair['n']} agree, Cohen's κ {kappa}")
    if len(standing.conflicts):
        print_table("Annotators disagree", standing.conflicts.head(20))
    say("\nTime to stop? (advice only)")
    words = {True: "stop", False: "go on", None: "?"}
    for advice in standing.advice:
        say(f"  {advice.criterion}: {words[advice.stop]}: {advice.sentence}")
    if len(standing.label_advice):
        wide = standing.label_advice.assign(stop=[words[stop] for stop in standing.label_advice["stop"]])
        wide = wide.pivot(index="label", columns="criterion", values="stop").rename_axis(columns=None)
        print_table("Time to stop, label by label", wide.reset_index())
