"""DeepFool, FALCUN and GALAXY against definitions written here."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from samples import make_blocks
from scipy.optimize import minimize
from scipy.stats import chisquare
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import FALCUN, GALAXY, DeepFool
from skmmal.query._deepfool import boundary_distances
from skmmal.query._deepfool_iteration import deep_fool, feature_distances
from skmmal.reading import read


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
    picked, scores = DeepFool(space="embedding").query(clf, X[30:], 50, return_scores=True)
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


def deep_fool_by_hand(logits_of, x, movable, max_iter=50, overshoot=0.02):
    """Algorithm 2 of the paper on one row, with gradients by finite differences."""

    def slopes(at):
        steps = 1e-6 * np.eye(len(x))[movable]
        return (logits_of(at + steps) - logits_of(at - steps)).T / 2e-6  # (K, movable columns)

    predicted = logits_of(x[None])[0].argmax()
    change = np.zeros(len(x))
    for _ in range(max_iter):
        at = x + (1 + overshoot) * change
        f = logits_of(at[None])[0]
        if f.argmax() != predicted:
            break
        gradient = slopes(at)
        best = None
        for k in range(len(f)):
            w = gradient[k] - gradient[predicted]
            if k != predicted and np.linalg.norm(w) > 0:
                length = abs(f[k] - f[predicted]) / np.linalg.norm(w)
                if best is None or length < best[0]:
                    best = length, length * w / np.linalg.norm(w)
        if best is None:  # every unit is dead: there is no way to go
            return np.finfo(float).max
        change[movable] += best[1]
    return np.linalg.norm(change)


@pytest.mark.parametrize(
    ("fusion", "encoder"),
    [("concat", 4), ("concat", (12, 5)), ("sum", 4), ("concat", {"text": 4}), ("gated", None)],
    ids=str,
)
def test_deep_fool_goes_step_by_step_through_a_network(fusion, encoder):
    """In the features, from what `decision_function` says alone; absent modalities stay as they are."""
    widths = {"image": 7, "text": 6}
    blocks, y = make_blocks(n=90, widths=widths, missing=0.2)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(fusion=fusion, encoder_dim=encoder, max_iter=30, learning_rate=0.01, random_state=0)
    clf.fit(X[:50], y[:50])
    matrix = np.asarray(X[50:])
    expected = []
    for row in matrix:
        absent = np.isnan(row)

        def logits_of(points, absent=absent):
            points = np.where(absent, np.nan, points)
            return clf.decision_function({"image": points[:, :7], "text": points[:, 7:]})

        expected.append(deep_fool_by_hand(logits_of, np.where(absent, 0, row), np.flatnonzero(~absent)))
    picked, scores = DeepFool().query(clf, X[50:], 40, return_scores=True)
    np.testing.assert_allclose(-scores, np.asarray(expected)[picked], rtol=1e-4)
    np.testing.assert_array_equal(picked, np.argsort(expected, kind="stable"))
    in_embedding = DeepFool(space="embedding").query(clf, X[50:], 40, return_scores=True)[1]
    assert not np.allclose(in_embedding, scores, rtol=0.01)


def test_deep_fool_through_one_modality_and_its_own_head():
    widths = {"image": 7, "text": 6}
    blocks, y = make_blocks(n=80, widths=widths, missing=0.2)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(encoder_dim={"text": 4}, max_iter=30, learning_rate=0.01, random_state=0)
    clf.fit(X[:50], y[:50])
    there = np.flatnonzero(~np.isnan(blocks["text"][50:, 0]))
    texts = blocks["text"][50:][there]

    def logits_of(points):  # up to a constant
        return np.log(clf.predict_proba_by_modality({"image": np.zeros((len(points), 7)), "text": points})["text"])

    expected = np.array([deep_fool_by_hand(logits_of, row, np.arange(6)) for row in texts])
    picked, scores = DeepFool(on="text").query(clf, X[50:], len(there), return_scores=True)
    np.testing.assert_array_equal(picked, there[np.argsort(expected, kind="stable")])
    np.testing.assert_allclose(-scores, np.sort(expected), rtol=1e-4)
    # the other modality has no encoder: closed form
    layer = clf.module_.head.unimodal[0]
    there = np.flatnonzero(~np.isnan(blocks["image"][50:, 0]))
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    f = blocks["image"][50:][there] @ weight.T + bias
    own = f.argmax(axis=1)
    apart = np.linalg.norm(weight[own][:, None] - weight, axis=2) + 1e9 * np.eye(3)[own]
    expected = np.where(np.eye(3)[own] == 1, np.inf, (f.max(axis=1)[:, None] - f) / apart).min(axis=1)
    picked, scores = DeepFool(on="image").query(clf, X[50:], len(there), return_scores=True)
    np.testing.assert_allclose(-scores, np.sort(expected), rtol=1e-6)


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_the_iteration_on_a_linear_network_is_the_closed_form(fusion):
    blocks, y = make_blocks(n=90, missing=0.3)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(fusion=fusion).fit(X[:40], y[:40])
    pool = read(clf, X[40:])
    iterated = feature_distances(pool.source, pool.head, 50, 0.02)
    for space in ("auto", "input", "embedding"):
        picked, scores = DeepFool(space=space).query(clf, X[40:], 50, return_scores=True)
        np.testing.assert_allclose(-scores, iterated[picked], rtol=1e-9)


def test_absent_modalities_are_not_moved_in_the_embedding_either():
    blocks, y = make_blocks(n=90, missing=0.4)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier().fit(X[:40], y[:40])
    weight, bias = linear_head(clf)
    rows = np.asarray(X[40:])
    there = ~np.isnan(rows)
    assert not there.all()
    expected = np.empty(50)
    for row in range(50):
        f = weight @ np.where(there[row], rows[row], 0) + bias
        top = f.argmax()
        away = [(weight[i] - weight[top])[there[row]] for i in range(3)]
        expected[row] = min((f[top] - f[i]) / np.linalg.norm(away[i]) for i in range(3) if i != top)
    picked, scores = DeepFool(space="embedding").query(clf, X[40:], 50, return_scores=True)
    np.testing.assert_allclose(-scores, expected[picked], rtol=1e-6)


def test_deep_fool_leaves_the_network_and_torch_alone():
    blocks, y = make_blocks(n=60)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(encoder_dim=2, dropout=0.3, max_iter=5, random_state=0).fit(X[:30], y[:30])
    before = {name: values.clone() for name, values in clf.module_.state_dict().items()}
    gradients = [None if each.grad is None else each.grad.clone() for each in clf.module_.parameters()]
    state = torch.get_rng_state()
    first = DeepFool().query(clf, X[30:], 5, return_scores=True)
    again = DeepFool().query(clf, X[30:], 5, return_scores=True)
    np.testing.assert_array_equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    after = clf.module_.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], values) for name, values in before.items())
    for each, gradient in zip(clf.module_.parameters(), gradients, strict=True):
        assert each.requires_grad
        assert (each.grad is None) if gradient is None else torch.equal(each.grad, gradient)


def test_deep_fool_with_many_classes_steps_one_class_at_a_time():
    """Against all gradients at once, for 40 classes, on one non-linear map."""
    rng = np.random.default_rng(0)
    inner, outer, points = (torch.as_tensor(rng.standard_normal(shape)) for shape in ((5, 8), (8, 40), (30, 5)))

    def logits_of(at, _):
        return torch.tanh(at @ inner) @ outer

    found = deep_fool(logits_of, points)
    for row, x in enumerate(points):
        change, predicted = torch.zeros(5).double(), int(logits_of(x[None], None).argmax())
        for _ in range(50):
            at = x + 1.02 * change
            f = logits_of(at[None], None)[0]
            if int(f.argmax()) != predicted:
                break
            jacobian = torch.autograd.functional.jacobian(lambda v: logits_of(v[None], None)[0], at)
            w = jacobian - jacobian[predicted]
            lengths = (f[predicted] - f) / w.norm(dim=1)
            lengths[predicted] = torch.inf
            best = int(lengths.argmin())
            change = change + lengths[best] * w[best] / w[best].norm()
        assert float(found[row]) == pytest.approx(float(change.norm()), rel=1e-9)


def test_deep_fool_where_there_is_no_boundary():
    points, apart = torch.ones(2, 3).double(), torch.tensor([1.0, 0.0]).double()
    flat = deep_fool(lambda at, _: at.sum(dim=1, keepdim=True) + apart, points)
    assert torch.isinf(flat).all()
    on_it = deep_fool(lambda at, _: torch.stack([at[:, 0], -at[:, 0]], dim=1), torch.zeros(2, 1).double())
    assert on_it.tolist() == [0.0, 0.0]


def test_deep_fool_in_the_input_needs_a_network():
    class Embeds:
        classes_ = np.arange(3)

        def predict_proba(self, X):
            return np.full((len(X), 3), 1 / 3)

        def embed(self, X):
            return {"a": np.asarray(X)[:, :1]}

    with pytest.raises(TypeError, match="and Embeds has none; use space='embedding'"):
        DeepFool(space="input").query(Embeds(), np.zeros((4, 2)), 1)
    assert len(DeepFool().query(Embeds(), np.zeros((4, 2)), 1)) == 1


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
    weights, intercepts = read(forest, X[40:]).head.linear
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
