"""Refine against a plain loop over strategies, and the strategies it takes."""

import numpy as np
import pytest
from samples import FEW_BATCHES, make_blocks
from sklearn.base import clone

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal._random import draw_seed
from skmmal.query import BADGE, CoreSet, MarginSampling, Refine, TypiClust, UHerding


@pytest.fixture(scope="module")
def problem():
    blocks, y = make_blocks(n=240, missing=0.2)
    X = MultimodalArray(blocks)
    return LateFusionClassifier().fit(X[:40], y[:40]), X[40:], {"X_labeled": X[:40], "y_labeled": y[:40]}


def plain_loop(clf, pool, known, strategies, n_instances, *, n_rounds, n_batches, first, share, seed, subsets=True):
    """The authors' loop, on arrays of their own; and how many rows each round leaves."""
    rng, left, sizes = np.random.RandomState(seed), np.arange(len(pool)), []
    for round_ in range(n_rounds):
        union = set()
        for strategy in strategies:
            for _ in range(n_batches // len(strategies)):
                size = min(len(left), max(n_instances, first if round_ == 0 else int(share * len(left))))
                draws = subsets and size < len(left)
                rows = np.sort(rng.choice(left, size, replace=False)) if draws else left
                seeded = clone(strategy)
                own = np.random.RandomState(draw_seed(rng))
                if "random_state" in seeded.get_params():
                    seeded.set_params(random_state=own)
                union |= set(rows[seeded.query(clf, pool[rows], n_instances, **known)].tolist())
        left = np.array(sorted(union))
        sizes.append(len(left))
    return left[UHerding().query(clf, pool[left], n_instances, **known)], sizes


@pytest.mark.parametrize(
    "strategies", [[MarginSampling()], [BADGE(), MarginSampling(on="text")], [TypiClust(), UHerding(), CoreSet()]]
)
@pytest.mark.parametrize(("first", "share"), [(60, 0.4), (1000, 1.0), (3, 0.05)])
def test_it_is_the_plain_loop(strategies, first, share, problem):
    clf, pool, known = problem
    settings = {"n_rounds": 3, "n_batches": 7}
    expected, sizes = plain_loop(clf, pool, known, strategies, 6, first=first, share=share, seed=4, **settings)
    found = Refine(strategies, subset_size=first, subset_share=share, random_state=4, **settings)
    np.testing.assert_array_equal(found.query(clf, pool, 6, **known), expected)
    assert sizes == sorted(sizes, reverse=True)


def test_over_all_that_is_left(problem):
    """Nothing is drawn but what the strategies leave to chance, and those without chance are asked once."""
    clf, pool, known = problem
    picked = Refine([MarginSampling()], subsets=False, random_state=0).query(clf, pool, 6, **known)
    assert sorted(picked) == sorted(MarginSampling().query(clf, pool, 6))  # a batch alone is what is left
    both = Refine([MarginSampling(), CoreSet()], subsets=False, n_rounds=1).query(clf, pool, 6, **known)
    left = np.union1d(MarginSampling().query(clf, pool, 6), CoreSet().query(clf, pool, 6, **known))
    np.testing.assert_array_equal(both, left[UHerding().query(clf, pool[left], 6, **known)])
    drawn, _ = plain_loop(
        clf, pool, known, [BADGE()], 6, n_rounds=2, n_batches=5, first=1000, share=1.0, seed=1, subsets=False
    )
    found = Refine([BADGE()], subsets=False, n_rounds=2, n_batches=5, random_state=1).query(clf, pool, 6, **known)
    np.testing.assert_array_equal(found, drawn)


def test_names_and_objects_are_the_same(problem):
    clf, pool, known = problem
    by_name = Refine(["badge", "margin"], random_state=0, **FEW_BATCHES).query(clf, pool, 6, **known)
    by_object = Refine([BADGE(random_state=9), MarginSampling()], random_state=0, **FEW_BATCHES).query(clf, pool, 6, **known)
    np.testing.assert_array_equal(by_name, by_object)  # the strategies' own random states do not count


@pytest.mark.parametrize(
    ("strategies", "error", "match"),
    [
        ([], ValueError, "strategies must be a list of strategies or their names, got"),
        ([3], TypeError, "strategies must hold strategies or their names, found 3"),
        (["margn"], ValueError, "Did you mean 'margin'"),
        ([BADGE(first="middle")], ValueError, "'first' parameter of BADGE"),
        ([MarginSampling(on="sound")], ValueError, "on='sound', but the pool's modalities are"),
    ],
)
def test_strategies_that_cannot_be_asked(strategies, error, match, problem):
    clf, pool, _ = problem
    with pytest.raises(error, match=match):
        Refine(strategies).query(clf, pool, 3)
