"""Texts to a feature cache: ``python -m featurize.text MANIFEST --out FOLDER``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from skmmal.featurize._cli import main as shared_main
from skmmal.featurize._encoding import Backbone
from skmmal.featurize._options import JobOptions


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what only texts need."""
    parser.add_argument(
        "--model",
        default="transformers/bert-base-uncased",
        help="transformers/NAME-OR-FOLDER, or sentence-transformers/NAME-OR-FOLDER, which is obeyed as it says",
    )
    parser.add_argument(
        "--pooling",
        choices=("cls", "mean", "last", "pooled"),
        help="cls: the first token (BERT and its kin); mean: over the text's tokens; last: the last token (models "
        "that read from left to right: GPT, Llama, Qwen3-Embedding); pooled: the model's own output (CLIP, SigLIP: "
        "the embedding shared with images); by default cls, or what a sentence-transformers folder says",
    )
    parser.add_argument(
        "--max-length",
        type=int,
        help="tokens per text; longer ones are cut, and counted; by default what the model is made for, at most 8192, "
        "and 512 where neither tokenizer nor model has a limit",
    )
    parser.add_argument("--normalize", action="store_true", help="bring features to length one")


def build(options: JobOptions, root: Path) -> Backbone:
    """Load the backbone that `options` names."""
    from skmmal.featurize.backbones._language import text_backbone

    return text_backbone(options.model, options.weights, seed=options.seed, tokens=options.tokens, **options.settings)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    return shared_main("text", "Featurize texts.", add_options, arguments)


if __name__ == "__main__":
    sys.exit(main())
