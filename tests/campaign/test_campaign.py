"""The campaign from Python: who is handed out, what comes in, what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

import skmmal
from skmmal import LateFusionClassifier, LateFusionClassifierCV, ModalityScaler
from skmmal.campaign import CampaignError, LabelingCampaign
from skmmal.campaign._batch import RANDOM_SLICE
from skmmal.datasets import make_multimodal_classification
from skmmal.experiment._problem import random_seed
from skmmal.features import FeatureStore
from skmmal.query import BMMAL, Auto
from skmmal.stopping import Budget, StabilizingPredictions


def test_a_round_by_hand(begin, answer, pool):
    campaign = begin(strategy="bmmal", estimator=None)
    first = campaign.next_batch()
    campaign.add_labels(answer(first), annotator="ann")
    second = campaign.next_batch()
    X = ModalityScaler().fit_transform(FeatureStore.open(pool[0]).load())
    ids = np.array(FeatureStore.open(pool[0]).ids)
    labeled = np.flatnonzero(np.isin(ids, first["id"]))
    rest = np.setdiff1d(np.arange(150), labeled)
    clf = LateFusionClassifierCV().fit(X[labeled], [pool[1][name] for name in ids[labeled]])
    strategy = BMMAL(random_state=random_seed("campaign", 0, "query", 2, "random_state"))
    picked = rest[strategy.query(clf, X[rest], 12, X_labeled=X[labeled])]
    assert second["id"].tolist() == ids[picked].tolist()
    assert second["predicted"].tolist() == clf.predict(X[picked]).tolist()
    np.testing.assert_allclose(second["confidence"], clf.predict_proba(X[picked]).max(axis=1), rtol=1e-12)
    # what the folder keeps is what was used
    model = campaign.model()
    scaled, names = campaign.scaled_features()
    assert names.tolist() == ids.tolist()
    np.testing.assert_array_equal(model.predict(scaled[picked]), second["predicted"])
    receipt = campaign.state().rounds[1].receipt
    assert receipt["n_candidates"] == 138
    assert receipt["model"]["n_labeled"] == 12
    assert receipt["labels"]["classes"] == dict(pd.Series(list(answer(first).values())).value_counts().sort_index())
    assert receipt["random_seeds"]["query"] == random_seed("campaign", 0, "query", 2)
    pool_rows = clf.predict_proba(X[rest])
    assert receipt["model"]["mean_confidence"] == pytest.approx(pool_rows.max(axis=1).mean())
    assert campaign.labels["label"].to_dict() == answer(first)


def test_same_commands_same_bytes(begin, answer, contents):
    for name in ("one", "two"):
        campaign = begin(name, random_fraction=0.25, class_balance=True, seed=3)
        for _ in range(3):
            campaign.add_labels(answer(campaign.next_batch()), annotator="ann")
    assert contents(campaign.folder.parent / "one") == contents(campaign.folder)
    other = begin("other", random_fraction=0.25, class_balance=True, seed=4)
    assert other.next_batch()["id"].tolist() != campaign.state().batches[0]["id"].tolist()


def test_who_is_handed_out(begin, answer):
    campaign = begin()
    first = campaign.next_batch()
    ids = first["id"].tolist()
    campaign.add_labels(pd.DataFrame({"id": ids[:3], "label": "", "state": ["skip", "unsure", "skip"]}))
    campaign.add_labels({ids[3]: "cat"}, annotator="ann")
    campaign.add_labels({ids[3]: "dog"}, annotator="bob", allow_new_classes=True)  # conflict
    campaign.add_labels({name: "cat" if i % 2 else "dog" for i, name in enumerate(ids[4:8])}, annotator="ann")
    counts = campaign.status().counts
    assert counts == {
        "samples": 150, "label": 4, "skip": 2, "unsure": 1, "conflict": 1, "pending": 4, "validation": 0,
    }  # fmt: skip
    everyone = campaign.next_batch(150, strategy="random")
    assert set(everyone["id"]).isdisjoint(ids)
    assert len(everyone) == 138
    with pytest.raises(ValueError, match="nothing is left to hand out: of 150 rows 4 are labelled, 142 are handed"):
        campaign.next_batch()
    again = campaign.next_batch(include=["skip", "conflict"])
    assert sorted(again["id"]) == sorted([ids[0], ids[2], ids[3]])
    assert len(campaign.next_batch(include=["pending"], n_instances=20)) == 20
    with pytest.raises(ValueError, match=r"include: \['nonsense'\] are none of"):
        campaign.next_batch(include=["nonsense"])
    states = campaign.batches.drop_duplicates("id")["state"].value_counts().to_dict()
    assert states == {"pending": 142, "label": 4, "skip": 2, "unsure": 1, "conflict": 1}


def test_repeated_calls_do_not_hand_out_twice(begin):
    campaign = begin()
    first = campaign.next_batch(round=1)
    pd.testing.assert_frame_equal(campaign.next_batch(round=1), first)
    assert len(campaign.log) == 1
    with pytest.raises(ValueError, match="round 3 is not the next one; 1 rounds are done"):
        campaign.next_batch(round=3)


# --------------------------------------------------------------------------------------------------- cold start


@pytest.mark.parametrize("initial", ["random", "kmeans", "typiclust", "coreset"])
def test_cold_start_never_fails(begin, answer, initial):
    campaign = begin(initial=initial, strategy="margin")
    first = campaign.next_batch()
    assert first["chosen_by"].unique().tolist() == [initial]
    assert (first["predicted"] == "").all()
    # one class so far
    of_one_class = [name for name, label in answer(first).items() if label == "cat"]
    campaign.add_labels(dict.fromkeys(of_one_class, "cat"))
    second = campaign.next_batch()
    assert second["chosen_by"].unique().tolist() == [initial]
    receipt = campaign.state().rounds[1].receipt
    assert receipt["cold_start"] is True
    assert receipt["model"] is None
    assert campaign.advice()[0].stop is None
    campaign.add_labels(answer(second), allow_new_classes=True)
    third = campaign.next_batch()
    assert third["chosen_by"].unique().tolist() == ["margin"]


def test_an_initial_strategy_needs_no_model(begin):
    with pytest.raises(ValueError, match="initial='bmmal' needs a model"):
        begin(initial="bmmal")


# -------------------------------------------------------------------------------------------------- random slice


def test_random_slice_is_a_uniform_sample(begin, answer, pool):
    """The estimate is unbiased: the slice does not depend on the strategy, and every candidate is as likely."""
    campaign = begin(n_instances=40, random_fraction=0.25)
    first = campaign.next_batch()
    campaign.add_labels(answer(first))
    second = campaign.next_batch()
    drawn = second[second["chosen_by"] == RANDOM_SLICE]
    assert len(drawn) == 10
    assert (second["chosen_by"] == "auto").sum() == 30
    assert campaign.status().estimates.empty  # no answers yet
    campaign.add_labels(answer(second))
    line = campaign.status().estimates.iloc[-1]
    truth = np.array([pool[1][name] for name in drawn["id"]])
    assert line["n"] == 10
    assert line["accuracy"] == pytest.approx((truth == drawn["predicted"]).mean())
    other = begin("other", n_instances=40, random_fraction=0.25, strategy="entropy")
    other.add_labels(answer(other.next_batch()))
    same = other.next_batch()
    assert set(same["id"][same["chosen_by"] == RANDOM_SLICE]) == set(drawn["id"])


def test_the_estimate_without_bias(begin, answer, pool):
    """Over many seeds the mean of the estimates is the accuracy on the candidates; that of the picks is not."""
    campaign = begin()
    batch = campaign.next_batch(60)
    campaign.add_labels(answer(batch))
    X, ids = campaign.scaled_features()
    rest = np.flatnonzero(~np.isin(ids, batch["id"]))
    clf = LateFusionClassifierCV().fit(
        X[np.isin(ids, batch["id"])], [pool[1][name] for name in ids[np.isin(ids, batch["id"])]]
    )
    truth = np.array([pool[1][name] for name in ids[rest]])
    hits = clf.predict(X[rest]) == truth
    means = []
    for seed in range(400):
        rng = np.random.RandomState(random_seed("campaign", seed, "slice", 2))
        means.append(hits[np.sort(rng.permutation(len(rest))[:15])].mean())
    standard_error = hits.std() / np.sqrt(15 * 400)
    assert abs(np.mean(means) - hits.mean()) < 4 * standard_error
    uncertain = np.argsort(clf.predict_proba(X[rest]).max(axis=1))[:15]
    assert hits[uncertain].mean() < hits.mean() - 0.1


# ------------------------------------------------------------------------------------------------------- labels


def test_what_is_refused(begin, answer, contents):
    campaign = begin(classes=["cat", "dog"])
    batch = campaign.next_batch()
    ids = batch["id"].tolist()
    before = contents(campaign.folder)
    refusals = [
        (
            {"zzz": "cat", ids[0]: "cat"},
            "1 of 2 labels are for ids that this campaign does not label; the first, 'zzz'",
        ),
        (
            {ids[0]: "Cat", ids[1]: "eel", ids[2]: "cat"},
            r"2 of 3 labels are of 2 classes .*'Cat' \(1×, did you mean 'cat'",
        ),
        (pd.DataFrame({"id": [ids[0]]}), "no column 'label'"),
        (pd.DataFrame({"id": [""], "label": ["cat"]}), "the id is empty in 1 of 1 lines"),
        (pd.DataFrame({"id": ids[:1], "label": ["cat"], "state": ["maybe"]}), "the state is none of .*, found 'maybe'"),
        (pd.DataFrame({"id": ids[:1], "label": ["cat"], "state": ["skip"]}), "skip or unsure, and there is a label"),
        (pd.DataFrame({"id": ids[:1], "label": ["cat"], "when": ["soon"]}), "not in ISO 8601 form .*'soon'"),
        ({ids[0]: "two\nlines"}, "line break"),
        ({ids[0]: ["cat", "dog"]}, "is not one value"),
    ]
    for labels, words in refusals:
        with pytest.raises(ValueError, match=words):
            campaign.add_labels(labels)
    with pytest.raises(TypeError, match="labels must be a file, a DataFrame"):
        campaign.add_labels(17)
    assert contents(campaign.folder) == before
    found = campaign.add_labels({"zzz": "cat", ids[0]: "cat"}, ignore_unknown=True)
    assert (found["new"], found["ignored"]) == (1, 1)
    assert (campaign.state().entries[-1].path / "ignored.csv").read_text().splitlines()[1].startswith("zzz,cat,label")
    assert campaign.add_labels({ids[1]: "eel"}, allow_new_classes=True)["new_classes"] == ["eel"]
    assert campaign.state().classes == ["cat", "dog", "eel"]


def test_twice_relabelled_and_blank(begin):
    campaign = begin()
    ids = campaign.next_batch()["id"].tolist()
    table = pd.DataFrame({"id": ids[:3], "label": ["cat", "dog", ""]})
    assert campaign.add_labels(table, annotator="ann") == {
        "entry": 2, "new": 2, "known": 0, "changed": 0, "blank": 1, "ignored": 0, "states": {"label": 2},
        "new_classes": ["cat", "dog"],
    }  # fmt: skip
    assert campaign.add_labels(table, annotator="ann")["entry"] is None
    changed = campaign.add_labels({ids[0]: "dog", ids[1]: "dog"}, annotator="ann")
    assert (changed["new"], changed["known"], changed["changed"]) == (1, 1, 1)
    assert campaign.history["label"].tolist() == ["cat", "dog", "dog"]
    # cat, dog, cat: the latest word counts, the same words as in the first delivery or not
    assert campaign.add_labels(table, annotator="ann")["changed"] == 1
    assert campaign.labels.loc[ids[0], "label"] == "cat"
    assert campaign.add_labels({ids[0]: "dog"}, annotator="ann")["changed"] == 1
    assert campaign.add_labels({ids[0]: "cat"}, annotator="ann")["changed"] == 1
    assert campaign.labels.loc[ids[0], "label"] == "cat"


def test_several_annotators(begin):
    campaign = begin()
    ids = campaign.next_batch()["id"].tolist()
    for who, labels in (("ann", "ccdd"), ("bob", "cdcd"), ("eve", "ccdc")):
        names = {"c": "cat", "d": "dog"}
        campaign.add_labels({name: names[label] for name, label in zip(ids, labels, strict=False)}, annotator=who)
    assert campaign.labels.loc[ids[:4], "label"].tolist() == ["cat", "cat", "dog", "dog"]
    status = campaign.status()
    # of the eight pairs that each has with the two others
    assert status.annotators["agrees"].to_dict() == {"ann": 5 / 8, "bob": 3 / 8, "eve": 4 / 8}
    assert status.annotators["compared"].tolist() == [4, 4, 4]
    assert status.agreement["n_several"] == 4
    assert status.agreement["n_unanimous"] == 1
    assert any("4 samples have several labels, 1 of them agree; Fleiss' κ = " in line for line in status.sentences)


def test_numbers_as_labels(begin):
    campaign = begin()
    ids = campaign.next_batch()["id"].tolist()
    campaign.add_labels(pd.DataFrame({"id": ids[:3], "label": [1, 2.0, np.nan]}))
    campaign.add_labels(pd.Series([3], index=ids[3:4]), allow_new_classes=True)
    assert campaign.labels["label"].to_dict() == {ids[0]: "1", ids[1]: "2", ids[3]: "3"}


# --------------------------------------------------------------------------------------------------------- undo


def test_undo(begin, answer, contents):
    campaign = begin()
    with pytest.raises(ValueError, match="there is nothing to undo"):
        campaign.undo()
    first = campaign.next_batch()
    labels = campaign.add_labels(answer(first), annotator="ann")
    second = campaign.next_batch()
    before = contents(campaign.folder)
    with pytest.raises(ValueError, match="round 1: 12 ids by random is not the last round; undo entry 3 first"):
        campaign.undo(1)
    with pytest.raises(ValueError, match="there is no entry 9; the log holds 3"):
        campaign.undo(9)
    assert campaign.undo(by="ann", reason="wrong batch") == {"entry": 4, "undoes": 3, "what": "round 2: 12 ids by auto"}
    assert campaign.undo(3)["entry"] is None  # again: nothing happens
    assert len(campaign.state().rounds) == 1
    # nothing was deleted, and the same batch is handed out once more
    assert before.items() <= contents(campaign.folder).items()
    pd.testing.assert_frame_equal(campaign.next_batch(), second)
    # labels can be undone at any time, and come back by undoing the undo
    undone = campaign.undo(labels["entry"])
    assert campaign.labels.empty
    assert len(campaign.state().pending) == 24
    campaign.undo(undone["entry"])
    assert campaign.labels["label"].to_dict() == answer(first)
    log = campaign.log
    assert log["undone_by"].tolist() == ["", "", 4, "", "", 7, ""]
    assert json.loads((campaign.folder / "log" / "000004-undo" / "stamp.json").read_text())["reason"] == "wrong batch"
    # round 2 as it was first cannot come back beside the new one
    with pytest.raises(ValueError, match="there is another round 2 now; undo that first"):
        campaign.undo(4)
    # the same labels may be given again after they were undone
    campaign.undo(7)
    assert campaign.add_labels(answer(first), annotator="ann")["new"] == 12


# ------------------------------------------------------------------------------------------ features, beginning


def test_changed_features_are_noticed(tmp_path, pool):
    X, _ = make_multimodal_classification(80, {"a": 3, "b": 2}, n_classes=3, random_state=0, return_X_y=True)
    ids = [f"s{i}" for i in range(80)]
    blocks = dict(X.blocks)
    campaign = LabelingCampaign.create(tmp_path / "c", X, ids=ids, n_instances=5, initial="random")
    campaign.next_batch()
    changed = {**blocks, "a": blocks["a"] + 1e-6}
    with pytest.raises(CampaignError, match="the features have changed since the last round: the ids are the same"):
        LabelingCampaign(tmp_path / "c", features=changed, ids=ids).next_batch()
    with pytest.raises(CampaignError, match="the modalities were"):
        LabelingCampaign(tmp_path / "c", features={"a": blocks["a"]}, ids=ids).next_batch()
    shuffled = [*ids[1:], ids[0]]
    with pytest.raises(CampaignError, match="another order"):
        LabelingCampaign(tmp_path / "c", features=X, ids=shuffled).next_batch()
    go_on = LabelingCampaign(tmp_path / "c", features=changed, ids=ids)
    go_on.next_batch(allow_changed_features=True)
    go_on.next_batch()  # from then on these are the features
    with pytest.raises(CampaignError, match="have changed"):
        campaign.next_batch()
    with pytest.raises(ValueError, match="begun with arrays; give them again"):
        LabelingCampaign(tmp_path / "c").next_batch()
    go_on.add_labels({"s3": "cat"})
    fewer = LabelingCampaign(tmp_path / "c", features=X[4:], ids=ids[4:])
    with pytest.raises(CampaignError, match="1 ids with labels are no longer among the features, the first: 's3'"):
        fewer.next_batch(allow_changed_features=True)


def test_features_that_grew_go_on(tmp_path):
    X, y = make_multimodal_classification(90, {"a": 3, "b": 2}, n_classes=2, random_state=0, return_X_y=True)
    ids = [f"s{i}" for i in range(90)]

    def store(n_rows, name="features"):
        return FeatureStore.write(tmp_path / name, X[:n_rows], ids[:n_rows])

    grown = store(60)
    campaign = LabelingCampaign.create(tmp_path / "c", grown.path, n_instances=10, random_fraction=0.2)
    for _ in range(2):
        batch = campaign.next_batch()
        campaign.add_labels({name: f"class {y[ids.index(name)]}" for name in batch["id"]})
    stop_set = pd.read_csv(next((tmp_path / "c" / "log").glob("*round-002/stop_set.csv")))
    grown.extend(X[60:], ids[60:])
    campaign = LabelingCampaign(tmp_path / "c")
    batch = campaign.next_batch()
    receipts = [entry.receipt["features"] for entry in campaign.state().rounds]
    assert [receipt["n_samples"] for receipt in receipts] == [60, 60, 90]
    assert [receipt.get("grown_from") for receipt in receipts] == [None, None, 60]
    assert (batch["chosen_by"] == RANDOM_SLICE).sum() == 2
    after = pd.read_csv(next((tmp_path / "c" / "log").glob("*round-003/stop_set.csv")))
    assert set(after["id"]) == set(stop_set["id"]) - set(campaign.state().labels.index)
    store(90, "other")
    changed = FeatureStore.open(tmp_path / "other").load()
    blocks = {**changed.blocks, "a": changed["a"] + 1e-6}
    longer = {name: np.vstack([block, block[:1]]) for name, block in blocks.items()}
    with pytest.raises(CampaignError, match="there were 90 ids, and there are 91"):
        LabelingCampaign(tmp_path / "c", features=longer, ids=[*ids, "new"]).next_batch()


def test_beginning(begin, pool, tmp_path):
    begin(seed=1, stopping=[Budget(50), StabilizingPredictions(window=2)], estimator=LateFusionClassifier(C=3))
    again = begin(seed=1, stopping=[Budget(50), StabilizingPredictions(window=2)], estimator=LateFusionClassifier(C=3))
    assert again.settings.estimator.C == 3
    assert again.settings.stopping[1].window == 2
    with pytest.raises(ValueError, match=r"begun otherwise.*\n  settings.seed: 1 there, 2 now"):
        begin(seed=2, stopping=[Budget(50), StabilizingPredictions(window=2)], estimator=LateFusionClassifier(C=3))
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"exists and holds no campaign.json"):
        begin("other")
    assert [path.name for path in other.iterdir()] == ["precious.txt"]
    with pytest.raises(FileNotFoundError, match="it holds no campaign.json"):
        LabelingCampaign(other)
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        LabelingCampaign(tmp_path / "nowhere")
    for options, words in [
        ({"scale": "nonsense"}, "scale must be one of"),
        ({"n_instances": 0}, "n_instances must be at least 1"),
        ({"random_fraction": 1.5}, "random_fraction must be from 0 to 1"),
        ({"classes": ["a", "a"]}, "classes must be distinct"),
        ({"strategy": "nonsense"}, "unknown strategy 'nonsense'"),
        ({"stopping": ["nonsense"]}, "unknown stopping criterion"),
        ({"validation": {"zzz": "cat"}}, "validation: 1 of 1 ids are not among the features"),
        ({"validation": {"s001": "eel"}, "classes": ["cat"]}, r"the labels \['eel'\] are none of the classes"),
    ]:
        with pytest.raises(ValueError, match=words):
            begin("new", **options)
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(TypeError, match="estimator must be a LateFusionClassifier"):
        begin("new", estimator=17)


def test_campaigns_of_earlier_versions_keep_the_plain_classifier(begin, answer):
    """They name no class, and no parameter that came later; going on with one asks for no other model."""
    plain = begin("old", estimator=LateFusionClassifier())
    written = json.loads((plain.folder / "campaign.json").read_text())["settings"]
    assert "estimator_class" not in written
    assert "modality_weights" not in written["estimator"]
    again = begin("old", estimator=None)
    assert type(again.settings.estimator) is LateFusionClassifier
    again.add_labels(answer(again.next_batch()))
    again.next_batch()
    assert type(again.model()) is LateFusionClassifier
    new = begin("new", estimator=None)
    assert type(new.settings.estimator) is LateFusionClassifierCV
    new.add_labels(answer(new.next_batch()))
    new.next_batch()
    model = new.model()
    assert type(model) is LateFusionClassifierCV
    assert model.C_ > 0
    with pytest.raises(ValueError, match="begun otherwise"):
        begin("new", estimator=LateFusionClassifier())


def test_a_campaign_keeps_the_strategy_it_was_begun_with(begin):
    assert type(begin("old", strategy="bmmal").settings.strategy) is BMMAL
    assert type(begin("old").settings.strategy) is BMMAL
    assert type(begin("new").settings.strategy) is Auto
    with pytest.raises(ValueError, match="begun otherwise"):
        begin("old", strategy="auto")


def test_both_can_be_moved(begin, pool, answer, tmp_path):
    import shutil

    campaign = begin("here/campaign")
    shutil.copytree(pool[0], tmp_path / "there" / "features")
    (tmp_path / "there" / "deeper").mkdir()
    shutil.move(campaign.folder, tmp_path / "there" / "deeper" / "campaign")
    with pytest.raises(FileNotFoundError, match="say where they are"):
        LabelingCampaign(tmp_path / "there" / "deeper" / "campaign").next_batch()
    moved = LabelingCampaign(tmp_path / "there" / "deeper" / "campaign", features=tmp_path / "there" / "features")
    assert len(moved.next_batch()) == 12
    assert repr(moved).endswith("1 rounds, 0 labels, 12 pending)")


def test_validation_rows(begin, answer, pool):
    held_out = dict(list(pool[1].items())[:30])
    campaign = begin(validation=held_out, stopping=["target-accuracy=0.5", "performance-change", "patience=1"])
    seen = set()
    for _ in range(5):
        batch = campaign.next_batch(20)
        seen |= set(batch["id"])
        campaign.add_labels(answer(batch))
    assert seen.isdisjoint(held_out)
    with pytest.raises(ValueError, match="belongs to the validation set"):
        campaign.add_labels({"s000": "cat"})
    X, ids = campaign.scaled_features()
    truth = np.array([pool[1][name] for name in ids[:30]])
    accuracy = (campaign.model().predict(X[:30]) == truth).mean()
    assert campaign.stopping_history()[-1].validation_accuracy == pytest.approx(accuracy)
    assert campaign.advice()[0].stop is bool(accuracy >= 0.5)
    assert campaign.advice()[1].value is not None
    assert f"Accuracy on the validation rows after the last round: {accuracy:.3f}." in campaign.status().sentences
    assert campaign.status().counts["validation"] == 30


def test_a_row_without_any_modality(tmp_path):
    X, _ = make_multimodal_classification(40, {"a": 3, "b": 2}, random_state=0, return_X_y=True)
    blocks = {name: block.copy() for name, block in X.blocks.items()}
    for block in blocks.values():
        block[7] = np.nan
    ids = [f"s{i}" for i in range(40)]
    FeatureStore.write(tmp_path / "features", blocks, ids=ids)
    campaign = LabelingCampaign.create(tmp_path / "c", tmp_path / "features", initial="random")
    batch = campaign.next_batch(40)
    assert len(batch) == 39
    assert "s7" not in set(batch["id"])
    assert campaign.state().rounds[0].receipt["excluded"]["without any modality"] == 1


# -------------------------------------------------------------------------------------------- imbalance, doubts


def test_class_balance_helps_rare_classes(tmp_path):
    rng = np.random.default_rng(0)
    y = np.array(["common"] * 270 + ["rare"] * 30)
    means = {"common": 0.0, "rare": 2.0}
    X = {"a": rng.normal([[means[label]] * 4 for label in y]), "b": rng.normal([[means[label]] * 3 for label in y])}
    ids = [f"s{i}" for i in range(300)]
    truth = dict(zip(ids, y.tolist(), strict=True))
    found = {}
    for balanced in (False, True):
        campaign = LabelingCampaign.create(
            tmp_path / str(balanced), X, ids=ids, strategy="random", initial="random", n_instances=20,
            class_balance=balanced,
        )  # fmt: skip
        for _ in range(3):
            batch = campaign.next_batch()
            campaign.add_labels({name: truth[name] for name in batch["id"]}, allow_new_classes=True)
        found[balanced] = campaign.state().class_counts["rare"]
    assert found[True] >= 2 * found[False]
    classes = campaign.status().classes
    assert classes["labels"].sum() == 60
    assert classes["share"].sum() == pytest.approx(1)
    assert classes["in_pool"].sum() == pytest.approx(1)


def test_doubts_find_planted_mistakes(begin, answer):
    campaign = begin(n_instances=110, estimator=None)
    batch = campaign.next_batch()
    labels = answer(batch)
    wrong = list(labels)[::15]
    for name in wrong:
        labels[name] = {"cat": "dog", "dog": "eel", "eel": "cat"}[labels[name]]
    campaign.add_labels(labels)
    doubts = campaign.doubts()
    assert len(doubts) == 110
    assert doubts["self_confidence"].is_monotonic_increasing
    first = set(doubts["id"][:30])
    assert len(first & set(wrong)) >= 6  # of 8; two would be there by chance
    assert campaign.doubts(5)["id"].tolist() == doubts["id"][:5].tolist()
    # the score is the cross-validated probability of the label
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    X, ids = campaign.scaled_features()
    rows = np.flatnonzero(np.isin(ids, list(labels)))
    y = np.array([labels[name] for name in ids[rows]])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    p = cross_val_predict(LateFusionClassifierCV(), X[rows], y, cv=folds, method="predict_proba")
    expected = dict(zip(ids[rows], p[np.arange(len(y)), np.unique(y, return_inverse=True)[1]], strict=True))
    assert doubts.set_index("id")["self_confidence"].to_dict() == pytest.approx(expected)


def test_doubts_with_a_class_of_one(begin, answer):
    campaign = begin(n_instances=30)
    labels = answer(campaign.next_batch())
    alone = next(iter(labels))
    campaign.add_labels({**labels, alone: "unique"})
    doubts = campaign.doubts()
    assert alone not in set(doubts["id"])
    assert doubts.attrs["unchecked"] == 1
    assert len(doubts) == 29
    fresh = begin("fresh")
    with pytest.raises(ValueError, match="two classes with two labels each are needed"):
        fresh.doubts()


def test_likely_wrong_comes_from_cleanlab(begin, answer):
    find_label_issues = pytest.importorskip("cleanlab.filter").find_label_issues
    campaign = begin(n_instances=110, estimator=None)
    labels = answer(campaign.next_batch())
    for name in list(labels)[::15]:
        labels[name] = {"cat": "dog", "dog": "eel", "eel": "cat"}[labels[name]]
    campaign.add_labels(labels)
    doubts = campaign.doubts()
    from skmmal.campaign._doubts import self_confidence

    X, ids = campaign.scaled_features()
    rows = np.flatnonzero(np.isin(ids, list(labels)))
    y = np.array([labels[name] for name in ids[rows]])
    p = self_confidence(LateFusionClassifierCV(), X[rows], y)
    issues = find_label_issues(np.unique(y, return_inverse=True)[1], p, n_jobs=1)
    assert set(doubts["id"][doubts["likely_wrong"]]) == set(ids[rows][issues])


# ------------------------------------------------------------------------------------------------------ long runs


def test_many_small_rounds(begin, pool):
    """Thirty rounds and sixty entries stay quick to read, and the chain holds."""
    campaign = begin(n_instances=3, strategy="margin")
    for _ in range(30):
        batch = campaign.next_batch()
        campaign.add_labels({name: pool[1][name] for name in batch["id"]}, allow_new_classes=True)
    campaign.verify()
    assert len(campaign.log) == 60
    assert campaign.batches["id"].is_unique
    assert [state.n_labeled for state in campaign.stopping_history()][-1] == 87


# ------------------------------------------------------------------------------------------------------ the package


def test_the_package_exports_what_it_is_documented_by():
    assert all(callable(getattr(skmmal.campaign, name)) for name in skmmal.campaign.__all__)
    assert skmmal.campaign.__all__ == sorted(skmmal.campaign.__all__)


def test_the_status_as_json(begin, answer):
    campaign = begin(random_fraction=0.5)
    for _ in range(2):
        campaign.add_labels(answer(campaign.next_batch()), annotator="ann")
    status = campaign.status()
    found = json.loads(status.to_json())
    assert found["counts"] == status.counts
    assert found["sentences"] == status.sentences
    assert [line["class"] for line in found["classes"]] == list(status.classes.index)
    assert found["rounds"][0]["confidence"] is None  # the first batch was chosen without a model: NaN is null
    assert found["annotators"][0]["agrees"] is None


def test_tasks_carry_the_mark_of_their_campaign(begin, tmp_path):
    campaign = begin(classes=["cat", "dog", "eel"])
    ids = campaign.next_batch()["id"]
    data = pd.DataFrame({"text": ids.to_numpy()}, index=ids)
    skmmal.campaign.export_batch(campaign, tmp_path / "tasks.json", "label-studio", data=data, fields={"text": "text"})
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert {task["data"]["skmmal_campaign"] for task in tasks} == {campaign.mark}
    assert begin("another", seed=1).mark != campaign.mark
    assert LabelingCampaign(campaign.folder).mark == campaign.mark
