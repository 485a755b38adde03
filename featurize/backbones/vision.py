"""Backbones for images and videos."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from featurize import decode
from featurize.backbones import torchvision as tv
from featurize.backbones import transformers as hf
from featurize.backbones.common import describe, split_model
from featurize.encoding import Backbone, Inputs
from featurize.reading import FileReader, Unit

Transform = Callable[[Any], torch.Tensor]
"""From a picture (or, for a video model, from frames) to a tensor."""

LIBRARIES = ("torchvision", "transformers")


class Processor:
    """A transformers image processor as a function of one image."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, picture: Image.Image) -> torch.Tensor:
        return self.processor(images=picture, return_tensors="pt")["pixel_values"][0]


class ImageReader(FileReader):
    """Files to images, with a transform that belongs to the weights."""

    def __init__(self, root: Path, transform: Transform) -> None:
        super().__init__(root)
        self.transform = transform

    def decode(self, raw: bytes, notes: dict[str, int]) -> list[Unit]:
        """Give one unit."""
        return [Unit({"pixel_values": self.transform(decode.image(raw))})]


class FramesReader(FileReader):
    """Videos to frames, each a unit for an image model."""

    def __init__(self, root: Path, transform: Transform, count: int, fps: float) -> None:
        super().__init__(root)
        self.transform, self.count, self.fps = transform, count, fps

    def fetch(self, cell: str) -> Path:
        """Check that there is something; decoding reads it piece by piece."""
        path = self.path(cell)
        if path.is_file() and path.stat().st_size == 0:
            raise ValueError("empty file (0 bytes)")
        return path

    def decode(self, raw: Path, notes: dict[str, int]) -> list[Unit]:
        """Give one unit per frame."""
        found = decode.frames(raw, self.count, self.fps)
        return [
            Unit({"pixel_values": self.transform(Image.fromarray(frame))}, slot=slot)
            for slot, frame in enumerate(found)
        ]


class ClipReader(FramesReader):
    """Videos to one clip, for a video model."""

    def decode(self, raw: Path, notes: dict[str, int]) -> list[Unit]:
        """Give one unit of shape (channels, frames, height, width)."""
        found = np.stack(decode.frames(raw, self.count, self.fps))
        return [Unit({"pixel_values": self.transform(torch.from_numpy(found).permute(0, 3, 1, 2))})]


def image_model(
    model: str, weights: str, seed: int, *, pooling: str, tokens: bool
) -> tuple[torch.nn.Module, Callable[..., torch.Tensor], Any, Transform, dict[str, Any]]:
    """Load an image model: module, forward, width, transform, preprocessing.

    Parameters
    ----------
    pooling : {"pooled", "cls", "mean"}
        What a transformers model's tokens become: its own pooled output (for CLIP and SigLIP the embedding they
        share with text), the first token, the mean. torchvision's models have one answer.
    """
    if pooling not in ("pooled", "cls", "mean"):
        raise ValueError(f"pooling must be 'pooled', 'cls' or 'mean', got {pooling!r}")
    library, name = split_model(model, LIBRARIES)
    if library == "torchvision":
        module, transform = tv.load(name, weights, seed)
        example = transform(Image.new("RGB", (320, 320))).unsqueeze(0)
        module, width = tv.feature_extractor(module, example, tokens=tokens)
        return module, _call_plain, width, transform, {"transform": _one_line(transform)}
    module = hf.load(name, weights, seed)
    hf.import_transformers()
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(hf.source(name, weights))
    transform = Processor(processor)
    if pooling == "pooled" and not tokens and hasattr(module, "get_image_features"):
        forward: Callable[..., torch.Tensor] = functools.partial(_call_projected, kind="image")
    else:
        module = hf.tower(module, "vision")
        forward = functools.partial(_call_vision, pooling="tokens" if tokens else pooling)
    width = measure(module, forward, {"pixel_values": transform(Image.new("RGB", (320, 320)))})
    return module, forward, width, transform, _plain(processor.to_dict())


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


def measure(module: torch.nn.Module, forward: Callable[..., torch.Tensor], inputs: Inputs) -> Any:
    """Return the width of a model's features, by one forward pass."""
    with torch.inference_mode():
        shape = forward(module, {key: value.unsqueeze(0) for key, value in inputs.items()}).shape[1:]
    return int(shape[0]) if len(shape) == 1 else (int(shape[0]), int(shape[1]))


def _call_plain(module: torch.nn.Module, inputs: Inputs) -> torch.Tensor:
    return module(inputs["pixel_values"])


def _call_projected(module: torch.nn.Module, inputs: Inputs, kind: str) -> torch.Tensor:
    return hf.projected(module, kind, inputs)


def _call_vision(module: torch.nn.Module, inputs: Inputs, pooling: str) -> torch.Tensor:
    output = module(**inputs)
    if pooling == "pooled":
        return hf.pooled(output)
    states = hf.hidden(output)
    if pooling == "tokens":
        return states
    return states[:, 0] if pooling == "cls" else states.mean(1)


def _one_line(transform: Any) -> str:
    return " ".join(repr(transform).split())


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Keep what JSON can say and what does not depend on where things lie."""
    return {
        key: value
        for key, value in sorted(settings.items())
        if isinstance(value, str | int | float | bool | list | dict) and not key.startswith("_") and "path" not in key
    }
