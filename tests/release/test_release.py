"""The release script on a scratch project: what is not ready is refused and nothing changes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {
    "skmmal/_version.py": '__version__ = "1.4.0"\n',
    "CHANGELOG.md": "# Changes\n\n## 1.4.0 (unreleased)\n\n- More.\n\n## 1.3.0 (2026-01-02)\n\n- Less.\n",
    "CITATION.cff": "cff-version: 1.2.0\nversion: 1.4.0\nlicense: BSD-3-Clause\n",
    ".gitignore": "dist/\n__pycache__/\n",
    ".ci/run": "#!/bin/sh\necho the tests ran; exit 3\n",
}


@pytest.fixture
def project(tmp_path):
    """A project that has all but green tests, with stand-ins for the tools, which a refusal does not reach."""
    folder = tmp_path / "project"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / ".ci" / "run").chmod(0o755)
    (folder / "release").mkdir()
    for script in ("release.py", "distributions.py"):
        shutil.copyfile(ROOT / "release" / script, folder / "release" / script)
    (tmp_path / "tools").mkdir()
    for tool in ("build", "cyclonedx_py", "hatch_fancy_pypi_readme", "hatchling", "twine"):
        (tmp_path / "tools" / f"{tool}.py").touch()
    git(folder, "init", "-q", "-b", "main")
    for key, value in {"user.name": "someone", "user.email": "someone@example.org", "commit.gpgsign": "false"}.items():
        git(folder, "config", key, value)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


def git(folder, *words):
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def release(folder, *words):
    environment = {**os.environ, "PYTHONPATH": str(folder.parent / "tools")}
    command = [sys.executable, "-S", "release/release.py", *words]  # without what else is installed
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


def change(folder, name, old, new):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    git(folder, "commit", "-q", "-a", "-m", "Change")


def dirty(folder):
    (folder / "CHANGELOG.md").write_text("# Changes\n\n## 1.4.0 (unreleased)\n")


def untracked(folder):
    (folder / "skmmal" / "forgotten.py").touch()


def other_branch(folder):
    git(folder, "switch", "-q", "-c", "idea")


def no_branch(folder):
    git(folder, "checkout", "-q", "--detach")


def not_in_changelog(folder):
    change(folder, "CHANGELOG.md", "## 1.4.0 (unreleased)\n\n- More.\n\n", "")


def dated_before(folder):
    change(folder, "CHANGELOG.md", "(unreleased)", "(2026-03-04)")


def not_in_citation(folder):
    change(folder, "CITATION.cff", "1.4.0", "1.4.1")


def no_release(folder):
    change(folder, "skmmal/_version.py", "1.4.0", "1.4.0.dev0")


def tagged(folder):
    git(folder, "tag", "v1.4.0")


def full_dist(folder):
    (folder / "dist").mkdir()
    (folder / "dist" / "skmmal-1.3.0.tar.gz").touch()


def no_tools(folder):
    (folder.parent / "tools" / "cyclonedx_py.py").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (dirty, "not committed:\nM CHANGELOG.md"),
        (untracked, "not committed:\n?? skmmal/forgotten.py"),
        (other_branch, "this is branch idea, releases are made from main"),
        (no_branch, "this is branch (none), releases are made from main"),
        (not_in_changelog, "CHANGELOG.md begins with ## 1.3.0 (2026-01-02), expected ## 1.4.0 (unreleased)"),
        (dated_before, "CHANGELOG.md begins with ## 1.4.0 (2026-03-04), expected ## 1.4.0 (unreleased)"),
        (not_in_citation, "CITATION.cff does not say version: 1.4.0"),
        (no_release, "skmmal/_version.py: 1.4.0.dev0 is no release"),
        (tagged, "the tag v1.4.0 is there already"),
        (full_dist, "dist is not empty"),
        (no_tools, "cyclonedx_py missing: pip install -r release/requirements.txt"),
    ],
)
def test_what_is_not_ready_is_refused(project, spoil, words):
    spoil(project)
    before = state(project)
    done = release(project)
    assert done.returncode == 1
    assert words in done.stderr
    assert "the tests ran" not in done.stdout
    assert state(project) == before


def state(folder):
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts}
    refs = git(folder, "for-each-ref"), git(folder, "rev-parse", "HEAD"), git(folder, "worktree", "list")
    return {path: text for path, text in files.items() if path.suffix != ".pyc"}, refs


def test_all_that_is_wrong_is_said_at_once(project):
    tagged(project)
    not_in_citation(project)
    untracked(project)
    assert release(project, "--check").stderr.count("\n- ") == 3


def test_red_tests_are_refused(project):
    before = state(project)
    assert "nothing stands in the way but the tests" in release(project, "--check").stdout
    done = release(project)
    assert done.returncode == 1
    assert "the tests ran" in done.stdout
    assert "Not released: .ci/run ended with exit code 3" in done.stderr
    assert state(project) == before
