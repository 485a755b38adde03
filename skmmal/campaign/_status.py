"""Where a campaign stands: numbers, and a plain sentence for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from skmmal.campaign._batch import RANDOM_SLICE
from skmmal.campaign._files import dumps
from skmmal.campaign._settings import Settings, strategy_name
from skmmal.campaign._state import State
from skmmal.campaign._votes import agreement, conflicts, latest
from skmmal.stopping import Advice

__all__ = ["Status", "make_status", "wilson"]

FEW = 5
"""A class with fewer labels than this is called poorly covered."""


@dataclass
class Status:
    """Status of a campaign.

    Parameters
    ----------
    folder : str
        Of the campaign.
    counts : dict
        Ids by state: ``samples``, ``label``, ``pending``, ``skip``, ``unsure``, ``conflict``, ``validation``.
    classes : DataFrame
        Indexed by class: ``labels``, ``share`` of the labels, ``in_pool`` (share of the unlabelled rows that the last
        model takes for it).
    rounds : DataFrame
        One line per round.
    estimates : DataFrame
        Accuracy measured on the random slices: ``round``, ``n``, ``accuracy``, ``low``, ``high`` (95 % Wilson
        interval).
    annotators : DataFrame
        Indexed by annotator: ``labels``, ``skip``, ``unsure``, ``reject`` (said which class it is not; if anyone did),
        ``compared`` (rows with another annotator's label, too) and ``agrees`` (share of them in which both say the
        same; see `LabelingCampaign.agreement`).
    agreement : dict
        See `LabelingCampaign.agreement`.
    advice : list of Advice
        What the stopping criteria say.
    conflicts : DataFrame
        Ids whose annotators disagree: ``id``, ``settled``, ``said`` (who said what).
    origins : dict
        How many of the labels that count came about how, where the annotation tool says so: ``manual``, ``prediction``
        (a prediction was accepted), ``prediction-changed``.
    sentences : list of str
        The same in words.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skmmal.campaign import LabelingCampaign
    >>> folder = tempfile.TemporaryDirectory()
    >>> features = {"image": np.eye(6), "text": np.ones((6, 2))}
    >>> campaign = LabelingCampaign.create(folder.name + "/mine", features, ids=list("abcdef"), initial="random")
    >>> batch = campaign.next_batch(3)
    >>> status = campaign.status()
    >>> status.counts["samples"], status.counts["pending"]
    (6, 3)
    >>> print(status.sentences[0])
    0 of 6 samples are labelled after 1 rounds; 3 are handed out and not answered yet.
    >>> folder.cleanup()
    """

    folder: str
    counts: dict[str, int]
    classes: pd.DataFrame
    rounds: pd.DataFrame
    estimates: pd.DataFrame
    annotators: pd.DataFrame
    agreement: dict[str, Any]
    advice: list[Advice]
    conflicts: pd.DataFrame = field(default_factory=pd.DataFrame)
    origins: dict[str, int] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """The same as JSON; numbers that are none are null.

        Returns
        -------
        str
            Of several lines.
        """
        return dumps(self.to_dict()).decode()

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values.

        Returns
        -------
        dict
            Tables as lists of their lines.
        """
        return {
            "folder": self.folder,
            "counts": self.counts,
            "classes": self.classes.reset_index().to_dict("records"),
            "rounds": self.rounds.to_dict("records"),
            "estimates": self.estimates.to_dict("records"),
            "annotators": self.annotators.reset_index().to_dict("records"),
            "agreement": self.agreement,
            "conflicts": self.conflicts.to_dict("records"),
            "origins": self.origins,
            "advice": [vars(advice) for advice in self.advice],
            "sentences": self.sentences,
        }


def make_status(folder: Path, state: State, settings: Settings, n_samples: int, advice: list[Advice]) -> Status:
    """Collect the status; `n_samples` is the number of rows at the beginning."""
    counts = {
        "samples": n_samples,
        **{name: len(state.ids_in_state(name)) for name in ("label", "skip", "unsure", "conflict")},
        "pending": len(state.pending),
        "validation": _n_validation(state),
    }
    if state.rounds:
        counts["samples"] = int(state.rounds[-1].receipt["features"]["n_samples"])
    status = Status(
        str(folder),
        counts,
        _classes(state),
        _rounds(state),
        _estimates(state),
        _annotators(state),
        agreement(state.events),
        advice,
        conflicts(state.events),
        _origins(latest(state.events)),
    )
    status.sentences = _sentences(status, state, settings)
    return status


def _n_validation(state: State) -> int:
    return int(state.rounds[-1].receipt["excluded"]["validation"]) if state.rounds else 0


def _classes(state: State) -> pd.DataFrame:
    labels = pd.Series(state.class_counts, dtype=np.int64, name="labels")
    table = labels.to_frame()
    table.index.name = "class"
    table["share"] = labels / max(1, labels.sum())
    models = [entry.receipt["model"] for entry in state.rounds if entry.receipt["model"] is not None]
    if models:
        predicted = pd.Series(models[-1]["predicted_in_pool"], dtype=np.float64)
        table["in_pool"] = predicted.reindex(table.index).fillna(0.0) / max(1.0, predicted.sum())
    return table


