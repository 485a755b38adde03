"""timm's image models, as its documentation uses them: ``create_model(NAME, num_classes=0)``, its own transform."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skmmal.featurize._compat import import_torchvision
from skmmal.featurize._encoding import Backbone, Inputs
from skmmal.featurize.backbones import _transformers as hf
from skmmal.featurize.backbones._common import ModelSpec, check_pooling, is_weight_file, load_state, one_line, seeded
from skmmal.featurize.backbones._torchvision import tame
from skmmal.featurize.backbones._vision import ImageReader, noise_picture, over_frames, spelled

POOLINGS = ("pooled", "cls", "mean")


def timm_images(spec: ModelSpec, *, pooling: str = "pooled") -> Backbone:
    """Make an image backbone of a timm model.

    Parameters
    ----------
    spec : ModelSpec
        Its name as in ``timm.list_models()``, with the tag of its weights if one is wanted
        (``vit_base_patch16_224.mae``); its weights ``DEFAULT``, a state dict's file, or ``random``.
    pooling : {"pooled", "cls", "mean"}
        ``pooled`` is what its classifier is given; ``cls`` and ``mean`` are of the last tokens or feature map.

    Raises
    ------
    ValueError
        There is no such model, or it has no CLS token.
    """
    check_pooling(pooling, POOLINGS, "a timm model that ends in attention pooling (SigLIP's) gives it as pooled")
    import_torchvision()
    try:
        import timm
        from timm.data import create_transform, resolve_model_data_config
    except ImportError as error:
        raise ValueError(f"{spec.library}/{spec.name} needs timm: pip install timm") from error
    module = _load(timm, spec)
    transform = create_transform(**resolve_model_data_config(module), is_training=False)
    front = int(getattr(module, "num_prefix_tokens", 0) or 0)
    if pooling == "cls" and not front:
        raise ValueError(f"{spec.name} has no CLS token; take --pooling pooled or mean")
    forward = functools.partial(
        _forward, pooling="tokens" if spec.tokens else pooling, front=front, axis=_channels(module)
    )
    one, other = ({"pixel_values": transform(noise_picture(which)).unsqueeze(0)} for which in (0, 1))
    width = hf.check_features(module, forward, one, other, "image")
    about = spec.describe(module, {"transform": spelled(transform)}, ("pillow", "timm", "torchvision"), pooling=pooling)
    return Backbone(module, forward, width, ImageReader(spec.root, transform), about)


def timm_videos(spec: ModelSpec, *, frames: int | None = None, fps: float = 1.0, pooling: str = "pooled") -> Backbone:
    """Make a video backbone of a timm model over frames (see `timm_images`)."""
    return over_frames(timm_images, spec, frames, fps, pooling)


def _load(timm: Any, spec: ModelSpec) -> nn.Module:
    name, weights = spec.name, spec.weights
    if name.partition(".")[0] not in timm.list_models():
        raise ValueError(f"timm has no model {name!r}; timm.list_models() names them")

    def untrained() -> nn.Module:
        return timm.create_model(name, pretrained=False, num_classes=0)

    if weights == "random":
        return seeded(
            lambda: tame(untrained(), lambda: torch.rand(2, *timm.get_pretrained_cfg(name).input_size)), spec.seed
        )
    if is_weight_file(weights):
        if not Path(weights).is_file():
            raise ValueError(f"the weights {weights} are not a file")
        return load_state(seeded(untrained, spec.seed), Path(weights)).eval()
    if weights != "DEFAULT":
        raise ValueError(
            f"weights of a timm model are DEFAULT, a file or random (a tag belongs to its name), got {weights!r}"
        )
    try:
        return timm.create_model(name, pretrained=True, num_classes=0).eval()
    except Exception as error:  # not on this machine, and no connection
        raise ValueError(f"timm cannot load {name}: {one_line(error)}") from error


def _channels(module: Any) -> int:
    """Where a feature map has its channels."""
    return -1 if str(getattr(module, "output_fmt", "NCHW")) in ("NHWC", "NLC") else 1


def _forward(module: Any, inputs: Inputs, *, pooling: str, front: int, axis: int) -> torch.Tensor:
    if pooling == "pooled":
        return module(inputs["pixel_values"])
    states = module.forward_features(inputs["pixel_values"])
    if states.ndim == 4:
        states = states.movedim(axis, -1).flatten(1, 2)
    if pooling == "tokens":
        return states
    return states[:, 0] if pooling == "cls" else states[:, front:].mean(1)
