"""Campaigns whose labels are numbers: what is read, how it is settled, what is refused, and files out and in."""

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmmal.campaign import LabelingCampaign, export_batch, export_labels, labeling_config, write_campaign_report
from skmmal.campaign._numbers import agreement, conflicts, number_of, resolve, text_of_number
from skmmal.query import available_strategies

N = 120
IDS = [f"s{i:03d}" for i in range(N)]


@pytest.fixture(scope="module")
def task():
    """Blocks, one of them often missing, and a number for each id."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(N, 5)), rng.normal(size=(N, 3))
    y = 2 * a[:, 0] + b[:, 0] + 0.1 * rng.normal(size=N)
    b[::7] = np.nan
    return {"a": a, "b": b}, dict(zip(IDS, y.round(3).tolist(), strict=True))


@pytest.fixture
def begin(task, tmp_path):
    def call(name="c", **options):
        options = {"target": "number", "n_instances": 20, "initial": "random", **options}
        return LabelingCampaign.create(tmp_path / name, task[0], ids=IDS, **options)

    return call


def events(*said):
    """Events of (id, label or state, annotator)."""
    rows = [
        (name, "" if word in ("skip", "unsure") else word, word if word in ("skip", "unsure") else "label", who)
        for name, word, who in said
    ]
    table = pd.DataFrame(rows, columns=["id", "label", "state", "annotator"])
    return table.assign(when="", annotation="", lead_time="", authority="")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", "3"), ("3.0", "3"), ("+03.50", "3.5"), (".5", "0.5"), ("5.", "5"), ("1e-7", "1e-07"), ("-0", "0")],
)
def test_numbers_have_one_text(text, expected):
    assert text_of_number(number_of(text)) == expected
    assert number_of(expected) == number_of(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("3,5", "decimal point is expected: 3.5"),
        ("nan", "no finite number"),
        ("-inf", "no finite number"),
        ("1e999", "too large"),
        ("12 km", "labels are numbers"),
        ("True", "labels are numbers"),
        ("1_000", "labels are numbers"),
        ("03.May", "labels are numbers"),
    ],
)
def test_what_is_no_number_is_refused(begin, text, says):
    campaign = begin()
    with pytest.raises(ValueError, match=says) as error:
        campaign.add_labels(pd.DataFrame({"id": IDS[:2], "label": ["1", text]}))
    assert "in line 2" in str(error.value)
    assert len(campaign.labels) == 0
    received = campaign.add_labels(pd.DataFrame({"id": IDS[:2], "label": ["1", text]}), map_classes={text: "unsure"})
    assert received["states"] == {"label": 1, "unsure": 1}


def brute_force(values, tolerance):
    """Whether more than half of some numbers are within one tolerance of each other: every subset is tried."""
    n = len(values)
    return any(
        max(some) - min(some) <= tolerance for size in range(n // 2 + 1, n + 1) for some in combinations(values, size)
    )


def test_the_median_settles_where_most_agree():
    rng = np.random.default_rng(1)
    settled_both_ways = set()
    for _ in range(60):
        values = rng.integers(0, 12, rng.integers(1, 6)) / 4
        tolerance = float(rng.choice([0.0, 0.25, 0.5, 1.0]))
        said = events(*((IDS[0], text_of_number(value), f"ann{i}") for i, value in enumerate(values)))
        found = resolve(said, tolerance).iloc[0]
        agree = brute_force(values.tolist(), tolerance)
        settled_both_ways.add(agree)
        assert (found["state"] == "label") == agree
        assert found["spread"] == np.ptp(values)
        listed = conflicts(said, resolve(said, tolerance), tolerance)
        assert len(listed) == (np.ptp(values) > tolerance)
        if agree:
            assert float(found["label"]) == np.median(values)
        free = resolve(said, None).iloc[0]
        assert (free["state"], float(free["label"])) == ("label", np.median(values))
        assert conflicts(said, resolve(said, None), None).empty
    assert settled_both_ways == {True, False}


def test_words_beside_numbers():
    said = events(("a", "skip", "ann"), ("a", "unsure", "bob"), ("b", "1", "ann"), ("b", "9", "bob"), ("b", "2", "eve"))
    found = resolve(said, 1.0)
    assert found["state"].tolist() == ["unsure", "label"]
    assert found["label"].tolist() == ["", "2"]
    leads = said.assign(authority=["", "", "", "yes", ""])
    assert resolve(leads, 1.0)["label"].tolist() == ["", "9"]
    assert resolve(said, 0.5)["state"].tolist() == ["unsure", "conflict"]
    # 0.3 is within 0.1 of 0.2, whatever the last bits are
    assert resolve(events(("a", "0.2", "ann"), ("a", "0.3", "bob")), 0.1)["state"].tolist() == ["label"]


def test_agreement_is_krippendorffs():
    """The published example: four observers, twelve units, α of interval data 0.849."""
    # Krippendorff, "Computing Krippendorff's alpha-reliability", 2011, section D
    table = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    said = [
        (f"u{unit:02d}", str(value), f"observer{who}")
        for who, values in enumerate(table)
        for unit, value in enumerate(values)
        if value is not None
    ]
    found = agreement(events(*said), 1.0)
    assert found["alpha"] == pytest.approx(0.849, abs=5e-4)
    assert found["n_several"] == 11
    both = [(one, two) for one, two in zip(table[0], table[3], strict=True) if None not in (one, two)]
    pair = next(each for each in found["pairs"] if (each["first"], each["second"]) == ("observer0", "observer3"))
    first, second = np.array(both, dtype=float).T
    assert pair["n"] == len(both)
    assert pair["difference"] == pytest.approx((first - second).mean())
    assert pair["mean_absolute_difference"] == pytest.approx(np.abs(first - second).mean())
    assert pair["correlation"] == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert pair["agree"] == pytest.approx((np.abs(first - second) <= 1).mean())
    assert agreement(events(("a", "1", "ann")), None)["alpha"] is None


def test_rounds_measures_and_doubts(begin, task, tmp_path):
    truth = task[1]
    campaign = begin(tolerance=0.3, random_fraction=0.3, validation={name: truth[name] for name in IDS[:20]})
    for number in range(3):
        batch = campaign.next_batch()
        assert ("confidence" in batch) is False
        assert not [name for name in batch if name.startswith("contribution_")]
        assert (batch["predicted"] != "").all() == (number > 0)
        campaign.add_labels({name: truth[name] for name in batch["id"]}, annotator="ann")
        campaign.add_labels({name: truth[name] + 0.1 for name in batch["id"][::4]}, annotator="bob")
    wrong = batch["id"].iloc[0]
    campaign.add_labels({wrong: truth[wrong] + 30}, annotator="ann")
    campaign.add_labels({wrong: truth[wrong] + 30.1}, annotator="bob")
    # what was predicted is what a model of the labels before says
    X, ids = campaign.scaled_features()
    rows = pd.Index(ids).get_indexer(batch["id"])
    predicted = campaign.model(3).predict(X[rows])
    np.testing.assert_allclose(batch["predicted"].astype(float), predicted, rtol=1e-5)
    known = [name for name in batch["id"] if name != wrong]
    status = campaign.status()
    drawn = batch[batch["chosen_by"] == "random-slice"]
    errors = [abs(campaign.labels["label"].astype(float)[name] - float(value))
              for name, value in zip(drawn["id"], drawn["predicted"], strict=True)]  # fmt: skip
    last = status.estimates.iloc[-1]
    assert last["mae"] == pytest.approx(np.mean(errors), abs=1e-4)
    assert last["mae_low"] <= last["mae"] <= last["mae_high"]
    assert status.rounds["validation r2"].iloc[-1] > 0.9
    assert status.numbers.loc["labels", "count"] == len(known) + 41
    assert "Mean absolute error" in " ".join(status.sentences)
    assert not [line for line in status.sentences if "ccuracy" in line or "class" in line.lower()]
    assert json.loads(status.to_json())["numbers"][0]["what"] == "labels"
    found = campaign.doubts()
    assert found["id"].iloc[0] == wrong
    assert found["deviation"].iloc[0] > 10
    assert len(campaign.doubts(3)) == 3
    page = write_campaign_report(campaign, tmp_path / "report")
    assert {"doubts.csv", "labels.csv", "rounds.csv"} <= {path.name for path in (page.parent / "tables").iterdir()}
    assert "farthest from what a model predicts" in page.read_text(encoding="utf-8")


def test_a_campaign_goes_on_as_it_was_begun(begin, task):
    first = begin(tolerance=0.5)
    assert begin(target=None, tolerance=0.5).mark == first.mark
    with pytest.raises(ValueError, match="begun otherwise"):
        begin(target=None, tolerance=0.1)
    model = make_pipeline(SimpleImputer(), RandomForestRegressor(n_estimators=3, max_features=0.5))
    forest = begin("forest", target=None, estimator=model)  # a regressor says what labels are
    assert forest.settings.answers.numbers
    assert begin("forest", target=None).mark == forest.mark
    kept = LabelingCampaign(forest.folder, features=task[0], ids=IDS).settings.estimator
    assert repr(kept) == repr(model)
    assert np.isnan(kept[0].missing_values)
    forest.add_labels({name: task[1][name] for name in IDS[:30]})
    batch = forest.next_batch()
    X, ids = forest.scaled_features()
    again = forest.model().predict(X[pd.Index(ids).get_indexer(batch["id"])])
    np.testing.assert_allclose(batch["predicted"].astype(float), again, rtol=1e-5)


class _Own(LinearRegression):
    pass


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"strategy": "margin"}, ValueError, "regressor has none; these need no model.*maxherding"),
        ({"initial": "badge"}, ValueError, "needs a model"),
        ({"multilabel": True}, ValueError, "multilabel is about classes"),
        ({"classes": ["a"]}, ValueError, "classes is about classes"),
        ({"class_balance": True}, ValueError, "class_balance is about classes"),
        ({"relabel_fraction": 0.1}, ValueError, "relabel_fraction is about classes"),
        ({"stopping": ["confidence"]}, ValueError, r"these are not: \['budget', 'max-rounds'\]"),
        ({"tolerance": -1.0}, ValueError, "tolerance"),
        ({"target": "class", "tolerance": 1.0}, ValueError, "tolerance is about labels that are numbers"),
        ({"target": "value"}, ValueError, "'class' or 'number'"),
        ({"target": "class", "estimator": LinearRegression()}, TypeError, "needs target='number'"),
        ({"estimator": _Own()}, TypeError, "no class of scikit-learn"),
        ({"estimator": make_pipeline(FunctionTransformer(np.sin), RidgeCV())}, TypeError, "cannot be saved"),
    ],
)
def test_what_is_about_classes_is_refused(begin, tmp_path, options, error, says):
    with pytest.raises(error, match=says):
        begin(**options)
    assert not (tmp_path / "c").exists()


def test_refusals_later(begin, task, tmp_path):
    campaign = begin(stopping=["budget=10"])
    batch = campaign.next_batch()
    campaign.add_labels({name: task[1][name] for name in batch["id"]})
    for call in (campaign.indicator, campaign.benefit, campaign.annotator_quality):
        with pytest.raises(ValueError, match="is about classes"):
            call()
    with pytest.raises(ValueError, match="these need no model"):
        campaign.next_batch(strategy="entropy")
    with pytest.raises(ValueError, match="reject"):
        campaign.add_labels(pd.DataFrame({"id": IDS[:1], "label": "1", "state": "reject"}))
    with pytest.raises(ValueError, match="by files"):
        campaign.connect("http://localhost:1", new="x", data=tmp_path / "items.csv", fields={"a": "text"})
    data = pd.DataFrame({"t": "x"}, index=IDS)
    with pytest.raises(ValueError, match="recipes ask for classes"):
        export_batch(campaign, tmp_path / "p.jsonl", "prodigy", data=data, fields={"t": "text"}, again=True)
    assert campaign.advice()[0].stop is True


@pytest.mark.parametrize("name", [name for name in available_strategies(needs_model=False) if name != "mmcsal"])
def test_every_strategy_without_a_model_serves(begin, task, name):
    campaign = begin(strategy=name, seed=1)
    campaign.add_labels({name: task[1][name] for name in IDS[:30]})
    batch = campaign.next_batch(6)
    assert len(batch) == 6
    assert not set(batch["id"]) & set(IDS[:30])
    assert (batch["chosen_by"] == name).all()


# ------------------------------------------------------------------------------------------------------------ files


def test_label_studio_asks_for_a_number_and_is_read(begin, task, tmp_path):
    campaign = begin(tolerance=1.0)
    campaign.add_labels({name: task[1][name] for name in IDS[:30]}, annotator="start")
    batch = campaign.next_batch(8)
    data = pd.DataFrame({"note": [f"about {name}" for name in IDS]}, index=IDS)
    export_batch(campaign, tmp_path / "tasks.json", "label-studio", data=data, fields={"note": "text"})
    config = (tmp_path / "tasks.xml").read_text(encoding="utf-8")
    assert '<Number name="label" toName="note" />' in config
    assert config.strip() == labeling_config({"note": "text"}, [], numbers=True)
    sent = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    answer = sent[0]["predictions"][0]["result"][0]
    assert answer["type"] == "number"
    assert answer["value"] == {"number": float(batch["predicted"].iloc[0])}

    def part(kind, value, name="label"):
        return {"from_name": name, "to_name": "note", "type": kind, "value": value}

    results = [
        [part("number", {"number": 3.5})],
        [part("rating", {"rating": 4})],
        [part("choices", {"choices": ["I cannot tell"]}, "label_unsure")],
        [],
    ]
    export = [
        {**task, "annotations": [{"id": i, "completed_by": 1, "lead_time": 2.0, "result": result}]}
        for i, (task, result) in enumerate(zip(sent, results, strict=False), start=1)
    ]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(export))
    assert campaign.add_labels(path)["states"] == {"label": 2, "skip": 1, "unsure": 1}
    assert campaign.labels.loc[batch["id"].iloc[:4], "label"].tolist() == ["3.5", "4", "", ""]
    for odd, says in (
        (part("choices", {"choices": ["x"]}), "Number or a Rating"),
        (part("number", {"number": None}), "answer without a number"),
        (part("number", {"number": 1}, "other"), "control='other'"),
    ):
        path.write_text(json.dumps([{**sent[5], "annotations": [{"id": 9, "completed_by": 1, "result": [odd]}]}]))
        with pytest.raises(ValueError, match=says):
            campaign.add_labels(path)


def test_what_label_studios_converter_makes_of_numbers_is_read(begin, tmp_path):
    """Lines as label-studio-sdk's own converter writes them (JSON_MIN and CSV of a Number and a Rating)."""
    campaign = begin()
    line = {
        "t": "x", "skmmal_id": IDS[0], "id": 1, "label": [{"number": 3.5}], "stars": [{"rating": 4}], "annotator": 1,
        "annotation_id": 7, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "lead_time": 2.0,
    }  # fmt: skip
    (tmp_path / "min.json").write_text(json.dumps([line]))
    campaign.add_labels(tmp_path / "min.json")
    assert campaign.labels["label"].tolist() == ["3.5"]
    header = '"annotation_id","annotator","created_at","id","label","lead_time","skmmal_id","stars","t","updated_at"'
    text = f'8,"2","2026-01-01T00:00:00Z",1,"[{{""number"":3.5}}]",2.0,"{IDS[1]}","[{{""rating"":4}}]","x","2026-01-01T00:00:00Z"'
    (tmp_path / "flat.csv").write_text(f"{header}\n{text}\n")
    campaign.add_labels(tmp_path / "flat.csv", control="stars")
    assert campaign.labels["label"].tolist() == ["3.5", "4"]


def test_tables_out_and_in_again(begin, task, tmp_path):
    campaign = begin(tolerance=0.5)
    campaign.add_labels({name: task[1][name] for name in IDS[:10]}, annotator="ann")
    campaign.add_labels({IDS[0]: 99.25}, annotator="bob")
    campaign.next_batch(5)
    assert campaign.labels.loc[IDS[0], "state"] == "conflict"
    for kind in ("csv", "jsonl"):
        export_labels(campaign, tmp_path / f"history.{kind}", kind, history=True)
        other = begin(f"other-{kind}", tolerance=0.5)
        other.add_labels(tmp_path / f"history.{kind}")
        pd.testing.assert_frame_equal(other.labels, campaign.labels)
        export_batch(campaign, tmp_path / f"batch.{kind}", kind)
    lines = [json.loads(line) for line in (tmp_path / "batch.jsonl").read_text().splitlines()]
    assert all(isinstance(line["predicted"], float) and line["label"] is None for line in lines)
    export_labels(campaign, tmp_path / "labels.jsonl", "jsonl")
    settled = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert settled[0]["label"] is None
    assert settled[1]["label"] == task[1][IDS[1]]
