"""What the groups of commands share: how they begin, what they print, how errors look."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from skmmal.cli._progress import limited, telling

if TYPE_CHECKING:
    import pandas as pd

    from skmmal.classifier import LateFusionClassifier

out_console = Console(soft_wrap=True)
err_console = Console(stderr=True, soft_wrap=True)


_TELL_THEMSELVES = ("label", "pull", "simulate")
"""Commands that show what they do in their own way, or wait for others."""

MemoryOption = Annotated[
    float | None,
    typer.Option("--memory-limit", help="Gigabytes to allocate at most; features in a cache do not count.", min=0.1),
]


class Scale(StrEnum):
    """Methods of `ModalityScaler`."""

    standard = "standard"
    l2 = "l2"
    none = "none"


class Fusion(StrEnum):
    """Fusions of `LateFusionClassifier`."""

    concat = "concat"
    sum = "sum"


class Classifier(StrEnum):
    """Estimators by name."""

    cv = "late-fusion-cv"
    plain = "late-fusion"


class ClassWeight(StrEnum):
    """Class weights of `LateFusionClassifier`."""

    none = "none"
    balanced = "balanced"


EstimatorOption = Annotated[
    Classifier,
    typer.Option(help="late-fusion-cv finds C and the weights of the modalities in the labels; late-fusion does not."),
]
FusionOption = Annotated[Fusion, typer.Option(help="How the classifier fuses the modalities.")]
COption = Annotated[
    float | None,
    typer.Option("--C", help="Inverse regularisation. Default: found, or 1 with late-fusion.", min=1e-12),
]
ClassWeightOption = Annotated[
    ClassWeight, typer.Option(help="balanced: classes weigh the same, however many labels they have.")
]
ClassBalanceOption = Annotated[
    bool, typer.Option("--class-balance", help="Prefer rows of rare classes among the strategy's picks.")
]
ModalityWeightsOption = Annotated[
    str | None,
    typer.Option(
        help="Factors of the modalities before the fused head, as in image=0.25,text=1 (others: 1), or none. Default: "
        "found; with late-fusion none."
    ),
]


def make_classifier(
    estimator: Classifier, fusion: Fusion, C: float | None, class_weight: ClassWeight, modality_weights: str | None
) -> LateFusionClassifier:
    """Make the classifier that the options describe."""
    from skmmal.classifier import LateFusionClassifier, LateFusionClassifierCV

    given: dict[str, Any] = {
        "fusion": fusion.value,
        "class_weight": None if class_weight is ClassWeight.none else class_weight.value,
    }
    if modality_weights is not None:
        given["modality_weights"] = None if modality_weights == "none" else _factors(modality_weights)
    if estimator is Classifier.plain:
        return LateFusionClassifier(C=1.0 if C is None else C, **given)
    if C is not None:
        given["Cs"] = (C,)
    return LateFusionClassifierCV(**given)


def _factors(text: str) -> dict[str, float]:
    """Modalities and their factors, as in image=0.25,text=1."""
    factors: dict[str, float] = {}
    for part in split_names(text):
        name, _, number = part.rpartition("=")
        try:
            factor = float(number)
        except ValueError:
            factor = 0.0
        if not name or name in factors or not 0 < factor < float("inf"):
            raise ValueError(
                f"--modality-weights {text!r}: {part!r} is not NAME=FACTOR, with a positive factor and a name given "
                "once; write image=0.25,text=1, or none"
            )
        factors[name] = factor
    if not factors:
        raise ValueError("--modality-weights is empty; write image=0.25,text=1, or none")
    return factors


def new_app(name: str, about: str, **options: Any) -> typer.Typer:
    """Begin a group of commands."""
    return typer.Typer(
        name=name,
        help=about,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
        **options,
    )


def friendly(command: Callable[..., None]) -> Callable[..., None]:
    """Show what is wrong with the user's data or files as one message, exit code 1; other errors are ours.

    The command tells that it is at work, unless it is to be quiet, and keeps to its memory limit, if it has one.
    """
    name = command.__name__.strip("_").replace("_", "-")

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        silent = kwargs.get("quiet") or name in _TELL_THEMSELVES
        try:
            with nullcontext() if silent else telling(name), limited(kwargs.get("memory_limit")):
                command(*args, **kwargs)
        except (ValueError, TypeError, OSError, ImportError) as error:
            err_console.print("[bold red]Error:[/] ", end="")
            err_console.print(str(error), markup=False, highlight=False)
            raise typer.Exit(1) from error

    return wrapped


# ------------------------------------------------------------------------------------------------------ printing


def note(text: str) -> None:
    """Say something that is no result, on standard error."""
    err_console.print(text, markup=False, highlight=False)


def say(text: str) -> None:
    """Say something as it is, on standard output."""
    out_console.print(text, markup=False, highlight=False)


def print_table(title: str, table: pd.DataFrame) -> None:
    """Print a table as wide as it needs to be: squeezed into 80 columns, as in a pipe, it cannot be read."""
    import pandas as pd

    shown = Table(title=title, title_justify="left", box=None)
    for i, name in enumerate(table.columns):
        shown.add_column(str(name), justify="left" if i == 0 and table.dtypes.iloc[i].kind not in "if" else "right")
    for row in table.itertuples(index=False):
        cells = ["" if pd.isna(cell) else f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
        shown.add_row(*(cell.replace("[", "\\[") for cell in cells))
    Console(width=max(out_console.width, 130)).print(shown, highlight=False)


# ---------------------------------------------------------------------------------------------- names and files


def split_names(text: str) -> list[str]:
    """Names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def path_to_write(out: Path) -> Path:
    """A local path whose folder is there, before anything is recorded that it is to hold."""
    from skmmal._paths import local_path

    out = local_path(out, "--out")
    out.parent.mkdir(parents=True, exist_ok=True)
    return out


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    from skmmal._store import write_file

    write_file(path, content)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index."""
    write(path, table.to_csv(index=False, lineterminator="\n").encode())


# ---------------------------------------------------------------------------------------------------- completion


def complete_strategy(incomplete: str) -> list[str]:
    """Names of strategies, for the shell."""
    from skmmal.query import available_strategies

    return complete_last(available_strategies(), incomplete)


def complete_last(names: Iterable[str], incomplete: str) -> list[str]:
    """Complete the last name of an option that takes a list."""
    head, comma, last = incomplete.rpartition(",")
    return [f"{head}{comma}{name}" for name in names if name.startswith(last)]
