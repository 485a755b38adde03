"""ModalityScaler against scikit-learn and its own promises."""

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
