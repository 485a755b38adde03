"""The job: a manifest's column becomes a modality of a feature cache."""

from __future__ import annotations

import importlib
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from skmmal.features import FeatureStore, Range, RowWriter
from skmmal.featurize import decode
from skmmal.featurize._encoding import Backbone, Encoder, Pieces, resolve_device
from skmmal.featurize._manifest import Manifest, read_manifest
from skmmal.featurize._options import JobOptions
from skmmal.featurize._progress import Progress
from skmmal.featurize._reading import Batch, Chunk, Failure, ReadAhead, Task, default_workers, failure

RANGE_ROWS = {"image": 256, "text": 1024, "audio": 64, "video": 32}
"""Rows that are committed together: seconds of work, not hours, and not thousands of small files either."""

RATE_FROM = 100
"""Items after which the share of failures means something."""


class StrictError(RuntimeError):
    """An item failed and the job was told to stop then."""


class ErrorRateError(RuntimeError):
    """More items failed than the job was told to bear."""


class JobError(RuntimeError):
    """A job that had begun stopped at what it cannot go on with."""


@dataclass
class RangeBuffer:
    """Features of a range's rows as they come in."""

    rows: Range
    sums: np.ndarray
    weights: np.ndarray
    chosen: np.ndarray  # positions that this run encodes
    failures: dict[int, Failure] = field(default_factory=dict)
    remarks: dict[int, dict[str, str]] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add_chunk(self, chunk: Chunk, positions: np.ndarray) -> None:
        """Take over what reading some rows reported."""
        for failed in chunk.failures:
            self.failures[int(positions[failed.position])] = failed
        for position, remarks in chunk.remarks.items():
            self.remarks[int(positions[position])] = remarks
        for key, count in chunk.notes.items():
            self.notes[key] = self.notes.get(key, 0) + count
        for key, value in chunk.seconds.items():
            self.add_seconds(key, value)

    def add_seconds(self, key: str, value: float) -> None:
        """Add to what a stage has cost."""
        self.seconds[key] = round(self.seconds.get(key, 0.0) + value, 4)

    def add_features(self, batch: Batch, part: slice, features: np.ndarray, positions: np.ndarray, stack: bool) -> None:
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
        there = self.weights > 0
        for position in np.flatnonzero(there & ~usable):
            error = OverflowError(f"a feature is not finite, or too large for {dtype}; try another --dtype")
            self.failures.setdefault(int(position), failure(int(position), "encode", error))
        present = there & usable
        present[list(self.failures)] = False
        return values, present


def build(options: JobOptions, manifest: Manifest) -> Backbone:
    """Load the backbone that a job asks for."""
    return importlib.import_module(f"skmmal.featurize.{options.script}").build(options, manifest.root)


def fingerprint(backbone: Backbone, manifest: Manifest, amp: torch.dtype | None, options: JobOptions) -> dict[str, Any]:
    """Return what must be equal for a job to continue another's rows."""
    return {
        **backbone.description,
        "tokens": options.tokens,
        "amp": str(amp).removeprefix("torch.") if amp is not None else "off",
        "manifest_sha256": manifest.sha256,
        **({} if options.script == "text" else {"decoding": decode.VERSION}),
    }


