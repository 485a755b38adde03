"""Heads that are linear in the features, as arrays: what the convex fit finds, and all that is asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skmmal.heads._classes import UNSEEN_LOGIT
from skmmal.heads.convex import LinearMap

if TYPE_CHECKING:
    from skmmal.heads._network import LateFusionModule

__all__ = ["LinearHeads"]


class LinearHeads:
    """A linear classifier on each modality's features, and one on all of them.

    Parameters
    ----------
    maps : list of LinearMap
        Weights (K, D) and intercepts (K,), float64: the fused head's and those of the M modalities; with sum fusion
        those of the modalities alone, whose mean is the fused head.
    met : bool ndarray of shape (M + 1, K)
        Which classes each head has met, the fused head first. The others are out of its reach.
    center : ndarray of shape (Σ D_m,), optional
        Mean row of the features that they were fitted on.
    factors : sequence of M float, optional
        With sum fusion: of the modalities' logits before their mean is the fused head's; one by default.

    Attributes
    ----------
    unmet_logits : float, or ndarray of shape (M + 1, K)
        What heads say of classes that they have not met.
    network : LateFusionModule or None
        The same heads in torch, on the same memory, once somebody asked for them (`skmmal.heads._linear_network`).

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.heads import LinearHeads
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> isinstance(LateFusionClassifier().fit(X[::20], y[::20]).heads_, LinearHeads)
    True
    """

    def __init__(
        self,
        maps: list[LinearMap],
        met: np.ndarray,
        center: np.ndarray | None = None,
        factors: Sequence[float] | None = None,
    ) -> None:
        self.maps, self.met, self.center, self.factors = maps, met, center, factors
        self.unmet_logits: np.ndarray | float = UNSEEN_LOGIT
        self.network: LateFusionModule | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "network": None}  # a copy's weights are no longer those of the network

    @classmethod
    def zeros(
        cls, widths: Sequence[int], n_classes: int, *, is_sum: bool, factors: Sequence[float] | None = None
    ) -> LinearHeads:
        """Heads that say the same of every row.

        Parameters
        ----------
        widths : sequence of M int
            Columns of the modalities.
        n_classes : int
            Number K of classes.
        is_sum : bool
            Whether the fused head is the mean of the others.
        factors : sequence of M float, optional
            Of the modalities' logits in that mean.

        Returns
        -------
        LinearHeads
        """
        columns = [*([] if is_sum else [sum(widths)]), *widths]
        maps = [LinearMap(np.zeros((n_classes, width)), np.zeros(n_classes)) for width in columns]
        return cls(maps, np.ones((len(widths) + 1, n_classes), dtype=bool), factors=factors)

    @property
    def is_sum(self) -> bool:
        """Whether the fused head is the mean of the others."""
        return len(self.maps) < len(self.met)

    @property
    def own(self) -> list[LinearMap]:
        """The modalities' own maps, as they were fitted."""
        return self.maps[-(len(self.met) - 1) :]

    @property
    def widths(self) -> list[int]:
        """Columns of the modalities."""
        return [own.weight.shape[1] for own in self.own]

    @property
    def fused(self) -> LinearMap:
        """The fused head as one map of all columns."""
        if not self.is_sum:
            return self.maps[0]
        shares = np.ones(len(self.maps)) if self.factors is None else np.array(self.factors)
        shares /= len(self.maps)
        weight = np.hstack([share * own.weight for share, own in zip(shares, self.maps, strict=True)])
        intercept = shares @ [own.intercept for own in self.maps]
        intercept[~self.met[0]] = UNSEEN_LOGIT
        return LinearMap(weight, intercept)

    def temper(self, temperature: float) -> None:
        """Divide the fused head's logits by a temperature; with sum fusion all heads', which share their weights.

        Parameters
        ----------
        temperature : float
            Positive; above one it makes the head less sure.
        """
        for each in self.maps if self.is_sum else self.maps[:1]:
            each.weight /= temperature
            each.intercept /= temperature

    def own_map(self, m: int) -> LinearMap:
        """Return a modality's own head, which says nothing of classes that it has not met, though the sum may.

        Parameters
        ----------
        m : int
            The modality.

        Returns
        -------
        LinearMap
        """
        own, unknown = self.own[m], ~self.met[m + 1]
        if not (self.is_sum and unknown.any()):
            return own
        own = LinearMap(own.weight.copy(), own.intercept.copy())
        own.weight[unknown] = 0.0
        own.intercept[unknown] = np.broadcast_to(self.unmet_logits, self.met.shape)[m + 1][unknown]
        return own

    def shares(self, blocks: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Give each modality its share of the fused logits; the fused intercept is nobody's.

        Parameters
        ----------
        blocks : sequence of M arrays of shape (n, D_m)
            Of float64, or of float32 where products in single precision will do. Absent rows zero.

        Returns
        -------
        list of M ndarrays of shape (n, K)
        """
        weights = np.split(self.fused.weight, np.cumsum(self.widths)[:-1], axis=1)
        return [_product(block, weight) for block, weight in zip(blocks, weights, strict=True)]

    def fused_logits(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Return the fused head's logits.

        Parameters
        ----------
        blocks : sequence of M arrays of shape (n, D_m)
            Of float64, or of float32 where products in single precision will do. Absent rows zero.

        Returns
        -------
        ndarray of shape (n, K)
        """
        return sum(self.shares(blocks), self.fused.intercept)

    def own_logits(self, blocks: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the logits of each modality's own head.

        Parameters
        ----------
        blocks : sequence of M arrays of shape (n, D_m)
            Of float64, or of float32 where products in single precision will do. Absent rows zero.

        Returns
        -------
        list of M ndarrays of shape (n, K)
        """
        maps = map(self.own_map, range(len(blocks)))
        return [_product(block, own.weight) + own.intercept for block, own in zip(blocks, maps, strict=True)]

    # ------------------------------------------------------------------------------------ as skmmal.heads._classes asks

    @property
    def shape(self) -> Any:
        """What another fit's heads must share with these to go on from them."""
        return [LinearHeads, self.is_sum, self.widths]

    def class_layers(self) -> list[tuple[LinearMap, int]]:
        """Return the maps, and which row of `met` says what classes each knows.

        Returns
        -------
        list of (LinearMap, int)
        """
        return [(each, 0 if self.is_sum else head) for head, each in enumerate(self.maps)]

    def copy_shared(self, former: LinearHeads) -> None:
        """Copy weights that belong to no class: there are none.

        Parameters
        ----------
        former : LinearHeads
            Where they would come from.
        """


def _product(block: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """``block weightᵀ`` in the block's type."""
    return block @ weight.T.astype(block.dtype, copy=False)
