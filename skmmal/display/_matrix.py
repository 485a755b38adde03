"""Who beats whom: the pairwise matrix, and average ranks over data sets."""

from __future__ import annotations

from typing import Any

import pandas as pd

from skmmal.display.style import new_axes
from skmmal.experiment import ExperimentResults, average_ranks, critical_difference

__all__ = ["CriticalDifferenceDisplay", "PairwiseMatrixDisplay"]


class PairwiseMatrixDisplay:
    """The pairwise matrix as a grey map with its numbers; the last row holds the columns' means (lower is better).

    Parameters
    ----------
    matrix : DataFrame
        From `skmmal.experiment.pairwise_matrix`: row beats column.
    largest : float, optional
        What is drawn darkest. Default: 1, or the largest entry of a sum over experiments.

    Attributes
    ----------
    ax_, figure_

    Examples
    --------
    >>> import pandas as pd
    >>> from skmmal.display import PairwiseMatrixDisplay
    >>> matrix = pd.DataFrame([[0.0, 0.5], [0.25, 0.0]], index=["bmmal", "random"], columns=["bmmal", "random"])
    >>> display = PairwiseMatrixDisplay(matrix, largest=1.0)
    >>> display.largest
    1.0
    """

    def __init__(self, matrix: pd.DataFrame, largest: float | None = None) -> None:
        self.matrix = matrix
        self.largest = max(1.0, float(matrix.to_numpy().max())) if largest is None else largest

    @classmethod
    def from_results(
        cls, results: ExperimentResults, metric: str | None = None, *, confidence: float = 0.9, ax: Any = None
    ) -> PairwiseMatrixDisplay:
        """Draw the matrix of one experiment.

        Parameters
        ----------
        results : ExperimentResults
            Of the experiment.
        metric : str, optional
            A column of its frame. Default: ``results.main_metric``.
        confidence : float, default=0.9
            Of the tests.
        ax : matplotlib Axes, optional
            Default: a new figure.

        Returns
        -------
        PairwiseMatrixDisplay
        """
        return cls(results.pairwise_matrix(metric, confidence)).plot(ax)

    def plot(self, ax: Any = None) -> PairwiseMatrixDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure.

        Returns
        -------
        The display.
        """
        n = len(self.matrix)
        others = self.matrix.sum() / max(1, n - 1)  # the mean over opponents: nobody plays against itself
        table = pd.concat([self.matrix, others.to_frame("is beaten (mean)").T])
        self.ax_ = new_axes(ax, (1.6 + 0.75 * n, 1.3 + 0.6 * n))
        self.figure_ = self.ax_.figure
        values = table.to_numpy()
        self.ax_.imshow(values, cmap="Greys", vmin=0, vmax=1.25 * self.largest, aspect="auto")
        for i in range(n + 1):
            for j in range(n):
                if i != j:
                    dark = values[i, j] > 0.77 * self.largest
                    self.ax_.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", color="w" if dark else "k")
        self.ax_.axhline(n - 0.5, color="k", linewidth=1)
        self.ax_.set_xticks(range(n), self.matrix.columns, rotation=40, ha="right", rotation_mode="anchor")
        self.ax_.set_yticks(range(n + 1), table.index)
        self.ax_.set_title("how often row beats column", fontsize="medium")
        return self


class CriticalDifferenceDisplay:
    """Average ranks over data sets; strategies joined by a bar cannot be told apart (Nemenyi's test).

    Drawn by scikit-posthocs.

    Parameters
    ----------
    scores : DataFrame of shape (n_datasets, n_strategies)
        Larger is better.
    confidence : float, default=0.95
        Of the test.

    Attributes
    ----------
    ax_, figure_

    References
    ----------
    .. [1] Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmmal.display import CriticalDifferenceDisplay
    >>> scores = pd.DataFrame({"bmmal": [0.8, 0.7, 0.9], "random": [0.7, 0.6, 0.8]})
    >>> CriticalDifferenceDisplay(scores, confidence=0.9).confidence
    0.9
    """

    def __init__(self, scores: pd.DataFrame, confidence: float = 0.95) -> None:
        self.scores = scores
        self.confidence = confidence

    @classmethod
    def from_results(
        cls,
        results: dict[str, ExperimentResults],
        metric: str | None = None,
        *,
        confidence: float = 0.95,
        ax: Any = None,
    ) -> CriticalDifferenceDisplay:
        """Draw the ranks of the areas under the learning curves of several experiments.

        Parameters
        ----------
        results : mapping of str to ExperimentResults
            Experiments by the names of their data sets.
        metric : str, optional
            A column of their frames. Default: each one's ``main_metric``.
        confidence : float, default=0.95
            Of the test.
        ax : matplotlib Axes, optional
            Default: a new figure.

        Returns
        -------
        CriticalDifferenceDisplay
        """
        scores = pd.DataFrame({name: found.area_under_curve(metric)["mean"] for name, found in results.items()}).T
        return cls(scores, confidence).plot(ax)

    def plot(self, ax: Any = None) -> CriticalDifferenceDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure.

        Returns
        -------
        The display.
        """
        try:
            import scikit_posthocs
        except ImportError as error:
            raise ImportError("this figure needs scikit-posthocs: pip install 'skmmal[plot]'") from error
        ranks = average_ranks(self.scores)
        significance = scikit_posthocs.posthoc_nemenyi_friedman(self.scores.to_numpy())
        significance.index = significance.columns = self.scores.columns
        self.ax_ = new_axes(ax, (8.0, 1.6 + 0.22 * len(ranks)))
        self.figure_ = self.ax_.figure
        scikit_posthocs.critical_difference_diagram(
            ranks,
            significance,
            alpha=1 - self.confidence,
            ax=self.ax_,
            color_palette=dict.fromkeys(ranks.index, "black"),
            text_h_margin=0.02,
            label_fmt_left="{label} ({rank:.2f})",
            label_fmt_right="({rank:.2f}) {label}",
        )
        difference = critical_difference(self.scores.shape[1], self.scores.shape[0], self.confidence)
        self.ax_.set_title(
            f"average rank over {self.scores.shape[0]} data sets (critical difference {difference:.2f})",
            fontsize="medium",
        )
        return self
