"""Containers that FFmpeg reads: which of their streams counts, where they end, whether something is missing."""

from __future__ import annotations

import io
from typing import Any

from featurize.decode.contents import Source

_DECLARING = frozenset(("mov", "matroska", "avi", "asf", "flv", "wav", "aiff", "caf", "w64", "au"))
"""Formats whose header says how long they are. Of the others FFmpeg looks at the end, or guesses."""

MISSING = 0.25
"""Seconds that may be missing at the end (and a hundredth): headers round, encoders fill up."""


def open_media(source: Source) -> Any:
    """Open a container; what it refers to elsewhere is not followed."""
    import av

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
    return None if length is None else start_of(stream) + length


def end_of(packet: Any) -> float | None:
    """Return when what a packet holds ends, in seconds."""
    stamp = packet.pts if packet.pts is not None else packet.dts
    if stamp is None:
        return None
    return float((stamp + (packet.duration or 0)) * packet.time_base)


def is_short(end: float | None, said: float) -> bool:
    """Whether a stream that ends here is cut short."""
    return end is None or end < said - MISSING - 0.01 * said
