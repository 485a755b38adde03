"""DeepFool, FALCUN and GALAXY against definitions written here."""

from itertools import pairwise

import numpy as np
import pytest
from samples import make_blocks
from scipy.optimize import minimize
from scipy.stats import chisquare
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import FALCUN, GALAXY, DeepFool, PoolView
from skmmal.query.boundary import boundary_distances


class Given:
    """A classifier whose probabilities stand in X."""

    def __init__(self, n_classes):
        self.classes_ = np.arange(n_classes)

    def predict_proba(self, X):
        return np.asarray(X)


def linear_head(clf):
    layers = clf.module_.head
    if hasattr(layers, "fused"):
        return layers.fused.weight.detach().numpy(), layers.fused.bias.detach().numpy()
    heads = layers.unimodal
    weight = np.hstack([head.weight.detach().numpy() for head in heads]) / len(heads)
    return weight, np.mean([head.bias.detach().numpy() for head in heads], axis=0)


@pytest.mark.parametrize("fusion", ["concat", "sum"])
@pytest.mark.parametrize("encoder", [None, 6])
def test_deep_fool_distances(fusion, encoder):
    """Equal |f_i − f_y| / ‖w_i − w_y‖, minimised over classes."""
    blocks, y = make_blocks(n=80)
    X = MultimodalArray(blocks)
    solver = {} if encoder is None else {"max_iter": 20, "random_state": 0}
    clf = LateFusionClassifier(fusion=fusion, encoder_dim=encoder, **solver).fit(X[:30], y[:30])
    weight, bias = linear_head(clf)
    Z = np.hstack(list(clf.embed(X[30:]).values()))
    expected = np.empty(50)
    for row, z in enumerate(Z):
        f = weight @ z + bias
        top = f.argmax()
        expected[row] = min((f[top] - f[i]) / np.linalg.norm(weight[i] - weight[top]) for i in range(3) if i != top)
    picked, scores = DeepFool().query(clf, X[30:], 50, return_scores=True)
    np.testing.assert_array_equal(picked, np.argsort(expected, kind="stable"))
    np.testing.assert_allclose(-scores, np.sort(expected), rtol=1e-6)


def test_deep_fool_is_the_smallest_change_that_fools():
    """The nearest boundary by a constrained search for the smallest step."""
    rng = np.random.default_rng(0)
    weights, z = rng.standard_normal((12, 3)), rng.standard_normal((6, 3))
    distances = boundary_distances(z @ weights.T, weights)
    for point, distance in zip(z, distances, strict=True):
        top = (weights @ point).argmax()
        found = [
            minimize(
                lambda d: d @ d,
                0.1 * np.ones(3),
                constraints={"type": "eq", "fun": lambda d, w=weights[i] - weights[top], x=point: w @ (x + d)},
            )
            for i in range(12)
            if i != top
        ]
        assert distance == pytest.approx(min(np.sqrt(each.fun) for each in found), rel=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_deep_fool_on_logistic_regression(classes):
    blocks, y = make_blocks(n=80)
    X, y = blocks["image"], y % classes
    clf = LogisticRegression().fit(X[:40], y[:40])
    f = clf.decision_function(X[40:])
    if classes == 2:
        expected = np.abs(f) / np.linalg.norm(clf.coef_)
    else:
        top = f.argmax(axis=1)
        expected = np.min(
            [
                np.where(
                    top == i,
                    np.inf,
                    (f.max(1) - f[:, i]) / np.maximum(np.linalg.norm(clf.coef_[top] - clf.coef_[i], axis=1), 1e-300),
                )
                for i in range(3)
            ],
            axis=0,
        )
    _, scores = DeepFool().query(clf, X[40:], 40, return_scores=True)
    np.testing.assert_allclose(-scores, np.sort(expected), rtol=1e-6)


def test_one_class_has_no_boundary():
    assert boundary_distances(np.zeros((2, 1)), np.zeros((1, 3))).tolist() == [np.finfo(float).max] * 2
    assert boundary_distances(np.array([[1.0, 1.0]]), np.zeros((2, 3))).tolist() == [0.0]


def test_what_is_no_softmax_of_a_linear_map_gets_a_stand_in():
    blocks, y = make_blocks(n=90)
    X = blocks["image"]
    forest = RandomForestClassifier(20, random_state=0).fit(X[:40], y[:40])
    view = PoolView(forest, X[40:])
    weights, intercepts = view.linear_head
    target = np.log(np.maximum(forest.predict_proba(X[40:]), np.finfo(float).tiny))
    centred = X[40:] - X[40:].mean(axis=0)
    expected = np.linalg.solve(centred.T @ centred + np.eye(5), centred.T @ (target - target.mean(axis=0))).T
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    np.testing.assert_allclose(intercepts, target.mean(axis=0) - X[40:].mean(axis=0) @ weights.T, rtol=1e-6)


def test_falcun_draws_as_defined():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 7)
    top = np.sort(p, axis=1)
    u = 1 - (top[:, -1] - top[:, -2])
    gamma = 3.0

    def weights(r, left):
        scaled = (r - r[left].min()) / (r[left].max() - r[left].min())
        return np.where(left, (scaled + u) ** gamma, 0)

    first = np.zeros(7)
    second = np.zeros((7, 7))
    for seed in range(4000):
        a, b = FALCUN(gamma=gamma, random_state=seed).query(Given(3), p, 2)
        first[a] += 1
        second[a, b] += 1
    left = np.ones(7, dtype=bool)
    expected = weights(u, left)
    assert chisquare(first, expected / expected.sum() * 4000).pvalue > 1e-3
    a = int(first.argmax())
    left[a] = False
    expected = weights(np.minimum(u, np.abs(p - p[a]).sum(axis=1)), left)
    wanted = expected[left] / expected.sum() * first[a]
    enough = wanted > 3
    assert np.abs(second[a, left] - wanted)[enough].max() < 5 * np.sqrt(wanted.max())
    if enough.all():
        assert chisquare(second[a, left], wanted).pvalue > 1e-3


