"""What a pool is made of: rows of files, cut into parts that one worker can open on its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np

from skmmal._paths import is_url, place_of
from skmmal.distributed._files import mark_of, npy_rows, npy_shape, opened, suffix_of
from skmmal.features import FeatureStore
from skmmal.modalities import MultimodalArray
from skmmal.modalities._blocks import as_block

__all__ = ["Part", "cut", "find_parts", "places_of"]


@dataclass(frozen=True)
class Part(ABC):
    """Rows ``start:stop`` of some files; what is sent to a worker in place of them."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @abstractmethod
    def open(self) -> MultimodalArray:
        """The rows: mapped where the files are local arrays, read where not."""

    @abstractmethod
    def mark(self) -> Any:
        """What tells, without reading values, that they are those of before; ``None`` where nothing does."""

    def cuts(self) -> np.ndarray:
        """Where it may be cut in two, beginning and end included."""
        return np.arange(self.start, self.stop + 1)

    def between(self, start: int, stop: int) -> Self:
        """Some of its rows."""
        return replace(self, start=start, stop=stop)


@dataclass(frozen=True)
class ArrayPart(Part):
    """Rows of .npy files, one for each modality, and where row `start` is in each."""

    files: tuple[tuple[str, str, int], ...]

    def open(self) -> MultimodalArray:
        files = self.files
        return MultimodalArray(
            {name: npy_rows(place, self.start - shift, self.stop - shift) for name, place, shift in files}
        )

    def mark(self) -> Any:
        return [len(self), [[name, self.start - shift, mark_of(place)] for name, place, shift in self.files]]


@dataclass(frozen=True)
class StorePart(Part):
    """Rows of a feature cache."""

    folder: str

    def open(self) -> MultimodalArray:
        return FeatureStore.open(self.folder).load(slice(self.start, self.stop))

    def mark(self) -> Any:
        return FeatureStore.open(self.folder).files.checksum()


@dataclass(frozen=True)
class ParquetPart(Part):
    """Rows of a Parquet file, whole groups of them."""

    place: str
    group_ends: tuple[int, ...]
    names: tuple[str, ...]

    def mark(self) -> Any:
        return [len(self), list(self.names), mark_of(self.place)]

    def cuts(self) -> np.ndarray:
        ends = np.asarray([0, *self.group_ends])
        return ends[(ends >= self.start) & (ends <= self.stop)]

    def open(self) -> MultimodalArray:
        import pyarrow.parquet as parquet

        blocks: dict[str, np.ndarray] = {}
        with opened(self.place) as file:
            table = parquet.ParquetFile(file)
            for group, (begin, end) in enumerate(pairwise([0, *self.group_ends])):
                if begin < self.start or end > self.stop:
                    continue
                rows = table.read_row_group(group, columns=list(self.names))
                for name in self.names:
                    values = as_block(name, rows[name])
                    if name not in blocks:  # all rows' room at once: groups are not kept beside it
                        blocks[name] = np.empty((len(self), *values.shape[1:]), dtype=values.dtype)
                    if values.shape[1:] != blocks[name].shape[1:]:
                        raise ValueError(
                            f"{self.place}: modality {name!r} has {values.shape[1:]} numbers a row in group {group}, "
                            f"{blocks[name].shape[1:]} before"
                        )
                    blocks[name][begin - self.start : end - self.start] = values
        return MultimodalArray(blocks)


def find_parts(paths: Any, id_column: str) -> tuple[list[Part], list[str] | None]:
    """Parts of files, in the order in which their rows are the pool's, and the rows' ids where the files have them.

    Raises
    ------
    TypeError, ValueError
        A path that cannot be served, files that do not go together.
    """
    places = places_of(paths)
    if isinstance(places, dict):
        return _array_parts(places), None
    if not places:
        raise ValueError("paths is empty: there is nothing to open")
    parts: list[Part] = []
    ids: list[str] | None = []
    for place in places:
        if suffix_of(place) == ".npy":
            raise ValueError(f"paths: {place} is an .npy file, which names no modality; give {{'image': {place!r}}}")
        files = _parquet_files(place)
        if files:
            for file in files:
                part, own = _parquet_part(file, id_column)
                parts.append(part)
                ids = None if ids is None or own is None else ids + own
        elif is_url(place):
            raise ValueError(
                f"paths: {place!r} holds no Parquet files; of URLs, .npy files (in a mapping by modality) and Parquet "
                "are served, feature caches from a disk that all machines share"
            )
        else:
            store = FeatureStore.open(place)
            parts.append(StorePart(0, len(store), place))
            ids = None if ids is None else ids + store.ids.tolist()
    return [part for part in parts if len(part)], ids


