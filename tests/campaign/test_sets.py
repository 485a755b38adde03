"""Campaigns whose rows have several labels: answers, votes, rounds, measures; against brute force."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, cohen_kappa_score, hamming_loss

from skmmal import LabelingCampaign, LateFusionClassifier
from skmmal.campaign import balance_classes, export_batch, export_labels, write_campaign_report
from skmmal.campaign._batch import RANDOM_SLICE
from skmmal.campaign._label_advice import histories_by_label
from skmmal.campaign._measures import average_precisions, measure_sets
from skmmal.campaign._set_votes import agreement, resolve
from skmmal.campaign._sets import join, split, states, text_of_states

LABELS = ["boat", "sea", "sky"]
N = 80


@pytest.fixture(scope="module")
def pool():
    """Arrays, ids, and which labels each row has."""
    rng = np.random.default_rng(0)
    has = rng.random((N, 3)) < [0.3, 0.4, 0.5]
    a, b = rng.normal(size=(N, 4)), rng.normal(size=(N, 3))
    a[:, :3] += 2.0 * has
    b[:, :2] += 1.5 * has[:, 1:]
    b[::7] = np.nan
    ids = [f"s{i:02d}" for i in range(N)]
    return {"a": a, "b": b}, ids, has


@pytest.fixture
def begin(pool, tmp_path):
    def call(name="c", **options):
        options = {"initial": "random", "strategy": "margin", "estimator": LateFusionClassifier(), **options}
        options = {"n_instances": 12, "multilabel": True, **options}
        return LabelingCampaign.create(tmp_path / name, pool[0], ids=pool[1], **options)

    return call


@pytest.fixture
def truth(pool):
    names = np.array(LABELS, dtype=object)
    return {name: list(names[row]) for name, row in zip(pool[1], pool[2], strict=True)}


def events(rows, **more):
    table = pd.DataFrame(rows, columns=["id", "label", "annotator"])
    return table.assign(**{"state": "label", "when": "", "annotation": "", "lead_time": "", **more})


# ------------------------------------------------------------------------------------------------------------ text


def test_text_of_sets_goes_back_and_forth():
    assert split(join(["sky", "sea", "sky"], ["boat"])) == (["sea", "sky"], ["boat"])
    rng = np.random.default_rng(1)
    rows = rng.choice([0.0, 1.0, np.nan], size=(50, 3))
    texts = [text_of_states(row, LABELS) for row in rows]
    np.testing.assert_array_equal(states(texts, LABELS), rows)
    assert text_of_states(np.zeros(3), LABELS) == ""


# ----------------------------------------------------------------------------------------------------------- votes


def test_votes_against_counting_by_hand():
    rng = np.random.default_rng(2)
    rows, kept = [], {}
    for i in range(40):
        for who in rng.permutation(["ann", "bob", "eve", "joe"])[: rng.integers(1, 5)]:
            row = rng.choice([0.0, 1.0, np.nan], size=3, p=[0.45, 0.45, 0.1])
            rows.append((f"s{i:02d}", text_of_states(row, LABELS), who))
            kept.setdefault(f"s{i:02d}", []).append(row)
    found = resolve(events(rows), LABELS)
    assert list(found.index) == sorted(kept)
    for name, votes in kept.items():
        yes = np.sum([vote == 1 for vote in votes], axis=0)
        no = np.sum([vote == 0 for vote in votes], axis=0)
        expected = text_of_states(np.where(yes > no, 1.0, np.where(no > yes, 0.0, np.nan)), LABELS)
        is_tie = bool(((yes == no) & (yes > 0)).any())
        assert found.loc[name, "label"] == expected
        assert found.loc[name, "state"] == ("conflict" if is_tie else "label")
        assert found.loc[name, "n_votes"] == len(votes)
        voted = yes + no > 0
        share = (np.maximum(yes, no)[voted] / (yes + no)[voted]).mean() if voted.any() else np.nan
        np.testing.assert_allclose(found.loc[name, "agreement"], share)


def test_states_beside_sets():
    table = events(
        [("a", "", "ann"), ("a", "", "bob"), ("b", "", "ann"), ("c", "sea", "ann"), ("c", "", "bob"), ("d", "", "ann")]
    )
    table["state"] = ["skip", "unsure", "skip", "label", "skip", "label"]
    found = resolve(table, LABELS)
    assert found["state"].to_dict() == {"a": "unsure", "b": "skip", "c": "label", "d": "label"}
    assert found["label"].to_dict() == {"a": "", "b": "", "c": "sea", "d": ""}


def test_agreement_against_scikit_learn():
    rng = np.random.default_rng(3)
    first = rng.random((60, 3)) < 0.5
    second = np.where(rng.random((60, 3)) < 0.8, first, ~first)
    rows = []
    for i in range(60):
        for who, has in (("ann", first[i]), ("bob", second[i])):
            rows.append((f"s{i:02d}", text_of_states(has.astype(float), LABELS), who))
    found = agreement(events(rows), LABELS)
    kappas = [cohen_kappa_score(first[:, column], second[:, column]) for column in range(3)]
    np.testing.assert_allclose([one["kappa"] for one in found["labels"]], kappas)
    np.testing.assert_allclose(found["pairs"][0]["kappa"], np.mean(kappas))
    np.testing.assert_allclose(found["pairs"][0]["agree"], 1 - hamming_loss(first, second))
    np.testing.assert_allclose([one["agree"] for one in found["labels"]], (first == second).mean(axis=0))
    assert found["n_unanimous"] == (first == second).all(axis=1).sum()
    assert found["n_several"] == 60
    np.testing.assert_allclose(found["by_annotator"]["ann"]["agrees"], 1 - hamming_loss(first, second))


# -------------------------------------------------------------------------------------------------------- measures


def test_measures_against_scikit_learn():
    rng = np.random.default_rng(4)
    y = (rng.random((50, 3)) < 0.4).astype(float)
    p = np.round(np.clip(0.3 * y + rng.random((50, 3)) * 0.7, 0, 1), 1)  # with ties
    found = measure_sets(y, (p > 0.5).astype(float), p)
    assert found.accuracy == (y == (p > 0.5)).all(axis=1).mean()
    np.testing.assert_allclose(found.more["hamming_loss"], hamming_loss(y, p > 0.5))
    np.testing.assert_allclose(found.more["mean_average_precision"], average_precision_score(y, p, average="macro"))
    for name in ("hamming_loss", "mean_average_precision"):
        assert found.more[name + "_low"] < found.more[name] < found.more[name + "_high"]
    weights = rng.integers(0, 4, size=(5, 50))
    expected = [average_precision_score(y[:, 0], p[:, 0], sample_weight=row) for row in weights]
    np.testing.assert_allclose(average_precisions(y[:, 0] == 1, p[:, 0], weights), expected)


def test_what_is_not_known_does_not_count():
    truth = np.array([[1, 0, np.nan], [np.nan, np.nan, np.nan], [0, 0, 1]])
    found = measure_sets(truth, np.array([[1.0, 1, 1], [0, 0, 0], [0, 0, 1]]))
    assert (found.accuracy, found.n) == (1.0, 1)
    assert found.more["hamming_loss"] == 1 / 5


def test_the_interval_covers_the_truth():
    """Of 200 samples of 60 rows, about 95 % of the intervals hold the loss of all rows."""
    rng = np.random.default_rng(5)
    wrong = rng.random((20000, 3)) < 0.2 * rng.random((20000, 1)) * 2
    covered = 0
    for _ in range(200):
        rows = rng.integers(0, len(wrong), 60)
        found = measure_sets(np.zeros((60, 3)), wrong[rows].astype(float)).more
        covered += found["hamming_loss_low"] <= wrong.mean() <= found["hamming_loss_high"]
    assert 180 <= covered <= 199


# ------------------------------------------------------------------------------------------------------- a campaign


def test_rounds(begin, truth, pool):
    campaign = begin(random_fraction=0.25, classes=LABELS)
    for number in range(3):
        batch = campaign.next_batch()
        assert (batch["confidence"].notna() == (number > 0)).all()
        campaign.add_labels({name: truth[name] for name in batch["id"]}, annotator="ann")
    # the model is what one gets by hand
    X, ids = campaign.scaled_features()
    asked = campaign.batches
    known = asked["id"][asked["round"] < 3].tolist()
    rows = pd.Index(ids).get_indexer(pd.Index(known))
    Y = pd.DataFrame({label: [float(label in truth[name]) for name in known] for label in LABELS})
    clf = LateFusionClassifier(**campaign.settings.estimator.get_params()).fit(
        X[np.sort(rows)], Y.iloc[np.argsort(rows)]
    )
    last = campaign.state().batches[-1]
    there = pd.Index(ids).get_indexer(pd.Index(last["id"]))
    p = clf.predict_proba(X[there])
    assert last["predicted"].tolist() == [text_of_states(row, LABELS) for row in (p > 0.5).astype(float)]
    np.testing.assert_allclose(last["confidence"], np.maximum(p, 1 - p).mean(axis=1), rtol=1e-4)
    assert np.isclose(last[["contribution_a", "contribution_b"]].sum(axis=1), 1).all()
    assert last["why"][last["chosen_by"] == "margin"].str.contains("takes it for|sees none").all()
    # and so is what was measured on the random slice
    drawn = (last["chosen_by"] == RANDOM_SLICE).to_numpy()
    y = np.array([[float(label in truth[name]) for label in LABELS] for name in last["id"][drawn]])
    line = campaign.status().estimates.iloc[-1]
    assert line["n"] == drawn.sum() == 3
    assert line["accuracy"] == ((p[drawn] > 0.5) == y).all(axis=1).mean()
    np.testing.assert_allclose(line["hamming_loss"], hamming_loss(y, p[drawn] > 0.5))
    scored = [average_precision_score(y[:, k], p[drawn][:, k]) for k in range(3) if y[:, k].any()]
    np.testing.assert_allclose(line["mean_average_precision"], np.mean(scored), rtol=1e-6)
    indicator = campaign.indicator()
    assert indicator.loc[known[0]].to_dict() == {label: float(label in truth[known[0]]) for label in LABELS}
    assert campaign.state().class_counts == {label: int(indicator[label].sum()) for label in LABELS}
    history = campaign.stopping_history()
    assert len(history) == 2
    free = ~pd.Index(ids).isin(known)
    cases = (clf.predict_proba(X[free]) > 0.5).astype(int)
    assert history[-1].predictions.to_dict() == {
        (name, label): cases[row, column] for row, name in enumerate(ids[free]) for column, label in enumerate(LABELS)
    }
    q = clf.predict_proba(X[free])
    np.testing.assert_allclose(history[-1].mean_confidence, np.maximum(q, 1 - q).mean(), rtol=1e-4)
    np.testing.assert_allclose(history[-1].mean_entropy, -(q * np.log2(q) + (1 - q) * np.log2(1 - q)).mean(), rtol=1e-3)
    assert [round(one.random_accuracy * one.n_random) for one in history] == [
        round(line.accuracy * line.n) for line in campaign.status().estimates.itertuples()
    ]


def test_an_empty_set_is_an_answer(begin):
    campaign = begin(classes=LABELS)
    found = campaign.add_labels({"s00": [], "s01": None, "s02": "", "s03": ["sea"]})
    assert found["states"] == {"label": 2}
    assert found["blank"] == 2
    assert campaign.labels["state"].to_dict() == {"s00": "label", "s03": "label"}
    assert campaign.indicator().loc["s00"].tolist() == [0, 0, 0]
    table = pd.DataFrame({"id": ["s04", "s05", "s06"], "label": "", "state": ["none", "label", "skip"]})
    assert campaign.add_labels(table)["states"] == {"label": 2, "skip": 1}
    with pytest.raises(ValueError, match="no label applies, and there are labels"):
        campaign.add_labels(pd.DataFrame({"id": ["s07"], "label": ["sea"], "state": ["none"]}))


def test_a_label_in_conflict_leaves_the_others_known(begin):
    campaign = begin(classes=LABELS)
    campaign.add_labels({"s00": ["sea", "sky"], "s01": ["boat"]}, annotator="ann")
    campaign.add_labels({"s00": ["sky"]}, annotator="bob")
    assert campaign.labels.loc["s00", ["state", "label"]].tolist() == ["conflict", "sky|?sea"]
    np.testing.assert_array_equal(campaign.indicator().loc["s00"], [0, np.nan, 1])
    assert campaign.conflicts.to_dict("records") == [
        {"id": "s00", "settled": "", "labels": "sea", "said": "ann: sea|sky; bob: sky"}
    ]
    campaign.add_labels({"s00": []}, annotator="eve")  # two of three say no to the sea, and yes to the sky
    assert campaign.labels.loc["s00", ["state", "label"]].tolist() == ["label", "sky"]
    campaign.retract("s00", annotator="eve")
    assert campaign.labels.loc["s00", "state"] == "conflict"
    campaign.undo()
    assert campaign.labels.loc["s00", "state"] == "label"
    campaign.add_labels({"s00": ["boat"]}, annotator="lead", authority="lead")
    assert campaign.labels.loc["s00", "label"] == "boat"


def test_conflicts_train_and_are_handed_out_again(begin, truth, pool):
    campaign = begin(classes=LABELS, n_instances=20)
    batch = campaign.next_batch()
    campaign.add_labels({name: truth[name] for name in batch["id"]}, annotator="ann")
    odd = batch["id"].tolist()[:5]
    campaign.add_labels({name: sorted({*truth[name]} ^ {"sea"}) for name in odd}, annotator="bob")
    assert campaign.labels["state"].value_counts().to_dict() == {"label": 15, "conflict": 5}
    second = campaign.next_batch(60)
    assert campaign.state().rounds[-1].receipt["labels"]["n"] == 20
    assert not set(odd) & set(second["id"])
    third = campaign.next_batch(5, include=["conflict"])
    assert sorted(third["id"]) == sorted(odd)


def test_a_label_that_comes_later_is_not_known_before(begin):
    campaign = begin()
    campaign.add_labels({"s00": ["sea"], "s01": []})
    assert campaign.state().classes == ["sea"]
    with pytest.raises(ValueError, match="1 classes that are new here: 'sky'"):
        campaign.add_labels({"s02": ["sky", "sea"]})
    campaign.add_labels({"s02": ["sky", "sea"]}, allow_new_classes=True)
    np.testing.assert_array_equal(campaign.indicator(), [[1, np.nan], [0, np.nan], [1, 1]])
    assert campaign.status().classes["not_known"].to_dict() == {"sea": 0, "sky": 2}
    assert any("sky (2)" in line for line in campaign.status().sentences)
    campaign.undo()
    assert campaign.state().classes == ["sea"]


def test_class_balance_goes_by_the_rarest_label_of_a_row(begin, truth):
    campaign = begin(classes=LABELS, n_instances=24)
    batch = campaign.next_batch()
    campaign.add_labels({name: truth[name] for name in batch["id"]})
    counts = campaign.state().class_counts
    plain = campaign.next_batch(18, class_balance=False)
    campaign.undo()
    balanced = campaign.next_batch(6, class_balance=True)
    rarest = [
        min(split(text)[0], key=counts.get) if text else max(counts, key=counts.get) for text in plain["predicted"]
    ]
    assert balanced["id"].tolist() == plain["id"][balance_classes(rarest, counts, 6)].tolist()


def test_doubts_find_flipped_entries(begin, truth):
    campaign = begin(classes=LABELS)
    wrong = {"s03": "sea", "s11": "sky", "s21": "boat"}
    said = {name: sorted({*labels} ^ {wrong.get(name)} - {None}) for name, labels in truth.items()}
    campaign.add_labels(said)
    table = campaign.doubts()
    assert len(table) == 3 * N
    first = set(zip(table["id"][:24], table["label"][:24], strict=True))
    assert len(first & set(wrong.items())) >= 2
    assert table["self_confidence"].is_monotonic_increasing
    line = table.iloc[0]
    assert line["given"] == ("yes" if line["label"] in said[line["id"]] else "no")


def test_validation(begin, truth, pool):
    held_out = {name: truth[name] for name in pool[1][:20]}
    campaign = begin(validation=held_out)
    assert campaign.settings.classes == LABELS
    batch = campaign.next_batch()
    assert not set(batch["id"]) & set(held_out)
    campaign.add_labels({name: truth[name] for name in batch["id"]})
    campaign.next_batch()
    receipt = campaign.state().rounds[-1].receipt["model"]
    X, ids = campaign.scaled_features()
    rows = pd.Index(ids).get_indexer(pd.Index(list(held_out)))
    p = campaign.model().predict_proba(X[rows])
    y = pool[2][:20]
    assert receipt["validation_accuracy"] == ((p > 0.5) == y).all(axis=1).mean()
    np.testing.assert_allclose(
        receipt["validation"]["mean_average_precision"], average_precision_score(y, p), rtol=1e-5
    )
    assert receipt["n_pool"] == N - 20 - 12


# ------------------------------------------------------------------------------------------------ files in and out


def test_tables(begin, truth, tmp_path):
    few = dict(list(truth.items())[:10])
    matrix = pd.DataFrame({label: [int(label in labels) for labels in few.values()] for label in LABELS}, index=few)
    expected = {name: join(labels) for name, labels in few.items()}
    (tmp_path / "bars.csv").write_text(
        "id,label,state\n" + "".join(f"{k},{'|'.join(v)},label\n" for k, v in few.items())
    )
    (tmp_path / "commas.csv").write_text(
        "id;label;state\n" + "".join(f"{k};{', '.join(v)};label\n" for k, v in few.items())
    )
    matrix.rename_axis("id").to_csv(tmp_path / "columns.csv")
    words = matrix.replace({0: "no", 1: "YES"}).assign(notes="a remark", rank=1)
    words.rename_axis("id").reset_index().to_excel(tmp_path / "columns.xlsx", index=False)
    (tmp_path / "lists.jsonl").write_text("".join(json.dumps({"id": k, "label": v}) + "\n" for k, v in few.items()))
    (tmp_path / "lists.json").write_text(json.dumps(few))
    matrix.rename_axis("id").reset_index().to_json(tmp_path / "columns.json", orient="records")
    for number, given in enumerate([*sorted(tmp_path.glob("*.*")), matrix, few, pd.Series(few)]):
        campaign = begin(f"c{number}", classes=LABELS)
        options = {"separator": ","} if getattr(given, "name", "") == "commas.csv" else {}
        campaign.add_labels(given, **options)
        assert campaign.labels["label"].to_dict() == expected, given


def test_columns_that_say_nothing_clear_are_refused(begin):
    campaign = begin(classes=LABELS)
    table = pd.DataFrame({"id": ["s00", "s01"], "sea": ["1", ""], "sky": ["", "x"]})
    with pytest.raises(ValueError, match="nowhere that a row has one not"):
        campaign.add_labels(table)
    with pytest.raises(ValueError, match="'sea' holds 'maybe' in line 2"):
        campaign.add_labels(table.assign(sea=["0", "maybe"]))
    with pytest.raises(ValueError, match="there is no column 'label', and none that is a label's"):
        campaign.add_labels(pd.DataFrame({"id": ["s00"], "colour": ["red"]}))
    with pytest.raises(ValueError, match="'fog'"):
        campaign.add_labels(pd.DataFrame({"id": ["s00"], "sea": [1], "fog": [1]}))
    assert campaign.add_labels(table.assign(sea=["0", ""], sky=["", ""]))["blank"] == 1
    np.testing.assert_array_equal(campaign.indicator().loc["s00"], [np.nan, 0, np.nan])


def test_names_that_would_be_taken_for_sets_are_refused(begin):
    for name in ("a|b", "?a"):
        with pytest.raises(ValueError, match="cannot be the name of a label"):
            begin(classes=["sea", name])
    campaign = begin()
    with pytest.raises(ValueError, match="'a|b' cannot be the name of a label"):
        campaign.add_labels({"s00": ["a|b"]})
    assert campaign.add_labels({"s00": ["a|b", "sea"]}, map_classes={"a|b": "a or b"})["mapped"] == {"a|b": 1}
    assert campaign.labels.loc["s00", "label"] == "a or b|sea"
    with pytest.raises(ValueError, match="the state is reject"):
        campaign.add_labels(pd.DataFrame({"id": ["s01"], "label": ["sea"], "state": ["reject"]}))
    with pytest.raises(ValueError, match="says two things about 's02'"):
        campaign.add_labels(pd.DataFrame({"id": ["s02", "s02"], "label": [["sea"], []]}))


def test_stopping_advice_of_each_label(begin, truth, pool):
    """What criteria see of a label is what the rounds' models say of it, asked anew."""
    held_out = pool[1][:20]
    criteria = ["target-accuracy=0.7", "overall-uncertainty", "selected-accuracy", "stabilizing-predictions", "budget=20"]
    campaign = begin(validation={name: truth[name] for name in held_out}, random_fraction=0.3, stopping=criteria)
    assert campaign.advice_by_label().empty
    for _ in range(4):
        batch = campaign.next_batch(10)
        campaign.add_labels({name: truth[name] for name in batch["id"]}, annotator="ann")
    X, ids = campaign.scaled_features()
    at, has = pd.Index(ids), dict(zip(pool[1], pool[2], strict=True))
    found = histories_by_label(campaign.state())
    batches = campaign.batches
    for number in (2, 3, 4):
        model = campaign.model(number)
        answered = set(batches["id"][batches["round"] < number])
        stop_set = [name for name in ids if name not in answered and name not in held_out]
        p, p_held = (model.predict_proba(X[at.get_indexer(names)]) for names in (stop_set, held_out))
        own = batches[batches["round"] == number]
        p_own = model.predict_proba(X[at.get_indexer(own["id"])]) > 0.5
        right = p_own == np.array([has[name] for name in own["id"]])
        drawn = (own["chosen_by"] == RANDOM_SLICE).to_numpy()
        for column, name in enumerate(LABELS):
            seen = found[name][number - 2]
            assert seen.round == number
            pd.testing.assert_series_equal(
                seen.predictions.sort_index(), pd.Series((p[:, column] > 0.5).astype(int), index=stop_set).sort_index(),
                check_names=False, check_index_type=False,
            )  # fmt: skip
            q = np.column_stack([1 - p[:, column], p[:, column]])
            assert seen.mean_entropy == pytest.approx(-(q * np.log2(q)).sum(axis=1).mean())
            assert seen.mean_confidence == pytest.approx(q.max(axis=1).mean())
            assert seen.n_validation == 20
            hits = (p_held[:, column] > 0.5) == [has[each][column] for each in held_out]
            assert seen.validation_accuracy == pytest.approx(hits.mean())
            assert (seen.n_batch, seen.batch_accuracy) == (10, pytest.approx(right[:, column].mean()))
            assert (seen.n_random, seen.random_accuracy) == (drawn.sum(), pytest.approx(right[drawn, column].mean()))
    advice = campaign.advice_by_label()
    assert advice["label"].unique().tolist() == LABELS
    assert set(advice["criterion"]) == {criterion.partition("=")[0] for criterion in criteria[:-1]}  # a budget is of all
    judged = advice.set_index(["label", "criterion"])["stop"]
    for name in LABELS:
        assert judged[name, "target-accuracy"] == (found[name][-1].validation_accuracy >= 0.7)
    status = campaign.status(by_label=True)
    pd.testing.assert_frame_equal(status.label_advice, advice)
    assert "3 of 3 labels" in status.sentences[-2] + status.sentences[-1]
    assert len(status.to_dict()["label_advice"]) == len(advice)
    with pytest.raises(ValueError, match="several labels"):
        begin("one", multilabel=False, stopping=None).status(by_label=True)