def test_falcun_with_a_huge_power_takes_the_highest():
    p = np.random.default_rng(1).dirichlet(np.ones(4), 30)
    top = np.sort(p, axis=1)
    u = 1 - (top[:, -1] - top[:, -2])
    r, left, expected = u.copy(), np.ones(30, dtype=bool), []
    for _ in range(30):
        spread = r[left].max() - r[left].min()
        value = np.where(left, (r - r[left].min()) / spread if spread > 0 else 0, -np.inf) + u
        expected.append(int(value.argmax()))
        left[expected[-1]] = False
        r = np.minimum(r, np.abs(p - p[expected[-1]]).sum(axis=1))
    assert FALCUN(gamma=1e5, random_state=0).query(Given(4), p, 30).tolist() == expected


def shortest_stretches(p, labels):
    """All shortest paths between differently labelled rows that cross no labelled row, by looking at every pair."""
    found = []
    for c in range(p.shape[1]):
        others = np.delete(p, c, axis=1).max(axis=1)
        order = np.argsort(p[:, c] - others, kind="stable")
        known = [at for at, row in enumerate(order) if row in labels]
        for a, b in pairwise(known):
            if (labels[order[a]] == c) != (labels[order[b]] == c) and b - a > 1:
                found.append((b - a, int(order[(a + b) // 2])))
    best = min((length for length, _ in found), default=None)
    return best, {row for length, row in found if length == best}


@pytest.mark.parametrize("seed", range(8))
def test_galaxy_always_takes_the_middle_of_a_shortest_stretch(seed):
    rng = np.random.default_rng(seed)
    pool, held = rng.dirichlet(np.ones(3), 60), rng.dirichlet(np.ones(3), 6)
    y = rng.integers(0, 3, 6)
    picked, scores = GALAXY(random_state=seed).query(
        Given(3), pool, 25, X_labeled=held, y_labeled=y, return_scores=True
    )
    p = np.concatenate([pool, held])
    labels = {60 + i: int(code) for i, code in enumerate(y)}
    bisected = 0
    for row, score in zip(picked, scores, strict=True):
        length, middles = shortest_stretches(p, labels)
        if length is None:
            assert score == -66
            continue
        assert row in middles
        assert score == -length
        labels[int(row)] = int(pool[row].argmax())
        bisected += 1
    assert bisected > 3


def test_galaxy_without_labelled_rows_is_random():
    p = np.random.default_rng(0).dirichlet(np.ones(3), 10)
    counts = np.zeros(10)
    for seed in range(1500):
        counts[GALAXY(random_state=seed).query(Given(3), p, 2)] += 1
    assert chisquare(counts).pvalue > 1e-3


def test_labels_the_model_lacks_are_named():
    p = np.random.default_rng(0).dirichlet(np.ones(3), 10)
    with pytest.raises(ValueError, match="y_labeled has 7 in row 1, a class the model lacks"):
        GALAXY().query(Given(3), p, 2, X_labeled=p[:2], y_labeled=[0, 7])
