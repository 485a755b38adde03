"""Backbones for sound: waveform models, spectrogram models, and the paper's log-spectrogram ResNet-18.

============  ====================================================================================================
pooling       what a window of sound becomes
============  ====================================================================================================
``mean``      the mean over the tokens of the sound. Left out are CLS and distillation tokens (AST), and padding:
              tokens that see nothing of the sound because the feature extractor fills up to a fixed length (AST,
              Whisper's 30 s). A patch or a frame that sees some of it counts
``pooled``    the model's own: for CLAP the embedding shared with text, for AST the mean of CLS and distillation
              token. Refused where a model has none (wav2vec 2.0, Whisper)
============  ====================================================================================================

Waveform models are never padded: windows of one length share a batch, and shorter ones run at their own. So a
sound's features do not depend on what else is encoded, also with models that take no attention mask (wav2vec 2.0
base and all others with group normalization).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from skmmal.featurize import decode
from skmmal.featurize._cells import Held
from skmmal.featurize._compat import import_torchaudio, import_torchvision
from skmmal.featurize._encoding import Backbone, Inputs
from skmmal.featurize._reading import FileReader, Unit
from skmmal.featurize.backbones import _torchvision as tv
from skmmal.featurize.backbones import _transformers as hf
from skmmal.featurize.backbones._common import ModelSpec, check_pooling, load_state, plain, seeded, size_key
from skmmal.featurize.backbones._extractors import (
    Filling,
    SoundForward,
    extract,
    extractor_seconds,
    fewest_samples,
    first_frames,
    load_extractor,
)
from skmmal.featurize.decode import Source

POOLINGS = ("mean", "pooled")
WINDOW = 10.0
"""Seconds, where nothing else is said."""
SHORTEST = 0.25
"""Seconds. A rest of a recording shorter than this says nothing, and is too short for most models."""
TRIED = 2.0
"""Seconds of noise on which a model is tried out before a job begins."""


class SoundReader(FileReader):
    """Sound files, and sound tracks, to windows of a fixed rate. A window's weight is its duration.

    Parameters
    ----------
    root : path
    rate : int
    window : float
        Seconds.
    fewest : int
        Samples that the model needs.
    """

    pads = False

    def __init__(self, root: Path, rate: int, window: float, fewest: int = 1) -> None:
        super().__init__(root)
        self.rate, self.window, self.fewest = rate, window, fewest

    def fetch(self, cell: str | Held) -> Source:
        return self.source(cell)  # a video's other tracks need not be read

    def decode(self, raw: Source, notes: dict[str, int]) -> Iterable[Unit]:
        return self.decode_from(raw, notes, 0)

    def decode_from(self, raw: Source, notes: dict[str, int], first: int) -> Iterator[Unit]:
        size, shortest = round(self.window * self.rate), max(round(SHORTEST * self.rate), self.fewest)
        for samples in decode.sound_windows(raw, self.rate, size, shortest, notes, first):
            if not np.isfinite(samples).all():
                raise ValueError("the samples are not finite")
            if len(samples) < self.fewest:
                raise ValueError(
                    f"too short: {1000 * len(samples) / self.rate:.3g} ms of sound, and the model needs "
                    f"{1000 * self.fewest / self.rate:.3g} ms"
                )
            yield self.unit(samples)

    @abstractmethod
    def unit(self, samples: np.ndarray) -> Unit:
        """Make a unit of a window's samples.

        Parameters
        ----------
        samples : ndarray of float32, shape (n_samples,)
            At the reader's rate, at most a window of them.

        Returns
        -------
        Unit
            Its weight is the window's duration.
        """


class WaveformReader(SoundReader):
    """Windows as waveforms, at their own length.

    Parameters
    ----------
    root : path
        The folder that cells are relative to.
    rate : int
        Samples per second.
    window : float
        Seconds.
    normalize : bool
        Bring each window to mean 0 and variance 1.
    fewest : int, default=1
        Samples that the model needs.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import soundfile
    >>> from skmmal.featurize.backbones import WaveformReader
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     soundfile.write(Path(folder) / "tone.wav", np.sin(np.arange(12000) / 9), 8000)  # 1.5 seconds
    ...     reader = WaveformReader(Path(folder), rate=8000, window=1.0, normalize=False)
    ...     units = list(reader.decode(reader.fetch("tone.wav"), {}))
    >>> [(unit.weight, tuple(unit.inputs["waveforms"].shape)) for unit in units]
    [(1.0, (8000,)), (0.5, (4000,))]
    """

    def __init__(self, root: Path, rate: int, window: float, normalize: bool, fewest: int = 1) -> None:
        super().__init__(root, rate, window, fewest)
        self.normalize = normalize

    def unit(self, samples: np.ndarray) -> Unit:
        if self.normalize:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-5)
        waveform = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
        return Unit({"waveforms": waveform}, weight=len(samples) / self.rate, length=len(samples))


class ExtractorReader(SoundReader):
    """Windows through a transformers feature extractor, each alone.

    Parameters
    ----------
    extractor : transformers feature extractor
    filling : Filling, optional
        How it fills up to a fixed length.
    """

    def __init__(
        self, root: Path, rate: int, window: float, extractor: Any, filling: Filling | None, fewest: int = 1
    ) -> None:
        super().__init__(root, rate, window, fewest)
        self.extractor, self.filling = extractor, filling

    def unit(self, samples: np.ndarray) -> Unit:
        """Give what the extractor makes, and how much of it is sound."""
        if self.filling is None:
            inputs = extract(self.extractor, samples)
        else:
            inputs = self.filling.extract(self.extractor, samples)
        return Unit(inputs, weight=len(samples) / self.rate, length=size_key(inputs))


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


def _check_settings(pooling: str, window: float | None) -> None:
    check_pooling(pooling, POOLINGS, "no model of sound here ends in attention pooling; take mean")
    if window is not None and window < SHORTEST:
        raise ValueError(f"window must be at least {SHORTEST} seconds, got {window}")


def spectrogram_sound(spec: ModelSpec, *, window: float | None = None, pooling: str = "mean") -> Backbone:
    """Make the paper's sound backbone, ``spectrogram/resnet18`` (see `transformers_sound`)."""
    _check_settings(pooling, window)
    if spec.name != "resnet18":
        raise ValueError(f"the spectrogram model is 'resnet18', got {spec.name!r}")
    if spec.weights == "DEFAULT":
        raise ValueError(
            "spectrogram/resnet18 has no weights of its own: give a state dict (--weights FILE) or --weights random"
        )
    reader = SpectrogramReader(spec.root, 16000, window or WINDOW)
    example = reader.unit(np.zeros(16000, dtype=np.float32)).inputs["spectrogram"].unsqueeze(0)
    if spec.weights == "random":
        module = seeded(lambda: tv.tame(spectrogram_resnet18(), lambda: torch.randn(2, *example.shape[1:])), spec.seed)
    else:
        module = load_state(seeded(spectrogram_resnet18, spec.seed), Path(spec.weights))
    module, width = tv.feature_extractor(module.eval(), example, tokens=spec.tokens)
    preprocessing = {"rate": 16000, "window": reader.window, "nperseg": 512, "noverlap": 353, "log": 1e-7}
    about = spec.describe(module, preprocessing, ("torchvision", "scipy", "soundfile", "av"))
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


