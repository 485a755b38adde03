"""What is pickled of a mapped block is where it lies."""

import copy
import os
import pickle

import joblib
import numpy as np
import pytest

from skmmal import FeatureStore, LateFusionClassifier, MultimodalArray
from skmmal.experiment._problem import make_problem


@pytest.fixture
def values(tmp_path):
    """A float16 matrix in a file, mapped."""
    made = np.random.default_rng(0).standard_normal((3000, 40)).astype(np.float16)
    made[7] = np.nan
    np.save(tmp_path / "values.npy", made)
    return np.load(tmp_path / "values.npy", mmap_mode="r")


VIEWS = {
    "whole": lambda v: v,
    "rows": lambda v: v[100:2000],
    "columns": lambda v: v[:, 5:17],
    "strided": lambda v: v[3:2900:7, 1::3],
    "backwards": lambda v: v[::-1],
    "plain view": lambda v: np.asarray(v)[10:],
    "two dimensions of three": lambda v: v.reshape(1500, 80)[5:],
    "transposed": lambda v: v[:40].T,
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_comes_back_as_the_same_view(values, view):
    A = MultimodalArray({"a": view(values), "b": np.zeros((len(view(values)), 1))})
    sent = pickle.dumps(A)
    in_memory = len(pickle.dumps(A["b"]))
    assert len(sent) < 600 + in_memory
    back = pickle.loads(sent)
    np.testing.assert_array_equal(back["a"], A["a"])
    assert back["a"].dtype == np.float16
    assert back["a"].strides == A["a"].strides
    assert not back["a"].flags.writeable
    assert back.modalities == A.modalities
    assert pickle.dumps(back) == sent  # and it can be sent on


def test_a_store_of_any_size_is_a_few_hundred_bytes(tmp_path):
    rng = np.random.default_rng(1)
    blocks = {"image": rng.random((4000, 64), np.float32), "text": rng.random((4000, 32), np.float32)}
    store = FeatureStore.write(tmp_path / "features", blocks, ids=[str(row) for row in range(4000)])
    A = store.load()
    assert len(pickle.dumps(A)) < 1200
    for rows in (slice(None), slice(10, 3000, 3)):
        back = pickle.loads(pickle.dumps(A[rows]))
        for name in blocks:
            np.testing.assert_array_equal(back[name], blocks[name][rows])
    np.testing.assert_array_equal(copy.deepcopy(A)["text"], blocks["text"])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(A[[5, 3]]))["text"], blocks["text"][[5, 3]])


def test_other_processes_open_the_file_themselves(values):
    A = MultimodalArray({"a": values[10:], "b": values[:-10]})
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(_seen)(A, part) for part in range(2))
    for part, (pid, is_mapped, rows) in enumerate(found):
        assert pid != os.getpid()
        assert is_mapped
        np.testing.assert_array_equal(rows, A["a"][part::500])


def _seen(A, part):
    base = A["a"]
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return os.getpid(), isinstance(base, np.memmap), np.array(A["a"][part::500])


def test_a_file_that_changed_is_no_longer_the_block(tmp_path, values):
    A = MultimodalArray({"a": values})
    sent, path = pickle.dumps(A), tmp_path / "values.npy"
    np.save(path, np.zeros((3000, 40), dtype=np.float16))
    with pytest.raises(ValueError, match="holds other values than when a block of it was sent"):
        pickle.loads(sent)
    with open(path, "ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match="had 240128 bytes when a block of it was sent, and has 240129 now"):
        pickle.loads(sent)
    path.unlink()
    with pytest.raises(ValueError, match="values.npy, in which .* lie, cannot be opened here: No such file"):
        pickle.loads(sent)


def test_a_file_that_only_this_process_can_read_is_sent_by_value(tmp_path, values):
    (tmp_path / "values.npy").unlink()
    A = MultimodalArray({"a": values})
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(A))["a"], values)
    # another one in its place is not taken for it
    np.save(tmp_path / "values.npy", np.zeros((3000, 40), dtype=np.float16))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(A))["a"], values)


def test_a_private_copy_keeps_what_was_written_to_it(tmp_path):
    np.save(tmp_path / "values.npy", np.zeros((20, 3)))
    private = np.load(tmp_path / "values.npy", mmap_mode="c")
    private[3] = 5.0
    back = pickle.loads(pickle.dumps(MultimodalArray({"a": private})))
    np.testing.assert_array_equal(back["a"], private)


@pytest.mark.parametrize("form", ["blocks", "matrix"])
def test_what_an_experiment_sends_to_its_workers_is_kilobytes(tmp_path, form):
    large = np.random.default_rng(3).random((20_000, 100), np.float32)
    np.save(tmp_path / "large.npy", large)
    mapped = np.load(tmp_path / "large.npy", mmap_mode="r")
    X = MultimodalArray({"a": mapped[:, :60], "b": mapped[:, 60:]}) if form == "blocks" else mapped
    y = np.random.default_rng(2).integers(0, 2, 20_000, dtype=np.int8)
    problem = make_problem(LateFusionClassifier(), "margin", X, y, X[:300], y[:300], 10, 5, 1, "random", None)
    assert len(pickle.dumps(problem)) < y.nbytes + 10_000  # the pool has 8,000,000
    assert problem.__sizeof__() == y.nbytes + 300
    back = pickle.loads(pickle.dumps(problem))
    np.testing.assert_array_equal(np.asarray(back.X), large)
    np.testing.assert_array_equal(back.y, y)
