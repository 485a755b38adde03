"""A page of tables and figures that needs no network, written with its parts beside it."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skmmal._store import write_file
from skmmal.display._vector import vector_figure

__all__ = ["Page", "readable", "thumbnail"]

MANY_ROWS = 8
"""From so many on a table has a field that filters its rows."""


class Page:
    """Collects sections; writes tables and figures as it goes, ``report.html`` and ``report.txt`` at the end.

    The page is one file: tables that can be sorted and filtered, figures as SVG whose series can be switched off, a
    list of contents, dark colors where the reader's system has them. It works without scripts, too.

    Parameters
    ----------
    folder : Path
        Where ``report.html``, ``report.txt``, ``tables/`` and ``figures/`` go.
    title : str
        Of the page.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from skmmal.display.page import Page
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = Page(Path(folder), "What was found")
    ...     page.heading("Labels", "Three of ten.")
    ...     page.table("labels", pd.DataFrame({"cat": [2], "dog": [1]}))
    ...     written = page.write()
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['figures', 'report.html', 'report.txt', 'tables']
    """

    def __init__(self, folder: Path, title: str) -> None:
        try:
            import matplotlib
        except ImportError as error:
            raise ImportError("reports need matplotlib: pip install 'skmmal[plot]'") from error
        matplotlib.use("agg")
        self.folder = folder
        self.title = title
        self.parts: list[str] = []
        self.headings: list[str] = []
        self.text: list[str] = [title, ""]
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        (folder / "tables").mkdir(exist_ok=True)

    def heading(self, text: str, note: str = "") -> None:
        """Begin a section.

        Parameters
        ----------
        text : str
            Its heading.
        note : str, default=""
            A paragraph below it.
        """
        self.headings.append(text)
        self.parts.append(f'<h2 id="section-{len(self.headings)}">{escape(text)}</h2>')
        self.text += ["", text, "-" * len(text)]
        if note:
            self.note(note)

    def note(self, text: str) -> None:
        """Add a paragraph.

        Parameters
        ----------
        text : str
            Plain, without markup.
        """
        self.parts.append(f'<p class="note">{escape(text)}</p>')
        self.text += [text, ""]

    def table(
        self,
        name: str,
        table: pd.DataFrame,
        shown: pd.DataFrame | None = None,
        pictures: Sequence[str] | None = None,
    ) -> None:
        """Write a table as CSV, and show it.

        Parameters
        ----------
        name : str
            Of the file, without its ending.
        table : DataFrame
            What is written.
        shown : DataFrame, optional
            Its readable form, shown without the index. Default: the table.
        pictures : sequence of str, optional
            Of each row, as `thumbnail` makes them; empty for none.
        """
        write_file(self.folder / "tables" / f"{name}.csv", table.to_csv(lineterminator="\n").encode())
        index = shown is None
        shown = table if shown is None else shown
        self.text += [shown.to_string(index=index, float_format=lambda x: f"{x:.4g}", na_rep=""), ""]
        lines = shown.rename_axis([name or "name" for name in shown.index.names]).reset_index() if index else shown
        self.parts.append(_table_html(name, lines, pictures))

    def figure(self, name: str, draw: Callable[[], Any], caption: str) -> None:
        """Write a figure as PNG and PDF, and put it into the page as SVG.

        Parameters
        ----------
        name : str
            Of the files, without their ending.
        draw : callable
            Returns a matplotlib Figure, or a display that has one (``figure_``).
        caption : str
            Below the figure.
        """
        import matplotlib.pyplot as plt

        drawn = draw()
        figure = getattr(drawn, "figure_", drawn)
        png, pdf = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=130)
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
        drawing, series = vector_figure(figure, name, caption)
        plt.close(figure)
        write_file(self.folder / "figures" / f"{name}.png", png.getvalue())
        write_file(self.folder / "figures" / f"{name}.pdf", pdf.getvalue())
        buttons = "".join(
            f'<button type="button" aria-pressed="true" data-series="{escape(" ".join(ids))}">'
            f'<i style="background:{color}"></i>{escape(label)}</button>'
            for label, (color, ids) in series.items()
        )
        legend = f'<div class="series" role="group" aria-label="series shown">{buttons}</div>'
        self.parts.append(
            f'<figure><div class="drawing" tabindex="0" role="region" aria-label="figure {escape(readable(name))}">'
            f"{drawing}</div>{legend if len(series) > 1 else ''}"
            f'<figcaption>{escape(caption)} <a href="figures/{escape(name)}.pdf">PDF</a></figcaption></figure>'
        )

    def pictures(self, pictures: Sequence[tuple[str, str]]) -> None:
        """Show pictures side by side.

        Parameters
        ----------
        pictures : sequence of (str, str)
            Picture, as `thumbnail` makes them, and what is written below it; without a picture the words alone.
        """
        shown = "".join(f"<li>{_image(picture)}<span>{escape(words)}</span></li>" for picture, words in pictures)
        self.parts.append(f'<ul class="pictures">{shown}</ul>')
        self.text += [*(words for _, words in pictures), ""]

    def write(self) -> Path:
        """Write the page.

        Returns
        -------
        Path
            Of ``report.html``.
        """
        title = escape(self.title)
        style, script = (files(__package__).joinpath(f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
        links = "".join(
            f'<li><a href="#section-{i}">{escape(text)}</a></li>' for i, text in enumerate(self.headings, start=1)
        )
        contents = f'<nav aria-label="contents"><ul>{links}</ul></nav>\n' if len(self.headings) > 1 else ""
        page = (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>\n{style}</style></head>\n<body><main>\n<h1>{title}</h1>\n{contents}"
            + "\n".join(self.parts)
            + f"\n</main>\n<script>\n{script}</script></body></html>\n"
        )
        write_file(self.folder / "report.txt", ("\n".join(self.text).rstrip() + "\n").encode())
        write_file(self.folder / "report.html", page.encode())
        return self.folder / "report.html"


# ------------------------------------------------------------------------------------------------------- in words

_NAMES = {"std": "standard deviation", "se": "standard error", "n": "rows", "ece": "calibration error (ECE)"}


def readable(name: Any) -> str:
    """Name of a column as people write it.

    Parameters
    ----------
    name : object
        Of a column.

    Returns
    -------
    str

    Examples
    --------
    >>> readable("self_confidence"), readable("ece")
    ('self confidence', 'calibration error (ECE)')
    """
    text = str(name)
    return _NAMES.get(text, re.sub(r"(?<=\w)_(?=\w)", " ", text))


def _words(value: Any) -> tuple[str, str]:
    """A value as people write it, and as it is sorted by."""
    if value is None or (np.ndim(value) == 0 and pd.isna(value)):
        return "", ""
    if isinstance(value, bool | np.bool_):
        return ("yes" if value else "no"), str(int(value))
    if isinstance(value, int | np.integer):
        return f"{value:,}".replace(",", "\u202f"), str(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        if not math.isfinite(number):
            return str(number), repr(number)
        plain = number == 0 or 1e-3 <= abs(number) < 1e6
        return (f"{number:.3f}" if plain else f"{number:.2e}"), repr(number)
    return str(value), ""


def _table_html(name: str, table: pd.DataFrame, pictures: Sequence[str] | None) -> str:
    names = [readable(column) for column in table.columns]
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in table.dtypes]
    kinds = ["number" if is_number else "words" for is_number in numeric]
    head = "".join(
        f'<th scope="col" class="{kind}"><button type="button">{escape(column) or "row"}</button></th>'
        for column, kind in zip(names, kinds, strict=True)
    )
    if pictures is not None:
        head = '<th scope="col">picture</th>' + head
    body = []
    for i, row in enumerate(table.itertuples(index=False, name=None)):
        cells = [] if pictures is None else [f'<td data-name="picture">{_image(pictures[i])}</td>']
        for value, column, kind in zip(row, names, kinds, strict=True):
            text, key = _words(value)
            sorts = f' data-key="{escape(key)}"' if key else ""
            cells.append(f'<td class="{kind}" data-name="{escape(column)}"{sorts}>{escape(text)}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    title = readable(name)
    search = ""
    if len(table) >= MANY_ROWS:
        search = f'<input type="search" placeholder="filter rows" aria-label="filter the rows of {escape(title)}">'
    link = f'<a href="tables/{escape(name)}.csv">{escape(name)}.csv</a>'
    return (
        f'<div class="tools">{search}<span role="status"></span>{link}</div>'
        f'<div class="wide" tabindex="0" role="region" aria-label="table {escape(title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


# -------------------------------------------------------------------------------------------------------- pictures


def thumbnail(path: Path | None, size: int = 96) -> str:
    """A small picture as the text of a data URL; empty where there is none that can be read.

    Parameters
    ----------
    path : Path or None
        Of the picture.
    size : int, default=96
        Pixels of its longer side, at most.

    Returns
    -------
    str
        Begins with ``data:image/jpeg;base64,``.

    Examples
    --------
    >>> thumbnail(None)
    ''
    """
    if path is None:
        return ""
    from PIL import Image, ImageOps  # comes with matplotlib

    content = io.BytesIO()
    with suppress(OSError, ValueError, Image.DecompressionBombError):
        with Image.open(path) as opened:
            opened.draft("RGB", (2 * size, 2 * size))
            picture = ImageOps.exif_transpose(opened).convert("RGBA")
        picture.thumbnail((size, size))
        ground = Image.new("RGB", picture.size, "white")
        ground.paste(picture, mask=picture.getchannel("A"))
        ground.save(content, "JPEG", quality=80)
        return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
    return ""


def _image(picture: str) -> str:
    return f'<img alt="" src="{escape(picture)}">' if picture else ""
