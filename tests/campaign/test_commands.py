"""The campaign from the command line."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from skmmal.campaign import LabelingCampaign
from skmmal.cli import app


def skmmal(*args, code=0):
    found = CliRunner().invoke(app, ["campaign", *map(str, args)])
    assert found.exit_code == code, found.output
    return " ".join(found.output.split())


@pytest.fixture
def running(pool, tmp_path, write_labels):
    """A campaign after three rounds."""
    folder = tmp_path / "campaign"
    skmmal(
        "init", folder, "--features", pool[0], "-n", 12, "--random-fraction", 0.25, "--initial", "random",
        "--stop", "budget=40", "--stop", "classification-change=0.5", "--stop", "stabilizing-predictions",
    )  # fmt: skip
    for number in range(1, 4):
        skmmal("next", folder, "--out", tmp_path / "next.csv")
        ids = pd.read_csv(tmp_path / "next.csv")["id"]
        labels = write_labels(tmp_path / f"{number}.csv", {name: pool[1][name] for name in ids})
        skmmal("add-labels", folder, labels, "--annotator", "ann", "--allow-new-classes")
    return folder


def test_status(running):
    text = skmmal("status", running)
    assert "36 of 150 samples are labelled after 3 rounds; 0 are handed out" in text
    assert "3 of 3 classes have labels" in text
    assert "Accuracy of round 3's model on the rows not labelled then, from 3 drawn at random" in text
    assert "budget: go on: 36 of 40 labels are spent, 4 are left." in text
    assert "stabilizing-predictions: ?: 2 of at least 4 rounds with a model are done" in text
    found = json.loads(CliRunner().invoke(app, ["campaign", "status", str(running), "--json"]).stdout)
    assert found["counts"]["label"] == 36
    assert [line["labels"] for line in found["classes"]] == list(
        LabelingCampaign(running).state().class_counts.values()
    )
    assert next(advice["stop"] for advice in found["advice"]) is False


def test_a_session(running, tmp_path, pool, write_labels):
    assert "received before" in skmmal("add-labels", running, tmp_path / "1.csv", "--annotator", "ann")
    odd = write_labels(tmp_path / "odd.csv", {"zzz": "cat"})
    assert "1 of 1 labels are for ids that this campaign does not label" in skmmal("add-labels", running, odd, code=1)
    assert "1 for unknown ids, left out" in skmmal("add-labels", running, odd, "--ignore-unknown")
    assert "Entry 6 (12 labels) is undone [entry 7]" in skmmal("undo", running, "--reason", "wrong file")
    assert "was undone before" in skmmal("undo", running, "--entry", 6)
    log = skmmal("log", running)
    assert "round 3: 12 ids by bmmal" in log
    assert "entry 6 undone" in log
    out = tmp_path / "again.csv"
    assert "Round 2: 12 of 138 rows, chosen by bmmal" in skmmal("next", running, "--round", 2, "--out", out)
    assert out.read_bytes() == (running / "log" / "000003-round-002" / "next.csv").read_bytes()
    assert "doubtful of 24 labels" in skmmal("doubts", running, "-n", 3, "--out", tmp_path / "doubts.csv")
    assert len(pd.read_csv(tmp_path / "doubts.csv")) == 24
    assert "Only 114 rows were left." in skmmal("next", running, "-n", 500)
    assert "nothing is left to hand out" in skmmal("next", running, code=1)
    assert "Round 5: 3 of 126 rows" in skmmal("next", running, "-n", 3, "--also", "pending")
    assert "24 rows" in skmmal("export", running, "--what", "labels", "--out", tmp_path / "labels.jsonl", "--to", "jsonl")
    assert "is not the folder of a campaign" in skmmal("status", tmp_path, code=1)


def test_init_with_labels(pool, tmp_path, write_labels):
    labels = write_labels(tmp_path / "labels.csv", dict(list(pool[1].items())[:30]))
    args = ("init", tmp_path / "c", "--features", pool[0], "--labels", labels, "-n", 5, "--strategy", "margin")
    assert "30 new (30 label); new classes: cat, dog, eel [entry 1]" in skmmal(*args)
    assert "30 received before" in skmmal(*args)  # the same command again
    assert "chosen by margin" in skmmal("next", tmp_path / "c")
    assert "settings.seed: 0 there, 1 now" in skmmal(*args, "--seed", 1, code=1)


def test_report(running, tmp_path):
    pytest.importorskip("matplotlib")
    skmmal("add-labels", running, *[tmp_path / f"{i}.csv" for i in (1, 2)], "--annotator", "<script>bob</script>")
    skmmal("report", running)
    page = (running / "report" / "report.html").read_text(encoding="utf-8")
    assert "36 of 150 samples are labelled" in page
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script>" not in page
    assert "round 3: 12 ids by bmmal" in page
    assert (running / "report" / "tables" / "log.csv").is_file()
    assert "3 rounds" in (running / "report" / "report.txt").read_text(encoding="utf-8")
    LabelingCampaign(running).verify()  # the report is no part of the log


def test_a_report_before_anything_happened(pool, tmp_path):
    pytest.importorskip("matplotlib")
    skmmal("init", tmp_path / "c", "--features", pool[0])
    assert "No batch was handed out yet" in skmmal("status", tmp_path / "c")
    skmmal("report", tmp_path / "c", "--out", tmp_path / "r")
    assert "No class is known yet." in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")


def test_help():
    text = skmmal("--help")
    for command in ("init", "next", "add-labels", "status", "report", "undo", "doubts", "export", "log"):
        assert command in text
