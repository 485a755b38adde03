"""Backbones for sound: waveform models, spectrogram models, and the paper's log-spectrogram ResNet-18."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from featurize import decode
from featurize._compat import import_torchaudio, import_torchvision
from featurize.backbones import torchvision as tv
from featurize.backbones import transformers as hf
from featurize.backbones.common import describe, load_state, seeded, split_model
from featurize.encoding import Backbone, Inputs
from featurize.reading import FileReader, Unit

LIBRARIES = ("torchaudio", "transformers", "spectrogram")
SHORTEST = 0.25
"""Seconds. A rest of a recording shorter than this says nothing, and is too short for most models."""


class SoundReader(FileReader):
    """Sound files, and sound tracks, to windows of a fixed rate. A window's weight is its duration."""

    pads = False

    def __init__(self, root: Path, rate: int, window: float) -> None:
        super().__init__(root)
        self.rate, self.window = rate, window

    def fetch(self, cell: str) -> Path:
        """Check that there is something; a video's other tracks need not be read."""
        path = self.path(cell)
        if path.stat().st_size == 0:
            raise ValueError("empty file (0 bytes)")
        return path

    def decode(self, raw: Path, notes: dict[str, int]) -> list[Unit]:
        """Give one unit per window."""
        samples, rate = decode.sound(raw)
        if not np.isfinite(samples).all():
            raise ValueError("the samples are not finite")
        samples = decode.resample(samples, rate, self.rate)
        size, shortest = round(self.window * self.rate), round(SHORTEST * self.rate)
        return [self.unit(samples[part]) for part in decode.windows(len(samples), size, shortest)]

    @abstractmethod
    def unit(self, samples: np.ndarray) -> Unit:
        """Make a unit of a window's samples."""


