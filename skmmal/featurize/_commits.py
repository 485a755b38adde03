"""Finished ranges: what their rows became, and their way into the cache, one at a time in a thread of its own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from skmmal.features import Range, RowWriter
from skmmal.featurize._contents import NONE, stamp_number
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
    """Features of a range's rows as they come in."""

    rows: Range
    sums: np.ndarray
    weights: np.ndarray
    chosen: np.ndarray  # positions that this run encodes
    keep: bool = False  # whether the others are there already
    contents: dict[int, int] = field(default_factory=dict)
    failures: dict[int, Failure] = field(default_factory=dict)
    remarks: dict[int, dict[str, str]] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def empty(cls, rows: Range, width: tuple[int, ...], chosen: np.ndarray, keep: bool = False) -> RangeBuffer:
        """Return a buffer for all rows of a range."""
        n_rows = rows.stop - rows.start
        return cls(rows, np.zeros((n_rows, *width), np.float32), np.zeros(n_rows, np.float32), chosen, keep)

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
        for position, number in chunk.contents.items():
            self.contents[int(positions[position])] = number
        self.notes.update(chunk.notes)
        for stage, value in chunk.seconds.items():
            self.add_seconds(stage, value)

    def add_seconds(self, stage: str, value: float) -> None:
        """Add to what a stage has cost."""
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + value, 4)

    def add_features(self, batch: Batch, part: slice, features: np.ndarray, positions: np.ndarray, stack: bool) -> None:
        """Add the features of a batch's units to those of the items that they belong to."""
        owners = positions[batch.owners[part]]
        if stack:
            self.sums[owners, batch.slots[part]] = features
            self.weights[owners] = 1.0
            return
        weights = batch.weights[part]
        np.add.at(self.sums, owners, features * weights.reshape(-1, *[1] * (features.ndim - 1)))
        np.add.at(self.weights, owners, weights)

    def finished(self, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        """Return values and presence; what does not fit into the dtype is a failure of its row."""
        weights = np.where(self.weights > 0, self.weights, 1.0).astype(np.float32)
        values = self.sums / weights.reshape(-1, *[1] * (self.sums.ndim - 1))
        limit = float(np.finfo(np.float16).max) if dtype == "float16" else float(np.finfo(np.float32).max)
        with np.errstate(invalid="ignore"):
            usable = (np.abs(values) <= limit).reshape(len(values), -1).all(axis=1)
        encoded = self.weights > 0
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
    root : Path or None
        The folder that the manifest's cells are relative to, if they name files.
    """

    def __init__(
        self, options: JobOptions, manifest: Manifest, writer: RowWriter, n_items: int, root: Path | None
    ) -> None:
        self.options, self.manifest, self.writer, self.n_items, self.root = options, manifest, writer, n_items, root
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

    def hand_over(self, buffer: RangeBuffer) -> None:
        """Begin to write a range; one at a time, so that a kill costs no more."""
        values, present = buffer.finished(self.options.dtype)
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
            cell = self.manifest.cells[buffer.rows.start + position]
            contents[position] = buffer.contents.get(int(position), NONE)
            stamps[position] = NONE if cell is None else stamp_number(cell, self.root)
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
