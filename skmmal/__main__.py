"""``python -m skmmal``, and the ``skmmal`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command."""
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        sys.exit(f"The skmmal command needs {error.name}, which comes with: pip install 'skmmal[cli,plot]'")
    from skmmal.cli import app

    app(prog_name="skmmal")


if __name__ == "__main__":
    main()
