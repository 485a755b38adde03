"""What was measured is kept in the campaign's folder: shown by a status that fits nothing, never as newer than it is."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from skmmal import LateFusionClassifier
from skmmal.campaign import Benefit, CampaignError, LabelingCampaign, _measuring
from skmmal.campaign._measurement import MEASURED, basis


@pytest.fixture
def fits(monkeypatch):
    """Numbers of labels of every comparison that was made, in place of the models."""
    made = []

    def compare(estimator, X, y, is_random, **options):
        made.append(len(y))
        n_random = int(is_random.sum())
        if n_random < 20:
            raise ValueError(f"{n_random} labels of rows drawn at random are too few")
        curve = pd.DataFrame({"labels": [n_random], "random": [0.5], "chosen": [np.nan]})
        said = [f"with {len(y)} labels"]
        return Benefit(n_random, len(y) - n_random, curve, 0.5, 0.4, 0.6, 0.0, -0.1, 0.1, float("nan"), said)

    monkeypatch.setattr(_measuring, "compare_with_random", compare)
    return made


@pytest.fixture(scope="module")
def answered(pool, tmp_path_factory):
    """Two answered rounds: 24 labels of chosen rows and 24 of rows drawn at random."""
    found = LabelingCampaign.create(
        tmp_path_factory.mktemp("answered") / "campaign", pool[0], estimator=LateFusionClassifier(), initial="random",
        strategy="random", n_instances=24, random_fraction=0.5,
    )  # fmt: skip
    for _ in range(2):
        found.add_labels({name: pool[1][name] for name in found.next_batch()["id"]}, annotator="ann")
    return found.folder


@pytest.fixture
def campaign(answered, tmp_path):
    return LabelingCampaign(shutil.copytree(answered, tmp_path / "campaign"))


def age(status):
    return [line for line in status.sentences if line.startswith("What follows was measured")]


def test_kept_by_the_campaign_itself(campaign):
    """With real models: another process that fits nothing shows the same."""
    made = campaign.status(measure=True)
    shown = LabelingCampaign(campaign.folder).status()
    assert repr(shown.benefit) == repr(made.benefit)  # in which NaN is NaN
    assert shown.sentences == made.sentences
    assert shown.sentences[-3].startswith("Accuracy with 48 labels, on 24 rows drawn at random")
    told = json.loads(shown.to_json())
    assert told["benefit"]["accuracy"] == made.benefit.accuracy
    assert told["measured"] == {"n_labels": 48, "n_labels_now": 48, "n_rounds": 2, "is_current": True}


def test_a_plain_status_fits_nothing(campaign, fits):
    assert campaign.status().benefit is None
    assert campaign.status().measured == {}
    campaign.status(measure=True)
    for _ in range(3):
        assert campaign.status().benefit.n_random == 24
    assert fits == [48]


def test_what_is_old_is_called_old(campaign, fits, answer):
    campaign.status(measure=True)
    batch = campaign.next_batch()
    assert campaign.status().measured["is_current"]  # nothing was answered since
    campaign.add_labels(answer(batch.head(5)))
    status = campaign.status()
    assert status.measured == {"n_labels": 48, "n_labels_now": 53, "n_rounds": 2, "is_current": False}
    (line,) = age(status)
    assert "measured of 48 labels after 2 rounds; labels have come or changed since, it is 53 now" in line
    assert status.sentences.index(line) == status.sentences.index("with 48 labels") - 1
    campaign.undo()
    assert campaign.status().measured["is_current"]  # the labels are what they were


@pytest.mark.parametrize("how", ["changed", "another vote", "taken back", "batch undone", "settled"])
def test_the_number_of_labels_says_nothing(campaign, fits, how):
    campaign.status(measure=True)
    row, label = campaign.labels.index[0], campaign.labels["label"].iloc[0]
    other = {"cat": "dog", "dog": "eel", "eel": "cat"}[label]
    if how == "changed":
        campaign.add_labels({row: other}, annotator="ann")
    elif how == "another vote":
        campaign.add_labels({row: label}, annotator="bob")
    elif how == "settled":
        campaign.add_labels({row: label}, annotator="ann", authority="ann")
    elif how == "taken back":
        campaign.retract([row])
    else:
        campaign.undo(3)  # the second batch: its rows were never handed out
    status = campaign.status()
    assert not status.measured["is_current"]
    assert age(status)


def test_measured_anew_where_there_is_something_new(campaign, fits, answer, monkeypatch):
    campaign.status(measure="auto")
    campaign.status(measure="auto")
    assert fits == [48]
    campaign.add_labels(answer(campaign.next_batch()))
    monkeypatch.setattr(_measuring, "LARGEST", 72 * 9 * 3 - 1)  # labels, features, classes
    assert age(campaign.status(measure="auto"))
    monkeypatch.setattr(_measuring, "LARGEST", 72 * 9 * 3)
    assert not age(campaign.status(measure="auto"))
    assert fits == [48, 72]
    with pytest.raises(ValueError, match="measure must be True, False or 'auto', got 'always'"):
        campaign.status(measure="always")


def test_too_few_to_measure(begin, answer, fits):
    campaign = begin(random_fraction=0.5, n_instances=24, strategy="random")
    campaign.add_labels(answer(campaign.next_batch()))
    assert campaign.status(measure="auto").measured == {}
    assert fits == []
    status = campaign.status(measure=True)
    assert status.sentences[-1].startswith("Whether choosing helps cannot be said yet: 12 labels of rows")
    assert not (campaign.folder / MEASURED).exists()  # nothing was measured
    campaign.add_labels(answer(campaign.next_batch()))
    status = campaign.status()
    assert status.benefit is None
    assert status.sentences[-1].startswith("Whether choosing helps: skmmal campaign status --measure says it")


def test_what_cannot_be_measured_replaces_nothing(campaign, fits, tmp_path):
    former = campaign.status(measure=True)
    kept = (campaign.folder / MEASURED).read_bytes()
    moved = LabelingCampaign(campaign.folder, features=tmp_path / "nowhere")
    status = moved.status(measure=True)
    assert status.sentences[-1].startswith("Whether choosing helps cannot be said yet: ")
    assert (campaign.folder / MEASURED).read_bytes() == kept
    assert campaign.status().sentences == former.sentences


def test_annotators_quality_is_kept(begin, answer):
    pytest.importorskip("cleanlab")
    campaign = begin(n_instances=50)
    truth = answer(campaign.next_batch())
    other = {"cat": "dog", "dog": "eel", "eel": "cat"}
    campaign.add_labels(truth, annotator="ann")
    wrong = {row: other[label] if i % 2 else label for i, (row, label) in enumerate(truth.items())}
    campaign.add_labels(wrong, annotator="bob")
    campaign.add_labels(truth, annotator="cyd")
    measured = campaign.status(measure="auto")  # without a random slice it is worth measuring, too
    shown = LabelingCampaign(campaign.folder).status()
    assert shown.annotators.equals(measured.annotators)
    assert shown.annotators["quality"].idxmin() == "bob"
    assert shown.sentences[-1] == measured.sentences[-1]
    assert "bob's labels are least often right" in shown.sentences[-1]
    campaign.add_labels(truth, annotator="dan")
    old = campaign.status()
    assert np.isnan(old.annotators.loc["dan", "quality"])
    assert len(age(old)) == 1
    assert json.loads(old.to_json())["annotators"][3]["quality"] is None


def test_the_same_commands_leave_the_same_bytes(campaign, fits, tmp_path):
    copy = LabelingCampaign(shutil.copytree(campaign.folder, tmp_path / "copy"))
    for one in (campaign, copy):
        one.status(measure=True)
    assert (copy.folder / MEASURED).read_bytes() == (campaign.folder / MEASURED).read_bytes()
    assert len(campaign.log) == 4  # it is no entry


def test_killed_while_it_is_kept(campaign, fits, answer, monkeypatch):
    """Killed at any step of the writing: the former one is there, and is not taken for the new one."""
    campaign.status(measure=True)
    former = (campaign.folder / MEASURED).read_bytes()
    campaign.add_labels(answer(campaign.next_batch()))
    for name in ("fsync", "replace"):
        pid = os.fork()
        if pid == 0:
            setattr(os, name, lambda *args: os._exit(9))
            campaign.status(measure=True)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
        assert (campaign.folder / MEASURED).read_bytes() == former
        assert list(campaign.folder.glob(f".{MEASURED}*"))
        assert age(LabelingCampaign(campaign.folder).status())
    campaign.status(measure=True)
    assert not list(campaign.folder.glob(f".{MEASURED}*"))
    assert json.loads((campaign.folder / MEASURED).read_text())["basis"] == basis(campaign.state())
    assert not age(LabelingCampaign(campaign.folder).status())


def test_damaged(campaign, fits):
    campaign.status(measure=True)
    path = campaign.folder / MEASURED
    whole = path.read_bytes()
    for damaged in (whole.replace(b'"n_labels": 48', b'"n_labels": 49'), whole[: len(whole) // 2], b""):
        path.write_bytes(damaged)
        for look in (campaign.status, campaign.verify):
            with pytest.raises(CampaignError, match=rf"{MEASURED}.*make it anew: skmmal campaign status --measure"):
                look()
        campaign.status(measure=True)
        assert path.read_bytes() == whole
    campaign.verify()
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(CampaignError, match="is a symbolic link"):
        campaign.status()


def test_shown_where_it_cannot_be_kept(campaign, fits):
    busy = LabelingCampaign(campaign.folder, lock_timeout=0.01)
    with campaign._changing("next"):
        status = busy.status(measure=True)
    assert status.benefit.n_random == 24
    assert any(line.startswith("What was measured is not kept: ") for line in status.sentences)
    assert not (campaign.folder / MEASURED).exists()
