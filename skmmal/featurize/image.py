"""Images to a feature cache: ``python -m featurize.image MANIFEST --out FOLDER``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from skmmal.featurize._cli import main as shared_main
from skmmal.featurize._encoding import Backbone
from skmmal.featurize._options import JobOptions


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what only images need."""
    parser.add_argument(
        "--model",
        default="torchvision/resnet101",
        help="torchvision/NAME (features before its classifier) or transformers/NAME-OR-FOLDER",
    )
    parser.add_argument(
        "--pooling",
        choices=("pooled", "cls", "mean"),
        default="pooled",
        help="transformers models: their own pooled output (CLIP, SigLIP: the shared embedding), the CLS token, the "
        "mean over the patches (without CLS and register tokens)",
    )


def build(options: JobOptions, root: Path) -> Backbone:
    """Load the backbone that `options` names."""
    from skmmal.featurize.backbones._vision import image_backbone

    return image_backbone(
        options.model, options.weights, root, seed=options.seed, tokens=options.tokens, **options.settings
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    return shared_main("image", "Featurize images.", add_options, arguments)


if __name__ == "__main__":
    sys.exit(main())
