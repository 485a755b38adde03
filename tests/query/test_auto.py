"""Auto is MVOPT; where heads are flat it is so for half of a batch, and UHerding beside it."""

import numpy as np
import pytest
from samples import make_blocks

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import MVOPT, Auto, UHerding
from skmmal.query._uherding import worth_of_covering
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


FLAT = {"C": 1e-3}


@pytest.mark.parametrize("candidates", [None, np.arange(1, 80, 2)])
@pytest.mark.parametrize("kind", ["one class", "several labels", "no model", "no labels"])
def test_it_is_mvopt(kind, candidates, problem):
    pool, labeled, y = problem
    known = {} if kind == "no labels" else {"X_labeled": labeled, "y_labeled": y}
    clf = None
    if kind == "several labels":
        known["y_labeled"] = np.eye(3, dtype=int)[y]
    if kind != "no model":
        clf = LateFusionClassifier().fit(labeled, np.eye(3, dtype=int)[y] if kind == "several labels" else y)
    auto, mvopt = (
        each.query(clf, pool, 7, candidates=candidates, return_scores=True, **known) for each in (Auto(), MVOPT())
    )
    np.testing.assert_array_equal(auto[0], mvopt[0])
    np.testing.assert_array_equal(auto[1], mvopt[1])


@pytest.mark.parametrize("candidates", [None, np.arange(1, 80, 2)])
@pytest.mark.parametrize("n_instances", [1, 2, 7])
def test_with_flat_heads_half_covers_what_the_design_leaves(n_instances, candidates, problem):
    pool, labeled, y = problem
    clf = LateFusionClassifier(**FLAT).fit(labeled, y)
    known = {"X_labeled": labeled, "y_labeled": y}
    found, scores = Auto().query(clf, pool, n_instances, candidates=candidates, return_scores=True, **known)
    half = (n_instances + 1) // 2
    first, falls = MVOPT().query(clf, pool, half, candidates=candidates, return_scores=True, **known)
    np.testing.assert_array_equal(found[:half], first)
    np.testing.assert_allclose(scores[:half], falls)
    read, at_labels = (read_with_labels(clf, rows, labeled, y) for rows in (pool, labeled))
    weights = worth_of_covering(read)
    points = unit(read)
    cover = np.vstack([unit(at_labels), points[first]])
    open_rows = np.setdiff1d(np.arange(80) if candidates is None else candidates, first)
    rest, gains = covering(points, cover, weights, n_instances - half, open_rows)
    assert found[half:].tolist() == rest
    np.testing.assert_allclose(scores[half:], gains, atol=1e-6)


def test_groups_are_mvopts_and_of_flat_heads_uherdings(problem):
    pool, labeled, y = problem
    groups = np.arange(80) // 4
    for options, other in (({}, MVOPT()), (FLAT, UHerding())):
        clf = LateFusionClassifier(**options).fit(labeled, y)
        known = {"X_labeled": labeled, "y_labeled": y, "groups": groups}
        np.testing.assert_array_equal(Auto().query(clf, pool, 8, **known), other.query(clf, pool, 8, **known))


def test_a_batch_of_all_rows_takes_each_once(problem):
    pool, labeled, y = problem
    clf = LateFusionClassifier().fit(labeled, y)
    assert sorted(Auto().query(clf, pool, 80, X_labeled=labeled, y_labeled=y).tolist()) == list(range(80))
