"""Wheel and sdist as a user gets them: built, installed into empty environments, first steps, the sdist's own tests.

    pip install -c constraints.txt -e ".[test]" -r release/requirements.txt
    pytest tests/release/check_distributions.py

Minutes, and it installs from a package index; hence not collected with the other tests.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from skmmal.cli._examples import example_files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "release"))

from distributions import check_top_level, list_dependencies, only  # noqa: E402

OWN_TESTS = [  # all that read files beside the package, and a part of those that do not
    "tests/test_package.py",
    "tests/test_cli.py",
    "tests/test_gpu_script.py",
    "tests/test_store.py",
    "tests/campaign/test_retraction.py",
    "tests/campaign/test_label_studio_exports.py",
    "tests/datasets",
    "tests/featurize/test_commands.py",
    "tests/featurize/test_datasets.py",
    "tests/release",
    "tests/selection",
    "skmmal/datasets",
    "skmmal/query/_bmmal.py",
]
FIRST_LOOP = """
import sys
from sklearn.model_selection import train_test_split
from skmmal import ActiveLearner, LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_emoji
from skmmal.query import BMMAL

X, y = load_emoji(return_X_y=True)
X = ModalityScaler().fit_transform(X)
X_pool, X_test, y_pool, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
learner = ActiveLearner(LateFusionClassifier(), query_strategy=BMMAL(random_state=0), classes=range(8))
learner.fit(X_pool[:40], y_pool[:40])
before = learner.estimator.score(X_test, y_test)
X_pool, y_pool = X_pool[40:], y_pool[40:]
for _ in range(3):
    rows, instances = learner.query(X_pool, n_instances=40)
    learner.teach(instances, y_pool[rows])
scores = learner.estimator.score_by_modality(X_test, y_test)
assert set(scores) == {"fused", "image", "text"}, scores
assert scores["fused"] > before > 1.5 / 8, (before, scores)
assert "torch" not in sys.modules
"""


def run(*command, cwd, code=0, **added):
    """Run a command as a user's shell would, without what surrounds these tests; returns what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= {key: str(value) for key, value in added.items()}
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, env=environment)
    assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def skmmal(programs, line, cwd):
    """Run the installed command."""
    return run(programs / "skmmal", *shlex.split(line), cwd=cwd)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and sdist, made by the script of releases, which builds twice and compares."""
    out = tmp_path_factory.mktemp("dist")
    code = "from distributions import build; from pathlib import Path; import sys; build(*map(Path, sys.argv[1:]), '1700000000')"
    run(sys.executable, "-c", code, ROOT, out, cwd=ROOT / "release", PYTHONPATH=ROOT / "release")
    return sorted(out.iterdir())


@pytest.fixture(scope="module")
def wheel(built):
    return only(built, ".whl")


def install(folder, wheel, extras=""):
    """An empty environment into which the wheel went; returns its folder of programs."""
    venv.create(folder, with_pip=False)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    command = ["-m", "pip", "--python", programs / "python", "install", "-q", "--no-compile", "-c", ROOT / "constraints.txt"]
    run(sys.executable, *command, f"{wheel}{extras}", cwd=folder)
    return programs


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    return install(tmp_path_factory.mktemp("bare"), wheel)


@pytest.fixture(scope="module")
def full(wheel, tmp_path_factory):
    return install(tmp_path_factory.mktemp("full"), wheel, "[cli,plot]")


def test_the_wheel_holds_the_package_its_examples_and_the_licences(wheel):
    check_top_level(wheel)
    names = zipfile.ZipFile(wheel).namelist()
    prefix = "skmmal/_examples/"
    shipped = {name.removeprefix(prefix) for name in names if name.startswith(prefix) and name.endswith((".py", ".ipynb"))}
    assert shipped == {name.as_posix() for name in example_files(ROOT / "examples")} > {"quickstart.py"}
    in_clone = {path.relative_to(ROOT).as_posix() for path in (ROOT / "skmmal").rglob("*.py")}
    assert in_clone <= set(names)
    assert {"skmmal/py.typed", "skmmal/datasets/data/emoji_features.npz"} <= set(names)
    licences = {Path(name).name for name in names if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "THIRD_PARTY.md", *os.listdir(ROOT / "LICENSES")}


def test_what_a_package_index_shows_has_no_dead_link(wheel):
    (name,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/METADATA"))
    text = zipfile.ZipFile(wheel).read(name).decode().partition("\n\n")[2]
    assert text.lstrip().startswith("# skmmal")
    assert re.findall(r"\]\((?!https?:)[^)]*\)", text) == []


def test_a_wheel_that_installs_more_is_refused(wheel, tmp_path):
    spoiled = shutil.copy(wheel, tmp_path / wheel.name)
    with zipfile.ZipFile(spoiled, "a") as archive:
        archive.writestr("featurize/__init__.py", "")
    with pytest.raises(SystemExit, match=r"installs \['featurize', 'skmmal'\], where only skmmal may be"):
        check_top_level(spoiled)


def test_without_extras_the_package_works(bare, tmp_path):
    run(bare / "python", "-c", FIRST_LOOP, cwd=tmp_path)
    code = "import skmmal; print(skmmal.__version__, skmmal.__file__)"
    version, file = run(bare / "python", "-c", code, cwd=tmp_path).split()
    assert wheel_version(bare, tmp_path) == version
    assert Path(file).is_relative_to(bare.parent)


def wheel_version(programs, cwd):
    code = "from importlib.metadata import version; print(version('skmmal'))"
    return run(programs / "python", "-c", code, cwd=cwd).strip()


@pytest.mark.parametrize("command", [["skmmal"], ["skmmal", "simulate", "--help"], ["python", "-m", "skmmal"]])
def test_without_extras_the_command_says_what_to_install(bare, command, tmp_path):
    said = run(bare / command[0], *command[1:], cwd=tmp_path, code=1)
    assert said == "The skmmal command needs rich, which comes with: pip install 'skmmal[cli,plot]'\n"


def test_first_comparison_and_report(full, tmp_path):
    assert skmmal(full, "--version", tmp_path) == f"skmmal {wheel_version(full, tmp_path)}\n"
    sizes = "--n-initial 40 --n-instances 20 --n-rounds 2 --seeds 2 -q"
    skmmal(full, f"simulate --dataset emoji --strategies bmmal,random --out run {sizes}", tmp_path)
    skmmal(full, "report run", tmp_path)
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    assert (tmp_path / "run" / "figures" / "learning_curves.png").is_file()


def test_first_campaign(full, tmp_path):
    code = """
