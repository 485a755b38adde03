"""Rankings from features of single precision are of products in single precision; predictions are not."""

import numpy as np
import pytest

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.heads import LinearHeads
from skmmal.query import get_strategy
from skmmal.reading import read, read_with_labels

STRATEGIES = ["margin", "entropy", "least-confidence", "badge", "bmmal", "coreset", "mvopt"]
N, N_LABELED, N_CLASSES = 400, 60, 5


def rows(dtype, shift=0.0):
    rng = np.random.default_rng(0)
    y = rng.integers(0, N_CLASSES, N)
    blocks = {}
    for name, width in (("a", 12), ("b", 7)):
        centers = rng.standard_normal((N_CLASSES, width))
        blocks[name] = (centers[y] + rng.standard_normal((N, width)) + shift).astype(dtype)
    blocks["b"][::9] = np.nan
    return MultimodalArray(blocks), y


@pytest.fixture
def types(monkeypatch):
    """Types of the blocks that heads multiply."""
    found, shares = [], LinearHeads.shares

    def watched(heads, blocks):
        found.extend(block.dtype.name for block in blocks)
        return shares(heads, blocks)

    monkeypatch.setattr(LinearHeads, "shares", watched)
    return found


def fitted(X, y, **options):
    return LateFusionClassifier(random_state=0, **options).fit(X[:N_LABELED], y[:N_LABELED])


@pytest.mark.parametrize("fusion", ["concat", "sum"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_only_what_ranks_is_of_single_precision(types, dtype, fusion):
    X, y = rows(dtype)
    model = fitted(X, y, fusion=fusion)
    said = model.predict_proba(X)
    read_ = read(model, X)
    np.testing.assert_array_equal(read_.head.probabilities, said)
    assert set(types) == {"float64"}
    types.clear()
    ranking = read_with_labels(model, X, X[:N_LABELED], y[:N_LABELED])
    for ours, exact in [(ranking, read_), (ranking.labelled, read(model, X[:N_LABELED]))]:
        assert ours.head.probabilities.dtype == np.float64
        np.testing.assert_allclose(ours.head.probabilities, exact.head.probabilities, atol=1e-5)
        np.testing.assert_allclose(ours.contributions, exact.contributions, atol=1e-4)
    for name in ("a", "b"):
        np.testing.assert_allclose(ranking.on(name).head.probabilities, read_.on(name).head.probabilities, atol=1e-5)
    assert "float32" in types


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_picks_are_those_of_double_precision_up_to_ties(strategy):
    X, y = rows(np.float32)
    model, wide = fitted(X, y), MultimodalArray({name: block.astype(np.float64) for name, block in X.blocks.items()})
    query = get_strategy(strategy)
    if "random_state" in query.get_params():
        query.set_params(random_state=0)

    def picked(pool):
        labeled = {"X_labeled": pool[:N_LABELED], "y_labeled": y[:N_LABELED]}
        return query.query(model, pool[N_LABELED:], 25, return_scores=True, **labeled)

    (ours, scores), (exact, exact_scores) = picked(X), picked(wide)
    # of continuous features no two rows are as good to six digits: the picks are the same, in order
    np.testing.assert_array_equal(ours, exact)
    np.testing.assert_allclose(scores, exact_scores, rtol=1e-3, atol=1e-5)


def test_features_of_double_precision_are_multiplied_in_it(types):
    X, y = rows(np.float64)
    model = fitted(X, y)
    types.clear()
    assert read_with_labels(model, X).head.probabilities.dtype == np.float64
    assert set(types) == {"float64"}


def test_where_large_numbers_cancel_products_are_of_double_precision(types):
    """Features far from zero: in single precision, what rows differ by would be lost in the logits."""
    X, y = rows(np.float32, shift=2000.0)
    model = fitted(X, y)
    exact = model.predict_proba(X)
    types.clear()
    np.testing.assert_array_equal(read_with_labels(model, X).head.probabilities, exact)
    assert set(types) == {"float64"}


def test_what_overflows_in_single_precision_alone_is_no_error(types):
    X, y = rows(np.float32)
    model = fitted(X, y)
    far = {name: np.array(block) for name, block in X.blocks.items()}
    far["a"][5] = np.float32(3e38) * np.sign(model.heads_.fused.weight[0, :12])
    pool = MultimodalArray(far)
    exact = model.predict_proba(pool)
    types.clear()
    np.testing.assert_array_equal(read_with_labels(model, pool).head.probabilities, exact)
    assert types[0] == "float32"
    assert types[-1] == "float64"
