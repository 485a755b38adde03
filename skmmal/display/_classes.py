"""Which classes a strategy gains and loses against another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skmmal.display._panels import check_strategies, paired_rows
from skmmal.display.style import grid_of_axes
from skmmal.experiment import ExperimentResults
from skmmal.experiment._tasks import of_config

__all__ = ["ClassGainDisplay"]


class ClassGainDisplay:
    """Classes whose accuracy one strategy raises or lowers most against another, with the modalities' own accuracies.

    Upper panel: the difference in class accuracy, mean over seeds, with one standard error. Lower panel: the
    accuracy that each modality's own head reaches on the class, under the first strategy. Where rows have several
    labels, these take the place of the classes, and average precision (or F1) that of the accuracy.

    Parameters
    ----------
    gains : DataFrame
        Indexed by class: ``gain``, ``standard_error`` and ``accuracy_NAME`` (or ``METRIC_NAME``) for each modality.
    strategy, baseline : str
        Their names, for the title.
    metric : str, default="accuracy"
        What is compared.

    Attributes
    ----------
    axes_, ax_, figure_

    References
    ----------
    .. [1] Shen et al., ACM MM 2023, figure 8.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sklearn.datasets import load_iris
    >>> from skmmal import LateFusionClassifier, MultimodalArray
    >>> from skmmal.display import ClassGainDisplay
    >>> from skmmal.experiment import run_experiment
    >>> X, y = load_iris(return_X_y=True)
    >>> X = MultimodalArray({"sepal": X[:, :2], "petal": X[:, 2:]})
    >>> results = run_experiment(
    ...     LateFusionClassifier(), ["bmmal", "random"], X[::2], y[::2], X_test=X[1::2], y_test=y[1::2],
    ...     n_initial=10, n_instances=5, n_rounds=1, seeds=2, initial="kmeans",
    ... )
    >>> display = ClassGainDisplay.from_results(results, "bmmal", "random", n_classes=1)
    >>> display.gains.columns.tolist()
    ['gain', 'standard_error', 'accuracy_sepal', 'accuracy_petal']
    """

    def __init__(self, gains: pd.DataFrame, strategy: str, baseline: str, metric: str = "accuracy") -> None:
        self.gains = gains
        self.strategy = strategy
        self.baseline = baseline
        self.metric = metric

    @classmethod
    def from_results(
        cls,
        results: ExperimentResults,
        strategy: str = "bmmal",
        baseline: str = "random",
        *,
        metric: str | None = None,
        round: int | None = None,
        n_classes: int = 5,
        ax: Any = None,
    ) -> ClassGainDisplay:
        """Draw the classes that gain and lose most.

        Parameters
        ----------
        results : ExperimentResults
            Of the experiment.
        strategy, baseline : str
            Whose classes, and against whom.
        metric : str, optional
            A column of ``results.classes``. Default: ``"accuracy"``, of several labels ``"average_precision"``.
        round : int, optional
            Default: the last.
        n_classes : int, default=5
            At most that many that gain, and as many that lose.
        ax : two matplotlib Axes, optional
            Default: a new figure.

        Returns
        -------
        ClassGainDisplay
        """
        check_strategies(results, [strategy, baseline])
        metric = str(metric or of_config(results.config).of_label)
        if metric not in results.classes:
            raise ValueError(f"metric {metric!r} was not measured of classes; there are {list(results.classes)[4:]}")
        if round is not None and round not in results.classes["round"].tolist():
            raise ValueError(f"round {round} was not run; there are 0 to {int(results.classes['round'].max())}")
        table = paired_rows(results.classes, [strategy, baseline], round)
        if table.empty:
            raise ValueError(f"{strategy!r} and {baseline!r} share no seed that got so far; nothing can be compared")
        heads = [name for name in table.columns if name.startswith(f"{metric}_")]
        of = {name: table[table["strategy"] == name] for name in (strategy, baseline)}
        by_seed = {name: part.pivot(index="seed", columns="label", values=metric) for name, part in of.items()}
        difference = by_seed[strategy] - by_seed[baseline]
        gains = pd.DataFrame({"gain": difference.mean(), "standard_error": difference.sem()})
        gains[heads] = of[strategy].groupby("label")[heads].mean()
        gains = gains.sort_values("gain", ascending=False, kind="stable").dropna(subset="gain")
        best, worst = gains.head(n_classes), gains.tail(n_classes)
        shown = pd.concat([best[best["gain"] > 0], worst[worst["gain"] < 0]])
        shown = shown[~shown.index.duplicated()]
        if shown.empty:
            shown = best
        return cls(shown, strategy, baseline, metric).plot(ax)

    def plot(self, ax: Any = None) -> ClassGainDisplay:
        """Draw.

        Parameters
        ----------
        ax : two matplotlib Axes, optional
            Default: a new figure.

        Returns
        -------
        The display.
        """
        heads = [name for name in self.gains.columns if name.startswith(f"{self.metric}_")]
        what = self.metric.replace("_", " ")
        size = (max(5.0, 1.5 + 0.7 * len(self.gains)), 2.5)
        self.axes_ = grid_of_axes(2, ax, size, n_columns=1, sharex=True)
        self.ax_, below = self.axes_
        self.figure_ = self.ax_.figure
        at = np.arange(len(self.gains))
        gain = 100 * self.gains["gain"]
        self.ax_.bar(
            at,
            gain,
            yerr=100 * self.gains["standard_error"],
            color=["0.45" if value >= 0 else "0.85" for value in gain],
            edgecolor="k",
            capsize=2,
        )
        self.ax_.axhline(0, color="k", linewidth=0.8)
        self.ax_.set_ylabel("gain in points")
        self.ax_.set_title(f"class {what}: {self.strategy} against {self.baseline}", fontsize="medium")
        offsets = np.linspace(-0.25, 0.25, len(heads)) if len(heads) > 1 else [0.0]
        for head, offset, marker in zip(heads, offsets, "osD^vPX*<>" * len(heads), strict=False):
            name = head.removeprefix(f"{self.metric}_")
            markers, stems, base = below.stem(at + offset, self.gains[head], basefmt=" ", label=name)
            markers.set(marker=marker, color="k", markerfacecolor="k" if marker in "sPX" else "w", markersize=5)
            stems.set(color="0.4", linewidth=1)
            base.set_visible(False)
        below.set(ylim=(0, 1.05), ylabel=f"own {what}")
        labels = [str(label) for label in self.gains.index]
        below.set_xticks(at, labels, rotation=35, ha="right", rotation_mode="anchor")
        if heads:
            below.legend(frameon=False, fontsize="small", ncols=len(heads), loc="lower left", bbox_to_anchor=(0, 1.0))
        return self
