"""Build the site from a clone, without a network: ``python docs/build.py``.

Needs ``pip install '.[docs]'``. The pages are in docs/_build/html. A warning is an error; afterwards every link within
the site is followed (page and anchor), nothing may be loaded from elsewhere, and the search index must know the pages.

    python docs/build.py --fresh        forget what was built before
    python docs/build.py --no-gallery   pages of the gallery without running its scripts
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

DOCS = Path(__file__).parent
OUT = DOCS / "_build" / "html"
MADE = ("_build", "auto_examples", "reference", "changelog.md", "contributing.md")
"""What a build writes, below docs."""

LOADED = ("stylesheet", "icon", "preload", "modulepreload")
"""Relations of a link whose file the browser fetches."""

__all__ = ["Page", "build", "check", "main"]


class Page(HTMLParser):
    """Anchors, links and loaded files of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note what a tag names or points to."""
        values = {name: value for name, value in attributes if value is not None}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if "src" in values:
            self.loads.append(values["src"])
        if tag == "link" and values.get("rel") in LOADED and "href" in values:
            self.loads.append(values["href"])


def check(out: Path) -> list[str]:
    """What is wrong with a built site: links and files that lead nowhere, files loaded from elsewhere, an empty search.

    Parameters
    ----------
    out : Path
        Folder of the pages.

    Returns
    -------
    list of str
        A sentence each.
    """
    files = sorted(path for path in out.rglob("*.html") if "_static" not in path.parts)  # templates of the theme's
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in files}
    wrong = []
    for path, page in pages.items():
        for target in page.links + page.loads:
            fault = fault_of(target, path, pages, is_loaded=target in page.loads)
            if fault:
                wrong.append(f"{path.relative_to(out)}: {target}: {fault}")
    index = out / "searchindex.js"
    words = index.read_text(encoding="utf-8") if index.exists() else ""
    wrong += [f"search index: does not know {word!r}" for word in ("bmmal", "modal") if word not in words.lower()]
    return wrong


def fault_of(target: str, path: Path, pages: dict[Path, Page], *, is_loaded: bool) -> str | None:
    """Why a link or a file of a page leads nowhere, or None."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return "loaded from elsewhere" if is_loaded and parts.scheme != "data" else None
    aimed = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if aimed.is_dir():
        aimed /= "index.html"
    if not aimed.exists():
        return "no such file"
    if parts.fragment and aimed in pages and unquote(parts.fragment) not in pages[aimed].anchors:
        return "no such anchor"
    return None


def build(*, gallery: bool) -> int:
    """Build the pages; the exit status of Sphinx.

    Parameters
    ----------
    gallery : bool
        Whether the gallery's scripts run.
    """
    from sphinx.cmd.build import build_main

    os.environ["SKMMAL_DOCS_GALLERY"] = "1" if gallery else "0"
    os.environ["MPLBACKEND"] = "agg"
    arguments = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(DOCS / "_build" / "doctrees")]
    return build_main([*arguments, str(DOCS), str(OUT)])


def main() -> int:
    """Build and check."""
    parser = argparse.ArgumentParser(description="Build the site into docs/_build/html and follow its links.")
    parser.add_argument("--fresh", action="store_true", help="forget what was built before")
    parser.add_argument("--no-gallery", action="store_true", help="do not run the gallery's scripts")
    asked = parser.parse_args()
    if asked.fresh:
        for name in MADE:
            path = DOCS / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for path in (DOCS / "cards").glob("*.rst"):
            path.unlink()
    begin = time.monotonic()
    status = build(gallery=not asked.no_gallery)
    wrong = check(OUT.resolve()) if OUT.exists() else ["nothing was built"]
    print(*wrong, sep="\n")
    n_pages = sum(1 for _ in OUT.rglob("*.html"))
    print(f"{n_pages} pages, {len(wrong)} broken links, {time.monotonic() - begin:.0f} s: {OUT / 'index.html'}")
    return 1 if status or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
