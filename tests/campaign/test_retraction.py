"""Labels taken back, conflicts settled, rejections, who is who; and campaigns of the first version."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skmmal.campaign import CampaignError, LabelingCampaign, export_batch, export_labels, read_data
from skmmal.campaign._identity import learn, one_person
from skmmal.campaign._votes import ALL_COLUMNS, agreement, latest, resolve

OLD = Path(__file__).parents[1] / "data" / "campaign_0_1_0"


def events(*rows):
    table = pd.DataFrame(rows, columns=["id", "annotator", "state", "label", "when"], dtype=object)
    return table.assign(**{name: "" for name in ALL_COLUMNS if name not in table.columns})[list(ALL_COLUMNS)]


# ------------------------------------------------------------------------------------------------------ retraction


def test_retract_and_label_again(begin, answer):
    campaign = begin()
    batch = campaign.next_batch()
    ids = batch["id"].tolist()
    campaign.add_labels(answer(batch), annotator="ann")
    campaign.add_labels({ids[0]: "eel", ids[1]: "eel"}, annotator="bob", allow_new_classes=True)
    before = campaign.labels
    found = campaign.retract(ids[0], reason="wrong picture", by="lead")
    assert found == {"entry": 4, "retracted": 2, "ids": [ids[0]]}
    assert ids[0] not in campaign.labels.index
    assert campaign.state().pending == [ids[0]]
    assert campaign.retract([ids[0]])["entry"] is None  # again: nothing happens
    assert campaign.retract(ids[1], annotator="bob")["retracted"] == 1
    assert campaign.labels.loc[ids[1], "n_annotators"] == 1
    assert campaign.log["what"].tolist()[-2:] == ["2 labels of 1 ids retracted", "1 labels by bob of 1 ids retracted"]
    stamp = json.loads((campaign.folder / "log" / "000004-retract" / "stamp.json").read_text())
    assert (stamp["reason"], stamp["by"]) == ("wrong picture", "lead")
    # it is sent out once more, and can be labelled again, with the same word, too
    assert export_batch(campaign, campaign.folder.parent / "rest.csv", "csv") == 1
    assert campaign.add_labels({ids[0]: answer(batch)[ids[0]]}, annotator="ann")["new"] == 1
    campaign.undo(6)
    campaign.undo(4)
    campaign.undo(5)
    pd.testing.assert_frame_equal(campaign.labels, before)
    reopened = LabelingCampaign(campaign.folder)
    pd.testing.assert_frame_equal(reopened.labels, before)
    reopened.verify()


def test_retract_what_is_not_there(begin, answer):
    campaign = begin()
    batch = campaign.next_batch()
    campaign.add_labels(answer(batch), annotator="ann")
    first = batch["id"].iloc[0]
    for ids, annotator, words in [
        (["zzz", first], None, "1 of 2 are not in this campaign, the first: 'zzz'"),
        (first, "bob", f"no label by 'bob', the first: '{first}'; labels of '{first}' are by ..ann"),
        (["s149" if "s149" not in set(batch["id"]) else "s148"], None, "there is no label, the first"),
        ([], None, "there is no id to retract"),
    ]:
        with pytest.raises(ValueError, match=words):
            campaign.retract(ids, annotator=annotator)
    assert len(campaign.log) == 2


def test_with_times_a_retracted_label_stays_so(begin):
    campaign = begin()
    ids = campaign.next_batch()["id"].tolist()
    table = pd.DataFrame(
        {"id": ids[:2], "label": ["cat", "dog"], "when": "2026-01-02T00:00:00Z", "annotation": ["7", "8"]}
    )
    campaign.add_labels(table, annotator="ann")
    campaign.retract(ids[0])
    found = campaign.add_labels(table, annotator="ann")
    assert (found["entry"], found["stay_retracted"], found["known"]) == (None, 1, 1)
    assert campaign.add_labels(table.assign(when="2026-01-03T00:00:00Z"), annotator="ann")["new"] == 2
    assert campaign.labels["label"].to_dict() == {ids[0]: "cat", ids[1]: "dog"}


def test_a_snapshot_of_a_table(begin):
    campaign = begin()
    ids = campaign.next_batch()["id"].tolist()
    campaign.add_labels(dict.fromkeys(ids[:4], "cat"), annotator="ann")
    campaign.add_labels({ids[0]: "dog"}, annotator="bob", allow_new_classes=True)
    table = pd.DataFrame({"id": ids[:4], "label": ["cat", "", "dog", "cat"]})
    found = campaign.add_labels(table.iloc[:3], annotator="ann", snapshot=True)
    assert (found["vanished"], found["new"], found["changed"]) == (2, 1, 1)  # emptied, and left out
    assert campaign.labels["label"].to_dict() == {ids[0]: "", ids[2]: "dog"}
    assert set(campaign.history["annotator"]) == {"ann", "bob"}
    for nothing in (table.assign(label=""), {}):
        with pytest.raises(ValueError, match="there is no label at all in it"):
            campaign.add_labels(nothing, annotator="ann", snapshot=True)
    # it can come back
    assert campaign.add_labels({ids[1]: "cat"}, annotator="ann")["new"] == 1


# -------------------------------------------------------------------------------------------------- back and forth


@pytest.mark.parametrize("more", [
    lambda i: {}, lambda i: {"when": f"2026-01-0{i + 1}"}, lambda i: {"annotation": "7"}, lambda i: {"when": "2026-01-02"},
    lambda i: {"when": f"2026-01-02T00:00:0{i}+00:00", "annotation": "7"}, lambda i: {"annotation": str(i)},
])  # fmt: skip
@pytest.mark.parametrize(
    "words", [["cat", "dog", "cat"], ["cat", "skip", "cat"], ["unsure", "cat", "dog", "cat", "unsure"]]
)
def test_the_latest_word_counts_whatever_came_before(begin, more, words):
    campaign = begin(classes=["cat", "dog"])
    name = campaign.next_batch()["id"].iloc[0]
    for i, word in enumerate(words):
        state = word if word in ("skip", "unsure") else "label"
        row = {"id": name, "label": "" if state != "label" else word, "state": state, **more(i)}
        assert campaign.add_labels(pd.DataFrame([row]), annotator="ann")["new"] == 1
        assert campaign.add_labels(pd.DataFrame([row]), annotator="ann")["entry"] is None
        now = campaign.labels.loc[name]
        assert (now["label"] if state == "label" else now["state"]) == word
    # the whole history, taken in by another campaign, ends the same
    export_labels(campaign, campaign.folder.parent / "h.csv", "csv", history=True)
    other = begin("other", classes=["cat", "dog"])
    assert other.add_labels(campaign.folder.parent / "h.csv")["new"] > 1
    pd.testing.assert_frame_equal(other.labels, campaign.labels)


# --------------------------------------------------------------------------------------------------------- settling


def test_an_authority_settles(begin):
    campaign = begin(classes=["cat", "dog"])
    ids = campaign.next_batch()["id"].tolist()
    for who, labels in (("ann", "cat"), ("bob", "dog"), ("eve", "cat")):
        campaign.add_labels({ids[0]: labels, ids[1]: labels}, annotator=who)
    campaign.retract(ids[1], annotator="eve")
    assert campaign.labels.loc[ids[1], "state"] == "conflict"
    assert campaign.conflicts.to_dict("records") == [
        {"id": ids[1], "settled": "", "said": "ann: cat; bob: dog"},
        {"id": ids[0], "settled": "cat", "said": "ann: cat; bob: dog; eve: cat"},
    ]
    found = campaign.add_labels({ids[1]: "dog"}, annotator="bob", authority="bob")  # nothing new but that
    assert (found["new"], found["authority"], found["entry"]) == (0, ["bob"], 6)
    assert campaign.labels.loc[ids[:2], "label"].tolist() == ["dog", "dog"]  # against a majority, too
    assert campaign.labels.loc[ids[0], "n_votes"] == 3
    assert campaign.add_labels({ids[1]: "dog"}, annotator="bob", authority=["bob"])["entry"] is None
    campaign.undo()
    assert campaign.labels.loc[ids[:2], "label"].tolist() == ["cat", ""]
    with pytest.raises(
        ValueError, match=r"authority: there is no label by 'bobby'; annotators are \['ann', 'bob', 'eve'\]"
    ):
        campaign.add_labels({ids[1]: "dog"}, annotator="bob", authority="bobby")
    # one word only, in the labels' own column
    lead = pd.DataFrame({"id": ids[1:2], "label": ["cat"], "annotator": ["lead"], "authority": ["yes"]})
    campaign.add_labels(lead)
    assert campaign.labels.loc[ids[:2], "label"].tolist() == ["cat", "cat"]
    # authorities who disagree settle nothing; a skip of theirs does, and what they cannot tell does not
    campaign.add_labels(lead.assign(annotator="chief", label="dog"))
    assert campaign.labels.loc[ids[1], "state"] == "conflict"
    campaign.add_labels(lead.assign(annotator="chief", label="", state="unsure"))
    assert campaign.labels.loc[ids[1], "label"] == "cat"
    campaign.add_labels(lead.assign(label="", state="skip"))
    assert campaign.labels.loc[ids[1], "state"] == "skip"


def test_agreement_is_with_the_others():
    """16 of 22 rows with two labels say the same, whoever is asked; rows of one annotator do not count."""
    rows = [
        (f"s{i:02d}", who, "label", "x" if who == "ann" or i < 16 else "y", "")
        for i in range(22)
        for who in ("ann", "bob")
    ]
    rows += [(f"t{i}", "ann", "label", "x", "") for i in range(9)] + [("s00", "eve", "skip", "", "")]
    found = agreement(events(*rows))
    assert found["by_annotator"] == {"ann": {"n": 22, "agrees": 16 / 22}, "bob": {"n": 22, "agrees": 16 / 22}}
    assert (found["n_several"], found["n_unanimous"], found["n_differ"]) == (22, 16, 6)
    # three annotators, by brute force
    rng = np.random.default_rng(0)
    rows = [
        (f"s{i}", who, "label", rng.choice(["x", "y", "z"]), "")
        for i in range(30)
        for who in "abc"
        if rng.random() < 0.7
    ]
    found = agreement(events(*rows))["by_annotator"]
    table = {(name, who): label for name, who, _, label, _ in rows}
    for who in "abc":
        shares = []
        for i in range(30):
            others = [
                table[f"s{i}", o] == table.get((f"s{i}", who)) for o in "abc" if o != who and (f"s{i}", o) in table
            ]
            if (f"s{i}", who) in table and others:
                shares.append(np.mean(others))
        assert found[who]["n"] == len(shares)
        assert found[who]["agrees"] == pytest.approx(np.mean(shares))


# ------------------------------------------------------------------------------------------------------- rejections


def test_a_rejection_is_kept_and_is_no_answer():
    table = events(
        ("a", "ann", "reject", "cat", ""), ("a", "ann", "reject", "dog", ""),
        ("b", "ann", "reject", "cat", ""), ("b", "ann", "label", "dog", ""),
        ("c", "ann", "label", "cat", ""), ("c", "ann", "reject", "cat", ""),
        ("d", "ann", "reject", "cat", ""), ("d", "ann", "label", "cat", ""),
        ("e", "ann", "label", "cat", ""), ("e", "bob", "reject", "cat", ""),
        ("f", "ann", "label", "cat", ""), ("f", "bob", "label", "cat", ""), ("f", "eve", "reject", "cat", ""),
        ("g", "ann", "label", "cat", ""), ("g", "bob", "reject", "dog", ""),
    )  # fmt: skip
    assert len(latest(table)) == 2 + 2 + 1 + 1 + 2 + 3 + 2
    settled = resolve(table)
    assert settled["state"].to_dict() == {
        "b": "label", "d": "label", "e": "conflict", "f": "label", "g": "label",
    }  # fmt: skip
    assert settled.loc["b", "label"] == "dog"


def prodigy(path, *lines):
    path.write_text("".join(json.dumps({"_annotator_id": "ann", **line}) + "\n" for line in lines))
    return path


def test_prodigy_binary(begin, tmp_path):
    campaign = begin(classes=["cat", "dog"])
    ids = campaign.next_batch()["id"].tolist()
    path = prodigy(tmp_path / "p.jsonl", *(
        {"text": "t", "label": label, "answer": said, "meta": {"skmmal_id": name}}
        for name, label, said in zip(ids, ["cat", "cat", "dog", "dog"], ["accept", "reject", "accept", "ignore"], strict=False)
    ))  # fmt: skip
    found = campaign.add_labels(path)
    assert found["states"] == {"label": 2, "reject": 1, "skip": 1}
    assert campaign.labels["label"].to_dict() == {ids[0]: "cat", ids[2]: "dog", ids[3]: ""}
    assert ids[1] in campaign.state().pending
    assert campaign.history.set_index("id").loc[ids[1], ["label", "state"]].tolist() == ["cat", "reject"]
    assert campaign.status().annotators.loc["ann", "reject"] == 1
    assert campaign.add_labels(path)["entry"] is None
    export_labels(campaign, tmp_path / "h.csv", "csv", history=True)
    other = begin("other", classes=["cat", "dog"])
    other.add_labels(tmp_path / "h.csv")
    pd.testing.assert_frame_equal(other.history.drop(columns="entry"), campaign.history.drop(columns="entry"))
    with pytest.raises(ValueError, match="1 classes that are new here: 'eel'"):
        campaign.add_labels(prodigy(path, {"label": "eel", "answer": "reject", "meta": {"skmmal_id": ids[5]}}))


@pytest.mark.parametrize(("line", "words"), [
    ({"answer": "accept", "spans": [{"label": "cat"}]}, r"holds neither an option nor one label, but \['spans'\]"),
    ({"answer": "reject", "text": "t"}, "holds neither an option nor one label"),
    ({"answer": "accept", "label": ["cat"]}, "holds neither"),
    ({"answer": "accept", "accept": ["cat", "dog"], "options": []}, "a sample has one label"),
    ({"answer": "accept", "accept": ["eel"], "options": [{"id": "cat"}]}, r"accepts 'eel', which is none of its options \['cat'\]"),
    ({"answer": "maybe", "label": "cat"}, "expected accept, reject or ignore"),
])  # fmt: skip
def test_prodigy_lines_that_are_no_class(begin, tmp_path, line, words):
    campaign = begin(classes=["cat", "dog"])
    with pytest.raises(ValueError, match=words):
        campaign.add_labels(prodigy(tmp_path / "p.jsonl", {"meta": {"skmmal_id": "s000"}, **line}), source="prodigy")


def test_prodigy_choices(begin, tmp_path):
    campaign = begin(classes=["cat", "dog"])
    options = [{"id": "cat"}, {"id": "dog"}]
    path = prodigy(
        tmp_path / "p.jsonl",
        {"answer": "accept", "accept": "cat", "options": options, "meta": {"skmmal_id": "s000"}},
        {"answer": "reject", "accept": ["cat"], "options": options, "meta": {"skmmal_id": "s001"}},
        {"answer": "reject", "accept": [], "options": options, "meta": {"skmmal_id": "s002"}},
    )
    assert campaign.add_labels(path)["states"] == {"label": 1, "reject": 1, "unsure": 1}


# ------------------------------------------------------------------------------------------------------- who is who


def test_who_is_who():
    table = events(
        *[
            (f"s{i}", who, "label", "x", "2026-01-01T00:00:00Z")
            for i, who in enumerate(["1", "ann@x", "1", "ann@x", "2", "3"])
        ]
    )
    table["annotation"] = ["7", "7", "8", "", "9", "10"]
    table.loc[:1, "id"] = "s0"  # the same annotation, by number and by name
    table["annotator_id"] = ["1", "", "1", "", "2", "3"]
    assert learn(table) == {"1": "ann@x"}
    both = pd.concat(
        [table, table.assign(annotator="bob@x", annotator_id="1", annotation="99", id="s9")], ignore_index=True
    )
    assert "1" not in learn(both)  # two servers, perhaps
    assert one_person(table, learn(table))["annotator"].tolist() == ["ann@x"] * 4 + ["2", "3"]
    # a number that somebody calls himself in a table is no number of Label Studio
    plain = table.assign(annotation="", annotator_id="")
    assert learn(plain) == {}
    assert one_person(plain, {"1": "ann@x"})["annotator"].tolist() == plain["annotator"].tolist()


# ------------------------------------------------------------------------------------------------------ predictions


@pytest.mark.parametrize(("predictions", "shown"), [("strategy", 9), ("all", 12), ("none", 0)])
def test_whose_prediction_is_shown(begin, answer, tmp_path, predictions, shown):
    campaign = begin(random_fraction=0.25)
    campaign.add_labels(answer(campaign.next_batch()))
    batch = campaign.next_batch()
    pd.DataFrame({"id": batch["id"], "photo": batch["id"] + ".jpg"}).to_csv(tmp_path / "items.csv", index=False)
    data, fields = read_data(tmp_path / "items.csv", {"photo": "image"}), {"photo": "image"}
    drawn = set(batch["id"][batch["chosen_by"] == "random-slice"])
    options = {"data": data, "fields": fields, "predictions": predictions}
    export_batch(campaign, tmp_path / "t.json", "label-studio", **options)
    tasks = json.loads((tmp_path / "t.json").read_text())
    with_prediction = {task["data"]["skmmal_id"] for task in tasks if "predictions" in task}
    assert len(with_prediction) == shown
    if predictions == "strategy":
        assert not with_prediction & drawn
    export_batch(campaign, tmp_path / "t.jsonl", "prodigy", **options)
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert {line["meta"]["skmmal_id"] for line in lines if "predicted" in line["meta"]} == with_prediction
    export_batch(campaign, tmp_path / "t.csv", "csv", predictions=predictions)
    form = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    assert set(form["id"][form["predicted"] != ""]) == with_prediction
    assert (form["confidence"] != "").equals(form["predicted"] != "")
    for why, name in zip([task["data"]["skmmal_why"] for task in tasks], batch["id"], strict=True):
        assert why
        if name not in with_prediction:  # the reason would give it away
            assert not any(label in why for label in ("cat", "dog", "eel"))
    with pytest.raises(ValueError, match="predictions must be one of"):
        export_batch(campaign, tmp_path / "t.csv", "csv", predictions="some")


def test_accepted_predictions_on_the_random_slice_are_named(begin, answer):
    campaign = begin(random_fraction=0.25)
    campaign.add_labels(answer(campaign.next_batch()))
    batch = campaign.next_batch()
    origin = ["prediction" if by == "random-slice" else "manual" for by in batch["chosen_by"]]
    campaign.add_labels(pd.DataFrame({"id": batch["id"], "label": list(answer(batch).values()), "origin": origin}))
    status = campaign.status()
    assert status.origins == {"manual": 9, "prediction": 3}
    assert any(
        "3 rows that were drawn at random were labelled with the prediction in sight" in line
        for line in status.sentences
    )
    assert status.to_dict()["origins"] == status.origins


# -------------------------------------------------------------------------------------------------- names of classes


@pytest.mark.parametrize(
    "name", ["skip", "unsure", "Skip", " UNSURE ", "I cannot tell", "i CANNOT tell", "skmmal:unsure"]
)
def test_reserved_names(begin, name, tmp_path):
    with pytest.raises(ValueError, match="cannot be the name of a class"):
        begin(classes=["cat", name])
    assert not (tmp_path / "campaign").exists()
    with pytest.raises(ValueError, match="cannot be the name of a class"):
        begin(validation={"s001": name, "s002": "cat"})
    campaign = begin()
    for labels in ({"s001": name}, {"s001": "cat", "s002": name}):
        with pytest.raises(ValueError, match="cannot be the name of a class.*column state.*--map-class"):
            campaign.add_labels(labels, allow_new_classes=True)
    found = campaign.add_labels({"s001": name, "s002": "cat"}, map_classes={name: "skip"})
    assert found["states"] == {"label": 1, "skip": 1}


def test_a_class_that_was_split(begin):
    campaign = begin(classes=["Home", "Kitchen & Garden", "Books"])
    with pytest.raises(ValueError, match="'Home, Kitchen & Garden' was split at its comma"):
        campaign.add_labels({"s001": "Home, Kitchen & Garden"})


# ------------------------------------------------------------------------------------------------ the first version


@pytest.fixture
def old(tmp_path):
    shutil.copytree(OLD, tmp_path / "old")
    with np.load(OLD / "features.npz") as file:
        ids = file["ids"].tolist()
        X = {name: file[name] for name in file.files if name != "ids"}
    return LabelingCampaign(tmp_path / "old" / "campaign", features=X, ids=ids)


def test_a_campaign_of_the_first_version_goes_on(old):
    old.verify()
    assert len(old.log) == 6
    assert old.labels["state"].value_counts().to_dict() == {"label": 15, "skip": 1}
    assert set(old.history["annotator"]) == {"ann", "1"}
    assert old.history["origin"].eq("").all()
    # the same export is known, annotation by annotation; with e-mails it is the same person
    export = OLD / "export.json"
    assert old.add_labels(export)["entry"] is None
    tasks = json.loads(export.read_text())
    for task in tasks:
        task["project"] = 1
        for annotation in task["annotations"]:
            annotation["completed_by"] = {"id": 1, "email": "ann@example.com"}
    path = old.folder.parent / "again.json"
    path.write_text(json.dumps(tasks[1:]))
    found = old.add_labels(path, snapshot=True)
    assert (found["new"], found["vanished"]) == (0, 1)
    assert set(old.history["annotator"]) == {"ann", "ann@example.com"}
    assert old.retract(tasks[1]["data"]["skmmal_id"])["retracted"] == 1
    assert len(old.state().pending) == 2
    old.undo()
    assert len(old.next_batch()) == 8
    assert old.model(2).classes_.tolist() == ["cat", "dog"]
    old.verify()


def test_a_snapshot_leaves_what_came_from_elsewhere(begin, tmp_path):
    """Answers from a file that names no project are the export's only where it holds some of them."""

    def export(name, rows, **more):
        choice = {"from_name": "label", "to_name": "a", "type": "choices", "value": {"choices": ["cat"]}}
        tasks = [
            {
                "id": i,
                "data": {"skmmal_id": row},
                "annotations": [{"id": i, "completed_by": 1, "was_cancelled": False, "result": [choice]}],
                **more,
            }
            for i, row in enumerate(rows, start=1)
        ]
        (tmp_path / name).write_text(json.dumps(tasks))
        return tmp_path / name

    elsewhere, same = begin("elsewhere", classes=["cat", "dog"]), begin("same", classes=["cat", "dog"])
    rows = elsewhere.next_batch()["id"].tolist()
    assert same.next_batch()["id"].tolist() == rows
    for campaign in (elsewhere, same):
        assert campaign.add_labels(export("file.json", rows[:6]))["new"] == 6
    found = elsewhere.add_labels(export("server.json", rows[6:9], project=9), snapshot=True)
    assert found["new"] == 3
    assert "vanished" not in found
    assert len(elsewhere.labels) == 9
    found = same.add_labels(export("later.json", rows[:4], project=9), snapshot=True)
    assert (found["new"], found["known"], found["vanished"]) == (0, 4, 2)
    assert same.labels.index.tolist() == sorted(rows[:4])


def test_a_damaged_retraction_is_noticed(begin, answer):
    campaign = begin()
    batch = campaign.next_batch()
    campaign.add_labels(answer(batch), annotator="ann")
    campaign.retract(batch["id"].iloc[0])
    path = campaign.folder / "log" / "000003-retract" / "retracted.csv"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"ann", b"bob"))
    with pytest.raises(CampaignError, match=r"retracted\.csv is damaged or was edited"):
        LabelingCampaign(campaign.folder).status()
    path.unlink()
    with pytest.raises(CampaignError, match="is missing"):
        LabelingCampaign(campaign.folder)
