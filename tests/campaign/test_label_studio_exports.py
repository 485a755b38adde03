"""What a real Label Studio gave back (tests/data/label_studio), taken in."""

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from skmmal.campaign import LabelingCampaign, read_labels_file
from skmmal.campaign.formats._label_studio import UNSURE, labeling_config

DATA = Path(__file__).parents[1] / "data" / "label_studio"
CLASSES = ["cat", "dog", "Home, Kitchen & Garden", '["a"]', '{"choices": ["x"]}', "123", "true", "null", "ünï <b>"]
SENT = [task["data"]["skmmal_id"] for task in json.loads((DATA / "tasks.json").read_text(encoding="utf-8"))]
ANN, BOB = "ann@example.com", "bob@example.com"


def read(name):
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def said(name):
    """Label of each annotation in a JSON export, read here by hand."""
    return {
        (task["data"]["skmmal_id"], annotation["id"]): annotation["result"][0]["value"]["choices"][0]
        for task in read(name)
        for annotation in task["annotations"]
        if annotation["result"] and annotation["result"][0]["value"]["choices"] != [UNSURE]
    }


@pytest.fixture
def campaign(tmp_path):
    """The sixty rows that were exported."""
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(60, 3)) + np.arange(60)[:, None] % 2 * 4, "b": rng.normal(size=(60, 2))}
    ids = [f"s{i:02d}" for i in range(60)]
    return LabelingCampaign.create(
        tmp_path / "c", X, ids=ids, initial="random", n_instances=24, random_fraction=0.25, classes=CLASSES
    )


def test_what_the_server_showed():
    observed = read("observed.json")
    assert (
        observed["model_version after the first import"]
        == observed["model_version after the second import"]
        == "skmmal"
    )
    assert observed["rows with predictions shown"] == observed["rows with predictions sent"]
    assert len(observed["rows with predictions shown"]) == 23  # of both rounds
    code, message = observed["a task without a field"]
    assert code == 400
    assert '"photo" key is expected in task data' in message
    by_hand = [task for task in read("tasks.json") if not task["data"]["skmmal_why"].startswith("drawn at random")]
    assert all("predictions" in task for task in by_hand)
    assert not any("predictions" in task for task in read("tasks.json") if task not in by_hand)
    assert all(value != "" for task in read("tasks.json") for value in task["data"].values())


def test_the_json_export(campaign):
    found = campaign.add_labels(DATA / "first.json", annotator="me")
    assert found["states"] == {"label": 44, "skip": 1, "unsure": 1}
    assert "notes" in found  # the marks differ: the fixture's campaign was another one on the same rows
    history = campaign.history
    assert set(history["annotator"]) == {"1", "2"}
    labels = history[history["state"] == "label"]
    assert {(row.id, int(row.annotation)): row.label for row in labels.itertuples()} == said("first.json")
    assert set(labels["label"]) == set(CLASSES)
    assert history["project"].unique().tolist() == ["1"]
    assert campaign.labels.loc[SENT[22], "state"] == "skip"
    assert campaign.labels.loc[SENT[23], "state"] == "unsure"
    status = campaign.status()
    assert status.annotators["compared"].tolist() == [22, 22]
    assert status.annotators["agrees"].tolist() == [16 / 22, 16 / 22]
    assert status.agreement["n_differ"] == status.counts["conflict"] == 6
    assert status.origins == {"manual": 42, "prediction": 1, "prediction-changed": 1}
    assert any("42 made by hand, 1 predictions accepted, 1 predictions changed" in line for line in status.sentences)
    assert len(campaign.conflicts) == 6
    assert campaign.conflicts["said"].str.fullmatch(r"1: .+; 2: .+").all()
    assert campaign.add_labels(DATA / "first.json")["entry"] is None


@pytest.mark.parametrize("name", ["first.min.json", "first.csv", "first.tsv"])
@pytest.mark.parametrize("declared", [True, False])
def test_flat_formats_say_the_same_and_hold_no_skips(campaign, tmp_path, name, declared):
    if not declared:
        campaign = LabelingCampaign.create(
            tmp_path / "d", {"a": np.random.default_rng(0).normal(size=(60, 2))}, ids=[f"s{i:02d}" for i in range(60)]
        )
    found = campaign.add_labels(DATA / name)
    assert found["states"] == {"label": 44, "unsure": 1}
    assert any("holds no skips" in note for note in found["notes"])
    labels = campaign.history[campaign.history["state"] == "label"]
    assert {(row.id, int(row.annotation)): row.label for row in labels.itertuples()} == said("first.json")
    assert SENT[22] not in campaign.labels.index  # skipped: still to be labelled, as far as this format tells
    # the same annotations in another format are no news, and JSON brings the skip
    assert campaign.add_labels(DATA / "first.csv")["entry"] is None
    assert campaign.add_labels(DATA / "first.json")["states"] == {"skip": 1}
    assert campaign.status().annotators.index.tolist() == ["1", "2"]


