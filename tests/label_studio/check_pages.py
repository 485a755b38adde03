"""The pages about Label Studio, followed word for word: every command against the server, what is shown is compared.

Blocks of ``python`` and ``console`` are run as everywhere; blocks of ``text`` that begin with ``$ skmmal`` need the server.
``<!-- annotators: N -->`` is where N rows get labeled.
"""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from skmmal.campaign import LabelingCampaign

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(python|console|text)\n(.*?)^```|<!-- (annotators): (\d+) -->|(<!-- fails -->)", re.M | re.S)


def commands(text):
    """Each command of a block, and what is shown of its output."""
    found = re.split(r"^\$ ", text, flags=re.M)[1:]
    return [(part.replace("\\\n", " ").split("\n", 1) if "\\\n" not in part else _joined(part)) for part in found]


def _joined(part):
    head, shown = re.match(r"((?:[^\n]*\\\n)*[^\n]*)\n?(.*)", part, re.S).groups()
    return [head.replace("\\\n", " ").strip(), shown]


def same(shown, printed):
    pattern = re.escape(shown.strip()).replace(r"\.\.\.", ".*")
    pattern = re.sub(r"(Project\\ |projects/)\d+", r"\1\\d+", pattern)
    return re.fullmatch(pattern, printed.strip(), re.S)


@pytest.mark.parametrize("page", ["how_to/label_studio", "tutorials/campaign"])
def test_page(studio, tmp_path, monkeypatch, page):
    monkeypatch.chdir(tmp_path)
    title = f"page {secrets.token_hex(4)}"
    files = studio.root / f"media_{secrets.token_hex(4)}" / "pictures"
    namespace: dict = {}
    n_run = 0
    fails = False
    for match in BLOCK.finditer((DOCS / f"{page}.md").read_text(encoding="utf-8")):
        kind, text, annotators, n, failing = match.groups()
        if failing:
            fails = True
        elif annotators:
            label(studio, int(n), namespace["emoji"])
        elif kind == "python":
            exec(compile(text, page, "exec"), namespace)
            if Path("pictures").is_dir() and not files.exists():
                shutil.copytree("pictures", files)
        elif kind == "console" or text.startswith("$ skmmal"):
            for command, shown in commands(text):
                if "--watch" in command:
                    continue
                if kind == "text":
                    command = command.replace("http://localhost:8080", studio.url).replace(
                        "--new emoji", f"--new '{title}'"
                    )
                    command = command.replace("/srv/media/pictures", str(files))
                    command = command.replace("--prefix https://my-host/", "--prefix https://my-host/ --no-check-media")
                    command += f" --document-root {studio.root}" if "--local-files" in command else ""
                    shown = shown.replace("http://localhost:8080", studio.url).replace("(emoji)", f"({title})")
                ran = subprocess.run(command, shell=True, capture_output=True, text=True)
                assert (ran.returncode != 0) == fails, (command, ran.stdout, ran.stderr)
                if kind == "text":
                    assert same(shown, ran.stderr + ran.stdout) or same(shown, ran.stdout + ran.stderr), (
                        command, shown, ran.stdout, ran.stderr,
                    )  # fmt: skip
                    n_run += 1
            fails = False
    assert n_run >= 4


def label(studio, n, emoji):
    truth = dict(zip(emoji.codepoints, emoji.target_names[emoji.target], strict=True))
    campaign = LabelingCampaign("emoji")
    project = int(campaign.connect(check_media=False)["project"])
    people = studio.people(project)
    for row in campaign.state().pending[:n]:
        people.answer(row, "ann", truth[row])
