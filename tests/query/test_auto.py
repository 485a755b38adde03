"""Auto is MVOPT for half of a batch, and UHerding beside it."""

import numpy as np
import pytest
from samples import make_blocks

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import MVOPT, Auto
from skmmal.reading import read_with_labels


@pytest.fixture(scope="module")
def problem():
    blocks, y = make_blocks(n=120, missing=0.2)
    X = MultimodalArray(blocks)
    return X[40:], X[:40], y[:40]


def unit(reading):
    features = np.asarray(reading.head.features, dtype=np.float64)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-300)


def covering(points, known, weights, n, open_rows):
    """Plain greedy search for what adds most to the weighted coverage."""
    points = np.asarray(points)
    kernel = np.exp(-((points[:, None] - points[None]) ** 2).sum(-1))
    covered = np.zeros(len(points))
    if len(known):
        covered = np.exp(-((points[:, None] - known[None]) ** 2).sum(-1)).max(axis=1)
    picked, gains, left = [], [], set(open_rows)
    for _ in range(n):
        found = {i: (weights * np.maximum(kernel[:, i] - covered, 0)).mean() for i in sorted(left)}
        best = max(found, key=found.get)
        picked.append(best)
        gains.append(found[best])
        left.remove(best)
        covered = np.maximum(covered, kernel[:, best])
    return picked, gains


@pytest.mark.parametrize("candidates", [None, np.arange(1, 80, 2)])
@pytest.mark.parametrize("kind", ["one class", "several labels", "no model", "no labels"])
@pytest.mark.parametrize("n_instances", [1, 2, 7])
def test_half_is_a_design_and_half_covers_what_that_leaves(n_instances, kind, candidates, problem):
    pool, labeled, y = problem
    known = {} if kind == "no labels" else {"X_labeled": labeled}  # without y: no temperature
    clf, weights = None, np.ones(80)
    if kind == "one class":
        clf = LateFusionClassifier().fit(labeled, y)
        ordered = np.sort(clf.predict_proba(pool), axis=1)
        weights = 1 - (ordered[:, -1] - ordered[:, -2])
    elif kind == "several labels":
        clf = LateFusionClassifier().fit(labeled, np.eye(3, dtype=int)[y])
        weights = (1 - np.abs(2 * clf.predict_proba(pool) - 1)).mean(axis=1)
    found, scores = Auto().query(clf, pool, n_instances, candidates=candidates, return_scores=True, **known)
    half = (n_instances + 1) // 2
    first, falls = MVOPT().query(clf, pool, half, candidates=candidates, return_scores=True, **known)
    np.testing.assert_array_equal(found[:half], first)
    np.testing.assert_allclose(scores[:half], falls)
    read = read_with_labels(clf, pool, known.get("X_labeled"), None)
    points = unit(read)
    cover = points[first] if kind == "no labels" else np.vstack([unit(read_with_labels(clf, labeled, None, None)), points[first]])
    open_rows = np.setdiff1d(np.arange(80) if candidates is None else candidates, first)
    rest, gains = covering(points, cover, weights, n_instances - half, open_rows)
    assert found[half:].tolist() == rest
    np.testing.assert_allclose(scores[half:], gains, atol=1e-6)


def test_labels_temper_the_half_that_covers(problem):
    pool, labeled, y = problem
    clf = LateFusionClassifier(C=100).fit(labeled, y)
    wrong = np.roll(y, 1)  # a model that errs this often is less sure of itself
    told, misled = (Auto().query(clf, pool, 20, X_labeled=labeled, y_labeled=each, return_scores=True) for each in (y, wrong))
    np.testing.assert_array_equal(told[0][:10], misled[0][:10])
    assert misled[1][10] > told[1][10]


def test_a_batch_of_all_rows_takes_each_once(problem):
    pool, labeled, y = problem
    clf = LateFusionClassifier().fit(labeled, y)
    assert sorted(Auto().query(clf, pool, 80, X_labeled=labeled, y_labeled=y).tolist()) == list(range(80))
