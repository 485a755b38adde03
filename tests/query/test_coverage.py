"""Coverage strategies against loops written from the papers."""

import numpy as np
import pytest
from samples import make_blocks
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score

from skmmal.query import MaxHerding, ProbCover, TypiClust, UHerding
from skmmal.query._uherding import _calibration_error, _temperature, _tempered
from skmmal.selection import _k_means
from skmmal.selection._ball_cover import ball_cover
from skmmal.selection._dense import nearest_other, unit_rows
from skmmal.selection._herding import kernel_herding
from skmmal.selection._typicality import round_robin_by_typicality


def sq_distances(a, b):
    return ((a[:, None] - b[None]) ** 2).sum(axis=2)


def herding_by_hand(points, n, references, weights, initial, bandwidth):
    kernel = np.exp(-sq_distances(points, points[references]) / bandwidth**2)
    covered = np.zeros(len(references))
    if initial is not None:
        covered = np.exp(-sq_distances(initial, points[references]) / bandwidth**2).max(axis=0)
    picked, gains = [], []
    for _ in range(n):
        gain = (np.maximum(kernel - covered, 0) * weights[references]).mean(axis=1)
        gain[picked] = -1
        picked.append(int(gain.argmax()))
        gains.append(gain.max())
        covered = np.maximum(covered, kernel[picked[-1]])
    return picked, gains


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("labelled", [False, True])
def test_herding_is_the_plain_greedy_loop(seed, labelled):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((300, 4))
    weights = rng.uniform(size=300)
    references = np.sort(rng.permutation(300)[:200])
    initial = rng.standard_normal((7, 4)) if labelled else None
    picked, gains = kernel_herding(
        points, 60, references=references, weights=weights, initial=initial, bandwidth=0.7, random_state=0
    )
    expected = herding_by_hand(points, 60, references, weights, initial, 0.7)
    np.testing.assert_array_equal(picked, expected[0])
    np.testing.assert_allclose(gains, expected[1], atol=1e-12)


def test_max_herding_covers_unit_rows_of_the_pool():
    blocks, _ = make_blocks(n=80)
    X = np.hstack(list(blocks.values()))
    Z = X / np.linalg.norm(X, axis=1, keepdims=True)
    picked, gains = MaxHerding().query(None, X[20:], 15, X_labeled=X[:20], return_scores=True)
    expected = herding_by_hand(Z[20:], 15, np.arange(60), np.ones(60), Z[:20], 1.0)
    np.testing.assert_allclose(gains, expected[1], atol=1e-12)
    assert len(set(picked.tolist()) & set(expected[0])) >= 14  # two rows that cover only each other tie


@pytest.mark.parametrize("bandwidth", [1.0, "adaptive"])
def test_u_herding_weighs_by_tempered_margins(bandwidth):
    blocks, y = make_blocks(n=120)
    X = np.hstack(list(blocks.values()))
    y = np.random.default_rng(0).permutation(y)  # wrong labels: over-confident probabilities
    clf = LogisticRegression(C=10).fit(X[:40], y[:40])
    y = np.random.default_rng(1).permutation(y)
    Z = X / np.linalg.norm(X, axis=1, keepdims=True)

    def error(p):
        confidence, hit = p.max(axis=1), p.argmax(axis=1) == y[:40]
        return sum(
            abs((hit[inside] - confidence[inside]).sum()) / 40
            for b in range(15)
            if (inside := (confidence > b / 15) & (confidence <= (b + 1) / 15)).any()
        )

    def tempered(p, t):
        q = p ** (1 / t)
        return q / q.sum(axis=1, keepdims=True)

    temperatures = np.linspace(1, 20, 191)
    best = temperatures[int(np.argmin([error(tempered(clf.predict_proba(X[:40]), t)) for t in temperatures]))]
    assert best > 1
    top = np.sort(tempered(clf.predict_proba(X[40:]), best), axis=1)
    weights = 1 - (top[:, -1] - top[:, -2])
    apart = np.sqrt(sq_distances(Z[:40], Z[:40]) + 9 * np.eye(40)).min()
    picked = UHerding(bandwidth=bandwidth).query(clf, X[40:], 20, X_labeled=X[:40], y_labeled=y[:40])
    expected = herding_by_hand(Z[40:], 20, np.arange(80), weights, Z[:40], apart if bandwidth == "adaptive" else 1.0)
    np.testing.assert_array_equal(picked, expected[0])


