"""Kinetics-Sound (Arandjelovic and Zisserman, ICCV 2017): 31 classes of Kinetics-400 that can be seen and heard.

The folder as the publishers of Kinetics-400 lay it out: ``train.csv``, ``val.csv`` or ``validate.csv``, and
``test.csv`` (columns label, youtube_id, time_start, time_end, split), and the clips anywhere below, named
``YOUTUBEID_000010_000020.mp4`` (start and end in seconds).

    python examples/datasets/kinetics_sound.py k400 --out kinetics_sound --audio-weights audio.pth

The paper's backbones: R(2+1)D-18 over 10 frames at 1 per second, and a one-channel ResNet-18 over the
log-spectrogram of the sound track (512 each). The paper trains the latter with the classifier; a cache needs a
state dict that was trained before, or another model (``--audio-model torchaudio/WAV2VEC2_BASE``). Test clips are
those of test.csv, or of the validation list where there is no test.csv. The 31 classes are those of later work;
the original 34 were renamed and merged in Kinetics-400.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from common import guarded, list_clips, run_clips

CLASSES = (
    "blowing nose", "blowing out candles", "bowling", "chopping wood", "dribbling basketball", "laughing",
    "mowing lawn", "playing accordion", "playing bagpipes", "playing bass guitar", "playing clarinet",
    "playing drums", "playing guitar", "playing harmonica", "playing keyboard", "playing organ", "playing piano",
    "playing saxophone", "playing trombone", "playing trumpet", "playing violin", "playing xylophone",
    "ripping paper", "shoveling snow", "shuffling cards", "singing", "stomping grapes", "tap dancing",
    "tapping guitar", "tapping pen", "tickling",
)  # fmt: skip

LISTS = {"train": ("train.csv",), "val": ("val.csv", "validate.csv"), "test": ("test.csv",)}


def read(root: Path, out: Path) -> pd.DataFrame:
    """List the clips: id, video, audio (the same file), label, split."""
    parts = []
    for split, names in LISTS.items():
        listed = next((root / name for name in names if (root / name).is_file()), None)
        if listed is not None:
            parts.append(pd.read_csv(listed, dtype={"youtube_id": str, "label": str}).assign(split=split))
    if not parts:
        raise ValueError(f"{root} has none of Kinetics' lists (train.csv, val.csv, test.csv)")
    table = pd.concat(parts, ignore_index=True)
    table = table[table["label"].isin(CLASSES)]
    if not (table["split"] == "test").any():
        table.loc[table["split"] == "val", "split"] = "test"
    starts, ends = table["time_start"].astype(int), table["time_end"].astype(int)
    table["id"] = [
        f"{name}_{start:06d}_{end:06d}" for name, start, end in zip(table["youtube_id"], starts, ends, strict=True)
    ]
    return list_clips(table, root, out)


def main(argv: list[str] | None = None) -> int:
    """Make the manifest and the cache."""
    return run_clips(__doc__.splitlines()[0], read, argv)


if __name__ == "__main__":
    guarded(main)
