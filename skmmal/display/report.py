"""The report of a run: tables, figures, and one HTML file that holds them all."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from skmmal._paths import local_path
from skmmal._store import replace_file
from skmmal.display.classes import ClassGainDisplay
from skmmal.display.curves import (
    ContributionDisplay,
    DominanceWeightDisplay,
    LearningCurveDisplay,
    ModalityCurveDisplay,
)
from skmmal.display.matrix import CriticalDifferenceDisplay, PairwiseMatrixDisplay
from skmmal.display.robustness import RobustnessDisplay, is_curve
from skmmal.display.selection import SelectionGridDisplay
from skmmal.experiment import ExperimentResults, average_ranks, compare, friedman, pairwise_matrix
from skmmal.experiment.results import summary_text
from skmmal.experiment.statistics import UnfinishedWarning, area_under_curve, check_metric, common_range

__all__ = ["write_comparison", "write_report"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: 0.8rem 0; display: block; overflow-x: auto; }
th, td { padding: 0.25rem 0.7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #333; }
img { max-width: 100%; height: auto; } p.note { color: #555; }
"""


class _Report:
    """Collects sections; writes figures and tables as it goes, the page at the end."""

    def __init__(self, folder: Path, title: str) -> None:
        self.folder = folder
        self.title = title
        self.parts: list[str] = []
        self.text: list[str] = [title, ""]
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        (folder / "tables").mkdir(exist_ok=True)

    def heading(self, text: str, note: str = "") -> None:
        self.parts.append(f"<h2>{escape(text)}</h2>")
        self.text += ["", text, "-" * len(text)]
        if note:
            self.note(note)

    def note(self, text: str) -> None:
        self.parts.append(f'<p class="note">{escape(text)}</p>')
        self.text += [text, ""]

    def table(self, name: str, table: pd.DataFrame, shown: pd.DataFrame | None = None) -> None:
        """Write a table as CSV; show it, or its readable form."""
        _write(self.folder / "tables" / f"{name}.csv", table.to_csv(lineterminator="\n").encode())
        index = shown is None
        shown = table if shown is None else shown
        self.parts.append(shown.to_html(index=index, border=0, float_format=lambda x: f"{x:.4g}", na_rep=""))
        self.text += [shown.to_string(index=index, float_format=lambda x: f"{x:.4g}", na_rep=""), ""]

    def figure(self, name: str, draw: Callable[[], Any], caption: str) -> None:
        """Write a figure as PNG and PDF, and put the PNG into the page."""
        import matplotlib.pyplot as plt

        figure = draw().figure_
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=130)
        pdf = io.BytesIO()
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
        plt.close(figure)
        _write(self.folder / "figures" / f"{name}.png", png.getvalue())
        _write(self.folder / "figures" / f"{name}.pdf", pdf.getvalue())
        data = base64.b64encode(png.getvalue()).decode()
        self.parts.append(
            f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )

    def write(self) -> Path:
        title = escape(self.title)
        page = (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n" + "\n".join(self.parts) + "\n</body></html>\n"
        )
        _write(self.folder / "report.txt", ("\n".join(self.text).rstrip() + "\n").encode())
        _write(self.folder / "report.html", page.encode())
        return self.folder / "report.html"


def _write(path: Path, content: bytes) -> None:
    with replace_file(path) as file:
        file.write(content)


def _name(results: ExperimentResults, folder: Path) -> str:
    return str(results.config.get("metadata", {}).get("dataset") or folder.absolute().name)


def _use_agg() -> None:
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("reports need matplotlib: pip install 'skmmal[plot]'") from error
    matplotlib.use("agg")


def write_report(
    run: Path,
    folder: Path,
    *,
    metric: str = "accuracy",
    baseline: str = "random",
    confidence: float = 0.9,
    images: Path | None = None,
) -> Path:
    """Write the report of one run.

    Parameters
    ----------
    run : Path
        Folder of the run.
    folder : Path
        Where to write: ``report.html``, ``report.txt``, ``tables/``, ``figures/``.
    metric, baseline, confidence
        See `ExperimentResults`.
    images : Path, optional
        Folder of pictures named by id; ``pool.csv`` of the run says which row is which id.

    Returns
    -------
    Path
        Of ``report.html``.
    """
    _use_agg()
    run, folder = local_path(run, "run"), local_path(folder, "folder")
    results = ExperimentResults.load(run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfinishedWarning)  # the page says it
        return _write_report(results, run, folder, metric, baseline, confidence, images)


