"""Blocks whose rows are made when they are asked for: taken from a file, scaled, set to zero where they are absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from skmmal._arrays import fill
from skmmal._chunks import row_chunks
from skmmal.modalities._mapped import MappedRows, is_mapped, opened, packed

__all__ = ["LazyBlock", "is_large", "lazily", "rows_of_block", "with_zeros"]

_TILE = 2**16
"""Elements that are changed at a time: what is made on the way stays in the processor's cache."""

Change = Callable[[np.ndarray, np.ndarray], Any]
"""Makes rows of a block from rows of another one of the same width, each for itself, in an array that it is given."""


class _RowsOnDemand:
    """Where the rows of a `LazyBlock` come from, and how they are made; parameters as of it."""

    def __init__(
        self,
        source: np.ndarray,
        change: Change | None = None,
        dtype: Any = None,
        *,
        rows: np.ndarray | None = None,
        present: np.ndarray | None = None,
        zeros: bool = False,
    ) -> None:
        self.source, self.change, self.rows = source, change, rows
        self.dtype = source.dtype if dtype is None else np.dtype(dtype)
        self._present, self._zeros, self._made_in = present, zeros, self.dtype

    def __len__(self) -> int:
        return len(self.source) if self.rows is None else len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), self.source.shape[1]

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self) * self.source.shape[1]

    @property
    def present(self) -> np.ndarray | None:
        """Which rows hold values, bool of shape (n,); ``None`` where that is not known."""
        return self._present if self._present is None or self.rows is None else self._present[self.rows]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "source": packed(self.source)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.source = opened(self.source)

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, tuple):
            return np.asarray(self)[key] if len(key) != 2 or np.ndim(key[0]) else self[key[0]][..., key[1]]
        if isinstance(key, int | np.integer):
            return self._made(np.atleast_1d(self._numbers(key)))[0]
        return self._made(key if self.rows is None and isinstance(key, slice) else self._numbers(key))

    def take(self, rows: Any) -> Self:
        """Some rows, of which nothing is read.

        Parameters
        ----------
        rows : slice, mask or array of int

        Returns
        -------
        LazyBlock
        """
        return self if isinstance(rows, slice) and rows == slice(None) else self._with(rows=self._numbers(rows))

    def cast(self, dtype: Any) -> Self:
        """The same values in another type, which are made when they are asked for.

        Parameters
        ----------
        dtype : dtype

        Returns
        -------
        LazyBlock
        """
        return self._with(dtype=np.dtype(dtype))

    def with_zeros(self, present: np.ndarray) -> Self:
        """The block with zeros in rows that hold no values.

        Parameters
        ----------
        present : ndarray of bool, shape (n,)
            Of these rows.

        Returns
        -------
        LazyBlock
        """
        known = present
        if self.rows is not None:
            known = np.zeros(len(self.source), dtype=bool)
            known[self.rows] = present
        return self._with(_present=known, _zeros=True)

    @property
    def mapped(self) -> MappedRows | None:
        """The rows as they lie in a file, if they do."""
        return MappedRows.of(self.source, self.rows)

    def _numbers(self, key: Any) -> np.ndarray:
        numbers = np.arange(len(self.source)) if self.rows is None else self.rows
        return numbers[key]

    def _with(self, **changed: Any) -> Self:
        new = object.__new__(type(self))
        new.__dict__.update({**self.__dict__, **changed})
        return new

    def _made(self, rows: slice | np.ndarray) -> np.ndarray:
        values = self.source[rows]
        out = np.empty(values.shape, self.dtype)
        step = max(1, _TILE // max(1, values.shape[1]))
        for start in range(0, len(values), step):
            tile = slice(start, start + step)
            if self.change is None:
                fill(out[tile], values[tile].astype(self._made_in, copy=False))
            elif self._made_in == self.dtype:
                self.change(values[tile], out[tile])
            else:
                made = np.empty(out[tile].shape, self._made_in)
                self.change(values[tile], made)
                fill(out[tile], made)
        if self._zeros and self._present is not None:
            out[~self._present[rows]] = 0.0
        return out


class LazyBlock(_RowsOnDemand, NDArrayOperatorsMixin):
    """A matrix of which rows are made when they are asked for, from rows of an array that may lie in a file.

    ``block[rows]`` is an array, as `numpy.asarray` makes one of the whole. `take`, `cast` and `with_zeros` are blocks
    of the same kind, for which nothing is read. Everything else that an array has is that of the whole, made for it.

    Parameters
    ----------
    source : ndarray of shape (n, D)
        Where the values come from.
    change : callable, optional
        Takes rows of the source and an array, into which it puts what it makes of them, of each for itself; by default
        rows stay as they are.
    dtype : dtype, optional
        Of the rows, by default the source's.
    rows : ndarray of int, optional
        Rows of the source, by default all.
    present : ndarray of bool, optional
        Which of the rows of the source hold values, where that is known.
    zeros : bool, default=False
        Whether rows that hold none are zero.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.modalities._lazy import LazyBlock
    >>> block = LazyBlock(np.arange(6).reshape(3, 2), lambda rows, out: np.divide(rows, 2, out=out), np.float64)
    >>> block = block.take(np.array([2, 0]))
    >>> block.shape, block[:1]
    ((2, 2), array([[2. , 2.5]]))
    """

    ndim = 2

    def __repr__(self) -> str:
        return f"LazyBlock({self.shape[0]} × {self.shape[1]}, {self.dtype})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("the rows of a LazyBlock are made when they are asked for: an array of them is a copy")
        out = np.empty(self.shape, self.dtype if dtype is None else dtype)
        mapped = self.mapped
        for part in row_chunks(*self.shape):
            out[part] = self[part]
            if mapped is not None:
                mapped.release(part)
        return out

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [np.asarray(each) if isinstance(each, LazyBlock) else each for each in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)

    def min(self) -> Any:
        """The smallest value, or NaN where there is one, found some rows at a time.

        Returns
        -------
        number
        """
        return np.min([self[part].min() for part in row_chunks(*self.shape)])

    def max(self) -> Any:
        """The largest value, or NaN where there is one, found some rows at a time.

        Returns
        -------
        number
        """
        return np.max([self[part].max() for part in row_chunks(*self.shape)])


def rows_of_block(block: Any, rows: Any) -> Any:
    """Some rows of a block: of a lazy one without reading them.

    Parameters
    ----------
    block : ndarray or LazyBlock
    rows : slice, mask or array of int

    Returns
    -------
    ndarray or LazyBlock
    """
    return block.take(rows) if isinstance(block, LazyBlock) else block[rows]


def lazily(block: Any) -> Any:
    """A block whose rows are read when they are asked for, where it lies in a file; one in memory as it is."""
    return LazyBlock(block) if isinstance(block, np.ndarray) and is_mapped(block) else block


def with_zeros(block: Any, present: np.ndarray) -> Any:
    """A block with zeros in rows that hold no values, which are made when they are asked for.

    Parameters
    ----------
    block : ndarray or LazyBlock
    present : ndarray of bool, shape (n,)

    Returns
    -------
    ndarray or LazyBlock
        The block itself where all rows hold values.
    """
    if present.all():
        return block
    return (block if isinstance(block, LazyBlock) else LazyBlock(block)).with_zeros(present)


def is_large(block: Any) -> bool:
    """Whether copies of a block are to be done without: it lies in a file, or is made row by row."""
    return isinstance(block, LazyBlock) or is_mapped(block)
