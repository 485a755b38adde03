"""Labels on their way in, checked against the campaign: what does not fit is said, nothing is silently dropped."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from skmmal.campaign._answers import ONE_CLASS, Answers
from skmmal.campaign._incoming import Incoming
from skmmal.campaign._mangled import advice_against_mangling, mangled
from skmmal.campaign.formats._label_studio import UNSURE, UNSURE_TEXT

__all__ = ["check_class_names", "check_classes", "check_ids", "check_not_handed_out"]

_RESERVED = {"skip", "unsure", UNSURE, UNSURE_TEXT.lower()}
"""What labels are called that are none."""


def check_ids(
    incoming: Incoming, known: set[str], held_out: set[str], ignore_unknown: bool, mark: str = ""
) -> tuple[Incoming, pd.DataFrame]:
    """Split off labels for ids that the campaign cannot use; an error, unless they are to be ignored.

    Blanks around an id do no harm where one id of the campaign is meant.
    """
    events = incoming.events
    if not events["id"].isin(known).all():
        events = events.assign(id=_without_blanks(events["id"], known))
    bad = ~events["id"].isin(known) | events["id"].isin(held_out)
    if bad.any() and not ignore_unknown:
        raise ValueError(_unknown_ids(events["id"], bad, known, held_out, incoming.about, mark))
    return replace(incoming, events=events[~bad].reset_index(drop=True)), events[bad].reset_index(drop=True)


def check_not_handed_out(incoming: Incoming, handed_out: set[str], pending: Collection[str]) -> None:
    """Raise where a spreadsheet has turned an id that waits for its label into another id of the campaign.

    Only what was in a spreadsheet can have been changed by one.
    """
    if "lines" not in incoming.about:
        return
    odd = list(dict.fromkeys(name for name in incoming.events["id"] if name not in handed_out))
    pairs = mangled(odd, pending) if odd else []
    if pairs:
        raise ValueError(
            f"{len(pairs)} of {len(incoming.events)} labels are for ids that were not handed out, and that look like "
            f"ids that were, changed by a spreadsheet: {pairs[0][0]!r} for {pairs[0][1]!r}. Nothing was recorded; if "
            "they are meant, give the labels as JSON lines, which no spreadsheet changes"
        )


def _without_blanks(ids: pd.Series, known: set[str]) -> list[str]:
    stripped: dict[str, list[str]] = {}
    for name in known:
        stripped.setdefault(name.strip(), []).append(name)
    names = []
    for name in ids:
        meant = stripped.get(name.strip(), [])
        names.append(meant[0] if name not in known and len(meant) == 1 else name)
    return names


def _unknown_ids(
    ids: pd.Series, bad: pd.Series, known: set[str], held_out: set[str], about: Mapping[str, Any], mark: str
) -> str:
    """Say which ids are unknown, why that may be, and what to do; leaving labels out is no cure for a wrong file."""
    first = ids[bad].iloc[0]
    where = "belongs to the validation set" if first in held_out else "is not among the features"
    message = (
        f"{int(bad.sum())} of {len(ids)} labels are for ids that this campaign does not label; the first, "
        f"{first!r}, {where}. "
    )
    unknown = list(dict.fromkeys(ids[bad & ~ids.isin(held_out)]))
    pairs = mangled(unknown, known)
    if pairs:
        return message + advice_against_mangling(pairs)
    foreign = [name for name in about.get("campaigns", ()) if name != mark]
    if foreign and mark:
        return message + (
            f"There are tasks of another campaign in this file (its mark is {foreign[0]}, this one's {mark}): add the "
            "file to that one. Nothing was recorded"
        )
    if len(unknown) > 1 and bad.all():
        return message + (
            "Not one id is this campaign's: is it the file, or the project, of another one? Nothing was recorded"
        )
    return message + ("Nothing was recorded; ignore_unknown (--ignore-unknown) leaves such labels out")


def check_class_names(names: Collection[str], what: str = "classes") -> None:
    """Raise where the name of a class is a word for a label that is none, or cannot be written."""
    for name in names:
        if name.strip().lower() in _RESERVED:
            raise ValueError(
                f"{what}: {name!r} cannot be the name of a class: it is what a row is called that has none (skip), or "
                f"that the annotator cannot tell (unsure; in Label Studio {UNSURE_TEXT!r}). In a file of labels it "
                "belongs into the column state; a class of that name needs another one (map_classes, --map-class "
                f"{name!r}=NEW; =skip and =unsure make it that state)"
            )


def check_classes(incoming: Incoming, known: list[str], allow_new: bool, answers: Answers = ONE_CLASS) -> list[str]:
    """Return the classes that are new; an error with counts, unless they are welcome.

    The first labels of a campaign without declared classes define them.
    """
    about_classes = incoming.events["state"].isin(["label", "reject"])
    given = Counter(name for label in incoming.events["label"][about_classes] for name in answers.named(label))
    new = sorted(set(given) - set(known))
    check_class_names(new, "labels")
    if new and known and not allow_new:
        pairs = mangled(new, known)
        if pairs:
            raise ValueError(
                f"{len(new)} classes are new here, and {pairs[0][0]!r} looks like {pairs[0][1]!r}, changed by a "
                "spreadsheet that took it for a number, a date or a truth value: keep the labels' column as text, "
                f"or rename (map_classes, --map-class {pairs[0][0]}={pairs[0][1]}). Nothing was recorded"
            )
        shown = []
        for name in new[:10]:
            close = difflib.get_close_matches(name, known, n=1)
            shown.append(f"{name!r} ({given[name]}×{f', did you mean {close[0]!r}?' if close else ''})")
        raise ValueError(
            f"{sum(given[name] for name in new)} of {len(incoming.events)} labels are of {len(new)} classes that are "
            f"new here: {', '.join(shown)}{', ...' if len(new) > 10 else ''}. Known: {known[:20]}. Nothing was "
            f"recorded; {_split_class(new, known)}allow_new_classes (--allow-new-classes) admits them, map_classes "
            "(--map-class OLD=NEW) renames them"
        )
    labels = incoming.events["label"][incoming.events["state"] == "label"]
    return sorted({name for label in labels for name in answers.named(label)} - set(known))


def _split_class(new: list[str], known: list[str]) -> str:
    for name in new:
        parts = [part.strip() for part in name.split(",")]
        if len(parts) > 1 and set(parts) <= set(known):
            return f"{name!r} was split at its comma when the campaign was begun (quote it, or use --classes-file); "
    return ""
