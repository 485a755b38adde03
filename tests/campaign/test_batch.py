"""The batch table, the re-ranking, the random slice."""

import numpy as np
import pytest

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.campaign import balance_classes
from skmmal.campaign._answers import ONE_CLASS
from skmmal.campaign._batch import RANDOM_SLICE, Pick, batch_table, in_modalities, mix_in


def slow_balance(predicted, counts, n):
    left, counts, kept = list(range(len(predicted))), dict(counts), []
    while left and len(kept) < n:
        best = min(left, key=lambda i: (counts.get(predicted[i], 0), i))
        # the rarest class; among its rows, and among equally rare classes, the strategy's order
        left.remove(best)
        kept.append(best)
        counts[predicted[best]] = counts.get(predicted[best], 0) + 1
    return kept


def test_balance_classes_against_a_plain_loop():
    rng = np.random.default_rng(0)
    for _ in range(50):
        predicted = rng.choice(list("abcd"), size=rng.integers(1, 40)).tolist()
        counts = dict(zip("abc", rng.integers(0, 12, 3).tolist(), strict=True))
        n = int(rng.integers(1, 45))
        assert balance_classes(predicted, counts, n).tolist() == slow_balance(predicted, counts, n)


def test_mix_in_keeps_both_orders():
    pick = Pick(np.array([5, 3, 9]), np.array([3.0, 2.0, 1.0]), np.full(3, "margin", dtype=object))
    places = np.zeros(5)
    for seed in range(200):
        others = Pick(np.array([1, 2]), np.full(2, np.nan), np.full(2, RANDOM_SLICE, dtype=object))
        mixed = mix_in(pick, others, np.random.RandomState(seed))
        drawn = mixed.chosen_by == RANDOM_SLICE
        assert mixed.rows[~drawn].tolist() == [5, 3, 9]
        assert mixed.scores[~drawn].tolist() == [3.0, 2.0, 1.0]
        assert sorted(mixed.rows[drawn].tolist()) == [1, 2]
        assert np.isnan(mixed.scores[drawn]).all()
        places += drawn
    assert places.min() > 50  # 80 expected at each place: the slice is not at the end


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = MultimodalArray({"image": rng.normal(size=(60, 4)), "text": rng.normal(size=(60, 3))})
    X["text"][7] = np.nan
    y = np.where(X["image"][:, 0] > 0, "cat", "dog")
    return X, LateFusionClassifier(C=5.0).fit(X, y)


def test_batch_table(fitted):
    X, model = fitted
    ids = np.array([f"s{i}" for i in range(60)], dtype=object)
    chosen_by = np.array(["margin", "margin", RANDOM_SLICE], dtype=object)
    table = batch_table(ids, Pick(np.array([4, 7, 11]), np.array([0.5, 0.25, np.nan]), chosen_by), X, model)
    assert table.columns.tolist() == [
        "id", "rank", "score", "chosen_by", "predicted", "confidence", "contribution_image", "contribution_text", "why",
    ]  # fmt: skip
    assert table["id"].tolist() == ["s4", "s7", "s11"]
    assert table["rank"].tolist() == [1, 2, 3]
    rows = X[[4, 7, 11]]
    assert table["predicted"].tolist() == model.predict(rows).tolist()
    np.testing.assert_array_equal(table["confidence"], model.predict_proba(rows).max(axis=1))
    np.testing.assert_array_equal(
        table[["contribution_image", "contribution_text"]], model.modality_contributions(rows)
    )
    assert table["contribution_text"][1] == 0
    assert "without text" in table["why"][1]
    assert table["why"][2] == "drawn at random, to measure the accuracy without bias"
    without = batch_table(ids, Pick(np.array([4]), np.array([1.0]), np.array(["kmeans"], dtype=object)), X)
    assert without["predicted"].tolist() == [""]
    assert without["why"].tolist() == ["no model yet: kmeans chose it from the features alone"]


def test_why(fitted):
    def why(probabilities, shares=(0.5, 0.5), present=(True, True)):
        said = ONE_CLASS.in_words(np.array(probabilities), np.array(["cat", "dog", "eel"]))
        return said + in_modalities(np.array(shares), np.array(present), ["image", "text"])

    assert why([0.41, 0.39, 0.2]) == "wavers between cat (41%) and dog (39%)"
    assert why([0.1, 0.75, 0.15]) == "probably dog (75%), far from sure"
    assert why([0.97, 0.02, 0.01]) == "quite sure of cat (97%); chosen for what it adds to the batch"
    assert why([0.41, 0.39, 0.2], (0.8, 0.2)) == "wavers between cat (41%) and dog (39%); image decides (80%)"
    assert why([0.41, 0.39, 0.2], (1.0, 0.0), (True, False)).endswith("; without text")
