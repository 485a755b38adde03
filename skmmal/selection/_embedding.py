"""Points in gradient-embedding space, stored by their factors and read in row chunks.

The gradient of the cross-entropy with respect to a linear last layer is an outer product ``g = a ⊗ h``. Stored as
its two factors it costs N(K + D) numbers instead of N·K·D, and inner products factor too:
``g_i · g_j = (a_i · a_j)(h_i · h_j)``.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from skmmal._arrays import numeric
from skmmal._chunks import row_chunks
from skmmal._mapped import MappedRows

__all__ = ["DenseEmbedding", "Embedding", "OuterProductEmbedding", "StackedEmbedding", "as_embedding"]

Factors = tuple[torch.Tensor, ...]
"""The factors of some rows: dense, of one dtype, on one device."""

# Below this share of ‖g_i‖² + ‖g_j‖² a squared distance got from inner products has lost its digits to
# cancellation, and is computed again from differences in float64.
_CANCELLATION = {torch.float32: 1e-3, torch.float64: 1e-9}
# Outside this range float32 cannot hold squared norms or their products with room to spare.
_FLOAT32_RANGE = (1e-25, 1e30)
_HIDDEN_ROWS = 4096


class Embedding(ABC):
    """N points given by factors; subclasses say how inner products follow from the factors."""

    def __len__(self) -> int:
        return self._n_rows

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} rows, {self._shape_text()})"

    # -- what subclasses provide

    _n_rows: int
    _n_columns: int
    _n_factors: int
    _mapped: Sequence[MappedRows] = ()
    device: torch.device

    @abstractmethod
    def _shape_text(self) -> str: ...

    @abstractmethod
    def _gather(self, rows: slice | torch.Tensor, dtype: torch.dtype) -> Factors:
        """Return the factors of `rows` as dense tensors of `dtype`."""

    @abstractmethod
    def _inner(self, left: Factors, right: Factors) -> torch.Tensor:
        """All inner products between two sets of rows."""

    @abstractmethod
    def _sq_norms(self, rows: Factors) -> torch.Tensor:
        """Squared norms in float64, whatever the dtype of the rows."""

    @abstractmethod
    def _paired_sq_distances(self, left: Factors, right: Factors) -> torch.Tensor:
        """Squared distance of row t of `left` to row t of `right`, from differences (no cancellation)."""

    @abstractmethod
    def _factor_dtypes(self) -> list[torch.dtype]:
        """Dtypes of the wide factors, which decide the precision of the matrix products."""

    # -- what a subclass may know of distances

    _is_euclidean: bool = True
    """Whether distances are those of a Euclidean space in which `_sq_norms` are the points' squared norms."""

    def _sums_and_scales(
        self, rows: slice | torch.Tensor, other: Embedding, cols: torch.Tensor, col_factors: Factors
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared distances of `rows` to points of `other`, from inner products, and the sums that cancelled in them.

        `col_factors` are the factors of these points in the embedding's `compute_dtype`.
        """
        dtype = self.compute_dtype
        sums = self._norms64()[rows].to(dtype)[:, None] + other._norms64()[cols].to(dtype)
        return sums.add(self._inner(self._gather(rows, dtype), col_factors), alpha=-2), sums

    # -- what a subclass may know of inner products without computing them

    _has_bound: bool = False
    """Whether `_bounds` says more than the product of the norms does."""

    def _bound_factors(self, rows: slice | torch.Tensor, dtype: torch.dtype) -> Factors:
        """Return narrow factors, as many as `_n_bound_factors`, from which `_bounds` are computed: here the norms."""
        return (self._norms64()[rows].sqrt().to(dtype)[:, None],)

    _n_bound_factors: int = 1

    def _bounds(self, left: Factors, right: Factors) -> torch.Tensor:
        """Upper bounds of all inner products between two sets of rows, from their narrow factors."""
        return left[0] @ right[0].T

    def _alike(self, window: slice) -> torch.Tensor:
        """Return the rows of a window in an order that puts those together which are near the same points."""
        return torch.arange(window.start, window.stop, device=self.device)

    @abstractmethod
    def to(self, device: torch.device | str) -> Embedding:
        """Return the same embedding with its factors on `device`."""

    @abstractmethod
    def take(self, rows: np.ndarray) -> Embedding:
        """Return the embedding of some rows only (a copy of their factors)."""

    # -- public

    def sq_norms(self) -> np.ndarray:
        """Squared norms of all points.

        Returns
        -------
        ndarray of float64, shape (N,)
        """
        return self._norms64().cpu().numpy().copy()

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
        left, right = self._rows(self._index(rows)), self._rows(self._index(cols))
        return self._inner(left, right).cpu().numpy()

    def sq_distances(self, rows: Any = None, cols: Any = None) -> np.ndarray:
        """Squared Euclidean distances between the points `rows` and the points `cols`.

        Returns
        -------
        ndarray of shape (len(rows), len(cols))
            Non-negative; exactly zero between equal points.
        """
        row_index, col_index = self._index(rows), self._index(cols)
        return _sq_distances(self, row_index, self, col_index).cpu().numpy()

    # -- for the kernels

    @property
    def compute_dtype(self) -> torch.dtype:
        """Precision of the matrix products: float64 where the wide factors have it or need it."""
        if not hasattr(self, "_compute_dtype"):
            self._norms64()
        return self._compute_dtype

    def _norms64(self) -> torch.Tensor:
        if not hasattr(self, "_norms_cache"):
            stored = torch.float64 if torch.float64 in self._factor_dtypes() else torch.float32
            norms = self._sq_norms_of_all(stored)
            low, high = _FLOAT32_RANGE
            if stored is torch.float32 and len(norms) and not low <= float(norms.max()) <= high:  # or NaN
                norms = self._sq_norms_of_all(torch.float64)
            bad = torch.nonzero(~torch.isfinite(norms))
            if len(bad):
                raise ValueError(
                    f"row {int(bad[0])} of the embedding has a squared norm of {float(norms[bad[0]])}: "
                    "its values are NaN, infinite or too large to be squared"
                )
            self._norms_cache = norms
            largest = float(norms.max()) if len(norms) else 0.0
            beyond = max(largest, self._largest_sq_factor(norms)) > high if len(norms) else False
            self._compute_dtype = torch.float64 if beyond or 0 < largest < low else stored
        return self._norms_cache

    def _largest_sq_factor(self, norms: torch.Tensor) -> float:
        """Squared norm of the largest factor of any point, where that can exceed the points' own."""
        return 0.0

    def _sq_norms_of_all(self, dtype: torch.dtype) -> torch.Tensor:
        return self._of_chunks(lambda rows: self._sq_norms(self._gather(rows, dtype)))

    def _of_chunks(self, number: Callable[[slice], torch.Tensor]) -> torch.Tensor:
        """A number of each row (float64), read chunk by chunk."""
        # all rows' room at once: small results kept between large chunks would tear the memory into pieces
        found = torch.empty(self._n_rows, dtype=torch.float64, device=self.device)
        for rows in self._chunks():
            found[rows] = number(rows)
        return found

    def _rows(self, rows: slice | torch.Tensor) -> Factors:
        return self._gather(rows, self.compute_dtype)

    def _chunks(self) -> Iterator[slice]:
        for rows in row_chunks(self._n_rows, self._n_columns):
            yield rows
            self._release(rows)

    def _release(self, rows: slice | None = None) -> None:
        """Let go of rows (by default all) that were read from a file."""
        for block in self._mapped:
            block.release(slice(0, self._n_rows) if rows is None else rows)

    def _index(self, rows: Any) -> torch.Tensor:
        if rows is None:
            rows = slice(None)
        index = np.arange(len(self))[rows]
        return torch.as_tensor(np.atleast_1d(index), device=self.device)


class DenseEmbedding(Embedding):
    """Points given by their coordinates.

    Parameters
    ----------
    values : array-like or tensor of shape (N, D), or a sequence of M blocks of shapes (N, D_m)
        Kept as they are (also memory-mapped or float16); rows are converted in chunks.

    Examples
    --------
    >>> DenseEmbedding([[0.0, 0.0], [3.0, 4.0]]).sq_distances()
    array([[ 0., 25.],
           [25.,  0.]])
    """

    def __init__(self, values: Any) -> None:
        self._blocks = _as_blocks(values, "values")
        self._mapped = _mapped_blocks(values)
        self._n_rows = len(self._blocks[0])
        self._n_columns = sum(block.shape[1] for block in self._blocks)
        self.device = self._blocks[0].device

    @property
    def values(self) -> np.ndarray:
        """The coordinates, shape (N, D)."""
        return torch.cat(self._blocks, dim=1).cpu().numpy()

    @property
    def _n_factors(self) -> int:  # type: ignore[override]
        return len(self._blocks)

    def _shape_text(self) -> str:
        return f"{self._n_columns} columns"

    def _factor_dtypes(self) -> list[torch.dtype]:
        return [block.dtype for block in self._blocks]

    def _gather(self, rows: slice | torch.Tensor, dtype: torch.dtype) -> Factors:
        return tuple(gather_rows(block, rows).to(dtype) for block in self._blocks)

    def _inner(self, left: Factors, right: Factors) -> torch.Tensor:
        return _blockwise_inner(left, right)

    def _sq_norms(self, rows: Factors) -> torch.Tensor:
        return _sum([_row_sq_norms(block) for block in rows])

    def _paired_sq_distances(self, left: Factors, right: Factors) -> torch.Tensor:
        return _sum([(a - b).square().sum(dim=1) for a, b in _aligned(left, right)])

    def to(self, device: torch.device | str) -> DenseEmbedding:
        """Return the same embedding with its values on `device`."""
        return DenseEmbedding([block.to(device) for block in self._blocks])

    def take(self, rows: np.ndarray) -> DenseEmbedding:
        """Return the embedding of some rows only."""
        index = self._index(rows)
        return DenseEmbedding([block[index] for block in self._blocks])


class OuterProductEmbedding(Embedding):
    """Points ``g_i = left_i ⊗ right_i``, never multiplied out.

    Parameters
    ----------
    left : array-like or tensor of shape (N, K)
        For gradient embeddings ``p - onehot(ŷ)``.
    right : array-like or tensor of shape (N, D), or a sequence of M blocks of shapes (N, D_m)
        The features the last layer sees. Kept as they are (also memory-mapped or float16).
    scale : array-like of shape (N, M), optional
        Weight of block m in row i, applied while rows are read: the weighted features are never stored.

    Attributes
    ----------
    left, right : ndarray
        The factors; `right` is put together and weighted when asked for.

    Examples
    --------
    >>> e = OuterProductEmbedding([[1.0, -1.0], [0.5, 0.5]], [[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    >>> e.sq_norms()
    array([10. ,  0.5])
    """

    def __init__(self, left: Any, right: Any, scale: Any = None) -> None:
        self._left = _as_tensor(left, "left")
        self._mapped = [*_mapped_blocks(left), *_mapped_blocks(right)]
        self._blocks = _as_blocks(right, "right")
        self._scale = None if scale is None else _as_tensor(scale, "scale")
        self._n_rows = len(self._left)
        if len(self._blocks[0]) != self._n_rows:
            raise ValueError(f"left has {self._n_rows} rows, right has {len(self._blocks[0])}")
        if self._scale is not None and self._scale.shape != (self._n_rows, len(self._blocks)):
            raise ValueError(
                f"scale must have shape {(self._n_rows, len(self._blocks))} (a weight per row and block), "
                f"found {tuple(self._scale.shape)}"
            )
        self._n_columns = self._left.shape[1] + sum(block.shape[1] for block in self._blocks)
        self.device = self._left.device

    @property
    def left(self) -> np.ndarray:
        """The left factor, shape (N, K)."""
        return self._left.cpu().numpy()

    @property
    def right(self) -> np.ndarray:
        """The right factor with its weights applied, shape (N, D)."""
        return torch.cat(self._gather(slice(None), self._wide_dtype())[1:], dim=1).cpu().numpy()

    @property
    def _n_factors(self) -> int:  # type: ignore[override]
        return 1 + len(self._blocks)

    def _wide_dtype(self) -> torch.dtype:
        return torch.float64 if torch.float64 in self._factor_dtypes() else torch.float32

    def _shape_text(self) -> str:
        return f"{self._left.shape[1]} ⊗ {self._n_columns - self._left.shape[1]} columns"

    def _factor_dtypes(self) -> list[torch.dtype]:
        # the left factor is narrow and holds probabilities: rounding it to float32 is harmless
        return [block.dtype for block in self._blocks]

    def _gather(self, rows: slice | torch.Tensor, dtype: torch.dtype) -> Factors:
        blocks = [gather_rows(block, rows).to(dtype) for block in self._blocks]
        if self._scale is not None:
            scale = self._scale[rows].to(dtype)
            blocks = [block * scale[:, m : m + 1] for m, block in enumerate(blocks)]
        return gather_rows(self._left, rows).to(dtype), *blocks

    _has_bound = True

    def _bound_factors(self, rows: slice | torch.Tensor, dtype: torch.dtype) -> Factors:
        return (gather_rows(self._left, rows).to(dtype) * self._right_norms()[rows].to(dtype)[:, None],)

    def _bounds(self, left: Factors, right: Factors) -> torch.Tensor:
        # |(a·b)(h·k)| ≤ |a·b| ‖h‖ ‖k‖
        return (left[0] @ right[0].T).abs_()

    def _alike(self, window: slice) -> torch.Tensor:
        # residuals p − onehot(ŷ) of one predicted class; those of different classes are nearly orthogonal
        heaviest = self._left[window].abs().argmax(dim=1)
        return torch.argsort(heaviest, stable=True) + window.start

    def _right_norms(self) -> torch.Tensor:
        if not hasattr(self, "_right_norms_cache"):
            left = self._of_chunks(lambda rows: _row_sq_norms(self._left[rows]))
            self._right_norms_cache = (self._norms64() / left).sqrt_().nan_to_num_(nan=0.0, posinf=0.0)
        return self._right_norms_cache

    def _inner(self, left: Factors, right: Factors) -> torch.Tensor:
        return (left[0] @ right[0].T).mul_(_blockwise_inner(left[1:], right[1:]))

    def _sq_norms(self, rows: Factors) -> torch.Tensor:
        return _row_sq_norms(rows[0]) * _sum([_row_sq_norms(block) for block in rows[1:]])

    def _largest_sq_factor(self, norms: torch.Tensor) -> float:
        # a small left factor hides a large right one, whose products overflow all the same (and 0 · ∞ is NaN)
        left = self._of_chunks(lambda rows: _row_sq_norms(self._left[rows].double()))
        hidden = torch.nonzero(left == 0).squeeze(1)
        found = [norms / left.where(left > 0, torch.inf)]
        parts = [part for part in hidden.split(_HIDDEN_ROWS) if len(part)]
        gathered = (self._gather(part, torch.float64)[1:] for part in parts)
        found += [_sum([_row_sq_norms(block) for block in blocks]) for blocks in gathered]
        largest = float(torch.cat(found).max())
        if not math.isfinite(largest):
            raise ValueError("right holds values too large to be squared")
        return largest

    def _paired_sq_distances(self, left: Factors, right: Factors) -> torch.Tensor:
        # a⊗h − b⊗k = a⊗(h−k) + (a−b)⊗k, squared: every term has a difference as a factor
        (a, *h), (b, *k) = left, right
        da = a - b
        by_block = [(hm - km, km) for hm, km in _aligned(h, k)]
        dh_dh = _sum([dh.square().sum(1) for dh, _ in by_block])
        k_k = _sum([km.square().sum(1) for _, km in by_block])
        dh_k = _sum([(dh * km).sum(1) for dh, km in by_block])
        total = a.square().sum(1) * dh_dh + da.square().sum(1) * k_k + 2 * (a * da).sum(1) * dh_k
        return total.clamp_min_(0)

    def to(self, device: torch.device | str) -> OuterProductEmbedding:
        """Return the same embedding with its factors on `device`."""
        return self._each(lambda factor: factor.to(device))

    def take(self, rows: np.ndarray) -> OuterProductEmbedding:
        """Return the embedding of some rows only."""
        index = self._index(rows)
        return self._each(lambda factor: factor[index])

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> OuterProductEmbedding:
        scale = None if self._scale is None else change(self._scale)
        return OuterProductEmbedding(change(self._left), [change(block) for block in self._blocks], scale)


class StackedEmbedding(Embedding):
    """Points whose coordinates are those of several embeddings side by side: their inner products add up.

    Parameters
    ----------
    parts : sequence of Embedding
        All with the same rows, on one device. They are kept as they are, in their factors.

    Examples
    --------
    >>> outer = OuterProductEmbedding([[1.0, -1.0], [0.5, 0.5]], [[2.0, 0.0], [0.0, 1.0]])
    >>> StackedEmbedding([outer, DenseEmbedding([[1.0], [3.0]])]).inner()
    array([[9. , 3. ],
           [3. , 9.5]])
    """

    def __init__(self, parts: Sequence[Embedding]) -> None:
        self.parts = tuple(parts)
        if not self.parts:
            raise ValueError("parts is empty; at least one embedding is needed")
        for part in self.parts:
            if len(part) != len(self.parts[0]) or part.device != self.parts[0].device:
                raise ValueError(f"the parts differ in rows or device: {self.parts[0]!r} and {part!r}")
        self._n_rows = len(self.parts[0])
        self._n_columns = sum(part._n_columns for part in self.parts)
        self.device = self.parts[0].device

    def _shape_text(self) -> str:
        return " | ".join(part._shape_text() for part in self.parts)

    def _factor_dtypes(self) -> list[torch.dtype]:
        return [dtype for part in self.parts for dtype in part._factor_dtypes()]

    def _gather(self, rows: slice | torch.Tensor, dtype: torch.dtype) -> Factors:
        return tuple(factor for part in self.parts for factor in part._gather(rows, dtype))

    def _by_part(self, counts: list[int], *factors: Factors) -> Iterator[tuple[Embedding, tuple[Factors, ...]]]:
        """Each part, with what was put together of `counts` factors a part taken apart again."""
        start = 0
        for part, count in zip(self.parts, counts, strict=True):
            yield part, tuple(each[start : start + count] for each in factors)
            start += count

    @property
    def _counts(self) -> list[int]:
        return [part._n_factors for part in self.parts]

    @property
    def _n_factors(self) -> int:  # type: ignore[override]
        return sum(self._counts)

    def _release(self, rows: slice | None = None) -> None:
        for part in self.parts:
            part._release(rows)

    @property
    def _has_bound(self) -> bool:  # type: ignore[override]
        return any(part._has_bound for part in self.parts)

    @property
    def _n_bound_factors(self) -> int:  # type: ignore[override]
        return sum(part._n_bound_factors for part in self.parts)

    def _bound_factors(self, rows: slice | torch.Tensor, dtype: torch.dtype) -> Factors:
        return tuple(factor for part in self.parts for factor in part._bound_factors(rows, dtype))

    def _bounds(self, left: Factors, right: Factors) -> torch.Tensor:
        counts = [part._n_bound_factors for part in self.parts]
        return _sum([part._bounds(*own) for part, own in self._by_part(counts, left, right)])

    def _alike(self, window: slice) -> torch.Tensor:
        return next((part for part in self.parts if part._has_bound), self.parts[0])._alike(window)

    def _inner(self, left: Factors, right: Factors) -> torch.Tensor:
        return _sum([part._inner(*own) for part, own in self._by_part(self._counts, left, right)])

    def _sq_norms(self, rows: Factors) -> torch.Tensor:
        return _sum([part._sq_norms(*own) for part, own in self._by_part(self._counts, rows)])

    def _largest_sq_factor(self, norms: torch.Tensor) -> float:
        return max(part._largest_sq_factor(part._norms64()) for part in self.parts)

    def _paired_sq_distances(self, left: Factors, right: Factors) -> torch.Tensor:
        return _sum([part._paired_sq_distances(*own) for part, own in self._by_part(self._counts, left, right)])

    def to(self, device: torch.device | str) -> StackedEmbedding:
        """Return the same embedding with its factors on `device`."""
        return StackedEmbedding([part.to(device) for part in self.parts])

    def take(self, rows: np.ndarray) -> StackedEmbedding:
        """Return the embedding of some rows only."""
        return StackedEmbedding([part.take(rows) for part in self.parts])


def _sum(values: list[torch.Tensor]) -> torch.Tensor:
    total, *others = values
    for other in others:
        total += other
    return total


def as_embedding(values: Any, argument: str = "embedding") -> Embedding:
    """Return `values` if it is an embedding, or a `DenseEmbedding` of a matrix."""
    if isinstance(values, Embedding):
        return values
    if isinstance(values, str) or not _is_matrix(values):
        raise TypeError(f"{argument} must be an Embedding or a matrix of shape (N, D), got {type(values).__name__}")
    return DenseEmbedding([_as_tensor(values, argument)])


def _as_blocks(values: Any, argument: str) -> list[torch.Tensor]:
    """Wrap a matrix, or several that share their rows."""
    several = isinstance(values, Sequence) and len(values) > 0 and all(_is_matrix(block) for block in values)
    blocks = [_as_tensor(block, argument) for block in (values if several else [values])]
    for block in blocks:
        if len(block) != len(blocks[0]):
            raise ValueError(f"the blocks of {argument} differ in rows: {len(blocks[0])} and {len(block)}")
    return blocks


def _mapped_blocks(values: Any) -> list[MappedRows]:
    """Those of a matrix, or of several, that lie in files."""
    blocks = [values] if isinstance(values, np.ndarray) or not isinstance(values, Sequence) else values
    return [mapped for block in blocks if (mapped := MappedRows.of(block)) is not None]


def _is_matrix(values: Any) -> bool:
    try:
        return np.ndim(values) == 2
    except ValueError:  # ragged
        return False


def gather_rows(factor: torch.Tensor, rows: slice | torch.Tensor) -> torch.Tensor:
    """Return some rows: a slice as a view, an index as a copy (`index_select` is twice as fast as indexing)."""
    return factor[rows] if isinstance(rows, slice) else factor.index_select(0, rows)


def _blockwise_inner(left: Sequence[torch.Tensor], right: Sequence[torch.Tensor]) -> torch.Tensor:
    """Inner products of rows given in blocks, which are never put side by side."""
    (first, other), *blocks = _aligned(left, right)
    total = first @ other.T
    for a, b in blocks:
        total.addmm_(a, b.T)
    return total


def _aligned(
    left: Sequence[torch.Tensor], right: Sequence[torch.Tensor]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Pairs of blocks over the same columns; where two sets of rows are cut differently, one pair of matrices."""
    if [block.shape[1] for block in left] == [block.shape[1] for block in right]:
        return list(zip(left, right, strict=True))
    return [(torch.cat(list(left), dim=1), torch.cat(list(right), dim=1))]


def _as_tensor(values: Any, argument: str) -> torch.Tensor:
    """Wrap a matrix without copying it; integers become float64."""
    if isinstance(values, torch.Tensor):
        tensor = values.detach()
    else:
        array = numeric(values, argument)
        if array.dtype.kind != "f" or array.dtype.itemsize > 8 or not array.dtype.isnative:
            array = array.astype(np.float64)
        if any(stride < 0 for stride in array.strides):
            array = array.copy()  # ascontiguousarray keeps a single row as it is, with its stride
        with warnings.catch_warnings():  # torch warns of read-only arrays; nothing here writes
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensor = torch.from_numpy(array)
    if tensor.is_complex():
        raise TypeError(f"{argument} must be numeric, found dtype {tensor.dtype}")
    if tensor.ndim != 2:
        raise ValueError(f"{argument} must have shape (N, D), found {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        tensor = tensor.to(torch.float64)
    return tensor


def _row_sq_norms(rows: torch.Tensor) -> torch.Tensor:
    if rows.dtype is torch.float64:
        return torch.linalg.vecdot(rows, rows)
    return torch.linalg.vector_norm(rows, dim=1).double().square()


# ------------------------------------------------------------------------------------- distances, safely


def _sq_distances(
    first: Embedding,
    rows: slice | torch.Tensor,
    second: Embedding,
    cols: torch.Tensor,
    second_rows: Factors | None = None,
    current: torch.Tensor | None = None,
) -> torch.Tensor:
    """Squared distances between rows of two embeddings, with cancelled entries computed again exactly.

    Where `current` is given (a distance per row), only entries that may lie below it have to be right.
    """
    dtype = first.compute_dtype
    col_factors = second._gather(cols, dtype) if second_rows is None else second_rows
    distances, scale = first._sums_and_scales(rows, second, cols, col_factors)
    doubtful = distances < _CANCELLATION[dtype] * scale
    doubtful |= scale == 0  # two zero points
    if current is not None:
        doubtful &= current[:, None] > 0
    if doubtful.any():
        _recompute(first, rows, second, cols, distances, doubtful)
    return distances.clamp_min_(0)


def _recompute(
    first: Embedding,
    rows: slice | torch.Tensor,
    second: Embedding,
    cols: torch.Tensor,
    distances: torch.Tensor,
    doubtful: torch.Tensor,
) -> None:
    """Replace the doubtful entries of `distances` by float64 ones got from differences."""
    at_row, at_col = torch.nonzero(doubtful, as_tuple=True)
    offset = rows.start if isinstance(rows, slice) else None
    row_index = at_row + offset if offset is not None else rows[at_row]  # type: ignore[index]
    col_index = cols[at_col]
    for part in row_chunks(len(at_row), 4 * first._n_columns):
        exact = first._paired_sq_distances(
            first._gather(row_index[part], torch.float64), second._gather(col_index[part], torch.float64)
        )
        distances[at_row[part], at_col[part]] = exact.to(distances.dtype)