def test_a_campaign_of_one_class_names_the_way(begin):
    campaign = begin(multilabel=False, estimator=LateFusionClassifier())
    with pytest.raises(ValueError, match="multilabel=True"):
        campaign.add_labels({"s00": ["sea", "sky"]})


def test_what_has_no_form_for_sets_is_refused_at_the_start(begin):
    with pytest.raises(ValueError, match="strategy: bait does not serve several labels"):
        begin(strategy="bait")


def test_exports_come_back(begin, truth, tmp_path):
    campaign = begin(classes=LABELS)
    some = dict(list(truth.items())[:12])
    campaign.add_labels(some, annotator="ann")
    campaign.add_labels({"s00": sorted({*some["s00"]} ^ {"sky"})}, annotator="bob")
    campaign.add_labels(pd.DataFrame({"id": ["s20"], "label": [""], "state": ["skip"]}), annotator="ann")
    expected = campaign.labels["label"][campaign.labels["state"] != "skip"].to_dict()
    for kind in ("csv", "jsonl", "indicator", "huggingface"):
        path = tmp_path / f"labels.{'csv' if kind == 'indicator' else kind}"
        assert export_labels(campaign, path, kind) == (12 if kind == "indicator" else 13)
        if kind == "jsonl":  # a state of its own, that no delivery has
            path.write_text(path.read_text().replace('"conflict"', '"label"'))
        if kind == "csv":
            path.write_text(path.read_text().replace("conflict", "label"))
        if kind == "huggingface":
            from datasets import load_from_disk

            found = load_from_disk(str(path))
            assert found.features["label"].feature.names == LABELS
            there = found.filter(lambda line: line["state"] == "label")
            again = begin("hf", classes=LABELS)
            again.add_labels(there)
            assert again.labels["label"].to_dict() == {k: v for k, v in expected.items() if k != "s00"}
            continue
        again = begin(f"again-{kind}", classes=LABELS)
        again.add_labels(path)
        assert again.labels["label"][again.labels["state"] != "skip"].to_dict() == expected
        path.unlink()
    for kind in ("csv", "jsonl"):
        export_labels(campaign, tmp_path / f"history.{kind}", kind, history=True)
        again = begin(f"history-{kind}", classes=LABELS)
        again.add_labels(tmp_path / f"history.{kind}")
        pd.testing.assert_frame_equal(again.labels, campaign.labels)


