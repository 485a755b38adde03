"""Doubted labels and new rows on one scale: which are handed out once more, and what becomes of the answers."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skmmal import LateFusionClassifier
from skmmal.campaign import LabelingCampaign, export_batch
from skmmal.campaign._crowd import Question, active_scores
from skmmal.campaign._doubts import self_confidence
from skmmal.campaign.page._media import Media
from skmmal.campaign.page._session import Session
from skmmal.experiment._rounds import seeded

pytest.importorskip("cleanlab")


def in_error(truth, names):
    """Wrong labels of some rows."""
    other = {"cat": "dog", "dog": "eel", "eel": "cat"}
    return {name: other[truth[name]] for name in names}


def far_apart():
    """Features of 120 rows, and the class of each, which any model finds."""
    y, rng = np.arange(120) % 3, np.random.RandomState(0)
    X = {"a": rng.normal(size=(120, 3)) + 4 * np.eye(3)[y], "b": rng.normal(size=(120, 2))}
    names = np.array(["cat", "dog", "eel"])[y].tolist()
    return X, dict(zip([f"r{i:03d}" for i in range(120)], names, strict=True))


@pytest.fixture
def labeled(begin, answer, pool):
    """Two batches of labels by ann, a few of them wrong."""

    def call(name="campaign", **options):
        campaign = begin(name, n_instances=30, strategy="margin", **options)
        first = campaign.next_batch()
        wrong = sorted(first["id"])[:4]
        campaign.add_labels({**answer(first), **in_error(pool[1], wrong)}, annotator="ann")
        return campaign, wrong

    return call


def again(batch):
    return batch["id"][batch["chosen_by"] == "relabel"].tolist()


# ------------------------------------------------------------------------------------------------------- the scale


def test_one_annotator_in_closed_form():
    """ActiveLab's averages, section 3: of the label and the prior with weights 2 and 1, of the prediction with 1 and 1."""
    rng = np.random.default_rng(0)
    probabilities, pool = rng.dirichlet(np.ones(3), 20), rng.dirichlet(np.ones(3), 30)
    votes = rng.integers(0, 3, (20, 1)).astype(float)
    labeled, new = active_scores([Question("", list("abc"), votes, probabilities, pool)])
    own = probabilities[np.arange(20), votes[:, 0].astype(int)]
    assert labeled == pytest.approx((2 * own + 1 / 3) / 3)
    assert new == pytest.approx((pool.max(axis=1) + 1 / 3) / 2)


def test_against_cleanlab_itself():
    from cleanlab.multiannotator import get_active_learning_scores

    rng = np.random.default_rng(1)
    probabilities, pool = rng.dirichlet(np.ones(3), 40), rng.dirichlet(np.ones(3), 10)
    votes = np.where(rng.random((40, 4)) < 0.5, rng.integers(0, 3, (40, 4)), np.nan)
    votes[0], probabilities[1] = np.nan, np.nan  # nobody said anything; no model can tell
    votes[:, 3] = np.nan  # somebody who said nothing
    labeled, new = active_scores([Question("", list("abc"), votes, probabilities, pool)])
    usable = ~np.isnan(votes).all(axis=1) & (np.arange(40) != 1)
    theirs = get_active_learning_scores(votes[usable][:, :3], probabilities[usable], pool)
    assert np.isnan(labeled[~usable]).all()
    assert labeled[usable].tolist() == theirs[0].tolist()
    assert new.tolist() == theirs[1].tolist()


