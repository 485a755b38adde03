"""Which rows may be picked, without a pass over the pool: those near the labelled ones."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from math import ceil
from typing import Any

import numpy as np

from skmmal._arrays import integer, numeric
from skmmal._chunks import row_chunks
from skmmal._paths import local_path
from skmmal._store import check_format, dumps, new_folder, write_new
from skmmal.modalities import MultimodalArray, as_multimodal, presence_mask
from skmmal.modalities._layout import check_same_names, n_columns_of

__all__ = ["NeighborIndex", "neighbours"]

_FORMAT, _VERSION = "skmmal-neighbors", 1
_ABOUT, _ROWS, _VECTORS = "index.json", "rows-{}.npy", "vectors-{}.usearch"


@dataclass
class _Group:
    """Rows that have the same modalities, in ascending order, and an index of them."""

    names: list[str]
    rows: np.ndarray
    index: Any


class NeighborIndex:
    """Approximate nearest neighbors among the rows of a pool, over all its modalities (HNSW graphs of usearch).

    The similarity of two rows is the sum of the cosines of their blocks, over the modalities that both have. Rows that
    have the same modalities share a graph: neighbors are looked for in each, in proportion to its rows, so that a
    row which lacks a modality is compared with its like and neither favored nor passed over.

    Make one with `build` or `open`.

    Parameters
    ----------
    groups : list
        As `build` makes them.
    widths : dict of str to int
        Columns of each modality.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal import MultimodalArray
    >>> from skmmal.candidates import NeighborIndex, neighbours
    >>> angles = np.array([0.0, 0.1, 0.2, 3.0, 3.1])
    >>> X = MultimodalArray({"image": np.column_stack([np.cos(angles), np.sin(angles)])})
    >>> index = NeighborIndex.build(X)
    >>> neighbours(index, [3], 1), neighbours(index, [0, 3], 1)
    (array([4]), array([1, 4]))
    """

    def __init__(self, groups: list[Any], widths: dict[str, int]) -> None:
        self._groups, self._widths = groups, widths

    def __len__(self) -> int:
        return sum(len(group.rows) for group in self._groups)

    def __repr__(self) -> str:
        widths = ", ".join(f"{name} {width}" for name, width in self._widths.items())
        return f"NeighborIndex({len(self)} rows: {widths})"

    @classmethod
    def build(cls, X: Any, *, connectivity: int = 16, expansion: int = 128, n_jobs: int = 1) -> NeighborIndex:
        """Index the rows of a pool; they are read once, a chunk at a time.

        Parameters
        ----------
        X : mapping, MultimodalArray or DataFrame of shape (n_samples, n_features)
            The pool, scaled (see `skmmal.ModalityScaler`); a modality that is NaN in a row is missing there.
        connectivity : int, default=16
            Edges of a row in the graph.
        expansion : int, default=128
            Rows that are looked at where a row is put into the graph; more find more of the true neighbors.
        n_jobs : int, default=1
            Threads. With more than one the graph depends on which is first, and so may neighbors.

        Returns
        -------
        NeighborIndex
            Of vectors in float16, in memory.

        Raises
        ------
        ImportError
            usearch is not installed: ``pip install "skmmal[neighbors]"``.
        """
        X = as_multimodal(X)
        present = presence_mask(X)
        names = list(X.modalities)
        patterns, of_row = np.unique(present, axis=0, return_inverse=True)
        groups = []
        for number, pattern in enumerate(patterns):
            rows = np.flatnonzero(of_row.ravel() == number)
            there = [name for name, is_there in zip(names, pattern, strict=True) if is_there]
            width = sum(n_columns_of(X.modalities[name]) for name in there)
            index = _usearch().Index(
                ndim=width,
                metric="cos",
                dtype="f16",
                connectivity=integer(connectivity, "connectivity", 2),
                expansion_add=integer(expansion, "expansion", 1),
                expansion_search=expansion,
            )
            for part in row_chunks(len(rows), width):
                index.add(rows[part], _vectors(X, rows[part], there), threads=integer(n_jobs, "n_jobs", 1))
            groups.append(_Group(there, rows, index))
        return cls(groups, {name: n_columns_of(width) for name, width in X.modalities.items()})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index into a folder, which appears whole or not at all.

        Parameters
        ----------
        path : path-like
            A folder that does not exist or is empty.
        """
        about = {
            "format": _FORMAT,
            "version": _VERSION,
            "widths": self._widths,
            "groups": [group.names for group in self._groups],
        }
        with new_folder(local_path(path)) as folder:
            for number, group in enumerate(self._groups):
                np.save(folder / _ROWS.format(number), group.rows)
                group.index.save(str(folder / _VECTORS.format(number)))
            write_new(folder / _ABOUT, dumps(about))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> NeighborIndex:
        """Open an index that was saved; it stays in its files, of which a search reads what it needs.

        Parameters
        ----------
        path : path-like
            The folder.

        Returns
        -------
        NeighborIndex

        Raises
        ------
        FileNotFoundError, ValueError
            The folder holds no index.
        """
        folder = local_path(path)
        if not (folder / _ABOUT).is_file():
            raise FileNotFoundError(f"{folder} holds no index of neighbors ({_ABOUT} is missing)")
        about = json.loads((folder / _ABOUT).read_text())
        check_format(about, folder / _ABOUT, _FORMAT, _VERSION)
        groups = []
        for number, names in enumerate(about["groups"]):
            vectors = str(folder / _VECTORS.format(number))
            rows = np.load(folder / _ROWS.format(number), mmap_mode="r")
            groups.append(_Group(names, rows, _usearch().Index.restore(vectors, view=True)))
        return cls(groups, about["widths"])

    def search(self, X: Any, n_neighbors: int) -> np.ndarray:
        """Rows of the pool nearest to some others.

        Parameters
        ----------
        X : mapping, MultimodalArray or DataFrame of shape (n_samples, n_features)
            Scaled as the pool, with the same modalities, any of which a row may lack.
        n_neighbors : int
            How many, of each row; of groups of rows that lack something, in proportion.

        Returns
        -------
        ndarray of int
            Row numbers of the pool, ascending, each once.
        """
        X = as_multimodal(X)
        check_same_names(X.modalities, self._widths)
        present = dict(zip(X.modalities, presence_mask(X).T, strict=True))
        k, found = integer(n_neighbors, "n_neighbors", 1), [np.empty(0, dtype=np.intp)]
        for group in self._groups:
            shared = np.any([present[name] for name in group.names], axis=0)
            asked = np.flatnonzero(shared)
            if len(asked):
                vectors = _vectors(X, asked, group.names)
                n_wanted = min(len(group.rows), ceil(k * len(group.rows) / len(self)))
                found.append(_keys(group.index.search(vectors, n_wanted)))
        return np.unique(np.concatenate(found)).astype(np.intp)

    def take(self, rows: np.ndarray) -> MultimodalArray:
        """Rows of the pool as they are in the index: blocks of length one, in float16.

        Parameters
        ----------
        rows : ndarray of int
            Which ones, in the order wanted.

        Returns
        -------
        MultimodalArray
            NaN where a row lacks a modality.
        """
        blocks = {name: np.full((len(rows), width), np.nan, np.float32) for name, width in self._widths.items()}
        for group in self._groups:
            at = np.flatnonzero(np.isin(rows, group.rows))
            if len(at) == 0:
                continue
            vectors = np.asarray(group.index.get(rows[at], dtype="f32"))
            ends = np.cumsum([self._widths[name] for name in group.names])[:-1]
            for name, values in zip(group.names, np.split(vectors, ends, axis=1), strict=True):
                blocks[name][at] = values
        return MultimodalArray(blocks)


