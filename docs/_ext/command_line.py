"""The page docs/reference/command_line: every command with its arguments and options, from the command itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api_reference import heading, write_if_changed

__all__ = ["commands", "page"]


def commands() -> Iterator[tuple[str, Any, Any]]:
    """Every command with its words and its context, groups before what is in them."""
    import typer.main

    from skmmal.cli import app

    def below(command: Any, parent: Any, word: str) -> Iterator[tuple[str, Any, Any]]:
        context = command.make_context(word, [], parent=parent, resilient_parsing=True)
        yield context.command_path, command, context
        for name in command.list_commands(context) if hasattr(command, "list_commands") else []:
            yield from below(command.get_command(context, name), context, name)

    yield from below(typer.main.get_command(app), None, "skmmal")


def escaped(text: str) -> str:
    """A text whose marks mean nothing."""
    for mark in ("\\", "*", "`", "|", "_"):
        text = text.replace(mark, "\\" + mark)
    return text


def entries(command: Any, context: Any) -> Iterator[str]:
    """A definition for each argument and option; the library's own about shells are left out."""
    for parameter in command.get_params(context):
        if parameter.name in ("install_completion", "show_completion"):
            continue
        record = parameter.get_help_record(context)
        if record is None and parameter.param_type_name == "argument":
            record = (parameter.make_metavar(context), getattr(parameter, "help", None) or "")
        if record is not None:
            name, words = record
            yield f"``{name}``\n   {escaped(' '.join(words.split())) or 'See above.'}\n"


def page() -> str:
    """The text of the page."""
    parts = [
        heading("Command line"),
        "Made from the command itself: ``skmmal --help`` and ``skmmal COMMAND --help`` say the same. The command comes",
        "with ``pip install 'skmmal[cli,plot]'``.\n",
    ]
    for words, command, context in commands():
        n = words.count(" ")
        if n:
            parts.append(heading(words, "-^~"[min(n, 3) - 1]))
        usage = " ".join(command.collect_usage_pieces(context))
        parts.append(f".. code-block:: text\n\n   {words} {usage}\n")
        parts.append(escaped(" ".join((command.help or command.short_help or "").split())) + "\n")
        parts += entries(command, context)
        if command.epilog:
            parts.append(f".. code-block:: text\n\n   {' '.join(command.epilog.split())}\n")
    return "\n".join(parts)


def _write(app: Any, config: Any) -> None:
    write_if_changed(Path(app.srcdir) / "reference" / "command_line.rst", page())


def setup(app: Any) -> dict[str, bool]:
    """Write the page before the sources are looked for."""
    app.connect("config-inited", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
