"""What a real Label Studio gave back where several choices are allowed (recorded by record_label_studio_sets.py)."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from skmmal import LabelingCampaign
from skmmal.campaign import labeling_config
from skmmal.campaign._sets import join

DATA = Path(__file__).parents[1] / "data" / "label_studio"
LABELS = ["boat", "Home, Kitchen & Garden", '["a"]', '{"choices": ["x"]}', "sea", "ünï <b>"]
WHO = {"1": "ann", "2": "bob"}


def read(name):
    return json.loads((DATA / name).read_text(encoding="utf-8"))


@pytest.fixture
def begin(tmp_path):
    def call(name="c", **options):
        ids = [f"s{i:02d}" for i in range(40)]
        X = {"a": np.random.default_rng(0).normal(size=(40, 2))}
        options = {"multilabel": True, "classes": LABELS, **options}
        return LabelingCampaign.create(tmp_path / name, X, ids=ids, strategy="margin", initial="random", **options)

    return call


def words(campaign):
    """Who said what, as the recording tells it."""
    said = {}
    for row in campaign.history.itertuples():
        what = row.state if row.state != "label" else row.label
        said.setdefault(row.id, {})[WHO[row.annotator]] = what
    return said


def expected(skips):
    said = {}
    for name, by in read("sets_observed.json")["said"].items():
        answers = {who: join(what) if isinstance(what, list) else what for who, what in by.items()}
        answers = {who: what for who, what in answers.items() if skips or what != "skip"}
        if answers:
            said[name] = answers
    return said


@pytest.mark.parametrize("kind", ["json", "min.json", "csv", "tsv"])
def test_every_format_says_the_same(begin, kind):
    campaign = begin()
    found = campaign.add_labels(DATA / f"sets.{kind}")
    assert words(campaign) == expected(skips=kind == "json")
    assert campaign.add_labels(DATA / f"sets.{kind}")["entry"] is None
    assert any("'I cannot tell'" in note for note in found["notes"])
    empty = [name for name, by in expected(True).items() if "" in by.values()]
    assert empty  # sets without a label came back as answers
    assert (campaign.labels.loc[empty, "state"] == "label").all()


def test_one_annotation_received_in_two_formats_counts_once(begin):
    campaign = begin()
    campaign.add_labels(DATA / "sets.json")
    assert campaign.add_labels(DATA / "sets.csv")["entry"] is None


def test_lead_times_are_costs(begin):
    campaign = begin()
    with pytest.raises(ValueError, match="there are no costs"):
        campaign.costs()
    campaign.add_labels(DATA / "sets.json")
    said = expected(True)
    times = {}
    for task in read("sets.json"):
        seconds = [one["lead_time"] for one in task["annotations"] if one["lead_time"] is not None]
        if seconds:
            times[task["data"]["skmmal_id"]] = np.median(seconds)
    costs = campaign.costs()
    assert set(times) <= set(said)
    assert costs[list(times)].to_dict() == times
    rest = costs.drop(list(times))
    assert len(rest) == 40 - len(times)
    assert (rest == np.median(list(times.values()))).all()
    assert any("seconds each in the median" in line for line in campaign.status().sentences)
    assert campaign.status().annotators.loc["1", "seconds"] > 0
    batch = campaign.next_batch(budget=5 * rest.iloc[0] + 1, strategy="random")
    assert len(batch) == 5
    assert batch["cost"].sum() <= 5 * rest.iloc[0] + 1


def test_tasks_and_configuration(begin):
    """What was sent is what is written now, and the server took it and showed the predicted sets."""
    config = (DATA / "sets_tasks.xml").read_text(encoding="utf-8").strip()
    fields = {"photo": "image", "caption": "text"}
    assert config == labeling_config(fields, sorted(LABELS), multilabel=True)
    (choices,) = ElementTree.fromstring(config).iter("Choices")
    assert choices.get("choice") == "multiple"
    assert choices.get("required") is None
    sent, observed = read("sets_tasks.json"), read("sets_observed.json")
    assert observed["import"]["task_count"] == len(sent)
    shown = {
        task["data"]["skmmal_id"]: sorted(task["predictions"][0]["result"][0]["value"]["choices"])
        for task in sent
        if task.get("predictions")
    }
    assert observed["predictions shown"] == shown
    assert max(map(len, shown.values())) > 1
    drawn = [task for task in sent if "drawn at random" in task["data"]["skmmal_why"]]
    assert len(drawn) == 4
    assert not any(task.get("predictions") for task in drawn)


def test_another_control_alone_is_the_empty_set(begin, tmp_path):
    """An annotation that answers a comment only has no choice; an export in which none has one is another control's."""
    tasks = read("sets.json")
    comment = {"from_name": "comment", "to_name": "photo", "type": "textarea", "value": {"text": ["hm"]}}
    for task in tasks:
        for annotation in task["annotations"]:
            if not annotation["result"] and not annotation["was_cancelled"]:
                annotation["result"] = [comment]
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    campaign = begin()
    campaign.add_labels(tmp_path / "a.json")
    assert words(campaign) == expected(True)
    for task in tasks:
        for annotation in task["annotations"]:
            annotation["result"] = [comment] if annotation["result"] else []
    (tmp_path / "b.json").write_text(json.dumps(tasks))
    with pytest.raises(ValueError, match=r"answer no control 'label'.*'comment'"):
        begin("other").add_labels(tmp_path / "b.json")


def test_a_campaign_of_one_class_refuses_them(begin):
    for kind in ("json", "csv"):
        with pytest.raises(ValueError, match="a sample has one label"):
            begin(kind, multilabel=False).add_labels(DATA / f"sets.{kind}")
