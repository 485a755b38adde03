"""Pages of a memory-mapped file are given back, and nothing that was read or written changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal._chunks import chunk_rows
from skmmal.modalities._mapped import MappedRows, released_chunks
from skmmal.query import BADGE, BMMAL, MVOPT, CoreSet
from skmmal.reading import read
from skmmal.selection import DenseEmbedding, OuterProductEmbedding, StackedEmbedding, d2_sampling, k_center_greedy

STATUS = Path("/proc/self/status")
linux = pytest.mark.skipif(not STATUS.exists(), reason="memory is read from /proc")
MEGABYTES = 128


def resident() -> float:
    """Memory of this process that lies in files, in megabytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssFile"))
    return int(line.split()[1]) / 1024


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A matrix in a file."""
    values = np.random.default_rng(0).standard_normal((MEGABYTES * 128, 2048), dtype=np.float32)
    path = tmp_path_factory.mktemp("mapped") / "values.npy"
    np.save(path, values)
    return path


@linux
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_pages_are_given_back_and_read_again(stored, mode):
    mapped = np.load(stored, mmap_mode=mode)
    before = resident()
    total = float(mapped[100:].sum(dtype=np.float64))
    assert resident() > before + 0.9 * MEGABYTES
    MappedRows.of(np.asarray(mapped)[100:]).release(slice(0, len(mapped) - 100))
    assert resident() < before + 0.1 * MEGABYTES
    assert float(mapped[100:].sum(dtype=np.float64)) == total


def test_only_the_rows_named_are_given_back_and_what_was_written_stays(tmp_path):
    np.save(tmp_path / "values.npy", np.zeros((4096, 512)))
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r+")
    mapped[10:20] = 7.0
    rows = MappedRows.of(mapped)
    rows.release(slice(0, len(mapped)))
    rows.release(slice(3, 3))
    assert (mapped[10:20] == 7.0).all()
    assert (mapped[9] != 7.0).all()


def test_private_copies_columns_and_memory_are_left_alone(stored):
    private = np.load(stored, mmap_mode="c")
    private[0] = 1.0
    assert MappedRows.of(private) is None
    mapped = np.load(stored, mmap_mode="r")
    for values in (mapped[0], mapped[::-1], np.ones((3, 3)), [[1.0]]):
        assert MappedRows.of(values) is None
    MappedRows.of(mapped[:, 5:9]).release(slice(0, len(mapped)))  # rows with gaps between them
    np.testing.assert_array_equal(private[0], 1.0)


@pytest.mark.parametrize("n_columns", [300, 4096])
def test_a_last_chunk_of_one_row_of_some_columns_ends_in_the_file(tmp_path, n_columns):
    width = 4096 + n_columns
    values = np.arange((chunk_rows(width) + 1) * width, dtype=np.float32).reshape(-1, width)
    np.save(tmp_path / "values.npy", values)
    block = np.load(tmp_path / "values.npy", mmap_mode="r")[:, 4096:]
    chunks = [block[rows].copy() for rows in released_chunks([block], width)]
    assert len(chunks[-1]) == 1
    np.testing.assert_array_equal(np.concatenate(chunks), values[:, 4096:])


@linux
@pytest.mark.parametrize("kind", ["dense", "outer", "stacked"])
def test_selection_from_a_file_is_that_from_memory_and_keeps_none_of_it(stored, kind):
    left = np.random.default_rng(1).random((MEGABYTES * 128, 3), dtype=np.float32)

    def embedding(values):
        blocks = [values[:, :300], values[:, 300:]]
        outer = OuterProductEmbedding(left, blocks)
        return {"dense": DenseEmbedding(values), "outer": outer, "stacked": StackedEmbedding([outer])}[kind]

    mapped = np.load(stored, mmap_mode="r")
    before = resident()
    found = d2_sampling(embedding(mapped), 60, random_state=0), k_center_greedy(embedding(mapped), 20)
    assert resident() < before + 0.5 * MEGABYTES
    in_memory = embedding(np.load(stored))
    np.testing.assert_array_equal(found[0], d2_sampling(in_memory, 60, random_state=0))
    np.testing.assert_array_equal(found[1], k_center_greedy(in_memory, 20))


@linux
@pytest.mark.parametrize("kind", ["probabilities", "contributions", "scaler"])
def test_predictions_and_scales_of_a_file_keep_none_of_it(stored, kind):
    values = np.load(stored)
    rng = np.random.default_rng(3)
    few = MultimodalArray({"a": values[:200, :300], "b": values[:200, 300:]})
    clf = LateFusionClassifier().fit(few, rng.integers(0, 3, 200))

    def answer(values):
        X = MultimodalArray({"a": values[:, :300], "b": values[:, 300:]})
        if kind == "scaler":
            return np.concatenate(list(ModalityScaler().fit(X).scale_.values()))
        return clf.predict_proba(X) if kind == "probabilities" else clf.shapley_values(X)

    mapped = np.load(stored, mmap_mode="r")
    before = resident()
    found = answer(mapped)
    assert resident() < before + 0.5 * MEGABYTES
    np.testing.assert_array_equal(found, answer(values))


def test_strategies_take_float16_as_it_is_stored(tmp_path):
    rng = np.random.default_rng(2)
    values = rng.standard_normal((400, 30)).astype(np.float16)
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    stored = MultimodalArray({"a": mapped[:, :10], "b": mapped[:, 10:]})
    wide = MultimodalArray({"a": values[:, :10].astype(np.float32), "b": values[:, 10:].astype(np.float32)})
    labelled, y = wide[:60], rng.integers(0, 3, 60)
    clf = LateFusionClassifier().fit(labelled, y)
    head = read(clf, stored).head
    for kept, given in zip(head.blocks, stored.blocks.values(), strict=True):
        assert np.shares_memory(kept, given)
    assert head.features.dtype == np.float32
    fourier = MVOPT(kernel_approximation="fourier", random_state=0)
    for strategy in (BADGE(random_state=0), BMMAL(random_state=0), CoreSet(), MVOPT(), fourier):
        found = strategy.query(clf, stored, 40, X_labeled=labelled, y_labeled=y)
        np.testing.assert_array_equal(found, strategy.query(clf, wide, 40, X_labeled=labelled, y_labeled=y))
