"""Videos to a feature cache: ``python -m featurize.video MANIFEST --out FOLDER``.

Takes any container FFmpeg reads, and folders of frames. The sound track is `featurize.audio`'s.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from skmmal.featurize._cli import main as shared_main
from skmmal.featurize._encoding import Backbone
from skmmal.featurize._options import JobOptions


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what only videos need."""
    parser.add_argument(
        "--model",
        default="torchvision/r2plus1d_18",
        help="a torchvision video model, or torchvision/NAME or transformers/NAME-OR-FOLDER for single frames",
    )
    parser.add_argument(
        "--pooling",
        choices=("pooled", "cls", "mean"),
        default="pooled",
        help="of a transformers model's tokens within a frame; frames are averaged (--tokens keeps them)",
    )
    parser.add_argument("--frames", type=int, default=10, help="frames per video")
    parser.add_argument("--fps", type=float, default=1.0, help="frames per second, around the middle of the video")


def build(options: JobOptions, root: Path) -> Backbone:
    """Load the backbone that `options` names."""
    from skmmal.featurize.backbones._vision import video_backbone

    return video_backbone(
        options.model, options.weights, root, seed=options.seed, tokens=options.tokens, **options.settings
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    return shared_main("video", "Featurize videos.", add_options, arguments)


if __name__ == "__main__":
    sys.exit(main())
