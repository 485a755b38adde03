"""A campaign whose features are on workers: rows are fetched when a few are asked for, and read where they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmmal.campaign._answers import Answers, Names, Said, Tally
from skmmal.distributed import ShardedPool, ShardedReading, Subset
from skmmal.experiment.sources import usable_rows
from skmmal.modalities import MultimodalArray
from skmmal.preprocessing import ModalityScaler

__all__ = ["Rows", "ScaledRows", "rows_on_workers", "tally_on_workers"]


class ScaledRows:
    """Rows of a pool as the models of a campaign see them: what is taken of them is here, and scaled.

    Parameters
    ----------
    pool : ShardedPool
    rows : ndarray of int
        Those that have some modality.
    scale : {"standard", "l2", "none"}
    """

    def __init__(self, pool: ShardedPool, rows: np.ndarray, scale: str) -> None:
        self.pool, self._rows, self.modalities = pool, rows, pool.modalities
        self._scaler: ModalityScaler | None = None
        self._among: Subset | None = None
        if scale != "none":
            self._scaler = ModalityScaler(method=scale)
            if len(rows) == len(pool):
                self._scaler.fit(pool)
            else:
                with pool.subset(rows) as usable:
                    self._scaler.fit(usable)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Any) -> MultimodalArray:
        taken = self.pool.take(self._rows[rows])
        return taken if self._scaler is None or len(taken) == 0 else self._scaler.transform_on_demand(taken)

    def among(self, rows: np.ndarray) -> Subset:
        """Rows, ascending, where they are; the workers keep one such set at a time."""
        self.close()
        transform = None if self._scaler is None else self._scaler.transform_on_demand
        self._among = self.pool.subset(self._rows[rows], transform)
        return self._among

    def close(self) -> None:
        """Let the workers go of the set."""
        if self._among is not None:
            self._among.close()
            self._among = None


Rows = MultimodalArray | ScaledRows
"""What a model of a campaign is fitted to and asked about, in one place or spread over workers."""


def rows_on_workers(pool: ShardedPool, scale: str) -> tuple[ScaledRows, np.ndarray]:
    """Rows that have some modality, and their numbers; parameters as of `ScaledRows`."""
    found = zip(pool.ask(_without_any), pool.starts, strict=True)
    usable = np.ones(len(pool), dtype=bool)
    for lacking, start in found:
        usable[lacking + start] = False
    rows = np.flatnonzero(usable)
    return ScaledRows(pool, rows, scale), rows


def tally_on_workers(reading: ShardedReading, answers: Answers, classes: Names) -> Tally:
    """What a model says of rows, summed where they are."""
    return Tally.total(reading.ask(_tally, answers, classes))


# ------------------------------------------------------------------------------------------------- on the shards


def _without_any(shard: Any) -> np.ndarray:
    return np.flatnonzero(~usable_rows(shard.X))


def _tally(view: Any, answers: Answers, classes: Names) -> Tally:
    return answers.tally(Said(*view.reading.source.of_probabilities(answers.said)), classes)