def _rounds(state: State) -> pd.DataFrame:
    lines = []
    for entry, batch in zip(state.rounds, state.batches, strict=True):
        receipt = entry.receipt
        measured = receipt["model"] or {}
        states = state.labels["state"].reindex(batch["id"]).fillna("pending").value_counts()
        lines.append(
            {
                "round": receipt["round"],
                "strategy": receipt["strategy"]["name"],
                "handed out": len(batch),
                "labelled": int(states.get("label", 0)),
                "pending": int(states.get("pending", 0)),
                "other": len(batch) - int(states.get("label", 0)) - int(states.get("pending", 0)),
                "trained on": measured.get("n_labeled"),
                "confidence": measured.get("mean_confidence"),
                "validation": measured.get("validation_accuracy"),
            }
        )
    columns = ["round", "strategy", "handed out", "labelled", "pending", "other"]
    return pd.DataFrame(lines, columns=[*columns, "trained on", "confidence", "validation"])


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share, after Wilson.

    Examples
    --------
    >>> [round(bound, 3) for bound in wilson(8, 10)]
    [0.49, 0.943]
    """
    interval = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _estimates(state: State) -> pd.DataFrame:
    lines = []
    for round_state in state.history:
        if round_state.n_random:
            accuracy = float(round_state.random_accuracy or 0.0)
            low, high = wilson(round(accuracy * round_state.n_random), round_state.n_random)
            lines.append(
                {"round": round_state.round, "n": round_state.n_random, "accuracy": accuracy, "low": low, "high": high}
            )
    return pd.DataFrame(lines, columns=["round", "n", "accuracy", "low", "high"])


def _annotators(state: State) -> pd.DataFrame:
    last = latest(state.events)
    counts = last.groupby(["annotator", "state"]).size().unstack(fill_value=0) if len(last) else pd.DataFrame()
    columns = ["label", "skip", "unsure", *(name for name in counts.columns if name == "reject")]
    table = counts.reindex(columns=columns, fill_value=0).rename(columns={"label": "labels"})
    table.index.name, table.columns.name = "annotator", None
    compared = agreement(state.events)["by_annotator"]
    table["compared"] = [compared.get(name, {"n": 0})["n"] for name in table.index]
    table["agrees"] = np.array([compared.get(name, {}).get("agrees") for name in table.index], dtype=np.float64)
    return table


def _origins(last: pd.DataFrame) -> dict[str, int]:
    known = last["origin"][(last["state"] == "label") & (last["origin"] != "")]
    return {str(name): int(n) for name, n in known.value_counts().sort_index().items()}


# --------------------------------------------------------------------------------------------------- in words


def _sentences(status: Status, state: State, settings: Settings) -> list[str]:
    counts = status.counts
    lines = [
        f"{counts['label']} of {counts['samples']} samples are labelled after {len(state.rounds)} rounds; "
        f"{counts['pending']} are handed out and not answered yet."
    ]
    aside = [f"{counts[name]} {word}" for name, word in _ASIDE if counts[name]]
    if aside:
        lines.append(f"Set aside: {', '.join(aside)}.")
    lines += _class_sentences(status)
    lines += _estimate_sentences(status, settings)
    lines += _origin_sentences(status, state)
    agreed = status.agreement
    if agreed["n_several"]:
        line = f"{agreed['n_several']} samples have several labels, {agreed['n_unanimous']} of them agree"
        line += f"; Fleiss' κ = {agreed['fleiss']:.2f}." if agreed["fleiss"] is not None else "."
        lines.append(line)
    if len(status.conflicts):
        n_open = counts["conflict"]
        lines.append(
            f"Annotators disagree about {len(status.conflicts)} samples"
            + (
                f"; {n_open} are in conflict until a majority or an authority settles them."
                if n_open
                else ", all settled."
            )
        )
    if not state.rounds:
        name = strategy_name(settings.initial)
        lines.append(f"No batch was handed out yet; {name} chooses as long as fewer than two classes have labels.")
    return lines


def _origin_sentences(status: Status, state: State) -> list[str]:
    n = sum(status.origins.values())
    if not n or set(status.origins) == {"manual"}:
        return []
    words = {
        "manual": "made by hand",
        "prediction": "predictions accepted",
        "prediction-changed": "predictions changed",
    }
    shown = ", ".join(f"{count} {words.get(name, name)}" for name, count in status.origins.items())
    lines = [f"Of {n} labels it is known how they came about: {shown}."]
    drawn = {name for batch in state.batches for name in batch["id"][batch["chosen_by"] == RANDOM_SLICE]}
    last = latest(state.events)
    anchored = last["id"][last["origin"].str.startswith("prediction") & last["id"].isin(drawn)].nunique()
    if anchored:
        lines.append(
            f"{anchored} rows that were drawn at random were labelled with the prediction in sight: the accuracy "
            "measured on them is biased upwards."
        )
    return lines


_ASIDE = (("skip", "skipped"), ("unsure", "unsure"), ("conflict", "in conflict (annotators disagree)"))


def _class_sentences(status: Status) -> list[str]:
    table = status.classes
    if table.empty:
        return ["No class is known yet."]
    few = list(table.index[table["labels"] < FEW])
    line = f"{int((table['labels'] > 0).sum())} of {len(table)} classes have labels"
    most, least = table["labels"].max(), table["labels"].min()
    line += f", from {least} to {most} each."
    lines = [line]
    if few:
        lines.append(f"Fewer than {FEW} labels: {', '.join(few[:10])}{', ...' if len(few) > 10 else ''}.")
    return lines


def _estimate_sentences(status: Status, settings: Settings) -> list[str]:
    lines = []
    validation = status.rounds["validation"].dropna()
    if len(validation):
        lines.append(f"Accuracy on the validation rows after the last round: {validation.iloc[-1]:.3f}.")
    if len(status.estimates):
        last = status.estimates.iloc[-1]
        lines.append(
            f"Accuracy of round {int(last['round'])}'s model on the rows not labelled then, from {int(last['n'])} "
            f"drawn at random: {last['accuracy']:.3f} (95 % interval {last['low']:.3f} to {last['high']:.3f})."
        )
    elif settings.random_fraction == 0 and not len(validation):
        lines.append("Nothing measures the accuracy: give --random-fraction, or --validation at the start.")
    return lines
