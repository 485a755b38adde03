"""From bytes on disk to pixels and samples, with Pillow, libsndfile and FFmpeg (through PyAV)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"))


def image(data: bytes) -> Image.Image:
    """Decode an image as RGB: upright, transparency on white, an animation's first frame."""
    picture: Image.Image = Image.open(io.BytesIO(data))
    picture.load()
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16") or picture.mode == "I":  # Pillow would clip 16 bits instead of scaling them
        picture = Image.fromarray((np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA"):
        picture = picture.convert("RGBA")
        canvas = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(canvas, picture)
    return picture.convert("RGB")


# --------------------------------------------------------------------------------------------------------- sound


def sound(path: Path) -> tuple[np.ndarray, int]:
    """Decode a sound file, or the sound track of a video, as mono.

    Returns
    -------
    samples : ndarray of float32, shape (n_samples,)
        The mean of the channels, in -1..1.
    rate : int
        Samples per second.

    Raises
    ------
    ValueError
        No sound in it.
    """
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        return _track(path, error)
    if len(samples) == 0:
        raise ValueError("no samples in the sound file")
    return samples.mean(axis=1, dtype=np.float32), int(rate)


def _track(path: Path, first_error: Exception) -> tuple[np.ndarray, int]:
    import av

    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError):
        raise ValueError(f"neither a sound file nor a video ({first_error})") from None
    with container:
        if not container.streams.audio:
            raise ValueError("no audio track")
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=stream.rate)
        parts = [
            converted.to_ndarray()[0]
            for frame in (*container.decode(stream), None)
            for converted in resampler.resample(frame)
        ]
    if not parts:
        raise ValueError("no samples in the audio track")
    return np.concatenate(parts).astype(np.float32), int(stream.rate)


def resample(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Resample with a polyphase filter."""
    if rate == target:
        return samples
    from math import gcd

    from scipy.signal import resample_poly

    divisor = gcd(rate, target)
    return resample_poly(samples, target // divisor, rate // divisor).astype(np.float32)


def windows(n_samples: int, size: int, minimum: int) -> list[slice]:
    """Cut a recording into windows of `size`; a rest shorter than `minimum` is left out, unless it is all.

    Examples
    --------
    >>> windows(25, 10, 3)
    [slice(0, 10, None), slice(10, 20, None), slice(20, 25, None)]
    >>> windows(21, 10, 3), windows(2, 10, 3)
    ([slice(0, 10, None), slice(10, 20, None)], [slice(0, 2, None)])
    """
    parts = [slice(start, min(start + size, n_samples)) for start in range(0, n_samples, size)]
    if len(parts) > 1 and parts[-1].stop - parts[-1].start < minimum:
        parts.pop()
    return parts


# --------------------------------------------------------------------------------------------------------- video


def frames(path: Path, count: int, fps: float) -> list[np.ndarray]:
    """Take frames at a fixed rate from the middle of a video, or of a folder of frames.

    Parameters
    ----------
    path : path
        A video file, or a folder of images in the order of the numbers in their names, which are taken to have
        been extracted at `fps`.
    count : int
        Number of frames. A video that ends earlier repeats its last frame.
    fps : float
        Frames per second.

    Returns
    -------
    list of ndarray of uint8, shape (height, width, 3)
    """
    found = _folder_frames(path, count) if path.is_dir() else _video_frames(path, count, fps)
    if not found:
        raise ValueError("no frames in it")
    return found + found[-1:] * (count - len(found))


def _folder_frames(path: Path, count: int) -> list[np.ndarray]:
    files = sorted((file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES), key=_natural)
    start = max(0, (len(files) - count) // 2)
    return [np.asarray(image(file.read_bytes())) for file in files[start : start + count]]


def _natural(path: Path) -> list[Any]:
    """Sort key that counts: frame 2 before frame 10."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", path.name)]


def _video_frames(path: Path, count: int, fps: float) -> list[np.ndarray]:
    import av

    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("no video track")
        stream: Any = container.streams.video[0]
        stream.thread_type = "AUTO"
        duration = _seconds(container, stream)
        first = float(stream.start_time * stream.time_base) if stream.start_time else 0.0
        start = first + max(0.0, (duration - count / fps) / 2)
        if start - first > 10:  # decoding what is skipped would cost more than the seek
            container.seek(int(start / stream.time_base), stream=stream)
        times = [start + k / fps for k in range(count)]
        return list(_pick(container.decode(stream), times))


def _pick(stream: Iterator[Any], times: list[float]) -> Iterator[np.ndarray]:
    """Yield, for each time, the frame that is shown then: the last one that began before."""
    shown = None
    wanted = iter(times)
    time = next(wanted)
    for frame in stream:
        # a frame without a time stamp counts as shown at once
        while shown is not None and frame.time is not None and frame.time > time + 1e-6:
            yield shown.to_ndarray(format="rgb24")
            following = next(wanted, None)
            if following is None:
                return
            time = following
        shown = frame
    if shown is not None:
        yield shown.to_ndarray(format="rgb24")


def _seconds(container: Any, stream: Any) -> float:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else 0.0
