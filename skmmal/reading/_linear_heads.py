"""Linear heads as a source: arrays alone, no torch."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from skmmal._arrays import widened
from skmmal._targets import Target
from skmmal.heads import LinearHeads
from skmmal.reading._late_fusion import LateFusionSource
from skmmal.reading._linear import LinearHead
from skmmal.reading._passes import Pass
from skmmal.reading._source import FUSED

__all__ = ["LinearSource"]

_ROUNDING = 1e-5
"""By how much rounding may change logits from which a ranking comes."""


class LinearPass(Pass):
    """Some rows on their way through linear heads.

    Nothing remains of a modality that is taken away, whether after an encoder that is not there or before.
    """

    def __init__(
        self, rows: slice, present: np.ndarray, target: Target, heads: LinearHeads, blocks: list[np.ndarray]
    ) -> None:
        super().__init__(rows, present, target)
        self._heads, self._blocks = heads, blocks

    @property
    def embeddings(self) -> list[np.ndarray]:
        """The features, absent rows zero."""
        return self._blocks

    def fused_logits(self) -> np.ndarray:
        """Logits (n, K) of the fused head."""
        return self._heads.fused_logits(self._blocks)

    def own_logits(self) -> list[np.ndarray]:
        """Logits (n, K) of each modality's own head."""
        return self._heads.own_logits(self._blocks)

    def shares(self, ablation_point: str) -> tuple[list[np.ndarray], np.ndarray]:
        """Each modality's share of the fused logits, and their intercept."""
        return self._heads.shares(self._blocks), self._heads.fused.intercept

    def ablated_logits(self, kept: np.ndarray, ablation_point: str) -> np.ndarray:
        """Fused logits are a sum of shares."""
        return self.coalition_logits(kept, ablation_point)


class LinearSource(LateFusionSource):
    """What a classifier with linear heads says of rows; parameters as of `LateFusionSource`."""

    @property
    def _heads(self) -> LinearHeads:
        return self.final.heads_

    @cached_property
    def _dtype(self) -> type:
        """Single precision where a ranking comes of features that have no more, and nothing large cancels in logits."""
        kinds = [block.dtype for block in self.features.blocks.values()]
        center = self._heads.center
        if not self.ranks or center is None or np.result_type(np.float32, *kinds) != np.float32:
            return np.float64
        seen = [center, *np.split(center, np.cumsum(self._heads.widths)[:-1])]
        weights = [self._heads.fused.weight, *(self._heads.own_map(m).weight for m in range(len(kinds)))]
        cancels = max((np.abs(each) @ np.abs(mean)).max() for each, mean in zip(weights, seen, strict=True))
        return np.float32 if cancels * np.finfo(np.float32).eps <= _ROUNDING else np.float64

    def forward(self, function: Any, **options: Any) -> list[Any]:
        # what overflows in single precision need not in double
        try:
            return super().forward(function, **options)
        except ValueError:
            if self._dtype is np.float64:
                raise
        self._dtype = np.float64
        return super().forward(function, **options)

    def _pass(self, rows: slice, **options: Any) -> LinearPass:
        blocks, present = [], self.present[rows]
        for m, block in enumerate(self.features.blocks.values()):
            there = present[:, m]
            # in one memory order, products round in one way
            values = np.asarray(block[rows], order="C")
            if values.dtype != self._dtype:
                values = widened(values, self._dtype)
            elif not there.all() and isinstance(block, np.ndarray):
                values = values.copy()
            if not there.all():
                values[~there] = 0.0
            blocks.append(values)
        return LinearPass(rows, present, self.target, self._heads, blocks)

    def linear_head(self, head: str, width: int) -> LinearHead | None:
        # weights and intercepts of the fused head or of a modality's own
        index = None if head == FUSED else self.modality_names.index(head)
        found = self._heads.fused if index is None else self._heads.own_map(index)
        # a subclass may embed in its own way
        return None if found.weight.shape[1] != width else (found.weight.copy(), found.intercept.copy())

    def is_linear_in_features(self, head: str) -> bool:
        return True

    def logits_at(self, head: str, features: np.ndarray) -> np.ndarray | None:
        # logits of the fused head
        if head != FUSED:
            return None
        fused = self._heads.fused
        return np.asarray(features, dtype=np.float64) @ fused.weight.T + fused.intercept

    def network(self) -> Any:
        # the heads as a torch network, the rows as it takes them, and which modality is present
        return self.final.module_, self.features, self.present
