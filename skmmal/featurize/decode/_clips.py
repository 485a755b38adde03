"""Videos, and folders of frames."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skmmal.featurize._notes import remark
from skmmal.featurize.decode._containers import (
    declared_end,
    decode_packet,
    end_of,
    is_cut,
    is_short,
    length_of,
    open_media,
    stamp_of,
    start_of,
    video_stream,
)
from skmmal.featurize.decode._contents import Source, head_of, what
from skmmal.featurize.decode._pictures import IMAGE_SUFFIXES, image

SEEK_FROM = 10.0
"""Seconds to skip from which on decoding them would cost more than a seek."""

EPSILON = 1e-6

Timed = Iterator[tuple[float | None, Any]]
"""Frames and when they are shown."""


def frames(source: Source, count: int, fps: float, notes: dict[str, int] | None = None) -> list[np.ndarray]:
    """Take frames at a fixed rate from the middle of a video, or of a folder of frames.

    Parameters
    ----------
    source : path or BytesIO
        A video file, or a folder of images in the order of the numbers in their names, which are taken to have
        been extracted at `fps`. Hidden files are no frames.
    count : int
        Number of frames. A video that ends earlier repeats its last frame.
    fps : float
        Frames per second.
    notes : dict, optional
        Takes what is remarkable, such as a video that is cut short.

    Returns
    -------
    list of ndarray of uint8, shape (height, width, 3)
        Each is what is shown at its time: the last frame that began before, upright.

    Raises
    ------
    ValueError
        No video track, or no frames in it; the message names a frame of a folder that cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skmmal.featurize.decode import frames
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in range(6):
    ...         Image.new("L", (4, 3), number).save(Path(folder) / f"{number}.png")
    ...     found = frames(Path(folder), 2, fps=1.0)
    >>> [frame.shape for frame in found], [int(frame[0, 0, 0]) for frame in found]
    ([(3, 4, 3), (3, 4, 3)], [2, 3])
    """
    folder = isinstance(source, Path) and source.is_dir()
    found = _folder_frames(source, count, notes) if folder else _video_frames(source, count, fps, notes)
    return found + found[-1:] * (count - len(found))


def _folder_frames(folder: Any, count: int, notes: dict[str, int] | None) -> list[np.ndarray]:
    listed = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    files = sorted((file for file in listed if not file.name.startswith(".")), key=_natural)
    if not files:
        raise ValueError("no frames in it: the folder holds no images")
    start = max(0, (len(files) - count) // 2)
    found = []
    for file in files[start : start + count]:
        try:
            found.append(np.asarray(image(file.read_bytes(), notes)))
        except Exception as error:
            raise ValueError(f"frame {file.name}: {error}") from error
    return found


def _natural(path: Path) -> list[Any]:
    """Sort key that counts: frame 2 before frame 10."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", path.name)]


def _video_frames(source: Source, count: int, fps: float, notes: dict[str, int] | None) -> list[np.ndarray]:
    import av

    try:
        span = _span(source, notes)
    except (av.FFmpegError, OSError) as error:
        head = head_of(source)
        if head[4:8] == b"ftyp":
            raise ValueError("an MP4 file that cannot be read: its index is missing (cut short) or damaged") from error
        raise ValueError(f"not a video that FFmpeg reads: it is {what(head)}") from error
    if is_cut(source):
        remark(notes, "truncated", "the file is cut short")
    start = span.first + max(0.0, (span.length - count / fps) / 2)
    times = [start + k / fps for k in range(count)]
    found = _shown(source, span, times, notes)
    if not found:
        raise ValueError("no frames in it: nothing of the video track can be decoded")
    return found


# ------------------------------------------------------------------------------------------------ where it ends


@dataclass
class _Span:
    """When a video begins and how long it is, in seconds; and its frame rate, where it has no time stamps.

    After a seek some formats only guess what time it is.
    """

    first: float
    length: float
    rate: float | None = None
    seeks: bool = True


def _span(source: Source, notes: dict[str, int] | None) -> _Span:
    """Find out how long a video is: what a header says is believed where the video's end agrees with it."""
    with open_media(source) as container:
        stream = video_stream(container)
        first, length, said = start_of(stream), length_of(container, stream), declared_end(container, stream)
        frame = 1 / float(stream.guessed_rate or 25)
        ordered, seeks = _has_order(container, stream), container.format.name != "mpeg"
        if ordered and length is not None:
            end = _seek_to_end(container, stream, first + length)
            if end.agrees(first + length, frame):
                return _Span(first, length, seeks=seeks)
    with open_media(source) as container:
        stream = video_stream(container)
        end, others_end = _read_through(container, stream)
        if not end.n_packets:
            raise ValueError("no frames in it: nothing of the video track is there")
        if end.last is None:
            if not stream.guessed_rate:
                raise ValueError("no time stamps in it, and no frame rate")
            return _Span(0.0, end.n_packets * frame, rate=float(stream.guessed_rate))
        if ordered and length is not None and end.agrees(first + length, frame):
            return _Span(first, length, seeks=seeks)
        stop = end.last + frame
        if not ordered:
            length = length or max(stop - first, frame)
            return _Span(0.0, length, rate=end.n_packets / length)
        if said is not None and is_short(stop if stream.duration else max(stop, others_end), said):
            remark(notes, "truncated", f"the video ends at {stop:.1f} s, at {said:.1f} s according to its header")
    return _Span(first, stop - first, seeks=seeks)