def test_several_labels_by_hand():
    """The moving average goes from the highest score to the lowest; labels of which nothing is known are left out."""
    rng = np.random.default_rng(2)
    asked = []
    for k in range(3):
        p, q = rng.random(8), rng.random(5)
        votes = rng.integers(0, 2, (8, 1)).astype(float)
        votes[k] = np.nan
        asked.append(Question(f"l{k}", ["no", "yes"], votes, np.column_stack([1 - p, p]), np.column_stack([1 - q, q])))
    labeled, new = active_scores(asked)
    for row in range(8):
        scores = [
            (2 * one.probabilities[row, int(one.votes[row, 0])] + 0.5) / 3
            for one in asked
            if not np.isnan(one.votes[row, 0])
        ]
        expected, *rest = sorted(scores, reverse=True)
        for score in rest:
            expected = 0.8 * score + 0.2 * expected
        assert labeled[row] == pytest.approx(expected)
    best = np.sort([(one.pool.max(axis=1) + 0.5) / 2 for one in asked], axis=0)
    assert new == pytest.approx(0.8 * best[0] + 0.2 * (0.8 * best[1] + 0.2 * best[2]))


# ------------------------------------------------------------------------------------------------------- the batch


@pytest.mark.parametrize("fraction", [0.1, 0.4, 1.0])
def test_those_of_the_lowest_scores(labeled, fraction):
    """Computed anew: of the 20 rows of the lowest scores the labelled ones, at most the share, the lowest first."""
    campaign, _ = labeled()
    X, ids = campaign.scaled_features()
    labels = campaign.labels["label"]
    batch = campaign.next_batch(20, relabel_fraction=fraction)
    at = pd.Index(ids).get_indexer(labels.index)
    at.sort()
    y = labels[ids[at]].to_numpy(dtype=str)
    settings = campaign.settings
    estimator = seeded(settings.estimator, "campaign", settings.seed, "relabel", 2)
    own = self_confidence(estimator, X[at], y, seed=settings.seed)
    model = clone(campaign.model())
    new = np.setdiff1d(np.arange(len(ids)), at)
    probabilities = model.fit(X[at], y).predict_proba(X[new])
    scores = {ids[row]: (2 * own[i, np.searchsorted(np.unique(y), y[i])] + 1 / 3) / 3 for i, row in enumerate(at)}
    lowest = pd.Series({**scores, **dict(zip(ids[new], (probabilities.max(axis=1) + 1 / 3) / 2, strict=True))})
    lowest = lowest.sort_values(kind="stable").index[:20]
    expected = [name for name in lowest if name in scores][: int(np.ceil(fraction * 20))]
    assert expected
    assert sorted(again(batch)) == sorted(expected)
    assert len(batch) == 20
    assert batch["id"].is_unique
    marked = batch[batch["chosen_by"] == "relabel"]
    assert marked["score"].to_numpy() == pytest.approx([1 - scores[name] for name in marked["id"]])
    assert (batch["again"] == np.where(batch["chosen_by"] == "relabel", "2", "")).all()
    # what a model says of rows that it has learned from is not told, and not measured
    assert (marked["predicted"] == "").all()
    assert marked["confidence"].isna().all()
    assert marked["why"].str.startswith("labelled before").all()
    receipt = campaign.state().rounds[-1].receipt
    assert receipt["relabel"] == {"fraction": fraction, "n_checked": 30, "n": len(marked)}


def test_wrong_labels_are_found(tmp_path):
    """Where classes lie apart, the labels that are wrong are the ones that are asked about, and no others."""
    X, truth = far_apart()
    campaign = LabelingCampaign.create(
        tmp_path / "c", X, ids=list(truth), initial="random", estimator=LateFusionClassifier(), n_instances=40
    )
    first = campaign.next_batch()["id"].tolist()
    wrong = first[:4]
    campaign.add_labels({name: truth[name] for name in first} | in_error(truth, wrong), annotator="ann")
    assert set(again(campaign.next_batch(30, relabel_fraction=0.1))) < set(wrong)
    assert len(again(campaign.batches)) == 3


def test_the_random_slice_is_what_it_is_without(labeled):
    plain, _ = labeled("plain")
    other, _ = labeled("other")
    slices = [
        set(batch["id"][batch["chosen_by"] == "random-slice"])
        for batch in (
            plain.next_batch(20, random_fraction=0.25),
            other.next_batch(20, random_fraction=0.25, relabel_fraction=0.2),
        )
    ]
    assert slices[0] == slices[1]
    assert len(slices[0]) == 5
    assert again(other.batches)


