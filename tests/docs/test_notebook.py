"""The notebook runs from nothing, and prints what is recorded in it."""

from __future__ import annotations

import doctest
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from sybil.evaluators.doctest import NUMBER, OutputChecker

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "first_loop.ipynb"
FLAGS = doctest.NORMALIZE_WHITESPACE | NUMBER


def outputs(cell) -> tuple[str, set[str]]:
    """The text that a cell shows, and what kinds of output there are."""
    texts, kinds = [], set()
    for output in cell.get("outputs", []):
        data = output.get("data", {"text/plain": output.get("text", "")})
        kinds |= set(data)
        texts.append(data.get("text/plain", ""))
    return "\n".join(texts), kinds


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory):
    """The notebook as recorded, and as it runs in an empty folder."""
    recorded, executed = nbformat.read(NOTEBOOK, as_version=4), nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    NotebookClient(executed, timeout=300, kernel_name="python3", resources=resources).execute()
    return recorded, executed


def test_it_prints_what_is_recorded(notebooks):
    for recorded, executed in zip(*(notebook.cells for notebook in notebooks), strict=True):
        (want, kinds), (got, new_kinds) = outputs(recorded), outputs(executed)
        assert kinds == new_kinds, recorded.source
        assert OutputChecker().check_output(want, got, FLAGS), f"{recorded.source}\nrecorded:\n{want}\nnow:\n{got}"


def test_something_is_recorded_and_it_is_small(notebooks):
    kinds = set().union(*(outputs(cell)[1] for cell in notebooks[0].cells))
    assert {"text/plain", "image/png"} <= kinds
    assert NOTEBOOK.stat().st_size < 150_000
