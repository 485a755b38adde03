"""Reading ahead: workers turn cells of the manifest into batches of tensors, in order, whatever happens to them."""

from __future__ import annotations

import io
import itertools
import multiprocessing
import os
import re
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skmmal.featurize._manifest import Cell, Embedded
from skmmal.featurize._notes import Notes

PART_BYTES = 2**28
"""Of units that are handed on together, once they fill a batch: long recordings do not fill the memory."""


@dataclass
class Unit:
    """What a backbone encodes at once: an image, a text, a window of sound, a clip, a frame.

    Parameters
    ----------
    inputs : mapping of str to Tensor
        Without a batch axis.
    weight : float
        In the mean over an item's units.
    length : int
        Units of equal length share a batch; where a reader pads, similar ones do.
    slot : int
        Place among an item's units, where these are kept apart.
    """

    inputs: Mapping[str, torch.Tensor]
    weight: float = 1.0
    length: int = 0
    slot: int = 0


class Reader(ABC):
    """Turns a cell of the manifest into units. Runs in workers, so it pickles, and it keeps no state."""

    whole_range = False
    """Whether all rows of a range are read together (so that they can be sorted by length)."""
    pads = False
    """Whether `collate` pads units of different length."""

    @abstractmethod
    def fetch(self, cell: Any) -> Any:
        """Get the raw item from disk."""

    @abstractmethod
    def decode(self, raw: Any, notes: dict[str, int]) -> Iterable[Unit]:
        """Turn the raw item into units; count remarkable things in `notes` (see `featurize._notes`)."""

    def decode_from(self, raw: Any, notes: dict[str, int], first: int) -> Iterable[Unit]:
        """Give the units from the `first` on, of an item that is too long to be handed on at once."""
        return itertools.islice(self.decode(raw, notes), first, None)

    def collate(self, units: Sequence[Unit]) -> dict[str, torch.Tensor]:
        """Make one batch of units."""
        return {key: torch.stack([unit.inputs[key] for unit in units]) for key in units[0].inputs}


class FileReader(Reader):
    """A reader whose cells are paths, relative to the manifest, or files that lie in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, cell: str) -> Path:
        """Return the path of a cell; nothing there is an error that says so."""
        if not cell.strip():
            raise ValueError("empty cell: no path given")
        path = self.root / cell
        if not path.exists():
            if re.match(r"[a-z][a-z0-9+.-]+://", cell.strip(), re.IGNORECASE):
                raise FileNotFoundError("a URL; the job reads files, so download it first")
            raise FileNotFoundError("no such file")
        return path

    def source(self, cell: Cell) -> Path | io.BytesIO:
        """Return a file that is there and not empty, for a decoder that reads it piece by piece."""
        if isinstance(cell, Embedded):
            return io.BytesIO(FileReader.fetch(self, cell))
        path = self.path(cell)
        if path.is_file() and path.stat().st_size == 0:
            raise ValueError("empty file (0 bytes)")
        return path

    def fetch(self, cell: Cell) -> Any:
        """Read the file's bytes."""
        data = cell.data if isinstance(cell, Embedded) else self.path(cell).read_bytes()
        if not data:
            raise ValueError("empty file (0 bytes)")
        return data


@dataclass
class Failure:
    """Why an item has no features."""

    position: int
    stage: str
    exception: str
    message: str


@dataclass
class Batch:
    """Units that are encoded together, and which item of the chunk each belongs to."""

    inputs: dict[str, torch.Tensor]
    owners: np.ndarray
    weights: np.ndarray
    slots: np.ndarray

    def __len__(self) -> int:
        return len(self.owners)


