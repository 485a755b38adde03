"""Finished ranges: what their rows became, and their way into the cache, one at a time in a thread of its own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np

from skmmal.features import Range, RowWriter
from skmmal.featurize._contents import NONE
from skmmal.featurize._encoding import Backbone
from skmmal.featurize._manifest import Manifest
from skmmal.featurize._options import JobOptions
from skmmal.featurize._reading import Batch, Chunk, Failure, failure

RATE_FROM = 100
"""Items after which the share of failures means something."""


class StrictError(RuntimeError):
    """An item failed, or was noted as doubtful, and the job was told to stop then.

    Examples
    --------
    >>> from skmmal.featurize import StrictError
    >>> issubclass(StrictError, RuntimeError)  # of a job with strict=True
    True
    """


class ErrorRateError(RuntimeError):
    """More items failed than the job was told to bear.

    Examples
    --------
    >>> from skmmal.featurize import ErrorRateError
    >>> issubclass(ErrorRateError, RuntimeError)  # of a job with max_error_rate
    True
    """


@dataclass
class RangeBuffer:
    """Features of a range's rows as they come in; those of slots that are kept apart have an axis for them."""

    rows: Range
    sums: np.ndarray
    weights: np.ndarray
    chosen: np.ndarray  # positions that this run encodes
    keep: bool = False  # whether the others are there already
    made_of: dict[int, tuple[int, int]] = field(default_factory=dict)
    failures: dict[int, Failure] = field(default_factory=dict)
    remarks: dict[int, dict[str, str]] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def empty(cls, rows: Range, backbone: Backbone, chosen: np.ndarray, keep: bool = False) -> RangeBuffer:
        """Return a buffer for all rows of a range."""
        width = (backbone.width,) if isinstance(backbone.width, int) else tuple(backbone.width)
        slots = () if backbone.most_of is None else (backbone.most_of,)
        shape = (rows.stop - rows.start, *slots, *width)
        apart = shape[: 2 if slots or backbone.stack else 1]
        return cls(rows, np.zeros(shape, np.float32), np.zeros(apart, np.float32), chosen, keep)

    @property
    def noted(self) -> list[int]:
        """Positions that have features and a remark."""
        return sorted(self.remarks.keys() - self.failures.keys())

    def add_chunk(self, chunk: Chunk, positions: np.ndarray) -> None:
        """Take over what reading some rows reported."""
        for failed in chunk.failures:
            self.failures[int(positions[failed.position])] = failed
        for position, remarks in chunk.remarks.items():
            self.remarks[int(positions[position])] = remarks
        for position, numbers in chunk.made_of.items():
            self.made_of[int(positions[position])] = numbers
        self.notes.update(chunk.notes)
        for stage, value in chunk.seconds.items():
            self.add_seconds(stage, value)

    def add_seconds(self, stage: str, value: float) -> None:
        """Add to what a stage has cost."""
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + value, 4)

    def add_features(self, batch: Batch, part: slice, features: np.ndarray, positions: np.ndarray) -> None:
        """Add the features of a batch's units to those of the items, or slots of items, that they belong to."""
        owners = positions[batch.owners[part]]
        places = (owners, batch.slots[part]) if self.weights.ndim == 2 else owners
        weights = batch.weights[part]
        np.add.at(self.sums, places, features * weights.reshape(-1, *[1] * (features.ndim - 1)))
        np.add.at(self.weights, places, weights)

    def finished(self, dtype: str, most: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return values and presence; what does not fit into the dtype is a failure of its row."""
        there = self.weights > 0
        weights = np.where(there, self.weights, 1.0).astype(np.float32)
        values = self.sums / weights.reshape(*weights.shape, *[1] * (self.sums.ndim - weights.ndim))
        encoded = np.asarray(there.reshape(len(there), -1).any(axis=1))
        if most:
            values[~there & encoded[:, None]] = -np.inf
            values = values.max(axis=1)
        limit = float(np.finfo(np.float16).max) if dtype == "float16" else float(np.finfo(np.float32).max)
        with np.errstate(invalid="ignore"):
            usable = (np.abs(values) <= limit).reshape(len(values), -1).all(axis=1)
        for position in np.flatnonzero(encoded & ~usable):
            error = OverflowError(f"a feature is not finite, or too large for {dtype}; try another --dtype")
            self.failures.setdefault(int(position), failure(int(position), "encode", error))
        present = encoded & usable
        present[list(self.failures)] = False
        return values, present


class Committer:
    """Writes ranges while the next ones are encoded, and counts what became of their rows.

    Parameters
    ----------
    options : JobOptions
    manifest : Manifest
    writer : RowWriter
    n_items : int
        How many this run is to encode.
    """

    def __init__(self, options: JobOptions, manifest: Manifest, writer: RowWriter, n_items: int) -> None:
        self.options, self.manifest, self.writer, self.n_items = options, manifest, writer, n_items
        self.encoded = self.failed = self.noted = 0
        self.seconds: dict[str, float] = {}
        self._attempts = {error["row"]: error["attempt"] for error in writer.errors()}
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def __enter__(self) -> Committer:
        return self

    def __exit__(self, *exc: object) -> None:
        # what is being written is finished, whatever stopped the run
        with suppress(Exception):
            self.wait()
        self._thread.shutdown()

    def wait(self) -> None:
        """Wait until what is being written is there."""
        if self._writing is not None:
            self._writing.result()

    def hand_over(self, buffer: RangeBuffer, *, most: bool = False) -> None:
        """Begin to write a range; one at a time, so that a kill costs no more."""
        values, present = buffer.finished(self.options.dtype, most)
        self.check_strict(buffer)
        self.wait()
        self._writing = self._thread.submit(self._commit, buffer, values, present)
        self.encoded += len(buffer.chosen)
        self.failed += len(buffer.failures)
        self.noted += len(buffer.noted)
        limit = self.options.error_limit
        at_end = self.encoded == self.n_items
        if at_end and self.failed == self.encoded and self.options.max_error_rate is None:
            return  # the receipt says that nothing could be encoded
        if self.failed / self.encoded > limit and (at_end or self.encoded >= RATE_FROM):
            self.wait()
            last = f" The last: {_spelled(self._failed_row(buffer, max(buffer.failures)))}" if buffer.failures else ""
            raise ErrorRateError(
                f"{self.failed} of {self.encoded} items failed, more than --max-error-rate {limit:g} bears "
                f"(errors.jsonl).{last}"
            )

    def check_strict(self, buffer: RangeBuffer) -> None:
        """Stop at the first item that failed or was noted, if that was asked for."""
        if self.options.strict and (buffer.failures or buffer.remarks):
            position = min({*buffer.failures, *buffer.remarks})
            row = self._failed_row if position in buffer.failures else self._noted_row
            raise StrictError(f"stopped by --strict: {_spelled(row(buffer, position))}")

    def _commit(self, buffer: RangeBuffer, values: np.ndarray, present: np.ndarray) -> None:
        began = time.perf_counter()
        errors = [self._failed_row(buffer, position) for position in sorted(buffer.failures)]
        remarks = [self._noted_row(buffer, position) for position in buffer.noted]
        notes = Counter(buffer.notes)
        inputs = self._inputs(buffer)
        if buffer.keep:
            self._keep_untried(buffer, values, present, errors, remarks, notes)
        else:  # cut short by a limit: what lies behind it is not written
            n_rows = len(buffer.chosen)
            values, present, inputs = values[:n_rows], present[:n_rows], (inputs[0][:n_rows], inputs[1][:n_rows])
        notes.update(_kinds(remarks))
        self.writer.commit(
            buffer.rows,
            values,
            present,
            errors=errors,
            remarks=remarks,
            notes={kind: count for kind, count in notes.items() if count},
            seconds=buffer.seconds,
            inputs=inputs,
        )
        for stage, value in (*buffer.seconds.items(), ("write", time.perf_counter() - began)):
            self.seconds[stage] = self.seconds.get(stage, 0.0) + value

    def _inputs(self, buffer: RangeBuffer) -> tuple[np.ndarray, np.ndarray]:
        """What the rows of a range were made of."""
        if buffer.keep:
            contents, stamps = self.writer.noted(buffer.rows)
        else:
            contents, stamps = np.zeros((2, buffer.rows.stop - buffer.rows.start), dtype=np.uint64)
        for position in buffer.chosen:
            contents[position], stamps[position] = buffer.made_of.get(int(position), (NONE, NONE))
        return contents, stamps

    def _keep_untried(
        self,
        buffer: RangeBuffer,
        values: np.ndarray,
        present: np.ndarray,
        errors: list[dict[str, Any]],
        remarks: list[dict[str, Any]],
        notes: Counter[str],
    ) -> None:
        """Fill in the rows that are not tried again, as they are on disk."""
        rows = buffer.rows
        untried = np.ones(len(values), dtype=bool)
        untried[buffer.chosen] = False
        values_before, present_before = self.writer.read(rows)
        values[untried], present[untried] = values_before[untried], present_before[untried]
        remarks_before = [line for line in self.writer.remarks() if rows.start <= line["row"] < rows.stop]
        notes.update(self.writer.notes(rows))
        notes.subtract(_kinds(remarks_before))
        untried_rows = set((rows.start + np.flatnonzero(untried)).tolist())
        for lines, earlier in ((errors, self.writer.errors()), (remarks, remarks_before)):
            lines += [line for line in earlier if line["row"] in untried_rows]
            lines.sort(key=itemgetter("row"))

    def _failed_row(self, buffer: RangeBuffer, position: int) -> dict[str, Any]:
        failed, row = buffer.failures[position], buffer.rows.start + position
        return {
            **self._item(row),
            "stage": failed.stage,
            "exception": failed.exception,
            "message": failed.message,
            "attempt": self._attempts.get(row, 0) + 1,
        }

    def _noted_row(self, buffer: RangeBuffer, position: int) -> dict[str, Any]:
        return {**self._item(buffer.rows.start + position), "notes": buffer.remarks[position]}

    def _item(self, row: int) -> dict[str, Any]:
        return {"id": self.manifest.ids[row], "row": row, "path": str(self.manifest.cells[row])[:300]}


def _kinds(remarks: Iterable[dict[str, Any]]) -> list[str]:
    return [kind for remark in remarks for kind in remark["notes"]]


def _spelled(line: dict[str, Any]) -> str:
    if "notes" in line:
        what = "; ".join(f"{kind}: {text}" for kind, text in line["notes"].items())
    else:
        what = f"{line['stage']}: {line['exception']}: {line['message']}"
    return f"{line['id']!r} ({line['path']}): {what}"
