"""Layouts, containers, packing, presence."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from samples import containers, make_blocks
from scipy import sparse
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score, train_test_split

import skmmal._chunks
from skmmal import LateFusionClassifier, MultimodalArray, concatenate, pack, unpack
from skmmal.modalities import as_multimodal, presence_mask, resolve_layout


@pytest.fixture
def array():
    return MultimodalArray(make_blocks(n=30)[0])


def test_shape_and_blocks(array):
    assert array.shape == (30, 8)
    assert len(array) == 30
    assert array.ndim == 2
    assert array.dtype == np.float64
    assert array.modalities == {"image": 5, "text": 3}
    assert array["text"].shape == (30, 3)
    assert repr(array) == "MultimodalArray(30 rows: image 5, text 3)"
    np.testing.assert_array_equal(np.asarray(array), np.hstack([array["image"], array["text"]]))
    assert np.asarray(array, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="needs a copy"):
        array.__array__(copy=False)  # what numpy 2 asks for with copy=False
    assert array[["text"]].modalities == {"text": 3}
    with pytest.raises(KeyError, match="unknown modality 'sound'"):
        array["sound"]


@pytest.mark.parametrize(
    "rows",
    [
        slice(2, 20, 3),
        [3, 1, 1],
        np.array([0, -1]),
        np.arange(30) % 2 == 0,
        [],
        [True] * 30,
        pd.Series([4, 5]),
        np.uint8([1, 2]),
    ],
)
def test_rows_as_numpy_indexes_them(array, rows):
    packed = np.asarray(array)
    expected = packed[np.asarray(rows, dtype=np.intp) if isinstance(rows, list) and not rows else rows]
    for picked in (array[rows], array[rows, ...], array[rows, :]):
        assert isinstance(picked, MultimodalArray)
        np.testing.assert_array_equal(np.asarray(picked), expected)
    np.testing.assert_array_equal(array[4], packed[4])
    np.testing.assert_array_equal(np.array(list(array)), packed)


@pytest.mark.parametrize("key", [(slice(None), 0), (0, 1, 2), [0.5], [[1]], None, np.ones(3, dtype=bool), 99, [40]])
def test_indices_that_mean_nothing(array, key):
    with pytest.raises(IndexError):
        array[key]


def test_token_grids():
    grid = np.arange(24.0).reshape(2, 3, 4)
    array = MultimodalArray({"tokens": grid, "v": np.zeros((2, 1))})
    assert array.modalities == {"tokens": (3, 4), "v": 1}
    np.testing.assert_array_equal(array["tokens"], grid.reshape(2, 12))
    assert array[[1]].modalities == array.modalities
    declared = MultimodalArray({"tokens": grid.reshape(2, 12), "v": np.zeros((2, 1))}, {"tokens": (3, 4), "v": 1})
    assert declared.modalities == array.modalities
    matrix, widths = pack(array)
    assert widths == array.modalities
    assert unpack(matrix, widths).modalities == widths


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int64, bool])
def test_pack_and_unpack_invert_each_other(dtype):
    rng = np.random.default_rng(0)
    blocks = {"a": (rng.random((7, 3)) * 5).astype(dtype), "b": (rng.random((7, 2)) * 5).astype(dtype)}
    matrix, widths = pack(blocks)
    assert matrix.dtype == dtype
    back = unpack(matrix, widths)
    assert back.modalities == widths == {"a": 3, "b": 2}
    for name, block in blocks.items():
        np.testing.assert_array_equal(back[name], block)
        assert np.shares_memory(back[name], matrix)
    again, _ = pack(back)
    np.testing.assert_array_equal(again, matrix)


@pytest.mark.parametrize("form", ["mapping", "matrix", "matrix-slices", "matrix-columns", "frame", "multiindex"])
def test_every_form_is_the_same_array(form):
    blocks, _ = make_blocks(missing=0.2)
    forms = containers(blocks)
    X, modalities = forms[form]
    array = as_multimodal(X, modalities)
    assert array.modalities == {"image": 5, "text": 3}
    np.testing.assert_array_equal(np.asarray(array), np.asarray(forms["multimodal"][0]))


def test_scattered_columns():
    matrix = np.arange(12.0).reshape(2, 6)
    array = unpack(matrix, {"odd": [1, 3, 5], "even": slice(0, 6, 2)})
    np.testing.assert_array_equal(array["odd"], matrix[:, 1::2])
    np.testing.assert_array_equal(array["even"], matrix[:, ::2])


def test_tensors_lists_and_nullable_frames():
    assert as_multimodal(torch.zeros(3, 4)).modalities == {"X": 4}
    assert MultimodalArray({"a": torch.zeros(3, 4, requires_grad=True)})["a"].shape == (3, 4)
    assert as_multimodal([[1, 2], [3, 4]], {"a": 1, "b": 1})["b"].tolist() == [[2], [4]]
    columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    frame = pd.DataFrame([[1, None], [2, 3]], columns=columns, dtype="Int64")
    np.testing.assert_array_equal(as_multimodal(frame)["a"], [[1, np.nan], [2, 3]])


def test_copies_share_nothing_they_should_not(array):
    restored = pickle.loads(pickle.dumps(array))
    np.testing.assert_array_equal(np.asarray(restored), np.asarray(array))
    both = concatenate([array[:3], array[["text", "image"]][5:7]])
    assert list(both.modalities) == ["image", "text"]
    np.testing.assert_array_equal(np.asarray(both), np.asarray(array)[[0, 1, 2, 5, 6]])
    with pytest.raises(ValueError, match="modality 'text' is missing"):
        concatenate([array, array[["image"]]])


def test_scikit_learn_splits_and_searches():
    blocks, y = make_blocks(n=90, missing=0.1)
    array = MultimodalArray(blocks)
    train, test, y_train, _ = train_test_split(array, y, random_state=0, stratify=y)
    assert isinstance(train, MultimodalArray)
    assert len(train) + len(test) == 90
    clf = LateFusionClassifier()
    scores = cross_val_score(clf, array, y, cv=StratifiedKFold(3))
    packed = LateFusionClassifier(modalities=array.modalities)
    np.testing.assert_allclose(scores, cross_val_score(packed, np.asarray(array), y, cv=StratifiedKFold(3)))
    search = GridSearchCV(clf, {"C": [0.01, 1.0], "fusion": ["concat", "sum"]}, cv=3, n_jobs=2).fit(train, y_train)
    assert search.best_estimator_.modalities_.keys() == array.modalities.keys()
    assert search.predict(test).shape == (len(test),)


def test_rows_of_memory_mapped_blocks_are_read_lazily(tmp_path):
    """A block of 16 GB (sparse on disk) is indexed and predicted on; only the rows asked for are read."""
    script = f"""