def torchaudio_sound(spec: ModelSpec, *, window: float | None = None, pooling: str = "mean") -> Backbone:
    """Make a sound backbone of one of torchaudio's pipelines (see `transformers_sound`)."""
    _check_settings(pooling, window)
    if spec.tokens:
        raise ValueError("torchaudio's models give as many tokens as a window has time steps; do without --tokens")
    name, weights, window = spec.name, spec.weights, window or WINDOW
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
        module = seeded(lambda: getattr(torchaudio.models, factory)(**bundle._params), spec.seed)
        if weights != "random":
            load_state(module, Path(weights))
    rate = int(bundle.sample_rate)
    normalize = bool(getattr(bundle, "_normalize_waveform", False))
    width = int(bundle._params["encoder_embed_dim"])
    preprocessing = {"rate": rate, "window": window, "normalize": normalize, "padding": "none"}
    about = spec.describe(module, preprocessing, ("torchaudio", "scipy", "soundfile", "av"))
    fewest = 1
    for _, kernel, stride in reversed(bundle._params["extractor_conv_layer_config"]):
        fewest = (fewest - 1) * stride + kernel
    reader = WaveformReader(spec.root, rate, window, normalize, fewest)
    return Backbone(module.eval(), _call_torchaudio, width, reader, about)


