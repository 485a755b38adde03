"""Every container that encoders, tables and files give features in, and those that are refused."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
import torch
from samples import make_blocks
from scipy import sparse
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmmal import ActiveLearner, LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.modalities import as_multimodal, presence_mask
from skmmal.query import BMMAL, MarginSampling

N = 40
MISSING = 3
"""The row that lacks the image."""
BLOCKS, LABELS = make_blocks(n=N, dtype=np.float32)
LOST = {"image": np.where(np.arange(N)[:, None] == MISSING, np.nan, BLOCKS["image"]), "text": BLOCKS["text"]}
ROWS = {"image": [None if row == MISSING else v for row, v in enumerate(BLOCKS["image"])], "text": list(BLOCKS["text"])}


def column(name, kind):
    """One modality's column of vectors, with None in one row."""
    rows = ROWS[name]
    plain = [None if row is None else row.tolist() for row in rows]
    width = BLOCKS[name].shape[1]
    return {
        "list of arrays": lambda: rows,
        "list of lists": lambda: plain,
        "tuple": lambda: tuple(plain),
        "list of tensors": lambda: [None if row is None else torch.as_tensor(row) for row in rows],
        "objects": lambda: pd.Series(rows).to_numpy(),
        "Series": lambda: pd.Series(rows),
        "Series with NaN": lambda: pd.Series([np.nan if row is None else row for row in rows]),
        "Series with NA": lambda: pd.Series([pd.NA if row is None else row for row in rows]),
        "Series of arrow lists": lambda: pd.Series(pa.array(plain, pa.list_(pa.float32())), dtype=pd.ArrowDtype(pa.list_(pa.float32()))),
        "frame": lambda: pd.DataFrame({"vector": rows}),
        "polars list": lambda: pl.Series(plain, dtype=pl.List(pl.Float32)),
        "polars array": lambda: pl.Series(plain, dtype=pl.Array(pl.Float32, width)),
        "polars frame": lambda: pl.DataFrame({"vector": pl.Series(plain, dtype=pl.List(pl.Float32))}),
        "arrow list": lambda: pa.array(plain, pa.list_(pa.float32())),
        "arrow fixed": lambda: pa.array(plain, pa.list_(pa.float32(), width)),
        "arrow large": lambda: pa.array(plain, pa.large_list(pa.float32())),
        "arrow chunks": lambda: pa.chunked_array([pa.array(plain[:7], pa.list_(pa.float32())), pa.array(plain[7:], pa.list_(pa.float32()))]),
        "arrow slice": lambda: pa.array([[9.0] * width, *plain], pa.list_(pa.float32(), width))[1:],
        "arrow table": lambda: pa.table({"vector": pa.array(plain, pa.list_(pa.float32()))}),
    }[kind]()


KINDS = [
    *("list of arrays", "list of lists", "tuple", "list of tensors", "objects", "Series", "Series with NaN"),
    *("Series with NA", "Series of arrow lists", "frame", "polars list", "polars array", "polars frame"),
    *("arrow list", "arrow fixed", "arrow large", "arrow chunks", "arrow slice", "arrow table"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_vectors(kind):
    array = MultimodalArray({name: column(name, kind) for name in BLOCKS})
    assert array.modalities == {"image": 5, "text": 3}
    for name, block in LOST.items():
        np.testing.assert_array_equal(array[name], block)
    assert presence_mask(array).sum(axis=0).tolist() == [N - 1, N]
    expected = LateFusionClassifier().fit(LOST, LABELS).predict_proba(LOST)
    given = {name: column(name, kind) for name in BLOCKS}
    np.testing.assert_allclose(LateFusionClassifier().fit(given, LABELS).predict_proba(given), expected, atol=1e-6)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("layout", [None, {"image": 5, "text": 3}, {"image": "image", "text": ["text"]}])
def test_tables_with_a_vector_in_each_cell(library, layout):
    plain = {name: column(name, "polars list") for name in BLOCKS}
    X = {"pandas": lambda: pd.DataFrame(ROWS), "polars": lambda: pl.DataFrame(plain), "pyarrow": lambda: pl.DataFrame(plain).to_arrow()}
    X = X[library]()
    expected = LateFusionClassifier().fit(LOST, LABELS)
    model = LateFusionClassifier(layout).fit(X, LABELS)
    assert list(model.modalities_) == ["image", "text"]
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(LOST), atol=1e-6)
    picked = BMMAL(first=0, random_state=0).query(model, X, 5)
    np.testing.assert_array_equal(picked, BMMAL(first=0, random_state=0).query(expected, MultimodalArray(LOST), 5))
    scaled = ModalityScaler(layout).fit_transform(X)
    assert scaled.modalities == {"image": 5, "text": 3}


def test_vectors_and_numbers_in_one_table():
    X = pd.DataFrame({**ROWS, "age": np.arange(N, dtype=np.float32)})
    with pytest.raises(ValueError, match=r"vectors in the columns \['image', 'text'\] and single values in \['age'\]"):
        as_multimodal(X)
    array = as_multimodal(X, {"image": ["image"], "rest": ["text", "age"]})
    np.testing.assert_array_equal(array["rest"], np.column_stack([BLOCKS["text"], np.arange(N)]))
    model = LateFusionClassifier({"image": ["image"], "rest": ["text", "age"]}).fit(X, LABELS)
    np.testing.assert_array_equal(model.predict(X[["age", "text", "image"]]), model.predict(array))
    with pytest.raises(ValueError, match="belong to no modality.*age"):
        LateFusionClassifier({"image": "image", "text": "text"}).fit(X, LABELS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int8, torch.bool])
