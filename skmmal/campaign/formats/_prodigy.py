"""JSON lines in Prodigy's style: tasks with options out, answers in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from skmmal.campaign._votes import EVENT_COLUMNS

__all__ = ["looks_like_prodigy", "prodigy_tasks", "read_prodigy"]


def prodigy_tasks(
    batch: pd.DataFrame, data: pd.DataFrame, fields: Mapping[str, str], round: int, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Tasks for Prodigy's choice interface, one for each row of a batch.

    Parameters
    ----------
    batch, data, fields, round, classes
        As Label Studio's `tasks` takes them. The fields keep their kinds' names (image, text, audio, video), which is
        what Prodigy shows; there can be one of each kind.

    Returns
    -------
    list of dict
    """
    if len(set(fields.values())) < len(fields):
        raise ValueError(f"Prodigy shows one field of each kind, got {dict(fields)}")
    missing = [name for name in batch["id"] if name not in data.index]
    if missing:
        raise ValueError(f"{len(missing)} of {len(batch)} ids are not in the data, the first: {missing[0]!r}")
    tasks = []
    for row in batch.to_dict("records"):
        meta: dict[str, Any] = {"skmmal_id": row["id"], "round": int(round), "rank": int(row["rank"])}
        if pd.notna(row["score"]):
            meta["score"] = float(row["score"])
        if pd.notna(row["confidence"]):
            meta |= {"predicted": row["predicted"], "confidence": float(row["confidence"])}
        tasks.append(
            {
                **{kind: data.at[row["id"], name] for name, kind in fields.items() if data.at[row["id"], name] != ""},
                "options": [{"id": label, "text": label} for label in classes],
                "meta": meta,
            }
        )
    return tasks


def looks_like_prodigy(lines: Sequence[dict[str, Any]]) -> bool:
    """Whether the first line is one of Prodigy's."""
    return bool(lines) and not {"options", "answer", "accept"}.isdisjoint(lines[0])


def read_prodigy(lines: Sequence[dict[str, Any]], where: str = "the file", *, multilabel: bool = False) -> pd.DataFrame:
    """Read answers, of the choice interface and of the binary one.

    With options: ``accept`` with one option is a label, ``ignore`` a skip, ``reject`` of an option says that it is not
    this one, and ``reject`` of none is unsure. Without options, and with a ``label``: ``accept`` says that it is the
    label, ``reject`` that it is not (kept; the row is still to be labelled), ``ignore`` is a skip.

    Parameters
    ----------
    lines : sequence of dict
    where : str
    multilabel : bool, default=False
        ``accept`` with any number of options is a set, an empty one too (``choice_style: multiple``). ``reject`` of
        none is unsure; that a set is wrong, or one label right, says nothing of the others and is refused.

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError
        A line has no id of ours, several classes, or an answer to another question (spans, relations, text).
    """
    events = []
    for number, line in enumerate(lines, start=1):
        here = f"{where}: line {number}"
        meta = line.get("meta")
        key = (meta if isinstance(meta, dict) else {}).get("skmmal_id") or line.get("skmmal_id") or line.get("id")
        if key in (None, ""):
            raise ValueError(f"{here} has no meta.skmmal_id; was it exported by skmmal?")
        answer = line.get("answer")
        if answer not in (None, "accept", "reject", "ignore"):
            raise ValueError(f"{here} has the answer {answer!r}; expected accept, reject or ignore")
        label, state = _said_set(line, answer, here) if multilabel else _said(line, answer, here)
        events.append(
            {
                "id": str(key),
                "label": label,
                "state": state,
                "annotator": str(line.get("_annotator_id") or line.get("_session_id") or ""),
                "when": _time(line.get("_timestamp")),
                "annotation": str(line.get("_task_hash") or ""),
                "lead_time": "",
            }
        )
    table = pd.DataFrame(events, columns=list(EVENT_COLUMNS), dtype=object)
    table.attrs["prodigy"] = True
    return table


def _said_set(line: dict[str, Any], answer: str | None, where: str) -> tuple[Any, str]:
    """Labels and state of a line whose answer is a set."""
    if answer in (None, "ignore"):
        return "", "" if answer is None else "skip"
    if "accept" not in line and "options" not in line:
        raise ValueError(
            f"{where} is answered {answer!r} about {line.get('label')!r} and has no options: that says nothing of the "
            "other labels; sets are read from the choice interface (options, accept; choice_style: multiple)"
        )
    chosen = _accepted(line, where)
    if answer == "reject":
        if chosen:
            raise ValueError(f"{where} rejects {chosen}; that a set is wrong does not say which one is right")
        return "", "unsure"
    return chosen, "label"


def _accepted(line: dict[str, Any], where: str) -> list[str]:
    """Options that a line accepts, all of them offered."""
    chosen = line.get("accept")
    chosen = [] if chosen is None else chosen if isinstance(chosen, list) else [chosen]
    if any(isinstance(part, dict | list) for part in chosen):
        raise ValueError(f"{where} accepts {chosen!r}, which is no list of options")
    options = [option.get("id") for option in line.get("options") or [] if isinstance(option, dict)]
    odd = [part for part in chosen if options and part not in options]
    if odd:
        raise ValueError(f"{where} accepts {odd[0]!r}, which is none of its options {options[:20]}")
    return [str(part) for part in chosen]


def _said(line: dict[str, Any], answer: str | None, where: str) -> tuple[str, str]:
    """Label and state of a line."""
    if answer in (None, "ignore"):
        return "", "" if answer is None else "skip"
    if "accept" in line or "options" in line:
        chosen = _accepted(line, where)
        if len(chosen) > 1:
            raise ValueError(
                f"{where} accepts {chosen!r}; a sample has one label, unless the campaign was begun with "
                "multilabel=True (--multilabel)"
            )
        if not chosen:
            return "", "skip" if answer == "accept" else "unsure"
    else:
        label = line.get("label")
        if label in (None, "") or isinstance(label, dict | list):
            names = sorted(name for name in line if not name.startswith("_") and name not in ("meta", "answer", "text"))
            raise ValueError(
                f"{where} is answered {answer!r} and holds neither an option nor one label, but {names}; a class is "
                "read from the choice interface (options, accept) or the binary one (label)"
            )
        chosen = [str(label)]
    return chosen[0], "label" if answer == "accept" else "reject"


def _time(seconds: Any) -> str:
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    return ""
