"""Backbones for images and videos.

============  ====================================================================================================
pooling       what a transformers model's tokens become
============  ====================================================================================================
``pooled``    the model's own: for CLIP, SigLIP and other models of two towers the embedding shared with text, else
              its pooled output (ViT's pooling layer, DINOv2's normalized CLS, the mean of a ConvNeXt's last map), or
              the CLS token's state where it has none. Refused where there is neither
``mean``      the mean over the patches, or over the positions of a feature map. CLS, register, distillation and
              detection tokens are left out, and the padding of processors that give a mask
``cls``       the CLS token's state. Refused where the first token stands for a part of the image (Swin, SigLIP)
============  ====================================================================================================

``--tokens`` keeps every token that the model gives, CLS and registers in their places included. torchvision's models
have one answer, what their classifier is given, and their last grid. Every image is prepared alone, and those of one
size share a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from skmmal.featurize import decode
from skmmal.featurize._encoding import Backbone, Inputs
from skmmal.featurize._manifest import Cell
from skmmal.featurize._reading import FileReader, Unit
from skmmal.featurize.backbones import _torchvision as tv
from skmmal.featurize.backbones import _transformers as hf
from skmmal.featurize.backbones._common import describe, plain, size_key, split_model

Transform = Callable[[Any], torch.Tensor | Mapping[str, torch.Tensor]]
"""From a picture (or, for a video model, from frames) to a tensor, or to all that a model takes."""

LIBRARIES = ("torchvision", "transformers")


class Processor:
    """A transformers image processor as a function of one image."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, picture: Image.Image) -> dict[str, torch.Tensor]:
        options: dict[str, Any] = {}
        if min(picture.size) <= 4 and version("transformers").startswith("4."):
            options["input_data_format"] = "channels_last"  # which it would guess, from sizes
        made = self.processor(images=picture, return_tensors="pt", **options)
        return {key: value[0] for key, value in made.items() if isinstance(value, torch.Tensor)}


def prepared(transform: Transform, picture: Any, slot: int = 0) -> Unit:
    """Make a unit of a picture; only those of one size share a batch."""
    made = transform(picture)
    inputs = {"pixel_values": made} if isinstance(made, torch.Tensor) else made
    return Unit(inputs, length=size_key(inputs), slot=slot)


class ImageReader(FileReader):
    """Files to images, with a transform that belongs to the weights."""

    def __init__(self, root: Path, transform: Transform) -> None:
        super().__init__(root)
        self.transform = transform

    def decode(self, raw: bytes, notes: dict[str, int]) -> list[Unit]:
        """Give one unit."""
        return [prepared(self.transform, decode.bounded(decode.image(raw, notes), notes))]


class FramesReader(FileReader):
    """Videos to frames, each a unit for an image model."""

    def __init__(self, root: Path, transform: Transform, count: int, fps: float) -> None:
        super().__init__(root)
        self.transform, self.count, self.fps = transform, count, fps

    def fetch(self, cell: Cell) -> decode.Source:
        """Check that there is something; decoding reads it piece by piece."""
        return self.source(cell)

    def decode(self, raw: decode.Source, notes: dict[str, int]) -> list[Unit]:
        """Give one unit per frame."""
        found = decode.frames(raw, self.count, self.fps, notes)
        return [
            prepared(self.transform, decode.bounded(Image.fromarray(frame), notes), slot)
            for slot, frame in enumerate(found)
        ]


class ClipReader(FramesReader):
    """Videos to one clip, for a video model."""

    def decode(self, raw: decode.Source, notes: dict[str, int]) -> list[Unit]:
        """Give one unit of shape (channels, frames, height, width)."""
        found = np.stack(decode.frames(raw, self.count, self.fps, notes))
        return [prepared(self.transform, torch.from_numpy(found).permute(0, 3, 1, 2))]


