"""A Gaussian process whose posterior covariance follows the rows that are observed, by its kernel or by features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular

from skmmal._chunks import row_chunks
from skmmal.selection._backend import Array, as_matrix, cast, full, gather, like, namespace, to_numpy

__all__ = ["DenseProcess", "FeatureProcess", "Process", "finite_matrix", "largest_value"]

_FORM_BLOCK = 256
_LARGEST = 1e60
"""Values above are not computed with: their powers overflow."""


def finite_matrix(values: Any, argument: str) -> Array:
    """Wrap a matrix whose values can be squared."""
    matrix = as_matrix(values, argument)
    largest = largest_value(matrix)
    if not largest <= _LARGEST:  # NaN, too
        raise ValueError(f"{argument} must hold finite numbers up to {_LARGEST:g}, found {largest}")
    return matrix


def largest_value(matrix: Array) -> float:
    """Largest absolute value, NaN where there is one; zero without any."""
    parts = (matrix[part] for part in row_chunks(*matrix.shape) if matrix.shape[1])
    return float(np.max([max(abs(float(rows.min())), abs(float(rows.max()))) for rows in parts], initial=0.0))


class Process(ABC):
    """A Gaussian process whose columns of C and of M = C diag(v) C are kept as vectors in a space of its own.

    `directions` maps rows to such vectors, linearly; `values` maps these to a number for every row.
    """

    noise: float

    @abstractmethod
    def moments(self, *, precise: bool) -> tuple[Array, Array]:
        """Diagonals of C and M, float64, shape (N,) each; `precise`: computed in float64, and all that follows."""

    @abstractmethod
    def directions(self, rows: np.ndarray) -> tuple[Array, Array]:
        """Vectors, float64 of shape (P, len(rows)) each, that give the columns `rows` of C and M."""

    @abstractmethod
    def values(self, directions: Array, rows: np.ndarray | None = None) -> Array:
        """What the vectors give in `rows`, in float64; by default in all rows, as precise as the moments."""

    @abstractmethod
    def blocks(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Blocks (n, s, s) of C and M at n sets of s rows each, of shape (n, s); in float64."""

    @abstractmethod
    def observe(self, directions: Array, variances: Array) -> None:
        """Condition on picks: C loses ``Σ_k a_k a_kᵀ / d_k``, for the directions of a_k and d_k = c_k + s²."""


