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
``attention`` what the model's own attention pooling makes of its tokens (SigLIP's head, V-JEPA 2's attentive pooler).
              Refused where it has none
============  ====================================================================================================

``--tokens`` keeps every token that the model gives, CLS and registers in their places included. torchvision's models
have one answer, what their classifier is given, and their last grid. Every image is prepared alone, and those of one
size share a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from skmmal.featurize import decode
from skmmal.featurize._cells import Held
from skmmal.featurize._encoding import Backbone, Inputs
from skmmal.featurize._reading import FileReader, Unit
from skmmal.featurize.backbones import _torchvision as tv
from skmmal.featurize.backbones import _transformers as hf
from skmmal.featurize.backbones._common import ModelSpec, check_choice, plain, size_key, versions
from skmmal.featurize.decode import Source

Transform = Callable[[Any], torch.Tensor | Mapping[str, torch.Tensor]]
"""From a picture (or, for a video model, from frames) to a tensor, or to all that a model takes."""

POOLINGS = ("pooled", "cls", "mean", "attention")
FRAMES = 10
"""Of a video, unless told."""


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
    """Files to images, with a transform that belongs to the weights.

    Parameters
    ----------
    root : path
        The folder that cells are relative to.
    transform : callable
        From a picture (``PIL.Image.Image``, RGB, upright) to a tensor, or to a mapping of all that the model takes.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from PIL import Image
    >>> from skmmal.featurize.backbones import ImageReader
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (4, 3), "red").save(Path(folder) / "red.png")
    ...     reader = ImageReader(Path(folder), lambda picture: torch.tensor(picture.getpixel((0, 0))))
    ...     [unit] = reader.decode(reader.fetch("red.png"), {})
    >>> unit.inputs["pixel_values"]
    tensor([255,   0,   0])
    """

    def __init__(self, root: Path, transform: Transform) -> None:
        super().__init__(root)
        self.transform = transform

    def decode(self, raw: bytes, notes: dict[str, int]) -> list[Unit]:
        return [prepared(self.transform, decode.bounded(decode.image(raw, notes), notes))]


class FramesReader(FileReader):
    """Videos to frames, each a unit for an image model.

    Parameters
    ----------
    root : path
        The folder that cells are relative to.
    transform : callable
        As of `ImageReader`.
    count : int
        Frames of a video.
    fps : float
        Frames per second, around its middle.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from PIL import Image
    >>> from skmmal.featurize.backbones import FramesReader
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in range(6):  # a folder of frames stands for a video
    ...         Image.new("L", (4, 3), number).save(Path(folder) / f"{number}.png")
    ...     transform = lambda frame: torch.tensor(frame.getpixel((0, 0))[:1])
    ...     reader = FramesReader(Path(folder), transform, count=2, fps=1.0)
    ...     units = reader.decode(reader.fetch("."), {})
    >>> [unit.inputs["pixel_values"].item() for unit in units]
    [2, 3]
    """

    def __init__(self, root: Path, transform: Transform, count: int, fps: float) -> None:
        super().__init__(root)
        self.transform, self.count, self.fps = transform, count, fps

    def fetch(self, cell: str | Held) -> Source:
        return self.source(cell)  # decoding reads it piece by piece

    def decode(self, raw: Source, notes: dict[str, int]) -> list[Unit]:
        found = decode.frames(raw, self.count, self.fps, notes)
        return [
            prepared(self.transform, decode.bounded(Image.fromarray(frame), notes), slot)
            for slot, frame in enumerate(found)
        ]


class ClipReader(FramesReader):
    """Videos to one clip, for a video model.

    Parameters
    ----------
    root : path
        The folder that cells are relative to.
    transform : callable
        From frames (a Tensor of uint8, shape (frames, channels, height, width)) to what the model takes.
    count : int
        Frames of a clip.
    fps : float
        Frames per second, around the middle.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skmmal.featurize.backbones import ClipReader
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in range(6):  # a folder of frames stands for a video
    ...         Image.new("L", (4, 3), number).save(Path(folder) / f"{number}.png")
    ...     reader = ClipReader(Path(folder), lambda clip: clip.float() / 255, count=2, fps=1.0)
    ...     [unit] = reader.decode(reader.fetch("."), {})
    >>> unit.inputs["pixel_values"].shape
    torch.Size([2, 3, 3, 4])
    """

    def decode(self, raw: Source, notes: dict[str, int]) -> list[Unit]:
        found = np.stack(decode.frames(raw, self.count, self.fps, notes))
        return [prepared(self.transform, torch.from_numpy(found).permute(0, 3, 1, 2))]