def test_one_person_stays_one(campaign):
    campaign.add_labels(DATA / "first.csv")  # "1"
    found = campaign.add_labels(DATA / "with_emails.json")  # {"id": 1, "email": ...}
    assert found["states"] == {"skip": 1}
    assert campaign.status().annotators.index.tolist() == [ANN, BOB]
    assert [pair["n"] for pair in campaign.agreement()["pairs"]] == [22]
    assert set(campaign.history["annotator_id"]) == {"1", "2"}
    # by the number again, and the other way round
    assert campaign.add_labels(DATA / "first.json")["entry"] is None
    assert campaign.add_labels(DATA / "first.min.json")["entry"] is None
    reopened = LabelingCampaign(campaign.folder)
    assert reopened.status().annotators.index.tolist() == [ANN, BOB]


def test_the_name_is_kept_though_nothing_else_is_new(campaign):
    campaign.add_labels(DATA / "first.json")
    found = campaign.add_labels(DATA / "with_emails.json")
    assert (found["new"], found["entry"]) == (0, 2)
    assert campaign.status().annotators.index.tolist() == [ANN, BOB]
    campaign.undo()
    assert campaign.status().annotators.index.tolist() == ["1", "2"]


def test_a_label_changed_back(campaign):
    first = SENT[0]
    for name, label in (("first.json", "cat"), ("changed.json", "dog"), ("changed_back.json", "cat")):
        found = campaign.add_labels(DATA / name)
        words = campaign.history[(campaign.history["id"] == first) & (campaign.history["annotator"] == "1")]
        assert words["label"].iloc[-1] == label
        assert found["changed"] == (name != "first.json")
    assert campaign.labels.loc[first, "label"] == "cat"
    assert campaign.add_labels(DATA / "changed.json")["entry"] is None  # an old export again
    assert campaign.labels.loc[first, "label"] == "cat"


def test_snapshot_retracts_what_is_gone(campaign):
    campaign.add_labels({"s00": "cat", SENT[1]: "dog"}, annotator="someone else")
    campaign.add_labels(DATA / "changed_back.json")
    before = campaign.labels
    found = campaign.add_labels(DATA / "last.json", snapshot=True)
    assert found["vanished"] == 3
    gone = set(said("changed_back.json")) - set(said("last.json"))
    history = campaign.history
    numbered = history[history["annotation"] != ""]
    assert len(gone) == 3
    assert not gone & {(row.id, int(row.annotation)) for row in numbered.itertuples()}
    assert SENT[2] not in campaign.labels.index
    assert campaign.labels.loc["s00", "label"] == "cat"  # not of that project
    assert campaign.labels.loc[SENT[1], "n_votes"] == before.loc[SENT[1], "n_votes"] - 1
    # ground truth settles a conflict
    assert before.loc[SENT[20], "state"] == "conflict"
    lead = next(label for (name, number), label in said("last.json").items() if (name, number) == (SENT[20], 41))
    assert campaign.labels.loc[SENT[20], ["state", "label"]].tolist() == ["label", lead]
    assert campaign.conflicts.set_index("id").loc[SENT[20], "settled"] == lead
    assert "(authority)" in campaign.conflicts.set_index("id").loc[SENT[20], "said"]
    assert campaign.add_labels(DATA / "last.json", snapshot=True)["entry"] is None
    campaign.undo()
    pd.testing.assert_frame_equal(campaign.labels, before)
    # without snapshot, what is gone stays
    campaign.add_labels(DATA / "last.json")
    assert SENT[2] in campaign.labels.index