def test_the_same_state_gives_the_same_bytes(labeled):
    contents = []
    for name in ("one", "two"):
        campaign, _ = labeled(name, relabel_fraction=0.2)
        campaign.next_batch()
        contents.append(campaign.state().rounds[-1].read("next.csv"))
    assert contents[0] == contents[1]
    assert b"relabel" in contents[0]


def test_nothing_can_be_checked_yet(begin, answer):
    campaign = begin(relabel_fraction=0.5)
    assert not again(campaign.next_batch(3))
    campaign.add_labels(dict(zip(campaign.batches["id"], ["cat", "dog", "eel"], strict=True)))
    batch = campaign.next_batch(5)
    assert "again" not in batch
    assert campaign.state().rounds[-1].receipt["relabel"]["n_checked"] == 0
    campaign.add_labels(answer(batch))
    campaign.next_batch(5)
    assert campaign.state().rounds[-1].receipt["relabel"]["n_checked"] > 0


def test_a_budget_holds(labeled, pool):
    ids = list(pool[1])
    costs = dict(zip(ids, (1.0 + np.arange(len(ids)) % 3).tolist(), strict=True))
    campaign, _ = labeled(costs=costs, initial="maxherding")
    batch = campaign.next_batch(budget=30.0, relabel_fraction=0.2)
    assert again(batch)
    assert batch["cost"].sum() <= 30
    assert batch.loc[batch["chosen_by"] == "relabel", "cost"].sum() <= 6


def test_refusals(begin, monkeypatch, pool):
    with pytest.raises(ValueError, match=r"relabel_fraction must be from 0 to 1, got 1\.5"):
        begin(relabel_fraction=1.5)
    with pytest.raises(TypeError, match="relabel_fraction must be a number"):
        begin(relabel_fraction="much")
    with pytest.raises(ValueError, match="more than the whole batch together"):
        begin(relabel_fraction=0.6, random_fraction=0.5)
    groups = {name: name[:3] for name in pool[1]}
    with pytest.raises(ValueError, match="relabel_fraction is about single rows"):
        begin(relabel_fraction=0.1, groups=groups, initial="maxherding")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"relabel_fraction needs cleanlab: pip install 'skmmal\[noise\]'"):
        begin(relabel_fraction=0.1)


# ----------------------------------------------------------------------------------------------------- the answers


def test_another_person_s_answer_is_another_vote(labeled, answer):
    campaign, _ = labeled()
    batch = campaign.next_batch(20, relabel_fraction=0.3)
    rows = again(batch)
    before = campaign.labels["label"]
    assert set(rows) < set(campaign.state().waiting)
    assert not set(rows) & set(campaign.state().pending)
    truth = answer(batch)
    assert campaign.add_labels(truth, annotator="bob")["new"] == 20
    assert not campaign.state().waiting
    for row in rows:
        line = campaign.labels.loc[row]
        assert line["n_votes"] == 2
        assert (line["state"], line["label"]) == (
            ("label", truth[row]) if before[row] == truth[row] else ("conflict", "")
        )
    # a batch's accuracy is measured on rows that the model had not seen
    assert campaign.stopping_history()[-1].n_batch == 20 - len(rows)
    # rows about which they differ may be handed out a third time
    later = again(campaign.next_batch(20, relabel_fraction=1.0))
    assert all(campaign.labels.at[row, "state"] in ("label", "conflict") for row in later)


