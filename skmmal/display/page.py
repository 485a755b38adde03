"""A page of tables and figures that needs no network, written with its parts beside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from skmmal._store import write_file

__all__ = ["Page"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: 0.8rem 0; display: block; overflow-x: auto; }
th, td { padding: 0.25rem 0.7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #333; }
img { max-width: 100%; height: auto; } p.note { color: #555; }
"""


class Page:
    """Collects sections; writes tables and figures as it goes, ``report.html`` and ``report.txt`` at the end.

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
        self.parts.append(f"<h2>{escape(text)}</h2>")
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

    def table(self, name: str, table: pd.DataFrame, shown: pd.DataFrame | None = None) -> None:
        """Write a table as CSV, and show it.

        Parameters
        ----------
        name : str
            Of the file, without its ending.
        table : DataFrame
            What is written.
        shown : DataFrame, optional
            Its readable form, shown without the index. Default: the table.
        """
        write_file(self.folder / "tables" / f"{name}.csv", table.to_csv(lineterminator="\n").encode())
        index = shown is None
        shown = table if shown is None else shown
        self.parts.append(shown.to_html(index=index, border=0, float_format=lambda x: f"{x:.4g}", na_rep=""))
        self.text += [shown.to_string(index=index, float_format=lambda x: f"{x:.4g}", na_rep=""), ""]

    def figure(self, name: str, draw: Callable[[], Any], caption: str) -> None:
        """Write a figure as PNG and PDF, and put the PNG into the page.

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
        plt.close(figure)
        write_file(self.folder / "figures" / f"{name}.png", png.getvalue())
        write_file(self.folder / "figures" / f"{name}.pdf", pdf.getvalue())
        data = base64.b64encode(png.getvalue()).decode()
        self.parts.append(
            f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )

    def write(self) -> Path:
        """Write the page.

        Returns
        -------
        Path
            Of ``report.html``.
        """
        title = escape(self.title)
        page = (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n" + "\n".join(self.parts) + "\n</body></html>\n"
        )
        write_file(self.folder / "report.txt", ("\n".join(self.text).rstrip() + "\n").encode())
        write_file(self.folder / "report.html", page.encode())
        return self.folder / "report.html"
