"""``skmmal examples``: the scripts of the documentation, for those who have no clone."""

from __future__ import annotations

import ast
import filecmp
import shutil
from pathlib import Path
from typing import Annotated

import typer

from skmmal.cli._shared import friendly, note, say

_SCRIPTS = {".py", ".ipynb"}
FROM_A_CLONE_ONLY = {"benchmarks", "results"}
"""Folders below ``examples`` that the wheel leaves out, as pyproject.toml says: they measure the code beside them."""


@friendly
def examples(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to copy to; made if it is not there.")],
) -> None:
    """Copy the example scripts, to run and to change.

    A file that is there already is left as it is, and if it differs from the example nothing is copied at all.
    """
    from skmmal._paths import local_path

    source, folder = _source(), local_path(folder, "DIR")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; name a folder to copy the examples to")
    names = example_files(source)
    changed = [name for name in names if (folder / name).exists() and not _same(source / name, folder / name)]
    if changed:
        raise FileExistsError(
            f"{folder / changed[0]} is there already and differs from the example ({len(changed)} such files); "
            "move it away, or name another folder"
        )
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if not (folder / name).exists():
            shutil.copyfile(source / name, folder / name)
        say(f"{folder / name}: {_title(source / name)}")
    note(f"{len(names)} files in {folder}. They draw and print with what comes with: pip install 'skmmal[cli,plot]'")


def example_files(source: Path) -> list[Path]:
    """List what is copied, relative to the folder, scripts directly below it first."""
    found = (path.relative_to(source) for path in source.rglob("*") if path.suffix in _SCRIPTS)
    kept = (name for name in found if name.parts[0] not in FROM_A_CLONE_ONLY and name.parts[-1][0] != ".")
    return sorted(kept, key=lambda name: (len(name.parts), name))


def _source() -> Path:
    """Find the examples: within the installed package, or beside it in a clone."""
    package = Path(__file__).parents[1]
    for folder in (package / "_examples", package.parent / "examples"):
        if (folder / "quickstart.py").is_file():
            return folder
    raise FileNotFoundError(f"{package} has no examples: this installation is not whole, pip install skmmal again")


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and filecmp.cmp(one, other, shallow=False)


def _title(path: Path) -> str:
    """Take the first line that says something: a script's docstring without its underline, or a notebook's name."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.suffix == ".py" else None
    lines = [line for line in (text or "").splitlines() if line.strip("=- ")]
    return lines[0] if lines else path.stem.replace("_", " ")
