"""Rows of a source: some of them, those that may be picked, and the labelled ones that go with them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from skmmal.reading._source import FUSED, Source

__all__ = ["SelectedRows"]


class SelectedRows:
    """Some rows of a source; parameters as of `Reading`."""

    def __init__(
        self,
        source: Source,
        *,
        rows: np.ndarray | None = None,
        on: str = FUSED,
        y: Any = None,
        candidates: np.ndarray | None = None,
        labelled: Self | None = None,
    ) -> None:
        self.source = source
        self.is_whole = rows is None
        self.rows = np.arange(len(source)) if rows is None else rows
        self.y = y
        self.candidates = candidates
        self._on = on
        self._labelled = labelled

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Reading({len(self)} rows of {self.source.name})"

    def take(self, positions: np.ndarray) -> Self:
        """Some of the rows, with the same labelled ones.

        Parameters
        ----------
        positions : ndarray of int
            Of the rows that are taken, among those of the reading.

        Returns
        -------
        Reading
        """
        return self._with(positions, self._on, self._labelled)

    def _with(self, positions: np.ndarray, on: str, labelled: Self | None) -> Self:
        if np.array_equal(positions, np.arange(len(self))):  # all of them: nothing need be copied
            rows, y, candidates = self.rows_or_all, self.y, self.candidates
        else:
            rows = self.rows[positions]
            y = None if self.y is None else np.asarray(self.y)[positions]
            candidates = None if self.candidates is None else self.candidates[positions]
        return type(self)(self.source, rows=rows, on=on, y=y, candidates=candidates, labelled=labelled)

    @property
    def labelled(self) -> Self:
        """The labelled rows that go with these; none unless there are some."""
        return self.take(np.empty(0, dtype=np.intp)) if self._labelled is None else self._labelled

    @property
    def is_fitted(self) -> bool:
        """Whether there is a fitted model."""
        return self.source.is_fitted

    @property
    def rows_or_all(self) -> np.ndarray | None:
        """The rows of the source, ``None`` where they are all: of these nothing need be copied."""
        return None if self.is_whole else self.rows

    @property
    def taken(self) -> np.ndarray | slice:
        """The rows, as an index into the source's arrays that copies nothing where they are all."""
        rows = self.rows_or_all
        return slice(None) if rows is None else rows

    def highest(self, scores: np.ndarray, n_instances: int) -> tuple[np.ndarray, np.ndarray]:
        """The candidates of highest score, highest first, and their scores; on ties the lowest row.

        Parameters
        ----------
        scores : ndarray of shape (N,)
            Of all rows, candidates or not.
        n_instances : int
            How many to pick.

        Returns
        -------
        rows : ndarray of int, shape (n_instances,)
        scores : ndarray of shape (n_instances,)
        """
        order = np.argsort(-scores, kind="stable")
        if self.candidates is not None:
            order = order[self.candidates[order]]
        order = order[:n_instances]
        return order, scores[order]
