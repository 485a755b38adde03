"""Passes of rows through a late-fusion network: chunk by chunk, checked once, encoded once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from skmmal._random import RandomState, check_rng, draw_seed
from skmmal.contributions import EXACT_MODALITIES, PERMUTATIONS, sampled_shapley_values, shapley_values
from skmmal.heads import LateFusionModule
from skmmal.heads._ablation import coalition_value
from skmmal.heads._tensors import as_batches, resolve_device, softmax, to_numpy
from skmmal.modalities import MultimodalArray, presence_mask
from skmmal.modalities._input import validate_features
from skmmal.modalities._mapped import released_chunks
from skmmal.reading._model import ModelSource

__all__ = ["NetworkPasses", "Pass"]

Pass = Callable[[LateFusionModule, list[torch.Tensor], torch.Tensor, slice], Sequence]
"""From the network, the embeddings of some rows, which are present, and which rows they are, to arrays or tensors."""


class NetworkPasses(ModelSource):
    """Rows that go through a network; parameters as of `NetworkSource`."""

    def __init__(self, model: Any, X: Any, *, once: bool = False, **options: Any) -> None:
        super().__init__(model, X, **options)
        self._once, self._keeps = once, not once
        self._kept: list[np.ndarray] | None = None

    @cached_property
    def features(self) -> MultimodalArray:
        """The rows in blocks of the classifier's modalities; NaN where a row lacks one."""
        return validate_features(self.final, self.X, reset=False)

    @cached_property
    def present(self) -> np.ndarray:
        """Which row has which modality."""
        return presence_mask(self.features)

    @cached_property
    def modality_names(self) -> list[str]:
        """Names of the modalities."""
        return list(self.final.modalities_)

    @cached_property
    def _module(self) -> tuple[LateFusionModule, torch.device]:
        device = resolve_device(self.final.device)
        module = self.final.module_
        return (module if device.type == "cpu" else copy.deepcopy(module).to(device)), device

    def forward(
        self, function: Pass, *, width: int | None = None, through: LateFusionModule | None = None
    ) -> list[Any]:
        """Go through the rows chunk by chunk, and stack what a function makes of their embeddings.

        Parameters
        ----------
        function : callable
            Takes the network, M embeddings, presence and the rows; returns a sequence of arrays or tensors.
        width : int, optional
            Numbers of a row that are held at a time; by default, columns.
        through : LateFusionModule, optional
            Another network than the classifier's, on the CPU; its embeddings are not kept.

        Returns
        -------
        list of ndarray

        Raises
        ------
        ValueError
            Rows hold values so large that something overflows.
        """
        module, device = self._module if through is None else (through, torch.device("cpu"))
        blocks = list(self.features.blocks.values())
        found: list[np.ndarray] = []
        with torch.inference_mode():
            for rows in released_chunks(blocks, width or self.features.shape[1]):
                embeddings, there = self._embeddings(module, device, rows, kept=through is None)
                arrays = [
                    part if isinstance(part, np.ndarray) else to_numpy(part)
                    for part in function(module, embeddings, there, rows)
                ]
                if not all(np.isfinite(array).all() for array in arrays):
                    raise ValueError(
                        f"rows {rows.start} to {rows.stop - 1} of X hold values so large that the predictions "
                        "overflow; scale them as those that the classifier was fitted on"
                    )
                # all rows' room at once: small results kept between large chunks would tear the memory into pieces
                found = found or [np.empty((len(self), *array.shape[1:]), array.dtype) for array in arrays]
                for whole, array in zip(found, arrays, strict=True):
                    whole[rows] = array
        return found

    def _embeddings(
        self, module: LateFusionModule, device: torch.device, rows: slice, kept: bool
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Embeddings of some rows, and which are present: the encoders run once, where their output is kept."""
        if kept and self._keeps and not module.is_linear:
            if self._kept is None:
                self._keeps = False  # while the encoders run
                self._kept = self.forward(lambda _, embeddings, *__: embeddings)
                self._keeps = True
            dtype = module.dtype
            there = torch.from_numpy(self.present[rows]).to(device)
            return [torch.from_numpy(block[rows]).to(device, dtype) for block in self._kept], there
        batch = as_batches(self.features, self.present, rows, module.dtype, device)
        return module.embed(batch.blocks, batch.present), batch.present

    def shapley_values(
        self,
        targets: np.ndarray | None = None,
        *,
        n_permutations: int | str | None = "auto",
        random_state: RandomState = 0,
        with_probabilities: bool = False,
    ) -> list[np.ndarray]:
        """Shapley values of the modalities for the probability of a class, in one pass.

        Parameters
        ----------
        targets : ndarray of int, shape (N,), optional
            Columns of the classes; by default the predicted ones'.
        n_permutations : int, "auto" or None, default="auto"
            How many orders are sampled; ``None``: values are exact. ``"auto"``: exact up to twelve modalities.
        random_state : int, RandomState, Generator or None, default=0
            Draws the orders.
        with_probabilities : bool, default=False
            Whether to return, too, the probabilities with all modalities, which are made on the way.

        Returns
        -------
        values, standard_errors : ndarray of shape (N, M)
        probabilities : ndarray of shape (N, K)
            Only with `with_probabilities`.
        """
        if n_permutations == "auto":
            n_permutations = None if len(self.final.modalities_) <= EXACT_MODALITIES else PERMUTATIONS
        seed = draw_seed(check_rng(random_state))  # one, whatever the number of chunks
        point, present = self.final.ablation_point, self.present

        def values(module: LateFusionModule, z: list[torch.Tensor], there: torch.Tensor, rows: slice) -> list[Any]:
            value, logits = coalition_value(module, z, there, None if targets is None else targets[rows], point)
            if n_permutations is None:
                phi = shapley_values(value, len(z))
                found = [phi, np.zeros_like(phi)]
            else:
                found = [*sampled_shapley_values(value, len(z), n_permutations=n_permutations, random_state=seed)]  # type: ignore[arg-type]
            # an absent modality changes no coalition's value: its Shapley value is zero, but for rounding
            phi_and_errors = [part * present[rows] for part in found]
            return [*phi_and_errors, softmax(logits)] if with_probabilities else phi_and_errors

        return self.forward(values, width=self.coalitions_width)

    @property
    def coalitions_width(self) -> int:
        """How many numbers of a row the coalitions need at a time: the features, or every modality's logits."""
        return max(self.features.shape[1], len(self.final.modalities_) * len(self.final.classes_))
