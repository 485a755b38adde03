"""Panels of curves: what all displays of lines share."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from skmmal._names import did_you_mean
from skmmal.display.style import grid_of_axes, strategy_styles
from skmmal.experiment import ExperimentResults, UnfinishedWarning

_MANY = 12
"""More lines than that want a legend beside the axes."""

__all__ = ["CurvesDisplay", "check_strategies", "mean_curves", "paired_rows"]


class CurvesDisplay:
    """Panels of lines: means, with a band of one standard error.

    Parameters
    ----------
    curves : DataFrame
        Columns ``mean`` and ``standard_error``, and those that `panel`, `line` and `x` name.
    titles : mapping of panel to title
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
    panel, line, x = "metric", "strategy", "n_labeled"
    """Columns of the curves: which panel, which line, where along the x-axis."""
    xlabel = "labels"

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
        crowded = self.curves[self.line].nunique() > _MANY
        size = (4.0, 3.4) if several else (9.6, 4.8) if crowded else (6.4, 4.4)
        self.axes_ = grid_of_axes(len(self.titles), ax, size, sharey=several and self.share_y)
        styles = strategy_styles(list(dict.fromkeys(self.curves[self.line])))
        for panel, (key, title) in zip(self.axes_, self.titles.items(), strict=True):
            part = self.curves[self.curves[self.panel] == key]
            for name, style in styles.items():
                curve = part[part[self.line] == name].sort_values(self.x)
                panel.plot(curve[self.x], curve["mean"], label=name, **style)
                if band:
                    low, high = (curve["mean"] + sign * curve["standard_error"] for sign in (-1, 1))
                    panel.fill_between(curve[self.x], low, high, color=style["color"], alpha=0.13, linewidth=0)
            panel.set(title=title, xlabel=self.xlabel)
            panel.grid(alpha=0.3)
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        self.ax_.set_ylabel(self.ylabel)
        self._add_legend((several or crowded) and ax is None)
        return self

    def _add_legend(self, beside: bool) -> None:
        if beside:
            handles, names = self.ax_.get_legend_handles_labels()
            columns, text = (1, "medium") if len(names) <= _MANY else (-(-len(names) // 16), "x-small")
            place = {"loc": "outside right upper", "ncols": columns, "fontsize": text}
            self.figure_.legend(handles, names, frameon=False, handlelength=3, **place)
        else:
            self.ax_.legend(frameon=False, fontsize="small", handlelength=3)


def check_strategies(results: ExperimentResults, strategies: Sequence[str] | None) -> list[str]:
    """Names of the strategies to draw: those given, or all."""
    names = results.strategies if strategies is None else list(strategies)
    for name in names:
        if name not in results.strategies:
            known = results.strategies
            raise ValueError(f"strategy {name!r} was not run; there are {known}{did_you_mean(str(name), known)}")
    return names


def paired_rows(table: pd.DataFrame, strategies: Sequence[str], round: int | None = None) -> pd.DataFrame:
    """Rows of one round, of the seeds that all these strategies have there; by default the last round with such seeds.

    Warns where seeds or a later round are left out, because runs have not ended.
    """
    part = table[table["strategy"].isin(strategies)]
    rounds = sorted(part["round"].unique(), reverse=True) if round is None else [round]
    for at in rounds:
        rows = part[part["round"] == at]
        seeds = [set(rows.loc[rows["strategy"] == name, "seed"]) for name in strategies]
        shared = set.intersection(*seeds)
        if shared or round is not None:
            break
    if at != rounds[0] or any(present != shared for present in seeds):
        what = f"shown is round {at}, with the seeds {sorted(shared)}, which all strategies have"
        warnings.warn(f"not all runs have ended: {what}", UnfinishedWarning, stacklevel=3)
    return rows[rows["seed"].isin(shared)]


def mean_curves(table: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """Mean and standard error of a column, for every combination of others in the order they come."""
    groups = table.groupby(by, sort=False, dropna=False)[value]
    return pd.DataFrame({"mean": groups.mean(), "standard_error": groups.sem()}).reset_index()