class WaveformReader(SoundReader):
    """Windows as waveforms. Padded to whole seconds, which depends on the window alone: so do its features."""

    def __init__(self, root: Path, rate: int, window: float, normalize: bool) -> None:
        super().__init__(root, rate, window)
        self.normalize = normalize

    def unit(self, samples: np.ndarray) -> Unit:
        """Give a waveform, and how much of it is not padding."""
        if self.normalize:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        padded = np.zeros(-(-len(samples) // self.rate) * self.rate, dtype=np.float32)
        padded[: len(samples)] = samples
        inputs = {"waveforms": torch.from_numpy(padded), "lengths": torch.tensor(len(samples))}
        return Unit(inputs, weight=len(samples) / self.rate, length=len(padded))


class ExtractorReader(SoundReader):
    """Windows through a transformers feature extractor that makes spectrograms of one size."""

    def __init__(self, root: Path, rate: int, window: float, extractor: Any, names: Sequence[str]) -> None:
        super().__init__(root, rate, window)
        self.extractor, self.names = extractor, tuple(names)

    def unit(self, samples: np.ndarray) -> Unit:
        """Give what the extractor makes."""
        made = self.extractor(samples, sampling_rate=self.rate, return_tensors="pt")
        inputs = {name: made[name][0] for name in self.names if name in made}
        return Unit(inputs, weight=len(samples) / self.rate)


class SpectrogramReader(SoundReader):
    """Windows as standardised log-spectrograms, as the BMMAL paper's audio models take them.

    Window 512, overlap 353, at 16 kHz: the setting of VGGSound's authors (Chen et al., ICASSP 2020), whose code
    tiles short recordings to the window, clips to -1..1 and standardises each spectrogram.
    """

    def unit(self, samples: np.ndarray) -> Unit:
        """Give a spectrogram of shape (1, 257, frames)."""
        from scipy.signal import spectrogram

        size = round(self.window * self.rate)
        tiled = np.tile(samples, -(-size // len(samples)))[:size].clip(-1.0, 1.0)
        _, _, power = spectrogram(tiled, self.rate, nperseg=512, noverlap=353)
        logs = np.log(power + 1e-7)
        logs = (logs - logs.mean()) / (logs.std() + 1e-9)
        image = torch.from_numpy(logs.astype(np.float32)).unsqueeze(0)
        return Unit({"spectrogram": image}, weight=len(samples) / self.rate)


def sound_backbone(
    model: str,
    weights: str,
    root: Path,
    *,
    seed: int = 0,
    window: float | None = None,
    pooling: str = "mean",
    tokens: bool = False,
) -> Backbone:
    """Make a sound backbone.

    Parameters
    ----------
    model : str
        ``torchaudio/WAV2VEC2_BASE`` or another of its pipelines, ``transformers/NAME-OR-FOLDER`` (wav2vec 2.0,
        HuBERT, WavLM, AST, CLAP, Whisper, ...), or ``spectrogram/resnet18``, the paper's.
    window : float, optional
        Seconds. Longer recordings are cut into windows, whose features are averaged by duration. Default: 10, or
        what the model's feature extractor takes.
    pooling : {"mean", "pooled"}
        Mean over time, or the model's own pooled output (CLAP: the embedding it shares with text).
    tokens : bool
        Keep the tokens of a model whose windows all have the same number of them.
    """
    if pooling not in ("mean", "pooled"):
        raise ValueError(f"pooling must be 'mean' or 'pooled', got {pooling!r}")
    if window is not None and window < SHORTEST:
        raise ValueError(f"window must be at least {SHORTEST} seconds, got {window}")
    library, name = split_model(model, LIBRARIES)
    if library == "spectrogram":
        return _spectrogram(model, name, weights, root, seed, window or 10.0, tokens)
    if library == "torchaudio":
        return _torchaudio(model, name, weights, root, seed, window or 10.0, tokens)
    return _transformers(model, name, weights, root, seed, window, pooling, tokens)


def _spectrogram(model: str, name: str, weights: str, root: Path, seed: int, window: float, tokens: bool) -> Backbone:
    if name != "resnet18":
        raise ValueError(f"the spectrogram model is 'resnet18', got {name!r}")
    if weights == "DEFAULT":
        raise ValueError(
            "spectrogram/resnet18 has no weights of its own: give a state dict (--weights FILE) or --weights random"
        )
    reader = SpectrogramReader(root, 16000, window)
    example = reader.unit(np.zeros(16000, dtype=np.float32)).inputs["spectrogram"].unsqueeze(0)
    if weights == "random":
        module = seeded(lambda: tv.tame(spectrogram_resnet18(), lambda: torch.randn(2, *example.shape[1:])), seed)
    else:
        module = load_state(seeded(spectrogram_resnet18, seed), Path(weights))
    module, width = tv.feature_extractor(module.eval(), example, tokens=tokens)
    preprocessing = {"rate": 16000, "window": window, "nperseg": 512, "noverlap": 353, "log": 1e-7}
    about = describe(model, weights, module, preprocessing, ("torchvision", "scipy", "soundfile", "av"))
    return Backbone(module, _call_spectrogram, width, reader, about)


def spectrogram_resnet18(n_classes: int = 1000) -> nn.Module:
    """Return torchvision's ResNet-18 with one input channel."""
    import_torchvision()
    from torchvision.models import resnet18

    module = resnet18(weights=None, num_classes=n_classes)
    module.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(module.conv1.weight, mode="fan_out", nonlinearity="relu")
    return module


def _call_spectrogram(module: Any, inputs: Inputs) -> torch.Tensor:
    return module(inputs["spectrogram"])


def _torchaudio(model: str, name: str, weights: str, root: Path, seed: int, window: float, tokens: bool) -> Backbone:
    if tokens:
        raise ValueError("torchaudio's models give as many tokens as a window has time steps; do without --tokens")
    torchaudio = import_torchaudio()
    bundle: Any = getattr(torchaudio.pipelines, name, None)
    if not hasattr(bundle, "get_model") or not hasattr(bundle, "_params"):
        raise ValueError(
            f"torchaudio.pipelines has no speech model {name!r} (WAV2VEC2_BASE, HUBERT_BASE, WAVLM_BASE, ...)"
        )
    if weights == "DEFAULT":
        module = bundle.get_model()
        # for some pipelines a wrapper that normalises the whole batch at once; the reader does it per window
        module = getattr(module, "model", module)
    else:
        # the bundle has no public way to the architecture without a download
        factory = {"Wav2Vec2": "wav2vec2_model", "WavLM": "wavlm_model"}[bundle._model_type]
        module = seeded(lambda: getattr(torchaudio.models, factory)(**bundle._params), seed)
        if weights != "random":
            load_state(module, Path(weights))
    rate = int(bundle.sample_rate)
    normalize = bool(getattr(bundle, "_normalize_waveform", False))
    width = int(bundle._params["encoder_embed_dim"])
    preprocessing = {"rate": rate, "window": window, "normalize": normalize}
    about = describe(model, weights, module, preprocessing, ("torchaudio", "scipy", "soundfile", "av"))
    return Backbone(module.eval(), _call_torchaudio, width, WaveformReader(root, rate, window, normalize), about)


def _call_torchaudio(module: Any, inputs: Inputs) -> torch.Tensor:
    layers, lengths = module.extract_features(inputs["waveforms"], inputs["lengths"])
    return hf.masked_mean(layers[-1], _time_mask(layers[-1], lengths))


def _time_mask(states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Mark the time steps that are not padding: at least one."""
    steps = torch.arange(states.shape[1], device=states.device)
    return steps[None, :] < lengths.to(states.device).clamp(min=1)[:, None]


def _transformers(
    model: str,
    name: str,
    weights: str,
    root: Path,
    seed: int,
    window: float | None,
    pooling: str,
    tokens: bool,
) -> Backbone:
    module: Any = hf.load(name, weights, seed)
    from transformers import AutoFeatureExtractor

    extractor = AutoFeatureExtractor.from_pretrained(hf.source(name, weights))
    rate = int(extractor.sampling_rate)
    packages = ("transformers", "scipy", "soundfile", "av")
    more = {"pooling": pooling}
    if hasattr(module, "_get_feat_extract_output_lengths"):
        if tokens:
            raise ValueError("this model gives as many tokens as a window has time steps; do without --tokens")
        normalize, masked = bool(extractor.do_normalize), bool(extractor.return_attention_mask)
        forward = functools.partial(_call_waveform, masked=masked)
        width = int(module.config.hidden_size)
        preprocessing: dict[str, Any] = {"rate": rate, "window": window or 10.0}
        preprocessing |= {"normalize": normalize, "masked": masked}
        about = describe(model, weights, module, preprocessing, packages, **more)
        return Backbone(module, forward, width, WaveformReader(root, rate, window or 10.0, normalize), about)
    longest = _extractor_seconds(extractor, rate)
    if window is not None and window > longest:
        raise ValueError(f"this model's feature extractor takes {longest:g} seconds, window asks for {window:g}")
    window = window or longest
    if pooling == "pooled" and not tokens and hasattr(module, "get_audio_features"):
        call = functools.partial(_call_projected, kind="audio")
    else:
        module = hf.tower(module, "audio")
        call = functools.partial(_call_extracted, pooling="tokens" if tokens else pooling)
    reader = ExtractorReader(root, rate, window, extractor, ("input_features", "input_values", "is_longer"))
    example = reader.unit(np.zeros(round(window * rate), dtype=np.float32)).inputs
    with torch.inference_mode():
        shape = call(module, {key: value.unsqueeze(0) for key, value in example.items()}).shape[1:]
    width_: Any = int(shape[0]) if len(shape) == 1 else (int(shape[0]), int(shape[1]))
    preprocessing = {"rate": rate, "window": window, "extractor": type(extractor).__name__}
    about = describe(model, weights, module, preprocessing, packages, **more)
    return Backbone(module, call, width_, reader, about)


def _extractor_seconds(extractor: Any, rate: int) -> float:
    """Return the longest window that a feature extractor does not cut."""
    if getattr(extractor, "chunk_length", None):  # Whisper
        return float(extractor.chunk_length)
    if getattr(extractor, "max_length_s", None):  # CLAP
        return float(extractor.max_length_s)
    if getattr(extractor, "nb_max_samples", None):
        return extractor.nb_max_samples / rate
    if getattr(extractor, "max_length", None):  # AST: spectrogram frames, one every 10 ms
        return extractor.max_length / 100
    return 10.0


def _call_waveform(module: Any, inputs: Inputs, masked: bool) -> torch.Tensor:
    waveforms, lengths = inputs["waveforms"], inputs["lengths"]
    # models trained without a mask expect zeros and nothing else where a recording has ended
    mask = _time_mask(waveforms, lengths).long() if masked else None
    states = module(waveforms, attention_mask=mask).last_hidden_state
    return hf.masked_mean(states, _time_mask(states, module._get_feat_extract_output_lengths(lengths)))


def _call_projected(module: Any, inputs: Inputs, kind: str) -> torch.Tensor:
    return hf.projected(module, kind, inputs)


def _call_extracted(module: Any, inputs: Inputs, pooling: str) -> torch.Tensor:
    output = module(**inputs)
    if pooling == "pooled":
        return hf.pooled(output)
    states = hf.hidden(output)
    return states if pooling == "tokens" else states.mean(1)