def test_u_herding_without_a_model_is_max_herding():
    X = np.random.default_rng(0).standard_normal((60, 4))
    np.testing.assert_array_equal(UHerding().query(None, X, 12), MaxHerding().query(None, X, 12))


def test_temperature_of_calibrated_probabilities_is_near_one():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 4000)
    codes = (p.cumsum(axis=1) < rng.uniform(size=(4000, 1))).sum(axis=1)
    assert _temperature(p, codes) < 1.3
    assert _calibration_error(p, codes) < 0.03
    assert 1.6 < _temperature(_tempered(p, 0.5), codes) < 2.5


def cover_by_hand(points, n, radius, references, initial):
    near = np.sqrt(sq_distances(points, points[references])) < radius
    near |= np.arange(len(points))[:, None] == references
    open_targets = np.ones(len(references), dtype=bool)
    if initial is not None:
        open_targets &= ~(np.sqrt(sq_distances(initial, points[references])) < radius).any(axis=0)
    picked, gains = [], []
    for _ in range(n):
        degree = (near & open_targets).sum(axis=1)
        degree[picked] = -1
        if degree.max() <= 0:
            break
        picked.append(int(degree.argmax()))
        gains.append(degree.max() / len(references))
        open_targets &= ~near[picked[-1]]
    return picked, gains


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("labelled", [False, True])
def test_ball_cover_is_the_plain_greedy_loop(seed, labelled):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((203, 3))
    references = np.sort(rng.permutation(203)[:151])
    initial = rng.standard_normal((5, 3)) if labelled else None
    picked, gains = ball_cover(points, 40, radius=0.6, references=references, initial=initial, random_state=0)
    expected, degrees = cover_by_hand(points, 40, 0.6, references, initial)
    np.testing.assert_array_equal(picked[: len(expected)], expected)
    np.testing.assert_allclose(gains[: len(expected)], degrees)
    assert (gains[len(expected) :] == 0).all()
    assert len(set(picked.tolist())) == 40


@pytest.mark.parametrize("purity", [0.5, 0.95, 1.0])
def test_the_automatic_radius_is_the_largest_pure_one(purity):
    from skmmal.selection._dense import pure_radius

    rng = np.random.default_rng(0)
    points, labels = unit_rows(rng.standard_normal((120, 3))), np.arange(120) % 4
    radius = pure_radius(points, labels, purity)

    def share(r):
        near = np.sqrt(sq_distances(points, points)) < r
        return np.mean([len(set(labels[row])) == 1 for row in near])

    assert share(radius - 1e-9) >= purity - 1e-12
    assert share(radius + 1e-9) < purity


def test_nearest_other_by_hand():
    rng = np.random.default_rng(0)
    points, labels = rng.standard_normal((70, 3)), rng.integers(0, 3, 70)
    distances = np.sqrt(sq_distances(points, points))
    distances[labels[:, None] == labels] = np.inf
    np.testing.assert_allclose(nearest_other(points, labels), distances.min(axis=1), atol=1e-9)
    assert np.isinf(nearest_other(points, np.zeros(70))).all()


