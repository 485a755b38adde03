"""Images: wide samples in their range, one message in every run, bounded memory."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from skmmal.featurize import decode
from skmmal.featurize._notes import Notes

from .media import write_png

RAMP = np.arange(48 * 64).reshape(48, 64) / (48 * 64 - 1)


def tiff(values, **tags):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF", tiffinfo={int(key[1:]): value for key, value in tags.items()})
    return file.getvalue()


def seen(data):
    notes = Notes()
    return np.asarray(decode.image(data, notes)).astype(int)[..., 0], notes.remarks


@pytest.mark.parametrize(
    ("top", "dtype", "tags", "noted"),
    [
        (65535, np.uint16, {}, False),
        (65535, np.uint16, {"t281": 65535}, False),
        (1000, np.uint16, {"t281": 1000}, False),
        (4095, np.uint16, {"t281": 4095}, False),
        (4095, np.uint16, {}, True),
        (2**31 - 1, np.int32, {}, False),
        (65535, np.int32, {}, True),
        (4095, np.int32, {}, True),
        (1.0, np.float32, {}, False),
    ],
)
def test_wide_samples_fill_0_to_255(top, dtype, tags, noted):
    found, remarks = seen(tiff((RAMP * top).astype(dtype), **tags))
    np.testing.assert_allclose(found, RAMP * 255, atol=1.3)
    assert ("range" in remarks) == noted


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("top", [200, 255])
def test_values_up_to_255_stay_as_they_are(dtype, top):
    values = (RAMP * top).astype(np.uint8)
    found, remarks = seen(tiff(values.astype(dtype)))
    np.testing.assert_array_equal(found, values)
    assert remarks == {}


def test_white_may_be_zero_in_a_wide_tiff():
    found, _ = seen(tiff((RAMP * 65535).astype(np.uint16), t262=0))
    np.testing.assert_allclose(found, 255 - RAMP * 255, atol=1.01)


def test_signed_values_below_zero_are_scaled_by_their_type_and_noted():
    found, remarks = seen(tiff((RAMP * 2000 - 1000).astype(np.int32)))
    assert set(np.unique(found)) <= {127, 128}
    assert "from -1000 to 1000" in remarks["range"]
    full = np.linspace(-(2**31), 2**31 - 1, 48 * 64).astype(np.int32).reshape(48, 64)
    found, remarks = seen(tiff(full))
    np.testing.assert_allclose(found, RAMP * 255, atol=1.01)
    assert remarks == {}


@pytest.mark.parametrize("values", [RAMP * 2 - 1, RAMP * 1000, np.where(RAMP == 0, np.nan, RAMP)])
def test_floats_in_an_unknown_range_are_refused(values):
    with pytest.raises(ValueError, match="floating-point values from .* only known in 0..1 and in 0..255"):
        decode.image(tiff(values.astype(np.float32)))


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize(("factor", "noted"), [(257, False), (16, True), (1, False)])
def test_colors_of_16_bits(channels, factor, noted, tmp_path):
    """Pillow keeps the upper byte of each sample alone, which is nothing where 12 or 8 bits are used."""
    gray = (RAMP * 255).astype(np.uint16)
    values = np.stack([gray * factor] * channels, axis=-1)
    if channels in (2, 4):
        values[..., -1] = 65535
    write_png(tmp_path / "x.png", values)
    found, remarks = seen((tmp_path / "x.png").read_bytes())
    np.testing.assert_allclose(found, gray, atol=1)
    assert ("range" in remarks) == noted


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html>\n<html><head><title>403</title>", "an HTML page"),
        (b"\xef\xbb\xbf\n<HTML><body>", "an HTML page"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "a git-lfs pointer"),
        (b"../.git/annex/objects/a/b", "a git-annex pointer"),
        (b"%PDF-1.7", "a PDF"),
        (bytes(100), "nothing but zero bytes"),
        (b"\x01\x02\x03", "not known, or damaged"),
    ],
)
def test_what_is_no_image_says_what_it_is_and_the_same_each_time(content, message):
    texts = []
    for _ in range(2):
        with pytest.raises(ValueError, match=message) as caught:
            decode.image(bytes(bytearray(content)))
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("size", [(20000, 1), (1, 20000), (9000, 30)])
def test_the_middle_of_a_very_long_image(size):
    picture = Image.new("RGB", size, "red")
    middle = (size[0] // 2, size[1] // 2)
    picture.putpixel(middle, (0, 255, 0))
    notes = Notes()
    found = decode.bounded(picture, notes)
    assert max(found.size) == 100 * min(size)
    assert np.argwhere(np.asarray(found)[..., 1] == 255).shape == (1, 2)
    assert "cropped" in notes.remarks
    same = Image.new("RGB", (3000, 30))
    assert decode.bounded(same) is same
