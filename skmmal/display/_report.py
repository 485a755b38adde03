"""The report of a run: tables, figures, and one HTML file that holds them all."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from skmmal._paths import local_path
from skmmal.display._classes import ClassGainDisplay
from skmmal.display._curves import (
    ContributionDisplay,
    DominanceWeightDisplay,
    LearningCurveDisplay,
    ModalityCurveDisplay,
)
from skmmal.display._matrix import CriticalDifferenceDisplay, PairwiseMatrixDisplay
from skmmal.display._robustness import RobustnessDisplay, is_curve
from skmmal.display._selection import SelectionGridDisplay
from skmmal.display.page import Page
from skmmal.experiment import (
    ExperimentResults,
    UnfinishedWarning,
    area_under_curve,
    average_ranks,
    common_range,
    compare,
    friedman,
    pairwise_matrix,
)
from skmmal.experiment._common_range import check_metric
from skmmal.experiment._results import summary_text

__all__ = ["write_comparison", "write_report"]


def _name(results: ExperimentResults, folder: Path) -> str:
    return str(results.config.get("metadata", {}).get("dataset") or folder.absolute().name)


def write_report(
    run: Path,
    folder: Path,
    *,
    metric: str | None = None,
    baseline: str = "random",
    confidence: float = 0.9,
    images: Path | Mapping[str, Path] | None = None,
) -> Path:
    """Write the report of one run.

    Parameters
    ----------
    run : Path
        Folder of the run.
    folder : Path
        Where to write: ``report.html``, ``report.txt``, ``tables/``, ``figures/``.
    metric : str, optional
        What to compare, a column of the results. Default: accuracy, of several labels mean average precision.
    baseline : str, default="random"
        Strategy that the others are tested against.
    confidence : float, default=0.9
        Of the pairwise matrix.
    images : Path or mapping of str to Path, optional
        Folder of pictures named by id, or the picture of each id; ``pool.csv`` of the run says which row is which id.

    Returns
    -------
    Path
        Of ``report.html``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.display import write_report
    >>> from skmmal.experiment import run_experiment
    >>> X, y = load_iris(return_X_y=True)
    >>> folder = tempfile.TemporaryDirectory()
    >>> run = Path(folder.name) / "run"
    >>> results = run_experiment(
    ...     LogisticRegression(), ["margin", "random"], X[::2], y[::2], X_test=X[1::2], y_test=y[1::2],
    ...     n_initial=10, n_instances=5, n_rounds=2, seeds=2, initial="kmeans", results_dir=run,
    ... )
    >>> page = write_report(run, run / "report")
    >>> page.name, sorted(file.name for file in (page.parent / "figures").glob("*.png"))
    ('report.html', ['calibration.png', 'class_gains.png', 'learning_curves.png', 'pairwise_matrix.png'])
    >>> folder.cleanup()
    """
    run, folder = local_path(run, "run"), local_path(folder, "folder")
    results = ExperimentResults.load(run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfinishedWarning)  # the page says it
        metric = metric or results.main_metric
        check_metric(results.frame, metric)
        picture = None if images is None else _picture_of_row(results, run, images)
        page = Page(folder, f"Active learning on {_name(results, run)}")
        _about(page, results)
        page.heading(
            f"{metric.replace('_', ' ').capitalize()}",
            "Mean ± standard error over seeds: after the last round, and the normalised area under the learning curve. "
            f"Labels: needed to reach {baseline}'s mean at the end; reached: share of the seeds that do; saved: of "
            f"{baseline}'s labels, over the seeds where both do."
            if baseline in results.strategies
            else "Mean ± standard error over seeds.",
        )
        summary = results.summary(metric, baseline)
        page.table("summary", summary, summary_text(summary))
        page.figure(
            "learning_curves",
            lambda: LearningCurveDisplay.from_results(results, metric),
            f"{metric} against the number of labels; mean over seeds, the band is one standard error.",
        )
        if "cost" in results.frame:
            page.figure(
                "learning_curves_by_cost",
                lambda: LearningCurveDisplay.from_results(results, metric, x="cost"),
                f"{metric} against what the labels cost, mean over seeds after each round.",
            )
            page.table("areas_by_cost", results.area_under_curve(metric, x="cost"))
        if common_range(results.frame)[0]["seed"].nunique() > 1 and len(results.strategies) > 1:
            _tests(page, results, metric, baseline, confidence)
        if results.modalities:
            _modalities(page, results)
        _robustness(page, results)
        _class_gains(page, results, baseline)
        if "ece" in results.frame:
            page.heading("Calibration")
            page.figure(
                "calibration",
                lambda: LearningCurveDisplay.from_results(results, "ece"),
                "Expected calibration error (32 bins) of the fused head.",
            )
        if picture is not None:
            _pictures(page, results, picture)
        return page.write()


def _about(page: Page, results: ExperimentResults) -> None:
    config = results.config
    n_expected = len(config["strategies"]) * len(config["seeds"]) * (config["n_rounds"] + 1)
    if len(results.frame) < n_expected:
        page.note(f"This run has not ended: {len(results.frame)} of {n_expected} rounds are done.")
        sentence = common_range(results.frame)[1]
        if sentence:
            page.note(f"In all tables and figures, {sentence}.")
    unit = "groups" if "n_groups" in results.frame else "rows"
    what = "labels, any of them in a row" if config.get("task") == "several labels" else "classes"
    page.note(
        f"{len(results.strategies)} strategies, {len(config['seeds'])} seeds. {config['n_initial']} {unit} chosen "
        f"first ({config['initial']['name']}), then {config['n_rounds']} rounds of {config['n_instances']}. Pool: "
        f"{config['n_pool']} rows, test: {config['n_test']} rows, {len(config['classes'])} {what}"
        + (f", modalities {', '.join(results.modalities)}." if results.modalities else ".")
    )


def _tests(page: Page, results: ExperimentResults, metric: str, baseline: str, confidence: float) -> None:
    page.heading(
        "Who beats whom",
        f"Share of the rounds in which row beats column (two-sided paired t-test, confidence {confidence}).",
    )
    page.table("pairwise_matrix", results.pairwise_matrix(metric, confidence))
    page.figure(
        "pairwise_matrix",
        lambda: PairwiseMatrixDisplay.from_results(results, metric, confidence=confidence),
        "The same; the last row is how often a strategy is beaten, mean over its opponents (lower is better).",
    )
    if baseline in results.strategies:
        page.heading(
            f"Areas under the curve against {baseline}",
            "Paired over seeds: mean difference, its 95 % bootstrap interval, two-sided p-values (Holm: the t-test's, "
            "corrected for the number of strategies), seeds won, tied, lost.",
        )
        page.table("against_baseline", compare(results.frame, baseline, metric))


def _modalities(page: Page, results: ExperimentResults) -> None:
    page.heading("Modalities")
    page.figure(
        "modality_curves",
        lambda: ModalityCurveDisplay.from_results(results),
        f"{results.main_metric.replace('_', ' ').capitalize()} of the fused head and of each modality's own head.",
    )
    if len(results.modalities) == 1:
        return
    page.figure(
        "contributions",
        lambda: ContributionDisplay.from_results(results),
        "Share of each modality in the true class's probability (absolute Shapley values), mean over test rows.",
    )
    page.figure(
        "dominance_weights",
        lambda: DominanceWeightDisplay.from_results(results),
        "BMMAL's weight of the weaker modality, mean over the part of the pool that one modality dominates.",
    )
    page.figure(
        "imbalance",
        lambda: LearningCurveDisplay.from_results(results, "shapley_imbalance"),
        "Mean distance between the modalities' Shapley values of the test accuracy.",
    )


def _robustness(page: Page, results: ExperimentResults) -> None:
    """Curves under disturbances; tables of other evaluations are in the run's folder."""
    curves = {name: table for name, table in results.evaluations.items() if is_curve(table)}
    if curves:
        page.heading(
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
        page.note(f"{name}:")
        page.table(f"robustness_{name}", means)
        page.figure(
            f"robustness_{name}",
            partial(RobustnessDisplay.from_results, results, name),
            f"{name}: accuracy of the fused head; mean over seeds, the band is one standard error.",
        )


def _class_gains(page: Page, results: ExperimentResults, baseline: str) -> None:
    others = [name for name in results.strategies if name != baseline]
    if baseline not in results.strategies or not others or results.classes.empty:
        return
    strategy = "bmmal" if "bmmal" in others else others[0]
    page.heading("Classes")
    page.figure(
        "class_gains",
        lambda: ClassGainDisplay.from_results(results, strategy, baseline),
        f"Classes that {strategy} gains and loses most against {baseline} after the last round; below, the accuracy "
        "of each modality's own head on them.",
    )


def _picture_of_row(
    results: ExperimentResults, run: Path, images: Path | Mapping[str, Path]
) -> Callable[[int], Path | None]:
    """Function from a row to its picture, if there is one."""
    where, names = "images", "ids are those of pool.csv, files must exist"
    if not isinstance(images, Mapping):
        images = local_path(images, "--images")
        where, names = f"--images {images}", "names: ID.png, ID.jpg"
        if not images.is_dir():
            raise FileNotFoundError(f"--images {images}: there is no such folder")
    if not (run / "pool.csv").is_file():
        raise FileNotFoundError(f"{run} holds no pool.csv, which says what id each row has")
    ids = pd.read_csv(run / "pool.csv", dtype=str, keep_default_na=False).set_index("row")["id"]

    def picture(row: int) -> Path | None:
        if isinstance(images, Mapping):
            return images.get(ids[str(row)])
        candidates = (images / f"{ids[str(row)]}{ending}" for ending in (".png", ".jpg", ".jpeg"))
        return next((path for path in candidates if path.is_file()), None)

    if not any(picture(int(row)) for row in results.selected["row"].unique()):
        raise FileNotFoundError(f"{where}: no chosen row has a picture there ({names})")
    return picture


def _pictures(page: Page, results: ExperimentResults, picture: Callable[[int], Path | None]) -> None:
    page.heading("What was chosen", "The first seed, a line for each round, in the order picked.")
    for name in results.strategies:
        page.figure(f"selected_{name}", partial(SelectionGridDisplay.from_results, results, picture, name), name)


# ---------------------------------------------------------------------------------------------- several runs


def write_comparison(runs: list[Path], folder: Path, *, metric: str | None = None, confidence: float = 0.9) -> Path:
    """Write a report that compares strategies over several runs, those that all of them hold.

    Parameters
    ----------
    runs : list of Path
        Folders of the runs.
    folder : Path
        Where to write: ``report.html``, ``report.txt``, ``tables/``, ``figures/``.
    metric : str, optional
        What to compare, a column of the results. Default: the first run's ``main_metric``.
    confidence : float, default=0.9
        Of the pairwise matrix.

    Returns
    -------
    Path
        Of ``report.html``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.display import write_comparison
    >>> from skmmal.experiment import run_experiment
    >>> X, y = load_iris(return_X_y=True)
    >>> folder = tempfile.TemporaryDirectory()
    >>> runs = [Path(folder.name) / name for name in ("first", "second")]
    >>> for run, columns in zip(runs, (slice(2), slice(2, 4))):
    ...     results = run_experiment(
    ...         LogisticRegression(), ["margin", "random"], X[::2, columns], y[::2],
    ...         X_test=X[1::2, columns], y_test=y[1::2], results_dir=run,
    ...         n_initial=10, n_instances=5, n_rounds=2, seeds=2, initial="kmeans",
    ...     )
    >>> page = write_comparison(runs, Path(folder.name) / "report")
    >>> page.name, sorted(file.name for file in (page.parent / "tables").iterdir())
    ('report.html', ['areas.csv', 'pairwise_matrix.csv'])
    >>> folder.cleanup()
    """
    results = {}
    folder = local_path(folder, "folder")
    for run in map(local_path, runs):
        loaded = ExperimentResults.load(run)
        name = _name(loaded, run)
        results[name if name not in results else str(run)] = loaded
    first, *others = results.values()
    names = [name for name in first.strategies if all(name in other.strategies for other in others)]
    if len(names) < 2:
        raise ValueError(f"the runs share the strategies {names}; a comparison needs two")
    frames = [loaded.frame[loaded.frame["strategy"].isin(names)] for loaded in results.values()]
    metric = metric or first.main_metric
    for frame in frames:
        check_metric(frame, metric)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfinishedWarning)  # the page says it
        by_run = dict(zip(results, frames, strict=True))
        areas = pd.DataFrame({name: area_under_curve(frame, metric)["mean"][names] for name, frame in by_run.items()}).T
        page = Page(folder, f"Active learning on {len(results)} data sets")
        for name, frame in by_run.items():
            sentence = common_range(frame)[1]
            if sentence:
                page.note(f"{name}: {sentence}.")
        page.heading(f"Area under the curve of {metric.replace('_', ' ')}", "Mean over seeds; a flat curve's height.")
        page.table("areas", areas)
        page.heading(
            "Who beats whom",
            f"Shares of rounds (two-sided paired t-test, confidence {confidence}), summed over {len(results)} data "
            "sets.",
        )
        matrix = pairwise_matrix(frames, metric, confidence)
        page.table("pairwise_matrix", matrix)
        page.figure(
            "pairwise_matrix",
            lambda: PairwiseMatrixDisplay(matrix).plot(),
            "The same; the last row is the mean over opponents (lower is better).",
        )
        if len(names) > 2:
            page.heading(
                "Average ranks",
                f"Of the areas; 1 is the best. Friedman's test that all rank the same: p = {friedman(areas):.3g}. "
                + ("Fewer than ten data sets: read the ranks with care." if len(results) < 10 else ""),
            )
            page.table("ranks", average_ranks(areas).rename("average rank").to_frame())
            page.figure(
                "critical_difference",
                lambda: CriticalDifferenceDisplay(areas).plot(),
                "Strategies joined by a bar cannot be told apart (Nemenyi's test, 0.95).",
            )
        return page.write()
