"""Labelled rows beside a pool: their modalities in the pool's order, and errors that say which rows they are about."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from skmmal._arrays import own_rows
from skmmal.reading._source import Source, SourceError

__all__ = ["LabelledSource"]


class LabelledSource(Source):
    """What a model says of labelled rows.

    Parameters
    ----------
    source : Source
        Of the labelled rows.
    pool : Source
    """

    def __init__(self, source: Source, pool: Source) -> None:
        self._source, self._pool = source, pool
        self.final, self.name, self.shares_last_layer = source.final, source.name, source.shares_last_layer
        self.target = pool.target

    def __len__(self) -> int:
        return len(self._source)

    @property
    def is_fitted(self) -> bool:  # type: ignore[override]
        """Whether there is a fitted model."""
        return self._source.is_fitted

    def check_fitted(self) -> None:
        """Raise `NotFittedError` where there is no fitted model."""
        self._source.check_fitted()

    @property
    def classes(self) -> np.ndarray | None:
        """Names of the classes."""
        return self._source.classes

    @property
    def has_own_heads(self) -> bool:  # type: ignore[override]
        """Whether modalities have heads of their own."""
        return self._source.has_own_heads

    @property
    def probabilities(self) -> np.ndarray:
        """Class probabilities of the fused head."""
        with _of_labeled():
            return self._source.probabilities

    @property
    def probabilities_by_modality(self) -> Mapping[str, np.ndarray]:
        """Class probabilities of each modality's own head."""
        with _of_labeled():
            return self._source.probabilities_by_modality

    @property
    def contributions(self) -> np.ndarray:
        """Contribution of each modality to the predicted class's probability."""
        with _of_labeled():
            return self._source.contributions[:, self._order]

    @cached_property
    def _order(self) -> list[int]:
        """Where the pool's modalities are among those of the labelled rows."""
        with _of_labeled():
            names = self._source.modality_names
            expected = self._pool.modality_names
            same = set(names) == set(expected)
            order = [names.index(name) for name in expected] if same else list(range(len(names)))
            blocks = self._source.blocks
        widths = [blocks[m].shape[1] for m in order]
        pool_widths = [block.shape[1] for block in self._pool.blocks]
        if widths != pool_widths:
            raise ValueError(f"X_labeled has blocks of {widths} columns, X_pool of {pool_widths}")
        return order

    @property
    def modality_names(self) -> list[str]:
        """Names of the pool's modalities."""
        return self._pool.modality_names

    @property
    def present(self) -> np.ndarray:
        """Which row has which modality."""
        order = self._order
        with _of_labeled():
            return self._source.present[:, order]

    @property
    def blocks(self) -> Sequence[np.ndarray]:
        """What the fused head sees of each modality."""
        return [self._source.blocks[m] for m in self._order]

    @property
    def own_blocks(self) -> Sequence[np.ndarray]:
        """What each modality's own head sees."""
        order = self._order
        with _of_labeled():
            return [self._source.own_blocks[m] for m in order]

    def out_of_fold(self, y: Any, n_folds: int, seed: int) -> Source:
        """What models fitted on the other folds say of each row."""
        return self._source.out_of_fold(y, n_folds, seed)


@contextmanager
def _of_labeled() -> Iterator[None]:
    """Say that an error is about the labelled rows: whoever finds it knows them as X only."""
    try:
        yield
    except (NotFittedError, SourceError):
        raise
    except (TypeError, ValueError) as error:
        message = str(error)
        if "X_labeled" in message:
            raise
        message = own_rows(message, {"X_labeled": sys.maxsize})
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(message if "X_labeled" in message else f"X_labeled: {message}") from error
