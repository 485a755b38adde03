"""open_clip's two towers, as its documentation uses them: ``encode_image`` and ``encode_text``, in one shared space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skmmal.featurize._compat import import_torchvision
from skmmal.featurize._encoding import Backbone, Inputs
from skmmal.featurize._reading import Unit
from skmmal.featurize.backbones import _transformers as hf
from skmmal.featurize.backbones._common import ModelSpec, TextReader, is_weight_file, one_line, seeded
from skmmal.featurize.backbones._vision import ImageReader, noise_picture, over_frames, spelled


class ClipTokenReader(TextReader):
    """Texts as the tokens of a model's own tokenizer, filled up to its context.

    Parameters
    ----------
    tokenizer : callable
        open_clip's.
    """

    pads = False

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def decode(self, raw: str, notes: dict[str, int]) -> list[Unit]:
        """Give one unit; texts that fill the context are counted as cut."""
        tokens = self.tokenizer([raw])[0]
        encode = getattr(self.tokenizer, "encode", None)
        if encode is not None and len(encode(raw)) + 2 > len(tokens):  # with a token at each end
            notes["truncated"] = notes.get("truncated", 0) + 1
        return [Unit({"tokens": tokens})]

    def collate(self, units: Sequence[Unit]) -> dict[str, torch.Tensor]:
        """Stack the texts' tokens."""
        return {"tokens": torch.stack([unit.inputs["tokens"] for unit in units])}


def open_clip_images(spec: ModelSpec, *, pooling: str = "pooled") -> Backbone:
    """Make an image backbone of an open_clip model.

    Parameters
    ----------
    spec : ModelSpec
        Its name as in ``open_clip.list_models()``, or a folder with an ``open_clip_config.json``; its weights the
        tag of a name (``laion2b_s34b_b79k``), a file, or ``random``. A folder has its own.
    pooling : {"pooled"}
        The embedding that both towers share.
    """
    module, transform, _ = _load(spec, pooling)
    one, other = ({"pixel_values": transform(noise_picture(which)).unsqueeze(0)} for which in (0, 1))
    width = hf.check_features(module, _encode_image, one, other, "image")
    about = spec.describe(module, {"transform": spelled(transform)}, ("pillow", "open_clip_torch", "torchvision"))
    return Backbone(module, _encode_image, width, ImageReader(spec.root, transform), about)


def open_clip_videos(
    spec: ModelSpec, *, frames: int | None = None, fps: float = 1.0, pooling: str = "pooled"
) -> Backbone:
    """Make a video backbone of an open_clip model over frames (see `open_clip_images`)."""
    return over_frames(open_clip_images, spec, frames, fps, pooling)


def open_clip_texts(
    spec: ModelSpec, *, pooling: str | None = None, max_length: int | None = None, normalize: bool = False
) -> Backbone:
    """Make a text backbone of an open_clip model (see `open_clip_images`).

    Parameters
    ----------
    spec : ModelSpec
    pooling : {"pooled"}, optional
    max_length : None
        The model's context is what it was trained with.
    normalize : bool
        Bring each feature vector to length one.
    """
    if max_length is not None:
        raise ValueError("an open_clip model reads texts of its own context; do without --max-length")
    module, _, tokenizer = _load(spec, pooling or "pooled")
    reader = ClipTokenReader(tokenizer)
    forward = _encode_text_to_length_one if normalize else _encode_text
    one, other = (reader.collate(reader.decode(text, {})) for text in ("one example", "quite another text 2 3 4"))
    width = hf.check_features(module, forward, one, other, "text")
    preprocessing = {"tokenizer": type(tokenizer).__name__, "context": int(one["tokens"].shape[1])}
    about = spec.describe(module, preprocessing, ("open_clip_torch",), normalize=normalize)
    return Backbone(module, forward, width, reader, about)


def _load(spec: ModelSpec, pooling: str) -> tuple[nn.Module, Any, Any]:
    if pooling != "pooled":
        raise ValueError(
            f"pooling must be 'pooled' for an open_clip model, the embedding of its towers (with the attention pooling "
            f"of those that have one), got {pooling!r}"
        )
    if spec.tokens:
        raise ValueError("an open_clip model gives one vector for an item; do without --tokens")
    import_torchvision()
    try:
        import open_clip
    except ImportError as error:
        raise ValueError(f"{spec.library}/{spec.name} needs open_clip: pip install open_clip_torch") from error
    folder, weights = Path(spec.name), spec.weights
    if not folder.is_dir() and spec.name not in open_clip.list_models():
        raise ValueError(
            f"open_clip has no model {spec.name!r}, and it is no folder; open_clip.list_models() names them"
        )
    name = f"local-dir:{folder}" if folder.is_dir() else spec.name
    if weights == "DEFAULT" and not folder.is_dir():
        tags = open_clip.list_pretrained_tags_by_model(spec.name)
        raise ValueError(f"{spec.name} has several sets of weights: give --weights one of {tags}, a file, or random")
    if is_weight_file(weights) and not Path(weights).is_file():
        raise ValueError(f"the weights {weights} are not a file")
    options = (
        {"load_weights": False} if weights == "random" else {} if weights == "DEFAULT" else {"pretrained": weights}
    )

    def make() -> Any:
        return open_clip.create_model_and_transforms(name, **options)

    try:
        module, _, transform = seeded(make, spec.seed) if weights == "random" else make()  # type: ignore[misc]
        tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:
        raise ValueError(f"open_clip cannot load {spec.name}: {one_line(error)}") from error
    return module.float().eval(), transform, tokenizer


def _encode_image(module: Any, inputs: Inputs) -> torch.Tensor:
    return module.encode_image(inputs["pixel_values"])


def _encode_text(module: Any, inputs: Inputs) -> torch.Tensor:
    return module.encode_text(inputs["tokens"])


def _encode_text_to_length_one(module: Any, inputs: Inputs) -> torch.Tensor:
    return nn.functional.normalize(_encode_text(module, inputs), dim=-1)
