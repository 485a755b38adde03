"""Votes, relabels, agreement: against loops written out here."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from skmmal.campaign._votes import EVENT_COLUMNS, agreement, latest, resolve


def events(*rows):
    table = pd.DataFrame(rows, columns=["id", "annotator", "state", "label", "when"], dtype=object)
    return table.assign(annotation="", lead_time="")[list(EVENT_COLUMNS)]


def brute_force(table):
    settled = {}
    for name in sorted(set(table["id"])):
        words = {}
        mine = table[table["id"] == name]
        for who in set(mine["annotator"]):
            said = mine[mine["annotator"] == who]
            order = list(range(len(said)))
            if (said["when"] != "").all():
                order = sorted(order, key=lambda i: (said["when"].iloc[i], i))
            last = said.iloc[order[-1]]
            words[who] = (last["state"], last["label"])
        votes = Counter(label for state, label in words.values() if state == "label")
        n = sum(votes.values())
        if not n:
            state = "unsure" if any(state == "unsure" for state, _ in words.values()) else "skip"
            settled[name] = (state, "", len(words), 0)
            continue
        label, most = votes.most_common(1)[0]
        won = 2 * most > n
        settled[name] = ("label" if won else "conflict", label if won else "", len(words), n)
    return settled


def test_against_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(30):
        rows = []
        for _ in range(rng.integers(1, 40)):
            state = rng.choice(["label", "label", "label", "skip", "unsure"])
            label = rng.choice(["cat", "dog"]) if state == "label" else ""
            when = rng.choice(["", *(f"2026-01-0{day}T00:00:00+00:00" for day in range(1, 6))])
            rows.append((f"s{rng.integers(6)}", rng.choice(["ann", "bob", "eve"]), state, label, when))
        table = events(*rows)
        settled = resolve(table)
        found = {name: (row.state, row.label, row.n_annotators, row.n_votes) for name, row in settled.iterrows()}
        assert found == brute_force(table)


def test_the_latest_word_counts():
    table = events(
        ("a", "ann", "label", "dog", "2026-01-02T00:00:00Z"),
        ("a", "ann", "label", "cat", "2026-01-01T23:00:00-05:00"),  # later, in another time zone
        ("a", "ann", "label", "eel", "2026-01-01T00:00:00Z"),
        ("b", "ann", "label", "dog", "2026-01-02T00:00:00Z"),
        ("b", "ann", "label", "cat", ""),  # no time: arrival counts
    )
    assert latest(table)["label"].tolist() == ["cat", "cat"]
    assert resolve(table)["label"].to_dict() == {"a": "cat", "b": "cat"}


def test_majority_means_more_than_half():
    table = events(*(("a", who, "label", label, "") for who, label in zip("1234", ["x", "x", "y", "z"], strict=True)))
    assert resolve(table).loc["a", "state"] == "conflict"
    assert resolve(table).loc["a", "agreement"] == 0.5
    assert resolve(table.iloc[:3]).loc["a", "label"] == "x"
    assert resolve(events()).empty


def test_agreement():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 3, size=(20, 3))
    rows = [
        (f"s{i:02d}", who, "label", "xyz"[codes[i, j]], "") for i in range(20) for j, who in enumerate(["a", "b", "c"])
    ]
    rows += [("alone", "a", "label", "x", ""), ("two", "a", "label", "x", ""), ("two", "b", "label", "x", "")]
    found = agreement(events(*rows))
    assert found["n_several"] == 21
    assert found["n_unanimous"] == 1 + sum(len(set(row)) == 1 for row in codes.tolist())
    assert found["n_fleiss"] == 20
    assert found["fleiss"] == pytest.approx(fleiss_kappa(aggregate_raters(codes)[0]))
    pair = found["pairs"][0]
    assert (pair["first"], pair["second"], pair["n"]) == ("a", "b", 21)
    observed = (np.sum(codes[:, 0] == codes[:, 1]) + 1) / 21
    assert pair["agree"] == pytest.approx(observed)
    shares = [np.bincount(np.append(codes[:, j], 0), minlength=3) / 21 for j in (0, 1)]
    chance = float(shares[0] @ shares[1])
    assert pair["kappa"] == pytest.approx((observed - chance) / (1 - chance))
    same = agreement(events(("s", "a", "label", "x", ""), ("s", "b", "label", "x", "")))
    assert same["pairs"][0]["kappa"] is None  # 0/0
    assert same["fleiss"] is None
    assert agreement(events())["pairs"] == []
