"""One look for all figures: lines that can be told apart in grey, by their marker and dashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["COLORS", "grid_of_axes", "new_axes", "strategy_styles"]

# the colours of Okabe and Ito (they survive colour blindness), ordered so that neighbours differ in lightness
COLORS = ("#000000", "#D55E00", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#7F7F7F")
_MARKERS = ("o", "s", "^", "D", "v", "<", "*", ">", "p", "X", "P")
_DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))


def strategy_styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Color, marker and dashes of each strategy.

    Parameters
    ----------
    names : sequence of str
        Of the strategies; ``random`` is always gray and without markers, for it is the yardstick.

    Returns
    -------
    dict of str to dict
        Keywords of matplotlib's ``plot``.

    Examples
    --------
    >>> from skmmal.display.style import strategy_styles
    >>> styles = strategy_styles(["random", "bmmal", "badge"])
    >>> styles["bmmal"]["marker"], styles["badge"]["marker"]
    ('o', 's')
    """
    styles: dict[str, dict[str, Any]] = {}
    for name in names:
        if name == "random":
            styles[name] = {"color": "0.55", "marker": "", "linestyle": "-", "linewidth": 2.5}
            continue
        i = sum(other != "random" for other in styles)
        styles[name] = {
            "color": COLORS[i % len(COLORS)],
            "marker": _MARKERS[i % len(_MARKERS)],
            "linestyle": _DASHES[i % len(_DASHES)],
            "linewidth": 1.4,
            "markersize": 5,
        }
    return styles


def new_axes(ax: Any, size: tuple[float, float] = (6.4, 4.4)) -> Any:
    """One axes: the one given, or a new one.

    Parameters
    ----------
    ax : matplotlib Axes or None
        The one given.
    size : tuple of float, default=(6.4, 4.4)
        Of a new figure, in inches.

    Returns
    -------
    matplotlib Axes
        To draw on.

    Examples
    --------
    >>> from skmmal.display.style import new_axes
    >>> ax = new_axes(None, (4.0, 3.0))
    >>> ax.figure.get_size_inches()
    array([4., 3.])
    """
    if ax is not None:
        return ax
    return grid_of_axes(1, None, size)[0]


def grid_of_axes(
    n: int, ax: Any, size: tuple[float, float] = (4.0, 3.4), n_columns: int | None = None, **subplots: Any
) -> list:
    """Several axes: those given, or new ones in a grid.

    Parameters
    ----------
    n : int
        How many.
    ax : matplotlib Axes, one or several, or None
        Those given.
    size : tuple of float, default=(4.0, 3.4)
        Of one axes, in inches.
    n_columns : int, optional
        Default: three or four, so that few places stay empty.
    **subplots : object
        Of ``plt.subplots``.

    Returns
    -------
    list of matplotlib Axes
        To draw on.

    Examples
    --------
    >>> from skmmal.display.style import grid_of_axes
    >>> len(grid_of_axes(5, None))
    5
    """
    if ax is not None:
        given = list(np.ravel(ax))
        if len(given) != n:
            raise ValueError(f"ax must hold {n} axes, found {len(given)}")
        return given
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'skmmal[plot]'") from error

    n_columns = min(n, n_columns or (4 if n % 3 == 1 else 3))
    n_rows = -(-n // n_columns)
    _, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(size[0] * n_columns, size[1] * n_rows),
        squeeze=False,
        **{"layout": "constrained", **subplots},
    )
    axes = list(axes.ravel())
    for unused in axes[n:]:
        unused.set_visible(False)
    return axes[:n]
