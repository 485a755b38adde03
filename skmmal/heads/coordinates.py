"""Features as the convex solvers see them: centred, with coordinates for the weights and a preconditioner.

A linear map of features Z (n, D) has weights (D, K). In general those are its coordinates. With few rows, fewer than
features, use is made of the optimum's being in the span of the rows, ``W = Zᵀ A``, and A (n, K) are the coordinates:
all that is needed of the features is then Z Zᵀ. Weights are compared by ``<W, V> = Σ W V``, whatever the coordinates
are; that is ``A · (Z Zᵀ B)`` for the second kind, so that every vector there is kept with its `dual`, Z Zᵀ times the
coordinates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from skmmal.heads.axes import GRAM_LIMIT, PrincipalAxes, check_power, weighted_mean

__all__ = ["Coordinates", "Features", "coordinates_of"]

_SAMPLED_ROWS = 1024
"""Rows, evenly spaced, that the preconditioner of weights knows the features by."""
_MOST_BY_ROW = 2000
"""Rows up to which coefficients of the rows, where there are fewer of them than features, cost less than weights."""
_SINGLE_PRECISION = 0.02
"""Largest rounding error of single precision beside the penalty at which it is used."""
_DEFINITE = 10.0
"""Rounding errors of the trace that a diagonal must surpass for a matrix to have a Cholesky factor."""
_SLACK = 1e-11
"""Relative size of what is added to Z Zᵀ before it is inverted."""
_FACTOR_LIMIT = 1e13
"""Largest ``w ‖Z‖² / l2`` at which ``l2 + c ZᵀZ`` can be factored without a penalty that is far larger than l2."""


class Features:
    """The modalities' features, centred over the rows; what heads share is computed once.

    Parameters
    ----------
    blocks : list of M tensors of shape (n, D_m)
        In float64.
    weights : tensor of shape (n,), optional
        The rows' weights in the mean.
    centred : bool, default=True
        False: the features are taken as they are.
    """

    def __init__(
        self, blocks: list[torch.Tensor], weights: torch.Tensor | None = None, *, centred: bool = True
    ) -> None:
        if centred:
            self.means = [weighted_mean(block, weights) for block in blocks]
            self._blocks = [block - mean for block, mean in zip(blocks, self.means, strict=True)]
        else:
            self.means = [torch.zeros_like(block[:1]).sum(dim=0) for block in blocks]
            self._blocks = blocks
        self.powers = [check_power(float(torch.linalg.vector_norm(block)), block) for block in self._blocks]
        self.n_rows = len(blocks[0])
        self.widths = [block.shape[1] for block in blocks]
        self._single: dict[int, torch.Tensor] = {}
        self._row_products: dict[int, torch.Tensor] = {}

    def values(self, m: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        """Block m in single or double precision."""
        if dtype is torch.float64:
            return self._blocks[m]
        if m not in self._single:
            self._single[m] = self._blocks[m].float()
        return self._single[m]

    def row_products(self, chosen: list[int]) -> torch.Tensor:
        """``Z Zᵀ`` (n, n) of some blocks side by side."""
        for m in chosen:
            if m not in self._row_products:
                self._row_products[m] = self._blocks[m] @ self._blocks[m].T
        return sum(self._row_products[m] for m in chosen)  # type: ignore[return-value]


class Coordinates(ABC):
    """Coordinates of the weights of one linear map.

    Parameters
    ----------
    features : Features
    chosen : list of int
        The blocks that the map takes, side by side.

    Attributes
    ----------
    size : int
        How many coordinates there are for each class.
    dual_is_image : bool
        Whether `dual` is the same as `image`.
    """

    size: int
    dual_is_image = False

    def __init__(self, features: Features, chosen: list[int]) -> None:
        self._features, self._chosen = features, chosen
        self._widths = [features.widths[m] for m in chosen]
        self._power = max(sum(features.powers[m] for m in chosen), torch.finfo(torch.float64).tiny)

    @abstractmethod
    def image(self, part: torch.Tensor) -> torch.Tensor:
        """``Z W`` (n, K) of coordinates (size, K)."""

    @abstractmethod
    def pull(self, rows: torch.Tensor) -> torch.Tensor:
        """Coordinates of ``Zᵀ rows``, for rows (n, K)."""

    @abstractmethod
    def dual(self, part: torch.Tensor) -> torch.Tensor:
        """What the inner products with `part` are taken with."""

    @abstractmethod
    def set_curvature(self, l2: float, curvature: float) -> None:
        """Prepare ``(l2 + curvature Zᵀ Z)⁻¹``, or something near it."""

    @abstractmethod
    def precondition(self, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Apply it; return coordinates and dual."""

    @abstractmethod
    def to_features(self, part: torch.Tensor) -> torch.Tensor:
        """Weights (D, K) of coordinates."""

    @abstractmethod
    def from_features(self, weight: torch.Tensor) -> torch.Tensor:
        """Coordinates of the weights' part in the span of the rows."""

    @abstractmethod
    def single_will_do(self, l2: float, curvature: float) -> bool:
        """Whether single precision is good enough to come close to the optimum."""

    def mean_logits(self, weight: torch.Tensor) -> torch.Tensor:
        """What the features' means add to the logits (K,)."""
        return torch.cat([self._features.means[m] for m in self._chosen]) @ weight


