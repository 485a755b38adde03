"""Blocks whose rows are made when they are asked for: the values of those that are made at once, and what stays in files."""

import pickle

import numpy as np
import pytest

from skmmal import FeatureStore, LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.modalities import presence_mask
from skmmal.modalities._lazy import LazyBlock
from skmmal.preprocessing._modality_scaler import on_one_scale
from skmmal.query import (
    BADGE,
    BMMAL,
    MVOPT,
    CoreSet,
    EntropySampling,
    KMeansSampling,
    MarginSampling,
    MaxHerding,
    TypiClust,
)
from skmmal.reading import _late_fusion, read

N, LABELED = 300, np.arange(0, 300, 6)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A pool in files, in float16, with rows that lack a modality; and the classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, N)
    blocks = {name: rng.normal(size=(N, width)) + y[:, None] for name, width in {"image": 9, "text": 5}.items()}
    blocks["image"][::7] = np.nan
    folder = tmp_path_factory.mktemp("lazy") / "features"
    FeatureStore.write(folder, {name: b.astype(np.float16) for name, b in blocks.items()}, ids=range(N))
    return FeatureStore.open(folder).load(), y


@pytest.fixture
def nothing_is_held(monkeypatch):
    """Probabilities of rows in files are made again, as where there are very many."""
    monkeypatch.setattr(_late_fusion, "_MOST_HELD", 0)


@pytest.mark.parametrize("method", ["standard", "l2"])
def test_rows_are_those_of_a_scaled_copy(stored, method):
    X, _ = stored
    copy, on_demand = ModalityScaler(method=method).fit_transform(X), on_one_scale(X, method)
    assert all(isinstance(block, LazyBlock) for block in on_demand.blocks.values())
    np.testing.assert_array_equal(presence_mask(on_demand), presence_mask(copy))
    rows = np.array([5, 0, 7, 299])
    for name, expected in copy.blocks.items():
        block = on_demand[name]
        assert (block.shape, block.dtype, len(block), block.size) == (expected.shape, expected.dtype, N, expected.size)
        for key in (slice(None), slice(3, 60, 2), rows, np.arange(N) % 3 == 0, [4, 2]):
            np.testing.assert_array_equal(block[key], expected[key])
            np.testing.assert_array_equal(on_demand[key][name][1:], expected[key][1:])
        np.testing.assert_array_equal(block[4], expected[4])
        np.testing.assert_array_equal(block[:, 2], expected[:, 2])
        np.testing.assert_array_equal(block.take(rows).take(np.array([2, 0]))[:], expected[rows[[2, 0]]])
        np.testing.assert_array_equal(block + 1, expected + 1)
        np.testing.assert_array_equal(np.asarray(block.cast(np.float64)), expected.astype(np.float64))
    np.testing.assert_array_equal(np.asarray(on_demand[rows]), np.asarray(copy[rows]))
    there = presence_mask(copy)[:, 0]
    zeros = on_demand["image"].take(rows).with_zeros(there[rows])
    np.testing.assert_array_equal(zeros[:], np.where(there[rows, None], copy["image"][rows], 0.0))
    assert (zeros.min(), zeros.max()) == (zeros[:].min(), zeros[:].max())


def test_pickled_it_is_its_place_in_the_file(stored):
    X, _ = stored
    on_demand = on_one_scale(X, "standard")[1:]
    sent = pickle.dumps(on_demand)
    assert len(sent) < np.asarray(on_demand).nbytes / 2
    np.testing.assert_array_equal(np.asarray(pickle.loads(sent)), np.asarray(on_demand))


@pytest.mark.parametrize(
    "strategy",
    [
        MarginSampling(),
        MarginSampling(on="all"),
        EntropySampling(on="image"),
        BADGE(random_state=0),
        BADGE(random_state=0, on="all"),
        BADGE(random_state=0, on="image"),
        BMMAL(random_state=0),
        CoreSet(),
        MVOPT(random_state=0, kernel_approximation="fourier", n_components=64, device="cpu"),
        KMeansSampling(random_state=0),
        MaxHerding(random_state=0),
        TypiClust(random_state=0),
    ],
    ids=repr,
)
def test_strategies_pick_what_they_pick_from_a_copy(stored, strategy, nothing_is_held):
    X, y = stored
    copy, on_demand = ModalityScaler().fit_transform(X), on_one_scale(X, "standard")
    clf = LateFusionClassifier().fit(copy[LABELED], y[LABELED])
    again = LateFusionClassifier().fit(on_demand[LABELED], y[LABELED])
    np.testing.assert_array_equal(again.predict_proba(on_demand), clf.predict_proba(copy))
    rest = np.setdiff1d(np.arange(N), LABELED)
    known = {"y_labeled": y[LABELED], "return_scores": True}
    rows, scores = strategy.query(clf, copy[rest], 10, X_labeled=copy[LABELED], **known)
    found, found_scores = strategy.query(again, on_demand[rest], 10, X_labeled=on_demand[LABELED], **known)
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_allclose(found_scores, scores, rtol=1e-5)


def test_neither_scores_nor_gradients_hold_the_probabilities_of_all_rows(stored, nothing_is_held):
    X, y = stored
    on_demand = on_one_scale(X, "standard")
    clf = LateFusionClassifier().fit(on_demand[LABELED], y[LABELED])
    for strategy in (MarginSampling(), BADGE(random_state=0), BMMAL(random_state=0)):
        reading = read(clf, on_demand)
        strategy.query(None, reading, 5)
        assert "probabilities" not in vars(reading.source)
    assert reading.head.gradients.dtype == np.float32
    np.testing.assert_allclose(reading.head.gradients, reading.head.residuals, rtol=1e-6, atol=1e-12)


def test_embeddings_are_arrays(stored):
    X, y = stored
    copy, on_demand = ModalityScaler().fit_transform(X), on_one_scale(X, "standard")
    clf = LateFusionClassifier().fit(copy[LABELED], y[LABELED])
    for name, block in clf.embed(on_demand).items():
        assert isinstance(block, np.ndarray)
        np.testing.assert_array_equal(block, clf.embed(copy)[name])


def test_blocks_in_memory_are_scaled_at_once():
    X = MultimodalArray({"a": np.arange(6.0).reshape(3, 2)})
    assert isinstance(on_one_scale(X, "standard")["a"], np.ndarray)