def neighbours(index: Any, labelled: Any, k: int) -> np.ndarray:
    """Rows of the pool that are near some labelled row: what `candidates` of a query may be.

    Where even one pass over a pool is too much, and classes are rare, a strategy looks at the neighbors of what is
    labelled only. The candidates grow with the labels, not with the pool.

    Parameters
    ----------
    index : NeighborIndex, or an index of usearch or FAISS
        Of the pool: its keys are row numbers.
    labelled : array-like of int, or rows as the index takes them
        The labelled rows: their numbers in the pool, or what they hold (blocks; of a foreign index, vectors).
    k : int
        Neighbors of each.

    Returns
    -------
    ndarray of int
        Row numbers, ascending, each once, without those of the labelled rows that were given as numbers.

    Raises
    ------
    TypeError, ValueError
        `index` cannot be searched, or `labelled` does not fit it.

    See Also
    --------
    skmmal.query.QueryStrategy.query : Its `candidates`.

    Notes
    -----
    What is lost: a class that is near nothing labelled is not found, and graphs find most of the true neighbors, not
    all. A share of rows drawn at random in each batch looks elsewhere.

    References
    ----------
    .. [1] Coleman et al., "Similarity search for efficient active learning and search of rare concepts" (SEALS),
       AAAI 2022, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.candidates import NeighborIndex, neighbours
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import BADGE
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> labelled = np.arange(0, 2000, 100)
    >>> near = neighbours(NeighborIndex.build(X), labelled, k=20)
    >>> clf = LateFusionClassifier().fit(X[labelled], y[labelled])
    >>> batch = near[BADGE(random_state=0).query(clf, X[near], 10)]
    >>> len(near) < 400, len(set(batch.tolist()))
    (True, 10)
    """
    k = integer(k, "k", 1)
    numbers = None if _is_rows(labelled) else numeric(labelled, "labelled")
    if numbers is not None and numbers.ndim == 1 and numbers.dtype.kind in "iu":
        # a labelled row is its own nearest neighbor
        found = _search(index, _taken(index, numbers), k + 1)
        return np.setdiff1d(found, numbers)
    if isinstance(index, NeighborIndex) and numbers is not None:
        raise TypeError(
            f"labelled must be row numbers or the rows' blocks, got an array of shape {numbers.shape}: give a "
            "MultimodalArray or a mapping of modalities"
        )
    return _search(index, labelled if numbers is None else numbers, k)


