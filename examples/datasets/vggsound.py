"""VGGSound (Chen et al., ICASSP 2020): 309 classes of ten-second clips whose sound can be seen.

The folder as published: ``vggsound.csv`` (no header: YouTube id, start second, label, train or test) and the clips
anywhere below, named ``YOUTUBEID_000030.mp4`` (start in seconds).

    python examples/datasets/vggsound.py VGGSound --out vggsound --audio-weights audio.pth

The publishers' split and the BMMAL paper's backbones: R(2+1)D-18 over 10 frames at 1 per second (512), which the
paper freezes too, and a one-channel ResNet-18 over the log-spectrogram (512), for which a state dict is needed
(see kinetics_sound.py).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from common import guarded, list_clips, run_clips


def read(root: Path, out: Path) -> pd.DataFrame:
    """List the clips: id, video, audio (the same file), label, split."""
    file = root / "vggsound.csv"
    if not file.is_file():
        raise ValueError(f"{file} is not there; is {root} the folder of VGGSound?")
    table = pd.read_csv(file, header=None, names=["youtube_id", "start", "label", "split"], dtype=str)
    table["id"] = [f"{name}_{int(start):06d}" for name, start in zip(table["youtube_id"], table["start"], strict=True)]
    return list_clips(table, root, out)


def main(argv: list[str] | None = None) -> int:
    """Make the manifest and the cache."""
    return run_clips(__doc__.splitlines()[0], read, argv)


if __name__ == "__main__":
    guarded(main)
