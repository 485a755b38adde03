"""Make a release: refuse what is not ready, then test, build, tag; uploading is left to a person.

    pip install -r release/requirements.txt
    python release/release.py            # --check: only say what stands in the way

The version is that of skmmal/_version.py. Refused are: another branch than main, changes or files that are not
committed, a version that CHANGELOG.md does not have as `## VERSION (unreleased)` on top or that CITATION.cff does not
name, a tag that is there already, and tests (`.ci/run`) that fail.

All happens in a work tree of its own. The commit that dates the changelog and the tag reach the branch when everything
has been built and checked; until then nothing here has changed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from distributions import build_all, run

ROOT = Path(__file__).resolve().parents[1]
BRANCH = "main"
TOOLS = ("build", "cyclonedx_py", "hatch_fancy_pypi_readme", "hatchling", "twine")


def git(*words: str | Path, cwd: Path = ROOT) -> str:
    """Run git, give back what it prints."""
    return run(["git", *words], cwd=cwd).strip()


def read(name: str, folder: Path = ROOT) -> str:
    """Text of a file of the project."""
    return (folder / name).read_text(encoding="utf-8")


def version() -> str:
    """The version that the package says it has."""
    return re.search(r'^__version__ = "(.+)"$', read("skmmal/_version.py"), re.M)[1]


def problems(version: str, out: Path) -> list[str]:
    """All that stands in the way, but for the tests."""
    said = []
    if (branch := git("branch", "--show-current")) != BRANCH:
        said.append(f"this is branch {branch or '(none)'}, releases are made from {BRANCH}")
    if changes := git("status", "--porcelain"):
        said.append(f"not committed:\n{changes}")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        said.append(f"skmmal/_version.py: {version} is no release, expected three numbers as in 1.2.3")
    newest = re.search(r"^## .+$", read("CHANGELOG.md"), re.M)[0]
    if newest != f"## {version} (unreleased)":
        said.append(f"CHANGELOG.md begins with {newest}, expected ## {version} (unreleased)")
    if f"\nversion: {version}\n" not in read("CITATION.cff"):
        said.append(f"CITATION.cff does not say version: {version}")
    if git("tag", "--list", f"v{version}"):
        said.append(f"the tag v{version} is there already")
    if out.exists() and any(out.iterdir()):
        said.append(f"{out} is not empty: what lies there would be uploaded with the rest")
    if missing := [name for name in TOOLS if find_spec(name) is None]:
        said.append(f"{', '.join(missing)} missing: pip install -r release/requirements.txt")
    return said


def stamp(folder: Path, version: str, date: str) -> None:
    """Put the date into the changelog and the citation file, and commit them."""
    changelog = read("CHANGELOG.md", folder).replace(f"## {version} (unreleased)", f"## {version} ({date})", 1)
    (folder / "CHANGELOG.md").write_text(changelog, encoding="utf-8")
    citation = re.sub(r"^date-released: .*\n", "", read("CITATION.cff", folder), flags=re.M)
    citation = citation.replace(f"\nversion: {version}\n", f"\nversion: {version}\ndate-released: {date}\n")
    (folder / "CITATION.cff").write_text(citation, encoding="utf-8")
    git("commit", "-q", "-m", f"Release {version}", "CHANGELOG.md", "CITATION.cff", cwd=folder)


def release(version: str, out: Path) -> None:
    """Date, test, build, tag."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "skmmal"
        git("worktree", "add", "-q", "--detach", folder)
        try:
            stamp(folder, version, datetime.now(UTC).strftime("%Y-%m-%d"))
            if code := subprocess.run([folder / ".ci" / "run"], cwd=folder).returncode:
                sys.exit(f"Not released: .ci/run ended with exit code {code}")
            built = build_all(folder, out)
            commit = git("rev-parse", "HEAD", cwd=folder)
        finally:
            git("worktree", "remove", "--force", folder)
    git("merge", "-q", "--ff-only", commit)
    git("tag", "-a", f"v{version}", "-m", f"skmmal {version}")
    others = ", ".join(path.name for path in sorted(out.iterdir()) if path not in built)
    print(
        f"Release {version} is committed, tagged and built. What is left to do by hand:\n"
        f"  git push origin {BRANCH} v{version}\n"
        f"  twine upload {' '.join(map(str, built))}\n"
        f"  put beside the release's notes: {others}\n"
        "  begin the next one: __version__ in skmmal/_version.py, version in CITATION.cff (without date-released),\n"
        "    ## VERSION (unreleased) on top of CHANGELOG.md"
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="an empty folder, or one to be made")
    parser.add_argument("--check", action="store_true", help="only say what stands in the way")
    options = parser.parse_args()
    wanted = version()
    out = options.out.resolve()
    if said := problems(wanted, out):
        sys.exit(f"Not released, version {wanted}:\n" + "\n".join(f"- {line}" for line in said))
    if options.check:
        print(f"Version {wanted}: nothing stands in the way but the tests, which were not run")
    else:
        release(wanted, out)


if __name__ == "__main__":
    main()
