"""Rows of the features by what is known of them: who has a label, and who may be handed out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from skmmal.campaign._state import State

__all__ = ["NothingLeftError", "SortedRows", "excluded", "sort_rows"]


class NothingLeftError(ValueError):
    """Every row is labelled, handed out, held out or set aside."""


@dataclass
class SortedRows:
    """Rows of the features: those that are labelled, with their labels, the others, and who may be handed out."""

    labeled: np.ndarray
    y: np.ndarray
    unlabeled: np.ndarray
    candidates: np.ndarray
    counts: dict[str, int]


def sort_rows(ids: np.ndarray, state: State, held_out: pd.Series, include: list[str]) -> SortedRows:
    names = pd.Index(ids)
    settled = state.labels["state"].reindex(names).fillna("").to_numpy()
    in_state = {name: settled == name for name in ("label", "skip", "unsure", "conflict")}
    in_state["pending"] = names.isin(state.pending)
    in_state["validation"] = names.isin(held_out)
    unlabeled = ~in_state["validation"] & ~in_state["label"]
    known = state.answers.known(state.labels)
    labeled = np.flatnonzero(names.isin(known.index) & ~in_state["validation"])
    free = unlabeled.copy()
    for name in ("pending", "skip", "unsure", "conflict"):
        if name not in include:
            free &= ~in_state[name]
    counts = {name: int(mask.sum()) for name, mask in in_state.items()}
    if not free.any():
        aside = counts["skip"] + counts["unsure"] + counts["conflict"]
        raise NothingLeftError(
            f"nothing is left to hand out: of {len(ids)} rows {len(labeled)} are labelled, {counts['pending']} are "
            f"handed out and not answered yet, {counts['validation']} are in the validation set, {aside} are skipped, "
            "unsure or in conflict (include, --also, hands those out once more)"
        )
    y = state.answers.target(known.reindex(names[labeled]).tolist(), state.classes)
    return SortedRows(labeled, y, np.flatnonzero(unlabeled), np.flatnonzero(free), counts)


def excluded(rows: SortedRows, n_without: int) -> dict[str, int]:
    """How many rows could not be picked, and why."""
    counts = rows.counts
    return {
        "pending": counts["pending"],
        "validation": counts["validation"],
        "without any modality": n_without,
        **{name: counts[name] for name in ("label", "skip", "unsure", "conflict")},
    }
