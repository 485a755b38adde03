"""Between blocks of features and the tensors of a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from skmmal._arrays import at_least_float32
from skmmal.heads._batches import Batches
from skmmal.modalities import MultimodalArray

__all__ = [
    "as_batches",
    "at_least_float32",
    "resolve_device",
    "softmax",
    "to_numpy",
    "without_nan",
    "zero_where_absent",
]


def resolve_device(device: str) -> torch.device:
    """Turn a user's `device` into a torch device; ``"auto"`` is CUDA where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (AssertionError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:  # torch has one of each
        raise ValueError(f"device={device!r} is not a torch device that can be used here: {error}") from None
    return found


def as_batches(
    features: MultimodalArray, present: np.ndarray, rows: Any, dtype: torch.dtype, device: torch.device
) -> Batches:
    """Some rows as tensors, absent blocks zeroed (labels and weights are left empty)."""
    there = present[rows]
    wide = np.float64 if dtype is torch.float64 else np.float32
    blocks = []
    for index, (name, block) in enumerate(features.blocks.items()):
        with np.errstate(over="ignore"):
            values = block[rows].astype(wide)
        values[~there[:, index]] = 0.0
        if np.dtype(wide).itemsize < block.dtype.itemsize and not np.isfinite(values).all():
            raise ValueError(
                f"modality {name!r} holds values too large for {np.dtype(wide).name}: scale the features first "
                "(skmmal.ModalityScaler)"
            )
        blocks.append(torch.from_numpy(values).to(device))
    nothing = torch.empty(0, device=device)
    return Batches(blocks, torch.from_numpy(there).to(device), nothing, nothing)


def without_nan(block: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The block with absent rows zeroed, in floating point; a read-only view where nothing has to change."""
    if present.all() and block.dtype in (np.float16, np.float32, np.float64):
        view = block.view()
        view.flags.writeable = False
        return view
    values = block.astype(np.float64 if block.dtype.kind != "f" else np.result_type(block.dtype, np.float32))
    values[~present] = 0.0
    return values


def zero_where_absent(values: list[torch.Tensor], present: torch.Tensor) -> list[torch.Tensor]:
    """M tensors (n, D_m) with the rows zeroed that lack the modality; `present` is boolean (n, M)."""
    return [part * present[:, m : m + 1] for m, part in enumerate(values)]


def softmax(logits: torch.Tensor) -> torch.Tensor:
    """Probabilities of logits (n, K), in float64."""
    return torch.softmax(logits.double(), dim=1)


def to_numpy(values: torch.Tensor) -> np.ndarray:
    """As an array: floating point as float64, integers as they are."""
    return values.double().cpu().numpy() if values.is_floating_point() else values.cpu().numpy()
