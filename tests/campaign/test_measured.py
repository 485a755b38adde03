"""What models are fitted for: how good annotators are, whether sets of labels are worth choosing, whether rows drift."""

import importlib.util

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.campaign import LabelingCampaign
from skmmal.campaign._benefit import compare_with_random
from skmmal.campaign._crowd import Question, annotator_quality
from skmmal.campaign._drift import compare_rows, drift_in_words
from skmmal.features import FeatureStore

# ------------------------------------------------------------------------------------------------------ annotators


def crowd(rng, n=120, right=(0.95, 0.8, 0.5)):
    """What people say who are right so often, and a model that is right most of the time."""
    y = rng.integers(0, 3, n)
    votes = np.column_stack(
        [np.where(rng.random(n) < share, y, (y + rng.integers(1, 3, n)) % 3) for share in right]
    ).astype(float)
    votes[rng.random(votes.shape) < 0.3] = np.nan
    probabilities = np.full((n, 3), 0.1)
    probabilities[np.arange(n), np.where(rng.random(n) < 0.85, y, (y + 1) % 3)] = 0.8
    return votes, probabilities


def test_annotators_against_cleanlab_itself():
    multiannotator = pytest.importorskip("cleanlab.multiannotator")
    votes, probabilities = crowd(np.random.default_rng(0))
    found = annotator_quality(
        [Question("", list("abc"), votes, probabilities, probabilities[:0])], ["ann", "bob", "cyd"]
    )
    assert found.index.tolist() == ["cyd", "bob", "ann"]
    usable = ~np.isnan(votes).all(axis=1)
    theirs = multiannotator.get_label_quality_multiannotator(votes[usable], probabilities[usable], verbose=False)
    theirs = theirs["annotator_stats"].rename(index=dict(enumerate(["ann", "bob", "cyd"]))).loc[found.index]
    assert found["quality"].tolist() == theirs["annotator_quality"].tolist()
    assert found["with_consensus"].tolist() == theirs["agreement_with_consensus"].tolist()
    assert found["n"].tolist() == [(~np.isnan(votes[:, i])).sum() for i in (2, 1, 0)]
    assert found["worst"].tolist() == ["abc"[int(code)] for code in theirs["worst_class"]]


def test_annotators_of_sets():
    """Of several labels: means weighted by answers; where somebody is worst is the label of the lowest quality."""
    pytest.importorskip("cleanlab.multiannotator")
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, (80, 2))
    votes = np.repeat(truth[:, None, :], 2, axis=1).astype(float)
    wrong = rng.random(80) < 0.4
    votes[wrong, 1, 1] = 1 - votes[wrong, 1, 1]  # bob does not see the second label
    probabilities = [np.column_stack([0.8 - 0.6 * truth[:, k], 0.2 + 0.6 * truth[:, k]]) for k in range(2)]
    asked = [
        Question(name, ["no", "yes"], votes[:, :, k], probabilities[k], probabilities[k][:0])
        for k, name in enumerate(["fur", "legs"])
    ]
    found = annotator_quality(asked, ["ann", "bob"])
    assert found.index.tolist() == ["bob", "ann"]
    assert found.loc["bob", "worst"] == "legs"
    assert found["n"].tolist() == [160, 160]
    single = [annotator_quality([one], ["ann", "bob"])["quality"] for one in asked]
    assert found.loc["bob", "quality"] == pytest.approx(np.mean([each["bob"] for each in single]))


def test_nobody_to_compare_with():
    votes, probabilities = crowd(np.random.default_rng(0), right=(0.9,))
    assert annotator_quality([Question("", list("abc"), votes, probabilities, probabilities[:0])], ["ann"]).empty