def _has_order(container: Any, stream: Any) -> bool:
    """Whether time stamps say when frames are shown. AVI knows no other order than that of decoding."""
    return container.format.name != "avi" or stream.codec_context.name not in ("h264", "hevc")


@dataclass
class _End:
    """The packet of a stream that is shown last: when, and how long at most; and how many packets there are."""

    last: float | None = None
    duration: float = 0.0
    n_packets: int = 0

    def add(self, packet: Any) -> None:
        """Look at one more packet."""
        if not packet.size or packet.is_discard:
            return
        self.n_packets += 1
        stamp = stamp_of(packet)
        if stamp is None:
            return
        time = float(stamp * packet.time_base)
        if self.last is None or time > self.last:
            # where frames are reordered a packet's duration may be that until the next one is decoded: an upper limit
            self.last, self.duration = time, float((packet.duration or 0) * packet.time_base)

    def agrees(self, said: float, frame: float) -> bool:
        """Whether a stream may end then."""
        return self.last is not None and self.last <= said <= self.last + max(2 * frame, 0.1, self.duration + frame)


def _seek_to_end(container: Any, stream: Any, around: float) -> _End:
    import av

    end = _End()
    try:
        container.seek(int(around / stream.time_base), stream=stream)
        for packet in container.demux(stream):
            end.add(packet)
    except av.FFmpegError:
        return _End()
    return end


def _read_through(container: Any, stream: Any) -> tuple[_End, float]:
    """Return where the video and where everything else in a container ends."""
    import av

    end, others_end = _End(), 0.0
    with suppress(av.FFmpegError):  # the container is damaged from there on
        for packet in container.demux():
            if packet.stream.index == stream.index:
                end.add(packet)
            else:
                others_end = max(others_end, end_of(packet) or 0.0)
    return end, others_end


# ----------------------------------------------------------------------------------------------- what is shown


def _shown(source: Source, span: _Span, times: list[float], notes: dict[str, int] | None) -> list[np.ndarray]:
    """Decode from a key frame at or before the first time, further and further back until there is one."""
    import av

    lead = 0.0
    while True:
        target = times[0] - lead
        seeks = span.seeks and span.rate is None and target - span.first > (0.0 if lead else SEEK_FROM)
        with open_media(source) as container:
            stream = video_stream(container)
            stream.thread_type = "AUTO"
            bad: list[Any] = []
            decoded = _decoded(container, stream, span.rate, bad)
            if seeks:
                try:
                    container.seek(int(target / stream.time_base), stream=stream)
                    decoded = _from_key_frame(container, stream, bad)
                except av.FFmpegError:
                    decoded = iter(())
            head = next(decoded, None)
            if not seeks or (head is not None and head[0] is not None and head[0] <= times[0] + EPSILON):
                found = list(_pick(itertools.chain([head] if head is not None else [], decoded), times))
                if bad:
                    remark(notes, "damaged", "some of the video cannot be decoded")
                return found
        lead = max(SEEK_FROM, 2 * lead)


def _decoded(container: Any, stream: Any, rate: float | None, bad: list[Any]) -> Timed:
    """Decode all frames; without time stamps they follow each other at the frame rate."""
    counter = itertools.count()
    for packet in _packets(container, stream):
        for frame in _decode(packet, bad):
            yield (frame.time if rate is None else next(counter) / rate), frame


def _from_key_frame(container: Any, stream: Any, bad: list[Any]) -> Timed:
    """Decode what follows a seek from the first key frame on: what is shown before it lacks what it builds on."""
    packets = itertools.dropwhile(lambda packet: not packet.is_keyframe, _packets(container, stream))
    key = next(packets, None)
    if key is None:
        return
    begin = None if key.pts is None else float(key.pts * key.time_base)
    for packet in itertools.chain([key], packets):
        for frame in _decode(packet, bad):
            if begin is None or frame.time is None or (frame.time >= begin - EPSILON and not frame.is_corrupt):
                yield frame.time, frame


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    import av

    with suppress(av.FFmpegError):  # the container is damaged from there on
        yield from container.demux(stream)


def _decode(packet: Any, bad: list[Any]) -> list[Any]:
    found = decode_packet(packet)
    if found is None:
        bad.append(packet.dts)
    return found or []


def _pick(stream: Timed, times: list[float]) -> Iterator[np.ndarray]:
    """Yield, for each time, the frame that is shown then: the last one that began before."""
    shown = None
    wanted = iter(times)
    time = next(wanted)
    for begins, frame in stream:
        # a frame without a time stamp counts as shown at once
        while shown is not None and begins is not None and begins > time + EPSILON:
            yield _upright(shown)
            following = next(wanted, None)
            if following is None:
                return
            time = following
        shown = frame
    if shown is not None:
        yield _upright(shown)


def _upright(frame: Any) -> np.ndarray:
    """Return a frame's pixels, turned and mirrored as its display matrix says (by right angles)."""
    pixels = frame.to_ndarray(format="rgb24")
    matrix = next((bytes(data) for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
    if matrix is None or len(matrix) < 36:
        return pixels
    # the point (x, y) is shown at (a x + c y, b x + d y)
    a, b, _, c, d = np.frombuffer(matrix, dtype=np.int32)[:5].astype(int)
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    if a < 0:
        pixels = pixels[:, ::-1]
    if d < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
