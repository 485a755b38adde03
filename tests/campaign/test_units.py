"""Groups that are handed out whole, costs and budgets; against what the strategy itself picks."""

import numpy as np
import pandas as pd
import pytest

from skmmal import LabelingCampaign, LateFusionClassifier
from skmmal.campaign._batch import RANDOM_SLICE, Pick, mix_in
from skmmal.campaign._units import Limits, Units, draw_units
from skmmal.query import MarginSampling

N = 120


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, N)
    a = rng.normal(size=(N, 4))
    a[:, 0] += 1.5 * y
    ids = [f"s{i:03d}" for i in range(N)]
    sizes = rng.integers(1, 7, N)
    groups = np.repeat([f"p{i:02d}" for i in range(N)], sizes)[:N]
    truth = dict(zip(ids, np.array(["cat", "dog", "eel"])[y].tolist(), strict=True))
    return (
        {"a": a, "b": rng.normal(size=(N, 3))},
        ids,
        dict(zip(ids, rng.permutation(groups).tolist(), strict=True)),
        truth,
    )


@pytest.fixture
def begin(pool, tmp_path):
    def call(name="c", **options):
        options = {
            "n_instances": 5, "initial": "random", "strategy": "margin", "estimator": LateFusionClassifier(), **options,
        }  # fmt: skip
        return LabelingCampaign.create(tmp_path / name, pool[0], ids=pool[1], **options)

    return call


def members(groups, name):
    return {each for each, group in groups.items() if group == name}


def test_whole_groups_are_handed_out_and_stay_together(begin, pool):
    groups, truth = pool[2], pool[3]
    campaign = begin(groups=groups, random_fraction=0.4)
    seen = set()
    for _ in range(3):
        batch = campaign.next_batch()
        names = list(dict.fromkeys(batch["group"]))
        assert len(names) == 5
        assert batch["group"].tolist() == [name for name in names for _ in members(groups, name)]
        for name, rows in batch.groupby("group"):
            assert set(rows["id"]) == members(groups, name)
            assert rows["chosen_by"].nunique() == 1
        assert batch[batch["chosen_by"] == RANDOM_SLICE]["group"].nunique() == 2
        assert not seen & set(names)
        seen |= set(names)
        campaign.add_labels({name: truth[name] for name in batch["id"]})
    status = campaign.status()
    assert set(status.groups.index) == seen
    assert (status.groups["labelled"] == status.groups["rows"]).all()
    assert "15 groups were handed out; 15 of them are answered." in status.sentences
    assert campaign.state().rounds[-1].receipt["groups"]["n"] == 5


@pytest.mark.parametrize("score", ["sum", "mean", "best"])
def test_the_groups_are_the_strategys_own(begin, pool, score):
    groups, truth = pool[2], pool[3]
    campaign = begin(groups=pd.DataFrame({"id": list(groups), "patient": list(groups.values())}),
                     group_column="patient", group_score=score, max_rows=12)  # fmt: skip
    first = campaign.next_batch()
    assert len(first) <= 12
    campaign.add_labels({name: truth[name] for name in first["id"]})
    batch = campaign.next_batch(4)
    assert len(batch) <= 12
    X, ids = campaign.scaled_features()
    free = np.flatnonzero(~pd.Index(ids).isin(first["id"]))
    picked = MarginSampling().query(
        campaign.model(), X[free], 4, groups=[groups[name] for name in ids[free]], group_score=score, max_samples=12,
    )  # fmt: skip
    assert batch["id"].tolist() == ids[free][picked].tolist()


def test_what_is_left_of_a_group(begin, pool):
    """Rows that are labelled, or wait for their answer, are not handed out again with the rest of their group."""
    groups = pool[2]
    name = max(set(groups.values()), key=list(groups.values()).count)
    inside = sorted(members(groups, name))
    campaign = begin(groups=groups)
    campaign.add_labels({inside[0]: "cat", inside[1]: "dog"})
    batch = campaign.next_batch(len(set(groups.values())))
    assert set(batch["id"]) == set(groups) - set(inside[:2])
    assert campaign.status().groups.loc[name].to_dict() == {
        "rows": len(inside) - 2, "labelled": 0, "pending": len(inside) - 2, "other": 0,
    }  # fmt: skip


def test_groups_that_cannot_be(begin, pool, tmp_path):
    groups = pool[2]
    with pytest.raises(ValueError, match="1 of 120 ids of the features have none, the first: 's003'"):
        begin(groups={name: group for name, group in groups.items() if name != "s003"})
    with pytest.raises(ValueError, match="a group that is empty"):
        begin(groups=groups | {"s005": " "})
    split = next(name for name in groups.values() if len(members(groups, name)) > 1)
    one = sorted(members(groups, split))[0]
    with pytest.raises(ValueError, match=f"1 groups have rows in it and rows outside, the first: '{split}'"):
        begin(groups=groups, validation={one: "cat"})
    with pytest.raises(ValueError, match="coregcn does not choose whole groups; these do"):
        begin(groups=groups, initial="coregcn")
    with pytest.raises(ValueError, match="class_balance is about single rows"):
        begin(groups=groups, class_balance=True)
    (tmp_path / "items.csv").write_text("id,person\ns000,p1\n")
    with pytest.raises(ValueError, match="there is no column 'patient'"):
        begin(groups=tmp_path / "items.csv", group_column="patient")
    assert not (tmp_path / "c").exists()
    assert begin(groups=groups, initial=None).settings.initial.__class__.__name__ == "MaxHerding"