def test_status_says_who_is_right(begin, answer, pool, monkeypatch):
    pytest.importorskip("cleanlab")
    campaign = begin(n_instances=50)
    truth = answer(campaign.next_batch())
    other = {"cat": "dog", "dog": "eel", "eel": "cat"}
    campaign.add_labels(truth, annotator="ann")
    plain = campaign.status(measure=True)
    assert "quality" not in plain.annotators
    assert "cannot be said yet: 0 labels of rows drawn at random" in plain.sentences[-1]
    campaign.add_labels(
        {row: other[label] if i % 2 else label for i, (row, label) in enumerate(truth.items())}, annotator="bob"
    )
    campaign.add_labels(truth, annotator="cyd")
    assert "quality" not in campaign.status().annotators
    status = campaign.status(measure=True)
    table = campaign.annotator_quality()
    assert table.index[0] == "bob"
    assert status.annotators["quality"].to_dict() == table["quality"].to_dict()
    assert "bob's labels are least often right" in status.sentences[-1]
    assert status.to_dict()["annotators"][1]["worst"] == table.loc["bob", "worst"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "needs cleanlab: pip install" in campaign.status(measure=True).sentences[-1]


# --------------------------------------------------------------------------------------------------------- benefit


def sets(n, rng):
    """Each label is a feature's sign; a few entries are not known."""
    X = rng.normal(size=(n, 3))
    y = (X[:, :2] > 0).astype(float)
    y[rng.random(y.shape) < 0.1] = np.nan
    return MultimodalArray({"a": X[:, :2], "b": X[:, 2:]}), y


def test_sets_by_hand():
    rng = np.random.default_rng(0)
    X, y = sets(60, rng)
    y[np.isnan(y).all(axis=1)] = 0
    is_random = np.arange(60) >= 30
    found = compare_with_random(LateFusionClassifier(), X, y, is_random, classes=["l", "m"], n_folds=3, seed=1)
    from sklearn.model_selection import KFold

    shares = {"random": [], "chosen": [], "all": []}
    for train, test in KFold(3, shuffle=True, random_state=1).split(np.arange(30)):
        fold = 30 + test
        for kind, rows in (
            ("random", 30 + train),
            ("chosen", np.arange(20)),
            ("all", np.concatenate([np.arange(30), 30 + train])),
        ):
            rows = np.sort(rows)
            said = (
                LateFusionClassifier().fit(X[rows], y[rows], classes=np.array(["l", "m"])).predict_proba(X[fold]) > 0.5
            )
            for row, one in zip(fold, said, strict=True):
                known = ~np.isnan(y[row])
                shares[kind].append((one[known] == y[row][known]).mean())
    last = found.curve.iloc[-1]
    assert (last["random"], last["chosen"], found.accuracy) == pytest.approx([np.mean(shares[kind]) for kind in shares])
    assert found.difference == pytest.approx(np.mean(shares["chosen"]) - np.mean(shares["random"]))
    assert 0 <= found.accuracy_low < found.accuracy < found.accuracy_high <= 1
    assert found.sentences[0].startswith("Share of a row's labels that are right with 60 labels, on 30 rows")


def test_chosen_sets_that_say_nothing():
    """All rows that were chosen lack every label: their models say so, of everything."""
    X, y = sets(60, np.random.default_rng(0))
    y = np.nan_to_num(y)
    y[:30] = 0
    found = compare_with_random(LateFusionClassifier(), X, y, np.arange(60) >= 30, classes=["l", "m"], n_folds=3)
    assert found.curve["chosen"].iloc[-1] == pytest.approx(1 - y[30:].mean())
    assert found.high < 0
    assert "does harm" in found.sentences[-1]


def test_a_campaign_of_sets(pool, tmp_path):
    truth = {name: {"cat": ["fur", "legs"], "dog": ["legs"], "eel": []}[kind] for name, kind in pool[1].items()}
    campaign = LabelingCampaign.create(
        tmp_path / "sets", pool[0], multilabel=True, classes=["fur", "legs"], initial="random", strategy="random",
        estimator=LateFusionClassifier(), n_instances=24, random_fraction=0.5,
    )  # fmt: skip
    for _ in range(2):
        campaign.add_labels({name: truth[name] for name in campaign.next_batch()["id"]})
    assert campaign.status().sentences[-1].startswith("Whether choosing helps: skmmal campaign status --measure")
    status = campaign.status(measure=True)
    assert (status.benefit.n_random, status.benefit.n_chosen) == (24, 24)
    assert status.benefit.sentences == status.sentences[-len(status.benefit.sentences) :]
    assert status.to_dict()["benefit"]["curve"][-1]["labels"] == status.benefit.curve["labels"].iloc[-1]


# ----------------------------------------------------------------------------------------------------------- drift


def test_told_apart_by_hand():
    rng = np.random.default_rng(0)
    X = MultimodalArray({"a": rng.normal(size=(160, 4)), "b": rng.normal(size=(160, 3))})
    X.blocks["a"][100:] += 0.8
    found = compare_rows(X, 100, seed=3)
    is_new = np.arange(160) >= 100
    raw = []
    for name in ("a", "b"):
        train, test = train_test_split(np.arange(160), test_size=0.5, stratify=is_new, random_state=3)
        values = X.blocks[name]
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=1 / values.shape[1], class_weight="balanced", max_iter=1000)
        ).fit(values[train], is_new[train])
        scores = model.decision_function(values[test])
        raw.append(mannwhitneyu(scores[is_new[test]], scores[~is_new[test]], alternative="greater").pvalue)
        one = next(one for one in found if one["modality"] == name)
        assert one["auc"] == pytest.approx(roc_auc_score(is_new[test], scores))
    assert found[0]["p"] == pytest.approx(min(1, 4 * raw[0]))  # the smallest of four
    assert found[0]["p"] < 0.001 < 0.05 < found[1]["p"]
    assert [one["p_share"] for one in found] == [1, 1]
    words = drift_in_words(found, 100, 60)
    assert "a looks different (AUC" in words
    assert "b looks" not in words


