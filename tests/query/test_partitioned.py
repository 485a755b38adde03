"""A strategy on parts of the pool."""

from itertools import zip_longest

import numpy as np
import pytest
from samples import make_blocks
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import BADGE, BMMAL, GALAXY, CoreSet, MarginSampling, Partitioned, RandomSampling, strategy_name


@pytest.fixture(scope="module")
def problem():
    blocks, y = make_blocks(n=110, missing=0.2)
    X = MultimodalArray(blocks)
    return LateFusionClassifier().fit(X[:40], y[:40]), X[40:], X[:40], y[:40]


def parts_of(n_rows, n_parts, seed):
    return np.array_split(np.random.RandomState(seed).permutation(n_rows), n_parts)


@pytest.mark.parametrize(("n_parts", "n_instances"), [(3, 9), (4, 10), (7, 70), (30, 4)])
def test_parts_give_their_best_in_turn(n_parts, n_instances, problem):
    clf, pool, _, _ = problem
    best = dict(zip(*MarginSampling().query(clf, pool, 70, return_scores=True), strict=True))
    parts = parts_of(70, n_parts, 5)
    ends = np.cumsum([len(part) for part in parts]) * n_instances // 70
    queues = [
        sorted(part, key=lambda row: -best[row])[:count]
        for part, count in zip(parts, np.diff(ends, prepend=0), strict=True)
    ]
    expected = [row for turn in zip_longest(*queues) for row in turn if row is not None]
    chosen = Partitioned(MarginSampling(), n_parts, random_state=5)
    picked, scores = chosen.query(clf, pool, n_instances, return_scores=True)
    assert picked.tolist() == expected
    assert scores.tolist() == [best[row] for row in expected]


def test_labelled_rows_count_in_every_part(problem):
    _, pool, labelled, _ = problem
    picked = Partitioned(CoreSet(), 2, random_state=0).query(None, pool, 2, X_labeled=labelled)
    for part, row in zip(parts_of(70, 2, 0), picked, strict=True):
        whole = CoreSet().query(
            None, MultimodalArray({n: b[part] for n, b in pool.blocks.items()}), 1, X_labeled=labelled
        )
        assert part[whole[0]] == row


def test_candidates_only(problem):
    clf, pool, _, _ = problem
    allowed = np.arange(0, 70, 3)
    picked = Partitioned(MarginSampling(), 5, random_state=0).query(clf, pool, len(allowed), candidates=allowed)
    assert sorted(picked.tolist()) == allowed.tolist()


def test_the_model_is_asked_once(problem):
    _, pool, labelled, y = problem
    calls = []

    class Counted(LateFusionClassifier):
        def predict_proba(self, X):
            calls.append("probabilities")
            return super().predict_proba(X)

        def modality_contributions(self, X, *args, **kwargs):
            calls.append("contributions")
            return super().modality_contributions(X, *args, **kwargs)

        def embed(self, X):
            calls.append("embed")
            return super().embed(X)

    counted = Counted().fit(labelled, y)
    calls.clear()
    Partitioned(BMMAL(), 5, n_jobs=2, random_state=0).query(counted, pool, 10)
    assert sorted(calls) == ["contributions", "embed", "probabilities"]


def test_it_is_what_its_strategy_is(problem):
    clf, pool, labelled, y = problem
    assert Partitioned(BMMAL(), 2).requires_model
    assert Partitioned(BMMAL(), 2).compares_modalities
    assert not Partitioned(RandomSampling(), 2).requires_model
    assert strategy_name(Partitioned(BADGE(), 2)) is None
    with pytest.raises(NotFittedError):
        Partitioned(BADGE(), 2).query(LateFusionClassifier(), pool, 3)
    chosen = clone(Partitioned(BADGE(on="text", first="random"), 2, random_state=0))
    assert chosen.on == chosen.get_params()["strategy__on"] == "text"
    has_text = np.flatnonzero(~np.isnan(pool["text"][:, 0]))
    picked = chosen.query(clf, pool, len(has_text))
    assert sorted(picked.tolist()) == has_text.tolist()  # the others fill up, were more wanted
    assert len(set(chosen.query(clf, pool, 70).tolist())) == 70
    turns = Partitioned(GALAXY(on="all"), 2, random_state=0).query(clf, pool, 12, X_labeled=labelled, y_labeled=y)
    assert len(set(turns.tolist())) == 12
    with pytest.raises(ValueError, match="on='sound', but the pool's modalities are"):
        Partitioned(BADGE(on="sound"), 2).query(clf, pool, 3)


def test_the_first_row_is_kept(problem):
    clf, pool, _, _ = problem
    picked = Partitioned(BADGE(first=17), 4, random_state=1).query(clf, pool, 8)
    assert 17 in picked[:4].tolist()
