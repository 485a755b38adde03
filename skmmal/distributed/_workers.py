"""Who holds the shards and answers for them: this process, actors of Dask, or actors of Ray."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from skmmal.distributed._parts import Part
from skmmal.modalities import MultimodalArray, presence_mask

__all__ = ["Shard", "WorkerLostError", "Workers", "packed", "unpacked", "workers_of"]


class WorkerLostError(RuntimeError):
    """A worker that holds shards of a pool is gone.

    Examples
    --------
    >>> from skmmal.distributed import WorkerLostError
    >>> issubclass(WorkerLostError, RuntimeError)
    True
    """


class Shard:
    """Rows of a pool where they are held, and what is kept of them from one question to the next."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self.views: dict[int, Any] = {}
        self.subsets: dict[int, Shard] = {}

    def __len__(self) -> int:
        return len(self._part)

    @cached_property
    def X(self) -> MultimodalArray:
        """The rows."""
        return self._part.open()

    @cached_property
    def present(self) -> np.ndarray:
        """Which row has which modality."""
        return presence_mask(self.X)


class Holder:
    """What runs on a worker: its shards, and the answers to what they are asked."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._shards = [Shard(part) for part in parts]

    def answer(self, message: bytes) -> bytes:
        """Call a function with every shard that is asked; an error is an answer, too."""
        function, shared, own = pickle.loads(message)
        answers = []
        try:
            for shard, arguments in zip(self._shards, own, strict=True):
                answers.append(None if arguments is None else function(shard, *shared, *arguments))
        except Exception as error:
            return packed(error)
        return packed(answers)


def packed(values: Any) -> bytes:
    """What travels: also functions and classes of a notebook, where cloudpickle is installed (Dask and Ray need it)."""
    try:
        from cloudpickle import dumps
    except ImportError:
        from pickle import dumps
    return dumps(values, protocol=5)


def unpacked(message: bytes) -> Any:
    """What was packed; an error is raised."""
    values = pickle.loads(message)
    if isinstance(values, Exception):
        raise values
    return values


class Workers(ABC):
    """Holders of shards, each asked by a message; `ask` waits for all."""

    @abstractmethod
    def start(self, dealt: Sequence[Sequence[Part]]) -> None:
        """Make a holder for each list of parts."""

    @abstractmethod
    def ask(self, messages: Sequence[bytes | None]) -> list[bytes | None]:
        """Send each holder its message, if there is one, and return their answers."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many there can be now."""

    @abstractmethod
    def stop(self) -> None:
        """Let go of the holders."""


class InProcess(Workers):
    """Holders in this process, one after the other."""

    count = 1

    def start(self, dealt: Sequence[Sequence[Part]]) -> None:
        self._holders = [Holder(parts) for parts in dealt]

    def ask(self, messages: Sequence[bytes | None]) -> list[bytes | None]:
        pairs = zip(self._holders, messages, strict=True)
        return [None if message is None else holder.answer(message) for holder, message in pairs]

    def stop(self) -> None:
        self._holders = []


class OnDask(Workers):
    """Actors of a Dask client's workers."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def count(self) -> int:
        return len(self._client.nthreads())

    def start(self, dealt: Sequence[Sequence[Part]]) -> None:
        names = sorted(self._client.nthreads())
        if not names:
            raise WorkerLostError("the Dask client has no workers")
        futures = [
            self._client.submit(Holder, list(parts), actor=True, workers=[names[at % len(names)]], pure=False)
            for at, parts in enumerate(dealt)
        ]
        self._futures, self._actors = futures, [future.result() for future in futures]

    def ask(self, messages: Sequence[bytes | None]) -> list[bytes | None]:
        try:
            waiting = [
                None if message is None else actor.answer(message)
                for actor, message in zip(self._actors, messages, strict=True)
            ]
            return [None if each is None else each.result() for each in waiting]
        except Exception as error:  # what holders raise are answers: this is the cluster's own
            raise WorkerLostError(_LOST.format(error=error)) from error

    def stop(self) -> None:
        self._futures, self._actors = [], []


class OnRay(Workers):
    """Actors of Ray."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        if not ray.is_initialized():
            ray.init()

    @property
    def count(self) -> int:
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def start(self, dealt: Sequence[Sequence[Part]]) -> None:
        kind = self._ray.remote(Holder)
        self._actors = [kind.remote(list(parts)) for parts in dealt]

    def ask(self, messages: Sequence[bytes | None]) -> list[bytes | None]:
        asked = [at for at, message in enumerate(messages) if message is not None]
        found: list[bytes | None] = [None] * len(messages)
        try:
            answers = self._ray.get([self._actors[at].answer.remote(messages[at]) for at in asked])
        except self._ray.exceptions.RayError as error:
            raise WorkerLostError(_LOST.format(error=error)) from error
        for at, answer in zip(asked, answers, strict=True):
            found[at] = answer
        return found

    def stop(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []


_LOST = (
    "a worker of the pool is gone, and its rows with it: nothing was picked. `pool.reopen()` opens them on the workers "
    "that are there; then ask again ({error})"
)


def workers_of(client: Any) -> Workers:
    """Who is to hold shards: ``None`` is this process, a Dask client its cluster, the module ``ray`` its own."""
    if client is None:
        return InProcess()
    if getattr(client, "__name__", None) == "ray":
        return OnRay(client)
    if hasattr(client, "submit") and hasattr(client, "nthreads"):
        return OnDask(client)
    raise TypeError(f"client must be None, a dask.distributed.Client, or the module ray, got {type(client).__name__}")
