"""Where a campaign stands: numbers, and a plain sentence for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skmmal.campaign._batch import RANDOM_SLICE
from skmmal.campaign._benefit import Benefit
from skmmal.campaign._drift import drift_in_words
from skmmal.campaign._files import dumps
from skmmal.campaign._number_status import (
    agreement_sentence,
    estimate_sentences,
    number_sentences,
    number_table,
    round_columns,
)
from skmmal.campaign._settings import Settings, strategy_name
from skmmal.campaign._state import State
from skmmal.campaign._units import lead_times
from skmmal.campaign._votes import latest
from skmmal.stopping import Advice

__all__ = ["Status", "make_status"]

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
        model takes for it). Where rows have several labels: ``labels`` (rows that have it), ``share`` of the rows of
        which it is known, ``not_known`` (answered rows of which it is not), and ``compared``, ``agree``, ``kappa`` of
        the annotators about it.
    rounds : DataFrame
        One line per round.
    estimates : DataFrame
        Accuracy measured on the random slices: ``round``, ``n``, ``accuracy``, ``low``, ``high`` (95 % interval:
        Wilson's; where groups are handed out, or the bootstrap's over groups, if that reaches further). Where rows
        have several labels accuracy is the share of rows all of whose labels are right, and there are ``hamming_loss``
        and ``mean_average_precision`` (over the ``n_labels`` labels that some row has), each with ``_low`` and
        ``_high`` (bootstrap). Where labels are numbers there is no accuracy, but ``mae``, ``mae_low``, ``mae_high`` and
        ``r2``.
    annotators : DataFrame
        Indexed by annotator: ``seconds`` (median lead time, if the tool says so), ``labels``, ``skip``, ``unsure``,
        ``reject`` (said which class it is not; if anyone did), ``compared`` (rows with another annotator's label, too)
        and ``agrees`` (share of them in which both say the same; see `LabelingCampaign.agreement`). Where it was
        measured also ``quality``, ``with_consensus`` and ``worst`` (see `LabelingCampaign.annotator_quality`).
    agreement : dict
        See `LabelingCampaign.agreement`.
    advice : list of Advice
        What the stopping criteria say.
    conflicts : DataFrame
        Ids whose annotators disagree: ``id``, ``settled``, ``said`` (who said what).
    origins : dict
        How many of the labels that count came about how, where the annotation tool says so: ``manual``, ``prediction``
        (a prediction was accepted), ``prediction-changed``.
    groups : DataFrame
        Indexed by group, where there are such and it was handed out: ``rows``, ``labelled``, ``pending``, ``other``.
    numbers : DataFrame
        Where labels are numbers: how they are distributed (``labels``), and what the last model predicts of rows
        without one (``predicted``): ``count``, ``mean``, ``std``, ``min``, quartiles, ``max``.
    label_advice : DataFrame
        What the criteria say of each label by itself, where that was asked (see `LabelingCampaign.advice_by_label`).
    benefit : Benefit, optional
        Whether choosing helps, where that was measured.
    measured : dict
        Of what ``benefit`` and the annotators' quality are: ``n_labels``, ``n_rounds`` (then), ``n_labels_now``,
        ``is_current`` (whether no answer has come, changed or gone since). Empty where nothing was measured.
    drift : list of dict
        For each round before which the features grew ``round``, ``n_before``, ``n_new`` and ``tests``: how the new rows
        differ from the former ones, by modality: ``auc`` of a classifier that is to tell them apart on rows that it did
        not see, its ``p``, and how many rows have the modality, ``share_before``, ``share_new``, ``p_share`` (p are
        corrected together, after Holm).
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
    groups: pd.DataFrame = field(default_factory=pd.DataFrame)
    numbers: pd.DataFrame = field(default_factory=pd.DataFrame)
    label_advice: pd.DataFrame = field(default_factory=pd.DataFrame)
    benefit: Benefit | None = None
    measured: dict[str, Any] = field(default_factory=dict)
    drift: list[dict[str, Any]] = field(default_factory=list)
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
            **({"groups": self.groups.reset_index().to_dict("records")} if len(self.groups) else {}),
            **({"numbers": self.numbers.reset_index().to_dict("records")} if len(self.numbers) else {}),
            **({"benefit": self.benefit.to_dict()} if self.benefit is not None else {}),
            **({"measured": self.measured} if self.measured else {}),
            **({"drift": self.drift} if self.drift else {}),
            "advice": [vars(advice) for advice in self.advice],
            **({"label_advice": self.label_advice.to_dict("records")} if len(self.label_advice) else {}),
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
        state.agreement,
        advice,
        state.conflicts,
        _origins(latest(state.events)),
        _groups(state),
        number_table(state) if state.answers.numbers else pd.DataFrame(),
        drift=_drift(state),
    )
    status.sentences = _sentences(status, state, settings)
    return status


def _drift(state: State) -> list[dict[str, Any]]:
    found = []
    for entry in state.rounds:
        features = entry.receipt["features"]
        if "drift" in entry.receipt:
            n_before = int(features["grown_from"])
            n_new = int(features["n_samples"]) - n_before
            what = {"round": entry.receipt["round"], "n_before": n_before, "n_new": n_new}
            found.append({**what, "tests": entry.receipt["drift"]})
    return found


def _n_validation(state: State) -> int:
    return int(state.rounds[-1].receipt["excluded"]["validation"]) if state.rounds else 0


def _classes(state: State) -> pd.DataFrame:
    labels = pd.Series(state.class_counts, dtype=np.int64, name="labels")
    table = labels.to_frame()
    table.index.name = "class"
    if state.answers.multilabel:
        return _labels_of_sets(state, table)
    table["share"] = labels / max(1, labels.sum())
    models = [entry.receipt["model"] for entry in state.rounds if entry.receipt["model"] is not None]
    if models and not state.answers.numbers:
        predicted = pd.Series(models[-1]["predicted_in_pool"], dtype=np.float64)
        table["in_pool"] = predicted.reindex(table.index).fillna(0.0) / max(1.0, predicted.sum())
    return table


def _labels_of_sets(state: State, table: pd.DataFrame) -> pd.DataFrame:
    """Rows that have each label, and how far annotators agree about it."""
    answered = state.answers.target(state.answers.known(state.labels), state.classes)
    n_known = (~np.isnan(answered)).sum(axis=0)
    table["share"] = table["labels"] / np.maximum(1, n_known)
    table["not_known"] = len(answered) - n_known
    models = [entry.receipt["model"] for entry in state.rounds if entry.receipt["model"] is not None]
    if models:
        predicted = pd.Series(models[-1]["predicted_in_pool"], dtype=np.float64)
        table["in_pool"] = predicted.reindex(table.index).fillna(0.0) / max(1, models[-1]["n_pool"])
    by_label = pd.DataFrame(state.agreement["labels"]).set_index("label") if len(table) else pd.DataFrame()
    if len(table) and by_label["n_several"].any():
        table["compared"] = by_label["n_several"]
        table[["agree", "kappa"]] = by_label[["agree", "kappa"]].astype(np.float64)
    return table


def _groups(state: State) -> pd.DataFrame:
    """Groups that were handed out, in that order."""
    handed_out = [batch[["id", "group"]] for batch in state.batches if "group" in batch]
    if not handed_out:
        return pd.DataFrame()
    table = pd.concat(handed_out, ignore_index=True).drop_duplicates("id")
    said = state.labels["state"].reindex(table["id"]).fillna("pending").to_numpy()
    by_group = table.assign(labelled=said == "label", pending=said == "pending").groupby("group", sort=False)
    counts = by_group[["labelled", "pending"]].sum()
    counts.insert(0, "rows", by_group.size())
    return counts.assign(other=counts["rows"] - counts["labelled"] - counts["pending"])


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
                **(round_columns(measured) if state.answers.numbers else _of_classifier(measured)),
            }
        )
    columns = ["round", "strategy", "handed out", "labelled", "pending", "other"]
    more = round_columns({}) if state.answers.numbers else _of_classifier({})
    return pd.DataFrame(lines, columns=[*columns, *more])


def _of_classifier(measured: dict[str, Any]) -> dict[str, Any]:
    """What the table of rounds says of a round's model."""
    return {
        "trained on": measured.get("n_labeled"),
        "confidence": measured.get("mean_confidence"),
        "validation": measured.get("validation_accuracy"),
    }


