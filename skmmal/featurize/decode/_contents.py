"""What a file is that a decoder does not know, so that the failure says more than that."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

HEAD = 4096
"""Bytes that are looked at."""

Source = Path | io.BytesIO
"""A file, or the bytes of one that lies inside a manifest."""

_STARTS = (
    (b"version https://git-lfs", "a git-lfs pointer (git lfs pull fetches the file itself)"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image, of a kind that is not read, or damaged"),
    (b"MM\0*", "a TIFF image, of a kind that is not read, or damaged"),
    (b"fLaC", "a FLAC sound file"),
    (b"OggS", "an Ogg file"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM file"),
    (b"PAR1", "a Parquet table"),
    (b"\x93NUMPY", "a numpy array"),
)


def opened(source: Source) -> BinaryIO:
    """Open a file, or the bytes of one, at its beginning."""
    return io.BytesIO(source.getvalue()) if isinstance(source, io.BytesIO) else open(source, "rb")


def head_of(source: Source) -> bytes:
    """Return the first bytes of a file."""
    with opened(source) as file:
        return file.read(HEAD)


def what(head: bytes) -> str:
    """Say what a file is that begins so.

    Examples
    --------
    >>> what(b"<!DOCTYPE html><title>404</title>"), what(b"<svg xmlns='...'/>"), what(bytes(9))
    ('an HTML page', 'an SVG drawing', 'nothing but zero bytes')
    """
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    if head[:4] == b"RIFF":
        return {b"WAVE": "a WAV sound file", b"WEBP": "a WebP image"}.get(head[8:12], "a RIFF file")
    if head[4:8] == b"ftyp":
        return "an MP4 file or one of its kin"
    plain = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if plain.startswith(b"<"):
        if b"<svg" in plain:
            return "an SVG drawing"
        return "an HTML page" if b"<html" in plain or b"<!doctype html" in plain else "an XML file"
    if b"/annex/objects/" in plain:
        return "a git-annex pointer"
    return "a text" if is_text(head) else "of a format that is not known, or damaged"


def is_text(head: bytes) -> bool:
    """Whether a file begins as a text does (or as nothing, with zeros): some decoders would make something of it."""
    if not head.strip(b"\0"):
        return True
    try:
        head[: HEAD - 4].decode("utf-8")  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return not any(byte < 9 or 13 < byte < 27 for byte in head)
