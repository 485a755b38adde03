"""ModalityScaler against scikit-learn and its own promises."""

import math
from fractions import Fraction

import numpy as np
import pytest
from samples import containers, make_blocks
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmmal._chunks
from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray


def rms_norm(block):
    return np.sqrt((block[~np.isnan(block[:, 0])] ** 2).sum(axis=1).mean())


@pytest.mark.parametrize("elements", [256, 2**22])
def test_standard_is_standard_scaling_to_one_norm(elements, monkeypatch):
    monkeypatch.setattr(skmmal._chunks, "CHUNK_ELEMENTS", elements)
    blocks, _ = make_blocks(n=300, missing=0.3)
    blocks["image"] = blocks["image"] * 1000 + 77
    scaled = ModalityScaler(norm=5.0).fit_transform(MultimodalArray(blocks))
    for name, block in blocks.items():
        there = ~np.isnan(block[:, 0])
        assert rms_norm(scaled[name]) == pytest.approx(5.0)
        expected = StandardScaler().fit_transform(block[there]) * 5.0 / np.sqrt(block.shape[1])
        np.testing.assert_allclose(scaled[name][there], expected, atol=1e-12)
        assert np.isnan(scaled[name][~there]).all()


def test_row_norms():
    blocks, _ = make_blocks(missing=0.3)
    blocks["text"][3] = 0.0
    scaled = ModalityScaler(method="l2").fit_transform(MultimodalArray(blocks))
    for name in blocks:
        lengths = np.linalg.norm(scaled[name], axis=1)
        present = ~np.isnan(lengths)
        np.testing.assert_allclose(lengths[present & (lengths > 0)], 8.0)
    assert (scaled["text"][3] == 0).all()


def test_none_leaves_the_values():
    blocks, _ = make_blocks(missing=0.3)
    scaled = ModalityScaler(method="none").fit_transform(MultimodalArray(blocks))
    for name, block in blocks.items():
        np.testing.assert_array_equal(scaled[name], block)


def test_constant_columns_become_zero():
    values = np.column_stack([np.full(50, 0.1), np.arange(50.0), np.full(50, 1e6)])
    scaled = ModalityScaler().fit_transform(MultimodalArray({"a": values, "constant": np.ones((50, 2))}))
    assert (scaled["a"][:, [0, 2]] == 0).all()
    assert rms_norm(scaled["a"]) == pytest.approx(8.0)
    assert (scaled["constant"] == 0).all()


@pytest.mark.parametrize("form", ["matrix", "matrix-slices", "matrix-columns", "frame"])
def test_a_layout_survives_on_any_matrix(form):
    """A matrix with a layout comes out in blocks: as a matrix, whatever stands behind would see one modality."""
    blocks, y = make_blocks(missing=0.2)
    X, modalities = containers(blocks)[form]
    expected = ModalityScaler().fit_transform(MultimodalArray(blocks))
    scaled = ModalityScaler(modalities).fit_transform(X)
    assert scaled.modalities == {"image": 5, "text": 3}
    np.testing.assert_allclose(np.asarray(scaled), np.asarray(expected))
    direct = LateFusionClassifier().fit(expected, y).predict(expected)
    for layout in ({"image": 5, "text": 3}, None):
        pipeline = make_pipeline(ModalityScaler(modalities), LateFusionClassifier(layout))
        assert pipeline.fit(X, y).predict(X).tolist() == direct.tolist()
        assert list(pipeline[-1].modalities_) == ["image", "text"]


@pytest.mark.parametrize(
    ("dtype", "out"),
    [(np.float16, np.float32), (np.float32, np.float32), (np.float64, np.float64), (np.uint8, np.float32)],
)
def test_dtypes(dtype, out):
    blocks, _ = make_blocks()
    array = MultimodalArray({name: (block + 10).astype(dtype) for name, block in blocks.items()})
    assert ModalityScaler().fit_transform(array).dtype == out


def test_new_rows_are_scaled_as_the_fitted_ones():
    blocks, _ = make_blocks()
    X = MultimodalArray(blocks)
    scaler = ModalityScaler().fit(X)
    np.testing.assert_allclose(np.asarray(scaler.transform(X[7:9])), np.asarray(scaler.transform(X))[7:9])
    with pytest.raises(ValueError, match="'norm' parameter"):
        ModalityScaler(norm=0.0).fit(X)
    with pytest.raises(ValueError, match="modality 'text' is missing from X"):
        scaler.transform({"image": blocks["image"]})


@pytest.mark.parametrize("method", ["standard", "l2"])
def test_values_at_the_ends_of_the_range(method):
    for scale in (1e-300, 1e300):
        X = scale * np.array([[1.0, 2.0], [3.0, 5.0]])
        scaler = ModalityScaler({"a": 2}, method=method)
        if method == "standard" and scale > 1:
            with pytest.raises(ValueError, match="modality 'a' holds values that are too large"):
                scaler.fit(X)
        elif method == "l2":
            np.testing.assert_allclose(np.linalg.norm(scaler.fit_transform(X), axis=1), 8)


def test_a_fit_that_fails_leaves_nothing_fitted():
    blocks, _ = make_blocks(n=6)
    scaler = ModalityScaler().fit(blocks)
    blocks["image"][2, 0] = np.nan
    with pytest.raises(ValueError, match="partly NaN"):
        scaler.fit(blocks)
    with pytest.raises(NotFittedError):
        scaler.transform(make_blocks(n=6)[0])


def exact_moments(column):
    """Mean and standard deviation by rational arithmetic: nothing is rounded before the root."""
    values = [Fraction(value) for value in column.tolist()]
    mean = sum(values) / len(values)
    unit = max(abs(value - mean) for value in values)  # its square might be no float
    variance = sum(((value - mean) / unit) ** 2 for value in values) / len(values)
    return float(mean), float(unit) * math.sqrt(variance)


RNG = np.random.default_rng(0)
OFFSETS = {
    "unix times": 1.7e9 + 1e3 * RNG.standard_normal(300),
    "unix times in a morning": 1.7e9 + np.arange(300.0) * 60,
    "unix milliseconds": 1.7e12 + 1e3 * RNG.standard_normal(300),
    "whole numbers": np.int64(1_700_000_000) + RNG.integers(0, 5000, 300),
    "nanoseconds": np.int64(1_700_000_000_000_000_000) + 10**9 * RNG.integers(0, 5000, 300),
    "unix times, float32": (1.7e9 + 1e3 * RNG.standard_normal(300)).astype(np.float32),
    "a thousand, float16": (1000 + 2 * RNG.standard_normal(300)).astype(np.float16),
    "below zero": -1e7 + RNG.standard_normal(300),
    "one odd row": np.where(np.arange(300) == 7, 1.7e9 + 1, 1.7e9),
    "tiny": 1e-200 * RNG.standard_normal(300),
    "small beside its mean, tiny": 1e-200 * (1e6 + RNG.standard_normal(300)),
    "large": 1e150 * RNG.standard_normal(300),
    "pressure": (101_325 + 20 * RNG.standard_normal(300)).astype(np.float32),
}


@pytest.mark.parametrize("name", OFFSETS)
@pytest.mark.parametrize("elements", [64, 2**22])
@pytest.mark.parametrize("beside_missing", [False, True])
def test_a_column_varies_at_its_own_scale(name, elements, beside_missing, monkeypatch):
    monkeypatch.setattr(skmmal._chunks, "CHUNK_ELEMENTS", elements)
    column = OFFSETS[name]
    mean, deviation = exact_moments(column)
    block = np.column_stack([column, column[::-1]])
    there = np.arange(len(block)) >= 0
    if beside_missing and block.dtype.kind == "f":
        block = np.insert(block, 5, np.nan, axis=0)
        there = np.arange(len(block)) != 5
    other = np.ones((len(block), 1))
    scaler = ModalityScaler(norm=np.sqrt(2)).fit({"a": block, "b": other})
    np.testing.assert_allclose(scaler.mean_["a"], mean, rtol=1e-15, atol=1e-12 * deviation)
    np.testing.assert_allclose(scaler.scale_["a"], 1 / deviation, rtol=1e-9)
    scaled = scaler.transform({"a": block, "b": other})["a"][there, 0]
    assert np.isfinite(scaled).all()
    np.testing.assert_allclose(scaled.std(), 1, rtol=1e-3)
    assert abs(scaled.mean()) < 1e-3


@pytest.mark.parametrize(
    "column",
    [
        np.full(500, 0.1),
        np.full(500, 1.7e9),
        np.full(500, 1.7e18),
        np.full(500, -1e-300),
        np.full(500, 0.1, dtype=np.float32),
        np.full(500, 0.1, dtype=np.float16),
        np.full(500, 7, dtype=np.int64),
        np.zeros(500),
        np.where(np.arange(500) % 2, 0.1 + 0.2, 0.3),
        np.float32(1.7e9) + np.float32(128) * (np.arange(500) % 2).astype(np.float32),
        np.nextafter(np.float16(3), np.float16(4) * (np.arange(500) % 2).astype(np.float16)),
    ],
)
def test_constant_up_to_rounding(column):
    """Neighbours in the column's type: two roundings of one number, not two numbers."""
    block = np.column_stack([column, np.arange(500)]) if column.dtype == np.float64 else column[:, None]
    scaler = ModalityScaler().fit({"a": block, "b": np.ones((500, 1))})
    assert scaler.scale_["a"][0] == 0
    assert (scaler.transform({"a": block, "b": np.ones((500, 1))})["a"][:, 0] == 0).all()


def test_the_mean_of_many_rows_in_a_file(tmp_path):
    """A mapped file in chunks, with an offset: as exact as in one piece."""
    n = 200_000
    signal = np.sin(np.arange(n))
    np.save(tmp_path / "block.npy", np.column_stack([1.7e9 + signal, 1e-3 * signal, np.full(n, 0.1)]))
    mapped = np.load(tmp_path / "block.npy", mmap_mode="r")
    scaler = ModalityScaler(norm=np.sqrt(2)).fit({"a": mapped})
    rounded = (1.7e9 + signal) - 1.7e9  # exact: what the file holds
    np.testing.assert_allclose(1 / scaler.scale_["a"][:2], [rounded.std(), 1e-3 * signal.std()], rtol=1e-9)
    assert scaler.scale_["a"][2] == 0
    assert scaler.mean_["a"][0] == pytest.approx(1.7e9 + rounded.mean(), abs=1e-6)
