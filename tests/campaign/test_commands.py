"""The campaign from the command line."""

import json
import shutil

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


def test_doubted_labels_and_what_is_measured(running):
    pytest.importorskip("cleanlab")
    text = skmmal("next", running, "-n", 10, "--relabel-fraction", 0.3)
    batch = LabelingCampaign(running).state().batches[-1]
    n = int((batch["chosen_by"] == "relabel").sum())
    assert f"{n} of these rows are labelled, and are handed out once more (chosen_by relabel); 36 labels" in text
    text = skmmal("status", running, "--measure")
    assert "Whether choosing helps cannot be said yet: 9 labels of rows drawn at random" in text
    assert "Whether choosing helps" not in skmmal("status", running)  # with so few
    if n:
        assert f"{n} rows that were handed out once more wait for another answer." in text
    text = skmmal("next", running, "--relabel-fraction", 0.9, "--random-fraction", 0.5, code=1)
    assert "more than the whole batch together" in text


def test_the_verdict_is_made_by_next_and_shown_by_status(pool, write_labels, tmp_path, monkeypatch):
    """Where there are 20 answered rows that were drawn at random; status itself fits nothing, and says what is old."""
    from skmmal.campaign import Benefit, _measuring

    fitted = []

    def compare(estimator, X, y, is_random, **options):
        fitted.append(len(y))
        curve = pd.DataFrame({"labels": [24], "random": [0.5], "chosen": [0.6]})
        return Benefit(24, 24, curve, 0.7, 0.6, 0.8, 0.1, -0.1, 0.3, 0.0, ["So far choosing does not beat drawing"])

    monkeypatch.setattr(_measuring, "compare_with_random", compare)
    folder = tmp_path / "c"
    options = ("--initial", "random", "--strategy", "random", "--estimator", "late-fusion", "--random-fraction", 0.5)
    skmmal("init", folder, "--features", pool[0], "-n", 24, *options)
    for i in range(2):
        assert "So far" not in skmmal("next", folder, "--out", tmp_path / "next.csv")
        ids = pd.read_csv(tmp_path / "next.csv", dtype=str)["id"]
        labels = write_labels(tmp_path / f"{i}.csv", {name: pool[1][name] for name in ids})
        skmmal("add-labels", folder, labels, "--annotator", "ann", "--allow-new-classes")
    assert "Whether choosing helps: skmmal campaign status --measure says it" in skmmal("status", folder)
    assert "So far" not in skmmal("next", folder, "--no-measure")
    skmmal("undo", folder)
    assert "So far choosing does not beat drawing" in skmmal("next", folder)
    text = skmmal("status", folder)
    assert "So far choosing does not beat drawing" in text
    assert "What follows was measured" not in text
    labels = write_labels(tmp_path / "late.csv", dict.fromkeys(ids.head(1), "cat"))
    skmmal("add-labels", folder, labels, "--annotator", "bob")
    assert "What follows was measured of 48 labels after 3 rounds; labels have come or changed" in skmmal("status", folder)
    told = json.loads(skmmal("status", folder, "--json"))
    assert (told["measured"]["is_current"], told["benefit"]["difference"]) == (False, 0.1)
    assert fitted == [48]
    skmmal("status", folder, "--measure")
    assert json.loads(skmmal("status", folder, "--json"))["measured"]["is_current"]
    assert len(fitted) == 2


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
    assert "round 3: 12 ids by auto" in log
    assert "entry 6 undone" in log
    out = tmp_path / "again.csv"
    assert "Round 2: 12 of 138 rows, chosen by auto" in skmmal("next", running, "--round", 2, "--out", out)
    assert out.read_bytes() == (running / "log" / "000003-round-002" / "next.csv").read_bytes()
    assert "doubtful of 24 labels" in skmmal("doubts", running, "-n", 3, "--out", tmp_path / "doubts.csv")
    assert len(pd.read_csv(tmp_path / "doubts.csv")) == 24
    assert "Only 114 rows were left." in skmmal("next", running, "-n", 500)
    assert "nothing is left to hand out" in skmmal("next", running, code=1)
    assert "Round 5: 3 of 126 rows" in skmmal("next", running, "-n", 3, "--also", "pending")
    assert "24 rows" in skmmal(
        "export", running, "--what", "labels", "--out", tmp_path / "labels.jsonl", "--to", "jsonl"
    )
    assert "is not the folder of a campaign" in skmmal("status", tmp_path, code=1)


