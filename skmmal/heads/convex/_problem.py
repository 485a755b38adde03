"""Heads whose weights are found together: their objective as a function of one array of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import svd

from skmmal.heads.convex._blocks import Blocks, Layout, Piece
from skmmal.heads.convex._losses import Loss

__all__ = ["LinearMap", "Point", "Problem", "RotatedProblem", "combined"]

_NEGLIGIBLE = 0.02
"""Largest rounding error of the curvature, beside the penalty, at which a precision is used."""


@dataclass
class LinearMap:
    """Weights and intercepts of one linear map.

    Parameters
    ----------
    weight : ndarray of shape (K, D)
        A row for each class.
    intercept : ndarray of shape (K,)
        One for each class.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.heads.convex import LinearMap
    >>> LinearMap(np.zeros((3, 5)), np.zeros(3)).weight.shape
    (3, 5)
    """

    weight: np.ndarray
    intercept: np.ndarray


@dataclass
class Point:
    """Parameters (K, P) and what follows from them without another product with the features."""

    part: np.ndarray
    logits: list[np.ndarray]
    value: float
    probabilities: list[np.ndarray]


class Problem(Layout):
    """Sum of the losses of H heads whose logits are mixtures of J linear maps, and a penalty on the maps' weights.

    ``Σ_h loss_h(Σ_j c_hj (Σ_m f_jm X_m W_jm + b_j) + offset_h) + l2/2 Σ_j (‖W_j‖² + t ‖b_j‖²)``, with t one or zero. A
    head of its own is one map; sum fusion is M + 1 heads that share M maps.

    Parameters
    ----------
    blocks : Blocks
    losses : list of H Loss
        Of one kind.
    mixing : ndarray of shape (H, J)
        c_hj.
    factors : list of J dicts of int to float
        The blocks that each map takes, and their factors f_jm.
    n_classes : int
    l2 : float
    counts_absent : bool
        Whether rows that lack a modality are rows of zeros, not of weight zero.
    offset : list of H ndarrays of shape (K, 1) or (K, n), optional
    ties_intercepts : bool, default=False
        Whether intercepts are penalised, too.
    """

    def __init__(
        self,
        blocks: Blocks,
        losses: list[Loss],
        mixing: np.ndarray,
        factors: Sequence[dict[int, float]],
        n_classes: int,
        l2: float,
        *,
        counts_absent: bool,
        offset: list[np.ndarray] | None = None,
        ties_intercepts: bool = False,
    ) -> None:
        super().__init__(blocks.widths, factors, n_classes, counts_absent)
        self.blocks, self.losses, self.mixing, self.l2 = blocks, losses, mixing, l2
        self.offset, self.ties_intercepts = offset, ties_intercepts
        self.is_shared = losses[0].is_shared
        self.penalty = np.full(self.size, l2)
        self.penalty[self.intercepts] = l2 if ties_intercepts else 0.0

    def mix(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """Changes of the heads' logits for changes of the maps'."""
        return [combined(row, images) for row in self.mixing]

    def offset_by(self, changes: list[np.ndarray]) -> list[np.ndarray]:
        """Logits of the heads, from what the parameters add to them."""
        if self.offset is None:
            return changes
        return [own + fixed.astype(own.dtype) for own, fixed in zip(changes, self.offset, strict=True)]

    def origin(self, dtype: Any) -> Point:
        """Return the objective at parameters of zero."""
        nothing = [np.zeros((self.n_classes, self.blocks.n_rows), dtype) for _ in self.losses]
        return self.point(np.zeros(self.shape, dtype), self.offset_by(nothing), 0.0)

    def point(self, part: np.ndarray, logits: list[np.ndarray], penalty: float | None = None) -> Point:
        """Return the objective at given parameters, whose logits are known."""
        if penalty is None:
            penalty = 0.5 * self.inner(part, part)
        found = [loss.value(each) for loss, each in zip(self.losses, logits, strict=True)]
        return Point(part, logits, sum(value for value, _ in found) + penalty, [p for _, p in found])

    def residuals(self, point: Point) -> list[np.ndarray]:
        """Gradients (K, n) of the losses with respect to the heads' logits."""
        return [loss.residuals(p) for loss, p in zip(self.losses, point.probabilities, strict=True)]

    def inner(self, a: np.ndarray, b: np.ndarray) -> float:
        """Return the inner product in which the penalty is half of a square."""
        return float(np.einsum("kp,kp->p", a, b).astype(np.float64) @ self.penalty)

    def row_curvatures(self, point: Point) -> list[np.ndarray]:
        """Mean curvature (n,) of the losses along one logit of each map."""
        of_heads = [loss.row_curvatures(p) for loss, p in zip(self.losses, point.probabilities, strict=True)]
        return [combined(column**2, of_heads) for column in self.mixing.T]

    def is_precise_in(self, dtype: Any, curvatures: list[np.ndarray]) -> bool:
        """Whether rounding leaves the penalty's share of the Hessian, for given curvatures of the rows."""
        # eigenvalues' rounding errors are of the order of their sum's
        for j, of_rows in enumerate(curvatures):
            power = sum(piece.factor**2 * self.blocks.powers[piece.block] for piece in self._of_map(j))
            if not np.finfo(dtype).eps * of_rows.mean() * power < _NEGLIGIBLE * self.l2:
                return False
        return True

    # -------------------------------------------------------------------------------------- from and to the features

    def maps(self, part: np.ndarray) -> list[LinearMap]:
        """Return the parameters as maps of the features as they were given."""
        found = []
        for j, column in enumerate(self.intercepts):
            intercept = part[:, column].astype(np.float64)
            weights = []
            for piece in self._of_map(j):
                weights.append(piece.factor * part[:, piece.columns].astype(np.float64))
                intercept -= weights[-1] @ self._offset(piece)
            if self.is_shared:  # a shift of all classes changes no probability
                intercept -= intercept.mean()
            found.append(LinearMap(np.hstack(weights), intercept))
        return found

    def parameters(self, maps: list[LinearMap]) -> np.ndarray:
        """Return the parameters of given maps; where a factor is zero, so are they."""
        part = np.zeros(self.shape)
        for j, (column, given) in enumerate(zip(self.intercepts, maps, strict=True)):
            part[:, column] = given.intercept
            start = 0
            for piece in self._of_map(j):
                weight = given.weight[:, start : start + self.blocks.widths[piece.block]]
                start += weight.shape[1]
                part[:, column] += weight @ self._offset(piece)
                if piece.factor != 0.0:
                    part[:, piece.columns] = weight / piece.factor
        return part

    def _of_map(self, j: int) -> list[Piece]:
        return [piece for piece in self.pieces if piece.map == j]

    def _offset(self, piece: Piece) -> np.ndarray:
        """What was taken off the rows of a block."""
        share = self.blocks.shares[piece.block] if self.counts_absent else 1.0
        return share * self.blocks.means[piece.block]

    def design(self, j: int, dtype: Any = np.float64, step: int = 1) -> np.ndarray:
        """Every `step`-th row of what map j takes, factors included."""
        parts = [
            (piece.factor, self.blocks.rows(piece.block, self.counts_absent, dtype, step)) for piece in self._of_map(j)
        ]
        if len(parts) == 1 and parts[0][0] == 1.0:
            return parts[0][1]
        return np.hstack([values if factor == 1.0 else values * dtype(factor) for factor, values in parts])

    def sample_products(self, j: int, dtype: Any) -> np.ndarray:
        """``S Sᵀ`` of the sample S of what map j takes."""
        total: Any = 0.0
        for piece in self._of_map(j):
            total = total + piece.factor**2 * self.blocks.sample_products(piece.block, self.counts_absent, dtype)
        return total


