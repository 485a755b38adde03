"""Passes of rows through the heads of a late-fusion classifier: chunk by chunk, checked once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from skmmal._random import RandomState, check_rng, draw_seed
from skmmal._targets import Target, target_of
from skmmal.contributions import EXACT_MODALITIES, PERMUTATIONS, CoalitionValue, sampled_shapley_values, shapley_values
from skmmal.modalities import MultimodalArray, presence_mask
from skmmal.modalities._input import validate_features
from skmmal.modalities._mapped import released_chunks
from skmmal.reading._model import ModelSource

__all__ = ["LateFusionPasses", "Pass"]


class Pass(ABC):
    """Some rows on their way through the heads; logits are arrays of float64.

    Parameters
    ----------
    rows : slice
        Which rows they are.
    present : bool ndarray of shape (n, M)
    target : Target
        What the logits mean.
    """

    def __init__(self, rows: slice, present: np.ndarray, target: Target) -> None:
        self.rows, self.present, self.target = rows, present, target

    @property
    @abstractmethod
    def embeddings(self) -> list[np.ndarray]:
        """What the encoders return, M arrays (n, D_m)."""

    @abstractmethod
    def fused_logits(self) -> np.ndarray:
        """Logits (n, K) of the fused head."""

    @abstractmethod
    def own_logits(self) -> list[np.ndarray]:
        """Logits (n, K) of each modality's own head."""

    def all_logits(self) -> list[np.ndarray]:
        """Logits (n, K) of each modality's own head, and last of the fused one."""
        return [*self.own_logits(), self.fused_logits()]

    @abstractmethod
    def shares(self, ablation_point: str) -> tuple[list[np.ndarray], np.ndarray] | None:
        """Each modality's share (n, K) of the fused logits and their intercept (K,).

        ``None`` where a modality that is taken away does not just take its share with it.
        """

    def coalition_logits(self, kept: np.ndarray, ablation_point: str) -> np.ndarray:
        """Fused logits (n, K) when only some modalities are kept (see `LateFusionClassifier.predict_proba_with`)."""
        found = self.shares(ablation_point)
        if found is None:
            return self.ablated_logits(kept, ablation_point)
        return _sum_of(*found, kept)

    @abstractmethod
    def ablated_logits(self, kept: np.ndarray, ablation_point: str) -> np.ndarray:
        """Fused logits (n, K) where they are no sum of shares."""

    def coalition_value(self, given: np.ndarray | None, ablation_point: str) -> tuple[CoalitionValue, np.ndarray]:
        """Probability of given targets (by default the predicted ones) for any coalition, and the fused logits."""
        found = self.shares(ablation_point)
        logits = self.fused_logits() if found is None else sum(*found)
        if given is None:
            given = self.target.predicted(logits)
        if found is not None:
            return self.target.coalition_value(*found, given), logits
        return lambda kept: self.target.value(self.ablated_logits(kept, ablation_point), given), logits

    def coalition_hits(self, given: np.ndarray, ablation_point: str) -> CoalitionValue:
        """Whether given targets are the predicted ones, zero or one, for any coalition."""
        found = self.shares(ablation_point)

        def value(kept: np.ndarray) -> np.ndarray:
            logits = self.ablated_logits(kept, ablation_point) if found is None else _sum_of(*found, kept)
            return self.target.hits(self.target.predicted(logits), given).astype(np.float64)

        return value


def _sum_of(shares: list[np.ndarray], intercept: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return sum((share for share, keep in zip(shares, kept, strict=True) if keep), np.zeros_like(shares[0]) + intercept)


class LateFusionPasses(ModelSource):
    """Rows that go through the heads of a classifier; parameters as of `LateFusionSource`."""

    def __init__(self, model: Any, X: Any, *, once: bool = False, **options: Any) -> None:
        super().__init__(model, X, **options)
        self._once = once

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
    def target(self) -> Target:  # type: ignore[override]
        """What the logits mean."""
        return target_of(self.final)

    @abstractmethod
    def _pass(self, rows: slice, **options: Any) -> Any:
        """Some rows on their way (a `Pass`)."""

    def forward(
        self, function: Callable[[Any], Sequence[np.ndarray]], *, width: int | None = None, **options: Any
    ) -> list[Any]:
        """Go through the rows chunk by chunk, and stack what a function makes of each.

        Parameters
        ----------
        function : callable
            From a `Pass` to a sequence of arrays.
        width : int, optional
            Numbers of a row that are held at a time; by default, columns.
        **options
            What else is to be said of the passes.

        Returns
        -------
        list of ndarray

        Raises
        ------
        ValueError
            Rows hold values so large that something overflows.
        """
        blocks = list(self.features.blocks.values())
        found: list[np.ndarray] = []
        for rows in released_chunks(blocks, width or self.features.shape[1]):
            with np.errstate(over="ignore", invalid="ignore"):
                arrays = function(self._pass(rows, **options))
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

    def shapley_values(
        self,
        targets: np.ndarray | None = None,
        *,
        n_permutations: int | str | None = "auto",
        random_state: RandomState = 0,
        also: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> list[np.ndarray]:
        """Shapley values of the modalities for the probability of a class, in one pass.

        Parameters
        ----------
        targets : ndarray of int, shape (N,) or (N, L), optional
            Columns of the classes, or which labels are meant; by default the predicted ones.
        n_permutations : int, "auto" or None, default="auto"
            How many orders are sampled; ``None``: values are exact. ``"auto"``: exact up to twelve modalities.
        random_state : int, RandomState, Generator or None, default=0
            Draws the orders.
        also : callable, optional
            From the probabilities with all modalities, which are made on the way, to what is returned of them, too.

        Returns
        -------
        values, standard_errors : ndarray of shape (N, M)
        found : ndarray of shape (N, ...)
            Only with `also`.
        """
        n_modalities = len(self.final.modalities_)
        if n_permutations == "auto":
            n_permutations = None if n_modalities <= EXACT_MODALITIES else PERMUTATIONS
        seed = draw_seed(check_rng(random_state))  # one, whatever the number of chunks
        point, present = self.final.ablation_point, self.present

        def values(part: Pass) -> list[np.ndarray]:
            value, logits = part.coalition_value(None if targets is None else targets[part.rows], point)
            if n_permutations is None:
                phi = shapley_values(value, n_modalities)
                found = [phi, np.zeros_like(phi)]
            else:
                found = [
                    *sampled_shapley_values(value, n_modalities, n_permutations=n_permutations, random_state=seed)  # type: ignore[arg-type]
                ]
            # an absent modality changes no coalition's value: its Shapley value is zero, but for rounding
            phi_and_errors = [each * present[part.rows] for each in found]
            return phi_and_errors if also is None else [*phi_and_errors, also(self.target.probabilities(logits))]

        return self.forward(values, width=self.coalitions_width)

    @property
    def coalitions_width(self) -> int:
        """How many numbers of a row the coalitions need at a time: the features, or every modality's logits."""
        return max(self.features.shape[1], len(self.final.modalities_) * len(self.final.classes_))