def _write_report(
    results: ExperimentResults,
    run: Path,
    folder: Path,
    metric: str,
    baseline: str,
    confidence: float,
    images: Path | None,
) -> Path:
    check_metric(results.frame, metric)
    picture = None if images is None else _picture_of_row(results, run, images)
    report = _Report(folder, f"Active learning on {_name(results, run)}")
    _about(report, results)
    report.heading(
        f"{metric.replace('_', ' ').capitalize()}",
        f"Mean ± standard error over seeds: after the last round, and the normalised area under the learning curve. "
        f"Labels: needed to reach {baseline}'s mean at the end; reached: share of the seeds that do; saved: of "
        f"{baseline}'s labels, over the seeds where both do."
        if baseline in results.strategies
        else "Mean ± standard error over seeds.",
    )
    summary = results.summary(metric, baseline)
    report.table("summary", summary, summary_text(summary))
    report.figure(
        "learning_curves",
        lambda: LearningCurveDisplay.from_results(results, metric),
        f"{metric} against the number of labels; mean over seeds, the band is one standard error.",
    )
    if common_range(results.frame)[0]["seed"].nunique() > 1 and len(results.strategies) > 1:
        _tests(report, results, metric, baseline, confidence)
    if results.modalities:
        _modalities(report, results)
    _robustness(report, results)
    _class_gains(report, results, baseline)
    report.heading("Calibration")
    report.figure(
        "calibration",
        lambda: LearningCurveDisplay.from_results(results, "ece"),
        "Expected calibration error (32 bins) of the fused head.",
    )
    if picture is not None:
        _pictures(report, results, picture)
    return report.write()


def _about(report: _Report, results: ExperimentResults) -> None:
    config = results.config
    n_expected = len(config["strategies"]) * len(config["seeds"]) * (config["n_rounds"] + 1)
    if len(results.frame) < n_expected:
        report.note(f"This run has not ended: {len(results.frame)} of {n_expected} rounds are done.")
        sentence = common_range(results.frame)[1]
        if sentence:
            report.note(f"In all tables and figures, {sentence}.")
    report.note(
        f"{len(results.strategies)} strategies, {len(config['seeds'])} seeds. {config['n_initial']} rows chosen first "
        f"({config['initial']['name']}), then {config['n_rounds']} rounds of {config['n_instances']}. Pool: "
        f"{config['n_pool']} rows, test: {config['n_test']} rows, {len(config['classes'])} classes"
        + (f", modalities {', '.join(results.modalities)}." if results.modalities else ".")
    )


def _tests(report: _Report, results: ExperimentResults, metric: str, baseline: str, confidence: float) -> None:
    report.heading(
        "Who beats whom",
        f"Share of the rounds in which row beats column (two-sided paired t-test, confidence {confidence}).",
    )
    report.table("pairwise_matrix", results.pairwise_matrix(metric, confidence))
    report.figure(
        "pairwise_matrix",
        lambda: PairwiseMatrixDisplay.from_results(results, metric, confidence=confidence),
        "The same; the last row is how often a strategy is beaten, mean over its opponents (lower is better).",
    )
    if baseline in results.strategies:
        report.heading(
            f"Areas under the curve against {baseline}",
            "Paired over seeds: mean difference, its 95 % bootstrap interval, two-sided p-values (Holm: the t-test's, "
            "corrected for the number of strategies), seeds won, tied, lost.",
        )
        report.table("against_baseline", compare(results.frame, baseline, metric))


def _modalities(report: _Report, results: ExperimentResults) -> None:
    report.heading("Modalities")
    report.figure(
        "modality_curves",
        lambda: ModalityCurveDisplay.from_results(results),
        "Accuracy of the fused head and of each modality's own head.",
    )
    if len(results.modalities) == 1:
        return
    report.figure(
        "contributions",
        lambda: ContributionDisplay.from_results(results),
        "Share of each modality in the true class's probability (absolute Shapley values), mean over test rows.",
    )
    report.figure(
        "dominance_weights",
        lambda: DominanceWeightDisplay.from_results(results),
        "BMMAL's weight of the weaker modality, mean over the part of the pool that one modality dominates.",
    )
    report.figure(
        "imbalance",
        lambda: LearningCurveDisplay.from_results(results, "shapley_imbalance"),
        "Mean distance between the modalities' Shapley values of the test accuracy.",
    )


def _robustness(report: _Report, results: ExperimentResults) -> None:
    """Curves under disturbances; tables of other evaluations are in the run's folder."""
    curves = {name: table for name, table in results.evaluations.items() if is_curve(table)}
    if curves:
        report.heading(
            "Robustness",
            "Accuracy of the fused head after the last round, mean over seeds, when the features of the test rows "
            "are disturbed. Missing: the share of a modality's rows that lose it; a row keeps one modality. Noise: "
            "Gaussian, in units of each feature's standard deviation. Adversarial steps: radius ε in units of the "
            "block's norm.",
        )
    for name, table in curves.items():
        last = table[(table["round"] == table["round"].max()) & (table["head"] == "fused")]
        means = last.pivot_table(
            index=["modality", "strategy"], columns="level", values="accuracy", aggfunc="mean", sort=False
        )
        report.note(f"{name}:")
        report.table(f"robustness_{name}", means)
        report.figure(
            f"robustness_{name}",
            partial(RobustnessDisplay.from_results, results, name),
            f"{name}: accuracy of the fused head; mean over seeds, the band is one standard error.",
        )


