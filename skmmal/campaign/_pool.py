"""The rows among which a round's batch was chosen, and what its model says of all that have no label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmmal.campaign._answers import Answers, Said, Tally
from skmmal.campaign._on_workers import Rows, ScaledRows, tally_on_workers
from skmmal.distributed import ShardedReading
from skmmal.reading import Reading, read

__all__ = ["Pool"]


@dataclass
class Pool:
    """The rows among which the strategy chose, in ascending order, and what the model says of them."""

    rows: np.ndarray
    reading: Reading | ShardedReading | None

    def summed(
        self, answers: Answers, model: Any, X: Rows, rows: np.ndarray, stop_rows: list[int]
    ) -> tuple[Tally, np.ndarray]:
        """What the model says of rows of X, ascending, that include the pool; the others only are read anew.

        Returns
        -------
        tally : Tally
            Of all.
        predicted : ndarray
            Of some of them, `stop_rows` by their positions.
        """
        if answers.numbers:
            said = answers.said(model.predict(X[rows]) if len(rows) else np.empty(0))
            return answers.tally(said, ()), said.predicted[stop_rows]
        is_read = np.isin(rows, self.rows) if self.reading is not None else np.zeros(len(rows), dtype=bool)
        if isinstance(X, ScaledRows):
            assert not isinstance(self.reading, Reading)
            parts = [] if self.reading is None else [tally_on_workers(self.reading, answers, model.classes_)]
            if not is_read.all():
                others = X.among(rows[~is_read]).read(model)
                parts.append(tally_on_workers(others, answers, model.classes_))
            stop_set = X[rows[stop_rows]]
            predicted = answers.said(model.predict_proba(stop_set)).predicted if stop_rows else np.empty(0, dtype=int)
            return Tally.total(parts), predicted
        assert not isinstance(self.reading, ShardedReading)
        readings = [] if self.reading is None else [(is_read, self.reading)]
        if not is_read.all():
            readings.append((~is_read, read(model, X[rows[~is_read]])))
        found: list[np.ndarray] = []
        for where, reading in readings:
            arrays = reading.source.of_probabilities(answers.said)
            found = found or [np.empty((len(rows), *array.shape[1:]), array.dtype) for array in arrays]
            for whole, array in zip(found, arrays, strict=True):
                whole[where] = array
        said = Said(*found)
        return answers.tally(said, model.classes_), said.predicted[stop_rows]