def run(options: JobOptions, backbone: Backbone | None = None, *, quiet: bool = False) -> dict[str, Any]:
    """Featurize what is not featurized yet.

    The rows are the same whatever the number of workers and shards, and however often the job was killed, on the
    same device with the same batch size and number of threads. A different batch size rounds a
    forward pass differently (by up to 1e-6 of the largest feature in float32, half a percent under autocast).

    Parameters
    ----------
    options : JobOptions
    backbone : Backbone, optional
        A model of your own. Default: the one `options` names.
    quiet : bool, default=False
        No progress bar and no summary.

    Returns
    -------
    dict
        A receipt: rows ``total`` in this shard, ``done`` now, ``encoded``, ``failed`` and ``noted`` in this run;
        ``present`` rows, ``errors`` and ``notes`` (as many lines has ``errors.jsonl``, and ``notes.jsonl``: rows
        that are there and doubtful, such as a recording that is cut short), whether it is ``complete``,
        ``problem`` (None, or why the command line's exit status is 1), ``seconds`` by stage,
        ``items_per_second``, ``precision``.

    Raises
    ------
    ValueError
        The manifest, the options or the cache do not fit (`skmmal.features.FingerprintError` for another job's).
    skmmal.features.CacheInUseError
        Another job is writing these rows.
    StrictError, ErrorRateError, JobError
        What ``strict`` and ``max_error_rate`` asked for, or what cannot be written. The cache can be continued.
    """
    with _threads(options.threads):
        files = options.script != "text"
        manifest = read_manifest(options.manifest, options.column or options.script, options.id_column, files=files)
        backbone = backbone or build(options, manifest)
        encoder = Encoder(backbone, resolve_device(options.device), options.amp)
        store = FeatureStore.create(options.out, manifest.ids)
        description = backbone.description
        with store.writer(
            options.name,
            backbone.width,
            dtype=options.dtype,
            fingerprint=fingerprint(backbone, manifest, encoder.dtype, options),
            metadata={key: description[key] for key in ("backbone", "weights", "preprocessing") if key in description},
            range_rows=options.range_rows or RANGE_ROWS.get(options.script, 256),
            shard=options.shard,
        ) as writer:
            begun = _Run(options, manifest, encoder, writer, quiet)
            try:
                return begun.go()
            except ValueError as error:  # which says before a job begins that it cannot
                raise JobError(str(error)) from error


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Run:
    """One run of a job: reads ahead, encodes, and commits while the next range is being encoded."""

    def __init__(
        self, options: JobOptions, manifest: Manifest, encoder: Encoder, writer: RowWriter, quiet: bool
    ) -> None:
        self.options, self.manifest, self.encoder, self.writer = options, manifest, encoder, writer
        self.attempts = {error["row"]: error["attempt"] for error in writer.errors()}
        self.work = self._choose_work()
        self.encoded = self.failed = self.noted = 0
        self.precision: dict[str, float] | None = None
        self.seconds: dict[str, float] = {}
        self.progress = Progress(options.name, sum(len(positions) for _, positions in self.work), quiet)

    def _choose_work(self) -> list[tuple[Range, np.ndarray]]:
        """Ranges, and which of their rows to encode."""
        options, writer = self.options, self.writer
        if options.retry_errors:
            pending = {rows.index for rows in writer.pending()}
            failed: dict[int, list[int]] = {}
            for row in sorted({*self.attempts, *(remark["row"] for remark in writer.remarks())}):
                failed.setdefault(writer.range_of(row).index, []).append(row)
            work = [
                (rows, np.array(failed[rows.index]) - rows.start)
                for rows in writer.ranges
                if rows.index in failed and rows.index not in pending
            ]
        else:
            work = [(rows, np.arange(rows.stop - rows.start)) for rows in writer.pending()]
        if options.limit is None:
            return work
        if not options.retry_errors:  # a limit counts rows of the shard, also those that are done
            first = writer.ranges[0].start if writer.ranges else 0
            limited = [(rows, chosen[rows.start + chosen < first + options.limit]) for rows, chosen in work]
            return [(rows, chosen) for rows, chosen in limited if len(chosen)]
        left, limited = options.limit, []
        for rows, chosen in work:
            limited.append((rows, chosen[:left]))
            left -= len(limited[-1][1])
        return [(rows, chosen) for rows, chosen in limited if len(chosen)]

    def _tasks(self) -> Iterator[Task]:
        reader, size = self.encoder.backbone.reader, self.options.batch_size
        for rows, chosen in self.work:
            step = len(chosen) if reader.whole_range else size
            for start in range(0, len(chosen), step):
                part = tuple(int(rows.start + position) for position in chosen[start : start + step])
                cells = tuple(self.manifest.cells[row] for row in part)
                yield Task(rows.index, part, cells, start + step >= len(chosen))

    def go(self) -> dict[str, Any]:
        began = time.perf_counter()
        workers = default_workers() if self.options.workers is None else self.options.workers
        reader = self.encoder.backbone.reader
        self.committing: Future[None] | None = None
        # features stay on a GPU while the next batch is launched, so that it never idles
        self.in_flight: deque[Any] = deque()
        lag = 1 if self.encoder.device.type == "cuda" else 0
        with (
            ReadAhead(reader, workers, self.options.batch_size) as ahead,
            ThreadPoolExecutor(1) as self.committer,
            self.progress,
        ):
            try:
                self._encode_all(ahead, lag)
            finally:
                # what is being written is finished, whatever stopped the run
                if self.committing is not None:
                    with suppress(Exception):
                        self.committing.result()
            self.seconds["wait"] = ahead.waited
        return self._receipt(time.perf_counter() - began)

    def _encode_all(self, ahead: ReadAhead, lag: int) -> None:
        ranges = {rows.index: (rows, chosen) for rows, chosen in self.work}
        buffer: RangeBuffer | None = None
        for task, chunk in ahead.read(self._tasks()):
            if buffer is None or buffer.rows.index != task.range_index:
                buffer = self._new_buffer(*ranges[task.range_index])
            positions = np.array(task.rows) - buffer.rows.start
            buffer.add_chunk(chunk, positions)
            self._check_strict(buffer)
            for batch in chunk.batches:
                pieces = self._timed(buffer, batch)
                if self.precision is None:
                    self._measure_precision(batch, pieces)
                self.in_flight.append((buffer, batch, positions, pieces))
                self._collect(lag)
            if chunk.rest is not None:
                continue
            self.progress.advance(len(task.rows), len(chunk.failures), ahead.waited)
            if task.last:
                self._collect(0)
                self._finish(buffer)
        if self.committing is not None:
            self.committing.result()

    def _timed(self, buffer: RangeBuffer, batch: Batch) -> Pieces:
        began = time.perf_counter()
        pieces = self.encoder.encode(batch.inputs)
        buffer.add_seconds("infer", time.perf_counter() - began)
        return pieces

    def _collect(self, lag: int) -> None:
        """Take features off the device, but for the last `lag` batches."""
        while len(self.in_flight) > lag:
            buffer, batch, positions, pieces = self.in_flight.popleft()
            began = time.perf_counter()
            for part, features in pieces:
                if isinstance(features, Exception):
                    position = int(positions[batch.owners[part][0]])
                    buffer.failures[position] = failure(position, "encode", features)
                    self._check_strict(buffer)
                    continue
                values = features.cpu().numpy()
                buffer.add_features(batch, part, values, positions, self.encoder.backbone.stack)
            buffer.add_seconds("infer", time.perf_counter() - began)

    def _measure_precision(self, batch: Batch, pieces: Pieces) -> None:
        """Compare the first batch that was encoded in one piece with full precision."""
        (_, features), *others = pieces
        if others or isinstance(features, Exception):
            return
        self.precision = {}
        if self.options.dtype != "float32" or self.encoder.dtype is not None:
            with suppress(RuntimeError):  # no memory to spare for it
                self.precision = self.encoder.precision(batch.inputs, features, self.options.dtype)

    def _new_buffer(self, rows: Range, chosen: np.ndarray) -> RangeBuffer:
        n_rows = rows.stop - rows.start
        width = self.writer.shape[1:]
        return RangeBuffer(rows, np.zeros((n_rows, *width), np.float32), np.zeros(n_rows, np.float32), chosen)

    def _finish(self, buffer: RangeBuffer) -> None:
        """Hand a range to the committing thread; one at a time, so that a kill costs no more."""
        values, present = buffer.finished(self.options.dtype)
        self._check_strict(buffer)
        if self.committing is not None:
            self.committing.result()
        self.committing = self.committer.submit(self._commit, buffer, values, present)
        self.encoded += len(buffer.chosen)
        self.failed += len(buffer.failures)
        self.noted += len(buffer.remarks.keys() - buffer.failures.keys())
        rate = self.failed / self.encoded
        if rate > self.options.max_error_rate and self.encoded >= min(RATE_FROM, self.progress.total):
            self.committing.result()
            last = f" The last: {_describe(self._record(buffer, max(buffer.failures)))}" if buffer.failures else ""
            limit = f"--max-error-rate {self.options.max_error_rate:g}"
            raise ErrorRateError(f"{self.failed} of {self.encoded} items failed, more than {limit} bears.{last}")

    def _commit(self, buffer: RangeBuffer, values: np.ndarray, present: np.ndarray) -> None:
        began = time.perf_counter()
        rows, chosen = buffer.rows, buffer.chosen
        errors = [self._record(buffer, position) for position in sorted(buffer.failures)]
        remarks = [self._noted(buffer, position) for position in sorted(buffer.remarks.keys() - buffer.failures.keys())]
        notes = dict(buffer.notes)
        if self.options.retry_errors:  # the rows that are not tried again stay as they are
            untouched = np.ones(len(values), dtype=bool)
            untouched[chosen] = False
            before, there = self.writer.read(rows)
            values[untouched], present[untouched] = before[untouched], there[untouched]
            tried = {int(rows.start + position) for position in chosen}
            here = [e for e in self.writer.remarks() if rows.start <= e["row"] < rows.stop]
            _count(notes, self.writer.notes(rows), 1)
            _count_remarks(notes, here, -1)
            kept = [e for e in self.writer.errors() if rows.start <= e["row"] < rows.stop and e["row"] not in tried]
            errors = sorted(errors + kept, key=lambda error: error["row"])
            remarks = sorted(remarks + [e for e in here if e["row"] not in tried], key=lambda remark: remark["row"])
        else:  # cut short by a limit: what lies behind it is not written
            values, present = values[: len(chosen)], present[: len(chosen)]
        _count_remarks(notes, remarks, 1)
        notes = {key: value for key, value in notes.items() if value}
        self.writer.commit(rows, values, present, errors=errors, remarks=remarks, notes=notes, seconds=buffer.seconds)
        for key, value in buffer.seconds.items():
            self.seconds[key] = self.seconds.get(key, 0.0) + value
        self.seconds["write"] = self.seconds.get("write", 0.0) + time.perf_counter() - began

    def _record(self, buffer: RangeBuffer, position: int) -> dict[str, Any]:
        failed, row = buffer.failures[position], buffer.rows.start + position
        return {
            **self._item(row),
            "stage": failed.stage,
            "exception": failed.exception,
            "message": failed.message,
            "attempt": self.attempts.get(row, 0) + 1,
        }

    def _noted(self, buffer: RangeBuffer, position: int) -> dict[str, Any]:
        return {**self._item(buffer.rows.start + position), "notes": buffer.remarks[position]}

    def _item(self, row: int) -> dict[str, Any]:
        return {"id": self.manifest.ids[row], "row": row, "path": str(self.manifest.cells[row])[:300]}

    def _check_strict(self, buffer: RangeBuffer) -> None:
        if self.options.strict and (buffer.failures or buffer.remarks):
            position = min({*buffer.failures, *buffer.remarks})
            record = (self._record if position in buffer.failures else self._noted)(buffer, position)
            raise StrictError(f"stopped by --strict: {_describe(record)}")

    def _receipt(self, wall: float) -> dict[str, Any]:
        writer = self.writer
        total = sum(rows.stop - rows.start for rows in writer.ranges)
        receipt = {
            "modality": self.options.name,
            "shard": list(self.options.shard),
            "total": total,
            "done": writer.rows_done,
            "complete": writer.rows_done == total,
            "encoded": self.encoded,
            "failed": self.failed,
            "noted": self.noted,
            "present": writer.rows_present,
            "errors": len(writer.errors()),
            "notes": len(writer.remarks()),
            "seconds": {key: round(value, 3) for key, value in self.seconds.items()} | {"wall": round(wall, 3)},
            "items_per_second": round(self.encoded / wall, 3) if wall else 0.0,
            "precision": self.precision or {},
            "batch_size": min(self.options.batch_size, self.encoder.max_units or self.options.batch_size),
        }
        receipt["problem"] = problem(receipt)
        self.progress.summary(receipt)
        return receipt


def problem(receipt: dict[str, Any]) -> str | None:
    """Say what makes a job a failed one although it came to its end: nothing that it tried, or has, has features."""
    if receipt["encoded"] and receipt["failed"] == receipt["encoded"]:
        return f"not one of {receipt['encoded']} items could be encoded; errors.jsonl says why"
    if receipt["done"] and not receipt["present"]:
        return f"not one of {receipt['done']} items has features; errors.jsonl says why"
    return None


def _count(notes: dict[str, int], more: dict[str, int], sign: int) -> None:
    for kind, count in more.items():
        notes[kind] = notes.get(kind, 0) + sign * count


def _count_remarks(notes: dict[str, int], remarks: list[dict[str, Any]], sign: int) -> None:
    for remark in remarks:
        _count(notes, dict.fromkeys(remark["notes"], 1), sign)


def _describe(record: dict[str, Any]) -> str:
    if "notes" in record:
        return f"{record['id']!r} ({record['path']}): " + "; ".join(f"{k}: {v}" for k, v in record["notes"].items())
    return f"{record['id']!r} ({record['path']}): {record['stage']}: {record['exception']}: {record['message']}"
