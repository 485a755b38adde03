"""Files out to annotation tools, and back: the documented formats, and round trips that lose nothing."""

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from skmmal.campaign import LabelingCampaign, export_batch, export_labels, read_data, read_labels_file
from skmmal.campaign._batch import RANDOM_SLICE
from skmmal.campaign.formats._label_studio import UNSURE, labeling_config, tasks

# Label Studio's documentation, "Label Studio JSON format of annotated tasks" and "Import pre-annotated data"
TASK_SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
            "predictions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["result"],
                    "properties": {
                        "model_version": {"type": "string"},
                        "score": {"type": "number", "minimum": 0, "maximum": 1},
                        "result": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["from_name", "to_name", "type", "value"],
                                "properties": {
                                    "from_name": {"type": "string"},
                                    "to_name": {"type": "string"},
                                    "type": {"const": "choices"},
                                    "value": {
                                        "type": "object",
                                        "required": ["choices"],
                                        "additionalProperties": False,
                                        "properties": {
                                            "choices": {
                                                "type": "array",
                                                "items": {"type": "string"},
                                                "minItems": 1,
                                                "maxItems": 1,
                                            }
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
        # ids, annotations and completed_by are Label Studio's own: it overwrites them
        "not": {"anyOf": [{"required": ["id"]}, {"required": ["annotations"]}]},
    },
}
FIELDS = [
    {"photo": "image"},
    {"caption": "text"},
    {"sound": "audio"},
    {"clip": "video"},
    {"photo": "image", "caption": "text", "sound": "audio", "clip": "video"},
    {"front": "image", "back": "image"},
]


@pytest.fixture(scope="module")
def running(pool, tmp_path_factory):
    """A campaign in its second round."""
    campaign = LabelingCampaign.create(
        tmp_path_factory.mktemp("running") / "c", pool[0], n_instances=12, initial="random", random_fraction=0.2
    )
    first = campaign.next_batch()
    campaign.add_labels({name: pool[1][name] for name in first["id"]}, annotator="ann")
    campaign.next_batch()
    return campaign


@pytest.fixture(scope="module")
def items(pool, tmp_path_factory):
    """What annotators are to see."""
    path = tmp_path_factory.mktemp("items") / "items.csv"
    ids = list(pool[1])
    pd.DataFrame(
        {
            "id": ids,
            "photo": [f"{name}.jpg" for name in ids],
            "caption": [f'"{name}" <b> & co, "ünï"' for name in ids],
            "sound": ["" if i % 5 == 0 else f"https://other/{name}.wav" for i, name in enumerate(ids)],
            "clip": [f"{name}.mp4" for name in ids],
            "front": ids,
            "back": ids,
        }
    ).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("fields", FIELDS, ids=lambda fields: "+".join(fields))
def test_label_studio_tasks(running, items, tmp_path, fields):
    out = tmp_path / "tasks.json"
    n = export_batch(running, out, "label-studio", data=read_data(items, fields, prefix="https://h/"), fields=fields)
    content = json.loads(out.read_text(encoding="utf-8"))
    Draft202012Validator(TASK_SCHEMA).validate(content)
    batch = running.state().batches[1]
    assert n == len(content) == 12
    assert [task["data"]["skmmal_id"] for task in content] == batch["id"].tolist()  # the file's order is the batch's
    assert [task["data"]["skmmal_rank"] for task in content] == list(range(1, 13))
    for task, row in zip(content, batch.to_dict("records"), strict=True):
        assert task["data"]["skmmal_round"] == 2
        if row["chosen_by"] == RANDOM_SLICE:  # a prediction in sight would bias the accuracy that is measured there
            assert "predictions" not in task
            continue
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "skmmal"  # the same in every round: only one is shown
        assert prediction["score"] == row["confidence"]  # a confidence: the tool lists the lowest first
        assert prediction["result"][0]["value"]["choices"] == [row["predicted"]]
        assert task["data"].get("skmmal_score", None) == (None if np.isnan(row["score"]) else row["score"])
        if "photo" in fields:
            assert task["data"]["photo"] == f"https://h/{row['id']}.jpg"
        if "caption" in fields:
            assert task["data"]["caption"] == f'"{row["id"]}" <b> & co, "ünï"'
        if "sound" in fields:
            known = int(row["id"][1:]) % 5
            assert (task["data"]["sound"] == f"https://other/{row['id']}.wav") == bool(known)
            assert task["data"]["sound"].startswith("data:audio/wav;base64,") != bool(known)
            assert ("no sound for this row" in task["data"]["skmmal_why"]) != bool(known)
    # the configuration fits the tasks
    view = ElementTree.fromstring((tmp_path / "tasks.xml").read_text(encoding="utf-8"))
    shown = {tag.get("name"): tag for tag in view.iter() if tag.tag in ("Image", "Text", "Audio", "Video")}
    choices = next(view.iter("Choices"))
    (prediction,) = next(task["predictions"] for task in content if "predictions" in task)
    assert {name: tag.tag.lower() for name, tag in shown.items()} == fields
    assert all(tag.get("value") == f"${name}" and name in content[0]["data"] for name, tag in shown.items())
    assert choices.get("name") == prediction["result"][0]["from_name"]
    assert choices.get("toName") == prediction["result"][0]["to_name"] == next(iter(fields))
    offered = {choice.get("alias") or choice.get("value") for choice in choices}
    assert offered == {"cat", "dog", "eel", UNSURE}


def test_labels_with_awkward_names():
    config = labeling_config({"photo": "image"}, ['a "quoted" & <b>', "ünï code", "a,b"])
    values = [choice.get("value") for choice in ElementTree.fromstring(config).iter("Choice")]
    assert values[:3] == ['a "quoted" & <b>', "ünï code", "a,b"]
    for name in ("1photo", "my photo", "skmmal_id", "label", "../x"):
        with pytest.raises(ValueError, match="cannot name a data field"):
            labeling_config({name: "image"}, ["cat"])
    with pytest.raises(ValueError, match="has the kind 'smell'"):
        labeling_config({"photo": "smell"}, ["cat"])
    with pytest.raises(ValueError, match="no class is known yet"):
        labeling_config({"photo": "image"}, [])


def test_data_that_does_not_fit(running, items, tmp_path):
    with pytest.raises(ValueError, match="has no column 'nonsense'"):
        read_data(items, {"nonsense": "image"})
    data = read_data(items, {"photo": "image"})
    with pytest.raises(ValueError, match="1 of 12 ids are not in the data"):
        tasks(
            running.state().batches[1], data.drop(index=running.state().batches[1]["id"][3]), {"photo": "image"}, 2, []
        )
    with pytest.raises(ValueError, match="label-studio needs what annotators are to see"):
        export_batch(running, tmp_path / "x.json", "label-studio")
    with pytest.raises(ValueError, match="there is no round 7; 2 are done"):
        export_batch(running, tmp_path / "x.csv", "csv", round=7)
    assert not list(tmp_path.iterdir())


def annotated(task, number, answers):
    """A task as Label Studio's JSON export gives it back, with its own id."""
    annotations = []
    for k, (person, label, when) in enumerate(answers):
        result = []
        if label not in ("CANCEL", "NOTHING"):
            result = [
                {
                    "id": f"r{number}{k}", "from_name": "label", "to_name": "photo", "type": "choices",
                    "origin": "manual", "value": {"choices": [label]},
                },
                {  # another control of the same project is none of ours
                    "from_name": "comment", "to_name": "photo", "type": "textarea", "value": {"text": ["hm"]},
                },
            ]  # fmt: skip
        annotations.append(
            {
                "id": 900 + 10 * number + k,
                "completed_by": person,
                "result": result,
                "was_cancelled": label == "CANCEL",
                "ground_truth": False,
                "created_at": "2026-01-01T00:00:00.000000Z",
                "updated_at": when,
                "lead_time": 4.25,
                "task": 70 + number,
            }
        )
    return {
        "id": 70 + number, "data": task["data"], "annotations": annotations, "predictions": task.get("predictions", []),
        "drafts": [{"result": [{"from_name": "label", "type": "choices", "value": {"choices": ["cat"]}}]}],
        "project": 3, "created_at": "2026-01-01T00:00:00.000000Z",
    }  # fmt: skip


@pytest.fixture
def exported(begin, answer, items, tmp_path):
    """A fresh campaign whose first batch was sent to Label Studio."""
    campaign = begin(classes=["cat", "dog", "eel"], n_instances=8)
    campaign.next_batch()
    fields = {"photo": "image", "caption": "text"}
    export_batch(campaign, tmp_path / "tasks.json", "label-studio", data=read_data(items, fields), fields=fields)
    return campaign, json.loads((tmp_path / "tasks.json").read_text())


ANSWERS = [
    [({"id": 1, "email": "ann@x"}, "cat", "2026-01-02T00:00:00.123456Z")],
    [
        ({"id": 1, "email": "ann@x"}, "dog", "2026-01-02T00:00:01Z"),
        ({"id": 2, "email": "bob@x"}, "dog", "2026-01-02T00:00:02Z"),
    ],
    [(1, "cat", "2026-01-02T00:00:00Z"), (2, "dog", "2026-01-02T00:00:00Z")],
    [(1, "CANCEL", "2026-01-02T00:00:00Z")],
    [(1, UNSURE, "2026-01-02T00:00:00Z")],
    [(1, "cat", "2026-01-03T00:00:00Z"), (1, "eel", "2026-01-02T00:00:00Z")],  # the later one was clicked first
    [(1, "NOTHING", "2026-01-02T00:00:00Z")],
    [],
]


def test_label_studio_round_trip(exported, tmp_path):
    campaign, sent = exported
    back = [annotated(task, i, answers) for i, (task, answers) in enumerate(zip(sent, ANSWERS, strict=True))]
    path = tmp_path / "back.json"
    path.write_text(json.dumps(back))
    found = campaign.add_labels(path)
    assert (found["new"], found["blank"]) == (10, 1)
    labels, ids = campaign.labels, [task["data"]["skmmal_id"] for task in sent]
    assert labels.loc[ids[:7], "state"].tolist() == ["label", "label", "conflict", "skip", "unsure", "label", "skip"]
    assert labels.loc[ids[:7], "label"].tolist() == ["cat", "dog", "", "", "", "cat", ""]
    assert campaign.state().pending == [ids[7]]
    history = campaign.history
    # nothing is lost: who, when, which annotation, how long
    expected = [
        (task["data"]["skmmal_id"], annotation["updated_at"], str(annotation["id"]), "4.25")
        for task in back
        for annotation in task["annotations"]
    ]
    assert list(history[["id", "when", "annotation", "lead_time"]].itertuples(index=False, name=None)) == expected
    assert history["annotator"].tolist()[:3] == ["ann@x", "ann@x", "bob@x"]
    # the whole export again, with one more annotation: only that one is new
    back[7] = annotated(sent[7], 7, [(1, "eel", "2026-01-05T00:00:00Z")])
    path.write_text(json.dumps(back))
    assert campaign.add_labels(path)["new"] == 1
    # and a task that was imported twice brings the same answer under another number: no conflict arises
    back.append({**annotated(sent[0], 40, [({"id": 1, "email": "ann@x"}, "cat", "2026-01-06T00:00:00Z")])})
    path.write_text(json.dumps(back))
    campaign.add_labels(path)
    assert campaign.labels.loc[ids[0]].to_dict() == {
        "state": "label", "label": "cat", "n_annotators": 1, "n_votes": 1, "agreement": 1.0,
    }  # fmt: skip


def test_label_studio_flat_formats(exported, tmp_path):
    campaign, sent = exported
    flat = [
        {
            "id": 70 + i, "photo": "x.jpg", "skmmal_id": task["data"]["skmmal_id"], "skmmal_rank": i, "annotator": 1,
            "annotation_id": 900 + i, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z",
            "lead_time": 2.5, "label": label,
        }
        for i, (task, label) in enumerate(zip(sent, ["cat", "dog", UNSURE, {"choices": ["eel"]}], strict=False))
    ]  # fmt: skip
    flat.append({**flat[0], "skmmal_id": sent[4]["data"]["skmmal_id"], "annotation_id": 950})
    del flat[-1]["label"]  # no answer; skipped ones are not in this format
    (tmp_path / "min.json").write_text(json.dumps(flat))
    found = campaign.add_labels(tmp_path / "min.json")
    assert (found["states"], found["blank"]) == ({"label": 3, "unsure": 1}, 1)
    assert any("holds no skips" in note for note in found["notes"])
    ids = [task["data"]["skmmal_id"] for task in sent]
    assert campaign.labels["label"].reindex(ids[:5]).fillna("pending").tolist() == ["cat", "dog", "", "eel", "pending"]
    # the same annotations as CSV are no news
    table = pd.DataFrame(flat)
    table["label"] = [json.dumps(value) if isinstance(value, dict) else value for value in table["label"]]
    table.to_csv(tmp_path / "back.csv", index=False)
    assert campaign.add_labels(tmp_path / "back.csv")["entry"] is None


def test_bad_label_studio_files(exported, tmp_path):
    campaign, sent = exported
    path = tmp_path / "bad.json"
    several = annotated(sent[0], 0, [(1, "cat", "2026-01-02T00:00:00Z")])
    several["annotations"][0]["result"][0]["value"]["choices"] = ["cat", "dog"]
    foreign = annotated({"data": {"photo": "x.jpg"}}, 0, [(1, "cat", "2026-01-02T00:00:00Z")])
    for content, words in [
        ([foreign], "has no skmmal_id in its data; was it exported by skmmal"),
        ([annotated(sent[1], 0, []), several], "task 1 has 2 choices"),
        ({"tasks": []}, "not a Label Studio export|no skmmal_id|expected"),
        ([{"data": {"skmmal_id": "s1"}, "annotations": [17]}], "is not an object"),
        ([{"data": {"skmmal_id": "s1"}, "annotations": {"a": 1}}], "are not a list"),
    ]:
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=words):
            campaign.add_labels(path)
    for content in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not JSON, or is truncated"):
            campaign.add_labels(path)
    assert len(campaign.log) == 1


# --------------------------------------------------------------------------------------------- other formats


def test_prodigy_round_trip(exported, items, tmp_path):
    campaign, _ = exported
    fields = {"photo": "image", "caption": "text"}
    out = tmp_path / "tasks.jsonl"
    export_batch(campaign, out, "prodigy", data=read_data(items, fields, prefix="https://h/"), fields=fields)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [option["id"] for option in lines[0]["options"]] == ["cat", "dog", "eel"]
    assert lines[0]["image"] == f"https://h/{lines[0]['meta']['skmmal_id']}.jpg"
    answers = [("accept", ["cat"]), ("accept", ["eel"]), ("ignore", []), ("reject", []), ("accept", [])]
    for line, (answer, accepted) in zip(lines, answers, strict=False):
        line |= {
            "answer": answer,
            "accept": accepted,
            "_annotator_id": "db-ann",
            "_timestamp": 1767312000,
            "_task_hash": 7,
        }
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = campaign.add_labels(out)
    assert found["states"] == {"label": 2, "skip": 2, "unsure": 1}
    assert found["blank"] == 3
    ids = [line["meta"]["skmmal_id"] for line in lines]
    assert campaign.labels.loc[ids[:5], "state"].tolist() == ["label", "label", "skip", "unsure", "skip"]
    assert set(campaign.history["annotator"]) == {"db-ann"}
    assert set(campaign.history["when"]) == {"2026-01-02T00:00:00+00:00"}
    lines[0]["accept"] = ["cat", "dog"]
    out.write_text(json.dumps(lines[0]))
    with pytest.raises(ValueError, match="line 1 accepts"):
        campaign.add_labels(out)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "huggingface"])
