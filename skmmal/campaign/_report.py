"""The report of a campaign: one HTML page with its history, no network needed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from skmmal._paths import local_path
from skmmal.campaign._campaign import LabelingCampaign
from skmmal.campaign._status import Status
from skmmal.display.page import Page
from skmmal.display.style import grid_of_axes, new_axes
from skmmal.stopping import RoundState, kappa

__all__ = ["write_campaign_report"]


def write_campaign_report(campaign: LabelingCampaign, folder: Path) -> Path:
    """Write ``report.html``, ``report.txt``, ``tables/`` and ``figures/``.

    Parameters
    ----------
    campaign : LabelingCampaign
        What it is about.
    folder : Path
        Where to write.

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
    ('report.html', ['advice.csv', 'log.csv', 'rounds.csv'])
    >>> folder.cleanup()
    """
    folder = local_path(folder, "folder")
    status = campaign.status()
    history = campaign.stopping_history()
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
    if history:
        page.figure(
            "progress",
            lambda: _draw_progress(history, status.estimates),
            "Accuracy on the validation rows and on the random slices (95 % intervals); confidence and entropy over "
            "the unlabelled rows; agreement (Cohen's κ) with the model of the round before.",
        )
    if len(status.rounds):
        page.heading("Rounds")
        page.table("rounds", status.rounds, status.rounds)
    if len(status.classes):
        several = campaign.settings.multilabel
        page.heading("Labels" if several else "Classes")
        shown = "Rows that have each label." if several else "Settled labels of each class."
        page.figure("classes", lambda: _draw_classes(status.classes), shown)
        page.table("classes", status.classes)
    if len(status.groups):
        page.heading("Groups", "Those that were handed out, in that order, and how many of their rows are answered.")
        page.table("groups", status.groups)
    if len(status.annotators):
        _people(page, status)
    if len(status.conflicts):
        page.heading(
            "Conflicts",
            "Samples that annotators label differently, and who said what. Open ones have no label with more than half "
            "of the votes; another vote settles them, or an authority's (--authority, ground truth in Label Studio).",
        )
        page.table("conflicts", status.conflicts, status.conflicts)
    page.heading("Log", "Every command that changed something; entries are never deleted.")
    page.table("log", campaign.log, campaign.log)
    return page.write()


def _people(page: Page, status: Status) -> None:
    page.heading(
        "Annotators",
        "compared: rows that another annotator labelled, too; agrees: share of them in which both say the same.",
    )
    page.table("annotators", status.annotators)
    by_label = pd.DataFrame(status.agreement.get("labels", []))
    if len(by_label):
        page.table("agreement_by_label", by_label, by_label)
    pairs = pd.DataFrame(status.agreement["pairs"])
    if len(pairs):
        page.table("agreement", pairs, pairs)


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


def _line(ax: Any, x: list, y: list, color: str, marker: str, label: str) -> None:
    ax.plot(x, [float("nan") if value is None else value for value in y], marker=marker, color=color, label=label)


def _draw_classes(classes: pd.DataFrame) -> Any:
    shown = classes.sort_values("labels").tail(40)
    ax = new_axes(None, (6.4, 0.6 + 0.24 * len(shown)))
    ax.barh([str(name) for name in shown.index], shown["labels"], color="#0072B2")
    ax.set_xlabel("labels")
    ax.margins(y=0.01)
    return ax.figure
