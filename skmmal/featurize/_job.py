"""The job: a manifest's column becomes a modality of a feature cache."""

from __future__ import annotations

import itertools
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from skmmal.features import CacheError, FeatureStore, Range, RowWriter
from skmmal.featurize import decode
from skmmal.featurize._cells import Views
from skmmal.featurize._commits import Committer, RangeBuffer
from skmmal.featurize._encoding import Backbone, Encoder, Pieces, resolve_device
from skmmal.featurize._extension import SHA, Extension, grown, renew
from skmmal.featurize._manifest import Manifest, Wanted, read_lines, read_manifest
from skmmal.featurize._options import JobOptions
from skmmal.featurize._progress import Progress
from skmmal.featurize._read_ahead import ReadAhead, Task, default_workers
from skmmal.featurize._reading import Batch, Chunk, failure
from skmmal.featurize._views import over_views
from skmmal.featurize.backbones import build_backbone

RANGE_ROWS = {"image": 256, "text": 1024, "audio": 64, "video": 32}
"""Rows that are committed together: seconds of work, not hours, and not thousands of small files either."""

Work = list[tuple[Range, np.ndarray, bool]]
"""Ranges, the positions in them that a run encodes, and whether the other positions are there already."""


class JobError(RuntimeError):
    """A job that had begun stopped at what it cannot go on with.

    Examples
    --------
    >>> from skmmal.featurize import JobError
    >>> issubclass(JobError, RuntimeError)  # the rows that are written stay; the same job goes on later
    True
    """


def build(options: JobOptions, manifest: Manifest) -> Backbone:
    """Load the backbone that a job asks for."""
    return build_backbone(
        options.script,
        options.model,
        options.weights,
        manifest.root,
        seed=options.seed,
        tokens=options.tokens,
        **options.settings,
    )


def fingerprint(backbone: Backbone, manifest: Manifest, amp: torch.dtype | None, options: JobOptions) -> dict[str, Any]:
    """Return what must be equal for a job to continue another's rows."""
    return {
        **backbone.description,
        "tokens": options.tokens,
        "amp": str(amp).removeprefix("torch.") if amp is not None else "off",
        SHA: manifest.sha256,
        **({"compile": True} if options.compile else {}),
        **({} if options.script == "text" else {"decoding": decode.VERSION}),
    }


def run(
    options: JobOptions, backbone: Backbone | None = None, *, quiet: bool = False, bar: bool = True
) -> dict[str, Any]:
    r"""Featurize what is not featurized yet.

    The rows are the same whatever the number of workers and shards, and however often the job was killed, on the
    same device with the same batch size and number of threads. A different batch size rounds a
    forward pass differently (by up to 1e-6 of the largest feature in float32, half a percent under autocast).

    Parameters
    ----------
    options : JobOptions
        What to featurize, with what, and how.
    backbone : Backbone, optional
        A model of your own: a module, a function that calls it, what reads its inputs, and a description. Default: the
        one that `options` names.
    quiet : bool, default=False
        No progress, no first and no last lines.
    bar : bool, default=True
        Draw a bar on a terminal. Without one there is a line a minute, as in a log file.

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

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from skmmal.featurize import Backbone, JobOptions, Unit, run
    >>> from skmmal.featurize.backbones import TextReader
    >>> class Lengths(TextReader):
    ...     def decode(self, raw, notes):
    ...         yield Unit({"length": torch.tensor([float(len(raw))])})
    >>> about = {"backbone": "lengths"}
    >>> backbone = Backbone(torch.nn.Identity(), lambda module, inputs: inputs["length"], 1, Lengths(), about)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     manifest = Path(folder) / "texts.csv"
    ...     written = manifest.write_text("id,text\n7,a red chair\n8,a blue table\n9, \n")
    ...     options = JobOptions("text", manifest, Path(folder) / "cache", "own/lengths", workers=0, device="cpu")
    ...     receipt = run(options, backbone, quiet=True)
    >>> receipt["total"], receipt["encoded"], receipt["errors"]
    (3, 3, 1)
    """
    with _threads(options.threads):
        manifest = _manifest(options)
        backbone = backbone or build(options, manifest)
        if options.views is not None:
            backbone = over_views(backbone, options.views, _n_views(options, manifest))
        encoder = Encoder(backbone, resolve_device(options.device), options.amp, compiled=options.compile)
        store, manifest, extension = _open(options, manifest, backbone, encoder)
        description = backbone.description
        with store.writer(
            options.name,
            backbone.width,
            dtype=options.dtype,
            fingerprint=fingerprint(backbone, manifest, encoder.dtype, options),
            inputs=True,
            metadata={key: description[key] for key in ("backbone", "weights", "preprocessing") if key in description},
            range_rows=options.range_rows or RANGE_ROWS.get(options.script, 256),
            shard=options.shard,
        ) as writer:
            job = _Run(options, manifest, encoder, writer, Progress(options, quiet, bar))
            job.say_start(extension)
            try:
                receipt = job.go()
                return receipt if extension is None else {**receipt, "extension": asdict(extension)}
            except ValueError as error:  # which says before a job begins that it cannot
                raise JobError(str(error)) from error


