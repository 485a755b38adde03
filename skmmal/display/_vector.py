"""A matplotlib figure as SVG for a page: words on its points, and series that can be told apart."""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any

import numpy as np

__all__ = ["vector_figure"]


def vector_figure(figure: Any, name: str, caption: str) -> tuple[str, dict[str, tuple[str, list[str]]]]:
    """SVG of a figure, and for each series in its legends the color and the ids of what belongs to it.

    Parameters
    ----------
    figure : matplotlib Figure
        It gets ids on its artists.
    name : str
        Begins all ids, so that several figures fit on a page.
    caption : str
        What a screen reader says.

    Returns
    -------
    drawing : str
        An ``svg`` element. Points of lines, and bars, have their values as titles.
    series : dict of str to (str, list of str)
        Empty for a figure without legends.
    """
    import matplotlib as mpl

    series, titles = _mark(figure)
    content = io.BytesIO()
    # ids and dates would differ from call to call otherwise; text stays text
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    drawing = content.getvalue().decode()
    drawing = drawing[drawing.index("<svg") :]
    for mark, words in titles.items():
        drawing = _entitle(drawing, mark, words)
    prefix = re.sub(r"\W", "-", name)
    drawing = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", drawing)
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{escape(caption)}" ', 1)
    return drawing, {label: (color, [f"{prefix}-{mark}" for mark in ids]) for label, (color, ids) in series.items()}


def _mark(figure: Any) -> tuple[dict[str, tuple[str, list[str]]], dict[str, list[str]]]:
    """Give ids to artists; series by label, and for each id the titles of its points."""
    from matplotlib.colors import to_hex

    series: dict[str, tuple[str, list[str]]] = {}
    titles: dict[str, list[str]] = {}
    for a, ax in enumerate(figure.axes):
        labels = _labels_by_color(ax)
        for i, artist in enumerate([*ax.lines, *ax.collections, *ax.patches]):
            own = str(artist.get_label())
            label = own if own and not own.startswith("_") else labels.get(_color(artist), "")
            mark = f"s{a}-{i}"
            words = _values(artist, label, ax)
            if label or words:
                artist.set_gid(mark)
            if label:
                series.setdefault(label, (to_hex(_color(artist) or "black"), []))[1].append(mark)
            if words:
                titles[mark] = words
    return series, titles


def _labels_by_color(ax: Any) -> dict[Any, str]:
    """Bands and error bars have no label of their own; they have the color of their series, if no other has it."""
    handles, labels = ax.get_legend_handles_labels()
    found: dict[Any, list[str]] = {}
    for handle, label in zip(handles, labels, strict=True):
        parts = handle if isinstance(handle, tuple) else (handle,)
        found.setdefault(_color(parts[0]), []).append(label)
    return {color: names[0] for color, names in found.items() if color is not None and len(names) == 1}


def _color(artist: Any) -> tuple[float, float, float] | None:
    """Color without its opacity."""
    from matplotlib.colors import to_rgb

    getter = next((getattr(artist, name) for name in ("get_color", "get_facecolor") if hasattr(artist, name)), None)
    if getter is None:
        return None
    color = getter()
    if not isinstance(color, str) and np.ndim(color) == 2:
        color = color[0] if len(color) else None
    return None if color is None or (not isinstance(color, str) and len(color) == 0) else to_rgb(color)


def _values(artist: Any, label: str, ax: Any) -> list[str]:
    """What the points of a line, or a bar, say."""
    start = f"{label}: " if label else ""
    if hasattr(artist, "get_xydata") and artist.get_marker() not in ("", "None", None, " "):
        xy = np.ma.filled(np.ma.masked_invalid(np.asarray(artist.get_xydata(), dtype=float)), np.nan)
        x, y = ax.get_xlabel() or "x", ax.get_ylabel() or "y"
        return [f"{start}{x} {p[0]:.4g}, {y} {p[1]:.4g}" for p in xy if not np.isnan(p).any()]
    if hasattr(artist, "get_width") and hasattr(artist, "get_height") and ax.patches:
        size = artist.get_width() if artist.get_x() == 0 else artist.get_height()
        return [f"{start}{size:.4g}"]
    return []


def _entitle(drawing: str, mark: str, words: list[str]) -> str:
    """Titles into the points of one group, if it has as many."""
    begin = drawing.find(f'<g id="{mark}">')
    if begin < 0:
        return drawing
    end = drawing.find("<g id=", begin + 6)
    end = len(drawing) if end < 0 else end
    group = drawing[begin:end]
    points = list(re.finditer(r"<use\b([^>]*)/>", group))
    if len(points) == len(words):
        said = iter(words)
        group = re.sub(r"<use\b([^>]*)/>", lambda use: f"<use{use[1]}><title>{escape(next(said))}</title></use>", group)
    elif len(words) == 1:
        group = group.replace(">", f"><title>{escape(words[0])}</title>", 1)
    return drawing[:begin] + group + drawing[end:]
