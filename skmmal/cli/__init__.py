"""The command line: one module for each group of commands."""

from skmmal.cli._main import app

__all__ = ["app"]
