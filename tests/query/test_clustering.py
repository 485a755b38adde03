"""ClusterMargin, ALFAMix and DropQuery against their definitions."""

import numpy as np
import pytest
from samples import make_blocks
from sklearn.cluster import AgglomerativeClustering
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import ALFAMix, ClusterMargin, DropQuery
from skmmal.query._clustermargin import _average_linkage
from skmmal.reading import read
from skmmal.selection._k_means import representatives


def fitted(n=150, seed=0):
    blocks, y = make_blocks(n=n, seed=seed)
    X = np.hstack(list(blocks.values()))
    return LogisticRegression(C=0.1).fit(X[:30], y[:30]), X[30:], X[:30], y[:30]


def test_average_linkage_is_scikit_learns():
    points = np.random.default_rng(0).standard_normal((60, 4))
    ours, theirs = _average_linkage(points, 7), AgglomerativeClustering(7, linkage="average").fit_predict(points)
    assert ((ours[:, None] == ours) == (theirs[:, None] == theirs)).all()


@pytest.mark.parametrize("n", [3, 8])
def test_cluster_margin_goes_round_from_the_smallest_cluster(n):
    clf, pool, _, _ = fitted()
    top = np.sort(clf.predict_proba(pool), axis=1)
    candidates = np.argsort(top[:, -1] - top[:, -2], kind="stable")[: 4 * n]
    labels = AgglomerativeClustering(4, linkage="average").fit_predict(pool[candidates])
    turns = np.argsort(np.bincount(labels), kind="stable")
    queues = {c: int((labels == c).sum()) for c in turns}
    expected = []
    while len(expected) < n:
        for c in turns:
            if queues[c] and len(expected) < n:
                expected.append(c)
                queues[c] -= 1
    seen = set()
    for seed in range(10):
        picked = ClusterMargin(factor=4, n_clusters=4, random_state=seed).query(clf, pool, n)
        assert set(picked.tolist()) <= set(candidates.tolist())
        got = [labels[candidates.tolist().index(row)] for row in picked]
        sizes = np.bincount(labels)
        assert [sizes[c] for c in got] == [sizes[c] for c in expected]
        seen.add(tuple(picked))
    assert len(seen) > 1


def needed_cap_by_hand(z, clf, anchors, caps):
    """First cap at which the paper's α-mixture with some anchor changes the prediction."""
    logits = clf.coef_ @ z + clf.intercept_
    p = np.exp(logits - logits.max())
    p /= p.sum()
    p[p.argmax()] -= 1
    gradient = clf.coef_.T @ p
    for cap in caps:
        epsilon = cap / np.sqrt(len(z))
        for anchor in anchors:
            alpha = epsilon * np.linalg.norm(anchor - z) * gradient / (np.linalg.norm(gradient) * (anchor - z))
            mixed = alpha * anchor + (1 - alpha) * z
            if (clf.coef_ @ mixed + clf.intercept_).argmax() != logits.argmax():
                return cap
    return np.inf


def test_alfa_mix_needs_the_caps_of_the_papers_mixture():
    clf, pool, held, y = fitted()
    ours = ALFAMix._needed_caps(read(clf, pool), read(clf, held, y=y))
    anchors = [held[y == c].mean(axis=0) for c in range(3)]
    caps = np.arange(1, 400) / 200
    for row in range(60):
        found = needed_cap_by_hand(pool[row], clf, anchors, caps)
        if np.isfinite(found):
            assert found - 1 / 200 <= ours[row] <= found + 1e-9
        else:
            assert ours[row] > caps[-1]


def test_alfa_mix_takes_candidates_only():
    clf, pool, held, y = fitted()
    needed = ALFAMix._needed_caps(read(clf, pool), read(clf, held, y=y))
    for n in (2, 10, 30):
        picked, scores = ALFAMix(random_state=0).query(clf, pool, n, X_labeled=held, y_labeled=y, return_scores=True)
        cap = 0.2
        while (needed <= cap).sum() < n and cap < 1:
            cap = min(cap + 0.03125, 1.0)
        candidates = np.flatnonzero(needed <= cap)
        inside = np.isin(picked, candidates)
        assert inside.sum() == min(n, len(candidates))
        np.testing.assert_allclose(-scores, needed[picked])


def test_alfa_mix_without_labels_uses_predictions():
    clf, pool, held, _ = fitted()
    by_prediction = ALFAMix(random_state=0).query(clf, pool, 10, X_labeled=held, y_labeled=clf.predict(held))
    np.testing.assert_array_equal(ALFAMix(random_state=0).query(clf, pool, 10, X_labeled=held), by_prediction)


@pytest.mark.parametrize("multimodal", [False, True])
def test_drop_query_counts_changed_passes(multimodal):
    blocks, y = make_blocks(n=200)
    Z = np.hstack(list(blocks.values()))
    X = MultimodalArray(blocks) if multimodal else Z
    clf = LateFusionClassifier() if multimodal else LogisticRegression()
    clf.fit(X[:30], y[:30])
    if multimodal:
        layer = clf.module_.head.fused
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    else:
        weight, bias = clf.coef_, clf.intercept_
    _, scores = DropQuery(random_state=0).query(clf, X[30:], 170, return_scores=True)
    # how often each count comes up, against many passes by hand
    masks = np.random.default_rng(0).random((600, 170, 8)) >= 0.75
    changed = ((4 * Z[30:] * masks) @ weight.T + bias).argmax(axis=2) != (Z[30:] @ weight.T + bias).argmax(axis=1)
    share = changed.mean(axis=0)
    mean = share.sum() * 3
    assert abs(scores.sum() - mean) < 5 * np.sqrt(3 * (share * (1 - share)).sum())
    assert set(scores.tolist()) <= {0.0, 1.0, 2.0, 3.0}


def test_drop_query_takes_rows_that_change_most_often_first():
    clf, pool, _, _ = fitted(n=400)
    _, scores = DropQuery(random_state=0).query(clf, pool, 2, return_scores=True)
    _, everything = DropQuery(random_state=0).query(clf, pool, 370, return_scores=True)
    # 25 candidates a row: those with more than one change where there are so many
    assert (everything > 1).sum() >= 50
    assert (scores > 1).all()
    assert (DropQuery(dropout=0.0, random_state=0).query(clf, pool, 5, return_scores=True)[1] == 0).all()


def test_representatives_are_nearest_to_their_centres():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [20, 0], [0, 20.0]])
    points = np.repeat(centres, 12, axis=0) + rng.standard_normal((36, 2))
    chosen = representatives(points, 3, np.random.RandomState(0))
    for row in chosen:
        members = np.arange(36) // 12 == row // 12
        distances = np.linalg.norm(points - points[members].mean(axis=0), axis=1)
        assert distances[row] == distances[members].min()
    assert sorted(chosen // 12) == [0, 1, 2]
    assert sorted(representatives(np.zeros((5, 2)), 3, np.random.RandomState(0)).tolist()) != []