def test_a_batch_that_comes_back_as_a_file(labeled, answer, tmp_path):
    """Who confirms their own label is taken at their word, once, and not asked again."""
    campaign, _ = labeled()
    batch = campaign.next_batch(20, relabel_fraction=0.3)
    file = tmp_path / "batch.csv"
    assert export_batch(campaign, file, "csv") == 20
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    rows = again(batch)
    said = {**answer(batch), **campaign.labels["label"][rows].to_dict()}
    changed = rows[0]
    said[changed] = next(name for name in ("cat", "dog", "eel") if name != said[changed])
    plain = pd.DataFrame({"id": list(said), "label": list(said.values())})
    first = campaign.add_labels(plain[plain["id"].isin(rows[1:])], annotator="ann")
    assert (first["entry"], first["known"]) == (None, len(rows) - 1)
    assert "keep the batch's column again" in first["notes"][0]
    table["label"] = table["id"].map(said)
    table.to_csv(file, index=False)
    received = campaign.add_labels(file, annotator="ann")
    assert (received["new"], received["changed"], received.get("notes")) == (20, 1, None)
    assert not campaign.state().waiting
    assert campaign.labels.loc[changed, "label"] == said[changed]
    assert campaign.labels.loc[rows, "n_votes"].tolist() == [1] * len(rows)
    assert campaign.add_labels(file, annotator="ann")["known"] == 20
    table.assign(why="written anew").to_csv(file, index=False)
    assert campaign.add_labels(file, annotator="ann")["known"] == 20
    assert not set(again(campaign.next_batch(20, relabel_fraction=1.0))) & set(rows[1:])
    campaign.add_labels({rows[1]: "eel"}, annotator="eve")
    campaign.verify()


def test_an_authority_s_word_is_not_asked_about(labeled, pool):
    campaign, wrong = labeled()
    campaign.add_labels(in_error(pool[1], wrong), annotator="lead", authority="lead")
    assert not set(again(campaign.next_batch(20, relabel_fraction=1.0))) & set(wrong)


def test_a_row_that_waits_is_not_handed_out_twice(labeled):
    campaign, _ = labeled()
    first = again(campaign.next_batch(20, relabel_fraction=0.3))
    assert first
    assert not set(first) & set(again(campaign.next_batch(20, relabel_fraction=0.3)))


def test_on_the_page(labeled, pool, tmp_path):
    campaign, _ = labeled()
    rows = again(campaign.next_batch(20, relabel_fraction=0.3))
    items = pd.DataFrame({"name": list(pool[1])}, index=list(pool[1]))
    session = Session(campaign, Media(items, {"name": "text"}, tmp_path), "bob", predictions="all")
    seen = []
    while (view := session.view())["task"]:
        task = view["task"]
        if task["id"] in rows:
            seen.append(task["id"])
            assert task["suggestion"] is None
            assert task["said"] == "labelled once more: its label is doubted"
            assert task["why"].startswith("labelled before")
        session.answer(task["id"], [pool[1][task["id"]]])
    assert sorted(seen) == sorted(rows)
    assert (campaign.labels.loc[rows, "n_annotators"] == 2).all()


def test_sets_of_labels(tmp_path):
    """Sets that are wrong about one label are handed out once more; another set makes a conflict about that label."""
    X, classes = far_apart()
    truth = {name: {"cat": ["fur", "legs"], "dog": ["legs"], "eel": []}[kind] for name, kind in classes.items()}
    campaign = LabelingCampaign.create(
        tmp_path / "sets", X, ids=list(truth), multilabel=True, classes=["fur", "legs"], initial="random",
        strategy="random", estimator=LateFusionClassifier(), n_instances=40,
    )  # fmt: skip
    first = campaign.next_batch()["id"].tolist()
    wrong = [name for name in first if classes[name] == "eel"][:3]
    campaign.add_labels({name: ["legs"] if name in wrong else truth[name] for name in first}, annotator="ann")
    rows = again(campaign.next_batch(20, relabel_fraction=0.1))
    assert len(rows) == 2
    assert set(rows) < set(wrong)
    campaign.add_labels({name: truth[name] for name in rows}, annotator="bob")
    assert (campaign.labels.loc[rows, "state"] == "conflict").all()
    campaign.next_batch(20, relabel_fraction=0.3)
    campaign.verify()
