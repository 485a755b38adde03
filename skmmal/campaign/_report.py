"""The report of a campaign: one HTML page with its history, no network needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from textwrap import shorten
from typing import Any

import pandas as pd

from skmmal._paths import local_path
from skmmal.campaign._campaign import LabelingCampaign
from skmmal.campaign._status import Status
from skmmal.campaign._votes import latest
from skmmal.campaign.page._media import Media
from skmmal.display.page import Page, thumbnail
from skmmal.display.style import COLORS, grid_of_axes, new_axes
from skmmal.stopping import RoundState, kappa

__all__ = ["write_campaign_report"]

N_SHOWN, N_ROUNDS, N_LISTED, N_DOUBTS = 24, 8, 1000, 30


def write_campaign_report(
    campaign: LabelingCampaign,
    folder: Path,
    *,
    data: pd.DataFrame | None = None,
    fields: Mapping[str, str] | None = None,
    root: str | os.PathLike[str] | None = None,
    measure: bool = False,
) -> Path:
    """Write ``report.html``, ``report.txt``, ``tables/`` and ``figures/``.

    Parameters
    ----------
    campaign : LabelingCampaign
        What it is about.
    folder : Path
        Where to write.
    data : DataFrame, optional
        What annotators see (see `read_data`): rows are shown with their first image and text.
    fields : mapping of str to str, optional
        Column of `data` to its kind.
    root : path-like, optional
        Folder of the files that `data` names; nothing outside it is read. Needed for images.
    measure : bool, default=False
        Fit models, to say whether choosing helps and how good annotators are (see `LabelingCampaign.status`); otherwise
        the page shows what was measured last.

    Returns
    -------
    Path
        Of ``report.html``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skmmal.campaign import LabelingCampaign, write_campaign_report
    >>> folder = tempfile.TemporaryDirectory()
    >>> features = {"image": np.eye(6), "text": np.ones((6, 2))}
    >>> campaign = LabelingCampaign.create(folder.name + "/mine", features, ids=list("abcdef"), initial="random")
    >>> batch = campaign.next_batch(3)
    >>> page = write_campaign_report(campaign, Path(folder.name) / "report")
    >>> page.name, sorted(file.name for file in (page.parent / "tables").iterdir())
    ('report.html', ['advice.csv', 'chosen.csv', 'log.csv', 'rounds.csv'])
    >>> folder.cleanup()
    """
    folder = local_path(folder, "folder")
    status = campaign.status(measure=measure)
    history = campaign.stopping_history()
    rows = _Rows(data, dict(fields or {}), root)
    page = Page(folder, f"Labelling campaign {campaign.folder.absolute().name}")
    for line in status.sentences:
        page.note(line)
    page.heading("Time to stop?", "Advice, not more. Stability and certainty can be those of a model that is wrong.")
    words = {True: "stop", False: "go on", None: "cannot say yet"}
    advice = pd.DataFrame(
        [(judged.criterion, words[judged.stop], judged.sentence) for judged in status.advice],
        columns=["criterion", "advice", "in words"],
    )
    page.table("advice", advice, advice)
    if history and campaign.settings.answers.numbers:
        page.figure(
            "progress",
            lambda: _draw_errors(history, status),
            "Mean absolute error on the validation rows and on the random slices (95 % intervals).",
        )
    elif history:
        page.figure(
            "progress",
            lambda: _draw_progress(history, status.estimates),
            "Accuracy on the validation rows and on the random slices (95 % intervals); confidence and entropy over "
            "the unlabelled rows; agreement (Cohen's κ) with the model of the round before.",
        )
    if len(status.rounds):
        page.heading("Rounds")
        page.table("rounds", status.rounds, status.rounds)
        _chosen(page, campaign, rows)
    if len(status.classes):
        several = campaign.settings.multilabel
        page.heading("Labels" if several else "Classes")
        shown = "Rows that have each label." if several else "Settled labels of each class."
        page.figure("classes", lambda: _draw_classes(status.classes), shown)
        page.table("classes", status.classes)
    if len(status.numbers):
        page.heading("Labels")
        known = pd.to_numeric(campaign.labels["label"], errors="coerce").dropna()
        page.figure("labels", lambda: _draw_numbers(known), "Settled labels.")
        page.table("labels", status.numbers)
    if len(status.groups):
        page.heading("Groups", "Those that were handed out, in that order, and how many of their rows are answered.")
        page.table("groups", status.groups)
    if len(status.annotators):
        _people(page, status, campaign)
    _second_looks(page, status, campaign, rows)
    page.heading("Log", "Every command that changed something; entries are never deleted.")
    page.table("log", campaign.log, campaign.log)
    return page.write()


class _Rows:
    """What rows look like, where somebody says so."""

    def __init__(self, data: pd.DataFrame | None, fields: dict[str, str], root: str | os.PathLike[str] | None) -> None:
        self.media = None
        if data is not None:
            self.media = Media(data, fields, local_path("." if root is None else root, "root"))
        first = {kind: name for name, kind in reversed(list(fields.items()))}
        self.image, self.text = first.get("image"), first.get("text")

    def picture(self, row: str) -> str:
        """Small picture of a row; empty for none."""
        if self.media is None or self.image is None:
            return ""
        return thumbnail(self.media.find(row, self.image))

    def words(self, row: str) -> str:
        """Beginning of a row's text; empty for none."""
        if self.media is None or self.text is None or row not in self.media.data.index:
            return ""
        return shorten(str(self.media.data.at[row, self.text]), 80, placeholder=" …")

    def table(self, page: Page, name: str, table: pd.DataFrame) -> None:
        """A table of rows, with their pictures and texts where there are any."""
        shown = table.assign(text=[self.words(row) for row in table["id"]]) if self.text else table
        page.table(name, table, shown, [self.picture(row) for row in table["id"]] if self.image else None)