def _manifest(options: JobOptions) -> Manifest:
    if options.lines:
        return read_lines(options.manifest)
    several = options.views is not None
    wanted = Wanted(options.script, options.column, options.id_column, several, options.separator)
    return read_manifest(options.manifest, wanted)


def _n_views(options: JobOptions, manifest: Manifest) -> int:
    """Return how many views an item may have."""
    most = manifest.n_views
    if options.n_views is not None and most > options.n_views:
        row = next(
            row for row, cell in enumerate(manifest.cells) if isinstance(cell, Views) and len(cell.parts) == most
        )
        raise ValueError(f"{manifest.ids[row]!r} has {most} views, more than --n-views {options.n_views}")
    return options.n_views or most


def _open(
    options: JobOptions, manifest: Manifest, backbone: Backbone, encoder: Encoder
) -> tuple[FeatureStore, Manifest, Extension | None]:
    """Return the cache, the manifest in its order, and what is to be extended, if that was asked for."""
    if options.extend is None:
        try:
            return FeatureStore.create(options.out, manifest.ids), manifest, None
        except CacheError as error:
            raise CacheError(f"{error}. A longer or changed manifest goes on with --extend") from None
    asked = fingerprint(backbone, manifest, encoder.dtype, options)
    store, manifest, extension = grown(
        options.out, manifest, lambda before: before.check_same_job(options.name, asked, but=(SHA,))
    )
    made_by = fingerprint(backbone, manifest, encoder.dtype, options)
    n_before = len(store) - extension.new
    n_changed = renew(store, options.name, made_by, manifest, backbone.reader.files_in, options.extend, n_before)
    return store, manifest, replace(extension, changed=n_changed)


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_work(options: JobOptions, writer: RowWriter, manifest: Manifest) -> Work:
    """Return what is not done yet or has changed; or, to retry errors, what has failed or was noted, and no more."""
    if options.retry_errors:
        recorded = {line["row"] for line in (*writer.errors(), *writer.remarks())}
        return _single_rows(sorted(recorded)[: options.limit], writer)
    work: Work = []
    for rows in writer.pending():
        chosen = np.arange(rows.stop - rows.start)
        there = np.array([manifest.cells[row] is not None for row in range(rows.start, rows.stop)])
        keep = bool(there.any() and not there.all())  # rows that are in the cache alone stay as they are
        work.append((rows, chosen[there] if keep else chosen, keep))
    pending = {rows.index for rows, _, _ in work}
    changed = [row for row in writer.changed if writer.range_of(row).index not in pending]
    work = sorted([*work, *_single_rows(changed, writer)], key=lambda part: part[0].start)
    if options.limit is None or not writer.ranges:
        return work
    stop = writer.ranges[0].start + options.limit  # a limit counts rows of the shard, also those that are done
    return [
        (rows, chosen if keep else chosen[: stop - rows.start], keep)
        for rows, chosen, keep in work
        if rows.start < stop
    ]


