"""What selection asks of points, and the answers of points that are in memory, in files or on a device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmmal.selection._backend import to_numpy
from skmmal.selection._embedding import Embedding, stack_rows
from skmmal.selection._factored import as_embedding
from skmmal.selection._nearest import NearestCentre
from skmmal.selection._validation import check_candidates

__all__ = ["Candidates", "EmbeddingPoints", "Points", "as_points"]


@dataclass(frozen=True)
class Candidates:
    """A few points, brought to where they are chosen from.

    Parameters
    ----------
    rows : ndarray of int, shape (n,)
        Their row numbers among the points asked.
    sq_distances : ndarray of float64, shape (n,)
        To their nearest centre, or their squared norms where there is no centre yet.
    embedding : Embedding
        They themselves.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.selection import Candidates, DenseEmbedding
    >>> Candidates(np.array([7]), np.array([1.0]), DenseEmbedding(np.eye(1))).rows
    array([7])
    """

    rows: np.ndarray
    sq_distances: np.ndarray
    embedding: Embedding

    def take(self, positions: np.ndarray) -> Candidates:
        """Return some of them.

        Parameters
        ----------
        positions : array-like of int
            Where they are among the candidates.

        Returns
        -------
        Candidates
        """
        index = np.asarray(positions, dtype=np.intp)
        return Candidates(self.rows[index], self.sq_distances[index], self.embedding.take(index))

    def mutual_sq_distances(self) -> np.ndarray:
        """Squared distances among them.

        Returns
        -------
        ndarray of float64, shape (n, n)
        """
        return self.embedding.sq_distances().astype(np.float64)

    @staticmethod
    def stack(parts: list[Candidates]) -> Candidates:
        """Return those of several parts, one after the other.

        Parameters
        ----------
        parts : list of Candidates
            With embeddings that are cut alike.

        Returns
        -------
        Candidates
        """
        rows = np.concatenate([part.rows for part in parts])
        known = np.concatenate([part.sq_distances for part in parts])
        return Candidates(rows, known, stack_rows([part.embedding for part in parts]))


class Points(ABC):
    """Points with centres among them, and the questions by which selection gets to know of them.

    D² sampling and greedy k-centre are loops over these questions, wherever the points are. Only `Candidates` travel
    to the loop; all numbers of rows are among the points asked. A row is open as long as it may be picked.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.selection import DenseEmbedding, EmbeddingPoints, Points
    >>> isinstance(EmbeddingPoints(DenseEmbedding(np.eye(4))), Points)
    True
    """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of points, open or not."""

    @abstractmethod
    def open_rows(self) -> np.ndarray:
        """Row numbers of the points that may be picked.

        Returns
        -------
        ndarray of int
            In ascending order.
        """

    def n_open(self) -> int:
        """Return how many points may be picked.

        Returns
        -------
        int
        """
        return len(self.open_rows())

    @property
    @abstractmethod
    def has_centres(self) -> bool:
        """Whether there is any centre yet."""

    @abstractmethod
    def take(self, rows: np.ndarray) -> Candidates:
        """Points by their row numbers, with their squared norms.

        Parameters
        ----------
        rows : ndarray of int
            Open or not.

        Returns
        -------
        Candidates
        """

    @abstractmethod
    def largest(self) -> Candidates:
        """Return the open point of largest norm, with its squared norm.

        Returns
        -------
        Candidates
            One of them; of equal ones the first.
        """

    @abstractmethod
    def mass(self) -> float:
        """Sum of the open points' squared distances to their nearest centres.

        Returns
        -------
        float
        """

    @abstractmethod
    def draw(self, positions: np.ndarray) -> Candidates:
        """Points at positions of the cumulative sum of squared distances.

        Parameters
        ----------
        positions : ndarray of float64
            From 0 to the `mass` that was asked for before.

        Returns
        -------
        Candidates
            Open points, one for each position, also twice the same.
        """

    @abstractmethod
    def farthest(self, n_points: int) -> tuple[Candidates, float]:
        """Open points farthest from their nearest centres.

        Parameters
        ----------
        n_points : int
            How many, or one more.

        Returns
        -------
        candidates : Candidates
            In ascending order of their rows; the first of the farthest ones is among them.
        bound : float
            The largest squared distance of all other open points, -1 where there are none.
        """

    @abstractmethod
    def add(self, centres: Embedding, rows: np.ndarray) -> None:
        """Take further centres.

        Parameters
        ----------
        centres : Embedding
            Of the same kind as the points.
        rows : ndarray of int
            Those of them that are among the points, which are open no more.
        """


