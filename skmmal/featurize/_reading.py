"""Cells of the manifest become units, and units become batches; what is wrong with an item is its failure alone."""

from __future__ import annotations

import io
import itertools
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skmmal.featurize._cells import Cell, Held, located
from skmmal.featurize._contents import NONE, content_number, stamp_number
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

    Examples
    --------
    >>> import torch
    >>> from skmmal.featurize import Unit
    >>> Unit({"pixels": torch.zeros(3, 8, 8)}).weight
    1.0
    """

    inputs: Mapping[str, torch.Tensor]
    weight: float = 1.0
    length: int = 0
    slot: int = 0


class Reader(ABC):
    """Turns a cell of the manifest into units. Runs in workers, so it pickles, and it keeps no state.

    A reader of your own says what `fetch` and `decode` do; the others do well for tensors of one shape.

    Attributes
    ----------
    whole_range : bool
        Whether all rows of a range are read together, so that they can be sorted by length.
    pads : bool
        Whether `collate` pads units of different length.
    files_in : Path or None
        The folder that cells are relative to, where they name files: then files are looked at for changes.

    Examples
    --------
    >>> from skmmal.featurize import FileReader, Reader
    >>> issubclass(FileReader, Reader)
    True
    """

    whole_range = False
    pads = False
    files_in: Path | None = None

    @abstractmethod
    def fetch(self, cell: Any) -> Any:
        """Get the raw item.

        Parameters
        ----------
        cell : object
            What the manifest has: a text or a path as a string, or a file that lies elsewhere (in the manifest, an
            archive or a data set, or behind a URL), whose ``read()`` returns its bytes.

        Returns
        -------
        object
            What `decode` takes. Whatever is raised becomes the item's line in ``errors.jsonl``.
        """

    @abstractmethod
    def decode(self, raw: Any, notes: dict[str, int]) -> Iterable[Unit]:
        """Turn the raw item into units.

        Parameters
        ----------
        raw : object
            What `fetch` returned.
        notes : dict
            What is remarkable about the item goes here: `remark` keeps the words, ``notes[kind] += 1`` counts only.

        Returns
        -------
        iterable of Unit
            At least one.
        """

    def decode_from(self, raw: Any, notes: dict[str, int], first: int) -> Iterable[Unit]:
        """Give the units from the `first` on, of an item that is too long to be handed on at once.

        Parameters
        ----------
        raw : object
            As of `decode`.
        notes : dict
            As of `decode`.
        first : int
            Number of the first unit.

        Returns
        -------
        iterable of Unit
        """
        return itertools.islice(self.decode(raw, notes), first, None)

    def collate(self, units: Sequence[Unit]) -> dict[str, torch.Tensor]:
        """Make one batch of units.

        Parameters
        ----------
        units : sequence of Unit
            Of one or of several items.

        Returns
        -------
        dict of Tensor
            The units' inputs with a batch axis in front.
        """
        return {key: torch.stack([unit.inputs[key] for unit in units]) for key in units[0].inputs}


class FileReader(Reader):
    """A reader whose cells name files, by paths relative to the manifest or otherwise; `fetch` gives their bytes.

    Parameters
    ----------
    root : path
        The manifest's folder.

    Examples
    --------
    >>> from skmmal.featurize import FileReader
    >>> from skmmal.featurize.backbones import ImageReader
    >>> issubclass(ImageReader, FileReader)
    True
    """

    def __init__(self, root: str | Path) -> None:
        self.root = self.files_in = Path(root)

    def path(self, cell: str) -> Path:
        """Return the path of a cell; nothing there is an error that says so.

        Parameters
        ----------
        cell : str
            As the manifest has it.

        Returns
        -------
        Path
        """
        if not cell.strip():
            raise ValueError("empty cell: no path given")
        path = self.root / cell
        if not path.exists():
            raise FileNotFoundError(f"no such file{_near_miss(cell)}")
        return path

    def source(self, cell: str | Held) -> Path | io.BytesIO:
        """Return a file that is there and not empty, for a decoder that reads it piece by piece.

        Parameters
        ----------
        cell : str or object with ``read()``
            As of `Reader.fetch`.

        Returns
        -------
        Path or BytesIO
        """
        held = located(cell, self.root) if isinstance(cell, str) else cell
        source = self.path(held) if isinstance(held, str) else held.source()
        if _is_empty_file(source):
            raise ValueError("empty file (0 bytes)")
        return source

    def fetch(self, cell: str | Held) -> Any:
        held = located(cell, self.root) if isinstance(cell, str) else cell
        data = self.path(held).read_bytes() if isinstance(held, str) else held.read()
        if not data:
            raise ValueError("empty file (0 bytes)")
        return data


def _is_empty_file(source: Path | io.BytesIO) -> bool:
    if isinstance(source, io.BytesIO):
        return source.getbuffer().nbytes == 0
    return source.is_file() and source.stat().st_size == 0


def _near_miss(cell: str) -> str:
    """What is often meant by a path that is not there."""
    if cell.lstrip().startswith("~"):
        return "; '~' is not expanded in a manifest, write the whole path"
    if "\\" in cell:
        return "; it has backslashes, write the path with /"
    if ";" in cell or "|" in cell:
        return "; a cell holds one path"
    return ""


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
    made_of: dict[int, tuple[int, int]] = field(default_factory=dict)
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
    root = reader.files_in
    for position in range(first[0], len(cells)):
        stamp = stamp_number(cells[position], root)  # before it is read: a change meanwhile is found later
        chunk.made_of[position] = NONE, stamp
        if position in deadly:
            death = ChildProcessError("reading it kills the process that reads, twice")
            chunk.failures.append(failure(position, "decode", death))
            continue
        begin = first[1] if position == first[0] else 0
        stage, began, n_before, notes = "read", time.perf_counter(), len(units), Notes()
        n_given = begin
        try:
            raw = reader.fetch(cells[position])
            chunk.made_of[position] = content_number(cells[position], raw, root), stamp
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
            if stage == "read":
                chunk.made_of[position] = content_number(cells[position], root=root), stamp
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
