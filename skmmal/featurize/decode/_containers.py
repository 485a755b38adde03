"""Containers that FFmpeg reads: which of their streams counts, where they end, whether something is missing."""

from __future__ import annotations

import io
from typing import Any

from skmmal.featurize.decode._contents import HEAD, Source, head_of, is_text, opened, what

_DECLARING = frozenset(("mov", "matroska", "avi", "asf", "flv", "wav", "aiff", "caf", "w64", "au"))
"""Formats whose header says how long they are. Of the others FFmpeg looks at the end, or guesses."""

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # the object with the file's size

MISSING = 0.25
"""Seconds that may be missing at the end (and a hundredth): headers round, encoders fill up."""


def open_media(source: Source) -> Any:
    """Open a container; what it refers to elsewhere is not followed, and a text is none."""
    import av

    head = head_of(source)
    if is_text(head):
        raise ValueError(f"neither sound nor video: it is {what(head)}")
    if isinstance(source, io.BytesIO):
        source.seek(0)
        return av.open(source)
    return av.open(f"file:{source}", options={"protocol_whitelist": "file"})


def audio_stream(container: Any) -> Any:
    """Return the stream that is heard."""
    if not container.streams.audio:
        raise ValueError("no audio track")
    return container.streams.audio[0]


def video_stream(container: Any) -> Any:
    """Return the stream that is seen; the cover of a sound file is none."""
    from av.stream import Disposition

    moving = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not moving:
        raise ValueError(f"no video track{' (a cover picture is none)' if container.streams.video else ''}")
    return moving[0]


def start_of(stream: Any) -> float:
    """Return when a stream begins, in seconds."""
    return float(stream.start_time * stream.time_base) if stream.start_time else 0.0


def length_of(container: Any, stream: Any) -> float | None:
    """Return how long a stream is according to FFmpeg, which may have read it or guessed."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def declared_end(container: Any, stream: Any) -> float | None:
    """Return when a stream (or a container, for all of its streams) ends according to a header."""
    if not _DECLARING & set(container.format.name.split(",")):
        return None
    length = length_of(container, stream)
    if container.format.name == "avi" and stream.frames:  # FFmpeg's length is that of what is there
        length = max(length or 0.0, float(stream.frames * stream.time_base))
    if length is None or not stream.duration:  # what a container gives counts from zero
        return length
    return start_of(stream) + length


def stamp_of(packet: Any) -> int | None:
    """Return when what a packet holds is shown, or else decoded, in its time base."""
    return packet.pts if packet.pts is not None else packet.dts


def decode_packet(packet: Any) -> list[Any] | None:
    """Return a packet's frames, None where it cannot be decoded."""
    import av

    try:
        return packet.decode()
    except av.error.InvalidDataError:
        return None


def end_of(packet: Any) -> float | None:
    """Return when what a packet holds ends, in seconds."""
    stamp = stamp_of(packet)
    if stamp is None:
        return None
    return float((stamp + (packet.duration or 0)) * packet.time_base)


def is_cut(source: Source) -> bool:
    """Whether the file itself ends before its outermost structure does (RIFF, ASF, MP4 and its kin)."""
    with opened(source) as file:
        head = file.read(HEAD)
        size = file.seek(0, io.SEEK_END)
        if head[:4] == b"RIFF":
            said = int.from_bytes(head[4:8], "little") + 8
            return size < said < 2**31 - 2**16  # larger ones are of files written to a pipe
        if head.startswith(_ASF):
            place = head.find(_ASF_FILE)
            return place >= 0 and size < int.from_bytes(head[place + 40 : place + 48], "little") < 2**62
        place = 0
        while head[4:8] == b"ftyp" and place < size:
            file.seek(place)
            box = file.read(16)
            length = int.from_bytes(box[:4], "big")
            length = int.from_bytes(box[8:16], "big") if length == 1 else length or size - place
            place += max(length, 8)
        return place > size


def is_short(end: float | None, said: float) -> bool:
    """Whether a stream that ends here is cut short."""
    return end is None or end < said - MISSING - 0.01 * said
