"""Build what is uploaded: wheel, sdist, the list of what a user installs with it, checksums.

    pip install -r release/requirements.txt
    python release/distributions.py --out dist

Built twice, and the two must be the same bytes: dates in them are that of the last commit. `twine check --strict` reads
them, and a wheel that would install anything beside `skmmal` is refused. The list (CycloneDX, with licences) is that of
an empty environment into which the wheel went with its extras `cli` and `plot`, in the versions of constraints.txt.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(command: Sequence[str | Path], **options: object) -> str:
    """Run a command to its end; what it prints is shown if it fails, and given back if not."""
    done = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(map(str, command))}: exit code {done.returncode}")
    return done.stdout


def last_commit_time(source: Path) -> str:
    """Seconds since 1970 of the last commit: the date that all files in the archives carry."""
    return run(["git", "log", "-1", "--format=%ct"], cwd=source).strip()


def build_once(source: Path, out: Path, epoch: str) -> list[Path]:
    """Build the sdist, and the wheel from the sdist."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch}
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source], env=environment)
    return sorted(path for path in out.iterdir() if path.name.endswith((".whl", ".tar.gz")))


def build(source: Path, out: Path, epoch: str) -> list[Path]:
    """Build twice, compare, check; returns sdist and wheel."""
    out.mkdir(parents=True, exist_ok=True)
    built = build_once(source, out, epoch)
    with tempfile.TemporaryDirectory() as folder:
        again = build_once(source, Path(folder), epoch)
        differ = [one.name for one, other in zip(built, again, strict=True) if digest(one) != digest(other)]
    if differ:
        sys.exit(f"built twice, {', '.join(differ)} came out differently")
    run([sys.executable, "-m", "twine", "check", "--strict", *built])
    check_top_level(only(built, ".whl"))
    return built


def only(paths: Sequence[Path], ending: str) -> Path:
    """The one path with this ending."""
    (path,) = (path for path in paths if path.name.endswith(ending))
    return path


def check_top_level(wheel: Path) -> None:
    """Refuse a wheel that installs another package: the name may belong to another distribution."""
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    packages = {name for name in names if not name.endswith(".dist-info")}
    if packages != {"skmmal"}:
        sys.exit(f"{wheel.name} installs {sorted(packages)}, where only skmmal may be")


def list_dependencies(wheel: Path, constraints: Path, sbom: Path, epoch: str) -> None:
    """Write what comes with the wheel, with versions and licences."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=False)
        python = Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile", "-c", constraints]
        run([*install, f"{wheel}[cli,plot]"])
        for origin in Path(folder).rglob("skmmal-*.dist-info/direct_url.json"):
            origin.unlink()  # the folder of this machine in which the wheel lay
        describe = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "-o", sbom, python]
        run(describe, env={**os.environ, "SOURCE_DATE_EPOCH": epoch})


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_checksums(out: Path) -> Path:
    """Write what `sha256sum -c` reads."""
    path = out / "SHA256SUMS"
    lines = [f"{digest(file)}  {file.name}\n" for file in sorted(out.iterdir()) if file != path]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def build_all(source: Path, out: Path) -> list[Path]:
    """Build, list and sum up; returns sdist and wheel, which are what is uploaded."""
    epoch = last_commit_time(source)
    built = build(source, out, epoch)
    wheel = only(built, ".whl")
    sbom = out / f"{'-'.join(wheel.name.split('-')[:2])}.cdx.json"
    list_dependencies(wheel, source / "constraints.txt", sbom, epoch)
    write_checksums(out)
    return built


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder to build in")
    build_all(ROOT, parser.parse_args().out)
