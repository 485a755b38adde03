"""BatchBALD against the joint entropy of all configurations of labels."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from samples import make_blocks
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import BALD, BatchBALD, joint_information_batch, mutual_information
from skmmal.query._batchbald import _deal, _JointLabels


def joint_information(draws, rows):
    """``H(y_1, ..., y_b) − Σ mean H(y_i | ω)``, configuration by configuration."""
    n_draws, _, n_classes = draws.shape
    joint_entropy = 0.0
    for labels in product(range(n_classes), repeat=len(rows)):
        p = np.mean([np.prod([draws[s, row, y] for row, y in zip(rows, labels, strict=True)]) for s in range(n_draws)])
        joint_entropy -= p * np.log(p) if p > 0 else 0.0
    each = -np.sum(draws * np.log(np.where(draws > 0, draws, 1)), axis=2).mean(axis=0)
    return joint_entropy - each[rows].sum()


def greedy_by_hand(draws, n):
    picked, gains, before = [], [], 0.0
    for _ in range(n):
        totals = {row: joint_information(draws, [*picked, row]) for row in range(draws.shape[1]) if row not in picked}
        best = max(totals, key=lambda row: (totals[row], -row))
        picked.append(best)
        gains.append(totals[best] - before)
        before = totals[best]
    return picked, gains


def some_draws(n_draws, n_rows, n_classes, seed=0, concentration=0.4):
    return np.random.default_rng(seed).dirichlet(np.full(n_classes, concentration), (n_draws, n_rows))


@pytest.mark.parametrize(("n_classes", "n_picks"), [(2, 6), (3, 4), (5, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_exact_picks_are_the_greedy_ones(n_classes, n_picks, seed):
    draws = some_draws(6, 8, n_classes, seed)
    draws[:, 3, 0], draws[:, 3, 1:] = 1.0, 0.0  # a certain row, and zeros among the probabilities
    picked, gains = joint_information_batch(draws, n_picks, max_configurations=10**4)
    expected, expected_gains = greedy_by_hand(draws, n_picks)
    np.testing.assert_array_equal(picked, expected)
    np.testing.assert_allclose(gains, expected_gains, atol=1e-12)


def test_drawn_configurations_estimate_the_same_without_bias():
    draws = some_draws(5, 9, 3, seed=1, concentration=1.0)
    given = [0, 1, 2]
    exact = _JointLabels(5, 27)
    for row in given:
        exact.add(draws[:, row], np.random.RandomState(0))
    wanted = exact.conditional_entropies(draws)
    by_hand = joint_information(draws, [*given, 4]) - joint_information(draws, given)
    each = -np.sum(draws * np.log(draws), axis=2).mean(axis=0)
    assert wanted[4] - each[4] == pytest.approx(by_hand, abs=1e-12)
    estimates = []
    for seed in range(300):
        drawn = _JointLabels(5, 26)  # one too few for 27 configurations; 25, five a draw
        for row in given:
            drawn.add(draws[:, row], np.random.RandomState(seed))
        assert drawn.posterior.shape == (25, 5)
        estimates.append(drawn.conditional_entropies(draws))
    error = np.mean(estimates, axis=0) - wanted
    assert (np.abs(error) < 4 * np.std(estimates, axis=0) / np.sqrt(300)).all()
    assert np.std(estimates, axis=0).max() > 1e-3


def test_many_drawn_configurations_give_the_exact_picks():
    draws = some_draws(8, 12, 4, seed=2)
    expected, gains = joint_information_batch(draws, 5, max_configurations=4**5)
    picked, estimated = joint_information_batch(draws, 5, max_configurations=4**2, random_state=0)
    assert picked[:3].tolist() == expected[:3].tolist()  # the joint of two is exact still
    np.testing.assert_allclose(estimated[:3], gains[:3], atol=1e-12)
    larger, closer = joint_information_batch(np.repeat(draws, 60, axis=0), 5, max_configurations=15, random_state=0)
    np.testing.assert_array_equal(larger, expected)
    np.testing.assert_allclose(closer, gains, rtol=0.1, atol=0.01)


@pytest.mark.parametrize("max_configurations", [4**5, 60])
def test_rows_that_cannot_be_best_are_left_out(max_configurations, monkeypatch):
    """Exact or drawn, every pick is the best of all rows that are left, and most rows are not looked at for it."""
    draws = some_draws(6, 700, 4, concentration=0.3)
    draws[:, 500] = draws[:, 20]  # of equal rows the first
    looked_at = []
    plain = _JointLabels.conditional_entropies

    def counted(self, some):
        if some.dtype == np.float32 and len(self.weights) > len(draws):
            looked_at.append(some.shape[1])
        return plain(self, some)

    monkeypatch.setattr(_JointLabels, "conditional_entropies", counted)
    picked, gains = joint_information_batch(draws, 6, max_configurations=max_configurations, random_state=0)
    assert 0 < sum(looked_at) < 0.6 * 5 * 700
    rng, joint, left = np.random.RandomState(0), _JointLabels(6, max_configurations), np.ones(700, dtype=bool)
    expected = -np.sum(draws * np.log(draws), axis=2).mean(axis=0)
    for row, gain in zip(picked, gains, strict=True):
        every = np.where(left, plain(joint, draws) - expected, -np.inf)
        assert row == np.argmax(every)
        assert gain == pytest.approx(every[row], abs=1e-12)
        assert (plain(joint.summary(), draws) - expected >= every - 1e-12).all()
        left[row] = False
        joint.add(draws[:, row], rng)


def test_information_is_bounded_by_the_draws():
    draws = some_draws(4, 60, 10, concentration=0.05)
    for max_configurations in (100, 10**6):
        _, gains = joint_information_batch(draws, 6, max_configurations=max_configurations, random_state=0)
        assert gains.sum() <= np.log(4) + (1e-9 if max_configurations > 100 else 0.1)
        assert (gains >= 0).all()


class Member:
    def __init__(self, probabilities):
        self.probabilities, self.classes_ = probabilities, np.arange(probabilities.shape[1])

    def predict_proba(self, X):
        return self.probabilities


def committee(draws):
    whole = Member(draws.mean(axis=0))
    whole.learner_list = [SimpleNamespace(estimator=Member(p)) for p in draws]
    return whole


def test_the_strategy_on_a_committee():
    draws = some_draws(6, 30, 3)
    picked, scores = BatchBALD().query(committee(draws), np.zeros((30, 2)), 4, return_scores=True)
    expected, gains = greedy_by_hand(draws, 4)
    np.testing.assert_array_equal(picked, expected)
    np.testing.assert_allclose(scores, gains, atol=1e-12)
    assert picked[0] == BALD().query(committee(draws), np.zeros((30, 2)), 1)[0]


def test_a_row_is_not_picked_with_its_double():
    """Copies of the most informative row are all that BALD picks; together they tell little more than one."""
    rng = np.random.default_rng(0)
    sure = np.where(rng.random((8, 1)) < 0.5, 0.95, 0.05)
    others = np.where(rng.random((8, 5)) < 0.5, 0.9, 0.1)
    p = np.hstack([sure, sure, sure, sure, others])
    draws = np.stack([p, 1 - p], axis=2)
    assert set(BALD().query(committee(draws), np.zeros((9, 1)), 3).tolist()) <= {0, 1, 2, 3}
    picked = BatchBALD().query(committee(draws), np.zeros((9, 1)), 3)
    assert sum(row < 4 for row in picked) <= 1


def test_candidates_are_the_rows_of_highest_information():
    draws = some_draws(5, 200, 3)
    best = np.argsort(-mutual_information(draws), kind="stable")[:30]
    picked = BatchBALD(max_candidates=30).query(committee(draws), np.zeros((200, 1)), 5)
    assert set(picked.tolist()) <= set(best.tolist())
    rows, _ = joint_information_batch(draws[:, np.sort(best)], 5)
    np.testing.assert_array_equal(picked, np.sort(best)[rows])


def test_dealing_leaves_no_part_short():
    rng = np.random.RandomState(0)
    for n_candidates in (1, 5, 23, 24, 25, 100):
        for n_instances in range(1, n_candidates + 1, 3):
            for joint_size in (1, 4, 10):
                parts = _deal(n_candidates, n_instances, joint_size, rng)
                assert sorted(np.concatenate([part for part, _ in parts]).tolist()) == list(range(n_candidates))
                assert sum(count for _, count in parts) == n_instances
                assert all(1 <= count <= min(len(part), joint_size) for part, count in parts)


def test_a_large_batch_is_made_of_parts():
    draws = some_draws(6, 90, 3)
    whole = committee(draws)
    picked, scores = BatchBALD(joint_size=5, random_state=1).query(whole, np.zeros((90, 1)), 15, return_scores=True)
    rng = np.random.RandomState(1)
    rng.randint(np.iinfo(np.int32).max)  # the draws' seed
    expected = [
        part[joint_information_batch(draws[:, part], count, random_state=rng)[0]]
        for part, count in _deal(90, 15, 5, rng)
    ]
    np.testing.assert_array_equal(picked, np.stack(expected, axis=1).ravel())
    assert (scores[:3] > scores[-3:]).all()


@pytest.mark.parametrize("source", ["laplace", "dropout"])
def test_posteriors_of_a_late_fusion_classifier(source):
    blocks, y = make_blocks(n=120, missing=0.2)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(dropout=0.5 if source == "dropout" else 0.0, max_iter=20, random_state=0)
    clf.fit(X[:40], y[:40])
    answers = [
        BatchBALD(source=source, random_state=seed).query(clf, X[40:], 20, X_labeled=X[:40]).tolist()
        for seed in (0, 0, 1)
    ]
    assert answers[0] == answers[1]
    assert answers[0] != answers[2]
    assert len(set(answers[0])) == 20


def test_laplace_draws_are_joint():
    """Two copies of a row agree in every draw, so that the second adds little, whatever their own uncertainty."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    clf = LogisticRegression().fit(X[:20], X[:20, 0] > 0)
    pool = np.vstack([[[0.0, 6.0, 0.0]] * 3, [[0.0, 0.0, 5.5]] * 3])
    picked = BatchBALD(n_draws=200, random_state=0).query(clf, pool, 2, X_labeled=X[:20])
    assert sorted((picked // 3).tolist()) == [0, 1]


def test_draws_are_checked():
    with pytest.raises(ValueError, match="draws must have shape"):
        joint_information_batch(np.zeros((3, 2)), 1)
    for wrong in (np.nan, -0.5):
        draws = np.full((3, 2, 2), 0.5)
        draws[1, 0, 1] = wrong
        with pytest.raises(ValueError, match=f"found {wrong} in draw 1 for class 1 of row 0"):
            joint_information_batch(draws, 1)
    with pytest.raises(ValueError, match="n_samples must be from 1 to the 2 points"):
        joint_information_batch(np.full((3, 2, 2), 0.5), 3)