@dataclass(frozen=True)
class VisionForward(hf.PooledForward):
    """How a batch of prepared images becomes features.

    Parameters
    ----------
    pooling : {"pooled", "cls", "mean", "attention", "tokens", "projected"}
    left_out : (int, int)
        Tokens at the front and at the end that stand for no part of the image.
    """

    left_out: tuple[int, int] = (0, 0)

    kind = "image"

    def pool(self, module: torch.nn.Module, states: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """Make features of the tokens' states."""
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


def torchvision_images(spec: ModelSpec, *, pooling: str = "pooled") -> Backbone:
    """Make an image backbone of a torchvision model; its features are what its classifier is given."""
    _refuse_attention(pooling)
    module, transform = tv.load(spec)
    example = transform(Image.new("RGB", (320, 320))).unsqueeze(0)
    module, width = tv.feature_extractor(module, example, tokens=spec.tokens)
    about = spec.describe(module, {"transform": spelled(transform)}, ("pillow", "torchvision"), pooling=pooling)
    return Backbone(module, _call_plain, width, ImageReader(spec.root, transform), about)


def _refuse_attention(pooling: str) -> None:
    check_choice("pooling", pooling, POOLINGS)
    if pooling == "attention":
        raise ValueError(
            "--pooling attention is for transformers models (SigLIP, V-JEPA 2); "
            "a torchvision model has one answer, pooled"
        )


def transformers_images(spec: ModelSpec, *, pooling: str = "pooled") -> Backbone:
    """Make an image backbone of a transformers model.

    Parameters
    ----------
    spec : ModelSpec
    pooling : {"pooled", "cls", "mean", "attention"}
        See this module.
    """
    check_choice("pooling", pooling, POOLINGS)
    whole, missing = hf.load(spec)
    config: Any = whole.config
    if getattr(config, "mask_ratio", None):  # trained to guess what is hidden from it; nothing is, here
        config.mask_ratio = 0.0
    processor = hf.load_part("AutoImageProcessor", hf.source(spec), "image processor")
    transform = Processor(processor)
    one, other = (_batch(transform, noise_picture(which)) for which in (0, 1))
    pooled = pooling == "pooled" and not spec.tokens
    if pooled and hasattr(whole, "get_image_features"):
        module, forward = whole, VisionForward("projected")
    else:
        module = hf.tower(whole, "vision")
        forward = vision_forward(module, "tokens" if spec.tokens else pooling, one, other)
    hf.check_weights(whole, module, missing, pooler=pooled)
    width = hf.check_features(module, forward, one, other, "image", "; take --pooling mean")
    preprocessing = plain(processor.to_dict())
    if forward.pooling == "mean":
        preprocessing["left_out"] = list(forward.left_out)
    about = spec.describe(module, preprocessing, ("pillow", "transformers"), pooling=pooling)
    return Backbone(module, forward, width, ImageReader(spec.root, transform), about)


def vision_forward(
    module: torch.nn.Module, pooling: str, one: Inputs, other: Inputs, what: str = "images"
) -> VisionForward:
    """Find out what the model's tokens are, and refuse a pooling that they do not bear."""
    if pooling == "attention":
        return VisionForward(pooling)  # tried out with all others
    own = hf.own_pooled(hf.output_of(module, one, what))
    if pooling == "tokens" or (pooling == "pooled" and own is not None):
        return VisionForward(pooling)
    front, behind = hf.no_part(module, one, other)
    if pooling != "mean" and front == 0:
        what = "has no CLS token: " if pooling == "cls" else "has no pooled output of its own and no CLS token: "
        raise ValueError(
            f"{type(module).__name__} {what}its first token is a part of the image; take --pooling mean"
            + (" or pooled" if own is not None else "")
        )
    return VisionForward(pooling, (front, behind))


def noise_picture(seed: int) -> Image.Image:
    """Return an image of noise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (320, 320, 3), dtype=np.uint8))


def _batch(transform: Transform, picture: Image.Image) -> Inputs:
    return {key: value.unsqueeze(0) for key, value in prepared(transform, picture).inputs.items()}


def torchvision_videos(
    spec: ModelSpec, *, frames: int | None = None, fps: float = 1.0, pooling: str = "pooled"
) -> Backbone:
    """Make a video backbone: a torchvision video model over a clip, or an image model over its frames.

    Parameters
    ----------
    spec : ModelSpec
        With `tokens`, an image model's frames are kept as tokens instead of being averaged; a video model gives its
        last grid.
    frames, fps : int, float
        How the clip is sampled. The paper takes 10 frames, the default, at 1 per second.
    pooling : {"pooled", "cls", "mean"}
        torchvision's models have one answer.
    """
    if not tv.is_video_model(spec.name):
        return over_frames(torchvision_images, spec, frames, fps, pooling)
    _refuse_attention(pooling)
    frames = FRAMES if frames is None else frames
    check_sampling(frames, fps)
    module, transform = tv.load(spec)
    example = transform(torch.zeros(frames, 3, 160, 160, dtype=torch.uint8)).unsqueeze(0)
    module, width = tv.feature_extractor(module, example, tokens=spec.tokens)
    preprocessing = {"transform": spelled(transform), "frames": frames, "fps": fps}
    about = spec.describe(module, preprocessing, ("av", "pillow", "torchvision"))
    return Backbone(module, _call_plain, width, ClipReader(spec.root, transform, frames, fps), about)


def over_frames(
    images: Callable[..., Backbone], spec: ModelSpec, frames: int | None, fps: float, pooling: str
) -> Backbone:
    """Read frames of videos for an image backbone; they are averaged, or kept as tokens."""
    frames = FRAMES if frames is None else frames
    check_sampling(frames, fps)
    image = images(replace(spec, tokens=False), pooling=pooling)
    assert isinstance(image.reader, ImageReader)
    assert isinstance(image.width, int)
    reader = FramesReader(spec.root, image.reader.transform, frames, fps)
    width = (frames, image.width) if spec.tokens else image.width
    about = dict(image.description)
    about["preprocessing"] = {**about["preprocessing"], "frames": frames, "fps": fps}
    about["versions"] = {**about["versions"], **versions(("av",))}
    return replace(image, width=width, reader=reader, description=about, stack=spec.tokens)


def check_sampling(frames: int, fps: float) -> None:
    """Refuse a clip without frames, or without duration."""
    if frames < 1 or fps <= 0:
        raise ValueError(f"frames must be at least 1 and fps positive, got {frames} and {fps}")


def _call_plain(module: torch.nn.Module, inputs: Inputs) -> torch.Tensor:
    return module(inputs["pixel_values"])


def spelled(transform: Any) -> str:
    """Return a transform's settings in one line."""
    return " ".join(repr(transform).split())