def test_tensors_of_every_type(dtype):
    tensor = (torch.as_tensor(BLOCKS["image"]) * 3).to(dtype)
    truth = tensor.double().numpy()
    for X in (tensor, tensor.clone().requires_grad_(dtype.is_floating_point), list(tensor)):
        np.testing.assert_array_equal(MultimodalArray({"a": X})["a"].astype(np.float64), truth)
        np.testing.assert_array_equal(np.asarray(as_multimodal(X), dtype=np.float64), truth)
    if dtype != torch.bool:
        model = LateFusionClassifier().fit({"image": tensor, "text": BLOCKS["text"]}, torch.as_tensor(LABELS))
        expected = LateFusionClassifier().fit({"image": truth.astype(np.float32), "text": BLOCKS["text"]}, LABELS)
        found = model.predict_proba({"image": tensor, "text": BLOCKS["text"]})
        np.testing.assert_allclose(found, expected.predict_proba({"image": truth, "text": BLOCKS["text"]}), atol=1e-6)


def test_one_number_a_row_is_one_column():
    numbers = np.arange(4.0)
    for values in (numbers, numbers.tolist(), pd.Series(numbers), pl.Series(numbers), pa.array(numbers), torch.as_tensor(numbers)):
        array = MultimodalArray({"a": values, "b": np.zeros((4, 2))})
        np.testing.assert_array_equal(array["a"], numbers[:, None])
    for values in ([0.0, None, 2.0], pd.Series([0, None, 2], dtype="Int64"), pl.Series([0, None, 2]), pa.array([0, None, 2])):
        np.testing.assert_array_equal(MultimodalArray({"a": values})["a"][:, 0], [0, np.nan, 2])


def test_unusual_arrays():
    masked = np.ma.masked_equal(np.arange(6).reshape(3, 2), 4).astype(np.float32)
    masked.mask[2] = True
    array = MultimodalArray({"a": masked, "b": np.ones((3, 1), dtype=">f4"), "c": np.ones((3, 1), dtype=np.longdouble)})
    np.testing.assert_array_equal(array["a"], [[0, 1], [2, 3], [np.nan, np.nan]])  # masked: missing, not its value
    assert [array[name].dtype for name in "bc"] == [np.float32, np.float64]
    grids = [np.ones((2, 3)), None, np.zeros((2, 3))]
    assert MultimodalArray({"tokens": grids}).modalities == {"tokens": (2, 3)}


REFUSED = [
    ({"a": [[1.0, 2.0], None, [1.0]]}, ValueError, r"modality 'a': row 2 has shape \(1,\), row 0 has \(2,\)"),
    ({"a": pl.Series([[1.0], [1.0, 2.0]])}, ValueError, r"modality 'a': row 1 has shape \(2,\)"),
    ({"a": pa.array([[1.0], None, [1.0, 2.0]])}, ValueError, r"modality 'a': row 2 has shape \(2,\)"),
    ({"a": [None, None]}, ValueError, "modality 'a': every row is None"),
    ({"a": ["[1, 2]", "[3, 4]"]}, TypeError, "modality 'a': row 0 is text"),
    ({"a": [[1.0], ["x"]]}, TypeError, "modality 'a': row 1: expected numbers"),
    ({"a": [[1.0], {"x": 1}]}, TypeError, "modality 'a': row 1: expected numbers"),
    ({"a": pl.Series(["x"])}, TypeError, "modality 'a': row 0 is text"),
    ({"a": pa.array(["x"])}, TypeError, "modality 'a': row 0 is text"),
    ({"a": pd.DataFrame({"q": ["1.5"]})}, TypeError, "modality 'a': expected numeric columns.*'q'"),
    ({"a": sparse.eye(3)}, TypeError, "modality 'a' is a sparse matrix.*PerModality.*TruncatedSVD"),
    ({"a": torch.eye(3).to_sparse()}, TypeError, "modality 'a': a sparse tensor"),
    ({"a": "s3://bucket/a.npy"}, TypeError, r"modality 'a' is text.*FeatureStore.open\(path\).load\(\).*mmap_mode='r'"),
    ({"a": pathlib.Path("a.npy")}, TypeError, "modality 'a' is a path"),
    ({"a": pl.LazyFrame({"x": [1.0]})}, TypeError, r"modality 'a' is a polars.*collect\(\)"),
    ("https://host/features", TypeError, "X is text"),
    (pathlib.Path("features"), TypeError, "X is a path"),
    (pl.LazyFrame({"x": [1.0]}), TypeError, r"X is a polars.*collect\(\)"),
    ([np.ones((3, 2)), np.ones((3, 4))], TypeError, r"X is a list of 2 matrices.*pass a dict, \{'image': array"),
    ((torch.ones(3, 2), torch.ones(3, 2)), TypeError, "X is a tuple of 2 matrices.*pass a dict"),
    ([pd.DataFrame(np.ones((3, 2))), np.ones((3, 2))], TypeError, "pass a dict"),
    ([sparse.eye(3), np.ones((3, 2))], TypeError, "pass a dict"),
]