def _is_rows(labelled: Any) -> bool:
    return isinstance(labelled, MultimodalArray | Mapping) or hasattr(labelled, "columns")


def _taken(index: Any, rows: np.ndarray) -> Any:
    """Rows of the pool by their numbers, as the index holds them."""
    n_rows = index.ntotal if hasattr(index, "ntotal") else len(index)
    if len(rows) and not 0 <= rows.min() <= rows.max() < n_rows:
        raise ValueError(f"labelled must be row numbers within 0..{n_rows - 1}, found {rows.min()}..{rows.max()}")
    if isinstance(index, NeighborIndex):
        return index.take(rows)
    if hasattr(index, "reconstruct_batch"):  # FAISS
        return index.reconstruct_batch(rows)
    if hasattr(index, "get"):  # usearch
        return np.asarray(index.get(rows), dtype=np.float32)
    raise TypeError(f"index must be a NeighborIndex, or an index of usearch or FAISS, got {type(index).__name__}")


def _search(index: Any, X: Any, k: int) -> np.ndarray:
    if isinstance(index, NeighborIndex):
        return index.search(X, k)
    if not hasattr(index, "search"):
        raise TypeError(f"index must be a NeighborIndex, or an index of usearch or FAISS, got {type(index).__name__}")
    return _keys(index.search(np.ascontiguousarray(X, dtype=np.float32), k))


def _keys(matches: Any) -> np.ndarray:
    """Row numbers that a search found, each once; FAISS says -1 where there were too few."""
    keys = np.unique(np.asarray(matches.keys if hasattr(matches, "keys") else matches[1]).astype(np.int64))
    return keys[keys >= 0].astype(np.intp)


def _vectors(X: MultimodalArray, rows: np.ndarray, names: list[str]) -> np.ndarray:
    """Blocks of some rows side by side, each of length one; zero where a row lacks the modality."""
    parts = []
    for name in names:
        values = np.nan_to_num(np.asarray(X[name][rows], dtype=np.float32))
        length = np.linalg.norm(values, axis=1, keepdims=True)
        parts.append(np.divide(values, length, out=np.zeros_like(values), where=length > 0))
    return np.concatenate(parts, axis=1)


def _usearch() -> Any:
    try:
        return import_module("usearch.index")
    except ImportError as error:
        raise ImportError(f'an index of neighbors needs usearch: pip install "skmmal[neighbors]" ({error})') from error