def test_init_with_labels(pool, tmp_path, write_labels):
    labels = write_labels(tmp_path / "labels.csv", dict(list(pool[1].items())[:30]))
    args = ("init", tmp_path / "c", "--features", pool[0], "--labels", labels, "-n", 5, "--strategy", "margin")
    assert "30 new (30 label); new classes: cat, dog, eel [entry 1]" in skmmal(*args)
    assert "30 received before" in skmmal(*args)  # the same command again
    assert "chosen by margin" in skmmal("next", tmp_path / "c")
    assert "settings.seed: 0 there, 1 now" in skmmal(*args, "--seed", 1, code=1)


def test_labels_taken_back(running, tmp_path, pool, write_labels):
    batch = LabelingCampaign(running).batches["id"].tolist()
    first = batch[0]
    assert "2 labels of 2 ids are retracted [entry 7]" in skmmal(
        "retract", running, first, batch[1], "--reason", "blurred"
    )
    assert f"{first}: retracted before; nothing changes." in skmmal("retract", running, first)
    assert "34 of 150 samples are labelled" in skmmal("status", running)
    assert "there is no label by 'bob'" in skmmal("retract", running, batch[2], "--annotator", "bob", code=1)
    assert "2 labels of 2 ids retracted" in skmmal("log", running)
    assert "Entry 7 (2 labels of 2 ids retracted) is undone [entry 8]" in skmmal("undo", running)
    part = write_labels(tmp_path / "part.csv", {name: pool[1][name] for name in batch[:30]})
    assert "0 new, 30 received before, 6 no longer there, retracted [entry 9]" in skmmal(
        "add-labels", running, part, "--annotator", "ann", "--snapshot"
    )
    assert "--snapshot takes one file" in skmmal("add-labels", running, part, part, "--snapshot", code=1)


def test_conflicts_are_shown_and_settled(running, tmp_path, pool, write_labels):
    name = LabelingCampaign(running).batches["id"].iloc[0]
    said = pool[1][name]
    other = next(label for label in ("cat", "dog", "eel") if label != said)
    skmmal("add-labels", running, write_labels(tmp_path / "bob.csv", {name: other}), "--annotator", "bob")
    text = skmmal("status", running)
    assert "Annotators disagree about 1 samples; 1 are in conflict until" in text
    assert f"ann: {said}; bob: {other}" in text
    found = json.loads(CliRunner().invoke(app, ["campaign", "status", str(running), "--json"]).stdout)
    assert found["conflicts"] == [{"id": name, "settled": "", "said": f"ann: {said}; bob: {other}"}]
    text = skmmal("add-labels", running, tmp_path / "bob.csv", "--annotator", "bob", "--authority", "bob")
    assert "bob settles conflicts" in text
    assert "all settled" in skmmal("status", running)
    assert LabelingCampaign(running).labels.loc[name, "label"] == other


def test_names_of_classes(pool, tmp_path):
    folder = tmp_path / "c"

    def classes(*args, code=0):
        text = skmmal("init", tmp_path / "c", "--features", pool[0], *args, code=code)
        found = LabelingCampaign(folder).settings.classes if code == 0 else []
        if folder.exists():
            shutil.rmtree(folder)
        return found, text

    names = ["Books", "Home, Kitchen & Garden", 'say "no"']
    assert classes("--classes", '"Home, Kitchen & Garden",Books,"say ""no"""')[0] == names
    file = tmp_path / "classes.txt"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        file.write_text('Home, Kitchen & Garden\r\n\r\n  Books \r\nsay "no"\r\n', encoding=encoding, newline="")
        found, text = classes("--classes-file", file)
        assert found == names
        assert "split" not in text
    for given in ("Home, Kitchen & Garden,Books", "a, & b", "a, and b", "red (dark, light), blue", "a &, b"):
        assert "looks like a part of another: quote names that hold a comma" in classes("--classes", given)[1]
    for given in ("cat,dog", "cat, dog", "black & white,dog", '"a, b", c', "sand,andes,ander"):
        assert "split" not in classes("--classes", given)[1]
    for args, words in [
        (("--classes", "a", "--classes-file", file), "give one of them"),
        (("--classes", 'a,"b'), "cannot be split at its commas"),
        (("--classes", "cat,skip"), "'skip' cannot be the name of a class"),
        (("--classes-file", tmp_path / "nothing"), "there is no such file"),
    ]:
        assert words in classes(*args, code=1)[1]
    file.write_text("cat\ndog\ncat\n")
    assert "the class 'cat' is there twice" in classes("--classes-file", file, code=1)[1]
    file.write_text("\n \n")
    assert "names no class" in classes("--classes-file", file, code=1)[1]
    assert not folder.exists()


