"""Whether it is time to stop, label by label, where rows have several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from skmmal.campaign._batch import RANDOM_SLICE
from skmmal.campaign._events import read_table
from skmmal.campaign._log import Entry
from skmmal.campaign._sets import among, label_hits, states
from skmmal.campaign._state import STOP_SET, State
from skmmal.campaign._status import Status
from skmmal.stopping import RoundState, StoppingCriterion

__all__ = ["add_label_advice", "advice_by_label", "histories_by_label"]


def histories_by_label(state: State) -> dict[str, list[RoundState]]:
    """Rounds that had a model, as stopping criteria see them who look at one label: its states, 1 and 0.

    Of rounds of earlier versions confidence, entropy and accuracy on the validation rows are not known.
    """
    found: dict[str, list[RoundState]] = {name: [] for name in state.classes}
    for entry, batch in zip(state.rounds, state.batches, strict=True):
        if entry.receipt["model"] is not None:
            for name, seen in _of_round(entry, batch, state).items():
                found[name].append(seen)
    return {name: history for name, history in found.items() if history}


def advice_by_label(state: State, criteria: Sequence[StoppingCriterion]) -> pd.DataFrame:
    """What criteria say of each label by itself; those that look at no model are left out.

    Returns
    -------
    DataFrame
        ``label``, ``criterion``, ``stop`` (``True``, ``False``, ``None``: nothing can be said yet), ``value``,
        ``sentence``.
    """
    lines = [
        {"label": name, **vars(criterion.advise(history))}
        for name, history in histories_by_label(state).items()
        for criterion in criteria
        if criterion.needs
    ]
    return pd.DataFrame(lines, columns=["label", "criterion", "stop", "value", "sentence"], dtype=object)


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


def _of_round(entry: Entry, batch: pd.DataFrame, state: State) -> dict[str, RoundState]:
    """A round, for every label that its model knew."""
    classes, measured = list(entry.receipt["labels"]["classes"]), entry.receipt["model"]
    stop_set = read_table(entry.read(STOP_SET), entry.path / STOP_SET, ("id", "predicted"))
    predicted = states(stop_set["predicted"], classes).astype(np.int64)
    given = state.answers.known(state.labels)
    known = batch[batch["id"].isin(given.index) & state.answers.is_predicted(batch)]
    hits = label_hits(given.loc[known["id"]], [among(text, classes) for text in known["predicted"]], classes)
    is_drawn = (known["chosen_by"] == RANDOM_SLICE).to_numpy()
    found = {}
    for column, name in enumerate(classes):
        random_accuracy, n_random = _share(hits[is_drawn, column])
        batch_accuracy, n_batch = _share(hits[:, column])
        found[name] = RoundState(
            entry.receipt["round"],
            measured["n_labeled"],
            predictions=pd.Series(predicted[:, column], index=stop_set["id"]),
            random_accuracy=random_accuracy,
            n_random=n_random,
            batch_accuracy=batch_accuracy,
            n_batch=n_batch,
            **measured.get("labels", {}).get(name, {}),
        )
    return found


def _share(hits: np.ndarray) -> tuple[Any, int]:
    """Share of the known ones that are right, and how many are known."""
    known = hits[~np.isnan(hits)]
    return (float(known.mean()) if len(known) else None), len(known)
