"""The pages below docs/reference: one for each public module, and from it one for each public name."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

from public_names import PublicName, module_names, own_members, public_names, resolve

from skmmal._registry import ENTRIES

__all__ = ["index_page", "module_page", "pages"]


def heading(text: str, mark: str = "=") -> str:
    """A title with its line."""
    return f"{text}\n{mark * len(text)}\n"


def table(names: list[PublicName]) -> str:
    """An autosummary of names of one module, each with a page of its own."""
    listed = "\n".join(f"   {public.name}" for public in names)
    return f".. autosummary::\n   :toctree: ../generated\n   :nosignatures:\n\n{listed}\n"


def module_page(module_name: str) -> str:
    """The page of a module: its docstring, then its names by kind."""
    here = [public for public in public_names() if public.module == module_name]
    parts = [heading(module_name), f".. automodule:: {module_name}\n   :no-members:\n"]
    parts.append(f".. currentmodule:: {module_name}\n")
    kinds = {
        "Classes": [public for public in here if inspect.isclass(public.thing)],
        "Functions": [public for public in here if inspect.isroutine(public.thing)],
        "Constants": [public for public in here if public.is_constant],
    }
    parts += [heading(kind, "-") + "\n" + table(names) for kind, names in kinds.items() if names]
    elsewhere = links_elsewhere(module_name)
    if elsewhere:
        parts.append(heading("Also here", "-") + "\n" + "\n".join(elsewhere) + "\n")
    return "\n".join(parts)


def links_elsewhere(module_name: str) -> list[str]:
    """Names that a module exports and another one's page has."""
    module = importlib.import_module(module_name)
    names = [name for name in getattr(module, "__all__", []) if not name.startswith("__")]
    links = []
    for name in names:
        if inspect.ismodule(getattr(module, name)):
            links.append(f"* :mod:`{module_name}.{name}`")
        elif (home := resolve(f"{module_name}.{name}")) and home != f"{module_name}.{name}":
            links.append(f"* :obj:`{module_name}.{name} <{home}>`")
    return links


def index_page() -> str:
    """The table of all modules, and what stands beside them."""
    rows = []
    for name in module_names():
        summary = (importlib.import_module(name).__doc__ or "").strip().partition("\n")[0]
        rows.append(f"   * - :mod:`{name}`\n     - {summary}")
    modules = "\n".join(f"   api/{name}" for name in module_names())
    return "\n".join(
        [
            heading("API reference"),
            "Every public name, with its parameters, errors and sources. Names with an underscore, and what lies in",
            "files with one, may change without notice. The command is described in :doc:`command_line`.\n",
            ".. list-table::\n   :widths: 30 70\n",
            *rows,
            "\n.. toctree::\n   :hidden:\n\n   command_line\n" + modules + "\n",
        ]
    )


def pages() -> dict[str, str]:
    """Texts by their path below docs/reference."""
    return {"index.rst": index_page()} | {f"api/{name}.rst": module_page(name) for name in module_names()}


def write_if_changed(path: Path, text: str) -> None:
    """Leave a file alone that holds the text: what did not change is not built again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def card_of(full_name: str) -> str | None:
    """Name of the method card of a class, if it has one."""
    cls = full_name.rpartition(".")[2]
    return next((entry.name for entry in ENTRIES if entry.class_name == cls), None)


def _write(app: Any, config: Any) -> None:
    for path, text in pages().items():
        write_if_changed(Path(app.srcdir) / "reference" / path, text)
    config.autosummary_context = {"own_members": own_members, "card_of": card_of}


def _sources_are_footnotes(app: Any, doctree: Any, docname: str) -> None:
    """Docstrings' sources are citations, whose list is one that a screen reader finds empty."""
    from docutils import nodes

    for citation in list(doctree.findall(nodes.citation)):
        label = citation.next_node(nodes.label)
        number = label.astext().rpartition("-")[2]
        label.children = [nodes.Text(number)]
        citation.replace_self(nodes.footnote("", *citation.children, **citation.attributes))


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before the sources are looked for."""
    app.connect("config-inited", _write)
    app.connect("doctree-resolved", _sources_are_footnotes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