def _chosen(page: Page, campaign: LabelingCampaign, rows: _Rows) -> None:
    batches = campaign.batches
    page.heading(
        "What was chosen",
        "Every row that was handed out, and what became of it."
        + (f" Pictures: the first {N_SHOWN} rows of each of the last {N_ROUNDS} rounds." if rows.media else ""),
    )
    if rows.media is not None:
        for number, batch in list(batches.groupby("round"))[-N_ROUNDS:]:
            page.note(f"Round {number}:")
            page.pictures(
                [
                    (rows.picture(row["id"]), "; ".join(part for part in _caption(row, rows) if part))
                    for row in batch.head(N_SHOWN).to_dict("records")
                ]
            )
    columns = ["round", "id", "chosen_by", "predicted", "confidence", "state", "label", "why"]
    shown = batches[[name for name in columns if name in batches]]
    page.table("chosen", batches, shown.tail(N_LISTED))
    if len(batches) > N_LISTED:
        page.note(f"The last {N_LISTED} of {len(batches)} rows; the CSV file holds them all.")


def _caption(row: dict[Any, Any], rows: _Rows) -> list[str]:
    said = row["label"] or row["state"]
    guess = f"predicted {row['predicted']}" if row["predicted"] not in ("", row["label"]) else ""
    return [str(row["id"]), rows.words(row["id"]), str(said), guess]


def _people(page: Page, status: Status, campaign: LabelingCampaign) -> None:
    page.heading(
        "Annotators",
        "compared: rows that another annotator labelled, too; agrees: share of them in which both say the same. "
        "accepted, changed: answers given with a suggestion in sight; by hand: without one.",
    )
    last = latest(campaign.state().events)
    last = last[last["state"] == "label"]
    names = {"prediction": "accepted", "prediction-changed": "changed", "manual": "by hand"}
    origins = last[last["origin"].isin(names)].groupby(["annotator", "origin"]).size().unstack(fill_value=0)
    people = status.annotators.join(origins.rename(columns=names).reindex(columns=list(names.values())))
    seconds = pd.to_numeric(last["lead_time"], errors="coerce").groupby(last["annotator"]).median()
    people["median seconds"] = seconds.reindex(people.index)
    people = people.dropna(axis="columns", how="all")
    counts = [name for name in names.values() if name in people]
    people[counts] = people[counts].fillna(0).astype(int)
    page.table("annotators", people)
    by_label = pd.DataFrame(status.agreement.get("labels", []))
    if len(by_label):
        page.table("agreement_by_label", by_label, by_label)
    pairs = pd.DataFrame(status.agreement["pairs"])
    if len(pairs):
        page.table("agreement", pairs, pairs)
    days = _labels_per_day(campaign)
    if len(days):
        page.heading("Labels per day", "By the annotation tool's time, or else the day on which they came in; in UTC.")
        if len(days) > 1:
            page.figure("labels_per_day", lambda: _draw_days(days), "Answers of each day and annotator.")
        page.table("labels_per_day", days)


def _labels_per_day(campaign: LabelingCampaign) -> pd.DataFrame:
    """Answers that count, a line for each day and a column for each annotator."""
    state = campaign.state()
    last = latest(state.events)
    arrived = {entry.number: str(entry.stamp.get("when", "")) for entry in state.label_entries}
    when = last["when"].where(last["when"] != "", last["entry"].map(arrived))
    day = pd.to_datetime(when, utc=True, format="ISO8601", errors="coerce").dt.strftime("%Y-%m-%d")
    table = last.groupby([day.rename("day"), "annotator"]).size().unstack(fill_value=0)
    table.columns.name = None
    return table