def test_history_round_trip(running, kind, pool, tmp_path):
    """Every label received, written out and taken in by another campaign, gives the same history and labels."""
    ids = running.state().pending[:4]
    if "bob" not in set(running.history["annotator"]):
        running.add_labels(
            pd.DataFrame(
                {
                    "id": [*ids, ids[0]],
                    "label": ["cat", "", "", 'a "b",\tc', "dog"],
                    "state": ["", "skip", "unsure", "", ""],
                    "when": ["2026-01-02T00:00:00+02:00", "", "", "", "2026-01-02T00:00:00+01:00"],
                    "annotation": ["7", "", "", "", "8"],
                }
            ),
            annotator="bob",
            allow_new_classes=True,
        )
    out = tmp_path / {"csv": "h.csv", "jsonl": "h.jsonl", "huggingface": "h"}[kind]
    n = export_labels(running, out, kind, history=True)
    assert n == len(running.history)
    other = LabelingCampaign.create(tmp_path / "other", pool[0])
    assert other.add_labels(out)["new"] == n
    pd.testing.assert_frame_equal(other.history.drop(columns="entry"), running.history.drop(columns="entry"))
    pd.testing.assert_frame_equal(other.labels, running.labels)
    settled = tmp_path / f"s{out.suffix}"
    assert export_labels(running, settled, kind) == len(running.labels)
    table = read_labels_file(settled)
    assert table["label"].tolist() == running.labels["label"].tolist()
    if kind == "huggingface":
        with pytest.raises(FileExistsError, match="exists and is not empty"):
            export_labels(running, settled, kind)


