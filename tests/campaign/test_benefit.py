"""Whether choosing helps: against models fitted by hand, and in worlds where the answer is known."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import KFold

from skmmal.campaign._benefit import compare_with_random


class Nearest(ClassifierMixin, BaseEstimator):
    """Says the class of the nearest row; counts its fits."""

    fits = 0

    def fit(self, X, y):
        type(self).fits += 1
        self.X_, self.y_, self.classes_ = X, y, np.unique(y)
        return self

    def predict(self, X):
        return self.y_[np.abs(X[:, None, 0] - self.X_[None, :, 0]).argmin(axis=1)]


def world(n_random, n_chosen, good):
    """The class changes at every whole number; chosen rows are spread evenly, or all of them lie at one place."""
    rng = np.random.default_rng(0)
    drawn = rng.uniform(0, 12, n_random)
    chosen = (np.arange(n_chosen) % 12) + 0.5 if good else np.linspace(0.1, 0.9, n_chosen)
    X = np.concatenate([chosen, drawn])[:, None]
    return X, np.array(["even", "odd"])[np.floor(X[:, 0]).astype(int) % 2], np.arange(len(X)) >= n_chosen


def test_against_models_by_hand():
    X, y, is_random = world(30, 30, True)
    found = compare_with_random(Nearest(), X, y, is_random, n_folds=5, seed=3)
    drawn, chosen = np.flatnonzero(is_random), np.flatnonzero(~is_random)
    hits = {"random": [], "chosen": [], "all": []}
    for train, test in KFold(5, shuffle=True, random_state=3).split(drawn):
        for kind, rows in (("random", drawn[train]), ("chosen", chosen[:24]), ("all", np.concatenate([chosen, drawn[train]]))):
            hits[kind].append(Nearest().fit(X[rows], y[rows]).predict(X[drawn[test]]) == y[drawn[test]])
    means = {kind: np.concatenate(each).mean() for kind, each in hits.items()}
    last = found.curve.iloc[-1]
    assert found.curve["labels"].tolist() == [6, 12, 18, 24]
    assert (last["random"], last["chosen"], found.accuracy) == pytest.approx((means["random"], means["chosen"], means["all"]))
    assert found.difference == pytest.approx(means["chosen"] - means["random"])
    assert found.low < found.difference < found.high
    assert found.accuracy_low < found.accuracy < found.accuracy_high


def test_where_the_answer_is_known():
    helps = compare_with_random(Nearest(), *world(40, 40, True))
    assert helps.low > 0
    assert helps.saved == 0.75  # eight rows in eight places know two thirds of the world, 32 random ones hardly more
    assert helps.sentences[-1] == "Choosing helps: 8 chosen labels do what 32 random ones do."
    harms = compare_with_random(Nearest(), *world(80, 80, False))
    assert harms.high < 0
    assert np.isnan(harms.saved)
    assert "does harm" in harms.sentences[-1]


def test_two_random_halves_are_told_apart_by_chance_alone():
    n_covered = 0
    for seed in range(20):
        X = np.random.default_rng(seed).uniform(0, 12, (80, 1))
        y = np.array(["even", "odd"])[np.floor(X[:, 0]).astype(int) % 2]
        same = compare_with_random(Nearest(), X, y, np.arange(80) >= 40)
        if same.low <= 0 <= same.high:
            n_covered += 1
            assert "does not beat" in same.sentences[-1]
    assert n_covered >= 16  # of intervals that are to cover 95 of 100


def test_number_of_fits():
    Nearest.fits = 0
    compare_with_random(Nearest(), *world(40, 40, True), n_folds=4)
    assert Nearest.fits == 4 * (2 * 4 + 1)


def test_too_few():
    with pytest.raises(ValueError, match="19 labels of rows drawn at random and 40"):
        compare_with_random(Nearest(), *world(19, 40, True))
    with pytest.raises(ValueError, match="and 10 of rows that were chosen are too few"):
        compare_with_random(Nearest(), *world(40, 10, True))


def test_of_a_campaign(begin, answer):
    campaign = begin(random_fraction=0.5, n_instances=24)
    with pytest.raises(ValueError, match="too few to compare"):
        campaign.benefit()
    for _ in range(2):
        campaign.add_labels(answer(campaign.next_batch()))
    found = campaign.benefit(n_folds=3)
    batches = campaign.batches
    assert found.n_random == (batches["chosen_by"] == "random-slice").sum() == 24
    assert found.n_chosen == 24
    assert 0 <= found.accuracy <= 1
    assert campaign.benefit(n_folds=3).curve.equals(found.curve)