def _call_torchaudio(module: Any, inputs: Inputs) -> torch.Tensor:
    layers, _ = module.extract_features(inputs["waveforms"])
    return layers[-1].float().mean(1)


def transformers_sound(spec: ModelSpec, *, window: float | None = None, pooling: str = "mean") -> Backbone:
    """Make a sound backbone of a transformers model (wav2vec 2.0, HuBERT, WavLM, AST, CLAP, Whisper, ...).

    Parameters
    ----------
    spec : ModelSpec
        With `tokens`, the tokens of a model whose windows all have the same number of them.
    window : float, optional
        Seconds. Longer recordings are cut into windows, whose features are averaged by duration. Default: what the
        model's feature extractor takes, else 10.
    pooling : {"mean", "pooled"}
        See this module. torchaudio's models and the paper's have one answer.
    """
    _check_settings(pooling, window)
    whole, missing = hf.load(spec)
    extractor = load_extractor(hf.source(spec))
    rate = int(extractor.sampling_rate)
    longest = extractor_seconds(extractor, rate)
    if window is not None and longest is not None and window > longest:
        raise ValueError(f"this model's feature extractor takes {longest:g} seconds, window asks for {window:g}")
    window = window or longest or WINDOW
    noises = [_noise(min(window, TRIED), rate, which) for which in (0, 1)]
    filling = Filling.of(extractor, *noises)
    reader = ExtractorReader(spec.root, rate, window, extractor, filling)
    units = [reader.unit(noise) for noise in noises]
    one, other = (reader.collate([unit]) for unit in units)
    projected = pooling == "pooled" and not spec.tokens and hasattr(whole, "get_audio_features")
    module = whole if projected else hf.tower(whole, "audio")
    forward = SoundForward("projected" if projected else "tokens" if spec.tokens else pooling)
    if spec.tokens and reader.unit(noises[0][: len(noises[0]) // 2]).length != units[0].length:
        raise ValueError("this model gives as many tokens as a window has time steps; do without --tokens")
    if forward.pooling == "mean":
        n_tokens = hf.trial(module, SoundForward("tokens"), one, "sound").shape[1]
        filled = [one, other] if filling is None else [filling.noise(one, which) for which in (0, 1)]
        front, behind = hf.no_part(module, *filled)
        starts = None if filling is None else first_frames(module, filled[0], filling, n_tokens - front - behind)
        forward = SoundForward("mean", (front, behind), starts)
    hf.check_weights(whole, module, missing, pooler=forward.pooling == "pooled")
    width = hf.check_features(module, forward, one, other, "sound")

    def works(n_samples: int) -> bool:
        try:
            unit = reader.unit(noises[0][:n_samples])
            with torch.inference_mode():  # what the extractor fills up to its length, the model takes
                return filling is not None or bool(forward(module, reader.collate([unit])).isfinite().all())
        except Exception:
            return False

    reader.fewest = fewest_samples(works, round(SHORTEST * rate), len(noises[0]))
    preprocessing = {"rate": rate, "window": window, "extractor": type(extractor).__name__}
    preprocessing |= {"settings": plain(extractor.to_dict()), "left_out": list(forward.left_out)}
    preprocessing["padding"] = "none" if filling is None else f"to {filling.n_frames} frames"
    packages = ("transformers", "scipy", "soundfile", "av")
    about = spec.describe(module, preprocessing, packages, pooling=pooling)
    return Backbone(module, forward, width, reader, about)


def _noise(window: float, rate: int, seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(window * rate))).astype(np.float32)