class DenseProcess(Process):
    """C as an N × N matrix in float64; the space is that of the rows.

    Parameters
    ----------
    prior : array of shape (N, N)
        Changed in place.
    cross, labeled : arrays of shapes (N, L) and (L, L), or None
    weights : array of shape (N,)
    noise : float
    """

    def __init__(self, prior: Array, cross: Array | None, labeled: Array | None, weights: Array, noise: float) -> None:
        self._covariance, self._weights, self.noise = prior, weights, noise
        if (cross is None) != (labeled is None):
            raise ValueError("cross and labelled go together: give both, or none")
        if cross is None or labeled is None or cross.shape[1] == 0:
            return
        n_known = cross.shape[1]
        if cross.shape[0] != len(prior) or tuple(labeled.shape) != (n_known, n_known):
            raise ValueError(
                f"cross and labelled must have shapes ({len(prior)}, L) and (L, L), found {tuple(cross.shape)} and "
                f"{tuple(labeled.shape)}"
            )
        try:
            factor = cholesky(cast(to_numpy(labeled), "float64") + noise * np.eye(n_known), lower=True)
        except LinAlgError:
            raise ValueError("labelled is no covariance: it is not positive semi-definite") from None
        half = like(solve_triangular(factor, cast(to_numpy(cross), "float64").T, lower=True), prior)
        _subtract_product(self._covariance, half.T, half)

    def moments(self, *, precise: bool) -> tuple[Array, Array]:
        curvature = full(len(self._weights), 0.0, "float64", self._weights)
        for part in row_chunks(*self._covariance.shape):
            curvature[part] = self._covariance[part] ** 2 @ self._weights
        return namespace(curvature).diagonal(self._covariance) + 0.0, curvature

    def directions(self, rows: np.ndarray) -> tuple[Array, Array]:
        columns = gather(self._covariance, rows).T  # symmetric: rows lie together
        return columns, self._covariance @ (self._weights[:, None] * columns)

    def values(self, directions: Array, rows: np.ndarray | None = None) -> Array:
        return directions if rows is None else gather(directions, rows)

    def blocks(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        of_c, of_m = (np.empty((*rows.shape, rows.shape[1])) for _ in range(2))
        covariance, weights = to_numpy(self._covariance), to_numpy(self._weights)
        for part in row_chunks(len(rows), rows.shape[1] * len(covariance)):
            columns = covariance[rows[part]]
            of_c[part] = np.take_along_axis(columns, rows[part][:, None, :], axis=2)
            of_m[part] = (columns * weights) @ columns.transpose(0, 2, 1)
        return of_c, of_m

    def observe(self, directions: Array, variances: Array) -> None:
        _subtract_product(self._covariance, directions / variances, directions.T)


class FeatureProcess(Process):
    """C = Φ S Φᵀ; the space is that of the features.

    Parameters
    ----------
    features : array of shape (N, Q)
    labeled : array of shape (L, Q), or None
    weights : array of shape (N,)
    noise : float

    Attributes
    ----------
    target : array of shape (Q, Q)
        ``Σ_j v_j φ_j φ_jᵀ`` over all rows; where these are not all here, whoever knows sets it.
    """

    def __init__(self, features: Array, labeled: Array | None, weights: Array, noise: float) -> None:
        self._features, self._weights, self.noise = features, weights, noise
        precision = np.eye(features.shape[1])
        if labeled is not None:
            for part in row_chunks(*labeled.shape):
                rows = cast(to_numpy(labeled[part]), "float64")
                precision += rows.T @ rows / noise
        inverse = cho_solve((cholesky(precision, lower=True), True), np.eye(len(precision)))
        self._inverse = like(inverse, features)
        self._dtype = "float64" if "float64" in str(features.dtype) else "float32"
        self._is_converted = False
        self.target = self.own_target(precise=False)

    def own_target(self, *, precise: bool) -> Array:
        """The part of these rows in `target`, with products as precise as the moments will be."""
        if precise and self._dtype != "float64":
            self._dtype, self._is_converted = "float64", True
        gram = self._inverse * 0.0
        roots = cast(self._weights**0.5, self._dtype)
        for part in row_chunks(*self._features.shape):
            rows = cast(self._features[part], self._dtype) * roots[part, None]
            gram += rows.T @ rows
        return gram

    def moments(self, *, precise: bool) -> tuple[Array, Array]:
        if precise and self._dtype != "float64":
            self.target = self.own_target(precise=True)
        forms = (self._inverse, self._inverse @ self.target @ self._inverse)
        library = namespace(self._inverse)
        triangles = [_upper_blocks(cast(form, self._dtype)) for form in forms]
        found = [full(len(self._weights), 0.0, "float64", self._inverse) for _ in forms]
        for part in row_chunks(*self._features.shape):
            rows = cast(self._features[part], self._dtype)
            for values, triangle in zip(found, triangles, strict=True):
                for columns, block in triangle:
                    products = rows[:, columns] @ block
                    values[part] += cast(library.einsum("ij,ij->i", products, rows[:, columns.start :]), "float64")
        return found[0], found[1]

    def directions(self, rows: np.ndarray) -> tuple[Array, Array]:
        return self.directions_of(gather(self._features, rows))

    def directions_of(self, features: Array) -> tuple[Array, Array]:
        """`directions` of rows from here or elsewhere, by their features (n, Q)."""
        columns = self._inverse @ cast(features, "float64").T
        return columns, self._inverse @ (self.target @ columns)

    def features_of(self, rows: np.ndarray) -> Array:
        """Features of some rows, as they are kept."""
        return gather(self._features, rows)

    def values(self, directions: Array, rows: np.ndarray | None = None) -> Array:
        if rows is not None:
            return cast(gather(self._features, rows), "float64") @ directions
        if not self._is_converted:
            # a direction's values lie together: one after the other is gone through
            return (cast(directions, self._dtype).T @ self._features.T).T
        parts = row_chunks(*self._features.shape)
        products = [cast(self._features[part], "float64") @ directions for part in parts]
        return namespace(directions).concatenate(products)

    def blocks(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = tuple(np.empty((*rows.shape, rows.shape[1])) for _ in range(2))
        forms = [to_numpy(form) for form in (self._inverse, self._inverse @ self.target @ self._inverse)]
        for part in row_chunks(len(rows), rows.shape[1] * len(forms[0])):
            phi = np.asarray(to_numpy(gather(self._features, rows[part].ravel())), dtype=np.float64)
            sets = phi.reshape(*rows[part].shape, -1)
            for values, form in zip(found, forms, strict=True):
                values[part] = (phi @ form).reshape(sets.shape) @ sets.transpose(0, 2, 1)
        return found[0], found[1]

    def observe(self, directions: Array, variances: Array) -> None:
        _subtract_product(self._inverse, directions / variances, directions.T)


def _upper_blocks(form: Array) -> list[tuple[slice, Array]]:
    """A symmetric form by rows of blocks, each from the diagonal on: a little more than half of the products with it.

    What lies beside the diagonal counts twice, for what lies below.
    """
    blocks = []
    for start in range(0, len(form), _FORM_BLOCK):
        columns = slice(start, min(start + _FORM_BLOCK, len(form)))
        block = form[columns, start:] * 2.0
        block[:, : columns.stop - start] /= 2.0
        blocks.append((columns, block))
    return blocks


def _subtract_product(matrix: Array, left: Array, right: Array) -> None:
    """Take ``left @ right`` off a matrix in place, without a second one of its size."""
    for part in row_chunks(*matrix.shape):
        matrix[part] -= left[part] @ right
