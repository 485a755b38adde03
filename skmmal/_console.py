"""What the modules of the command line share: options, where they print, how errors look."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

import typer
from rich.console import Console

out_console = Console(soft_wrap=True)
err_console = Console(stderr=True, soft_wrap=True)


class Scale(StrEnum):
    """Methods of `ModalityScaler`."""

    standard = "standard"
    l2 = "l2"
    none = "none"


class Fusion(StrEnum):
    """Fusions of `LateFusionClassifier`."""

    concat = "concat"
    sum = "sum"


def friendly(command: Callable[..., None]) -> Callable[..., None]:
    """Show what is wrong with the user's data or files as one message, exit code 1; other errors are ours."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (ValueError, TypeError, OSError, ImportError) as error:
            err_console.print("[bold red]Error:[/] ", end="")
            err_console.print(str(error), markup=False, highlight=False)
            raise typer.Exit(1) from error

    return wrapped


def note(text: str) -> None:
    """Say something that is no result, on standard error."""
    err_console.print(text, markup=False, highlight=False)


def say(text: str) -> None:
    """Say something as it is, on standard output."""
    out_console.print(text, markup=False, highlight=False)


def complete_strategy(incomplete: str) -> list[str]:
    """Names of strategies, for the shell."""
    from skmmal.query import available_strategies

    return complete_last(available_strategies(), incomplete)


def complete_last(names: Iterable[str], incomplete: str) -> list[str]:
    """Complete the last name of an option that takes a list."""
    head, comma, last = incomplete.rpartition(",")
    return [f"{head}{comma}{name}" for name in names if name.startswith(last)]
