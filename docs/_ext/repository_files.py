"""Pages that are files of the repository: their links lead to pages where there is one, else to the file's name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

__all__ = ["FILES", "page"]

FILES = {"CHANGELOG.md": "changelog", "CONTRIBUTING.md": "contributing"}
"""File of the repository -> page."""

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|mailto:|#)([^)\s]+)\)")


def page(text: str) -> str:
    """Rewrite a file's links for the page."""

    def rewritten(match: re.Match[str]) -> str:
        words, target = match.groups()
        name, _, anchor = target.partition("#")
        if name in FILES:
            return f"[{words}]({FILES[name]}.md{'#' + anchor if anchor else ''})"
        if name.startswith("docs/"):
            return f"[{words}]({target.removeprefix('docs/')})"
        return words

    return _LINK.sub(rewritten, text)


def _write(app: Any, config: Any) -> None:
    from api_reference import write_if_changed

    root = Path(app.srcdir).parent
    for file, name in FILES.items():
        write_if_changed(Path(app.srcdir) / f"{name}.md", page((root / file).read_text(encoding="utf-8")))


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before the sources are looked for."""
    app.connect("config-inited", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
