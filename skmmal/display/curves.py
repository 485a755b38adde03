"""Curves over the number of labels: fused, per modality, contributions, dominance weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from skmmal.display._style import grid_of_axes, strategy_styles
from skmmal.experiment.results import ExperimentResults
from skmmal.experiment.statistics import check_metric

__all__ = ["ContributionDisplay", "DominanceWeightDisplay", "LearningCurveDisplay", "ModalityCurveDisplay"]

_LABELS = {"ece": "expected calibration error", "shapley_imbalance": "Shapley imbalance of accuracy"}


class _CurvesDisplay:
    """One panel per metric, one line per strategy: the mean over seeds, with a band of one standard error.

    Parameters
    ----------
    curves : DataFrame
        Columns ``metric``, ``strategy``, ``n_labeled``, ``mean``, ``standard_error``.
    titles : mapping of metric to title
    ylabel : str

    Attributes
    ----------
    axes_ : list of matplotlib Axes
    ax_ : matplotlib Axes
        The first.
    figure_ : matplotlib Figure
    """

    share_y = True
    """Whether the panels have one scale."""

    def __init__(self, curves: pd.DataFrame, titles: Mapping[str, str], ylabel: str) -> None:
        self.curves = curves
        self.titles = dict(titles)
        self.ylabel = ylabel

    def plot(self, ax: Any = None, *, band: bool = True) -> Any:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, or one per panel, optional
            Default: a new figure.
        band : bool, default=True
            Shade one standard error around each mean.

        Returns
        -------
        The display.
        """
        several = len(self.titles) > 1
        size = (4.0, 3.4) if several else (6.4, 4.4)
        self.axes_ = grid_of_axes(len(self.titles), ax, size, sharey=several and self.share_y)
        styles = strategy_styles(list(dict.fromkeys(self.curves["strategy"])))
        for panel, (metric, title) in zip(self.axes_, self.titles.items(), strict=True):
            part = self.curves[self.curves["metric"] == metric]
            for name, style in styles.items():
                curve = part[part["strategy"] == name]
                panel.plot(curve["n_labeled"], curve["mean"], label=name, **style)
                if band:
                    low, high = (curve["mean"] + sign * curve["standard_error"] for sign in (-1, 1))
                    panel.fill_between(curve["n_labeled"], low, high, color=style["color"], alpha=0.13, linewidth=0)
            panel.set(title=title, xlabel="labels")
            panel.grid(alpha=0.3)
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        self.ax_.set_ylabel(self.ylabel)
        self._add_legend(several and ax is None)
        return self

    def _add_legend(self, beside: bool) -> None:
        if beside:
            handles, names = self.ax_.get_legend_handles_labels()
            self.figure_.legend(handles, names, loc="outside right upper", frameon=False, handlelength=3)
        else:
            self.ax_.legend(frameon=False, fontsize="small", handlelength=3)


def _curves(results: ExperimentResults, metrics: Sequence[str], strategies: Sequence[str] | None) -> pd.DataFrame:
    frame = results.frame
    names = results.strategies if strategies is None else list(strategies)
    for name in names:
        if name not in results.strategies:
            raise ValueError(f"strategy {name!r} was not run; there are {results.strategies}")
    parts = []
    for metric in metrics:
        check_metric(frame, metric)
        for name in names:
            values = frame[frame["strategy"] == name].groupby("n_labeled")[metric]
            curve = pd.DataFrame({"mean": values.mean(), "standard_error": values.sem()}).reset_index()
            parts.append(curve.assign(metric=metric, strategy=name))
    return pd.concat(parts, ignore_index=True)


def _modalities(results: ExperimentResults) -> list[str]:
    if not results.modalities:
        raise ValueError("these results know no modalities; the experiment's classifier measured none")
    return results.modalities


class LearningCurveDisplay(_CurvesDisplay):
    """Learning curves: a metric against the number of labels.

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
        metric: str = "accuracy",
        *,
        strategies: Sequence[str] | None = None,
        ax: Any = None,
        band: bool = True,
    ) -> LearningCurveDisplay:
        """Draw a metric of an experiment.

        Parameters
        ----------
        results : ExperimentResults
        metric : str, default="accuracy"
        strategies : sequence of str, optional
            Which, in which order. Default: all.
        ax : matplotlib Axes, optional
        band : bool, default=True

        Returns
        -------
        LearningCurveDisplay
        """
        title = results.config.get("metadata", {}).get("dataset", "")
        label = _LABELS.get(metric, metric.replace("_", " "))
        return cls(_curves(results, [metric], strategies), {metric: title}, label).plot(ax, band=band)


class ModalityCurveDisplay(_CurvesDisplay):
    """Accuracy of the fused head and of each modality's own head, one panel each."""

    @classmethod
    def from_results(
        cls,
        results: ExperimentResults,
        metric: str = "accuracy",
        *,
        strategies: Sequence[str] | None = None,
        ax: Any = None,
        band: bool = True,
    ) -> ModalityCurveDisplay:
        """Draw ``accuracy`` or ``balanced_accuracy`` by modality; `ax` holds one axes more than modalities."""
        titles = {metric: "fused", **{f"{metric}_{name}": name for name in _modalities(results)}}
        curves = _curves(results, list(titles), strategies)
        return cls(curves, titles, metric.replace("_", " ")).plot(ax, band=band)


class ContributionDisplay(_CurvesDisplay):
    """Mean contribution of each modality to the true class's probability on the test rows, one panel each."""

    share_y = False  # with two modalities the panels mirror each other: one scale would leave half of each empty

    @classmethod
    def from_results(
        cls,
        results: ExperimentResults,
        *,
        strategies: Sequence[str] | None = None,
        ax: Any = None,
        band: bool = True,
    ) -> ContributionDisplay:
        """Draw the contributions; `ax` holds one axes per modality."""
        titles = {f"contribution_{name}": name for name in _modalities(results)}
        return cls(_curves(results, list(titles), strategies), titles, "mean contribution").plot(ax, band=band)


class DominanceWeightDisplay(_CurvesDisplay):
    """Mean BMMAL weight of the weaker modality where one modality dominates, one panel per dominating modality.

    References
    ----------
    .. [1] Shen et al., ACM MM 2023, figure 6.
    """

    @classmethod
    def from_results(
        cls,
        results: ExperimentResults,
        *,
        strategies: Sequence[str] | None = None,
        ax: Any = None,
        band: bool = True,
    ) -> DominanceWeightDisplay:
        """Draw the weights; `ax` holds one axes per modality."""
        titles = {f"weaker_weight_{name}": f"{name} dominates" for name in _modalities(results)}
        ylabel = "weight of the weaker modality"
        return cls(_curves(results, list(titles), strategies), titles, ylabel).plot(ax, band=band)
