"""What embeddings are made of: terms ``left_i ⊗ right_i`` that are never multiplied out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from skmmal.modalities._mapped import MappedRows
from skmmal.selection._backend import Array, cast, gather, namespace, row_sq_norms

__all__ = ["Factors", "Term"]


class Factors(NamedTuple):
    """The factors of some rows of a term: dense, of one type, in one place."""

    left: Any
    """``None`` where the term has none, as `present`."""
    blocks: tuple[Array, ...]
    present: Any

    def take(self, rows: slice | Array) -> Factors:
        """Return the factors of some of the rows."""
        left, present = (None if values is None else gather(values, rows) for values in (self.left, self.present))
        return Factors(left, tuple(gather(block, rows) for block in self.blocks), present)

    def inner(self, other: Factors) -> Array:
        """All inner products with the rows of `other`."""
        (first, second), *pairs = _aligned(self.blocks, other.blocks)
        products = first @ second.T
        for first, second in pairs:
            products += first @ second.T
        if self.left is not None:
            products *= self.left @ other.left.T
        return products

    def sq_norms(self) -> tuple[Array | None, Array]:
        """Squared norms of the left factor, if there is one, and of the right one; float64."""
        left = None if self.left is None else row_sq_norms(self.left)
        return left, sum(row_sq_norms(block) for block in self.blocks)

    def paired_sq_distances(self, other: Factors) -> Array:
        """Squared distance of row t to row t of `other`, from differences: nothing cancels."""
        if self.left is None or other.left is None:
            return sum(_row_dots(a - b, a - b) for a, b in _aligned(self.blocks, other.blocks))
        # a⊗h − b⊗k = a⊗(h−k) + (a−b)⊗k, squared: every part has a difference as a factor
        a, da = self.left, self.left - other.left
        moved = [(h - k, k) for h, k in _aligned(self.blocks, other.blocks)]
        total = _row_dots(a, a) * sum(_row_dots(dh, dh) for dh, _ in moved)
        total += _row_dots(da, da) * sum(_row_dots(k, k) for _, k in moved)
        total += 2 * _row_dots(a, da) * sum(_row_dots(dh, k) for dh, k in moved)
        return total.clip(min=0)


@dataclass(frozen=True)
class Term:
    """Points ``left_i ⊗ right_i``, or ``right_i`` without a left factor; the right one is cut into blocks of columns.

    Parameters
    ----------
    blocks : tuple of M arrays of shape (N, D_m)
        Kept as they are (also memory-mapped or float16); rows are converted when they are gathered.
    left : array of shape (N, K), optional
    scale : array of shape (N, M), optional
        Weight of each block in each row, applied when rows are gathered.
    present : array of shape (N, M), optional
        Which blocks a row has.
    """

    blocks: tuple[Array, ...]
    left: Array | None = None
    scale: Array | None = None
    present: Array | None = None

    def __len__(self) -> int:
        return len(self.blocks[0])

    def __str__(self) -> str:
        n_right = sum(block.shape[1] for block in self.blocks)
        return f"{n_right} columns" if self.left is None else f"{self.left.shape[1]} ⊗ {n_right} columns"

    @property
    def n_columns(self) -> int:
        """Columns of all factors together."""
        return sum(block.shape[1] for block in self.blocks) + (0 if self.left is None else self.left.shape[1])

    @cached_property
    def mapped(self) -> list[MappedRows]:
        """Those factors that lie in files."""
        factors = self.blocks if self.left is None else (self.left, *self.blocks)
        return [rows for factor in factors if (rows := MappedRows.of(factor)) is not None]

    def gather(self, rows: slice | Array, dtype: str) -> Factors:
        """Return the factors of some rows, with their weights."""
        left, scale, present = (
            None if values is None else cast(gather(values, rows), dtype)
            for values in (self.left, self.scale, self.present)
        )
        blocks = tuple(cast(gather(block, rows), dtype) for block in self.blocks)
        if scale is not None:
            blocks = tuple(block * scale[:, m : m + 1] for m, block in enumerate(blocks))
        return Factors(left, blocks, present)

    def each(self, change: Callable[[Array], Array]) -> Term:
        """Return a term of which every factor is changed."""
        left, scale, present = (
            None if values is None else change(values) for values in (self.left, self.scale, self.present)
        )
        return Term(tuple(change(block) for block in self.blocks), left, scale, present)

    @staticmethod
    def stack_rows(terms: Sequence[Term]) -> Term:
        """Return one term with the rows of several that are cut alike, one after the other."""

        def together(arrays: Sequence[Array]) -> Array:
            return None if arrays[0] is None else namespace(arrays[0]).concatenate(arrays)

        blocks = tuple(together(blocks) for blocks in zip(*(term.blocks for term in terms), strict=True))
        others = (together([getattr(term, name) for term in terms]) for name in ("left", "scale", "present"))
        return Term(blocks, *others)


def _row_dots(first: Array, second: Array) -> Array:
    return namespace(first).einsum("ij,ij->i", first, second)


def _aligned(first: Sequence[Array], second: Sequence[Array]) -> list[tuple[Array, Array]]:
    """Pairs of blocks over the same columns; where two sets of rows are cut differently, one pair of matrices."""
    if [block.shape[1] for block in first] == [block.shape[1] for block in second]:
        return list(zip(first, second, strict=True))
    library = namespace(first[0])
    return [(library.concatenate(list(first), axis=1), library.concatenate(list(second), axis=1))]
