"""Images."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from skmmal.featurize._notes import remark
from skmmal.featurize.decode._contents import HEAD, what

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"))
LONGEST = 100
"""Times as long as wide an image may be: scaled by its short side, a longer one would fill the memory."""

_ORIENTATION, _BITS, _PHOTOMETRIC, _FORMAT = 274, 258, 262, 339  # tags of TIFF
_RANGES = ((340, 341), (280, 281))  # black and white as a TIFF may name them

Tags = Mapping[int, Any]


def image(data: bytes, notes: dict[str, int] | None = None) -> Image.Image:
    """Decode an image as RGB: upright, transparency on white, an animation's first frame.

    Samples of more than 8 bits are scaled by the range that the file names, or else by that of their type; values in
    0..255 stay as they are. Where values fill so little of their type that it can hardly be meant (12 bits in 16), they
    are scaled by what they fill, which is noted. Floats are taken in 0..1 or 0..255.

    Parameters
    ----------
    data : bytes
        The file's.
    notes : dict, optional
        Takes what is remarkable.

    Returns
    -------
    PIL.Image.Image
        Of mode RGB.

    Raises
    ------
    ValueError
        No image that Pillow reads, or floats in an unknown range.
    OSError
        It is damaged.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> from skmmal.featurize.decode import image
    >>> file = io.BytesIO()
    >>> Image.new("RGBA", (4, 3)).save(file, "PNG")
    >>> image(file.getvalue()).getpixel((0, 0))  # transparency on white
    (255, 255, 255)
    """
    try:
        picture: Image.Image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise ValueError(f"not an image that Pillow reads: it is {what(data[:HEAD])}") from None
    tags: Tags = dict(getattr(picture, "tag_v2", {}))
    kind, orientation = picture.format, picture.getexif().get(_ORIENTATION, 1)
    picture.load()
    deep = _deep_colors(picture, kind, tags, data)
    if deep is not None:
        picture = _eight_bit_colors(deep, notes)
        picture.getexif()[_ORIENTATION] = orientation
    picture = ImageOps.exif_transpose(picture)
    if picture.mode == "F":
        picture = _from_floats(picture, tags)
    elif picture.mode.startswith("I") or (picture.mode == "L" and _signed(tags)):
        picture = _from_integers(picture, kind, tags, notes)
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA"):
        picture = picture.convert("RGBA")
        canvas = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(canvas, picture)
    return picture.convert("RGB")


def bounded(picture: Image.Image, notes: dict[str, int] | None = None) -> Image.Image:
    """Cut the middle out of an image that is more than 100 times as long as wide.

    Parameters
    ----------
    picture : PIL.Image.Image
        Of any size.
    notes : dict, optional
        Takes a remark where something is cut.

    Returns
    -------
    PIL.Image.Image
        The picture itself, or its middle.

    Examples
    --------
    >>> from PIL import Image
    >>> from skmmal.featurize.decode import bounded
    >>> bounded(Image.new("RGB", (2000, 10))).size
    (1000, 10)
    """
    width, height = picture.size
    most = LONGEST * min(width, height)
    if max(width, height) <= most:
        return picture
    remark(notes, "cropped", f"{width} × {height} pixels: the middle {most} of the long side are taken")
    left, top = max(0, (width - most) // 2), max(0, (height - most) // 2)
    return picture.crop((left, top, left + min(width, most), top + min(height, most)))


# ---------------------------------------------------------------------------------- more than eight bits a sample


def _signed(tags: Tags) -> bool:
    return 2 in _several(tags.get(_FORMAT, 1))


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _named_range(tags: Tags) -> tuple[float, float] | None:
    """Return the values of black and white that a TIFF names."""
    for low, high in _RANGES:
        if high in tags:
            black, white = (float(_several(tags.get(tag, 0))[0]) for tag in (low, high))
            if white > black:
                return black, white
    return None


def _from_integers(picture: Image.Image, kind: str | None, tags: Tags, notes: dict[str, int] | None) -> Image.Image:
    values = np.asarray(picture)
    bits, signed = 16, False
    if kind == "TIFF":
        bits, signed = int(_several(tags.get(_BITS, 1))[0]), _signed(tags)
        if bits == 8:
            values = values.view(np.int8)
        elif bits == 32 and not signed:  # Pillow has no unsigned mode of 32 bits
            values = values.view(np.uint32)
    elif picture.mode == "I" and kind not in ("PPM", "PNG"):  # of these two Pillow makes 16 bits
        bits, signed = 32, True
    made = _eight_bits(values.astype(np.int64), bits, signed, _named_range(tags), notes)
    return Image.fromarray(255 - made if tags.get(_PHOTOMETRIC) == 0 else made)


def _eight_bits(
    values: np.ndarray, bits: int, signed: bool, named: tuple[float, float] | None, notes: dict[str, int] | None
) -> np.ndarray:
    """Scale integers to 0..255, by the range they are meant in (see `image`)."""
    low, high = int(values.min()), int(values.max())
    black, white = 0, 2 ** (bits - signed) - 1
    if named is not None and white > named[1] >= high and named[0] <= low:
        black, white = int(named[0]), int(named[1])
    elif low >= 0 and high <= 255:
        return values.astype(np.uint8)
    elif low < 0:
        black = -white - 1
        if high - low < (white - black) // 16:
            _remark_range(notes, low, high, f"scaled by the whole range, {black} to {white}")
    else:
        narrow = next((2**b - 1 for b in (12, 16) if high < 2**b < white), None)
        if narrow is not None:
            white = narrow
            _remark_range(notes, low, high, f"taken for values in 0..{white}")
    return (((values - black) * 256) // (white - black + 1)).astype(np.uint8)


def _remark_range(notes: dict[str, int] | None, low: int, high: int, done: str) -> None:
    remark(notes, "range", f"values from {low} to {high} fill little of their type: {done}")


def _from_floats(picture: Image.Image, tags: Tags) -> Image.Image:
    values = np.asarray(picture).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    named = _named_range(tags)
    if named is not None and named[0] <= low and high <= named[1]:
        values = (values - named[0]) / (named[1] - named[0])
    elif not (low >= 0 and high <= 255):  # NaN is neither
        raise ValueError(
            f"floating-point values from {low:g} to {high:g}: what is black and what is white is only known in 0..1 "
            "and in 0..255; save it with 8 or 16 bits"
        )
    elif high > 1 + 1e-6:
        return picture
    if tags.get(_PHOTOMETRIC) == 0:
        values = 1 - values
    return Image.fromarray(np.rint(values.clip(0, 1) * 255).astype(np.uint8))


def _deep_colors(picture: Image.Image, kind: str | None, tags: Tags, data: bytes) -> np.ndarray | None:
    """Return the 16 bits of a color image, of which Pillow keeps the upper 8, where those are next to nothing."""
    if kind == "PNG":
        deep = data[24:26] in (b"\x10\x02", b"\x10\x04", b"\x10\x06")  # 16 bits of RGB, LA, RGBA
    else:
        bits = _several(tags.get(_BITS, 8))
        deep = kind == "TIFF" and len(bits) > 1 and set(bits) == {16}
    if not deep or picture.mode not in ("RGB", "RGBA", "LA"):
        return None
    upper = np.asarray(picture.convert("RGBA"))[..., :3]
    if upper.max(initial=0) > 15:
        return None
    import av

    with av.open(io.BytesIO(data), mode="r") as container:
        frame = next(container.decode(video=0))
        if not any(part.bits > 8 for part in frame.format.components):
            raise ValueError("16 bits a sample, nearly all of them 0, and FFmpeg does not read the rest of them")
        return frame.to_ndarray(format="rgba64le")


def _eight_bit_colors(values: np.ndarray, notes: dict[str, int] | None) -> Image.Image:
    colors = _eight_bits(values[..., :3].astype(np.int64), 16, False, None, notes)
    return Image.fromarray(np.concatenate([colors, (values[..., 3:] >> 8).astype(np.uint8)], axis=-1))
