"""Every strategy, on pools that leave it nothing to go by: distinct rows, finite scores, never NaN or infinite."""

import warnings

import numpy as np
import pytest
from samples import FEW_BATCHES
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import (
    CoreGCN,
    CoreSet,
    MarginSampling,
    Partitioned,
    QueryStrategy,
    available_strategies,
    get_strategy,
)

N, N_LABELED = 30, 12
QUICK = {
    "coregcn": {"n_steps": 2},
    "uncertaingcn": {"n_steps": 2},
    "mmcsal": {"max_iter": 2, "on_features": "raw"},
    "batchbald": {"max_configurations": 20, "n_draws": 8},
    "epig": {"n_draws": 8, "n_targets": 10},
    "bald": {"n_draws": 8},
    "powerbald": {"n_draws": 8},
    "mvopt": {"n_components": 16},
    "refine": FEW_BATCHES,
}


def seeded(name):
    strategy = get_strategy(name, **QUICK.get(name, {}))
    return strategy.set_params(random_state=0) if "random_state" in strategy.get_params() else strategy


def blocks_of(values):
    return MultimodalArray({"a": values[:, :3], "b": values[:, 3:]})


def normal(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 5))


LABELED = normal(N_LABELED, 1)
CODES = np.arange(N_LABELED) % 3
POOLS = {
    "all rows equal": np.ones((N, 5)),
    "all rows zero": np.zeros((N, 5)),
    "one row": normal(1),
    "two equal rows": np.repeat(normal(1), 2, axis=0),
    "rows twice": np.repeat(normal(N // 2), 2, axis=0),
    "rows equal to labelled ones": np.vstack([LABELED, LABELED]),
    "one column constant": normal(N) * [1, 0, 1, 1, 0],
    "huge": 1e6 * normal(N),
    "tiny": 1e-8 * normal(N),
}


def assert_whole(strategy, clf, pool, n_instances, X_labeled, y_labeled):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what scikit-learn says of such pools
        indices, scores = strategy.query(
            clf, pool, n_instances, X_labeled=X_labeled, y_labeled=y_labeled, return_scores=True
        )
    assert sorted(set(indices.tolist())) == sorted(indices.tolist())
    assert len(indices) == len(scores) == n_instances
    assert indices.min() >= 0
    assert indices.max() < len(pool)
    assert np.isfinite(scores).all()


@pytest.fixture(scope="module")
def model():
    return LateFusionClassifier().fit(blocks_of(LABELED), CODES)


@pytest.fixture(scope="module")
def one_class():
    return LateFusionClassifier().fit(blocks_of(LABELED), np.zeros(N_LABELED, dtype=int))


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("name", available_strategies())
def test_degenerate_pools(name, kind, model):
    pool = blocks_of(POOLS[kind])
    for n_instances in {1, min(7, len(pool)), len(pool)}:
        assert_whole(seeded(name), model, pool, n_instances, blocks_of(LABELED), CODES)
    assert_whole(seeded(name), model, pool, len(pool), None, None)
    if not get_strategy(name).requires_model:
        assert_whole(seeded(name), None, pool, len(pool), None, None)


@pytest.mark.parametrize("name", available_strategies())
def test_models_that_know_one_class_only(name, one_class):
    assert_whole(seeded(name), one_class, blocks_of(normal(N)), 7, blocks_of(LABELED), np.zeros(N_LABELED, dtype=int))


class Certain:
    """Probabilities of zero and one only, the same class throughout or by the sign of a column."""

    def __init__(self, alternate):
        self.alternate = alternate
        self.classes_ = np.arange(3)

    def predict_proba(self, X):
        X = np.asarray(X)
        return np.eye(3)[(X[:, 0] > 0).astype(int) if self.alternate else np.zeros(len(X), dtype=int)]


@pytest.mark.parametrize("alternate", [False, True])
@pytest.mark.parametrize("name", [name for name in available_strategies() if name != "bmmal"])
def test_models_that_are_certain(name, alternate):
    assert_whole(seeded(name), Certain(alternate), normal(N), 7, LABELED, CODES)
    assert_whole(seeded(name), Certain(alternate), normal(N), 7, None, None)


@pytest.mark.parametrize("name", available_strategies())
def test_a_late_fusion_model_that_is_certain(name):
    clf = LateFusionClassifier(C=1e10, max_iter=50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clf.fit(blocks_of(100 * LABELED), CODES)
    assert_whole(seeded(name), clf, blocks_of(100 * normal(N)), 7, blocks_of(100 * LABELED), CODES)


@pytest.mark.parametrize("name", available_strategies())
def test_rows_that_lack_modalities(name, model):
    """Half of the pool has one modality only, no labelled row has it alone."""
    values = normal(N)
    values[:8, :3] = np.nan
    values[8:15, 3:] = np.nan
    assert_whole(seeded(name), model, blocks_of(values), N, blocks_of(LABELED), CODES)
    labelled = LABELED.copy()
    labelled[:, 3:] = np.nan  # what is labelled has nothing in common with some of the pool
    assert_whole(seeded(name), model, blocks_of(values), 12, blocks_of(labelled), CODES)


@pytest.mark.parametrize("strategy", [CoreSet(), Partitioned(CoreSet(), 3, random_state=0), CoreGCN(n_steps=2)])
def test_the_first_score_without_labels_is_the_norm(strategy):
    X = normal(N)
    indices, scores = strategy.query(None, X, 5, return_scores=True)
    assert np.isfinite(scores).all()
    if not isinstance(strategy, CoreGCN):
        assert scores[0] == pytest.approx(np.linalg.norm(X[indices[0]]))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda n: (np.zeros(n, dtype=int), np.zeros(n)), "picked row 0 more than once"),
        (lambda n: (np.arange(n) + N - 1, np.zeros(n)), "picked row 30, but the pool's rows go from 0 to 29"),
        (lambda n: (np.arange(n) - 1, np.zeros(n)), "picked row -1"),
        (lambda n: (np.arange(n), np.full(n, np.nan)), "gave row 0 the score nan"),
        (lambda n: (np.arange(n), np.append(np.zeros(n - 1), np.inf)), "gave row 2 the score inf"),
        (lambda n: (np.arange(n - 1), np.zeros(n - 1)), r"must pick 3 rows.*shape \(2,\)"),
        (lambda n: (np.arange(n), np.zeros(n - 1)), r"scores of shape \(2,\)"),
        (lambda n: (np.arange(n) + 0.5, np.zeros(n)), "float64"),
    ],
)
def test_what_a_strategy_of_ones_own_returns_is_checked(answer, words):
    class Own(QueryStrategy):
        requires_model = False

        def _select(self, pool, labelled, n_instances, rng):
            return answer(n_instances)

    with pytest.raises(ValueError, match=f"Own.*{words}"):
        Own().query(None, normal(N), 3)


def test_lists_are_as_good_as_arrays():
    class Own(QueryStrategy):
        requires_model = False

        def _select(self, pool, labelled, n_instances, rng):
            return list(range(n_instances)), [1] * n_instances

    indices, scores = Own().query(None, normal(N), 3, return_scores=True)
    assert indices.dtype == np.intp
    assert scores.dtype == np.float64
    plain = LogisticRegression().fit(LABELED, CODES)
    assert MarginSampling().query(plain, normal(N), 3).dtype == np.intp