def _class_gains(report: _Report, results: ExperimentResults, baseline: str) -> None:
    others = [name for name in results.strategies if name != baseline]
    if baseline not in results.strategies or not others:
        return
    strategy = "bmmal" if "bmmal" in others else others[0]
    report.heading("Classes")
    report.figure(
        "class_gains",
        lambda: ClassGainDisplay.from_results(results, strategy, baseline),
        f"Classes that {strategy} gains and loses most against {baseline} after the last round; below, the accuracy "
        "of each modality's own head on them.",
    )


def _picture_of_row(results: ExperimentResults, run: Path, images: Path) -> Callable[[int], Path | None]:
    """Function from a row to its picture, if there is one."""
    images = local_path(images, "--images")
    if not images.is_dir():
        raise FileNotFoundError(f"--images {images}: there is no such folder")
    if not (run / "pool.csv").is_file():
        raise FileNotFoundError(f"{run} holds no pool.csv, which says what id each row has")
    ids = pd.read_csv(run / "pool.csv", dtype=str, keep_default_na=False).set_index("row")["id"]

    def picture(row: int) -> Path | None:
        found = (images / f"{ids[str(row)]}{ending}" for ending in (".png", ".jpg", ".jpeg"))
        return next((path for path in found if path.is_file()), None)

    if not any(picture(int(row)) for row in results.selected["row"].unique()):
        raise FileNotFoundError(f"--images {images}: no chosen row has a picture there (names: ID.png, ID.jpg)")
    return picture


def _pictures(report: _Report, results: ExperimentResults, picture: Callable[[int], Path | None]) -> None:
    report.heading("What was chosen", "The first seed, a line for each round, in the order picked.")
    for name in results.strategies:
        report.figure(f"selected_{name}", partial(SelectionGridDisplay.from_results, results, picture, name), name)


# ---------------------------------------------------------------------------------------------- several runs


def write_comparison(runs: list[Path], folder: Path, *, metric: str = "accuracy", confidence: float = 0.9) -> Path:
    """Write a report that compares strategies over several runs, those that all of them hold.

    Parameters
    ----------
    runs : list of Path
    folder : Path
    metric, confidence
        See `write_report`.

    Returns
    -------
    Path
        Of ``report.html``.
    """
    _use_agg()
    results = {}
    folder = local_path(folder, "folder")
    for run in map(local_path, runs):
        found = ExperimentResults.load(run)
        name = _name(found, run)
        results[name if name not in results else str(run)] = found
    first, *others = results.values()
    names = [name for name in first.strategies if all(name in other.strategies for other in others)]
    if len(names) < 2:
        raise ValueError(f"the runs share the strategies {names}; a comparison needs two")
    frames = [found.frame[found.frame["strategy"].isin(names)] for found in results.values()]
    for frame in frames:
        check_metric(frame, metric)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfinishedWarning)  # the page says it
        return _write_comparison(results, names, frames, folder, metric, confidence)


def _write_comparison(
    results: dict[str, ExperimentResults],
    names: list[str],
    frames: list[pd.DataFrame],
    folder: Path,
    metric: str,
    confidence: float,
) -> Path:
    by_run = dict(zip(results, frames, strict=True))
    areas = pd.DataFrame({name: area_under_curve(frame, metric)["mean"][names] for name, frame in by_run.items()}).T
    report = _Report(folder, f"Active learning on {len(results)} data sets")
    for name, frame in by_run.items():
        sentence = common_range(frame)[1]
        if sentence:
            report.note(f"{name}: {sentence}.")
    report.heading(f"Area under the curve of {metric.replace('_', ' ')}", "Mean over seeds; a flat curve's height.")
    report.table("areas", areas)
    report.heading(
        "Who beats whom",
        f"Shares of rounds (two-sided paired t-test, confidence {confidence}), summed over {len(results)} data sets.",
    )
    matrix = pairwise_matrix(frames, metric, confidence)
    report.table("pairwise_matrix", matrix)
    report.figure(
        "pairwise_matrix",
        lambda: PairwiseMatrixDisplay(matrix).plot(),
        "The same; the last row is the mean over opponents (lower is better).",
    )
    if len(names) > 2:
        report.heading(
            "Average ranks",
            f"Of the areas; 1 is the best. Friedman's test that all rank the same: p = {friedman(areas):.3g}. "
            + ("Fewer than ten data sets: read the ranks with care." if len(results) < 10 else ""),
        )
        report.table("ranks", average_ranks(areas).rename("average rank").to_frame())
        report.figure(
            "critical_difference",
            lambda: CriticalDifferenceDisplay(areas).plot(),
            "Strategies joined by a bar cannot be told apart (Nemenyi's test, 0.95).",
        )
    return report.write()