class EmbeddingPoints(Points):
    """Points of one embedding: in memory, in memory-mapped files, or on one device.

    Parameters
    ----------
    embedding : Embedding
        The points.
    candidates : array-like of int or bool, optional
        Rows that are open; by default all.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.selection import DenseEmbedding, EmbeddingPoints
    >>> points = EmbeddingPoints(DenseEmbedding(np.eye(4)), candidates=[0, 2])
    >>> len(points), points.open_rows()
    (4, array([0, 2]))
    """

    def __init__(self, embedding: Embedding, candidates: Any = None) -> None:
        self.embedding = embedding
        self._is_open = check_candidates(candidates, len(embedding))
        self._nearest = NearestCentre(embedding, self._is_open)
        self._n_centres = 0
        self._known: np.ndarray | None = None
        self._cumulative: np.ndarray = np.empty(0)

    def __len__(self) -> int:
        return len(self.embedding)

    def open_rows(self) -> np.ndarray:
        return np.flatnonzero(self._is_open)

    def n_open(self) -> int:
        return int(self._is_open.sum())

    @property
    def has_centres(self) -> bool:
        return self._n_centres > 0

    def take(self, rows: np.ndarray) -> Candidates:
        return self._candidates(rows, to_numpy(self.embedding.measures.sq_norms))

    def largest(self) -> Candidates:
        norms = to_numpy(self.embedding.measures.sq_norms)
        return self.take(np.atleast_1d(np.argmax(np.where(self._is_open, norms, -1.0))))

    def mass(self) -> float:
        self._cumulative = self.known.cumsum()
        return float(self._cumulative[-1])

    def draw(self, positions: np.ndarray) -> Candidates:
        rows = np.searchsorted(self._cumulative, positions, side="right")
        rows = np.minimum(rows, np.flatnonzero(self.known)[-1])  # rounding at the upper end
        return self._candidates(rows, self.known)

    def farthest(self, n_points: int) -> tuple[Candidates, float]:
        known = np.where(self._is_open, self.known, -1.0)
        n_points = min(n_points, int(self._is_open.sum()))
        order = np.argpartition(-known, n_points - 1)[:n_points]
        # the textbook's own argmax is among them, whatever the partition did with ties
        rows = np.union1d(order, np.argmax(known))
        candidates = self._candidates(rows, known)
        known[rows] = -1.0
        return candidates, float(known.max())

    def add(self, centres: Embedding, rows: np.ndarray) -> None:
        self._is_open[rows] = False
        self._n_centres += len(centres)
        self._nearest.add(centres, rows)
        self._known = None

    @property
    def known(self) -> np.ndarray:
        """Squared distances to the nearest centre, float64, shape (N,)."""
        if self._known is None:
            self._known = to_numpy(self._nearest.sq_distances).astype(np.float64)
        return self._known

    def _candidates(self, rows: np.ndarray, known: np.ndarray) -> Candidates:
        embedding = self.embedding.take(rows)
        self.embedding.release()
        return Candidates(rows, known[rows], embedding)


def as_points(points: Any, candidates: Any) -> Points:
    """Return the points of an embedding or a matrix; points that know how to answer are returned as they are."""
    if not isinstance(points, Points):
        return EmbeddingPoints(as_embedding(points), candidates)
    if candidates is not None:
        raise ValueError("candidates of points that answer for themselves are theirs to know")
    return points
