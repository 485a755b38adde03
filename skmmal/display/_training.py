"""What happened while a classifier was trained."""

from __future__ import annotations

from typing import Any

import pandas as pd

from skmmal._fitted import open_model, require_fitted
from skmmal.display._panels import CurvesDisplay

__all__ = ["TrainingCurvesDisplay"]


class TrainingCurvesDisplay(CurvesDisplay):
    """Loss of every head over the epochs, and how far the modalities' progress differs.

    Parameters
    ----------
    curves : DataFrame
        Columns ``panel``, ``head``, ``epoch``, ``mean`` (the value), ``standard_error`` (zero).
    titles : mapping of panel to title
        Of the panels.
    ylabel : str
        What is drawn.

    Attributes
    ----------
    axes_, ax_, figure_

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.display import TrainingCurvesDisplay
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> clf = LateFusionClassifier(encoder_dim=8, max_iter=5, random_state=0).fit(X[::4], y[::4])
    >>> display = TrainingCurvesDisplay.from_estimator(clf)
    >>> [panel.get_title() for panel in display.axes_]
    ['loss of each head', 'discrepancy ratio']
    """

    share_y = False
    panel, line, x = "panel", "head", "epoch"
    xlabel = "epoch"

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> TrainingCurvesDisplay:
        """Draw the curves of a fitted classifier.

        Parameters
        ----------
        estimator : fitted LateFusionClassifier, or Pipeline or search with one
            Trained in epochs (``adamw``, ``sgd``): its ``loss_curve_by_head_`` is drawn, and, with encoders or
            balancing and two modalities or more, its ``discrepancy_`` (ρ, above 1 for a modality that is ahead of
            the others).
        ax : matplotlib Axes, one per panel, optional
            Default: a new figure.

        Returns
        -------
        TrainingCurvesDisplay

        Raises
        ------
        ValueError
            It was trained by a convex solver, which has no such curves.
        """
        require_fitted(estimator)
        final = open_model(estimator).final
        losses = getattr(final, "loss_curve_by_head_", None)
        if not losses:
            raise ValueError(
                f"{type(final).__name__} has no loss_curve_by_head_: only a LateFusionClassifier that was trained in "
                "epochs (solver 'adamw' or 'sgd') has one"
            )
        panels = {"loss of each head": losses}
        discrepancy = getattr(final, "discrepancy_", None) or {}
        if len(discrepancy) > 1:
            panels["discrepancy ratio"] = discrepancy
        curves = pd.DataFrame(
            [
                {"panel": panel, "head": head, "epoch": epoch, "mean": value, "standard_error": 0.0}
                for panel, by_head in panels.items()
                for head, values in by_head.items()
                for epoch, value in enumerate(values, start=1)
            ]
        )
        return cls(curves, {panel: panel for panel in panels}, "").plot(ax)

    def plot(self, ax: Any = None, *, band: bool = False) -> TrainingCurvesDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, one per panel, optional
            Default: a new figure.
        band : bool, default=False
            There is no error to shade.

        Returns
        -------
        The display.
        """
        super().plot(ax, band=band)
        for axes in self.axes_:
            for line in axes.get_lines():
                line.set_marker("")  # epochs are many
        if "discrepancy ratio" in self.titles:
            self.axes_[1].axhline(1.0, color="0.6", linewidth=0.8, zorder=0)
        return self