def test_batches_go_out(begin, truth, tmp_path):
    campaign = begin(classes=LABELS, random_fraction=0.25)
    campaign.add_labels(dict(list(truth.items())[:20]))
    batch = campaign.next_batch()
    export_batch(campaign, tmp_path / "a.csv", "indicator")
    table = pd.read_csv(tmp_path / "a.csv", dtype=str).set_index("id")
    assert list(table.columns[-4:]) == [*LABELS, "state"]
    for name in batch["id"][:6]:
        table.loc[name, LABELS] = [str(int(label in truth[name])) for label in LABELS]
    table.to_csv(tmp_path / "a.csv")
    assert campaign.add_labels(tmp_path / "a.csv") | {"entry": 0} == {
        "entry": 0, "new": 6, "known": 0, "changed": 0, "blank": 6, "ignored": 0, "states": {"label": 6}, "new_classes": [],
    }  # fmt: skip
    export_batch(campaign, tmp_path / "a.jsonl", "jsonl")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    for line in lines:
        assert line["label"] is None
        is_drawn = line["chosen_by"] == RANDOM_SLICE
        assert line["predicted"] == (None if is_drawn else split(batch.set_index("id").loc[line["id"], "predicted"])[0])
    report = write_campaign_report(campaign, tmp_path / "report")
    assert "Labels" in report.read_text()