@dataclass(frozen=True)
class VisionForward:
    """How a batch of prepared images becomes features.

    Parameters
    ----------
    pooling : {"pooled", "cls", "mean", "tokens", "projected"}
    left_out : (int, int)
        Tokens at the front and at the end that stand for no part of the image.
    """

    pooling: str
    left_out: tuple[int, int] = (0, 0)

    def __call__(self, module: torch.nn.Module, inputs: Inputs) -> torch.Tensor:
        """Return features of shape (images, dim) or (images, tokens, dim)."""
        if self.pooling == "projected":
            return hf.projected(module, "image", inputs).float()
        output = hf.run(module, inputs)
        pooled = hf.own_pooled(output) if self.pooling == "pooled" else None
        if pooled is not None:
            return pooled
        states = hf.hidden(output)
        if self.pooling == "tokens":
            return states
        return self.mean(states, inputs) if self.pooling == "mean" else states[:, 0]

    def mean(self, states: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """Average over the tokens that show some of the image."""
        front, behind = self.left_out
        kept = torch.zeros(states.shape[:2], dtype=torch.bool, device=states.device)
        kept[:, front : states.shape[1] - behind] = True
        there = inputs.get("pixel_attention_mask", inputs.get("pixel_mask"))
        if there is not None and not bool(there.bool().all()):
            if there.shape != states.shape[:2]:
                raise ValueError("the image processor pads, and its mask is not one of the tokens")
            kept &= there.bool()
        return hf.masked_mean(states, kept)


def image_model(
    model: str, weights: str, seed: int, *, pooling: str, tokens: bool
) -> tuple[torch.nn.Module, Callable[..., torch.Tensor], Any, Transform, dict[str, Any]]:
    """Load an image model: module, forward, width, transform, preprocessing.

    Parameters
    ----------
    pooling : {"pooled", "cls", "mean"}
        What a transformers model's tokens become, see this module. torchvision's models have one answer.
    """
    if pooling not in ("pooled", "cls", "mean"):
        raise ValueError(f"pooling must be 'pooled', 'cls' or 'mean', got {pooling!r}")
    library, name = split_model(model, LIBRARIES)
    if library == "torchvision":
        module, transform = tv.load(name, weights, seed)
        example = transform(Image.new("RGB", (320, 320))).unsqueeze(0)
        module, width = tv.feature_extractor(module, example, tokens=tokens)
        return module, _call_plain, width, transform, {"transform": _one_line(transform)}
    whole, missing = hf.load(name, weights, seed)
    if getattr(whole.config, "mask_ratio", None):  # trained to guess what is hidden from it; nothing is, here
        whole.config.mask_ratio = 0.0
    processor = _image_processor(hf.source(name, weights))
    transform = Processor(processor)
    one, other = (_batch(transform, _noise(which)) for which in (0, 1))
    if pooling == "pooled" and not tokens and hasattr(whole, "get_image_features"):
        module, forward = whole, VisionForward("projected")
    else:
        module = hf.tower(whole, "vision")
        forward = _vision_forward(module, "tokens" if tokens else pooling, one, other)
    hf.check_weights(whole, module, missing, pooler=pooling == "pooled" and not tokens)
    width = hf.check_features(module, forward, one, other, "image", "; take --pooling mean")
    preprocessing = plain(processor.to_dict())
    if forward.pooling == "mean":
        preprocessing["left_out"] = list(forward.left_out)
    return module, forward, width, transform, preprocessing


def _vision_forward(module: torch.nn.Module, pooling: str, one: Inputs, other: Inputs) -> VisionForward:
    """Find out what the model's tokens are, and refuse a pooling that they do not bear."""
    output: list[Any] = []

    def note(module: torch.nn.Module, inputs: Inputs) -> torch.Tensor:
        output.append(hf.run(module, inputs))
        return hf.hidden(output[0])

    hf.trial(module, note, one, "images")
    if pooling == "tokens" or (pooling == "pooled" and hf.own_pooled(output[0]) is not None):
        return VisionForward(pooling)
    front, behind = hf.no_part(module, one, other)
    if pooling != "mean" and front == 0:
        what = "has no CLS token: " if pooling == "cls" else "has no pooled output of its own and no CLS token: "
        raise ValueError(
            f"{type(module).__name__} {what}its first token is a part of the image; take --pooling mean"
            + (" or pooled" if hf.own_pooled(output[0]) is not None else "")
        )
    return VisionForward(pooling, (front, behind))


def _image_processor(place: str) -> Any:
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(place)
    except Exception as error:  # the ways a folder may lack one are many
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{place} has no image processor that transformers can load: {reason}") from error


def _noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (320, 320, 3), dtype=np.uint8))


def _batch(transform: Transform, picture: Image.Image) -> Inputs:
    return {key: value.unsqueeze(0) for key, value in prepared(transform, picture).inputs.items()}


def image_backbone(
    model: str, weights: str, root: Path, *, seed: int = 0, pooling: str = "pooled", tokens: bool = False
) -> Backbone:
    """Make an image backbone (see `image_model`)."""
    module, forward, width, transform, preprocessing = image_model(model, weights, seed, pooling=pooling, tokens=tokens)
    packages = ("pillow", model.partition("/")[0])
    about = describe(model, weights, module, preprocessing, packages, pooling=pooling)
    return Backbone(module, forward, width, ImageReader(root, transform), about)


def video_backbone(
    model: str,
    weights: str,
    root: Path,
    *,
    seed: int = 0,
    frames: int = 10,
    fps: float = 1.0,
    pooling: str = "pooled",
    tokens: bool = False,
) -> Backbone:
    """Make a video backbone: a torchvision video model over a clip, or an image model over its frames.

    Parameters
    ----------
    frames, fps : int, float
        How the clip is sampled. The paper takes 10 frames at 1 per second.
    tokens : bool
        With an image model, keep the frames as tokens instead of averaging them; with a video model, keep its
        last grid.
    """
    if frames < 1 or fps <= 0:
        raise ValueError(f"frames must be at least 1 and fps positive, got {frames} and {fps}")
    library, name = split_model(model, LIBRARIES)
    sampling = {"frames": frames, "fps": fps}
    packages = ("av", "pillow", library)
    if library == "torchvision" and tv.is_video_model(name):
        module, transform = tv.load(name, weights, seed)
        example = transform(torch.zeros(frames, 3, 160, 160, dtype=torch.uint8)).unsqueeze(0)
        module, width = tv.feature_extractor(module, example, tokens=tokens)
        about = describe(model, weights, module, {"transform": _one_line(transform), **sampling}, packages)
        return Backbone(module, _call_plain, width, ClipReader(root, transform, frames, fps), about)
    module, forward, width, transform, preprocessing = image_model(model, weights, seed, pooling=pooling, tokens=False)
    about = describe(model, weights, module, {**preprocessing, **sampling}, packages, pooling=pooling)
    reader = FramesReader(root, transform, frames, fps)
    return Backbone(module, forward, (frames, int(width)) if tokens else width, reader, about, stack=tokens)


def _call_plain(module: torch.nn.Module, inputs: Inputs) -> torch.Tensor:
    return module(inputs["pixel_values"])


def _one_line(transform: Any) -> str:
    return " ".join(repr(transform).split())