def cut(parts: Sequence[Part], n_workers: int) -> list[list[Part]]:
    """Deal parts out to workers in their order, as many rows to each as the files allow; large ones are cut."""
    total = sum(map(len, parts))
    most = -(-total // n_workers)
    dealt: list[list[Part]] = [[] for _ in range(n_workers)]
    at = 0
    for part in parts:
        cuts = part.cuts()
        begin = part.start
        while begin < part.stop:
            worker = min(at // most, n_workers - 1)
            wanted = begin + (worker + 1) * most - at
            # the last cut that leaves no more rows than wanted, or the first there is
            end = int(max(cuts[cuts > begin][0], cuts[cuts <= max(wanted, begin)][-1]))
            dealt[worker].append(part.between(begin, end))
            at += end - begin
            begin = end
    return dealt


def places_of(paths: Any) -> dict[str, list[str]] | list[str]:
    """Where the files are, as `find_parts` takes paths: absolute local ones, and URLs."""
    if not isinstance(paths, Mapping):
        return [place_of(path) for path in (paths if isinstance(paths, list | tuple) else [paths])]
    return {
        name: [place_of(path, f"paths[{name!r}]") for path in (given if isinstance(given, list | tuple) else [given])]
        for name, given in paths.items()
    }


def _array_parts(files: dict[str, list[str]]) -> list[Part]:
    """Parts of .npy files by modality; files of one modality follow one another."""
    if not files:
        raise ValueError("paths is empty: there is nothing to open")
    ends: dict[str, np.ndarray] = {}
    for name in files:
        odd = [place for place in files[name] if suffix_of(place) != ".npy"]
        if odd or not files[name]:
            raise ValueError(f"paths[{name!r}] must be .npy files, found {odd[0] if odd else 'none'}")
        shapes = [npy_shape(place) for place in files[name]]
        if len({(shape[1:], dtype) for shape, dtype in shapes}) > 1:
            raise ValueError(f"paths[{name!r}]: the files differ in columns or dtype: {shapes}")
        ends[name] = np.cumsum([0, *(shape[0] for shape, _ in shapes)])
    totals = {name: int(each[-1]) for name, each in ends.items()}
    if len(set(totals.values())) > 1:
        raise ValueError(f"paths: modalities differ in rows: {totals}")
    borders = np.unique(np.concatenate(list(ends.values())))
    parts: list[Part] = []
    for begin, end in pairwise(borders.tolist()):
        at = {name: int(np.searchsorted(each, begin, side="right")) - 1 for name, each in ends.items()}
        parts.append(ArrayPart(begin, end, tuple((name, files[name][f], int(ends[name][f])) for name, f in at.items())))
    return parts


def _parquet_files(place: str) -> list[str]:
    """The Parquet files at a place, in the order of their names; none where it is something else."""
    if suffix_of(place) == ".parquet":
        return [place]
    if not is_url(place):
        return sorted(str(path) for path in Path(place).rglob("*.parquet"))
    import fsspec

    system, path = fsspec.core.url_to_fs(place)
    return [system.unstrip_protocol(each) for each in sorted(system.find(path)) if each.endswith(".parquet")]


def _parquet_part(place: str, id_column: str) -> tuple[Part, list[str] | None]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    with opened(place) as file:
        table = parquet.ParquetFile(file)
        kinds = {field.name: field.type for field in table.schema_arrow}
        lists = (arrow.types.is_list, arrow.types.is_large_list, arrow.types.is_fixed_size_list)
        names = tuple(name for name, kind in kinds.items() if any(is_kind(kind) for is_kind in lists))
        if not names:
            raise ValueError(f"{place} has no column of vectors; it has {list(kinds)}")
        groups = [table.metadata.row_group(group).num_rows for group in range(table.num_row_groups)]
        ids = None
        if id_column in kinds:
            ids = [str(each) for each in table.read(columns=[id_column])[id_column].to_pylist()]
    ends = tuple(np.cumsum(groups).tolist())
    return ParquetPart(0, sum(groups), place, ends, names), ids
