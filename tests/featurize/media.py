"""Small media files of every kind, made with FFmpeg's own encoders."""

from __future__ import annotations

import struct
import zlib

import av
import numpy as np


class Pipe:
    """A file that can only be written on: what a recorder or ``ffmpeg ... -`` writes to."""

    def __init__(self, path):
        self.file = open(path, "wb")  # noqa: SIM115

    def write(self, data):
        return self.file.write(data)

    def close(self):
        self.file.close()


def write_sound(path, samples, rate=16000, *, codec, layout="stereo", format=None, pipe=False, **options):
    """Encode samples of shape (n, channels)."""
    target = Pipe(path) if pipe else str(path)
    with av.open(target, "w", format=format, options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if "write_xing" not in options:
            stream.bit_rate = 192000
        stream.codec_context.open()
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        size = stream.codec_context.frame_size or 1024
        for start in range(0, len(samples), size):
            planes = np.ascontiguousarray(samples[start : start + size].T, dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode())
    if pipe:
        target.close()


def level(k):
    """Grey level of the k-th frame of `write_levels`."""
    return 16 + 7 * k % 210


def write_levels(path, n_frames=200, *, rate=5, codec="libx264", format=None, pipe=False, offset=0, silence=0, options=None, **codec_options):
    """Encode frames whose grey level tells their number."""
    target = Pipe(path) if pipe else str(path)
    with av.open(target, "w", format=format, options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options={key: str(value) for key, value in codec_options.items()})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        track = container.add_stream("pcm_s16le", rate=8000, layout="mono") if silence else None
        for k in range(n_frames):
            picture = np.full((48, 64, 3), level(k), dtype=np.uint8)
            picture[:24, :32] = 0  # a corner that tells how the picture is turned
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = k + offset * rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        for second in range(silence):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, 8000 * second
            container.mux(track.encode(frame))
    if pipe:
        target.close()


def levels_of(frames):
    return [float(frame[-8:, -8:].mean()) for frame in frames]


def write_png(path, values):
    """Write 16 bits a sample, which Pillow cannot for colors: shape (height, width, channels)."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def cover_tag(picture):
    """An ID3 tag with a cover picture."""
    body = b"\0image/png\0\x03\0" + picture
    frame = b"APIC" + struct.pack(">IH", len(body), 0) + body
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame
