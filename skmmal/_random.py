"""One way to turn ``random_state`` into a generator, never touching numpy's global state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

if TYPE_CHECKING:
    import torch

RandomState = Any  # None | int | np.random.RandomState | np.random.Generator


def check_rng(random_state: RandomState) -> np.random.RandomState:
    """Return a ``RandomState`` for `random_state`.

    scikit-learn's ``check_random_state(None)`` hands out numpy's global generator, which would be read and
    advanced; here ``None`` means a fresh generator seeded by the operating system. A ``Generator`` is accepted
    too and shares its stream.
    """
    if random_state is None:
        return np.random.RandomState()
    if isinstance(random_state, np.random.Generator):
        return np.random.RandomState(random_state.bit_generator)
    try:
        return check_random_state(random_state)
    except ValueError as error:
        raise ValueError(f"random_state must be None, an integer from 0 to 2**32 - 1 or a generator: {error}") from None


def draw_seed(rng: np.random.RandomState) -> int:
    """Draw a seed for another generator (a torch one, a worker's, a nested estimator's)."""
    return int(rng.randint(np.iinfo(np.int32).max))


def torch_generator(rng: np.random.RandomState, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator on `device`, seeded from `rng`."""
    import torch

    return torch.Generator(device=device).manual_seed(draw_seed(rng))
