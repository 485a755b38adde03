"""Encoding batches: inference mode, autocast, memory that runs out, batches that fail."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from skmmal.featurize._reading import Reader

Inputs = dict[str, torch.Tensor]
Width = int | tuple[int, int]
Pieces = list[tuple[slice, torch.Tensor | Exception]]
"""Units of a batch with their features, or with what went wrong."""


@dataclass
class Backbone:
    """A model with everything that belongs to it: all that `run` needs to featurize with a model of your own.

    Parameters
    ----------
    module : torch.nn.Module
        It is moved to the job's device, and evaluated.
    forward : callable
        ``forward(module, inputs) -> Tensor`` of shape (units, dim), or (units, tokens, dim).
    width : int or (int, int)
        Of an item's row: columns, or ``(tokens, dim)``.
    reader : Reader
        What makes this model's inputs of a cell of the manifest.
    description : dict
        ``backbone``, ``weights``, ``preprocessing`` and what else the manifest should remember (see
        `skmmal.featurize.backbones.describe`). Part of the fingerprint: a job with another one cannot go on here.
    stack : bool
        An item's units are its tokens, by their `slot`, instead of being averaged.
    most_of : int, optional
        So many slots has an item; its row is the largest value of each column over those that are there.

    Examples
    --------
    >>> import torch
    >>> from skmmal.featurize import Backbone, Unit
    >>> from skmmal.featurize.backbones import TextReader
    >>> class Lengths(TextReader):
    ...     def decode(self, raw, notes):
    ...         yield Unit({"length": torch.tensor([float(len(raw))])})
    >>> backbone = Backbone(torch.nn.Linear(1, 4), lambda module, inputs: module(inputs["length"]), 4, Lengths())
    >>> backbone.forward(backbone.module, {"length": torch.ones(2, 1)}).shape
    torch.Size([2, 4])
    """

    module: torch.nn.Module
    forward: Callable[[torch.nn.Module, Inputs], torch.Tensor]
    width: Width
    reader: Reader
    description: dict[str, Any] = field(default_factory=dict)
    stack: bool = False
    most_of: int | None = None


def resolve_device(name: str) -> torch.device:
    """Turn ``auto`` into a device."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def autocast_dtype(device: torch.device, amp: bool | None) -> torch.dtype | None:
    """Return the dtype of autocast on a device, None for off. Unless told, GPUs use it and CPUs do not."""
    if amp is False or (amp is None and device.type != "cuda"):
        return None
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16


def _check_compiler(device: torch.device) -> None:
    """Refuse to compile where that does not work, before it fails with every item."""
    try:
        torch.compile(lambda x: (x + 1).relu())(torch.zeros(2, device=device))
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ValueError(f"--compile does not work here (torch.compile needs a C++ compiler): {reason}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that less at once might do."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


class Encoder:
    """Runs a backbone on one device.

    Parameters
    ----------
    backbone : Backbone
    device : torch.device
    amp : bool, optional
    compiled : bool
        Compile the model with torch.compile.

    Attributes
    ----------
    max_units : int or None
        Largest batch that fits into memory, once that ran out.
    """

    def __init__(
        self, backbone: Backbone, device: torch.device, amp: bool | None = None, *, compiled: bool = False
    ) -> None:
        self.backbone, self.device = backbone, device
        self.dtype = autocast_dtype(device, amp)
        self.module = backbone.module.to(device).eval()
        self.max_units: int | None = None
        self.call: Callable[[torch.nn.Module, Inputs], torch.Tensor] = backbone.forward
        if compiled:
            _check_compiler(device)
            self.call = torch.compile(backbone.forward)

    def encode(self, inputs: Inputs) -> Pieces:
        """Encode a batch, in as few pieces as possible.

        Returns
        -------
        list of (slice, Tensor or Exception)
            Units and their features, still on the device, or what went wrong with one unit alone.
        """
        n_units = len(next(iter(inputs.values())))
        return self._encode(inputs, slice(0, n_units))

    def _encode(self, inputs: Inputs, part: slice) -> Pieces:
        n_units = part.stop - part.start
        if self.max_units is not None and n_units > self.max_units:
            return self._halves(inputs, part)
        try:
            return [(part, self.forward({key: value[part] for key, value in inputs.items()}))]
        except Exception as error:
            failed: Exception = error
        # outside the handler: the traceback would keep the failed pass's tensors in memory
        failed = failed.with_traceback(None)
        if is_out_of_memory(failed):
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            if n_units == 1:
                raise RuntimeError(
                    "out of memory with a single unit; use a smaller model, --dtype float16 --amp, or another device"
                ) from failed
            self.max_units = max(1, n_units // 2)
        elif n_units == 1:
            return [(part, failed)]
        return self._halves(inputs, part)

    def _halves(self, inputs: Inputs, part: slice) -> Pieces:
        middle = part.start + (part.stop - part.start + 1) // 2
        left, right = slice(part.start, middle), slice(middle, part.stop)
        return self._encode(inputs, left) + self._encode(inputs, right)

    def forward(self, inputs: Mapping[str, torch.Tensor], *, exact: bool = False) -> torch.Tensor:
        """One forward pass; float32 features on the device. An exact one is neither autocast nor compiled."""
        amp: Any = contextlib.nullcontext()
        if not exact and self.dtype is not None:
            amp = torch.autocast(self.device.type, dtype=self.dtype)
        call = self.backbone.forward if exact else self.call
        with torch.inference_mode(), amp:
            features = call(self.module, self._to_device(inputs)).float()
        backbone = self.backbone
        expected = (backbone.width,) if isinstance(backbone.width, int) else tuple(backbone.width)
        if features.shape[1:] != expected[1 if backbone.stack else 0 :]:
            # found here it costs its unit alone; among the features of others it would stop the job
            found = " x ".join(str(size) for size in features.shape[1:])
            raise ValueError(f"the model gives features of {found} for an item of this size, not {backbone.width}")
        return features

    def _to_device(self, inputs: Mapping[str, torch.Tensor]) -> Inputs:
        if self.device.type != "cuda":
            return {key: value.to(self.device) for key, value in inputs.items()}
        # pinned memory is copied while the device computes
        return {key: value.pin_memory().to(self.device, non_blocking=True) for key, value in inputs.items()}

    def precision(self, inputs: Inputs, features: torch.Tensor, dtype: str, n_units: int = 8) -> dict[str, float]:
        """Compare what is stored with full precision, on the first units of a batch.

        Parameters
        ----------
        inputs : dict of Tensor
        features : Tensor
            What `forward` made of them. Neither autocast nor compiled that is full precision already.
        dtype : str
            What is stored.

        Returns
        -------
        dict
            ``max_difference`` and ``relative`` (to the largest magnitude), over ``units``.
        """
        features = features[:n_units]
        exact = features
        if self.dtype is not None or self.call is not self.backbone.forward:
            exact = self.forward({key: value[:n_units] for key, value in inputs.items()}, exact=True)
        difference = (features.to(getattr(torch, dtype)).float() - exact).abs().max().item()
        return {
            "max_difference": difference,
            "relative": difference / max(exact.abs().max().item(), float(np.finfo(np.float32).tiny)),
            "units": len(exact),
        }
