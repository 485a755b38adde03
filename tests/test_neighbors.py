"""Candidates by neighbors: against brute force, where modalities are missing, in files, through indexes of others."""

from __future__ import annotations

import numpy as np
import pytest

from skmmal import MultimodalArray
from skmmal.candidates import NeighborIndex, neighbours
from skmmal.query import RandomSampling

pytest.importorskip("usearch", reason="needs the extra 'neighbors' (usearch)")
N, LABELED, K = 400, np.array([3, 50, 120, 399]), 12


@pytest.fixture(scope="module")
def X() -> MultimodalArray:
    rng = np.random.default_rng(0)
    image, text = rng.standard_normal((N, 10)), rng.standard_normal((N, 6))
    image[::5], text[1::10] = np.nan, np.nan
    return MultimodalArray({"image": image, "text": text})


@pytest.fixture(scope="module")
def index(X: MultimodalArray) -> NeighborIndex:
    return NeighborIndex.build(X)


def brute_force(X: MultimodalArray, queries: MultimodalArray, k: int) -> np.ndarray:
    """Sum of the cosines over what both rows have; of rows that have the same modalities the nearest, by their share."""

    def unit(block: np.ndarray) -> np.ndarray:
        return np.nan_to_num(block / np.linalg.norm(block, axis=1, keepdims=True))

    similarity = sum(unit(queries[name]) @ unit(X[name]).T for name in X.modalities)
    there, asked = (np.column_stack([~np.isnan(rows[name][:, 0]) for name in X.modalities]) for rows in (X, queries))
    found = set()
    for pattern in np.unique(there, axis=0):
        rows = np.flatnonzero((there == pattern).all(axis=1))
        k_here = min(len(rows), -(-k * len(rows) // len(there)))
        for row, has in zip(similarity, asked, strict=True):
            if (has & pattern).any():
                found |= set(rows[np.argsort(-row[rows], kind="stable")[:k_here]].tolist())
    return np.array(sorted(found))


def test_neighbors_are_those_of_brute_force(X: MultimodalArray, index: NeighborIndex) -> None:
    found = neighbours(index, LABELED, K)
    assert not np.isin(found, LABELED).any()
    expected = np.setdiff1d(brute_force(X, X[LABELED], K + 1), LABELED)
    # float16 may change the order of near ties at the end of the list
    assert len(np.setxor1d(found, expected)) <= 2


def test_rows_may_be_given_as_what_they_hold(X: MultimodalArray, index: NeighborIndex) -> None:
    queries = X[LABELED]
    found = neighbours(index, {"text": queries["text"], "image": queries["image"]}, K)
    assert len(np.setxor1d(found, brute_force(X, queries, K))) <= 2
    assert set(LABELED) <= set(found)  # nothing says that they are rows of the pool


def test_a_row_meets_nothing_that_shares_no_modality(X: MultimodalArray, index: NeighborIndex) -> None:
    only_text = MultimodalArray({"image": np.full((1, 10), np.nan), "text": X["text"][3:4]})
    found = neighbours(index, only_text, N)
    assert not np.isnan(X["text"][found, 0]).any()
    assert len(found) == (~np.isnan(X["text"][:, 0])).sum()


def test_an_index_is_the_same_in_its_files(X: MultimodalArray, index: NeighborIndex, tmp_path) -> None:
    index.save(tmp_path / "index")
    opened = NeighborIndex.open(tmp_path / "index")
    assert repr(opened) == repr(index) == "NeighborIndex(400 rows: image 10, text 6)"
    np.testing.assert_array_equal(neighbours(opened, LABELED, K), neighbours(index, LABELED, K))
    with pytest.raises(FileExistsError):
        index.save(tmp_path / "index")
    with pytest.raises(FileNotFoundError, match="holds no index"):
        NeighborIndex.open(tmp_path)


def test_the_same_rows_make_the_same_index(X: MultimodalArray, index: NeighborIndex) -> None:
    again = NeighborIndex.build(X)
    np.testing.assert_array_equal(neighbours(again, LABELED, 3), neighbours(index, LABELED, 3))


def test_indexes_of_usearch_are_taken() -> None:
    from usearch.index import Index

    vectors = np.random.default_rng(1).standard_normal((100, 5)).astype(np.float32)
    foreign = Index(ndim=5, metric="l2sq", dtype="f32")
    foreign.add(np.arange(100), vectors)
    distances = ((vectors[[7, 9]][:, None] - vectors) ** 2).sum(axis=2)
    expected = np.unique(np.argsort(distances, axis=1)[:, :6])
    np.testing.assert_array_equal(neighbours(foreign, vectors[[7, 9]], 6), expected)
    np.testing.assert_array_equal(neighbours(foreign, [7, 9], 5), np.setdiff1d(expected, [7, 9]))


def test_what_is_found_may_be_picked(X: MultimodalArray, index: NeighborIndex) -> None:
    near = neighbours(index, LABELED, K)
    picked = RandomSampling(random_state=0).query(None, X, 5, candidates=near)
    assert np.isin(picked, near).all()


@pytest.mark.parametrize(
    ("labelled", "k", "message"),
    [
        ([0, N], K, "within 0..399"),
        ([-1], K, "within 0..399"),
        ([[0.0, 1.0]], K, "row numbers or the rows' blocks"),
        ({"image": np.zeros((1, 10))}, K, "modality 'text' is missing"),
        ([0], 0, "k must be at least 1"),
    ],
)
def test_refusals(index: NeighborIndex, labelled, k: int, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        neighbours(index, labelled, k)


def test_something_else_is_no_index() -> None:
    with pytest.raises(TypeError, match="index must be a NeighborIndex"):
        neighbours([1, 2], [0], 1)
