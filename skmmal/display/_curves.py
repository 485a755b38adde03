"""Curves over the number of labels: fused, per modality, contributions, dominance weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from skmmal.display._panels import CurvesDisplay, check_strategies, mean_curves
from skmmal.experiment import ExperimentResults
from skmmal.experiment._common_range import check_metric, comparable

__all__ = ["ContributionDisplay", "DominanceWeightDisplay", "LearningCurveDisplay", "ModalityCurveDisplay"]

_LABELS = {"ece": "expected calibration error", "shapley_imbalance": "Shapley imbalance of accuracy"}
_OVER = {"n_labeled": "labels", "n_groups": "groups"}


def _curves(
    results: ExperimentResults, metrics: Sequence[str], strategies: Sequence[str] | None, x: str = "n_labeled"
) -> pd.DataFrame:
    names = check_strategies(results, strategies)
    check_metric(results.frame, metrics[0])
    check_metric(results.frame, x)
    frame = comparable(results.frame[results.frame["strategy"].isin(names)])
    parts = []
    for metric in metrics:
        check_metric(frame, metric)
        for name in names:
            of_strategy = frame[frame["strategy"] == name]
            # round by round: with groups or costs, seeds do not have the same numbers
            at = of_strategy.groupby("round", sort=False)[x].mean().to_numpy()
            curve = mean_curves(of_strategy, ["round"], metric).drop(columns="round")
            curve.insert(0, x, at.astype(int) if (at % 1 == 0).all() else at)
            parts.append(curve.assign(metric=metric, strategy=name))
    return pd.concat(parts, ignore_index=True)


def _modalities(results: ExperimentResults) -> list[str]:
    if not results.modalities:
        raise ValueError("these results know no modalities; the experiment's classifier measured none")
    return results.modalities


class LearningCurveDisplay(CurvesDisplay):
    """Learning curves: a metric against the number of labels.

    Parameters
    ----------
    curves : DataFrame
        Columns ``metric``, ``strategy``, ``n_labeled``, ``mean`` and ``standard_error``.
    titles : mapping of metric to title
        Of the panels.
    ylabel : str
        What is drawn.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.display import LearningCurveDisplay
    >>> from skmmal.experiment import run_experiment
    >>> X, y = load_iris(return_X_y=True)
    >>> results = run_experiment(
    ...     LogisticRegression(), ["margin", "random"], X[::2], y[::2], X_test=X[1::2], y_test=y[1::2],
    ...     n_initial=10, n_instances=5, n_rounds=2, seeds=2, initial="kmeans",
    ... )
    >>> display = LearningCurveDisplay.from_results(results, metric="accuracy")
    >>> display.ax_.get_ylabel()
    'accuracy'
    """

    @classmethod
    def from_results(
        cls,
        results: ExperimentResults,
        metric: str | None = None,
        *,
        strategies: Sequence[str] | None = None,
        x: str = "n_labeled",
        ax: Any = None,
        band: bool = True,
    ) -> LearningCurveDisplay:
        """Draw a metric of an experiment.

        Parameters
        ----------
        results : ExperimentResults
            Of the experiment.
        metric : str, optional
            A column of its frame. Default: ``results.main_metric``.
        strategies : sequence of str, optional
            Which, in which order. Default: all.
        x : str, default="n_labeled"
            What it is drawn against: ``"n_labeled"``, ``"cost"``, ``"n_groups"``; the mean over seeds after each round.
        ax : matplotlib Axes, optional
            Default: a new figure.
        band : bool, default=True
            Shade one standard error around each mean.

        Returns
        -------
        LearningCurveDisplay
        """
        title = results.config.get("metadata", {}).get("dataset", "")
        metric = metric or results.main_metric
        label = _LABELS.get(metric, metric.replace("_", " "))
        display = cls(_curves(results, [metric], strategies, x), {metric: title}, label)
        display.x, display.xlabel = x, _OVER.get(x, x)
        return display.plot(ax, band=band)


class ModalityCurveDisplay(CurvesDisplay):
    """Accuracy, or another metric, of the fused head and of each modality's own head, one panel each.

    Parameters
    ----------
    curves : DataFrame
        Columns ``metric``, ``strategy``, ``n_labeled``, ``mean`` and ``standard_error``.
    titles : mapping of metric to title
        Of the panels.
    ylabel : str
        What is drawn.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sklearn.datasets import load_iris
    >>> from skmmal import LateFusionClassifier, MultimodalArray
    >>> from skmmal.display import ModalityCurveDisplay
    >>> from skmmal.experiment import run_experiment
    >>> X, y = load_iris(return_X_y=True)
    >>> X = MultimodalArray({"sepal": X[:, :2], "petal": X[:, 2:]})
    >>> results = run_experiment(
    ...     LateFusionClassifier(), ["bmmal", "random"], X[::2], y[::2], X_test=X[1::2], y_test=y[1::2],
    ...     n_initial=10, n_instances=5, n_rounds=1, seeds=2, initial="kmeans",
    ... )
    >>> display = ModalityCurveDisplay.from_results(results)
    >>> [panel.get_title() for panel in display.axes_]
    ['fused', 'sepal', 'petal']
    """

    @classmethod
    def from_results(
        cls,
        results: ExperimentResults,
        metric: str | None = None,
        *,
        strategies: Sequence[str] | None = None,
        ax: Any = None,
        band: bool = True,
    ) -> ModalityCurveDisplay:
        """Draw a metric by modality.

        Parameters
        ----------
        results : ExperimentResults
            Of the experiment.
        metric : str, optional
            What is drawn, one that there is by modality: ``"accuracy"``, ``"balanced_accuracy"``, or of several labels
            ``"mean_average_precision"``, ``"f1_macro"``... Default: ``results.main_metric``.
        strategies : sequence of str, optional
            Which, in which order. Default: all.
        ax : matplotlib Axes, one more than modalities, optional
            Default: a new figure.
        band : bool, default=True
            Shade one standard error around each mean.

        Returns
        -------
        ModalityCurveDisplay
        """
        metric = metric or results.main_metric
        titles = {metric: "fused", **{f"{metric}_{name}": name for name in _modalities(results)}}
        curves = _curves(results, list(titles), strategies)
        return cls(curves, titles, metric.replace("_", " ")).plot(ax, band=band)


class _PerModalityDisplay(CurvesDisplay):
    """A measure that exists once for each modality, one panel each."""

    prefix: str
    """Column of the results: this and the modality's name."""
    title = "{}"
    measure: str
    """What is measured, along the y-axis."""

    @classmethod
    def from_results(
        cls,
        results: ExperimentResults,
        *,
        strategies: Sequence[str] | None = None,
        ax: Any = None,
        band: bool = True,
    ) -> Any:
        """Draw a panel for each modality.

        Parameters
        ----------
        results : ExperimentResults
            Of the experiment.
        strategies : sequence of str, optional
            Which, in which order. Default: all.
        ax : matplotlib Axes, one per modality, optional
            Default: a new figure.
        band : bool, default=True
            Shade one standard error around each mean.

        Returns
        -------
        The display.
        """
        titles = {f"{cls.prefix}{name}": cls.title.format(name) for name in _modalities(results)}
        return cls(_curves(results, list(titles), strategies), titles, cls.measure).plot(ax, band=band)


