"""The gallery: every script is well formed, is listed, draws from seeds alone, and runs by itself.

The scripts run as users run them: in a process of their own, in an empty folder, without a display. That takes a minute
or two; those tests are marked ``gallery``, so that ``-m gallery`` and ``-m "not gallery"`` choose.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*/plot_*.py"))
NAMES = [script.relative_to(EXAMPLES).as_posix() for script in SCRIPTS]
TOPICS = ["start", "strategies", "modalities", "experiments", "campaigns", "diagnostics", "own"]
FEWEST = 25

# runs a script as `python script.py` would, then looks at what it has drawn and left behind
RUN = """
import os, runpy, sys
import matplotlib.pyplot as plt

runpy.run_path(sys.argv[1], run_name="__main__")
figures = [plt.figure(number) for number in plt.get_fignums()]
for figure in figures:
    figure.canvas.draw()
drawn = [any(ax.has_data() or ax.images or ax.texts for ax in figure.axes) for figure in figures]
assert drawn and all(drawn), "a figure is empty, or there is none"
assert not os.listdir(), f"it leaves files behind: {os.listdir()}"
"""


def _docstring(script: Path) -> str:
    return ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""


def _text_cells(source: str) -> list[str]:
    """The text of each cell: the comment lines that follow ``# %%``."""
    cells = []
    for part in source.split("\n# %%\n")[1:]:
        lines = part.splitlines()
        text = []
        for line in lines:
            if not line.startswith("#"):
                break
            text.append(line[1:].strip())
        cells.append("\n".join(text))
    return cells


def test_there_are_enough_and_every_topic_has_some():
    assert len(SCRIPTS) >= FEWEST
    assert {script.parent.name for script in SCRIPTS} == set(TOPICS)
    assert len({script.name for script in SCRIPTS}) == len(SCRIPTS)  # pages are referred to by these names


@pytest.mark.parametrize("topic", TOPICS)
def test_topics_have_a_title_and_are_listed(topic):
    title, underline, *_ = (EXAMPLES / topic / "GALLERY_HEADER.rst").read_text(encoding="utf-8").splitlines()
    assert title
    assert underline == "=" * len(title)
    assert f"**{topic}**" in (EXAMPLES / "GALLERY_HEADER.rst").read_text(encoding="utf-8")


def test_a_script_of_the_gallery_is_in_a_topic():
    assert sorted(EXAMPLES.rglob("plot_*.py")) == SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_form(script):
    source = script.read_text(encoding="utf-8")
    compile(source, str(script), "exec")
    title, underline, blank, *text = _docstring(script).splitlines()
    assert underline == "=" * len(title)
    assert not blank
    assert len(" ".join(text)) > 80  # says what there is to see
    cells = _text_cells(source)
    assert len(cells) >= 2
    assert all(cells), "a cell without a word"
    assert "plt.show()" in source


@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_needs_nothing_but_the_package(script):
    source = script.read_text(encoding="utf-8")
    tree = ast.parse(source)
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module)
    assert any(name.partition(".")[0] == "skmmal" for name in imported)
    assert {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) <= {
        "matplotlib",
        "numpy",
        "pandas",
        "scipy",
        "skmmal",
        "sklearn",
        "torch",
    }
    assert not [name for name in imported if "._" in name], "a private module"
    assert "__file__" not in source
    assert "../" not in source


@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_chance_has_a_seed(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        if re.fullmatch(r"np\.random\.\w+", name):
            assert name in ("np.random.default_rng", "np.random.RandomState"), f"{name} draws from a global generator"
            assert call.args, f"{name} without a seed"
        if name.startswith(("random.", "time.", "torch.rand", "torch.manual_seed")):
            pytest.fail(f"{name}: not the same every time, or a global generator")


@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_references_in_text_exist(script):
    """Roles name public objects, links to other scripts lead somewhere."""
    source = script.read_text(encoding="utf-8")
    for target in re.findall(r":ref:`[^`]*?(sphx_glr_[a-z_0-9.]+)>?`", source):
        topic_and_name = target.removeprefix("sphx_glr_auto_examples_")
        assert any(topic_and_name == "_".join(other.relative_to(EXAMPLES).parts) for other in SCRIPTS), target
    for role, target in re.findall(r":(class|func|meth|mod|doc):`([^`]+)`", source):
        assert target.startswith("/" if role == "doc" else "skmmal"), target


@pytest.mark.gallery
@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_runs(script, tmp_path):
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    no_display = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(script)],
        cwd=tmp_path,
        env={**no_display, **one_thread, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "it prints nothing"
    assert not done.stderr, "it warns"