def _second_looks(page: Page, status: Status, campaign: LabelingCampaign, rows: _Rows) -> None:
    """Labels that the model doubts, and rows that annotators label differently."""
    try:
        doubts = campaign.doubts(N_DOUBTS)
    except (ValueError, OSError) as error:  # too few labels, or the features are elsewhere
        doubts, why = pd.DataFrame(), str(error)
    if len(doubts) or len(status.conflicts):
        page.heading("Worth a second look")
    if len(doubts) and campaign.settings.answers.numbers:
        page.note(
            f"The {len(doubts)} labels that are farthest from what a model predicts that did not see them. A large "
            "deviation (difference in robust standard deviations) is a reason to look again, not a proof."
        )
    elif len(doubts):
        page.note(
            f"The {len(doubts)} labels that the model doubts most, and what it would say. A low self-confidence "
            "(probability of the label under a model that did not see it) is a reason to look again, not a proof."
        )
    if len(doubts):
        rows.table(page, "doubts", doubts)
    elif len(status.annotators):
        page.note(f"Labels cannot be checked by the model: {why}.")
    if len(status.conflicts):
        page.note(
            "Samples that annotators label differently, and who said what. Open ones have no label with more than half "
            "of the votes; another vote settles them, or an authority's (--authority, ground truth in Label Studio)."
        )
        rows.table(page, "conflicts", status.conflicts)


def _draw_progress(history: list[RoundState], estimates: pd.DataFrame) -> Any:
    accuracy, certainty, stability = grid_of_axes(3, None)
    n_labels = [state.n_labeled for state in history]
    by_round = {state.round: state.n_labeled for state in history}
    measured = [
        (state.n_labeled, state.validation_accuracy) for state in history if state.validation_accuracy is not None
    ]
    if measured:
        accuracy.plot(*zip(*measured, strict=True), marker="o", color="#000000", label="validation")
    if len(estimates):
        x = [by_round[number] for number in estimates["round"]]
        spread = [estimates["accuracy"] - estimates["low"], estimates["high"] - estimates["accuracy"]]
        accuracy.errorbar(
            x, estimates["accuracy"], spread, marker="s", color="#D55E00", capsize=2, label="random slice"
        )
    if measured or len(estimates):
        accuracy.legend(frameon=False)
    accuracy.set_ylabel("accuracy")
    _line(certainty, n_labels, [state.mean_confidence for state in history], "#000000", "o", "mean confidence")
    _line(certainty, n_labels, [state.mean_entropy for state in history], "#0072B2", "^", "mean entropy / log K")
    certainty.legend(frameon=False)
    agreed = [
        kappa(earlier.predictions, later.predictions)
        for earlier, later in pairwise(history)
        if earlier.predictions is not None and later.predictions is not None
    ]
    _line(stability, n_labels[1:], agreed, "#000000", "D", "")
    stability.set_ylabel("κ with the round before")
    for ax in (accuracy, certainty, stability):
        ax.set_xlabel("labels")
        ax.grid(alpha=0.25)
    return accuracy.figure


def _draw_errors(history: list[RoundState], status: Status) -> Any:
    ax = new_axes(None, (6.4, 3.2))
    by_round = {state.round: state.n_labeled for state in history}
    rounds = status.rounds[status.rounds["round"].isin(list(by_round))]
    _line(ax, rounds["round"].map(by_round).tolist(), rounds["validation mae"].tolist(), "#000000", "o", "validation")
    estimates = status.estimates
    if len(estimates):
        spread = [estimates["mae"] - estimates["mae_low"], estimates["mae_high"] - estimates["mae"]]
        x = estimates["round"].map(by_round)
        ax.errorbar(x, estimates["mae"], spread, marker="s", color="#D55E00", capsize=2, label="random slice")
    ax.legend(frameon=False)
    ax.set_ylabel("mean absolute error")
    ax.set_xlabel("labels")
    ax.grid(alpha=0.25)
    return ax.figure


def _draw_numbers(known: pd.Series) -> Any:
    ax = new_axes(None, (6.4, 3.2))
    ax.hist(known, bins="auto", color="#0072B2")
    ax.set_xlabel("label")
    ax.set_ylabel("rows")
    return ax.figure


def _line(ax: Any, x: list, y: list, color: str, marker: str, label: str) -> None:
    ax.plot(x, [float("nan") if value is None else value for value in y], marker=marker, color=color, label=label)


def _draw_classes(classes: pd.DataFrame) -> Any:
    shown = classes.sort_values("labels").tail(40)
    ax = new_axes(None, (6.4, 0.6 + 0.24 * len(shown)))
    ax.barh([str(name) for name in shown.index], shown["labels"], color="#0072B2")
    ax.set_xlabel("labels")
    ax.margins(y=0.01)
    return ax.figure


def _draw_days(days: pd.DataFrame) -> Any:
    ax = new_axes(None, (6.4, 3.2))
    bottom = pd.Series(0, index=days.index)
    for i, name in enumerate(days.columns):
        ax.bar(list(days.index), days[name], bottom=bottom, color=COLORS[i % len(COLORS)], label=str(name))
        bottom = bottom + days[name]
    ax.set_ylabel("answers")
    ax.tick_params(axis="x", rotation=45)
    ax.legend(frameon=False)
    return ax.figure