def clumps(sizes, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.eye(len(sizes) + 1)[: len(sizes)] * 10
    which = np.repeat(np.arange(len(sizes)), sizes)
    return centres[which] + 0.3 * rng.standard_normal((len(which), len(sizes) + 1)), which


def test_prob_cover_takes_the_largest_clump_first():
    X, which = clumps([12, 30, 20])
    assert which[ProbCover(random_state=0, n_clusters=3).query(None, X, 3)].tolist() == [1, 2, 0]
    labelled = X[which == 1][:1]
    assert which[ProbCover(random_state=0, n_clusters=3).query(None, X, 2, X_labeled=labelled)].tolist() == [2, 0]


def typical_by_hand(points, n_neighbors):
    distances = np.sqrt(sq_distances(points, points))
    np.fill_diagonal(distances, np.inf)
    return 1 / (np.sort(distances, axis=1)[:, :n_neighbors].mean(axis=1) + 1e-5)


def test_typiclust_takes_the_most_typical_row_of_large_unlabelled_clusters():
    X, which = clumps([30, 20, 12, 4])
    Z = X / np.linalg.norm(X, axis=1, keepdims=True)
    picked, scores = TypiClust(random_state=0).query(None, X, 4, return_scores=True)
    assert which[picked].tolist() == [0, 1, 2, 0]  # not the small one
    for row, score, size in zip(picked[:3], scores[:3], [30, 20, 12], strict=True):
        members = np.flatnonzero(which == which[row])
        typical = typical_by_hand(Z[members], min(20, size // 2))
        assert members[typical.argmax()] == row
        assert score == pytest.approx(typical.max())
    # a labelled row in the largest: the others come first
    labelled = X[which == 0][:1]
    rest = np.delete(np.arange(len(X)), np.flatnonzero(which == 0)[0])
    picked = TypiClust(random_state=0).query(None, X[rest], 3, X_labeled=labelled)
    assert which[rest][picked].tolist() == [1, 2, 0]


def test_typiclust_goes_round_the_clusters():
    X, which = clumps([15, 10, 3])
    picked, _ = round_robin_by_typicality(X, which, np.array([0, 0, 0]), 28, 20, 6)
    turns = which[picked]
    assert turns[:20].tolist() == [0, 1] * 10
    assert turns[20:25].tolist() == [0] * 5
    assert turns[25:].tolist() == [2] * 3
    second = np.delete(np.flatnonzero(which == 0), np.flatnonzero(which == 0).tolist().index(picked[0]))
    assert picked[2] == second[typical_by_hand(X[second], 7).argmax()]


def test_references_are_drawn_where_the_pool_is_larger():
    X = np.random.default_rng(0).standard_normal((400, 3))
    for chosen in (MaxHerding, ProbCover):
        few = [chosen(max_references=50, random_state=s).query(None, X, 10).tolist() for s in (0, 0, 1)]
        assert few[0] == few[1] != few[2]


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda X: kernel_herding(X, 2, bandwidth=0.0), "bandwidth must be"),
        (lambda X: kernel_herding(X, 2, weights=[1.0, 2.0]), "weights must be 5 finite numbers"),
        (lambda X: kernel_herding(X, 6), "n_samples must be from 1 to the 5 points"),
        (lambda X: ball_cover(X, 0, radius=1.0), "n_samples must be at least 1"),
        (lambda X: MaxHerding(bandwidth=-1).query(None, X, 1), "'bandwidth' parameter"),
        (lambda X: ProbCover(radius=0.0).query(None, X, 1), "'radius' parameter"),
    ],
)
def test_helpful_errors(build, match):
    with pytest.raises(ValueError, match=match):
        build(np.zeros((5, 2)))


@pytest.mark.parametrize("seed", range(3))
def test_typiclust_recomputes_typicality_after_every_pick(seed):
    """Until the pool is empty, with neighbours that are taken away and copies of points."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((90, 2))
    points[80:] = points[:10]
    labels, labelled = rng.integers(0, 3, 90), np.array([0, 2, 0])
    picked, scores = round_robin_by_typicality(points, labels, labelled, 90, 4, 6)
    sizes = np.bincount(labels)
    left = {c: np.flatnonzero(labels == c).tolist() for c in range(3)}
    turns = sorted(range(3), key=lambda c: (labelled[c], -(sizes + labelled)[c]))
    expected = []
    while len(expected) < 90:
        for c in turns:
            if len(left[c]) > 1:
                k = min(4, len(left[c]) - 1)
                apart = np.sqrt(np.sort(sq_distances(points[left[c]], points[left[c]]), axis=1)[:, 1 : k + 1])
                typical = 1 / (apart.mean(axis=1) + 1e-5)
                expected.append((left[c].pop(int(typical.argmax())), typical.max()))
            elif left[c]:
                expected.append((left[c].pop(), 1.0))
    np.testing.assert_allclose(scores, [score for _, score in expected], rtol=1e-6)
    same = picked == [row for row, _ in expected]
    assert same.mean() > 0.9  # two points that are each other's only neighbour tie
    assert sorted(picked.tolist()) == list(range(90))


def test_many_points_are_clustered_by_what_they_share(monkeypatch):
    """In wide features of mostly noise, as large pools have them."""
    monkeypatch.setattr(_k_means, "_SMALL", 10**7)
    rng = np.random.default_rng(0)
    which = rng.integers(0, 20, 12_000)
    centres = rng.standard_normal((20, 300)).astype(np.float32)
    points = (0.35 * centres[which] + rng.standard_normal((12_000, 300), dtype=np.float32)).astype(np.float32)
    labels, found = _k_means.cluster(points, 20, np.random.RandomState(0))
    agreement = adjusted_rand_score(which, labels)
    assert agreement > 0.8
    np.testing.assert_allclose(found, [points[labels == c].mean(axis=0) for c in range(20)], atol=1e-4)