def test_huggingface_class_labels(running, tmp_path):
    from datasets import ClassLabel, load_from_disk

    export_labels(running, tmp_path / "labels", "huggingface")
    dataset = load_from_disk(str(tmp_path / "labels"))
    assert isinstance(dataset.features["label"], ClassLabel)
    assert dataset.features["label"].names == running.state().classes
    labels = running.labels
    named = [None if code is None else dataset.features["label"].int2str(code) for code in dataset["label"]]
    assert named == [label or None for label in labels["label"]]
    assert list(dataset["id"]) == labels.index.tolist()


def test_a_batch_as_a_form_to_fill_in(begin, answer, tmp_path):
    campaign = begin()
    batch = campaign.next_batch()
    export_batch(campaign, tmp_path / "form.csv", "csv")
    form = pd.read_csv(tmp_path / "form.csv", dtype=str, keep_default_na=False)
    assert form["id"].tolist() == batch["id"].tolist()
    truth = answer(batch)
    form["label"] = [truth[name] if i < 5 else "" for i, name in enumerate(form["id"])]
    form.loc[6, "state"] = "skip"
    form.to_csv(tmp_path / "form.csv", index=False)
    found = campaign.add_labels(tmp_path / "form.csv", annotator="ann")
    assert (found["new"], found["blank"], found["states"]) == (6, 6, {"label": 5, "skip": 1})
    # what is answered is not sent out once more
    assert export_batch(campaign, tmp_path / "rest.jsonl", "jsonl") == 6
    rest = [json.loads(line) for line in (tmp_path / "rest.jsonl").read_text().splitlines()]
    assert [line["id"] for line in rest] == [name for i, name in enumerate(batch["id"]) if i > 4 and i != 6]
    assert export_batch(campaign, tmp_path / "all.csv", "csv", again=True) == 12


def test_files_that_are_none(tmp_path):
    for name, content, words in [
        ("a.csv", b"", "is empty; expected the columns id,label"),
        ("a.csv", b"\xff\xfe\x00", "not a CSV file in UTF-8"),
        ("a.jsonl", b'{"id": 1}\n{"id": ', "line 2 is not JSON, or is truncated"),
        ("a.jsonl", b"[1]\n", "line 1 is not an object"),
        ("a.pkl", b"\x80\x04.", "say what it is"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=words):
            read_labels_file(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_labels_file(tmp_path / "nothing.csv")
    with pytest.raises(ValueError, match="not a dataset that save_to_disk wrote"):
        read_labels_file(tmp_path)
    with pytest.raises(ValueError, match="source must be one of"):
        read_labels_file(tmp_path / "a.csv", "nonsense")


def test_a_line_with_too_many_fields_loses_nothing(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("id,label\ns00,cat,sure\n")
    with pytest.raises(ValueError, match=r"labels\.csv: line 2 has 3 fields, the header 2; a text that holds ','"):
        read_labels_file(path)