def _estimates(state: State) -> pd.DataFrame:
    lines = [
        {"round": number, "n": found.n, "accuracy": found.accuracy, "low": found.low, "high": found.high, **found.more}
        for number, found in state.slices.items()
        if found.n
    ]
    table = pd.DataFrame(lines) if lines else pd.DataFrame(columns=["round", "n", "accuracy", "low", "high"])
    return table.drop(columns=["accuracy", "low", "high"]) if state.answers.numbers else table


def _annotators(state: State) -> pd.DataFrame:
    last = latest(state.events)
    counts = last.groupby(["annotator", "state"]).size().unstack(fill_value=0) if len(last) else pd.DataFrame()
    columns = ["label", "skip", "unsure", *(name for name in counts.columns if name == "reject")]
    table = counts.reindex(columns=columns, fill_value=0).rename(columns={"label": "labels"})
    table.index.name, table.columns.name = "annotator", None
    seconds = pd.to_numeric(last["lead_time"].where(last["lead_time"] != ""), errors="coerce")
    if seconds.notna().any():
        table.insert(0, "seconds", seconds.astype(np.float64).groupby(last["annotator"]).median())
    compared = state.agreement["by_annotator"]
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
    if state.answers.numbers:
        lines += number_sentences(status.numbers)
    else:
        lines += _label_sentences(status, state) if state.answers.multilabel else _class_sentences(status)
    lines += _unit_sentences(status, state)
    if state.answers.numbers:
        lines += estimate_sentences(status.rounds, status.estimates, settings.random_fraction)
    else:
        lines += _estimate_sentences(status, settings)
    lines += _origin_sentences(status, state)
    for one in status.drift:
        lines.append(f"Before round {one['round']}: {drift_in_words(one['tests'], one['n_before'], one['n_new'])}")
    once_more = len(set(state.waiting) - set(state.pending))
    if once_more:
        lines.append(f"{once_more} rows that were handed out once more wait for another answer.")
    agreed = status.agreement
    if agreed["n_several"] and state.answers.numbers:
        lines.append(agreement_sentence(agreed, settings.tolerance))
    elif agreed["n_several"]:
        several = "were answered by several" if state.answers.multilabel else "have several labels"
        line = f"{agreed['n_several']} samples {several}, {agreed['n_unanimous']} of them agree"
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
        name, few = strategy_name(settings.initial), state.answers.few
        lines.append(f"No batch was handed out yet; {name} chooses as long as {few[0].lower()}{few[1:]}.")
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


