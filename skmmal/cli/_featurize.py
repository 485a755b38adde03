"""``skmmal featurize``: the featurization scripts for installed users. Their own parsers read what is given."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperCommand

__all__ = ["featurize"]

featurize = typer.Typer(
    name="featurize",
    help="Turn files into features: a manifest's column becomes a modality of a feature cache.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class PassedOn(TyperCommand):
    """A command that leaves all of its arguments to the script, ``--help`` too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the arguments as they are."""
        ctx.args = list(args)
        return ctx.args


def _command(script: str, text: str) -> None:
    def command(context: typer.Context) -> None:
        main = importlib.import_module(f"skmmal.featurize.{script}").main
        raise typer.Exit(main(context.args, prog=context.command_path))

    featurize.command(script, help=text, cls=PassedOn)(command)


_command("image", "Images; torchvision and transformers models.")
_command("text", "Texts; transformers and sentence-transformers models.")
_command("audio", "Sound files, and the sound tracks of videos; torchaudio and transformers models.")
_command("video", "Videos, and folders of frames; torchvision's video models, or any image model.")
_command("table", "Columns of a table, and time series; no model.")
_command("status", "Say how far a featurization is: done, failed and why, time left.")
