"""BAIT against the trace of the inverse information, computed anew for every candidate."""

import numpy as np
import pytest
from samples import make_blocks
from sklearn.linear_model import LogisticRegression

from skmmal.query import BAIT
from skmmal.query._bait import fisher_batch


def factors_by_hand(p, Z, full):
    if not full:
        return [np.sqrt(1 - (row**2).sum()) * z[None] for row, z in zip(p, Z, strict=True)]
    eye = np.eye(p.shape[1])
    return [
        np.stack([np.sqrt(row[c]) * np.kron(eye[c] - row, z) for c in range(len(row))])
        for row, z in zip(p, Z, strict=True)
    ]


def bait_by_hand(pool, held, n, regularization):
    """Every step by inverting M for every candidate."""
    target = np.mean([V.T @ V for V in pool], axis=0)
    M = regularization * np.eye(target.shape[0])
    if held:
        M = M + len(held) / (len(held) + n) * np.mean([V.T @ V for V in held], axis=0)
    share = n / (len(held) + n)
    info = [share * V.T @ V for V in pool]

    def trace(matrix):
        return np.trace(np.linalg.solve(matrix, target))

    picked, gains = [], []
    for _ in range(min(2 * n, len(pool))):
        values = [np.inf if i in picked else trace(M + info[i]) for i in range(len(pool))]
        best = int(np.argmin(values))
        gains.append(trace(M) - values[best])
        picked.append(best)
        M = M + info[best]
    kept = dict(zip(picked, gains, strict=True))
    while len(kept) > n:
        worst = min(kept, key=lambda i: trace(M - info[i]))
        M = M - info[worst]
        del kept[worst]
    return list(kept), list(kept.values())


@pytest.mark.parametrize("fisher", ["full", "trace"])
@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("n", [1, 6, 20])
def test_bait_is_the_plain_search(fisher, labelled, n):
    blocks, y = make_blocks(n=60)
    X = blocks["text"]
    clf = LogisticRegression().fit(X[:25], y[:25])
    held = factors_by_hand(clf.predict_proba(X[:25]), X[:25], fisher == "full") if labelled else []
    pool = factors_by_hand(clf.predict_proba(X[25:]), X[25:], fisher == "full")
    picked, scores = BAIT(fisher=fisher, regularization=0.1).query(
        clf, X[25:], n, X_labeled=X[:25] if labelled else None, return_scores=True
    )
    expected, gains = bait_by_hand(pool, held, n, 0.1)
    assert picked.tolist() == expected
    np.testing.assert_allclose(scores, gains, rtol=1e-6)


def test_auto_is_full_on_small_problems():
    blocks, y = make_blocks(n=60)
    X = blocks["text"]
    clf = LogisticRegression().fit(X[:25], y[:25])
    np.testing.assert_array_equal(BAIT().query(clf, X[25:], 5), BAIT(fisher="full").query(clf, X[25:], 5))


def test_components_keep_what_matters():
    """Columns without information do not change the picks when they are projected away."""
    blocks, y = make_blocks(n=80)
    X = np.hstack([blocks["text"], np.zeros((80, 40))])
    clf = LogisticRegression().fit(X[:30], y[:30])
    few = BAIT(fisher="trace", n_directions=3).query(clf, X[30:], 8, X_labeled=X[:30])
    np.testing.assert_array_equal(few, BAIT(fisher="trace").query(clf, X[30:], 8, X_labeled=X[:30]))


def test_rows_without_information_gain_nothing():
    picked, scores = fisher_batch([np.zeros((6, 1, 2))], 4)
    assert picked.tolist() == sorted(set(picked.tolist()), key=picked.tolist().index)
    assert (scores == 0).all()
