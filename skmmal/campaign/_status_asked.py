"""What is added to the status of a campaign where it was asked for: it takes models, or time."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from skmmal.campaign._batch import RANDOM_SLICE
from skmmal.campaign._benefit import FEWEST, Benefit
from skmmal.campaign._state import State
from skmmal.campaign._status import Status

__all__ = ["add_benefit", "add_label_advice", "add_quality", "name_benefit"]


def add_label_advice(status: Status, advice: pd.DataFrame) -> None:
    """Say of how many labels every criterion that can say anything advises to stop."""
    status.label_advice = advice
    if advice.empty:
        status.sentences.append("Nothing can be said of single labels yet: no round had a model.")
        return
    said = advice[advice["stop"].notna()].groupby("label", sort=False)["stop"].agg(lambda stop: bool(stop.all()))
    done = list(said.index[said.to_numpy(dtype=bool)])
    shown = f": {', '.join(done[:10])}{', ...' if len(done) > 10 else ''}" if done else ""
    status.sentences.append(
        f"Of {len(said)} of {advice['label'].nunique()} labels the stopping criteria can say something by itself; of "
        f"{len(done)} of them all advise to stop{shown}."
    )


def name_benefit(status: Status, state: State) -> None:
    """Say how to find out whether choosing helps, where that can be."""
    drawn = [name for batch in state.batches for name in batch["id"][batch["chosen_by"] == RANDOM_SLICE]]
    if len(state.labels.index.intersection(drawn)) >= FEWEST:
        status.sentences.append("Whether choosing helps: skmmal campaign status --measure says it, and fits models.")


def add_benefit(status: Status, measure: Callable[[], Benefit]) -> None:
    """Measure whether choosing helps, or say why that cannot be."""
    try:
        status.benefit = measure()
        status.sentences += status.benefit.sentences
    except (ValueError, OSError) as error:  # too few labels, or the features are elsewhere
        status.sentences.append(f"Whether choosing helps cannot be said yet: {error}.")


def add_quality(status: Status, measure: Callable[[], pd.DataFrame]) -> None:
    """Measure how good annotators are, or say why that cannot be."""
    if len(status.annotators) < 2:
        return
    why = "no row was labelled by two"
    try:
        found = measure()
        if len(found):
            names = ["quality", "with_consensus", "worst"]
            status.annotators[names] = found[names].reindex(status.annotators.index)
            last = found.iloc[0]
            status.sentences.append(
                f"Judged by each other and by a model that did not see their labels, {found.index[0]}'s labels are "
                f"least often right (quality {last['quality']:.2f}, worst about {last['worst']}), {found.index[-1]}'s "
                f"most often ({found['quality'].iloc[-1]:.2f})."
            )
            return
    except (ImportError, ValueError, OSError) as error:
        why = str(error)
    status.sentences.append(f"How good annotators are cannot be said: {why}.")