import numpy as np, pandas as pd
from skmmal.datasets import load_digits_views
from skmmal.features import FeatureStore
X, y = load_digits_views(["fou", "zer"], return_X_y=True)
ids = [f"s{i:04d}" for i in range(len(y))]
FeatureStore.write("features", X.blocks, ids=ids)
pd.DataFrame({"id": ids, "label": np.char.add("digit", y.astype(str))}).to_csv("truth.csv", index=False)
"""
    run(full / "python", "-c", code, cwd=tmp_path)
    classes = ",".join(f"digit{i}" for i in range(10))
    skmmal(full, f"campaign init mine --features features -n 30 --classes {classes}", tmp_path)
    label = """
import pandas as pd
batch, truth = (pd.read_csv(name, dtype=str) for name in ("next.csv", "truth.csv"))
batch[["id"]].merge(truth).to_csv("done.csv", index=False)
"""
    for _ in range(2):
        skmmal(full, "campaign next mine --out next.csv", tmp_path)
        run(full / "python", "-c", label, cwd=tmp_path)
        skmmal(full, "campaign add-labels mine done.csv --annotator ann", tmp_path)
    status = json.loads(run(full / "skmmal", "campaign", "status", "mine", "--json", cwd=tmp_path))
    assert status["counts"]["label"] == 60, status


def test_examples_are_copied_and_run(full, tmp_path):
    skmmal(full, "examples mine", tmp_path)
    for name in example_files(ROOT / "examples"):
        assert (tmp_path / "mine" / name).read_bytes() == (ROOT / "examples" / name).read_bytes()
    done = run(full / "python", "mine/quickstart.py", cwd=tmp_path)
    assert "BMMAL" in done
    assert (tmp_path / "quickstart.png").is_file()


def test_the_list_of_what_comes_with_it(wheel, tmp_path):
    sbom = tmp_path / "sbom.json"
    list_dependencies(wheel, ROOT / "constraints.txt", sbom, "1700000000")
    found = {part["name"]: part for part in json.loads(sbom.read_text())["components"]}
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    for name in ("numpy", "scikit-learn", "matplotlib", "typer"):
        assert found[name]["version"] == pins[name]
    assert found["skmmal"]["licenses"][0]["expression"].startswith("BSD-3-Clause")
    assert "file:" not in sbom.read_text()  # no folder of this machine
    assert [part["name"] for part in found.values() if not part.get("licenses")] == []


def test_the_sdist_passes_its_own_tests(built, tmp_path):
    """In an empty folder: what they need is in it."""
    with tarfile.open(only(built, ".tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile", *OWN_TESTS]
    said = run(*command, cwd=folder, PYTHONPATH=os.pathsep.join([str(folder), str(folder / "tests")]))
    assert "passed" in said
    assert "skipped" not in said


def test_the_sdist_makes_the_same_wheel(built, wheel, tmp_path):
    """Whoever builds from source gets what was uploaded."""
    with tarfile.open(only(built, ".tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path / "out", folder]
    run(*command, cwd=tmp_path, SOURCE_DATE_EPOCH=1700000000)
    (again,) = (tmp_path / "out").iterdir()
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()


def test_a_whole_release(tmp_path):
    """On a scratch clone whose own tests are said to be green: dated, committed, tagged, built; a second one is refused."""
    clone = tmp_path / "clone"
    git = ["git", "-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    run("git", "clone", "-q", "--no-hardlinks", ROOT, clone, cwd=tmp_path)
    for words in ("config user.name someone", "config user.email someone@example.org", "switch -q -C main"):
        run("git", *words.split(), cwd=clone)
    (clone / ".ci" / "run").write_text("#!/bin/sh\nexit 0\n")
    run(*git, "commit", "-q", "-a", "-m", "Stand-in", cwd=clone)
    said = run(sys.executable, "release/release.py", cwd=clone)
    version = run(sys.executable, "-c", "import skmmal; print(skmmal.__version__)", cwd=clone, PYTHONPATH=clone).strip()
    assert f"Release {version} is committed, tagged and built" in said
    assert run("git", "describe", "--tags", cwd=clone).strip() == f"v{version}"
    assert run("git", "status", "--porcelain", cwd=clone) == ""
    assert run("git", "worktree", "list", cwd=clone).count("\n") == 1
    assert f"## {version} (20" in (clone / "CHANGELOG.md").read_text()
    assert "\ndate-released: 20" in (clone / "CITATION.cff").read_text()
    names = {path.name for path in (clone / "dist").iterdir()}
    stem = f"skmmal-{version}"
    assert names == {f"{stem}.tar.gz", f"{stem}-py3-none-any.whl", f"{stem}.cdx.json", "SHA256SUMS"}
    for line in (clone / "dist" / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((clone / "dist" / name).read_bytes()).hexdigest() == digest
    again = run(sys.executable, "release/release.py", cwd=clone, code=1)
    assert f"the tag v{version} is there already" in again