@pytest.mark.parametrize(("X", "error", "match"), REFUSED)
def test_what_is_refused_says_the_way_in(X, error, match):
    n = 3
    for call in (
        lambda: as_multimodal(X),
        lambda: LateFusionClassifier().fit(X, np.arange(n) % 2),
        lambda: ModalityScaler().fit(X),
    ):
        with pytest.raises(error, match=match):
            call()


@pytest.mark.parametrize("kind", ["array", "frame", "block"])
def test_dask_is_not_loaded(kind, monkeypatch):
    import dask.array
    import dask.dataframe

    def loaded(*_, **__):
        raise AssertionError("values were computed")

    frame = dask.dataframe.from_pandas(pd.DataFrame(BLOCKS["image"]), npartitions=2)
    array = dask.array.from_array(BLOCKS["image"])
    X = {"array": array, "frame": frame, "block": {"image": array}}[kind]
    monkeypatch.setattr(dask.base, "compute", loaded)
    for call in (
        lambda: as_multimodal(X),
        lambda: LateFusionClassifier().fit(X, LABELS),
        lambda: MarginSampling().query(LateFusionClassifier().fit(BLOCKS["image"], LABELS), X, 2),
    ):
        with pytest.raises(TypeError, match=r"is a dask.*\.compute\(\).*FeatureStore"):
            call()


def test_infinity_names_the_modality_and_the_row():
    with pytest.raises(ValueError, match="modality 'b' contains infinity in row 1"):
        LateFusionClassifier().fit({"a": [[1.0], [2.0]], "b": pl.Series([[1.0], [np.inf]])}, [0, 1])


# ------------------------------------------------------------------------------------------ layouts of tables

NAMED = pd.DataFrame(np.hstack(list(BLOCKS.values())), columns=[*(f"i__{c}" for c in range(5)), *(f"t__{c}" for c in range(3))])
TABLES = {"pandas": NAMED, "polars": pl.DataFrame(NAMED.to_dict("series")), "pyarrow": pa.Table.from_pandas(NAMED)}
LAYOUTS = {
    "widths": {"image": 5, "text": 3},
    "names": {"image": [f"i__{c}" for c in range(5)], "text": [f"t__{c}" for c in range(3)]},
    "prefixes": {"image": "i__", "text": "t__"},
    "selectors": {"image": make_column_selector("^i__"), "text": make_column_selector("^t__", dtype_include=np.number)},
    "callable": {"image": lambda table: [name.startswith("i") for name in table.columns], "text": lambda _: slice(5, 8)},
    "mixed": {"image": "i__", "text": slice(5, None)},
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_every_table(table, layout, tmp_path):
    X, modalities = TABLES[table], LAYOUTS[layout]
    expected = LateFusionClassifier().fit(BLOCKS, LABELS).predict_proba(BLOCKS)
    model = sklearn.clone(LateFusionClassifier(modalities)).fit(X, LABELS)
    assert model.feature_names_in_.tolist() == list(NAMED.columns)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-6)
    model.save(tmp_path / "model")
    loaded = LateFusionClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    again = sklearn.clone(loaded).fit(X, LABELS)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    pipeline = make_pipeline(ModalityScaler(modalities), LateFusionClassifier()).fit(X, LABELS)
    assert list(pipeline[-1].modalities_) == ["image", "text"]
    learner = ActiveLearner(model, "margin")
    learner.teach(X, LABELS)
    rows, instances = learner.query(X, n_instances=3)
    learner.teach(instances, LABELS[rows])
    assert len(learner.y_training) == N + 3


