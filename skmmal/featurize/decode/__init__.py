"""From bytes on disk to pixels and samples, with Pillow, libsndfile and FFmpeg (through PyAV)."""

from __future__ import annotations

from skmmal.featurize.decode._clips import frames
from skmmal.featurize.decode._contents import Source
from skmmal.featurize.decode._pictures import bounded, image
from skmmal.featurize.decode._recordings import resample, sound, sound_windows, windows

VERSION = 2
"""Of what a file becomes. Caches of different versions do not mix."""

__all__ = ["VERSION", "Source", "bounded", "frames", "image", "resample", "sound", "sound_windows", "windows"]