_MEASURES = {
    "hamming_loss": "Hamming loss on the same rows (share of labels that are wrong)",
    "mean_average_precision": "Mean average precision on the same rows",
}
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


def _label_sentences(status: Status, state: State) -> list[str]:
    table = status.classes
    if table.empty:
        return ["No label is known yet."]
    lines = [
        f"{int((table['labels'] > 0).sum())} of {len(table)} labels were given, to {table['labels'].min()} to "
        f"{table['labels'].max()} rows each."
    ]
    sets = state.labels["label"][state.labels["state"] == "label"]
    if len(sets):
        sizes = sets.map(lambda label: len(state.answers.sure(label)))
        lines.append(f"A row has {sizes.mean():.2f} labels on the average; {int((sizes == 0).sum())} rows have none.")
    few = list(table.index[table["labels"] < FEW])
    if few:
        lines.append(f"Given to fewer than {FEW} rows: {', '.join(few[:10])}{', ...' if len(few) > 10 else ''}.")
    gaps = table.index[table["not_known"] > 0]
    if len(gaps):
        shown = ", ".join(f"{name} ({table['not_known'][name]})" for name in gaps[:10])
        lines.append(f"Not known of some answered rows: {shown}{', ...' if len(gaps) > 10 else ''}.")
    return lines


def _unit_sentences(status: Status, state: State) -> list[str]:
    """What was handed out in groups, and how long the answers took."""
    lines = []
    if len(status.groups):
        done = int((status.groups["pending"] == 0).sum())
        lines.append(f"{len(status.groups)} groups were handed out; {done} of them are answered.")
    seconds = lead_times(latest(state.events))
    if len(seconds):
        lines.append(
            f"The answers about {len(seconds)} samples took {seconds.median():.1f} seconds each in the median, "
            f"{seconds.sum() / 3600:.2f} hours together."
        )
    return lines


def _estimate_sentences(status: Status, settings: Settings) -> list[str]:
    lines = []
    validation = status.rounds["validation"].dropna()
    if len(validation):
        lines.append(f"Accuracy on the validation rows after the last round: {validation.iloc[-1]:.3f}.")
    if len(status.estimates):
        last = status.estimates.iloc[-1]
        what = "Subset accuracy (all labels of a row right)" if "hamming_loss" in last else "Accuracy"
        lines.append(
            f"{what} of round {int(last['round'])}'s model on the rows not labelled then, from {int(last['n'])} "
            f"drawn at random: {last['accuracy']:.3f} (95 % interval {last['low']:.3f} to {last['high']:.3f})."
        )
        for name, words in _MEASURES.items():
            if name in last and np.isfinite(last[name]):
                low, high = last[f"{name}_low"], last[f"{name}_high"]
                lines.append(f"{words}: {last[name]:.3f} (95 % interval {low:.3f} to {high:.3f}).")
    elif settings.random_fraction == 0 and not len(validation):
        lines.append("Nothing measures the accuracy: give --random-fraction, or --validation at the start.")
    return lines