def test_prodigy(begin, truth, tmp_path):
    campaign = begin(classes=LABELS)
    batch = campaign.next_batch()
    data = pd.DataFrame({"caption": [f"about {name}" for name in batch["id"]]}, index=batch["id"].tolist())
    export_batch(campaign, tmp_path / "tasks.jsonl", "prodigy", data=data, fields={"caption": "text"})
    tasks = [json.loads(line) for line in (tmp_path / "tasks.jsonl").read_text().splitlines()]
    assert [option["id"] for option in tasks[0]["options"]] == LABELS
    for i, task in enumerate(tasks):
        name = task["meta"]["skmmal_id"]
        task |= {"answer": "accept", "accept": truth[name], "_timestamp": 1_700_000_000 + i, "_session_id": "ann"}
    tasks[0] |= {"answer": "accept", "accept": []}
    tasks[1] |= {"answer": "ignore", "accept": []}
    tasks[2] |= {"answer": "reject", "accept": []}
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    assert campaign.add_labels(path)["states"] == {"label": 10, "skip": 1, "unsure": 1}
    names = batch["id"].tolist()
    assert campaign.labels.loc[names[0], ["state", "label"]].tolist() == ["label", ""]
    assert campaign.labels["label"][names[3:]].tolist() == [join(truth[name]) for name in names[3:]]
    for bad, message in (
        ({"answer": "reject", "accept": ["sea"]}, "rejects"),
        ({"answer": "accept", "accept": ["fog"]}, "none of its options"),
    ):
        path.write_text(json.dumps(tasks[4] | bad) + "\n")
        with pytest.raises(ValueError, match=message):
            campaign.add_labels(path)
    binary = {"meta": tasks[4]["meta"], "label": "sea", "answer": "accept", "text": "x"}
    path.write_text(json.dumps(binary) + "\n")
    with pytest.raises(ValueError, match="choice_style: multiple"):
        campaign.add_labels(path)


def test_a_dataset_with_sequences_of_class_labels(begin):
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    kinds = Features({"id": Value("string"), "label": Sequence(ClassLabel(names=LABELS))})
    dataset = Dataset.from_dict({"id": ["s00", "s01", "s02"], "label": [[0, 2], [], None]}, features=kinds)
    campaign = begin()
    assert campaign.add_labels(dataset)["blank"] == 1
    assert campaign.labels["label"].to_dict() == {"s00": "boat|sky", "s01": ""}