@dataclass
class Chunk:
    """What reading some consecutive rows gave, or a part of it: `rest` says which item and unit comes next."""

    batches: list[Batch] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    remarks: dict[int, dict[str, str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=lambda: {"read": 0.0, "decode": 0.0})
    rest: tuple[int, int] | None = None

    def add_notes(self, position: int, notes: Notes) -> None:
        """Take over what was noted about an item: what is only counted, and what is said in words."""
        for kind, count in notes.items():
            if kind not in notes.remarks:
                self.notes[kind] = self.notes.get(kind, 0) + count
        if notes.remarks:
            self.remarks[position] = notes.remarks


def failure(position: int, stage: str, error: BaseException, cell: object = "", root: Path | None = None) -> Failure:
    """Describe an exception in one line, the same in every run: without addresses and the place of the manifest."""
    message = str(error)
    if root is not None:
        for folder in (root.absolute(), root):
            message = message.replace(str(folder / str(cell)), str(cell)).replace(f"{folder}{os.sep}", "")
    message = re.sub(r" at 0x[0-9a-fA-F]+", "", message)
    return Failure(position, stage, type(error).__name__, " ".join(message.split())[:500])


def read_chunk(
    reader: Reader,
    cells: Sequence[Cell],
    batch_size: int,
    first: tuple[int, int] = (0, 0),
    deadly: frozenset[int] = frozenset(),
) -> Chunk:
    """Read some items, or a part of them. Whatever goes wrong with one of them is its failure alone.

    Parameters
    ----------
    reader : Reader
    cells : sequence
    batch_size : int
    first : (int, int)
        Item and unit to begin with, where an earlier part ended.
    deadly : frozenset of int
        Items not to touch: they end the process.
    """
    chunk = Chunk()
    units: list[Unit] = []
    owners: list[int] = []
    n_bytes = 0
    root = getattr(reader, "root", None)
    for position in range(first[0], len(cells)):
        if position in deadly:
            death = ChildProcessError("reading it kills the process that reads, twice")
            chunk.failures.append(failure(position, "decode", death))
            continue
        begin = first[1] if position == first[0] else 0
        stage, began, n_before, notes = "read", time.perf_counter(), len(units), Notes()
        n_given = begin
        try:
            raw = reader.fetch(cells[position])
            stage, between = "decode", time.perf_counter()
            chunk.seconds["read"] += between - began
            began = between
            found = reader.decode_from(raw, notes, begin) if begin else reader.decode(raw, notes)
            for unit in found:
                if n_bytes >= PART_BYTES and len(units) % batch_size == 0:
                    chunk.rest = position, n_given
                    break
                n_given += 1
                units.append(unit)
                owners.append(position)
                n_bytes += sum(value.nbytes for value in unit.inputs.values())
            if n_given == 0 and chunk.rest is None:
                raise ValueError("nothing in it to encode")
            if chunk.rest is None:
                chunk.add_notes(position, notes)
        except Exception as error:
            chunk.failures.append(failure(position, stage, error, cells[position], root))
            del units[n_before:], owners[n_before:]
        chunk.seconds[stage] += time.perf_counter() - began
        if chunk.rest is not None:
            break
    began = time.perf_counter()
    for members in plan_batches([unit.length for unit in units], batch_size, mixed=reader.pads):
        _collate(reader, units, owners, members, chunk)
    chunk.seconds["decode"] += time.perf_counter() - began
    return chunk


def _collate(reader: Reader, units: Sequence[Unit], owners: Sequence[int], members: list[int], chunk: Chunk) -> None:
    """Make a batch, or smaller ones where units do not go together; one that makes none alone is a failure."""
    chosen = [units[i] for i in members]
    try:
        inputs = reader.collate(chosen)
    except Exception as error:
        if len(members) > 1:
            middle = len(members) // 2
            for half in (members[:middle], members[middle:]):
                _collate(reader, units, owners, half, chunk)
        else:
            chunk.failures.append(failure(owners[members[0]], "decode", error))
        return
    chunk.batches.append(
        Batch(
            inputs,
            np.array([owners[i] for i in members]),
            np.array([unit.weight for unit in chosen], dtype=np.float32),
            np.array([unit.slot for unit in chosen]),
        )
    )


def plan_batches(lengths: Sequence[int], batch_size: int, *, mixed: bool) -> list[list[int]]:
    """Say which units share a batch: neighbours in length; of equal length unless `mixed`.

    Depends on the lengths and the batch size alone, so that a resumed job encodes the same batches.

    Examples
    --------
    >>> plan_batches([5, 3, 5, 3, 4], 2, mixed=True)
    [[1, 3], [4, 0], [2]]
    >>> plan_batches([5, 3, 5, 3, 4], 2, mixed=False)
    [[1, 3], [4], [0, 2]]
    """
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    batches: list[list[int]] = []
    for i in order:
        full = not batches or len(batches[-1]) == batch_size
        if full or (not mixed and lengths[i] != lengths[batches[-1][-1]]):
            batches.append([])
        batches[-1].append(i)
    return batches


# -------------------------------------------------------------------------------------------------- read-ahead


@dataclass(frozen=True)
class Task:
    """Rows to read together: the cells of some positions of a range."""

    range_index: int
    rows: tuple[int, ...]
    cells: tuple[Cell, ...]
    last: bool  # of its range
    deadly: frozenset[int] = frozenset()  # positions that end the process that reads them


_reader: Reader | None = None  # of this worker process


def _begin_worker(reader: Reader, parent: int) -> None:
    global _reader
    _reader = reader
    torch.set_num_threads(1)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    """End this worker when its job is gone: a killed job cannot tell its workers to stop."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _read_in_worker(
    cells: Sequence[Cell], batch_size: int, first: tuple[int, int], deadly: frozenset[int]
) -> Chunk:
    assert _reader is not None
    return read_chunk(_reader, cells, batch_size, first, deadly)


class ReadAhead:
    """Reads tasks in workers, and hands them out in their order.

    Processes where the job may have children, threads where it may not (inside a Dask worker). A worker that
    dies (a decoder that crashes, the out-of-memory killer) takes nothing with it: what was in flight is read
    again item by item, each in a fresh process, and the item that kills that one too is its failure.

    Parameters
    ----------
    reader : Reader
    workers : int
        0 reads in this thread, when asked.
    batch_size : int
    """

    def __init__(self, reader: Reader, workers: int, batch_size: int) -> None:
        self.reader, self.workers, self.batch_size = reader, workers, batch_size
        self.waited = 0.0
        self._pool: Executor | None = None

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def read(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Chunk]]:
        """Yield each task with what was read, in parts where that is long.

        `waited` adds up the seconds without work for the caller.
        """
        ahead: deque[tuple[Task, Future[Chunk] | None]] = deque()
        source = iter(tasks)
        while True:
            while len(ahead) < 2 * self.workers + 1 and (task := next(source, None)) is not None:
                ahead.append((task, self._submit(task)))
            if not ahead:
                return
            task, future = ahead.popleft()
            first = (0, 0)
            while True:
                began = time.perf_counter()
                try:
                    chunk = future.result() if future is not None else self._read_here(task, first)
                except BrokenProcessPool:
                    task, chunk = self._read_carefully(task, first)
                    self._pool = None
                    ahead = deque((other, self._resubmit(other, future)) for other, future in ahead)
                self.waited += time.perf_counter() - began
                if chunk.rest is None:
                    break
                first = chunk.rest
                future = self._submit(task, first)  # read while the caller encodes
                yield task, chunk
            yield task, chunk

    def _read_here(self, task: Task, first: tuple[int, int]) -> Chunk:
        return read_chunk(self.reader, task.cells, self.batch_size, first, task.deadly)

    def _submit(self, task: Task, first: tuple[int, int] = (0, 0)) -> Future[Chunk] | None:
        if self.workers == 0:
            return None
        if self._pool is None:
            self._pool = _process_pool(self.reader, self.workers) if _may_fork() else ThreadPoolExecutor(self.workers)
        try:
            if isinstance(self._pool, ProcessPoolExecutor):
                return self._pool.submit(_read_in_worker, task.cells, self.batch_size, first, task.deadly)
            return self._pool.submit(self._read_here, task, first)
        except BrokenProcessPool as error:  # a worker died since the last result
            broken: Future[Chunk] = Future()
            broken.set_exception(error)
            return broken

    def _resubmit(self, task: Task, future: Future[Chunk] | None) -> Future[Chunk] | None:
        if future is not None and future.done() and future.exception() is None:
            return future
        return self._submit(task)

    def _read_carefully(self, task: Task, first: tuple[int, int]) -> tuple[Task, Chunk]:
        """Read items apart until the deadly ones are known, then the others together, as ever."""
        deadly = set(task.deadly)
        pool = _process_pool(self.reader, 1)
        for position in range(first[0], len(task.cells)):
            begin: tuple[int, int] | None = (0, first[1] if position == first[0] else 0)
            try:
                while begin is not None:
                    arguments = ((task.cells[position],), self.batch_size, begin, frozenset[int]())
                    begin = pool.submit(_read_in_worker, *arguments).result().rest
            except BrokenProcessPool:
                deadly.add(position)
                pool = _process_pool(self.reader, 1)
        task = replace(task, deadly=frozenset(deadly))
        chunk = pool.submit(_read_in_worker, task.cells, self.batch_size, first, task.deadly).result()
        pool.shutdown()
        return task, chunk


def default_workers() -> int:
    """Return how many workers read ahead where the user does not say: the cores, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)


def _may_fork() -> bool:
    """Whether this process may have child processes: Dask's workers may not, Ray's should not."""
    ray = sys.modules.get("ray")
    in_ray = False
    if ray is not None:
        with suppress(Exception):
            in_ray = ray.get_runtime_context().worker.mode == 1
    return not multiprocessing.current_process().daemon and not in_ray


def _process_pool(reader: Reader, workers: int) -> ProcessPoolExecutor:
    # forked workers start at once; elsewhere each of them has to import torch first
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    return ProcessPoolExecutor(workers, context, initializer=_begin_worker, initargs=(reader, os.getpid()))
