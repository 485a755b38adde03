"""Sound: decoded, mixed down and resampled piece by piece, so that its length costs no memory."""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from math import ceil, gcd
from typing import Any

import numpy as np

from skmmal.featurize._notes import remark
from skmmal.featurize.decode._containers import (
    audio_stream,
    declared_end,
    decode_packet,
    end_of,
    is_cut,
    is_short,
    open_media,
)
from skmmal.featurize.decode._contents import Source, head_of, opened, what

BLOCK = 2**18
"""Samples read at once."""

UNKNOWN = 2**60
"""Samples that no file holds: what libsndfile says where a header does not."""

PIECE_SECONDS = 30
"""Seconds resampled at once."""

Blocks = Generator[tuple[int, np.ndarray], None, None]
"""Rate and samples, mono, of one piece after another."""


def sound(source: Source, notes: dict[str, int] | None = None) -> tuple[np.ndarray, int]:
    """Decode a sound file, or the sound track of a video, as mono.

    Its length is what decodes, whatever a header says.

    Parameters
    ----------
    source : path or BytesIO
        A file, or the bytes of one.
    notes : dict, optional
        Takes what is remarkable, such as a recording that is cut short.

    Returns
    -------
    samples : ndarray of float32, shape (n_samples,)
        The mean of the channels; full scale is -1..1.
    rate : int
        Samples per second.

    Raises
    ------
    ValueError
        No sound in it, or it is damaged.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> import soundfile
    >>> from skmmal.featurize.decode import sound
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.stack([np.full(800, 0.5), np.zeros(800)], axis=1), 8000, format="WAV")
    >>> samples, rate = sound(file)
    >>> samples.shape, float(samples[0]), rate
    ((800,), 0.25, 8000)
    """
    rates, parts = [], []
    for rate, samples in _blocks(source, notes):
        rates.append(rate)
        parts.append(samples if rate == rates[0] else resample(samples, rate, rates[0]))
    return np.concatenate(parts), rates[0]


def sound_windows(
    source: Source, rate: int, size: int, minimum: int, notes: dict[str, int] | None = None, first: int = 0
) -> Iterator[np.ndarray]:
    """Cut a recording into windows as `windows` does, without ever holding more than a few of them.

    Parameters
    ----------
    source : path or BytesIO
        A file, or the bytes of one.
    rate : int
        Samples per second of what is given out.
    size, minimum : int
        Samples of a window, and the least that a last one holds.
    notes : dict, optional
        Takes what is remarkable.
    first : int, default=0
        Window to begin with.

    Yields
    ------
    ndarray of float32, shape (at most `size`,)

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> import soundfile
    >>> from skmmal.featurize.decode import sound_windows
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.zeros(2500), 8000, format="WAV")
    >>> [len(window) for window in sound_windows(file, 8000, size=1000, minimum=200)]
    [1000, 1000, 500]
    """
    held, n_held, number = [], 0, 0
    with closing(_blocks(source, notes)) as blocks:
        for samples in _resampled(blocks, rate, first * size):
            held.append(samples)
            n_held += len(samples)
            if n_held < size:
                continue
            joined = np.concatenate(held)
            whole = len(joined) // size
            yield from joined[: whole * size].reshape(whole, size)[max(0, first - number) :]
            held, n_held, number = [joined[whole * size :].copy()], n_held - whole * size, number + whole
    if n_held and number >= first and (n_held >= minimum or number == 0):
        yield np.concatenate(held)