def test_options_of_a_delivery(pool, tmp_path):
    folder = tmp_path / "c"
    skmmal("init", folder, "--features", pool[0], "--classes", "cat,dog")
    path = tmp_path / "l.csv"
    path.write_bytes("ID;Label\r\ns001;Bär\r\ns002;chien\r\ns003;weiß nicht\r\n".encode("cp1252"))
    assert "is not text in UTF-8" in skmmal("add-labels", folder, path, code=1)
    maps = ("--map-class", "Bär=cat", "--map-class", "chien=dog", "--map-class", "weiß nicht=unsure")
    text = skmmal("add-labels", folder, path, "--encoding", "cp1252", *maps)
    assert "3 new (2 label, 1 unsure); Bär: 1 renamed; chien: 1 renamed; weiß nicht: 1 renamed [entry 1]" in text
    for wrong, words in [("cat", "must be OLD=NEW"), ("a=b=c", "names with '='"), ("=b", "must be OLD=NEW")]:
        assert words in skmmal("add-labels", folder, path, "--map-class", wrong, code=1)
    tasks = [
        {"data": {"skmmal_id": "s004"}, "project": 1, "annotations": [{"id": 1, "completed_by": 1, "result": [
            {"from_name": "kind", "type": "choices", "value": {"choices": ["cat"]}}]}]}
    ]  # fmt: skip
    (tmp_path / "e.json").write_text(json.dumps(tasks))
    assert "--control kind" in skmmal("add-labels", folder, tmp_path / "e.json", code=1)
    assert "1 new (1 label)" in skmmal("add-labels", folder, tmp_path / "e.json", "--control", "kind")
    flat = "annotation_id,annotator,id,label,skmmal_id,updated_at\n7,1,3,cat,s005,2026-01-01T00:00:00Z\n"
    (tmp_path / "e.csv").write_text(flat)
    assert "this format holds no skips" in skmmal("add-labels", folder, tmp_path / "e.csv")


def test_export_says_what_is_missing(running, tmp_path):
    skmmal("next", running)
    ids = LabelingCampaign(running).state().pending
    pd.DataFrame({"id": ids, "photo": ["", "", *(f"{name} & co.jpg" for name in ids[2:])]}).to_csv(
        tmp_path / "items.csv", sep=";", index=False
    )
    options = ("--to", "label-studio", "--data", tmp_path / "items.csv", "--image", "photo", "--prefix", "https://h/")
    text = skmmal("export", running, *options, "--out", tmp_path / "t.json")
    assert "2 of 12 rows have no photo: a note that says so stands in its place" in text
    tasks = json.loads((tmp_path / "t.json").read_text())
    assert sum(task["data"]["photo"].startswith("data:image/svg+xml") for task in tasks) == 2
    assert sum("predictions" in task for task in tasks) == 9
    assert any("%20%26%20co.jpg" in task["data"]["photo"] for task in tasks)
    skmmal("export", running, *options, "--predictions", "none", "--out", tmp_path / "t.json")
    assert not any("predictions" in task for task in json.loads((tmp_path / "t.json").read_text()))


def test_report(running, tmp_path):
    pytest.importorskip("matplotlib")
    skmmal("add-labels", running, *[tmp_path / f"{i}.csv" for i in (1, 2)], "--annotator", "<script>bob</script>")
    skmmal("report", running)
    page = (running / "report" / "report.html").read_text(encoding="utf-8")
    assert "36 of 150 samples are labelled" in page
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script>bob" not in page
    assert "&lt;script&gt;bob" in page
    assert "round 3: 12 ids by auto" in page
    other = {"cat": "dog", "dog": "eel", "eel": "cat"}
    labels = pd.read_csv(tmp_path / "1.csv").replace({"label": other}).head(1)
    labels.to_csv(tmp_path / "odd.csv", index=False)
    skmmal("add-labels", running, tmp_path / "odd.csv", "--annotator", "carl", "--authority", "carl")
    skmmal("report", running)
    table = pd.read_csv(running / "report" / "tables" / "conflicts.csv")
    assert table["settled"].tolist() == labels["label"].tolist()
    assert "carl (authority): " in table["said"][0]
    assert "carl (authority): " in (running / "report" / "report.html").read_text(encoding="utf-8")
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
    for command in ("init", "next", "add-labels", "retract", "status", "report", "undo", "doubts", "export", "log"):
        assert command in text