class ByColumn(Coordinates):
    """The weights themselves.

    The preconditioner is ``(l2 + curvature · n / r · SᵀS)⁻¹`` with S some of the rows, r of n, evenly spaced: a
    thousand do nearly as well as all of them.
    """

    def __init__(self, features: Features, chosen: list[int]) -> None:
        super().__init__(features, chosen)
        self.size = sum(self._widths)
        self._sample: torch.Tensor | None = None
        self._few = False  # fewer sampled rows than features: the inverse is by Woodbury's identity

    def image(self, part: torch.Tensor) -> torch.Tensor:
        n_classes = part.shape[1]
        # products of a multiple of eight columns are a quarter faster than one column less
        padded = torch.nn.functional.pad(part, (0, -n_classes % 8))
        pieces = zip(self._chosen, padded.split(self._widths), strict=True)
        image = sum(self._features.values(m, part.dtype) @ piece for m, piece in pieces)
        return image[:, :n_classes].contiguous()

    def pull(self, rows: torch.Tensor) -> torch.Tensor:
        # the transpose of the product is formed faster than the product
        return torch.cat([rows.T @ self._features.values(m, rows.dtype) for m in self._chosen], dim=1).T.contiguous()

    def dual(self, part: torch.Tensor) -> torch.Tensor:
        return part

    def set_curvature(self, l2: float, curvature: float) -> None:
        dtype = torch.float32 if self.single_will_do(l2, curvature) else torch.float64
        if self._sample is None or self._sample.dtype is not dtype:
            step = max(1, self._features.n_rows // _SAMPLED_ROWS)
            self._sample = torch.cat([self._features.values(m, dtype)[::step] for m in self._chosen], dim=1)
            self._few = len(self._sample) < self.size
            self._sample_products = self._sample @ self._sample.T if self._few else self._sample.T @ self._sample
        self._weight = curvature * self._features.n_rows / len(self._sample)
        self._factor, self._l2 = _cholesky(self._sample_products, self._weight, l2)

    def precondition(self, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert self._sample is not None
        given = part.to(self._sample.dtype)
        if self._few:
            inner = torch.cholesky_solve(self._sample @ given, self._factor)
            solved = torch.sub(given, (inner.T @ self._sample).T, alpha=self._weight).div_(self._l2)
        else:
            solved = torch.cholesky_solve(given, self._factor)
        solved = solved.to(part.dtype)
        return solved, solved

    def to_features(self, part: torch.Tensor) -> torch.Tensor:
        return part

    def from_features(self, weight: torch.Tensor) -> torch.Tensor:
        return weight

    def single_will_do(self, l2: float, curvature: float) -> bool:
        # eigenvalues' rounding errors are of the order of their sum's
        return torch.finfo(torch.float32).eps * curvature * self._power < _SINGLE_PRECISION * l2


class ByRow(Coordinates):
    """Coefficients of the rows."""

    dual_is_image = True

    def __init__(self, features: Features, chosen: list[int]) -> None:
        super().__init__(features, chosen)
        self._products = features.row_products(chosen)
        self.size = len(self._products)

    def image(self, part: torch.Tensor) -> torch.Tensor:
        return self._products @ part

    def pull(self, rows: torch.Tensor) -> torch.Tensor:
        return rows

    def dual(self, part: torch.Tensor) -> torch.Tensor:
        return self._products @ part

    def set_curvature(self, l2: float, curvature: float) -> None:
        curvature = max(curvature, 1e-6 * l2 / self._power)  # with less the penalty is all there is
        self._factor, self._l2 = _cholesky(self._products, curvature, l2)
        self._curvature = curvature

    def precondition(self, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        solved = torch.cholesky_solve(part, self._factor)
        # (l2 + c G) solved = part gives the product with G for nothing
        return solved, (part - self._l2 * solved) / self._curvature

    def to_features(self, part: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._features.values(m).T @ part for m in self._chosen])

    def from_features(self, weight: torch.Tensor) -> torch.Tensor:
        pieces = zip(self._chosen, weight.split(self._widths), strict=True)
        image = sum(self._features.values(m) @ piece for m, piece in pieces)
        # where rows are equal, or nearly, many coefficients give the same weights: the smallest ones
        slack = self._products.clone()
        slack.diagonal().add_(_SLACK * self._power)
        return torch.cholesky_solve(image, torch.linalg.cholesky(slack))

    def single_will_do(self, l2: float, curvature: float) -> bool:
        return False  # all its products are small


class ByAxis(Coordinates):
    """Weights on the principal axes, where squares of the features would lose directions that matter."""

    def __init__(self, features: Features, chosen: list[int]) -> None:
        super().__init__(features, chosen)
        together = torch.cat([features.values(m) for m in chosen], dim=1)
        self._axes = PrincipalAxes(together, stiffness=float("inf"))
        self.size = self._axes.Z.shape[1]

    def image(self, part: torch.Tensor) -> torch.Tensor:
        return self._axes.Z @ part

    def pull(self, rows: torch.Tensor) -> torch.Tensor:
        return self._axes.Z.T @ rows

    def dual(self, part: torch.Tensor) -> torch.Tensor:
        return part

    def set_curvature(self, l2: float, curvature: float) -> None:
        self._inverse = 1.0 / (l2 + curvature * self._axes.variances[:, None])

    def precondition(self, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        solved = self._inverse * part
        return solved, solved

    def to_features(self, part: torch.Tensor) -> torch.Tensor:
        return self._axes.to_features(part)

    def from_features(self, weight: torch.Tensor) -> torch.Tensor:
        return self._axes.from_features(weight)

    def single_will_do(self, l2: float, curvature: float) -> bool:
        return False  # what is small here matters


def _cholesky(products: torch.Tensor, weight: float, l2: float) -> tuple[torch.Tensor, float]:
    """Cholesky's factor of ``l2 + weight · products``, and l2: a larger one where rounding would swallow the given."""
    scaled = weight * products
    l2 = max(l2, _DEFINITE * torch.finfo(products.dtype).eps * float(scaled.diagonal().sum()))
    scaled.diagonal().add_(l2)
    return torch.linalg.cholesky(scaled), l2


def coordinates_of(features: Features, chosen: list[int], stiffness: float = 0.0) -> Coordinates:
    """Coordinates for the weights of some blocks side by side.

    Parameters
    ----------
    features : Features
    chosen : list of int
    stiffness : float, default=0.0
        Largest weight of a row, over l2: how much small directions matter (see `skmmal.heads.axes.GRAM_LIMIT`).
    """
    n_features = sum(features.widths[m] for m in chosen)
    is_by_row = features.n_rows < n_features and features.n_rows <= _MOST_BY_ROW
    if stiffness * sum(features.powers[m] for m in chosen) > (GRAM_LIMIT if is_by_row else _FACTOR_LIMIT):
        return ByAxis(features, chosen)
    return (ByRow if is_by_row else ByColumn)(features, chosen)
