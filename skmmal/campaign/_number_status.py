"""Where a campaign stands whose labels are numbers: tables and sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skmmal.campaign._state import State

__all__ = ["agreement_sentence", "estimate_sentences", "number_sentences", "number_table", "round_columns"]


def number_table(state: State) -> pd.DataFrame:
    """Distribution of the settled labels, and of what the last model predicts of rows without one.

    Returns
    -------
    DataFrame
        Indexed by ``labels`` and, where there was a model, ``predicted``: ``count``, ``mean``, ``std``, ``min``, the
        quartiles, ``max``.
    """
    known = state.answers.known(state.labels).astype(np.float64)
    lines = {"labels": known.describe()}
    models = [entry.receipt["model"] for entry in state.rounds if entry.receipt["model"] is not None]
    if models and "numbers_in_pool" in models[-1]:
        lines["predicted"] = pd.Series(models[-1]["numbers_in_pool"], dtype=np.float64)
    return pd.DataFrame(lines).T.rename_axis("what")


def round_columns(measured: dict[str, Any]) -> dict[str, Any]:
    """What the table of rounds says of a round's model."""
    found = measured.get("validation") or {}
    errors = {f"validation {name}": found.get(name) for name in ("mae", "r2")}
    return {"trained on": measured.get("n_labeled"), **errors}


def number_sentences(table: pd.DataFrame) -> list[str]:
    """What the labels are, in words."""
    found = table.loc["labels"]
    if not found["count"]:
        return ["No number is known yet."]
    return [
        f"The {int(found['count'])} settled labels go from {found['min']:.4g} to {found['max']:.4g}, median "
        f"{found['50%']:.4g}, mean {found['mean']:.4g}."
    ]


def estimate_sentences(rounds: pd.DataFrame, estimates: pd.DataFrame, random_fraction: float) -> list[str]:
    """How good the model is, in words."""
    lines = []
    validation = rounds.dropna(subset="validation mae")
    if len(validation):
        last = validation.iloc[-1]
        lines.append(
            f"Mean absolute error on the validation rows after the last round: {last['validation mae']:.4g}"
            + (f", R² {last['validation r2']:.3f}." if pd.notna(last["validation r2"]) else ".")
        )
    if len(estimates):
        last = estimates.iloc[-1]
        lines.append(
            f"Mean absolute error of round {int(last['round'])}'s model on the rows not labelled then, from "
            f"{int(last['n'])} drawn at random: {last['mae']:.4g} (95 % interval {last['mae_low']:.4g} to "
            f"{last['mae_high']:.4g})" + (f", R² {last['r2']:.3f}." if pd.notna(last["r2"]) else ".")
        )
    elif random_fraction == 0 and not len(validation):
        lines.append("Nothing measures the error: give --random-fraction, or --validation at the start.")
    return lines


def agreement_sentence(agreed: dict[str, Any], tolerance: float | None) -> str:
    """How far annotators agree, in words."""
    same = "give the same number" if tolerance is None else f"differ by at most {tolerance:g}"
    line = f"Of {agreed['n_several']} samples there are several numbers, which {same} in {agreed['n_unanimous']}"
    return line + (f"; Krippendorff's α = {agreed['alpha']:.2f}." if agreed["alpha"] is not None else ".")
