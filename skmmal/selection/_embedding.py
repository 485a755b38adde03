"""Points in gradient-embedding space, stored by their factors and read in row chunks.

The gradient of the cross-entropy with respect to a linear last layer is an outer product ``g = a ⊗ h``. Stored as
its two factors it costs N(K + D) numbers instead of N·K·D, and inner products factor too:
``g_i · g_j = (a_i · a_j)(h_i · h_j)``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from skmmal._chunks import row_chunks
from skmmal.selection._backend import Array, cast, full, gather, namespace, to_device, to_numpy
from skmmal.selection._terms import Factors, Term

__all__ = ["Embedding", "Measures", "inner_products", "sq_distances", "stack_rows"]

# Outside this range float32 cannot hold squared norms or their products with room to spare.
_FLOAT32_RANGE = (1e-25, 1e30)
# Below this share of ‖g_i‖² + ‖g_j‖² a squared distance got from inner products has lost its digits to
# cancellation, and is computed again from differences in float64.
_CANCELLATION = {"float32": 1e-3, "float64": 1e-9}


class Measures(NamedTuple):
    """Squared norms of all points, norms of each term's right factors (float64), the type of matrix products."""

    sq_norms: Array
    right_norms: tuple[Array, ...]
    dtype: str


class Embedding:
    """N points, given by the factors of one or several terms whose inner products add up.

    Parameters
    ----------
    terms : sequence of Term
        With the same rows, in memory, in files or on one device.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.selection import DenseEmbedding, Embedding
    >>> points = DenseEmbedding(np.array([[3.0, 4.0], [0.0, 1.0]]))
    >>> isinstance(points, Embedding), points.sq_norms()
    (True, array([25.,  1.]))
    """

    is_euclidean = True
    """Whether distances are those of a Euclidean space in which `sq_norms` are the points' squared norms."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = tuple(terms)

    def __len__(self) -> int:
        return len(self.terms[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} rows, {' | '.join(str(term) for term in self.terms)})"

    def sq_norms(self) -> np.ndarray:
        """Squared norms of all points.

        Returns
        -------
        ndarray of float64, shape (N,)
        """
        return to_numpy(self.measures.sq_norms).copy()

    def inner(self, rows: Any = None, cols: Any = None) -> np.ndarray:
        """Inner products between the points `rows` and the points `cols`.

        Parameters
        ----------
        rows, cols : array-like of int, slice or None
            ``None`` means all points.

        Returns
        -------
        ndarray of shape (len(rows), len(cols))
        """
        left, right = (self.gather(_index(self, index), self.measures.dtype) for index in (rows, cols))
        return to_numpy(inner_products(left, right))

    def sq_distances(self, rows: Any = None, cols: Any = None) -> np.ndarray:
        """Squared Euclidean distances between the points `rows` and the points `cols`.

        Parameters
        ----------
        rows, cols : array-like of int, slice or None
            ``None`` means all points.

        Returns
        -------
        ndarray of shape (len(rows), len(cols))
            Non-negative; exactly zero between equal points.
        """
        index = _index(self, rows)
        return to_numpy(sq_distances(self, index, self, index if cols is rows else _index(self, cols)))

    def to(self, device: Any) -> Self:
        """Return the same embedding on a torch device, where torch computes with it.

        Parameters
        ----------
        device : torch.device or str
            A processor, too: there torch's own products are used.

        Returns
        -------
        Embedding
        """
        return _with_terms(self, (term.each(lambda factor: to_device(factor, device)) for term in self.terms))

    def take(self, rows: np.ndarray) -> Self:
        """Return the embedding of some rows only.

        Parameters
        ----------
        rows : array-like of int or slice
            Which ones, in the order wanted.

        Returns
        -------
        Embedding
            With a copy of their factors.
        """
        index = _index(self, rows)
        taken = _with_terms(self, (term.each(lambda factor: gather(factor, index)) for term in self.terms))
        if "measures" in vars(self):
            norms, right_norms, dtype = self.measures
            right_norms = tuple(gather(each, index) for each in right_norms)
            vars(taken)["measures"] = Measures(gather(norms, index), right_norms, dtype)
        return taken

    # -- for the kernels

    @cached_property
    def measures(self) -> Measures:
        """Squared norms, and the type of the matrix products: float64 where the wide factors have it or need it."""
        wide = any("float64" in str(block.dtype) for term in self.terms for block in term.blocks)
        found = self._measure("float64" if wide else "float32")
        low, high = _FLOAT32_RANGE
        if not wide and len(self):
            largest = float(found.sq_norms.max())
            # a small left factor hides a large right one, whose products overflow all the same
            hidden = max((float(norms.max()) ** 2 for norms in found.right_norms), default=0.0)
            if not (low <= largest <= high and hidden <= high):  # or NaN
                found = self._measure("float64")
                largest = float(found.sq_norms.max())
                found = found._replace(dtype="float64" if largest > 0 or hidden > high else "float32")
        bad = np.flatnonzero(~np.isfinite(to_numpy(found.sq_norms)))
        if len(bad):
            raise ValueError(
                f"row {bad[0]} of the embedding has a squared norm of {float(found.sq_norms[int(bad[0])])}: "
                "its values are NaN, infinite or too large to be squared"
            )
        return found

    def _measure(self, dtype: str) -> Measures:
        block = self.terms[0].blocks[0]
        # all rows' room at once: small results kept between large chunks would tear the memory into pieces
        norms, *right_norms = (full(len(self), 0.0, "float64", block) for _ in range(1 + len(self.terms)))
        with np.errstate(over="ignore", invalid="ignore"):
            for rows in self.chunks():
                for factors, right_norm in zip(self.gather(rows, dtype), right_norms, strict=True):
                    left, right = factors.sq_norms()
                    right_norm[rows] = namespace(block).sqrt(right)
                    norms[rows] += right if left is None else left * right
        return Measures(norms, tuple(right_norms), dtype)

    def gather(self, rows: slice | Array, dtype: str) -> list[Factors]:
        """Return the factors of some rows, term by term, in a type given by its name.

        Parameters
        ----------
        rows : slice or array of int
            Which ones.
        dtype : {"float32", "float64"}
            What they are converted to.

        Returns
        -------
        list of Factors
        """
        return [term.gather(rows, dtype) for term in self.terms]

    def expanded(
        self, factors: list[Factors], others: list[Factors], sq_norms: Array, other_sq_norms: Array
    ) -> tuple[Array, Array]:
        """Squared distances between two sets of points from inner products, and the sums that cancel in them.

        Parameters
        ----------
        factors, others : list of Factors
            Those of both sets of points.
        sq_norms, other_sq_norms : arrays of shape (n,) and (k,)
            Their squared norms.

        Returns
        -------
        distances, sums : arrays of shape (n, k)
        """
        products = inner_products(factors, others)
        sums = sq_norms[:, None] + other_sq_norms
        products *= -2
        products += sums
        return products, sums

    def paired(self, factors: list[Factors], others: list[Factors]) -> Array:
        """Squared distance of row t of some factors to row t of others, from differences (no cancellation).

        Parameters
        ----------
        factors, others : list of Factors
            Those of as many points each.

        Returns
        -------
        array of shape (n,)
        """
        return sum(one.paired_sq_distances(other) for one, other in zip(factors, others, strict=True))

    def chunks(self) -> Iterator[slice]:
        """Slices over all rows; what was read from a file for one is let go of before the next.

        Returns
        -------
        iterator of slice
        """
        for rows in row_chunks(len(self), sum(term.n_columns for term in self.terms)):
            yield rows
            self.release(rows)

    def release(self, rows: slice | None = None) -> None:
        """Let go of rows that were read from a file.

        Parameters
        ----------
        rows : slice, optional
            Which ones; by default all.
        """
        for term in self.terms:
            for mapped in term.mapped:
                mapped.release(slice(0, len(self)) if rows is None else rows)


_Kind = TypeVar("_Kind", bound=Embedding)


def inner_products(factors: list[Factors], others: list[Factors]) -> Array:
    """All inner products between two sets of rows."""
    products, *rest = (one.inner(other) for one, other in zip(factors, others, strict=True))
    for more in rest:
        products += more
    return products


def stack_rows(embeddings: Sequence[Embedding]) -> Embedding:
    """Return the points of several embeddings that are cut alike, one after the other."""
    terms = zip(*(embedding.terms for embedding in embeddings), strict=True)
    return _with_terms(embeddings[0], (Term.stack_rows(same) for same in terms))


def _with_terms(embedding: _Kind, terms: Iterable[Term]) -> _Kind:
    """Return an embedding of the same kind with other terms."""
    changed = copy.copy(embedding)
    vars(changed).pop("measures", None)
    changed.terms = tuple(terms)
    return changed


def _index(embedding: Embedding, rows: Any) -> np.ndarray:
    return np.atleast_1d(np.arange(len(embedding))[slice(None) if rows is None else rows])


def sq_distances(
    points: Embedding,
    rows: slice | Array,
    others: Embedding,
    cols: slice | Array,
    col_factors: list[Factors] | None = None,
    current: Array | None = None,
) -> Array:
    """Squared distances of some rows to points of another embedding, exact also where inner products cancel.

    Parameters
    ----------
    points, others : Embedding
        Both are of one kind.
    rows, cols : slice or array of int
        Which points of each.
    col_factors : list of Factors, optional
        Those of `cols`, where they have been gathered before.
    current : array of shape (len(rows),), optional
        Squared distances that are known: of a row where that is zero, entries need not be right.

    Returns
    -------
    array of shape (len(rows), len(cols))
        Not negative.
    """
    dtype = points.measures.dtype
    is_mutual = points is others and rows is cols
    norms, col_norms = (
        cast(gather(embedding.measures.sq_norms, index), dtype) for embedding, index in ((points, rows), (others, cols))
    )
    if col_factors is None:
        col_factors = others.gather(cols, dtype)
    row_factors = col_factors if is_mutual else points.gather(rows, dtype)
    distances, sums = points.expanded(row_factors, col_factors, norms, col_norms)
    sums *= _CANCELLATION[dtype]
    doubtful = distances <= sums  # two zero points, too
    if is_mutual:  # a point and itself: that needs no differences
        diagonal = np.arange(len(distances))
        distances[diagonal, diagonal] *= ~doubtful[diagonal, diagonal]
        doubtful[diagonal, diagonal] = False
    if bool(doubtful.any()):
        if current is not None:
            doubtful &= current[:, None] > 0
        at_row, at_col = np.nonzero(to_numpy(doubtful))
        for part in row_chunks(len(at_row), 4 * sum(term.n_columns for term in points.terms)):
            exact = points.paired(
                points.gather(_numbers(rows, at_row[part]), "float64"),
                others.gather(_numbers(cols, at_col[part]), "float64"),
            )
            distances[at_row[part], at_col[part]] = cast(exact, dtype)
        namespace(distances).clip(distances, 0, None, out=distances)
    return distances


def _numbers(rows: slice | np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Row numbers at some positions of a slice or an index."""
    return positions + (rows.start or 0) if isinstance(rows, slice) else rows[positions]
