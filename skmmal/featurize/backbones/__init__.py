"""Models as backbones. ``BACKBONES`` says which there are: one line for each kind of item and library.

A model of your own needs none: a `Backbone` is a module, a function that calls it, and a `Reader`, and
`skmmal.featurize.run` takes it as it is. Here is what to build one from: readers of images, videos, texts and sound,
`load_state`, which reads weights without unpickling anything, and `describe`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skmmal._torch import load

if TYPE_CHECKING:
    from skmmal.featurize._encoding import Backbone
    from skmmal.featurize.backbones._common import TextReader as TextReader
    from skmmal.featurize.backbones._common import describe as describe
    from skmmal.featurize.backbones._common import load_state as load_state
    from skmmal.featurize.backbones._sound import WaveformReader as WaveformReader
    from skmmal.featurize.backbones._vision import ClipReader as ClipReader
    from skmmal.featurize.backbones._vision import FramesReader as FramesReader
    from skmmal.featurize.backbones._vision import ImageReader as ImageReader

__all__ = [
    "BACKBONES",
    "ClipReader",
    "FramesReader",
    "ImageReader",
    "TextReader",
    "WaveformReader",
    "build_backbone",
    "describe",
    "load_state",
]

# imported when a model is built, so that images need no sound library; each takes a ModelSpec and the kind's settings
BACKBONES = {
    ("image", "torchvision"): "_vision.torchvision_images",
    ("image", "transformers"): "_vision.transformers_images",
    ("image", "timm"): "_timm.timm_images",
    ("image", "open_clip"): "_open_clip.open_clip_images",
    ("text", "transformers"): "_language.transformers_texts",
    ("text", "sentence-transformers"): "_sentences.sentence_texts",
    ("text", "open_clip"): "_open_clip.open_clip_texts",
    ("audio", "torchaudio"): "_sound.torchaudio_sound",
    ("audio", "transformers"): "_sound.transformers_sound",
    ("audio", "spectrogram"): "_sound.spectrogram_sound",
    ("video", "torchvision"): "_vision.torchvision_videos",
    ("video", "transformers"): "_clips.transformers_videos",
    ("video", "timm"): "_timm.timm_videos",
    ("video", "open_clip"): "_open_clip.open_clip_videos",
}

# public name -> module, imported on first use
_EXPORTS = {
    "ClipReader": "_vision",
    "FramesReader": "_vision",
    "ImageReader": "_vision",
    "TextReader": "_common",
    "WaveformReader": "_sound",
    "describe": "_common",
    "load_state": "_common",
}


_COMMON = ("ModelSpec", "PromptReader", "check_prompts")


def build_backbone(
    kind: str,
    model: str,
    weights: str = "DEFAULT",
    root: str | Path = ".",
    *,
    seed: int = 0,
    tokens: bool = False,
    **settings: Any,
) -> Backbone:
    """Load a model, and try it out, so that what it cannot do is said before a job begins.

    Parameters
    ----------
    kind : {"image", "text", "audio", "video"}
        What is encoded.
    model : str
        ``LIBRARY/NAME``, such as ``torchvision/resnet101`` or ``transformers/FOLDER``.
    weights : str, default="DEFAULT"
        ``DEFAULT``, a name the library knows, a local file or folder, or ``random``.
    root : path, default="."
        The folder that the items' paths are relative to.
    seed : int, default=0
        Of random weights.
    tokens : bool, default=False
        Keep a grid of tokens instead of pooling.
    **settings : object
        What the kind's command line has beside these: ``pooling`` (all), ``max_length``, ``normalize`` and ``prompt``
        (text: templates with ``{}``, over whose features an item's are the mean),
        ``window`` (audio), ``frames`` and ``fps`` (video).

    Returns
    -------
    Backbone

    Raises
    ------
    ValueError
        There is no such model, or it cannot be used that way; the message says what can.

    Examples
    --------
    >>> from skmmal.featurize.backbones import build_backbone
    >>> backbone = build_backbone("image", "torchvision/squeezenet1_1", "random")
    >>> backbone.width, backbone.description["weights"]
    (512, 'random')
    """
    library, _, name = model.partition("/")
    if (kind, library) not in BACKBONES or not name:
        choices = ", ".join(f"{library}/NAME" for known, library in BACKBONES if known == kind)
        raise ValueError(f"model {model!r} must be one of {choices}")
    module, _, function = BACKBONES[kind, library].partition(".")
    build = load(f"{__name__}.{module}", function, "featurize")
    common = {part: load(f"{__name__}._common", part, "featurize") for part in _COMMON}
    prompts = settings.pop("prompt", None) or ()
    common["check_prompts"](prompts, tokens)
    made = build(common["ModelSpec"](library, name, weights, Path(root), seed, tokens), **settings)
    if not prompts:
        return made
    about = {**made.description, "prompts": list(prompts)}
    return replace(made, reader=common["PromptReader"](made.reader, prompts), description=about)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return load(f"{__name__}.{_EXPORTS[name]}", name, "featurize")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
