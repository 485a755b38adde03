"""Sound to a feature cache: ``python -m featurize.audio MANIFEST --out FOLDER``.

Takes sound files of any rate, and the sound tracks of videos.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from skmmal.featurize._cli import main as shared_main
from skmmal.featurize._encoding import Backbone
from skmmal.featurize._options import JobOptions


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what only sound needs."""
    parser.add_argument(
        "--model",
        default="torchaudio/WAV2VEC2_BASE",
        help="torchaudio/PIPELINE, transformers/NAME-OR-FOLDER, or spectrogram/resnet18 (the paper's)",
    )
    parser.add_argument(
        "--pooling",
        choices=("mean", "pooled"),
        default="mean",
        help="mean over the tokens of the sound (without CLS tokens and padding), or the model's own (CLAP: the "
        "embedding shared with text; AST)",
    )
    parser.add_argument(
        "--window",
        type=float,
        help="seconds; longer recordings are cut, their windows averaged (default: 10, or what the model takes)",
    )


def build(options: JobOptions, root: Path) -> Backbone:
    """Load the backbone that `options` names."""
    from skmmal.featurize.backbones._sound import sound_backbone

    return sound_backbone(
        options.model, options.weights, root, seed=options.seed, tokens=options.tokens, **options.settings
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    return shared_main("audio", "Featurize sound.", add_options, arguments)


if __name__ == "__main__":
    sys.exit(main())
