"""Accuracy under missing modalities, noise and adversarial steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd

from skmmal import robustness
from skmmal._names import did_you_mean
from skmmal.display._panels import CurvesDisplay, check_strategies, mean_curves, paired_rows
from skmmal.experiment import ExperimentResults

__all__ = ["RobustnessDisplay", "is_curve"]

_COLUMNS = ("kind", "modality", "level", "repeat", "head", "accuracy")
_CURVES: dict[str, Callable[..., pd.DataFrame]] = {
    "missing": robustness.missing_curve,
    "noise": robustness.noise_curve,
    "fgsm": partial(robustness.adversarial_curve, method="fgsm"),
    "pgd": partial(robustness.adversarial_curve, method="pgd"),
}
_XLABELS = {"missing": "missing rate", "noise": "noise (standard deviations)"}


class RobustnessDisplay(CurvesDisplay):
    """Accuracy against the strength of a disturbance, one panel for each disturbed modality.

    Lines are the heads of one model (mean over repeats), or the strategies of an experiment (mean over seeds).

    Parameters
    ----------
    curves : DataFrame
        Columns ``modality``, ``level``, ``mean``, ``standard_error``, and what the lines are.
    titles : mapping of modality to title
        Of the panels.
    line : str
        Column of the lines.
    xlabel : str
        What the levels are.
    ylabel : str, default="accuracy"
        What the curves are.

    Attributes
    ----------
    axes_, ax_, figure_

    See Also
    --------
    skmmal.robustness : The curves as tables.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.display import RobustnessDisplay
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> clf = LateFusionClassifier(C=0.01).fit(X[::2], y[::2])
    >>> display = RobustnessDisplay.from_estimator(clf, X[1::2], y[1::2], kind="noise", n_repeats=2)
    >>> [panel.get_title() for panel in display.axes_]
    ['noise in fou', 'noise in zer', 'noise in all modalities']
    """

    panel, x = "modality", "level"

    def __init__(self, curves: pd.DataFrame, titles: dict[str, str], line: str, xlabel: str, ylabel: str) -> None:
        super().__init__(curves, titles, ylabel)
        self.line = line
        self.xlabel = xlabel

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, kind: str = "missing", ax: Any = None, band: bool = True, **options: Any
    ) -> RobustnessDisplay:
        """Measure a fitted classifier and draw the accuracy of its heads.

        Parameters
        ----------
        estimator : fitted classifier
            With the methods that the disturbance needs.
        X : array-like of shape (n_samples, n_features)
            Test rows.
        y : array-like of shape (n_samples,)
            Their labels.
        kind : {"missing", "noise", "fgsm", "pgd"}, default="missing"
        ax : matplotlib Axes, one per panel, optional
            Default: a new figure.
        band : bool, default=True
            Shade one standard error over the repeats.
        **options
            Of `skmmal.robustness.missing_curve`, `noise_curve` or `adversarial_curve`.

        Returns
        -------
        RobustnessDisplay
        """
        if kind not in _CURVES:
            raise ValueError(f"kind must be one of {list(_CURVES)}, got {kind!r}")
        return cls.from_table(_CURVES[kind](estimator, X, y, **options), ax=ax, band=band)

    @classmethod
    def from_table(cls, table: pd.DataFrame, *, ax: Any = None, band: bool = True) -> RobustnessDisplay:
        """Draw a table that a function of `skmmal.robustness` returned.

        Parameters
        ----------
        table : DataFrame
            Of one kind.
        ax : matplotlib Axes, one per panel, optional
            Default: a new figure.
        band : bool, default=True
            Shade one standard error over the repeats.

        Returns
        -------
        RobustnessDisplay
        """
        return cls._of(_kind_of(table), table, "head", "accuracy").plot(ax, band=band)

    @classmethod
    def from_results(
        cls,
        results: ExperimentResults,
        name: str = "missing",
        *,
        head: str = "fused",
        round: int | None = None,
        strategies: Sequence[str] | None = None,
        ax: Any = None,
        band: bool = True,
    ) -> RobustnessDisplay:
        """Draw an evaluation of an experiment, a line for each strategy.

        Parameters
        ----------
        results : ExperimentResults
            With such an evaluation.
        name : str, default="missing"
            Of the evaluation.
        head : str, default="fused"
            Or a modality, for the accuracy of its own head.
        round : int, optional
            Default: the last that was evaluated.
        strategies : sequence of str, optional
            Which, in which order. Default: all.
        ax : matplotlib Axes, one per panel, optional
            Default: a new figure.
        band : bool, default=True
            Shade one standard error over the seeds.

        Returns
        -------
        RobustnessDisplay
        """
        if name not in results.evaluations:
            made = list(results.evaluations)
            raise ValueError(f"evaluation {name!r} was not made; there are {made}{did_you_mean(str(name), made)}")
        table = results.evaluations[name]
        kind = _kind_of(table)
        for column, value in (("round", round), ("head", head)):
            if value is not None and value not in table[column].tolist():
                known = list(dict.fromkeys(table[column].tolist()))
                raise ValueError(f"evaluation {name!r} has no {column} {value!r}; there are {known}")
        names = check_strategies(results, strategies)
        table = paired_rows(table[table["head"] == head], names, round)
        table = pd.concat([table[table["strategy"] == strategy] for strategy in names])
        # repeats belong to their seed: the error is over seeds
        by_seed = mean_curves(table, ["strategy", "seed", "modality", "level"], "accuracy")
        ylabel = "accuracy" if head == "fused" else f"accuracy of {head}"
        return cls._of(kind, by_seed.rename(columns={"mean": "accuracy"}), "strategy", ylabel).plot(ax, band=band)

    @classmethod
    def _of(cls, kind: str, table: pd.DataFrame, line: str, ylabel: str) -> RobustnessDisplay:
        curves = mean_curves(table, ["modality", line, "level"], "accuracy")
        what = {"missing": "{} missing", "noise": "noise in {}"}.get(kind, f"{kind} on {{}}")
        shown = {robustness.ALL: "all modalities"}
        titles = {name: what.format(shown.get(name, name)) for name in dict.fromkeys(table["modality"])}
        return cls(curves, titles, line, _XLABELS.get(kind, "radius ε"), ylabel)


def is_curve(table: pd.DataFrame) -> bool:
    """Whether a table is one that can be drawn here."""
    return set(_COLUMNS) <= {*table.columns} and table["kind"].nunique() == 1


def _kind_of(table: pd.DataFrame) -> str:
    """The one kind of disturbance in a table."""
    lacking = [column for column in _COLUMNS if column not in table]
    if lacking:
        raise ValueError(f"the table has no column {lacking[0]!r}; see skmmal.robustness for what is drawn")
    kinds = list(dict.fromkeys(table["kind"]))
    if len(kinds) != 1:
        raise ValueError(f"the table holds the kinds {kinds}; draw one at a time")
    return kinds[0]