def test_a_snapshot_of_another_project_takes_nothing(campaign, tmp_path):
    campaign.add_labels(DATA / "first.json")
    other = read("last.json")
    for task in other:
        task["project"] = 7
        for annotation in task["annotations"]:
            annotation["id"] += 1000
    (tmp_path / "other.json").write_text(json.dumps(other))
    assert "vanished" not in campaign.add_labels(tmp_path / "other.json", snapshot=True)
    for content in ([], [{key: value for key, value in task.items() if key != "project"} for task in other]):
        (tmp_path / "other.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match="names no project, or holds no task"):
            campaign.add_labels(tmp_path / "other.json", snapshot=True)
    for name in ("first.csv", "first.min.json"):
        with pytest.raises(ValueError, match="needs an export that holds everything"):
            campaign.add_labels(DATA / name, snapshot=True)


def test_what_a_snapshot_took_comes_back_with_the_next_export(campaign):
    campaign.add_labels(DATA / "first.json")
    campaign.add_labels(DATA / "last.json", snapshot=True)
    assert campaign.add_labels(DATA / "first.json")["new"] == 3  # it was only filtered, say
    assert SENT[2] in campaign.labels.index


@pytest.mark.parametrize("kind", ["json", "min.json", "csv", "tsv"])
def test_another_control(campaign, kind):
    with pytest.raises(ValueError, match=r"no c.+ 'label'.*category.*--control"):
        campaign.add_labels(DATA / f"category.{kind}")
    assert len(campaign.log) == 0
    assert campaign.add_labels(DATA / f"category.{kind}", control="category")["states"] == {"label": 3}
    assert campaign.labels["label"].to_dict() == {"s00": "cat", "s01": "cat", "s02": "cat"}


def test_controls_are_named_with_their_type():
    with pytest.raises(ValueError, match=r"Controls found: 'category' \(choices, 3×\), 'comment' \(textarea, 3×\)"):
        read_labels_file(DATA / "category.json")
    with pytest.raises(ValueError, match=r"'comment' \(textarea, 3×\); none of them is a choice"):
        read_labels_file(DATA / "comment.json")


@pytest.mark.parametrize("kind", ["json", "min.json", "csv", "tsv"])
@pytest.mark.parametrize(("name", "words"), [
    ("boxes", "rectanglelabels"), ("taxonomy", "taxonomy"), ("several", "2 choices"), ("comment", "comment"),
])  # fmt: skip
def test_answers_of_other_kinds_are_no_skips(campaign, kind, name, words):
    with pytest.raises(ValueError, match=words):
        campaign.add_labels(DATA / f"{name}.{kind}")
    assert campaign.labels.empty


@pytest.mark.parametrize("kind", ["json", "min.json", "csv", "tsv"])
def test_tasks_that_were_never_ours(tmp_path, kind):
    """Their ids are numbers of Label Studio's own, and the campaign's ids are numbers, too."""
    campaign = LabelingCampaign.create(
        tmp_path / "c", {"a": np.random.default_rng(0).normal(size=(60, 2))}, ids=[str(i) for i in range(60)]
    )
    with pytest.raises(ValueError, match="skmmal_id"):
        campaign.add_labels(DATA / f"foreign.{kind}")


def test_a_rejected_region_is_not_the_end(campaign, tmp_path):
    """Annotations of several kinds in one export: the one with another control is found among the others."""
    tasks = read("first.json")
    tasks[5]["annotations"][0]["result"][0]["from_name"] = "category"
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    with pytest.raises(
        ValueError, match=r"task 5: an annotation answer no control 'label'.*'category' \(choices, 1×\)"
    ):
        campaign.add_labels(tmp_path / "a.json")
    # beside ours, another control does no harm; a cancelled annotation is a skip whatever it answered
    tasks[5]["annotations"][0]["was_cancelled"] = True
    tasks[6]["annotations"][0]["result"].append({"from_name": "comment", "type": "textarea", "value": {"text": ["hm"]}})
    tasks[7]["annotations"][0]["result"].append(
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    )
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    assert campaign.add_labels(tmp_path / "a.json")["states"] == {"label": 43, "skip": 2, "unsure": 1}


def test_map_classes(campaign, tmp_path):
    config = {"cat": "Katze", "dog": "skip", "null": "unsure"}
    found = campaign.add_labels(DATA / "first.json", map_classes=config, allow_new_classes=True)
    labels = said("first.json")
    counts = {old: sum(label == old for label in labels.values()) for old in config}
    assert found["mapped"] == counts
    assert found["states"]["skip"] == counts["dog"] + 1
    assert found["states"]["unsure"] == counts["null"] + 1
    assert (campaign.history["label"] == "Katze").sum() == counts["cat"]
    assert not campaign.history["label"].isin(["cat", "dog", "null"]).any()


def test_the_same_file_is_known_again(campaign, tmp_path, write_labels):
    """Files without times: the very same one brings nothing back; one that was written again does."""
    paths = [write_labels(tmp_path / f"{i}.csv", {"s00": label}) for i, label in enumerate(["cat", "dog"])]
    for path in paths:
        campaign.add_labels(path, annotator="ann")
    assert campaign.add_labels(paths[0], annotator="ann")["entry"] is None
    assert campaign.labels.loc["s00", "label"] == "dog"
    write_labels(paths[0], {"s00": "cat"})
    os.utime(paths[0], ns=(1, 1))
    assert campaign.add_labels(paths[0], annotator="ann")["changed"] == 1
    assert campaign.labels.loc["s00", "label"] == "cat"


def test_every_class_has_a_button_and_many_have_a_filter():
    few = ElementTree.fromstring(labeling_config({"photo": "image"}, CLASSES))
    assert [tag.get("value") for tag in few.iter("Choice")] == [*CLASSES, "I cannot tell"]
    assert len({tag.get("hotkey") for tag in few.iter("Choice")}) == len(CLASSES) + 1
    assert not list(few.iter("Filter"))
    many = ElementTree.fromstring(labeling_config({"photo": "image"}, [f"class {i}" for i in range(50)]))
    (box,) = many.iter("Filter")
    assert box.get("toName") == next(many.iter("Choices")).get("name")
    assert len(list(many.iter("Choice"))) == 51
    keys = [tag.get("hotkey") for tag in many.iter("Choice") if tag.get("hotkey")]
    assert len(keys) == len(set(keys))
    assert "flex" in many.get("style")
    assert [tag.get("maxHeight") for tag in many.iter("Image")] == ["55vh"]
    assert [tag.get("value") for tag in many.iter("Header")] == ["$skmmal_why"]
    with pytest.raises(ValueError, match="control character"):
        labeling_config({"photo": "image"}, ["a\x01b"])
    for name in ("I cannot tell", UNSURE):
        with pytest.raises(ValueError, match="no class can be called"):
            labeling_config({"photo": "image"}, ["cat", name])
