"""Between blocks of features and the tensors of a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from skmmal.heads._batches import Batches
from skmmal.modalities import MultimodalArray

__all__ = ["as_batches", "resolve_device", "to_numpy"]


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


def to_numpy(values: torch.Tensor) -> np.ndarray:
    """As an array: floating point as float64, integers as they are."""
    return values.double().cpu().numpy() if values.is_floating_point() else values.cpu().numpy()
