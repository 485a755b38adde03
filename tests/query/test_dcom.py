"""DCoM against a loop written from the paper."""

import numpy as np
import pytest
from samples import make_blocks
from sklearn.linear_model import LogisticRegression

from skmmal.query import DCoM, MarginSampling, ProbCover
from skmmal.query._dcom import competence, in_any_ball, purity_radii
from skmmal.selection._ball_cover import ball_cover, mixed_cover


def test_competence_is_the_logistic_of_the_paper():
    assert competence(0.8) == pytest.approx(0.5, abs=1e-4)
    assert competence(1.0) == 1.0
    assert competence(0.0) < 1e-15
    for k, a in ((50, 0.8), (7, 0.3)):
        for c in np.linspace(0, 1, 11):
            expected = (1 + np.exp(-k * (1 - a))) / (1 + np.exp(-k * (c - a)))
            assert competence(c, k, a) == pytest.approx(expected, rel=1e-12)


def distance(a, b):
    return float(np.sqrt(((a - b) ** 2).sum()))


def min_max(values):
    low, high = min(values), max(values)
    return [(v - low) / (high - low) if high > low else 0.0 for v in values]


def radius_by_hand(centre, code, points, codes, threshold, largest=1.1):
    low, high = 0.0, largest
    while high - low > 0.05:
        middle = (low + high) / 2
        ball = [c for p, c in zip(points, codes, strict=True) if distance(centre, p) < middle]
        purity = sum(c == code for c in ball) / len(ball) if ball else 0
        low, high = (middle, high) if purity >= threshold else (low, middle)
    return (low + high) / 2


def dcom_by_hand(pool, predicted, margins, held, held_margins, codes, n, radius, largest, k, a):
    """All rows are pool rows, then labelled ones; `margins` are p₁ − p₂."""
    points, everything = [*pool, *held], range(len(pool) + len(held))
    every_code = [*predicted, *codes]

    def coverage(radii):
        covered = {i for i in everything for z, r in zip(held, radii, strict=True) if distance(points[i], z) < r}
        return covered, len(covered) / len(points)

    _, before = coverage([radius] * len(held))
    threshold = 0.2 * before + 0.4
    radii = [radius_by_hand(z, c, points, every_code, threshold, largest) for z, c in zip(held, codes, strict=True)]
    covered, share_covered = coverage(radii)
    S = (1 + np.exp(-k * (1 - a))) / (1 + np.exp(-k * (share_covered - a)))
    mean_radius = np.mean(radii)
    uncertainty = min_max([-m for m in [*margins, *held_margins]])
    uncertainty[len(pool) :] = [0.0] * len(held)
    picked, scores = [], []
    for _ in range(n):
        # labelled and picked rows have no edges and no uncertainty; only the pool counts as to be covered
        degree = [
            0 if i >= len(pool) or i in picked
            else sum(j not in covered and (i == j or distance(points[i], points[j]) < mean_radius) for j in range(len(pool)))
            for i in everything
        ]  # fmt: skip
        degree = [d / max(degree) if max(degree) else 0.0 for d in degree]
        left = [0.0 if i in picked else u for i, u in enumerate(uncertainty)]
        left = [u / max(left) if max(left) else 0.0 for u in left]
        score = [S * u + (1 - S) * d for u, d in zip(left, degree, strict=True)]
        best = max((i for i in range(len(pool)) if i not in picked), key=lambda i: (score[i], -i))
        if score[best] <= 0:
            break
        picked.append(best)
        scores.append(score[best])
        covered |= {j for j in range(len(pool)) if j == best or distance(points[best], points[j]) < mean_radius}
    return picked, scores, S


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.mark.parametrize(("n_held", "largest"), [(4, 1.1), (25, 0.9), (60, 0.7)])
@pytest.mark.parametrize("radius", [0.3, 0.9])
def test_dcom_is_the_textbook_loop(n_held, largest, radius):
    rng = np.random.default_rng(n_held)
    X = rng.standard_normal((60 + n_held, 8))
    y = np.argmax(2 * X[:, :3] + rng.standard_normal((60 + n_held, 3)), axis=1)
    held, pool = X[:n_held], X[n_held:]
    clf = LogisticRegression(C=0.1).fit(held, y[:n_held])
    # the centre where this coverage is: both terms count
    settings = {"max_radius": largest, "steepness": 6.0, "center": 0.5}
    tops = [np.sort(clf.predict_proba(rows), axis=1) for rows in (pool, held)]
    expected, scores, S = dcom_by_hand(
        unit(pool),
        clf.predict(pool),
        tops[0][:, -1] - tops[0][:, -2],
        unit(held),
        tops[1][:, -1] - tops[1][:, -2],
        y[:n_held],
        20,
        radius,
        largest,
        k=6.0,
        a=0.5,
    )
    assert 0.05 < S < 0.95
    picked, found = DCoM(radius, **settings, random_state=0).query(
        clf, pool, 20, X_labeled=held, y_labeled=y[:n_held], return_scores=True
    )
    np.testing.assert_array_equal(picked[: len(expected)], expected)
    np.testing.assert_allclose(found[: len(expected)], scores, atol=1e-12)
    assert (found[len(expected) :] == 0).all()


