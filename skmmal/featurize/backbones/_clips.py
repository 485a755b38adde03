"""Backbones for videos from transformers: its video models over a clip, its image models over frames.

A video model is one whose configuration counts frames (VideoMAE, V-JEPA 2, TimeSformer, ViViT). It sees as many frames
as it was made for, and ``--pooling`` is of its tokens, which are patches of several frames (see `_vision`).
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch

from skmmal.featurize._encoding import Backbone, Inputs
from skmmal.featurize.backbones import _transformers as hf
from skmmal.featurize.backbones._common import ModelSpec, check_choice, plain
from skmmal.featurize.backbones._vision import (
    POOLINGS,
    ClipReader,
    VisionForward,
    check_sampling,
    over_frames,
    prepared,
    transformers_images,
    vision_forward,
)


class ClipProcessor:
    """A transformers video processor, or image processor that takes frames, as a function of one clip."""

    def __init__(self, processor: Any, takes_clips: bool) -> None:
        self.processor, self.takes_clips = processor, takes_clips

    def __call__(self, clip: torch.Tensor) -> dict[str, torch.Tensor]:
        given: Any = clip if self.takes_clips else [frame.permute(1, 2, 0).numpy() for frame in clip]
        made = self.processor(given, return_tensors="pt")
        return {key: value[0] for key, value in made.items() if isinstance(value, torch.Tensor)}


def transformers_videos(
    spec: ModelSpec, *, frames: int | None = None, fps: float = 1.0, pooling: str = "pooled"
) -> Backbone:
    """Make a video backbone of a transformers model.

    Parameters
    ----------
    spec : ModelSpec
        With `tokens`, a video model gives every token, and an image model's frames are kept apart.
    frames : int, optional
        Default: what a video model was made for; 10 for an image model.
    fps : float
        Frames per second, around the middle.
    pooling : {"pooled", "cls", "mean", "attention"}
        See `_vision`.
    """
    check_choice("pooling", pooling, POOLINGS)
    config = hf.config_of(spec)
    own = getattr(config, "num_frames", None) or getattr(config, "frames_per_clip", None)
    if own is None:
        return over_frames(transformers_images, spec, frames, fps, pooling)
    count = int(own) if frames is None else frames
    check_sampling(count, fps)
    kind = "tokens" if spec.tokens else pooling
    whole, missing = hf.load(spec, headed=kind == "attention")
    processor = _processor(hf.source(spec))
    one, other = (_batch(processor, count, which) for which in (0, 1))
    module: Any = whole
    if kind == "attention":
        forward = VisionForward(kind)
    else:
        if "skip_predictor" in inspect.signature(whole.forward).parameters:  # V-JEPA 2: it guesses what is hidden
            module = whole.encoder
        forward = vision_forward(module, kind, one, other, f"videos of {count} frames")
    hf.check_weights(whole, module, missing, pooler=kind in ("pooled", "attention"))
    width = hf.check_features(module, forward, one, other, "video", f" (of {count} frames); take --pooling mean")
    preprocessing = {**plain(processor.processor.to_dict()), "frames": count, "fps": fps}
    about = spec.describe(module, preprocessing, ("av", "pillow", "transformers"), pooling=pooling)
    return Backbone(module, forward, width, ClipReader(spec.root, processor, count, fps), about)


def _processor(place: str) -> ClipProcessor:
    """Load what prepares clips: the kind of processor that the folder names, which is the one that it was made with."""
    import transformers
    from transformers.utils import cached_file

    loader = getattr(transformers, "AutoVideoProcessor", None)
    options: Any = {"_raise_exceptions_for_missing_entries": False}
    if loader is not None and cached_file(place, "video_preprocessor_config.json", **options) is not None:
        return ClipProcessor(hf.load_part("AutoVideoProcessor", place, "video processor"), takes_clips=True)
    return ClipProcessor(hf.load_part("AutoImageProcessor", place, "processor of clips"), takes_clips=False)


def _batch(processor: ClipProcessor, count: int, seed: int) -> Inputs:
    noise = np.random.default_rng(seed).integers(0, 256, (count, 3, 160, 160), dtype=np.uint8)
    unit = prepared(processor, torch.from_numpy(noise))
    return {key: value.unsqueeze(0) for key, value in unit.inputs.items()}