def _single_rows(rows: list[int], writer: RowWriter) -> Work:
    by_range = itertools.groupby(rows, key=writer.range_of)
    return [(part, np.array(list(members)) - part.start, True) for part, members in by_range]


class _Run:
    """One run of a job: reads ahead, encodes, and commits while the next range is being encoded."""

    def __init__(
        self, options: JobOptions, manifest: Manifest, encoder: Encoder, writer: RowWriter, progress: Progress
    ) -> None:
        self.options, self.manifest, self.encoder, self.writer = options, manifest, encoder, writer
        self.work = choose_work(options, writer, manifest)
        self.n_items = n_items = sum(len(chosen) for _, chosen, _ in self.work)
        self.committer = Committer(options, manifest, writer, n_items)
        self.progress = progress
        progress.expect(n_items)
        self.precision: dict[str, float] | None = None
        # features stay on a GPU while the next batch is launched, so that it never idles
        self.lag = 1 if encoder.device.type == "cuda" else 0
        self.in_flight: deque[tuple[RangeBuffer, Batch, np.ndarray, Pieces]] = deque()

    def say_start(self, extension: Extension | None) -> None:
        """Say what is about to happen, and where the first items are looked for."""
        total = sum(rows.stop - rows.start for rows in self.writer.ranges)
        amp = "" if self.encoder.dtype is None else f", autocast {str(self.encoder.dtype).removeprefix('torch.')}"
        amp += ", compiled" if self.options.compile else ""
        options, say = self.options, self.progress.say
        say(f"{options.model} ({options.weights}) on {self.encoder.device}{amp}: {self.n_items} of {total} rows to do")
        if extension is not None:
            say(str(extension))
        root = self.encoder.backbone.reader.files_in
        rows = itertools.chain.from_iterable(part.start + chosen for part, chosen, _ in self.work)
        cells = [cell for row in itertools.islice(rows, 10) if (cell := self.manifest.cells[row])]
        paths = [cell for cell in cells if isinstance(cell, str)]
        if root is not None and cells:
            shown = [str((root / cell).resolve()) if isinstance(cell, str) else str(cell) for cell in cells[:2]]
            say(f"the first: {', '.join(shown)}")
        if root is not None and paths and not any((root / cell).exists() for cell in paths):
            say(f"none of the first {len(paths)} is there; paths are relative to the manifest's folder")

    def go(self) -> dict[str, Any]:
        """Encode everything, and return the receipt.

        Raises
        ------
        KeyboardInterrupt, OSError
            As it came (the disk is full, say), with a word on what is done.
        """
        try:
            return self._go()
        except KeyboardInterrupt as stopped:
            raise type(stopped)(f"{self._done()}; the same command goes on") from None
        except OSError as error:
            if error.errno is None:
                raise
            raise type(error)(error.errno, f"{error.strerror}; {self._done()}", error.filename) from error

    def _done(self) -> str:
        total = sum(rows.stop - rows.start for rows in self.writer.ranges)
        return f"{self.writer.rows_done} of {total} rows are done and written"

    def _go(self) -> dict[str, Any]:
        began = time.perf_counter()
        workers = default_workers() if self.options.workers is None else self.options.workers
        reader = self.encoder.backbone.reader
        with ReadAhead(reader, workers, self.options.batch_size) as ahead, self.progress, self.committer:
            self._encode_all(ahead)
            self.committer.wait()
        receipt = self._receipt(time.perf_counter() - began, ahead.waited)
        self.progress.summary(receipt)
        return receipt

    def _tasks(self) -> Iterator[Task]:
        for rows, chosen, _ in self.work:
            step = len(chosen) if self.encoder.backbone.reader.whole_range else self.options.batch_size
            for start in range(0, len(chosen), step):
                part = tuple(int(rows.start + position) for position in chosen[start : start + step])
                cells = tuple(self.manifest.cells[row] or "" for row in part)
                yield Task(part, cells, start + step >= len(chosen))

    def _encode_all(self, ahead: ReadAhead) -> None:
        work = iter(self.work)
        buffer: RangeBuffer | None = None
        for task, chunk in ahead.read(self._tasks()):
            if buffer is None:
                rows, chosen, keep = next(work)
                buffer = RangeBuffer.empty(rows, self.encoder.backbone, chosen, keep)
            self._encode(buffer, chunk, np.array(task.rows) - buffer.rows.start)
            if chunk.rest is not None:
                continue
            self.progress.advance(len(task.rows), len(chunk.failures), ahead.waited)
            if task.last:
                self._collect(0)
                self.committer.hand_over(buffer, most=self.encoder.backbone.most_of is not None)
                buffer = None

    def _encode(self, buffer: RangeBuffer, chunk: Chunk, positions: np.ndarray) -> None:
        """Launch the batches of a chunk, whose items lie at these positions of the range."""
        buffer.add_chunk(chunk, positions)
        self.committer.check_strict(buffer)
        for batch in chunk.batches:
            began = time.perf_counter()
            pieces = self.encoder.encode(batch.inputs)
            buffer.add_seconds("infer", time.perf_counter() - began)
            if self.precision is None:
                self._measure_precision(batch, pieces)
            self.in_flight.append((buffer, batch, positions, pieces))
            self._collect(self.lag)

    def _collect(self, lag: int) -> None:
        """Take features off the device, but for the last `lag` batches."""
        while len(self.in_flight) > lag:
            buffer, batch, positions, pieces = self.in_flight.popleft()
            began = time.perf_counter()
            for part, features in pieces:
                if isinstance(features, Exception):
                    position = int(positions[batch.owners[part][0]])
                    buffer.failures[position] = failure(position, "encode", features)
                    self.committer.check_strict(buffer)
                    continue
                values = features.cpu().numpy()
                buffer.add_features(batch, part, values, positions)
            buffer.add_seconds("infer", time.perf_counter() - began)

    def _measure_precision(self, batch: Batch, pieces: Pieces) -> None:
        """Compare the first batch that was encoded in one piece with full precision."""
        (_, features), *others = pieces
        if others or isinstance(features, Exception):
            return
        self.precision = {}
        if self.options.dtype != "float32" or self.encoder.dtype is not None or self.options.compile:
            with suppress(RuntimeError):  # no memory to spare for it
                self.precision = self.encoder.precision(batch.inputs, features, self.options.dtype)

    def _receipt(self, wall: float, waited: float) -> dict[str, Any]:
        writer, committer = self.writer, self.committer
        total = sum(rows.stop - rows.start for rows in writer.ranges)
        seconds = {**committer.seconds, "wait": waited, "wall": wall}
        receipt = {
            "modality": self.options.name,
            "shard": list(self.options.shard),
            "total": total,
            "done": writer.rows_done,
            "complete": writer.rows_done == total and not writer.changed,
            "encoded": committer.encoded,
            "failed": committer.failed,
            "noted": committer.noted,
            "present": writer.rows_present,
            "errors": len(writer.errors()),
            "reasons": dict(Counter(error["exception"] for error in writer.errors()).most_common()),
            "notes": len(writer.remarks()),
            "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
            "items_per_second": round(committer.encoded / wall, 3) if wall else 0.0,
            "precision": self.precision or {},
            "batch_size": min(self.options.batch_size, self.encoder.max_units or self.options.batch_size),
        }
        return {**receipt, "problem": problem(receipt)}


def problem(receipt: dict[str, Any]) -> str | None:
    """Say what makes a job a failed one although it came to its end: nothing that it tried, or has, has features."""
    if receipt["encoded"] and receipt["failed"] == receipt["encoded"]:
        return f"not one of {receipt['encoded']} items could be encoded; errors.jsonl says why"
    if receipt["done"] and not receipt["present"]:
        return f"not one of {receipt['done']} items has features; errors.jsonl says why"
    return None
