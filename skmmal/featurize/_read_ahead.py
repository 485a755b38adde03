"""Reading ahead: workers turn cells of the manifest into batches, in order, whatever happens to the workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace

import torch

from skmmal.featurize._cells import Cell
from skmmal.featurize._reading import Chunk, Reader, read_chunk


@dataclass(frozen=True)
class Task:
    """Rows of a range to read together, and their cells."""

    rows: tuple[int, ...]
    cells: tuple[Cell, ...]
    last: bool  # of its range
    deadly: frozenset[int] = frozenset()  # positions that end the process that reads them


_reader: Reader | None = None  # of this worker process


def _begin_worker(reader: Reader, parent: int) -> None:
    global _reader
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked worker has the job's handler
    _reader = reader
    torch.set_num_threads(1)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    """End this worker when its job is gone: a killed job cannot tell its workers to stop."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _read_in_worker(cells: Sequence[Cell], batch_size: int, first: tuple[int, int], deadly: frozenset[int]) -> Chunk:
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
            self._pool = _process_pool(self.reader, self.workers) if may_fork() else ThreadPoolExecutor(self.workers)
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


def may_fork() -> bool:
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
