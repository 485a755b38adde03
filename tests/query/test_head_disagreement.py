"""HeadDisagreement against a brute force that bisects for its sets."""

from itertools import combinations

import numpy as np
import pytest
from samples import make_blocks
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import EntropySampling, HeadDisagreement
from skmmal.reading import Reading
from skmmal.selection._k_means import pick_among


def bisected(probabilities, set_size):
    """Sets of classes with −log p up to a threshold, and the first class, that have a given mean size."""
    first = np.eye(probabilities.shape[1], dtype=bool)[probabilities.argmax(axis=1)]
    scores = -np.log(probabilities)
    low, high = 0.0, scores.max() + 1
    for _ in range(200):
        middle = (low + high) / 2
        enough = ((scores <= middle) | first).sum(axis=1).mean() >= set_size
        low, high = (low, middle) if enough else (middle, high)
    return (scores <= high) | first if set_size > 1 else first


def expected_scores(heads, present, set_size):
    """Row by row, from a list of the heads' probabilities, the fused one's first, and which rows each speaks for."""
    sets = []
    for p, there in zip(heads, present.T, strict=True):
        own = np.zeros(p.shape, dtype=bool)
        own[there] = bisected(p[there], set_size)
        sets.append(own)
    scores = np.empty(len(heads[0]))
    for i, there in enumerate(present):
        values = []
        for a, b in combinations(np.flatnonzero(there), 2):
            p, q = heads[a][i], heads[b][i]
            union = sets[a][i] | sets[b][i]
            divergence = jensenshannon(p[union], q[union]) ** 2  # scipy normalizes, and takes the root
            weight = max(p.max(), q.max()) / (p.max() + q.max())
            values.append(weight * divergence + (1 - weight) * entropy(heads[0][i]))
        scores[i] = np.mean(values)
    return scores


@pytest.mark.parametrize("set_size", [1, 1.3, 2, 2.5, 5, 9])
@pytest.mark.parametrize("missing", [False, True])
def test_scores_are_those_of_the_formula(set_size, missing):
    rng = np.random.default_rng(0)
    heads = [rng.dirichlet(np.full(5, 0.7), 60) for _ in range(4)]
    there = rng.random((60, 3)) > 0.3 if missing else np.ones((60, 3), dtype=bool)
    there[~there.any(axis=1), 0] = True
    features = {name: np.where(there[:, [m]], rng.standard_normal((60, 3)), np.nan) for m, name in enumerate("abc")}
    pool = Reading.from_arrays(heads[0], features=features, by_modality=dict(zip("abc", heads[1:], strict=True)))
    expected = expected_scores(heads, np.column_stack([np.ones(60, dtype=bool), there]), set_size)
    rows, scores = HeadDisagreement(set_size, random_state=0).query(None, pool, 60, return_scores=True)
    np.testing.assert_allclose(scores, expected[rows], rtol=1e-12)


def test_k_means_picks_among_the_highest():
    blocks, y = make_blocks(n=150, widths={"a": 5, "b": 3, "c": 4}, missing=0.2)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier().fit(X[:30], y[:30])
    every, scores = HeadDisagreement(random_state=0).query(clf, X[30:], 120, return_scores=True)
    by_row = scores[np.argsort(every)]
    candidates = np.argsort(-by_row, kind="stable")[:20]
    features = np.concatenate([np.nan_to_num(block[30:]) for block in X.blocks.values()], axis=1)
    expected = pick_among(features, candidates, 5, np.random.RandomState(3))
    picked = HeadDisagreement(factor=4, random_state=3).query(clf, X[30:], 5)
    np.testing.assert_array_equal(picked, expected)
    only = HeadDisagreement(factor=1, random_state=0).query(clf, X[30:], 5)
    assert set(only.tolist()) == set(candidates[:5].tolist())


def test_a_row_on_which_sure_heads_differ_is_preferred():
    sure, other, flat = [0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.5, 0.49, 0.01]
    own = {"a": np.array([sure, sure, flat]), "b": np.array([sure, other, flat])}
    fused = np.array([sure, [0.6, 0.39, 0.01], flat])
    pool = Reading.from_arrays(fused, features={"a": np.eye(3), "b": np.eye(3)}, by_modality=own)
    assert HeadDisagreement(factor=1).query(None, pool, 1).tolist() == [1]
    assert EntropySampling().query(None, pool, 1).tolist() == [2]  # which is no more than unsure


def test_without_own_heads_it_is_the_entropy():
    X = np.random.default_rng(0).standard_normal((60, 4))
    clf = LogisticRegression().fit(X[:20], np.arange(20) % 3)
    rows, scores = HeadDisagreement(factor=1, random_state=0).query(clf, X[20:], 6, return_scores=True)
    expected, entropies = EntropySampling().query(clf, X[20:], 6, return_scores=True)
    assert dict(zip(rows.tolist(), scores, strict=True)) == pytest.approx(
        dict(zip(expected.tolist(), entropies, strict=True))
    )