def windows(n_samples: int, size: int, minimum: int) -> list[slice]:
    """Cut a recording into windows of `size`; a rest shorter than `minimum` is left out, unless it is all.

    Parameters
    ----------
    n_samples : int
        Of the recording.
    size, minimum : int
        Samples of a window, and the least that a last one holds.

    Returns
    -------
    list of slice
        The windows, in their order.

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


# ---------------------------------------------------------------------------------------------------- resampling


def resample(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Resample with a polyphase filter.

    Parameters
    ----------
    samples : ndarray of float32, shape (n_samples,)
        One channel.
    rate, target : int
        Samples per second that it has, and that it is to have.

    Returns
    -------
    ndarray of float32, shape (n_samples * target / rate,)
        Rounded up.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.featurize.decode import resample
    >>> resample(np.zeros(44_100, dtype=np.float32), 44_100, 16_000).shape
    (16000,)
    """
    if rate == target:
        return samples
    from scipy.signal import resample_poly

    divisor = gcd(rate, target)
    return resample_poly(samples, target // divisor, rate // divisor).astype(np.float32)


def _resampled(blocks: Blocks, target: int, skip: int) -> Iterator[np.ndarray]:
    """Resample pieces to what `resample` makes of the whole, sample for sample; what is skipped may be anything."""
    held = np.zeros(0, dtype=np.float32)
    past = rate_now = n_given = 0
    for rate, samples in blocks:
        if rate != rate_now and rate_now:  # a stream may change its rate
            yield _piece(held, rate_now, target, past, len(held))
            held, past = held[:0], 0
        rate_now = rate
        held = np.concatenate([held, samples])
        down, reach = _reach(rate, target)
        piece = max(1, PIECE_SECONDS * rate // down) * down
        while len(held) >= past + piece + reach:
            length = piece * target // rate
            n_given += length
            if n_given <= skip:
                yield np.zeros(length, dtype=np.float32)
            else:
                yield _piece(held[: past + piece + reach], rate, target, past, past + piece)
            kept = min(reach, past + piece)
            held, past = held[past + piece - kept :], kept
    if rate_now:
        yield _piece(held, rate_now, target, past, len(held))


def _reach(rate: int, target: int) -> tuple[int, int]:
    """Return the input period of the filter, and how many input samples it looks to each side, in whole periods."""
    divisor = gcd(rate, target)
    up, down = target // divisor, rate // divisor
    if up == down:
        return 1, 0
    return down, ceil((10 * max(up, down) / up + 1) / down) * down  # scipy's filter has 10 zeros to each side


def _piece(held: np.ndarray, rate: int, target: int, start: int, stop: int) -> np.ndarray:
    """Resample, and keep what belongs to the input from `start` (whole periods) to `stop`."""
    made = resample(held, rate, target)
    return made[start * target // rate : -(-stop * target // rate)]


# ------------------------------------------------------------------------------------------------------ decoding


def _blocks(source: Source, notes: dict[str, int] | None) -> Blocks:
    found = False
    for rate, samples in _decoded(source, notes):
        found = found or len(samples) > 0
        yield rate, samples
    if not found:
        raise ValueError("no samples in it")


def _decoded(source: Source, notes: dict[str, int] | None) -> Blocks:
    import soundfile

    try:
        file = soundfile.SoundFile(_rewound(source))
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a name ending in .raw
        yield from _ffmpeg_blocks(source, notes)
        if "malformed" in str(error):
            remark(notes, "damaged", "the file is malformed, or cut short")
        return
    with file:
        if not _reads_badly(file, source):
            yield from _soundfile_blocks(file, source, notes)
            return
    yield from _ffmpeg_blocks(source, notes)


def _reads_badly(file: Any, source: Source) -> bool:
    """Whether libsndfile does not read a file to its end."""
    if file.format.startswith("MP"):  # of MPEG layers it reads as much as a header or a guess says
        return True
    if file.frames >= UNKNOWN:  # a FLAC stream written to a pipe
        return True
    return file.format == "OGG" and _ogg_links(source)[0] > 1  # of streams that follow each other it reads the first


def _rewound(source: Source) -> Any:
    if isinstance(source, io.BytesIO):
        source.seek(0)
        return source
    return str(source)


def _soundfile_blocks(file: Any, source: Source, notes: dict[str, int] | None) -> Blocks:
    import soundfile

    n_read = 0
    while True:
        try:
            block = file.read(BLOCK // file.channels + 1, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            seconds = n_read / file.samplerate
            raise ValueError(f"a damaged sound file: nothing can be decoded after {seconds:.1f} s ({error})") from None
        if len(block) == 0:
            break
        n_read += len(block)
        yield int(file.samplerate), block.mean(axis=1, dtype=np.float32)
    log = file.extra_info
    if n_read == 0:
        if re.search(r"^(data|SSND) +: 0$", log, re.MULTILINE):
            raise ValueError("no samples: the file's header says that it holds none (it was not finished)")
        raise ValueError("no samples: the file ends after its header")
    if file.frames > n_read:
        remark(notes, "truncated", f"{n_read} of {file.frames} samples are there")
    elif _outer_size_is_short(log) or (file.format == "OGG" and not _ogg_links(source)[1]):
        remark(notes, "truncated", f"the file is cut short; {n_read / file.samplerate:.1f} s are there")


def _outer_size_is_short(log: str) -> bool:
    """Whether libsndfile found a file to be shorter than its header says (and not written to a pipe)."""
    found = re.findall(r"^ *(?:RIFF|RIFX|riff|FORM|Data Size) *: (\d+) \(should be (\d+)\)", log, re.MULTILINE)
    return any(int(there) < int(said) < 2**31 - 2**16 for said, there in found)


def _ogg_links(source: Source) -> tuple[int, bool]:
    """Return how many streams follow each other in an Ogg file, and whether the last one has its end."""
    n_links, ends, begins = 0, False, False
    with opened(source) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        while len(header := file.read(27)) == 27 and header[:4] == b"OggS":
            if header[5] & 2 and not begins:  # several streams may begin together
                n_links += 1
            begins = bool(header[5] & 2)
            place = file.seek(sum(file.read(header[26])), io.SEEK_CUR)
            ends = bool(header[5] & 4) and place <= size
    return n_links, ends


def _ffmpeg_blocks(source: Source, notes: dict[str, int] | None) -> Blocks:
    import av

    head = head_of(source)
    try:
        container = open_media(source)
    except (av.FFmpegError, OSError):
        raise ValueError(f"neither sound nor video: {_misfit(head)}") from None
    with container:
        stream = audio_stream(container)
        n_packets = n_bad = n_bad_inside = 0
        end: float | None = None
        said = declared_end(container, stream)
        # a container that gives one length for all of its tracks is as long as its longest
        wanted = (stream,) if stream.duration or said is None else ()
        for packet in container.demux(*wanted):
            reached = end_of(packet)
            end = reached if end is None else max(end, reached or end)
            if packet.stream is not stream and packet.stream.index != stream.index:
                continue
            n_packets += bool(packet.size)
            decoded = decode_packet(packet)
            if decoded is None:
                n_bad += 1
                continue
            for frame in decoded:
                n_bad_inside = n_bad
                yield int(frame.sample_rate), _mono(frame)
        short = f"the file is cut short; it ends at {end or 0.0:.1f} s"
        if container.format.name == "mp3":  # its length is a guess, unless a first frame counts them
            counted = _mp3_frames(head)
            if counted is not None and n_packets < 0.99 * counted - 2:
                remark(notes, "truncated", short)
        elif said is not None and is_short(end, said):
            remark(notes, "truncated", f"{short}, {said:.1f} s according to its header")
        elif is_cut(source):
            remark(notes, "truncated", short)
        elif n_bad > n_bad_inside:
            remark(notes, "truncated", "the end cannot be decoded")
        if n_bad_inside:
            remark(notes, "damaged", f"{n_bad_inside} of {n_packets} packets cannot be decoded")


def _misfit(head: bytes) -> str:
    if head[:3] == b"ID3":
        return "a tag (ID3), and no sound that can be decoded after it"
    return f"it is {what(head)}"


def _mono(frame: Any) -> np.ndarray:
    """Return the mean of the channels, full scale -1..1, whatever the sample format."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype == np.uint8:
        values = (values.astype(np.float32) - 128) / 128
    elif values.dtype.kind == "i":
        # narrow before wide: 32 and 64 bits would lose the sum of their channels
        values = (values / -float(np.iinfo(values.dtype).min)).astype(np.float32)
    return values.mean(axis=0, dtype=np.float32)


def _mp3_frames(head: bytes) -> int | None:
    """Return how many frames the first one of an MP3 says there are (a Xing or Info header)."""
    start = 0
    if head[:3] == b"ID3" and len(head) > 10:  # its size has seven bits a byte
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    for name in (b"Xing", b"Info"):
        place = head.find(name, start, start + 256)
        if place >= 0 and len(head) >= place + 12 and head[place + 7] & 1:
            return int.from_bytes(head[place + 8 : place + 12], "big")
    return None