def mixed_by_hand(points, n, radius, uncertainty, share, references, covered):
    near = np.sqrt(((points[:, None] - points[references]) ** 2).sum(axis=2)) < radius
    near |= np.arange(len(points))[:, None] == references
    is_open = ~covered
    picked = []
    for _ in range(n):
        left = np.setdiff1d(np.arange(len(points)), picked)
        degree, u = (near & is_open).sum(axis=1)[left], uncertainty[left]
        score = share * (u / u.max() if u.max() else 0 * u) + (1 - share) * (degree / max(degree.max(), 1))
        if score.max() <= 0:
            break
        picked.append(int(left[score.argmax()]))
        is_open = is_open & ~near[picked[-1]]
    return picked


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_mixed_cover_is_the_plain_loop(share, seed):
    rng = np.random.default_rng(seed)
    points, uncertainty = rng.standard_normal((203, 3)), rng.uniform(size=203)
    uncertainty[rng.permutation(203)[:100]] = 0
    references = np.sort(rng.permutation(203)[:151])
    covered = rng.uniform(size=151) < 0.3
    arguments = {"radius": 0.6, "uncertainty": uncertainty, "share": share, "references": references}
    picked, scores = mixed_cover(points, 150, **arguments, covered=covered, random_state=0)
    expected = mixed_by_hand(points, 150, 0.6, uncertainty, share, references, covered)
    np.testing.assert_array_equal(picked[: len(expected)], expected)
    assert len(set(picked.tolist())) == 150
    assert (scores[: len(expected)] > 0).all()
    assert (scores[len(expected) :] == 0).all()


def test_mixed_cover_without_uncertainty_is_the_ball_cover():
    points = np.random.default_rng(0).standard_normal((300, 3))
    wanted, _ = ball_cover(points, 60, radius=0.7, random_state=0)
    for share in (0.0, 0.4):
        picked, _ = mixed_cover(points, 60, radius=0.7, uncertainty=np.zeros(300), share=share, random_state=0)
        np.testing.assert_array_equal(picked, wanted)


@pytest.mark.parametrize("threshold", [0.4, 0.6, 1.0])
def test_radii_are_bisected(threshold):
    rng = np.random.default_rng(1)
    centres, points = unit(rng.standard_normal((12, 4))), unit(rng.standard_normal((90, 4)))
    codes = (points[:, 0] > 0).astype(int)
    centre_codes = (centres[:, 0] > 0).astype(int)
    found = purity_radii(centres, centre_codes, points, codes, threshold=threshold)
    expected = [radius_by_hand(z, c, points, codes, threshold) for z, c in zip(centres, centre_codes, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found.std() > 0
    inside = in_any_ball(points, centres, found)
    by_hand = [any(distance(p, z) < r for z, r in zip(centres, found, strict=True)) for p in points]
    np.testing.assert_array_equal(inside, by_hand)


@pytest.mark.parametrize("radius", [0.5, "auto"])
def test_dcom_without_a_model_is_prob_cover(radius):
    X = np.random.default_rng(0).standard_normal((80, 4))
    for labelled in (None, X[:10]):
        ours = DCoM(radius, random_state=3).query(None, X[10:], 12, X_labeled=labelled)
        theirs = ProbCover(radius, random_state=3).query(None, X[10:], 12, X_labeled=labelled)
        np.testing.assert_array_equal(ours, theirs)


def test_dcom_with_everything_covered_is_margin_sampling():
    blocks, y = make_blocks(n=90)
    X = np.hstack(list(blocks.values()))
    one_class_each = np.eye(3)[y] * 5 + 0.1 * X[:, :3]  # three tight bundles
    clf = LogisticRegression().fit(one_class_each[:30], y[:30])
    pool, held = one_class_each[30:], one_class_each[:30]
    assert (clf.predict(pool) == y[30:]).all()
    picked = DCoM(0.3, random_state=0).query(clf, pool, 15, X_labeled=held, y_labeled=y[:30])
    np.testing.assert_array_equal(picked, MarginSampling().query(clf, pool, 15))


def test_references_stand_for_the_pool():
    blocks, y = make_blocks(n=400)
    X = np.hstack(list(blocks.values()))
    clf = LogisticRegression(C=0.1).fit(X[:20], y[:20])
    picked, scores = DCoM(max_references=100, random_state=0).query(
        clf, X[20:], 30, X_labeled=X[:20], y_labeled=y[:20], return_scores=True
    )
    assert len(set(picked.tolist())) == 30
    assert (scores > 0).all()


@pytest.mark.parametrize("uncertainty", [np.full(5, np.nan), np.zeros(4), np.full(5, -1.0)])
def test_uncertainty_is_checked(uncertainty):
    with pytest.raises(ValueError, match="uncertainty must be 5 finite numbers"):
        mixed_cover(np.zeros((5, 2)), 2, radius=1.0, uncertainty=uncertainty, share=0.5)
