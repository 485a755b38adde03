"""From bytes on disk to pixels and samples, with Pillow, libsndfile and FFmpeg (through PyAV)."""

from __future__ import annotations

from featurize.decode.clips import frames
from featurize.decode.contents import Source
from featurize.decode.pictures import bounded, image
from featurize.decode.recordings import resample, sound, sound_windows, windows

VERSION = 2
"""Of what a file becomes. Caches of different versions do not mix."""

__all__ = ["VERSION", "Source", "bounded", "frames", "image", "resample", "sound", "sound_windows", "windows"]
