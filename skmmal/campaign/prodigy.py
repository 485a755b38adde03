"""JSON lines in Prodigy's style: tasks with options out, answers in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from skmmal.campaign.votes import EVENT_COLUMNS

__all__ = ["prodigy_tasks", "read_prodigy"]


def prodigy_tasks(
    batch: pd.DataFrame, data: pd.DataFrame, fields: Mapping[str, str], round: int, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Tasks for Prodigy's choice interface, one for each row of a batch.

    Parameters
    ----------
    batch, data, fields, round, classes
        As in `skmmal.campaign.label_studio.tasks`. The fields keep their kinds' names (image, text, audio, video),
        which is what Prodigy shows; there can be one of each kind.

    Returns
    -------
    list of dict
    """
    if len(set(fields.values())) < len(fields):
        raise ValueError(f"Prodigy shows one field of each kind, got {dict(fields)}")
    missing = [name for name in batch["id"] if name not in data.index]
    if missing:
        raise ValueError(f"{len(missing)} of {len(batch)} ids are not in the data, the first: {missing[0]!r}")
    found = []
    for row in batch.to_dict("records"):
        meta: dict[str, Any] = {"skmmal_id": row["id"], "round": int(round), "rank": int(row["rank"])}
        if pd.notna(row["score"]):
            meta["score"] = float(row["score"])
        if row["predicted"] != "":
            meta |= {"predicted": row["predicted"], "confidence": float(row["confidence"])}
        found.append(
            {
                **{kind: data.at[row["id"], name] for name, kind in fields.items() if data.at[row["id"], name] != ""},
                "options": [{"id": label, "text": label} for label in classes],
                "meta": meta,
            }
        )
    return found


def read_prodigy(lines: Sequence[dict[str, Any]], where: str = "the file") -> pd.DataFrame:
    """Read answers: ``accept`` with one option is a label, ``ignore`` a skip, ``reject`` unsure.

    Parameters
    ----------
    lines : sequence of dict
    where : str

    Returns
    -------
    DataFrame
    """
    events = []
    for number, line in enumerate(lines, start=1):
        meta = line.get("meta")
        key = (meta if isinstance(meta, dict) else {}).get("skmmal_id") or line.get("skmmal_id") or line.get("id")
        if key in (None, ""):
            raise ValueError(f"{where}: line {number} has no meta.skmmal_id; was it exported by skmmal?")
        accepted, answer = line.get("accept") or [], line.get("answer")
        if not isinstance(accepted, list) or len(accepted) > 1:
            raise ValueError(f"{where}: line {number} accepts {accepted!r}; a sample has one label")
        if answer not in (None, "accept", "reject", "ignore"):
            raise ValueError(f"{where}: line {number} has the answer {answer!r}; expected accept, reject or ignore")
        state = {"ignore": "skip", "reject": "unsure", "accept": "label" if accepted else "skip", None: ""}[answer]
        events.append(
            {
                "id": str(key),
                "label": str(accepted[0]) if state == "label" else "",
                "state": state,
                "annotator": str(line.get("_annotator_id") or line.get("_session_id") or ""),
                "when": _time(line.get("_timestamp")),
                "annotation": str(line.get("_task_hash") or ""),
                "lead_time": "",
            }
        )
    return pd.DataFrame(events, columns=list(EVENT_COLUMNS), dtype=object)


def _time(seconds: Any) -> str:
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    return ""