@pytest.mark.parametrize(
    ("modalities", "match"),
    [
        ({"image": "z__", "text": "t__"}, "modality 'image': X has no column named 'z__', and none that begins with it"),
        ({"image": make_column_selector("^z"), "text": "t__"}, r"modality 'image': the selector '\^z' matches none of X's"),
        ({"image": make_column_selector("."), "text": "t__"}, "column 5 .'t__0'. belongs to both 'image' and 'text'"),
        ({"image": "i__", "text": "i__"}, "column 0 .'i__0'. belongs to both"),
        ({"image": "i__"}, "3 of X's 8 columns belong to no modality .*t__0"),
        ({"image": "i__0", "text": "t__"}, "4 of X's 8 columns belong to no modality"),  # a column's own name is no prefix
        ({"image": lambda _: [], "text": "t__"}, "matches none"),
        ({"image": lambda _: ["zz"], "text": "t__"}, "X has no column 'zz'"),
        ({"image": lambda _: [True], "text": "t__"}, "returned 1 booleans, X has 8 columns"),
    ],
)
@pytest.mark.parametrize("table", TABLES)
def test_selections_that_do_not_fit(table, modalities, match):
    with pytest.raises(ValueError, match=match):
        LateFusionClassifier(modalities).fit(TABLES[table], LABELS)


def test_a_selection_by_name_needs_names():
    with pytest.raises(ValueError, match=r"modality 'image' selects its columns by name .*set_output"):
        LateFusionClassifier({"image": "i__", "text": "t__"}).fit(NAMED.to_numpy(), LABELS)


@pytest.mark.parametrize("layout", ["prefixes", "selectors"])
def test_behind_a_column_transformer_of_unknown_widths(layout):
    """The widths are the search's: only names say which column is whose."""
    parts = [("i", PCA(3), slice(0, 5)), ("t", PCA(0.9), slice(5, 8))]
    steps = ColumnTransformer(parts).set_output(transform="pandas")
    pipeline = make_pipeline(steps, LateFusionClassifier(LAYOUTS[layout]))
    search = GridSearchCV(pipeline, {"columntransformer__i__n_components": [1, 3]}, cv=3).fit(NAMED, LABELS)
    best = search.best_estimator_
    width = search.best_params_["columntransformer__i__n_components"]
    assert best[-1].modalities_["image"] == slice(0, width)
    by_hand = best[0].transform(NAMED).to_numpy()
    blocks = {"image": by_hand[:, :width], "text": by_hand[:, width:]}
    expected = LateFusionClassifier().fit(blocks, LABELS).predict_proba(blocks)
    np.testing.assert_allclose(search.predict_proba(NAMED), expected, atol=1e-6)


DISPATCHED = """
import warnings
import numpy as np, sklearn, torch
from samples import make_blocks
from sklearn.pipeline import make_pipeline
from skmmal import ActiveLearner, LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.query import BMMAL

warnings.filterwarnings("ignore", message=".*only one modality is left")
blocks, labels = make_blocks(n=40, dtype=np.float32)
tensors = {name: torch.as_tensor(block) for name, block in blocks.items()}
y, weights = torch.as_tensor(labels), torch.linspace(0.5, 2, 40)


def answers(X):
    model = make_pipeline(ModalityScaler(), LateFusionClassifier())
    model.fit(X, y, latefusionclassifier__sample_weight=weights)
    seen = model[0].transform(X)
    learner = ActiveLearner(LateFusionClassifier(), BMMAL(random_state=0), X[:20], y[:20])
    rows, instances = learner.query(X[20:], n_instances=4)
    learner.teach(instances, y[20:][rows])
    return [
        model.predict_proba(X), [model.score(X, y, sample_weight=weights)], model[-1].shapley_values(seen, y),
        list(model[-1].score_by_modality(seen, y).values()), rows, learner.predict_proba(X),
    ]


for X in (torch.cat(list(tensors.values()), dim=1), MultimodalArray(tensors)):
    expected = answers(X)
    with sklearn.config_context(array_api_dispatch=True):
        for found, right in zip(answers(X), expected, strict=True):
            np.testing.assert_array_equal(found, right)
print("equal")
"""


def test_array_api_dispatch_changes_nothing():
    """With dispatch on, scikit-learn keeps tensors as they are: nothing that comes in may reach it as one.

    In a process of its own, for SciPy reads its part of the setting when it is imported.
    """
    env = {**os.environ, "SCIPY_ARRAY_API": "1"}
    env["PYTHONPATH"] = os.pathsep.join([str(pathlib.Path(__file__).parent), env.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", DISPATCHED], env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "equal\n", done.stderr