def test_a_row_that_came_later_is_a_group_by_itself(pool, tmp_path):
    X, ids, groups, _ = pool
    few = {name: block[:50] for name, block in X.items()}
    options = {"initial": "random", "strategy": "margin", "groups": {name: groups[name] for name in ids[:50]}}
    campaign = LabelingCampaign.create(tmp_path / "c", few, ids=ids[:50], n_instances=4, **options)
    campaign.next_batch()
    more = {name: block[:53] for name, block in X.items()}
    longer = LabelingCampaign(tmp_path / "c", features=more, ids=ids[:53])
    batch = longer.next_batch(100, allow_changed_features=True)
    assert batch["group"][batch["id"].isin(ids[50:53])].nunique() == 3


def test_costs_are_those_the_strategy_gets(begin, pool):
    rng = np.random.default_rng(1)
    costs = pd.Series(rng.uniform(1, 9, N), index=pool[1])
    campaign = begin(costs=costs)
    first = campaign.next_batch(20)
    pd.testing.assert_series_equal(first["cost"], costs[first["id"]].reset_index(drop=True), check_names=False)
    campaign.add_labels({name: pool[3][name] for name in first["id"]})
    assert campaign.costs().to_dict() == costs.to_dict()
    batch = campaign.next_batch(budget=30)
    X, ids = campaign.scaled_features()
    free = np.flatnonzero(~pd.Index(ids).isin(first["id"]))
    picked = MarginSampling().query(campaign.model(), X[free], None, costs=costs[ids[free]].to_numpy(), budget=30)
    assert batch["id"].tolist() == ids[free][picked].tolist()
    assert batch["cost"].sum() <= 30
    assert campaign.state().rounds[-1].receipt["costs"] == {"batch": batch["cost"].sum(), "budget": 30.0}
    with pytest.raises(ValueError, match="nothing fits"):
        campaign.next_batch(budget=0.5)
    with pytest.raises(ValueError, match="budget"):
        campaign.next_batch(budget=-1)
    assert len(campaign.log) == 3
    for bad in (-1.0, np.nan, "much"):
        with pytest.raises(ValueError, match="'s002'"):
            begin("bad", costs=costs.astype(object).where(costs.index != "s002", bad))


def test_the_slice_counts_in_the_budget(begin, pool):
    costs = pd.Series(np.arange(N) % 5 + 1.0, index=pool[1])
    campaign = begin(costs=costs, random_fraction=0.3)
    batch = campaign.next_batch(budget=40)
    assert 36 <= batch["cost"].sum() <= 40
    drawn = batch["cost"][batch["chosen_by"] == RANDOM_SLICE].sum()
    assert 12 <= drawn < 12 + 5


def test_a_budget_without_costs_says_so(begin):
    with pytest.raises(ValueError, match="there are no costs"):
        begin().next_batch(budget=10)


def test_groups_are_drawn_alike():
    """Every group is as likely as every other, whatever its size, where the number of groups is the limit."""
    groups = np.repeat(np.array(list("abcdef"), dtype=object), [1, 2, 3, 4, 5, 6])
    units = Units(groups, None)
    counts = dict.fromkeys("abcdef", 0)
    for seed in range(600):
        rng = np.random.RandomState(seed)
        rows, n = draw_units(units, np.arange(len(groups)), Limits(2), Limits(6), rng)
        drawn = set(groups[rows])
        assert n == len(drawn) == 2
        assert len(rows) == sum(np.isin(groups, list(drawn)))
        for name in drawn:
            counts[name] += 1
    assert min(counts.values()) > 150  # 200 expected, standard deviation 12
    assert max(counts.values()) < 250
    rows, _ = draw_units(units, np.arange(len(groups)), Limits(None, 4), Limits(None, 8), np.random.RandomState(0))
    assert 4 <= len(rows) <= 8


def test_rows_without_groups_are_drawn_as_before():
    for seed in range(20):
        n = np.random.RandomState(seed).randint(1, 30)
        expected = np.sort(np.random.RandomState(seed + 100).permutation(30)[:n])
        rows, n_units = draw_units(
            Units(None, None), np.arange(30) * 2, Limits(n), Limits(30), np.random.RandomState(seed + 100)
        )
        np.testing.assert_array_equal(rows, expected)
        assert n_units == n


def test_groups_are_mixed_whole():
    groups = np.array(list("aaabbcddde"), dtype=object)
    pick = Pick(np.array([0, 1, 2, 5]), np.array([2.0, 2, 2, 1]), np.array(["margin"] * 4, dtype=object))
    orders = set()
    for seed in range(40):
        others = Pick(np.array([6, 7, 8, 9]), np.full(4, np.nan), np.full(4, RANDOM_SLICE, dtype=object))
        mixed = mix_in(pick, others, np.random.RandomState(seed), groups)
        assert [row for row in mixed.rows if row < 6] == [0, 1, 2, 5]
        assert [row for row in mixed.rows if row >= 6] == [6, 7, 8, 9]
        runs = "".join(dict.fromkeys(groups[mixed.rows]))
        assert sorted(runs) == ["a", "c", "d", "e"]
        assert "".join(groups[mixed.rows]) == "".join(name * int((groups == name).sum()) for name in runs)
        assert (mixed.chosen_by[mixed.rows >= 6] == RANDOM_SLICE).all()
        assert np.isnan(mixed.scores[mixed.rows >= 6]).all()
        orders.add(runs)
    assert len(orders) == 6
