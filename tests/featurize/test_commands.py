"""Three ways to call a script, one parser; what is imported when; which models there are."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import skmmal.featurize
from skmmal.cli import app
from skmmal.featurize._cli import DESCRIPTIONS, options, parser
from skmmal.featurize.backbones import BACKBONES

ROOT = Path(__file__).parents[2]


def python(*arguments, cwd=ROOT):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=120, cwd=cwd)


@pytest.mark.parametrize("script", DESCRIPTIONS)
def test_help_is_the_parsers_whatever_way_it_is_called(script, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = {
        f"skmmal featurize {script}": CliRunner().invoke(app, ["featurize", script, "--help"], prog_name="skmmal").stdout,
        f"python -m featurize.{script}": python("-m", f"featurize.{script}", "-h").stdout,
        f"python -m skmmal.featurize.{script}": python("-m", f"skmmal.featurize.{script}", "--help").stdout,
    }
    for prog, text in shown.items():
        assert text == parser(script, prog).format_help()
        assert f"{prog.removesuffix(script)}status counts them" in text


def test_options_come_through_unchanged(monkeypatch):
    given = ["m.csv", "--out", "-x", "--limit=3", "--seed", "-1", "--", "-h", "ä b", "--help"]
    calls = []
    monkeypatch.setattr("skmmal.featurize.image.main", lambda arguments, prog: calls.append((arguments, prog)) or 3)
    result = CliRunner().invoke(app, ["featurize", "image", *given], prog_name="skmmal")
    assert calls == [(given, "skmmal featurize image")]
    assert result.exit_code == 3


def test_what_a_script_does_not_know_is_an_error_with_its_usage(tmp_path):
    result = CliRunner().invoke(app, ["featurize", "text", "m.csv", "--out", str(tmp_path), "--frames", "3"], prog_name="skmmal")
    assert result.exit_code == 2
    assert "skmmal featurize text: error: unrecognized arguments: --frames 3" in result.stderr
    assert CliRunner().invoke(app, ["featurize", "table"]).exit_code == 2


def test_status_says_where_there_is_no_cache(tmp_path):
    result = CliRunner().invoke(app, ["featurize", "status", str(tmp_path / "none")], prog_name="skmmal")
    assert result.exit_code == 1
    assert "error: " in result.stderr
    assert "usage: skmmal featurize status" in CliRunner().invoke(app, ["featurize", "status", "-h"], prog_name="skmmal").stdout


@pytest.mark.parametrize(
    "code",
    [
        "import skmmal.featurize; skmmal.featurize.JobOptions",
        "from skmmal.cli import app; from typer.testing import CliRunner; CliRunner().invoke(app, ['featurize', '--help'])",
        "from skmmal.featurize.image import main\ntry: main(['--help'])\nexcept SystemExit: pass",
    ],
)
def test_nothing_heavy_is_imported_before_a_job_runs(code):
    heavy = ("torch", "torchvision", "torchaudio", "transformers", "av", "PIL", "sentence_transformers")
    done = python("-c", f"{code}\nimport sys; print([name for name in {heavy} if name in sys.modules])")
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_missing_library_is_said_with_the_extra_that_has_it(tmp_path, monkeypatch, capsys):
    def absent(*arguments):
        raise ModuleNotFoundError("No module named 'av'")

    monkeypatch.setattr("skmmal.featurize._cli._run", absent)
    assert importlib.import_module("skmmal.featurize.video").main(["m.csv", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: No module named 'av' (pip install 'skmmal[featurize]')\n"


def test_every_line_of_the_registry_leads_to_a_model():
    for (kind, library), place in BACKBONES.items():
        module, function = place.split(".")
        assert callable(getattr(importlib.import_module(f"skmmal.featurize.backbones.{module}"), function)), place
        assert library == library.lower()
        assert kind in DESCRIPTIONS
    for script in DESCRIPTIONS:
        chosen = options(script, parser(script).parse_args(["m.csv", "--out", "c"]))
        assert (script, chosen.model.partition("/")[0]) in BACKBONES
        importlib.import_module(f"featurize.{script}")  # the clone's


@pytest.mark.parametrize("kind", DESCRIPTIONS)
@pytest.mark.parametrize("model", ["nowhere/name", "transformers/", "transformers", ""])
def test_a_model_of_no_known_library_is_refused_with_those_that_are(kind, model):
    with pytest.raises(ValueError, match=rf"model {model!r} must be one of .*transformers/NAME"):
        skmmal.featurize.backbones.build_backbone(kind, model)


def test_a_clones_old_names_lead_to_the_package():
    import featurize

    with pytest.warns(FutureWarning, match=r"featurize\.run is skmmal\.featurize\.run now"):
        assert featurize.run is skmmal.featurize.run
    with pytest.raises(AttributeError, match="no attribute 'backbones2'"):
        _ = featurize.backbones2


def test_the_room_stands_on_the_feature_cache_and_nothing_else():
    allowed = {"skmmal.features", "skmmal._paths", "skmmal._torch"}
    for path in (ROOT / "skmmal" / "featurize").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            foreign = {name for name in names if name.startswith("skmmal") and not name.startswith("skmmal.featurize")}
            assert foreign <= allowed, path


def test_the_wheel_has_one_top_level_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["only-include"] == ["skmmal", "examples"]
    assert wheel["sources"] == {"examples": "skmmal/_examples"}
