"""transformers' feature extractors for sound, and what the models behind them make of a window that they fill up."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from skmmal.featurize._encoding import Inputs
from skmmal.featurize.backbones import _transformers as hf

MAIN = ("input_features", "input_values")


def load_extractor(place: str) -> Any:
    """Load the feature extractor of a folder, or of a name on the hub."""
    extractor = hf.load_part("AutoFeatureExtractor", place, "feature extractor")
    if not getattr(extractor, "sampling_rate", None):
        raise ValueError(f"{place}: {type(extractor).__name__} is not made for sound")
    return extractor


def extractor_seconds(extractor: Any, rate: int) -> float | None:
    """Return the longest window that a feature extractor does not cut, None where there is none."""
    if getattr(extractor, "chunk_length", None):  # Whisper
        return float(extractor.chunk_length)
    if getattr(extractor, "max_length_s", None):  # CLAP
        return float(extractor.max_length_s)
    if getattr(extractor, "nb_max_samples", None):
        return extractor.nb_max_samples / rate
    if getattr(extractor, "max_length", None):  # AST: spectrogram frames, one every 10 ms
        return extractor.max_length / 100
    return None


def extract(extractor: Any, samples: np.ndarray, **more: Any) -> Inputs:
    """Return what an extractor makes of one window, without a batch axis."""
    made = extractor(samples, sampling_rate=int(extractor.sampling_rate), return_tensors="pt", **more)
    return {key: value[0] for key, value in made.items() if isinstance(value, torch.Tensor)}


@dataclass(frozen=True)
class Filling:
    """How an extractor fills a window up to its fixed length.

    Parameters
    ----------
    name : str
        The input that is filled up.
    n_frames : int
        Its fixed length.
    axis : int
        Its time axis, counted from the end.
    row : Tensor, optional
        What each frame of padding is; None where the extractor gives a mask if it is asked for one.
    """

    name: str
    n_frames: int
    axis: int
    row: torch.Tensor | None = None

    @classmethod
    def of(cls, extractor: Any, one: np.ndarray, other: np.ndarray) -> Filling | None:
        """Find out how an extractor fills up, from two windows of noise; None if it does not.

        An extractor that repeats a short sound instead (CLAP) does not: there is no padding then.
        """
        name = next((name for name in MAIN if name in extract(extractor, one)), None)
        if name is None:
            return None
        brief, another = (extract(extractor, samples[: len(samples) // 3])[name] for samples in (one, other))
        if brief.ndim < 2 or brief.shape != extract(extractor, one)[name].shape:
            return None
        axes = (-2, -1)
        mask = extract(extractor, one[: len(one) // 3], return_attention_mask=True).get("attention_mask")
        if mask is not None and not bool(mask.bool().all()):
            found = [axis for axis in axes if brief.shape[axis] == len(mask)]
            if len(found) == 1:
                return cls(name, len(mask), found[0])
        for axis in axes:
            row = brief.select(axis, -1)
            if torch.equal(row, another.select(axis, -1)):
                return cls(name, brief.shape[axis], axis, row)
        return None

    def extract(self, extractor: Any, samples: np.ndarray) -> Inputs:
        """Return what an extractor makes of one window, with the number of ``frames`` that are sound."""
        if self.row is None:
            inputs = extract(extractor, samples, return_attention_mask=True)
            return inputs | {"frames": inputs["attention_mask"].sum()}
        inputs = extract(extractor, samples)
        rows = inputs[self.name].movedim(self.axis, 0)
        sound = torch.nonzero((rows != self.row).flatten(1).any(dim=1))
        return inputs | {"frames": torch.tensor(1 + int(sound[-1]) if len(sound) else 1)}

    def noise(self, inputs: Inputs, seed: int) -> Inputs:
        """Return a batch in which nothing is padding."""
        random = torch.Generator().manual_seed(seed)
        return inputs | {self.name: torch.randn(inputs[self.name].shape, generator=random)}


def first_frames(module: nn.Module, inputs: Inputs, filling: Filling, n_tokens: int) -> tuple[float, ...]:
    """Return, for each token, the first frame of the extractor's that it sees.

    Parameters
    ----------
    module : torch.nn.Module
    inputs : dict of Tensor
        A batch of one window.
    filling : Filling
    n_tokens : int
        Tokens that stand for a part of the window.

    Raises
    ------
    ValueError
        The model's tokens are neither patches of the spectrogram nor steps of time.
    """
    seen: list[tuple[nn.Conv2d, torch.Tensor, torch.Tensor]] = []

    def note(layer: nn.Conv2d, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> None:
        seen.append((layer, given[0][0], made[0]))

    handles = [layer.register_forward_hook(note) for layer in module.modules() if type(layer) is nn.Conv2d]
    try:
        with torch.inference_mode():
            hf.run(module, inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not seen and filling.n_frames % n_tokens == 0:
        return tuple(float(token * filling.n_frames // n_tokens) for token in range(n_tokens))
    if seen:
        layer, given, made = seen[0]
        spectrogram = inputs[filling.name][0].reshape(inputs[filling.name].shape[-2:])
        time_last = spectrogram if filling.axis == -1 else spectrogram.T
        rows, columns = made.shape[-2:]
        if rows * columns == n_tokens and given.shape[0] == 1:
            for axis, picture in ((-1, time_last), (-2, time_last.T)):
                if given.shape[1:] == picture.shape and torch.equal(given[0], picture):
                    step, before = layer.stride[axis], int(layer.padding[axis])
                    starts = torch.arange(made.shape[axis]) * step - before
                    grid = starts.expand(rows, columns) if axis == -1 else starts[:, None].expand(rows, columns)
                    return tuple(grid.flatten().tolist())
    raise ValueError("the extractor fills short sounds up, and which tokens see nothing else cannot be told")


@dataclass(frozen=True)
class SoundForward(hf.PooledForward):
    """How a batch of windows becomes features.

    Parameters
    ----------
    pooling : {"mean", "pooled", "tokens", "projected"}
    left_out : (int, int)
        Tokens at the front and at the end that stand for no part of the window.
    starts : tuple of float, optional
        The first frame that each of the others sees, where the extractor fills up (`first_frames`).
    """

    left_out: tuple[int, int] = (0, 0)
    starts: tuple[float, ...] | None = None

    kind = "audio"

    def given(self, inputs: Inputs) -> Inputs:
        """Return all but what the reader counted."""
        return {key: value for key, value in inputs.items() if key != "frames"}

    def pool(self, module: nn.Module, states: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """Average over the tokens of the sound."""
        if self.pooling == "pooled":
            raise ValueError("it has no pooled output of its own; take --pooling mean")
        if self.pooling == "tokens":
            return states
        front, behind = self.left_out
        states = states[:, front : states.shape[1] - behind]
        if self.starts is not None:
            starts = torch.tensor(self.starts, device=states.device)
            return hf.masked_mean(states, starts[None, :] < inputs["frames"][:, None])
        mask = inputs.get("attention_mask")
        if mask is None or bool(mask.bool().all()):
            return states.mean(1)
        return hf.masked_mean(states, token_mask(module, mask, states.shape[1]))


def token_mask(module: Any, mask: torch.Tensor, n_tokens: int) -> torch.Tensor:
    """Reduce a mask of inputs (units, length) to one of a model's tokens (units, n_tokens)."""
    if mask.shape[1] == n_tokens:
        return mask.bool()
    reduce: Callable[..., torch.Tensor] | None = getattr(module, "_get_feature_vector_attention_mask", None)
    if reduce is not None:
        return reduce(n_tokens, mask).bool()
    steps = torch.arange(n_tokens, device=mask.device) * (mask.shape[1] / n_tokens)
    return steps[None, :] < mask.sum(1, keepdim=True)


def fewest_samples(works: Callable[[int], bool], likely: int, most: int) -> int:
    """Return the smallest number of samples that works, by bisection.

    Parameters
    ----------
    works : callable
    likely : int
        A number that works, with most models.
    most : int
        A number that works.

    Examples
    --------
    >>> fewest_samples(lambda n: n >= 400, 4000, 160000), fewest_samples(lambda n: n >= 5000, 4000, 160000)
    (400, 5000)
    """
    low, high = 0, min(likely, most)
    while not works(high):
        low, high = high, min(2 * high, most)
        if low == high:
            return most
    between = range(low + 1, high)
    return low + 1 + bisect.bisect_left(between, True, key=works)
