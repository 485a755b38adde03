"""The embeddings that there are: coordinates, outer products, and several of them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmmal.selection._backend import as_blocks, as_matrix, is_matrix, namespace, to_numpy
from skmmal.selection._embedding import Embedding
from skmmal.selection._terms import Term

__all__ = ["DenseEmbedding", "OuterProductEmbedding", "StackedEmbedding", "as_embedding"]


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
        super().__init__([Term(as_blocks(values, "values"))])

    @property
    def values(self) -> np.ndarray:
        """The coordinates, shape (N, D)."""
        return np.concatenate([to_numpy(block) for block in self.terms[0].blocks], axis=1)


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
        factor = as_matrix(left, "left")
        blocks = as_blocks(right, "right")
        if len(blocks[0]) != len(factor):
            raise ValueError(f"left has {len(factor)} rows, right has {len(blocks[0])}")
        weights = None if scale is None else as_matrix(scale, "scale")
        if weights is not None and tuple(weights.shape) != (len(factor), len(blocks)):
            raise ValueError(
                f"scale must have shape {(len(factor), len(blocks))} (a weight per row and block), "
                f"found {tuple(weights.shape)}"
            )
        super().__init__([Term(blocks, factor, weights)])

    @property
    def left(self) -> np.ndarray:
        """The left factor, shape (N, K)."""
        return to_numpy(self.terms[0].left)

    @property
    def right(self) -> np.ndarray:
        """The right factor with its weights applied, shape (N, D)."""
        (term,) = self.terms
        wide = any("float64" in str(block.dtype) for block in term.blocks)
        blocks = term.gather(slice(None), "float64" if wide else "float32").blocks
        return np.concatenate([to_numpy(block) for block in blocks], axis=1)


class StackedEmbedding(Embedding):
    """Points whose coordinates are those of several embeddings side by side: their inner products add up.

    Parameters
    ----------
    parts : sequence of Embedding
        All with the same rows, on one device. Their factors are kept as they are.

    Examples
    --------
    >>> outer = OuterProductEmbedding([[1.0, -1.0], [0.5, 0.5]], [[2.0, 0.0], [0.0, 1.0]])
    >>> StackedEmbedding([outer, DenseEmbedding([[1.0], [3.0]])]).inner()
    array([[9. , 3. ],
           [3. , 9.5]])
    """

    def __init__(self, parts: Sequence[Embedding]) -> None:
        parts = tuple(parts)
        if not parts:
            raise ValueError("parts is empty; at least one embedding is needed")
        for part in parts:
            if len(part) != len(parts[0]) or _place(part) != _place(parts[0]):
                raise ValueError(f"the parts differ in rows or device: {parts[0]!r} and {part!r}")
            if not part.is_euclidean:
                raise ValueError(f"distances of {part!r} do not add up with those of others")
        super().__init__([term for part in parts for term in part.terms])


def _place(embedding: Embedding) -> Any:
    block = embedding.terms[0].blocks[0]
    return None if namespace(block) is np else block.device


def as_embedding(values: Any, argument: str = "embedding") -> Embedding:
    """Return `values` if it is an embedding, or a `DenseEmbedding` of a matrix."""
    if isinstance(values, Embedding):
        return values
    if isinstance(values, str) or not is_matrix(values):
        raise TypeError(f"{argument} must be an Embedding or a matrix of shape (N, D), got {type(values).__name__}")
    return DenseEmbedding([as_matrix(values, argument)])
