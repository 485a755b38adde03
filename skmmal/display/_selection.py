"""Pictures of what was chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from skmmal.display._panels import check_strategies
from skmmal.display.style import grid_of_axes
from skmmal.experiment import ExperimentResults

__all__ = ["SelectionGridDisplay"]


class SelectionGridDisplay:
    """Thumbnails of the rows that were chosen, a line for each round, in the order they were picked.

    Parameters
    ----------
    selected : DataFrame
        ``round``, ``rank``, ``row``.
    image : callable
        Row number to a picture (an array or a path), or ``None`` where there is none.
    n_per_round : int
        Places in a line.

    Attributes
    ----------
    axes_, figure_

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skmmal.display import SelectionGridDisplay
    >>> selected = pd.DataFrame({"strategy": "bmmal", "seed": 0, "round": 1, "rank": [0, 1], "row": [4, 2]})
    >>> SelectionGridDisplay(selected, lambda row: np.zeros((8, 8, 3))).n_per_round
    12
    """

    def __init__(self, selected: pd.DataFrame, image: Callable[[int], Any], n_per_round: int = 12) -> None:
        self.selected = selected
        self.image = image
        self.n_per_round = n_per_round

    @classmethod
    def from_results(
        cls,
        results: ExperimentResults,
        images: Sequence[Any] | Callable[[int], Any],
        strategy: str = "bmmal",
        seed: int | None = None,
        *,
        n_rounds: int = 5,
        n_per_round: int = 12,
    ) -> SelectionGridDisplay:
        """Draw what one strategy chose with one seed, in the rounds after the first.

        Parameters
        ----------
        results : ExperimentResults
            Of the experiment.
        images : sequence or callable
            A picture (array or path) for each row of the experiment's X; or a function of the row.
        strategy : str
            Whose choice.
        seed : int, optional
            Default: the first.
        n_rounds, n_per_round : int
            How many to show.

        Returns
        -------
        SelectionGridDisplay
        """
        check_strategies(results, [strategy])
        table = results.selected[results.selected["strategy"] == strategy]
        seed = int(table["seed"].iloc[0]) if seed is None else seed
        table = table[(table["seed"] == seed) & table["round"].between(1, n_rounds) & (table["rank"] < n_per_round)]
        if table.empty:
            raise ValueError(f"seed {seed} was not run, or it has no round after the first")
        image = images if callable(images) else images.__getitem__
        return cls(table, image, n_per_round).plot()

    def plot(self, ax: Any = None) -> SelectionGridDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, one per picture, round by round, optional
            Default: a new figure.

        Returns
        -------
        The display.
        """
        import matplotlib.pyplot as plt

        rounds = sorted(self.selected["round"].unique())
        n_columns = min(self.n_per_round, int(self.selected["rank"].max()) + 1)
        # pictures need no room for labels; working it out for each of them would take seconds
        spacing = {"wspace": 0.08, "hspace": 0.08, "left": 0.06, "right": 0.99, "bottom": 0.01, "top": 0.99}
        self.axes_ = grid_of_axes(
            len(rounds) * n_columns, ax, (0.85, 0.85), n_columns=n_columns, layout=None, gridspec_kw=spacing
        )
        self.figure_ = self.axes_[0].figure
        for panel in self.axes_:
            panel.set_xticks([])
            panel.set_yticks([])
            panel.set_frame_on(False)
        for _, pick in self.selected.iterrows():
            panel = self.axes_[rounds.index(pick["round"]) * n_columns + int(pick["rank"])]
            picture = self.image(int(pick["row"]))
            if picture is None:
                panel.text(0.5, 0.5, "none", ha="center", va="center", color="0.5", fontsize="x-small")
                continue
            panel.imshow(plt.imread(picture) if not hasattr(picture, "shape") else picture)
        for line, round_ in enumerate(rounds):
            self.axes_[line * n_columns].set_ylabel(f"round {round_}", fontsize="small")
        return self