def test_alike_rows_are_rarely_called_different():
    n_alarms = 0
    for seed in range(60):
        X = MultimodalArray(
            {
                "a": np.random.default_rng(seed).normal(size=(120, 5)),
                "b": np.random.default_rng(900 + seed).normal(size=(120, 2)),
            }
        )
        n_alarms += min(one["p"] for one in compare_rows(X, 70, seed=seed)) < 0.05
    assert n_alarms <= 8  # of 60, at a level of one in twenty: 3 are expected, 9 or more in four of a thousand


def test_missing_modalities():
    rng = np.random.default_rng(0)
    b = rng.normal(size=(160, 2))
    b[105:160] = np.nan
    found = compare_rows(MultimodalArray({"a": rng.normal(size=(160, 3)), "b": b}), 100)
    assert (found[1]["n_new"], found[1]["share_before"], found[1]["auc"], found[1]["p"]) == (5, 1.0, None, None)
    assert found[1]["p_share"] < 1e-20
    assert "b is there in 8% of the new rows, in 100% of the former ones" in drift_in_words(found, 100, 60)
    few = compare_rows(MultimodalArray({"a": rng.normal(size=(110, 3))}), 100)
    assert "too few rows have a to say" in drift_in_words(few, 100, 10)


def test_shapes_of_features_do_not_matter():
    rows = np.random.default_rng(0).normal(size=(100, 6, 3))
    shaped, flat = (compare_rows(MultimodalArray({"a": block}), 50) for block in (rows, rows.reshape(100, 18)))
    assert shaped == flat


def test_a_cache_that_grew(tmp_path):
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(150, 3)), "b": rng.normal(size=(150, 2))}
    X["a"][90:] += 2
    ids = [f"s{i}" for i in range(150)]
    grown = FeatureStore.write(tmp_path / "features", {name: block[:90] for name, block in X.items()}, ids[:90])
    campaign = LabelingCampaign.create(tmp_path / "c", grown.path, n_instances=10, initial="random")
    campaign.next_batch()
    assert campaign.status().drift == []
    grown.extend({name: block[90:] for name, block in X.items()}, ids[90:])
    campaign = LabelingCampaign(tmp_path / "c")
    campaign.next_batch()
    (found,) = campaign.status().drift
    assert (found["round"], found["n_before"], found["n_new"]) == (2, 90, 60)
    assert found["tests"][0]["p"] < 1e-6
    (line,) = [line for line in campaign.status().sentences if line.startswith("Before round 2")]
    assert "grew from 90 rows by 60, which are not like the former ones: a looks different" in line
    campaign.next_batch()
    assert len(campaign.status().drift) == 1
    campaign.verify()