import resource
import numpy as np
from skmmal import LateFusionClassifier, MultimodalArray

n = 2_000_000
huge = np.lib.format.open_memmap({str(tmp_path / "huge.npy")!r}, "w+", np.float32, (n, 2048))
small = np.zeros((n, 2), dtype=np.float32)
rows = np.arange(0, n, n // 50)
huge[rows] = np.random.default_rng(0).standard_normal((len(rows), 2048))
small[rows] = 1.0
del huge
mapped = np.load({str(tmp_path / "huge.npy")!r}, mmap_mode="r")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
A = MultimodalArray({{"huge": mapped, "small": small}})
assert A.shape == (n, 2050)
part = A[rows]
clf = LateFusionClassifier(max_iter=5).fit(part, np.arange(len(rows)) % 2)
assert clf.predict(A[: 3 * (n // 50)][:: n // 50]).shape == (3,)
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(grown)
assert grown < 400, grown
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


def test_read_only_blocks():
    blocks, y = make_blocks()
    for block in blocks.values():
        block.setflags(write=False)
    clf = LateFusionClassifier().fit(MultimodalArray(blocks), y)
    assert clf.predict(MultimodalArray(blocks)).shape == (60,)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("elements", [64, 2**22])
def test_presence(dtype, elements, monkeypatch):
    monkeypatch.setattr(skmmal._chunks, "CHUNK_ELEMENTS", elements)
    blocks, _ = make_blocks(n=500, missing=0.4, dtype=dtype)
    present = presence_mask(MultimodalArray(blocks))
    expected = np.column_stack([~np.isnan(block[:, 0]) for block in blocks.values()])
    np.testing.assert_array_equal(present, expected)
    assert not present.all()
    integers = MultimodalArray({"a": np.zeros((3, 2), dtype=int)})
    assert presence_mask(integers).all()
    assert presence_mask(MultimodalArray({"zeros": np.zeros((3, 2))})).all()  # absence is never inferred from zeros
    assert presence_mask(MultimodalArray({"large": np.full((2, 3), np.finfo(dtype).max, dtype=dtype)})).all()


def _spoiled(value, row, modality="text", every_column=False):
    blocks, _ = make_blocks(n=700)
    blocks[modality][row, slice(None) if every_column else 1] = value
    return MultimodalArray(blocks)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: _spoiled(np.nan, 613), r"modality 'text' is partly NaN in row 613 .*\(1 of 3 values\)"),
        (lambda: _spoiled(np.inf, 5, "image"), "modality 'image' contains infinity in row 5"),
        (lambda: _spoiled(-np.inf, 699, "image"), "modality 'image' contains infinity in row 699"),
        (
            lambda: MultimodalArray({"a": [[1.0], [np.nan]], "b": [[2.0], [np.nan]]}),
            "row 1 of X has no modality",
        ),
    ],
)
def test_values_that_cannot_be_used(make, match):
    with pytest.raises(ValueError, match=match):
        presence_mask(make())


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: MultimodalArray({"a": np.zeros((3, 2)), "b": np.zeros((4, 2))}),
            ValueError,
            "'b' has 4 rows, 'a' has 3",
        ),
        (
            lambda: MultimodalArray({"a": np.zeros((3, 1, 1, 1))}),
            ValueError,
            r"modality 'a': expected shape .* found \(3, 1, 1, 1\)",
        ),
        (lambda: MultimodalArray({"a": np.array([["x"]])}), TypeError, "modality 'a': expected a numeric block"),
        (lambda: MultimodalArray({"a": np.array([[None]])}), TypeError, "found dtype object"),
        (lambda: MultimodalArray({"a": sparse.eye(3)}), TypeError, "modality 'a' is a sparse matrix"),
        (lambda: MultimodalArray({"a": np.zeros((3, 0))}), ValueError, "at least one column"),
        (lambda: MultimodalArray({}), ValueError, "blocks is empty"),
        (lambda: MultimodalArray({1: np.zeros((2, 2))}), TypeError, "non-empty string"),
        (lambda: MultimodalArray([np.zeros((2, 2))]), TypeError, "must map modality names"),
        (lambda: MultimodalArray({"a": np.zeros((2, 4))}, {"a": (3, 2)}), ValueError, "declared as"),
        (lambda: MultimodalArray({"a": np.zeros((2, 4))}, {"b": 4}), ValueError, "unknown modality 'a'"),
        (lambda: resolve_layout({"a": 3, "b": 3}, 5), ValueError, "describe 6 columns, X has 5"),
        (lambda: resolve_layout({"a": (2, 2)}, 5), ValueError, "describe 4 columns, X has 5"),
        (lambda: resolve_layout({"a": 0, "b": 5}, 5), ValueError, "at least one column"),
        (lambda: resolve_layout({"a": 2, "b": slice(2, 5)}, 5), ValueError, "mixes widths"),
        (
            lambda: resolve_layout({"a": slice(0, 3), "b": slice(2, 5)}, 5),
            ValueError,
            "column 2 belongs to both 'a' and 'b'",
        ),
        (lambda: resolve_layout({"a": slice(0, 3)}, 5), ValueError, "2 of X's 5 columns belong to no modality"),
        (lambda: resolve_layout({"a": slice(0, 9)}, 5), ValueError, "reaches to column 9"),
        (lambda: resolve_layout({"a": [0, 0, 1]}, 2), ValueError, "names a column twice"),
        (lambda: resolve_layout({"a": [0, 7]}, 2), ValueError, "must lie in 0..1"),
        (lambda: resolve_layout({"a": []}, 2), ValueError, "no column"),
        (lambda: resolve_layout({"a": ["x"]}, 1), ValueError, "not a DataFrame"),
        (lambda: resolve_layout({"a": ["x"]}, 1, ["y"]), ValueError, "no column 'x'"),
        (lambda: resolve_layout({"a": 2.5}, 2), TypeError, "modality 'a': expected a width"),
        (lambda: resolve_layout({"a": True}, 1), TypeError, "modality 'a': expected a width"),
        (lambda: resolve_layout({"a": [0, "x"]}, 2), TypeError, "all positions or all names"),
        (lambda: resolve_layout([2, 3], 5), TypeError, "must map modality names"),
        (lambda: as_multimodal(np.zeros(5), {"a": 5}), ValueError, "Expected 2D array, got 1D array"),
        (lambda: as_multimodal({"a": np.zeros((2, 2))}, {"a": 3}), ValueError, "declared as 3"),
        (lambda: unpack(np.zeros(4), {"a": 4}), ValueError, "found shape"),
    ],
)
def test_helpful_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: resolve_layout({"a": slice("x", 2)}, 2), TypeError, "modality 'a': the parts of a slice must be integers"),
        (lambda: concatenate([]), ValueError, "arrays is empty"),
        (lambda: concatenate([np.zeros((2, 2))]), TypeError, "arrays must hold MultimodalArrays, found ndarray"),
        (lambda: as_multimodal([[1.0, 2.0], [3.0]]), ValueError, "^X: "),
        (lambda: as_multimodal(np.full((2, 2), {}, dtype=object)), TypeError, "^X: "),
    ],
)
def test_errors_name_the_argument(call, error, match):
    with pytest.raises(error, match=match):
        call()