class RotatedProblem(Problem):
    """A problem on the principal axes of what each map takes, for columns that differ by more than rounding allows.

    Parameters
    ----------
    given : Problem
    """

    def __init__(self, given: Problem) -> None:
        self._given = given
        self._axes, blocks = [], []
        for j in range(len(given.intercepts)):
            left, values, right = svd(given.design(j), full_matrices=False)
            kept = values > np.finfo(np.float64).eps * max(left.shape[0], right.shape[1]) * values[:1]
            self._axes.append(right[kept])
            blocks.append(left[:, kept] * values[kept])
        n_maps = len(blocks)
        everywhere = np.ones((given.blocks.n_rows, n_maps), dtype=bool)
        nothing = [np.zeros(block.shape[1]) for block in blocks]
        super().__init__(
            Blocks(blocks, everywhere, nothing, np.ones(n_maps)),
            given.losses,
            given.mixing,
            [{j: 1.0} for j in range(n_maps)],
            given.n_classes,
            given.l2,
            counts_absent=given.counts_absent,
            offset=given.offset,
            ties_intercepts=given.ties_intercepts,
        )

    def turned(self, part: np.ndarray) -> np.ndarray:
        """Return parameters of the given problem as those of this one (their part in the rows' span)."""
        return _replaced(part, self._given, self, [axes.T for axes in self._axes])

    def turned_back(self, part: np.ndarray) -> np.ndarray:
        """Return parameters of this problem as those of the given one."""
        return _replaced(part, self, self._given, self._axes)


def _replaced(part: np.ndarray, before: Problem, after: Problem, rotations: list[np.ndarray]) -> np.ndarray:
    """Parameters of one problem as those of another, whose maps differ by rotations."""
    replaced = np.zeros(after.shape)
    start, place = 0, 0
    for old, new, rotation in zip(before.intercepts, after.intercepts, rotations, strict=True):
        replaced[:, place:new] = part[:, start:old] @ rotation
        replaced[:, new] = part[:, old]
        start, place = old + 1, new + 1
    return replaced


def combined(factors: np.ndarray, arrays: list[np.ndarray]) -> np.ndarray:
    """``Σ c a`` over the factors that are not zero."""
    total: Any = None
    for factor, array in zip(factors.tolist(), arrays, strict=True):
        if factor != 0.0:
            term = array if factor == 1.0 else array * array.dtype.type(factor)
            total = term if total is None else total + term
    return np.zeros_like(arrays[0]) if total is None else total
