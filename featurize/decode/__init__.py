"""From bytes on disk to pixels and samples, with Pillow, libsndfile and FFmpeg (through PyAV)."""

from __future__ import annotations

from featurize.decode.clips import frames
from featurize.decode.contents import Source
from featurize.decode.pictures import bounded, image
from featurize.decode.recordings import resample, sound, sound_windows, windows

__all__ = ["Source", "bounded", "frames", "image", "resample", "sound", "sound_windows", "windows"]
