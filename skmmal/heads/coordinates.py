"""Features as the convex solvers see them: centred, with coordinates for the weights and a preconditioner.

A linear map of features Z (n, D) has weights (D, K). With more rows than features those are its coordinates. With
fewer rows, the optimum lies in the span of the rows, ``W = Zᵀ A``, and A (n, K) are the coordinates: all that is needed
of the features is then Z Zᵀ. Weights are compared by ``<W, V> = Σ W V``, whatever the coordinates are; that is
``A · (Z Zᵀ B)`` for the second kind, so that every vector there is kept with its `dual`, Z Zᵀ times the coordinates.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch

__all__ = ["Coordinates", "Features", "coordinates_of"]

_AXES = 256
"""Principal axes of the features that the preconditioner knows where there are more features than twice that."""
_ROWS_PER_AXIS = 8
"""Rows from which they are estimated."""
_SINGLE_PRECISION = 0.02
"""Largest rounding error of single precision beside the penalty at which it is used."""
_SLACK = 1e-11
"""Relative size of what is added to Z Zᵀ before it is inverted."""


class Features:
    """The modalities' features, centred over the rows; what heads share is computed once.

    Parameters
    ----------
    blocks : list of M tensors of shape (n, D_m)
        In float64.
    """

    def __init__(self, blocks: list[torch.Tensor]) -> None:
        self.means = [block.mean(dim=0) for block in blocks]
        self._blocks = [block - mean for block, mean in zip(blocks, self.means, strict=True)]
        self.powers = [float(block.square().sum()) for block in self._blocks]
        for block, power in zip(blocks, self.powers, strict=True):
            if not math.isfinite(power):
                raise ValueError(
                    f"X holds values up to {float(block.abs().max()):.3g}, too large to be squared: scale the features "
                    "first (skmmal.ModalityScaler)"
                )
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
    """More rows than features: the weights themselves."""

    def __init__(self, features: Features, chosen: list[int]) -> None:
        super().__init__(features, chosen)
        self.size = sum(self._widths)
        self._axes: tuple[torch.Tensor, torch.Tensor] | None = None

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
        if self._axes is None:
            dtype = torch.float32 if self.single_will_do(l2, curvature) else torch.float64
            self._axes = self._principal_axes(dtype)
        variances = self._axes[0]
        left = max(0.0, self._power - float(variances.sum())) / max(1, self.size - len(variances))
        self._level = 1.0 / (l2 + curvature * left)
        self._lowered = (1.0 / (l2 + curvature * variances) - self._level)[:, None]

    def _principal_axes(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Largest eigenvalues (r,) and eigenvectors (D, r) of ``Zᵀ Z``, estimated from some of the rows."""
        exact = self.size <= 2 * _AXES
        step = 1 if exact else max(1, self._features.n_rows // (_AXES * _ROWS_PER_AXIS))
        rows = torch.cat([self._features.values(m, dtype)[::step] for m in self._chosen], dim=1)
        if exact:
            basis = None
            products = rows.T @ rows
        else:
            # the range finder of Halko, Martinsson and Tropp, SIAM Review 53 (2011), algorithm 4.4 with one iteration
            generator = torch.Generator(rows.device).manual_seed(0)
            draws = torch.randn(len(rows), min(_AXES, len(rows)), dtype=dtype, device=rows.device, generator=generator)
            basis = torch.linalg.qr(rows.T @ draws).Q
            basis = torch.linalg.qr(rows.T @ (rows @ basis)).Q
            seen = rows @ basis
            products = seen.T @ seen
        variances, vectors = torch.linalg.eigh(products)
        scale = self._features.n_rows / len(rows)
        return scale * variances.clamp_min(0.0), vectors if basis is None else basis @ vectors

    def precondition(self, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert self._axes is not None
        axes = self._axes[1]
        along = axes.T @ part.to(axes.dtype)
        solved = torch.add((axes @ (self._lowered * along)).to(part.dtype), part, alpha=self._level)
        return solved, solved

    def to_features(self, part: torch.Tensor) -> torch.Tensor:
        return part

    def from_features(self, weight: torch.Tensor) -> torch.Tensor:
        return weight

    def single_will_do(self, l2: float, curvature: float) -> bool:
        # eigenvalues' rounding errors are of the order of their sum's
        return torch.finfo(torch.float32).eps * curvature * self._power < _SINGLE_PRECISION * l2


class ByRow(Coordinates):
    """Fewer rows than features: coefficients of the rows."""

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
        scaled = self._products * curvature
        scaled.diagonal().add_(l2)
        self._factor = torch.linalg.cholesky(scaled)
        self._l2, self._curvature = l2, curvature

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


def coordinates_of(features: Features, chosen: list[int]) -> Coordinates:
    """Coordinates for the weights of some blocks side by side."""
    n_features = sum(features.widths[m] for m in chosen)
    return (ByRow if features.n_rows < n_features else ByColumn)(features, chosen)