class ContributionDisplay(_PerModalityDisplay):
    """Mean contribution of each modality to the true class's probability on the test rows, one panel each.

    Parameters
    ----------
    curves : DataFrame
        Columns ``metric``, ``strategy``, ``n_labeled``, ``mean`` and ``standard_error``.
    titles : mapping of metric to title
        Of the panels.
    ylabel : str
        What is drawn.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sklearn.datasets import load_iris
    >>> from skmmal import LateFusionClassifier, MultimodalArray
    >>> from skmmal.display import ContributionDisplay
    >>> from skmmal.experiment import run_experiment
    >>> X, y = load_iris(return_X_y=True)
    >>> X = MultimodalArray({"sepal": X[:, :2], "petal": X[:, 2:]})
    >>> results = run_experiment(
    ...     LateFusionClassifier(), ["bmmal", "random"], X[::2], y[::2], X_test=X[1::2], y_test=y[1::2],
    ...     n_initial=10, n_instances=5, n_rounds=1, seeds=2, initial="kmeans",
    ... )
    >>> display = ContributionDisplay.from_results(results)
    >>> [panel.get_title() for panel in display.axes_]
    ['sepal', 'petal']
    """

    share_y = False  # with two modalities the panels mirror each other: one scale would leave half of each empty
    prefix = "contribution_"
    measure = "mean contribution"


class DominanceWeightDisplay(_PerModalityDisplay):
    """Mean BMMAL weight of the weaker modality where one modality dominates, one panel per dominating modality.

    Parameters
    ----------
    curves : DataFrame
        Columns ``metric``, ``strategy``, ``n_labeled``, ``mean`` and ``standard_error``.
    titles : mapping of metric to title
        Of the panels.
    ylabel : str
        What is drawn.

    References
    ----------
    .. [1] Shen et al., ACM MM 2023, figure 6.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sklearn.datasets import load_iris
    >>> from skmmal import LateFusionClassifier, MultimodalArray
    >>> from skmmal.display import DominanceWeightDisplay
    >>> from skmmal.experiment import run_experiment
    >>> X, y = load_iris(return_X_y=True)
    >>> X = MultimodalArray({"sepal": X[:, :2], "petal": X[:, 2:]})
    >>> results = run_experiment(
    ...     LateFusionClassifier(), ["bmmal", "random"], X[::2], y[::2], X_test=X[1::2], y_test=y[1::2],
    ...     n_initial=10, n_instances=5, n_rounds=1, seeds=2, initial="kmeans",
    ... )
    >>> display = DominanceWeightDisplay.from_results(results)
    >>> [panel.get_title() for panel in display.axes_]
    ['sepal dominates', 'petal dominates']
    """

    prefix = "weaker_weight_"
    title = "{} dominates"
    measure = "weight of the weaker modality"
