"""Shapley values of a fitted classifier: exact for few modalities, sampled for many, in chunks of bounded size."""

import tracemalloc

import numpy as np
import pytest
from scipy.special import softmax

import skmmal._chunks
from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.contributions import contributions, shapley_values

THIRTEEN = {f"m{i}": 2 + i % 3 for i in range(13)}


def rows_of(widths, n, missing=0.0, seed=0, n_classes=4):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    blocks = {}
    for name, width in widths.items():
        block = rng.standard_normal((n, width)) + rng.standard_normal((n_classes, width))[y]
        block[rng.random(n) < missing] = np.nan
        blocks[name] = block
    blocks["m0"] = np.nan_to_num(blocks["m0"])  # nobody is without any
    return MultimodalArray(blocks), y


def by_enumeration(clf, X, target):
    """All coalitions, each from its own product of the features that are left with all weights."""
    weights, intercept = (part.detach().numpy() for part in clf.module_.head.fused.parameters())
    widths = [block.shape[1] for block in X.blocks.values()]
    features = np.nan_to_num(np.hstack(list(X.blocks.values())))

    def value(kept):
        left = features * np.repeat(kept, widths)
        return softmax(left @ weights.T + intercept, axis=1)[np.arange(len(X)), target]

    return shapley_values(value, len(widths))


def test_thirteen_modalities_against_all_coalitions():
    X, y = rows_of(THIRTEEN, 60, missing=0.2)
    clf = LateFusionClassifier(C=0.05).fit(X, y)
    few = X[:12]
    there = np.column_stack([~np.isnan(block[:, 0]) for block in few.blocks.values()])
    exact = by_enumeration(clf, few, clf.predict_proba(few).argmax(axis=1))
    phi, error = clf.shapley_values(few, n_permutations=None, return_standard_error=True)
    np.testing.assert_allclose(phi, exact, atol=1e-12)
    np.testing.assert_array_equal(error, 0)
    sampled, error = clf.shapley_values(few, return_standard_error=True)  # so many modalities are sampled by default
    assert (error[there] > 0).all()
    assert (error[~there] == 0).all()
    assert (sampled[~there] == 0).all()
    np.testing.assert_allclose(sampled.sum(axis=1), exact.sum(axis=1), atol=1e-12)
    off = (sampled - exact)[there] / error[there]
    assert np.abs(off).max() < 5
    assert 0.7 < np.sqrt((off**2).mean()) < 1.4
    share = clf.modality_contributions(few)
    np.testing.assert_array_equal(share, contributions(sampled, there))
    np.testing.assert_allclose(share.sum(axis=1), 1)
    np.testing.assert_allclose(clf.modality_contributions(few, n_permutations=None), contributions(exact, there), atol=1e-12)


@pytest.mark.parametrize("settings", [{}, {"fusion": "attention", "max_iter": 3}], ids=["linear", "attention"])
def test_same_seed_same_values_whatever_the_chunks_and_the_company(settings, monkeypatch):
    X, y = rows_of(THIRTEEN, 150)
    clf = LateFusionClassifier(random_state=0, **settings).fit(X, y)
    sampled = {"n_permutations": 4, "return_standard_error": True}
    whole = clf.shapley_values(X, **sampled)
    for first, second in zip(whole, clf.shapley_values(X, **sampled), strict=True):
        np.testing.assert_array_equal(first, second)
    rng = np.random.RandomState(0)
    np.testing.assert_array_equal(clf.shapley_values(X, n_permutations=4, random_state=rng), whole[0])
    assert not np.allclose(clf.shapley_values(X, n_permutations=4, random_state=rng), whole[0], atol=1e-6)
    for part, expected in zip(clf.shapley_values(X[17:19], **sampled), whole, strict=True):
        np.testing.assert_allclose(part, expected[17:19], rtol=1e-9, atol=1e-12)
    monkeypatch.setattr(skmmal._chunks, "CHUNK_ELEMENTS", 512)
    for part, expected in zip(clf.shapley_values(X, **sampled), whole, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-9, atol=1e-12)


def test_few_modalities_are_exact_unless_told_otherwise():
    X, y = rows_of({"m0": 3, "m1": 2, "m2": 4}, 60)
    clf = LateFusionClassifier(C=0.1).fit(X, y)
    exact = by_enumeration(clf, X, y)
    phi, error = clf.shapley_values(X, y, return_standard_error=True)
    np.testing.assert_allclose(phi, exact, atol=1e-13)
    assert (error == 0).all()
    sampled, error = clf.shapley_values(X, y, n_permutations=60, return_standard_error=True)
    assert (error > 0).any()
    np.testing.assert_allclose(sampled, exact, atol=1e-12 + 5 * error.max())
    twelve, y = rows_of({f"m{i}": 2 for i in range(12)}, 40)
    _, error = LateFusionClassifier().fit(twelve, y).shapley_values(twelve, return_standard_error=True)
    assert (error == 0).all()


def test_predicted_classes_are_those_that_predict_names():
    X, y = rows_of({"m0": 5, "m1": 4}, 90)
    for fusion in ("concat", "sum", "gated"):
        clf = LateFusionClassifier(fusion=fusion, random_state=0, max_iter=20).fit(X, y)
        np.testing.assert_allclose(clf.shapley_values(X), clf.shapley_values(X, clf.predict(X)), atol=1e-13)


@pytest.mark.parametrize("value", ["all", 3, 0, -4, 4.0, True])
def test_numbers_of_permutations_that_make_no_sense(value):
    X, y = rows_of({"m0": 2, "m1": 2}, 20)
    clf = LateFusionClassifier().fit(X, y)
    with pytest.raises((TypeError, ValueError), match="n_permutations must be"):
        clf.shapley_values(X, n_permutations=value)


def test_nothing_is_larger_than_a_chunk():
    """Eight modalities and 300 classes: the partial logits of all rows are ten times what is held at a time."""
    n, n_classes, names = 20_000, 300, [f"m{i}" for i in range(8)]
    rng = np.random.default_rng(0)
    X = MultimodalArray({name: rng.standard_normal((n, 4), dtype=np.float32) for name in names})
    y = np.arange(600) % n_classes
    clf = LateFusionClassifier(C=1e-3).fit(X[:600], y)
    target = clf.predict(X)
    tracemalloc.start()
    phi = clf.shapley_values(X, target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    chunk = 8 * skmmal._chunks.CHUNK_ELEMENTS
    assert peak < phi.nbytes * 4 + 2 * chunk  # the modalities' partial logits are one, what is made of them is less
    assert 8 * n * n_classes * 8 > 10 * chunk
    few = X[::5000]
    logits = clf.decision_function(few)
    expected = softmax(logits, axis=1).max(axis=1) - softmax(clf.module_.head.fused.bias.detach().numpy())[logits.argmax(axis=1)]
    np.testing.assert_allclose(phi[::5000].sum(axis=1), expected, atol=1e-12)
