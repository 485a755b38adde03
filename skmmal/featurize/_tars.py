"""Tar shards as webdataset writes them: files whose names are equal up to the first dot are a sample."""

from __future__ import annotations

import glob
import itertools
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from skmmal._paths import is_url, opened, place_of
from skmmal.featurize._cells import Cell, Member, Views

SUFFIXES = {
    "image": ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm"),
    "audio": ("wav", "flac", "mp3", "ogg", "opus", "m4a", "aac", "wma"),
    "video": ("mp4", "mkv", "webm", "avi", "mov", "mpg", "mpeg", "ts"),
    "text": ("txt",),
}
"""What a column stands for where none is named."""

KEY, SHARD_KEY = "id", "shard/key"
"""What ``--id-column`` may be: a sample's key, the default, or its shard's name and its key."""


def is_tar(place: object) -> bool:
    """Whether something names tar shards; those that are packed are refused later, with the way out."""
    return re.search(r"\.(tar(\.(gz|bz2|xz|zst))?|tgz)(::|$)", str(place)) is not None


def expanded(pattern: str) -> list[str]:
    """Return the names that braces stand for, as in a shell, or the files that ``*`` and ``?`` match.

    Examples
    --------
    >>> expanded("s3://b/{train,test}-{008..010}.tar")[:3]
    ['s3://b/train-008.tar', 's3://b/train-009.tar', 's3://b/train-010.tar']
    """
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = [_choices(part, pattern) if place % 2 else [part] for place, part in enumerate(parts)]
    names = ["".join(chosen) for chosen in itertools.product(*choices)]
    if is_url(pattern) or not glob.has_magic(pattern):
        return names
    found = [sorted(glob.glob(name)) for name in names]
    if not all(found):
        raise ValueError(f"no file is called {names[found.index([])]}")
    return list(itertools.chain.from_iterable(found))


def _choices(braces: str, pattern: str) -> list[str]:
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", braces)
    if numbers is None:
        if "," not in braces:
            raise ValueError(f"{pattern}: braces hold a range such as {{000..127}}, or names with commas between")
        return braces.split(",")
    first, last = numbers.groups()
    if int(last) < int(first):
        raise ValueError(f"{pattern}: the range {{{braces}}} is empty")
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


@dataclass(frozen=True)
class _Field:
    """A value in the JSON members of samples: ``json.caption``, ``meta.json.user.name``."""

    suffix: str
    names: tuple[str, ...]

    @classmethod
    def named(cls, column: str | None) -> _Field | None:
        """Return the field that a column names, None if it names none."""
        found = re.fullmatch(r"((?:.*?\.)?json)\.(.+)", column or "", re.IGNORECASE)
        return None if found is None else cls(found[1].lower(), tuple(found[2].split(".")))

    def value(self, sample: _Sample) -> Any:
        """Return its value, None where a sample has none."""
        if self.suffix not in sample.texts:
            return None
        try:
            found = json.loads(sample.texts[self.suffix])
        except ValueError as error:
            raise ValueError(f"{sample.members[self.suffix]}: not JSON ({error})") from None
        for name in self.names:
            found = found.get(name) if isinstance(found, dict) else None
        return found


@dataclass
class _Sample:
    """A sample's key, its members by suffix, and the contents of those that are read at once."""

    shard: str
    key: str
    members: dict[str, Member]
    texts: dict[str, str]


def read_tars(
    pattern: str, kind: str, column: str | None, id_column: str, several: bool
) -> tuple[list[str], list[Cell]]:
    """Return the keys of samples, and the member of each that is wanted; files stay in the shards until they are read.

    Parameters
    ----------
    pattern : str
        See `expanded`.
    kind : {"image", "text", "audio", "video"}
    column : str, optional
        Suffixes, with semicolons between, of which a sample has at most one. Default: those of the kind. Of texts also
        a field of the samples' JSON members: ``json.caption``.
    id_column : str
        ``id`` for keys, ``shard/key``, or a field such as ``json.uid``.
    several : bool
        Whether a sample may have several such files: ``0.jpg``, ``1.jpg``, in the order of their suffixes.
    """
    field, id_field = (_Field.named(name) for name in (column, id_column))
    if id_column not in (KEY, SHARD_KEY) and id_field is None:
        raise ValueError(
            f"{pattern}: samples go by their keys, by --id-column {SHARD_KEY}, or by a field of their JSON members "
            f"(json.NAME), got {id_column!r}"
        )
    if field is not None and kind != "text":
        raise ValueError(f"{pattern}: --column {column} is a text of a JSON member; {kind} files are members")
    suffixes = SUFFIXES[kind] if column in (None, kind) else tuple(str(column).lower().split(";"))

    def is_text(suffix: str) -> bool:
        if suffix in {each.suffix for each in (field, id_field) if each is not None}:
            return True
        return kind == "text" and field is None and _is_of(suffix, suffixes, several)

    ids: list[str] = []
    cells: list[Cell] = []
    shards: list[str] = []
    for shard in expanded(pattern):
        for sample in _samples(place_of(shard, "manifest") if is_url(shard) else shard, is_text):
            shards.append(sample.shard)
            ids.append(_identifier(sample, id_column, id_field))
            cells.append(_cell(sample, suffixes, several) if field is None else _text(sample, field, several))
    if cells and not any(cells):
        what = f"a file with the suffix {', '.join(suffixes)}" if field is None else f"a text as {column}"
        raise ValueError(f"{pattern}: no sample has {what}; see --column")
    _check_keys(ids, shards)
    return ids, cells


def _identifier(sample: _Sample, id_column: str, field: _Field | None) -> str:
    if field is None:
        return f"{sample.shard}/{sample.key}" if id_column == SHARD_KEY else sample.key
    found = field.value(sample)
    if isinstance(found, str | int) and not isinstance(found, bool):
        return str(found)
    raise ValueError(f"{sample.shard}, sample {sample.key!r}: {id_column} must be a text or a number, found {found!r}")


def _cell(sample: _Sample, suffixes: tuple[str, ...], several: bool) -> Cell:
    wanted = sorted(suffix for suffix in sample.members if _is_of(suffix, suffixes, several))
    if len(wanted) > 1 and not several:
        raise ValueError(
            f"{sample.shard}: sample {sample.key!r} has {' and '.join(wanted)}; say which with --column, or take them "
            "together with --views"
        )
    found = [sample.texts[suffix] if suffix in sample.texts else sample.members[suffix] for suffix in wanted]
    return "" if not found else Views(tuple(found)) if several else found[0]


def _text(sample: _Sample, field: _Field, several: bool) -> Cell:
    found = field.value(sample)
    parts = found if several and isinstance(found, list) else [found]
    if not all(part is None or isinstance(part, str) for part in parts):
        hint = "; several of them go with --views" if isinstance(found, list) and not several else ""
        raise ValueError(
            f"{sample.shard}, sample {sample.key!r}: {'.'.join(field.names)} must be a text, found "
            f"{type(found).__name__}{hint}"
        )
    texts = tuple(part or "" for part in parts)
    return "" if not any(texts) else Views(texts) if several else texts[0]


def _is_of(suffix: str, suffixes: tuple[str, ...], several: bool) -> bool:
    return suffix in suffixes or (several and suffix.rpartition(".")[2] in suffixes)


def _check_keys(ids: list[str], shards: list[str]) -> None:
    first: dict[str, int] = {}
    for row, key in enumerate(ids):
        before = first.setdefault(key, row)
        if before != row and shards[before] != shards[row]:
            raise ValueError(
                f"the key {key!r} stands in {shards[before]} and in {shards[row]}; keys must be distinct: "
                f"--id-column {SHARD_KEY} puts the shard in front"
            )
        if before != row:
            raise ValueError(f"{shards[row]}: the key {key!r} stands in two places; a sample's files follow each other")


def _samples(place: str, is_text: Callable[[str], bool]) -> Iterator[_Sample]:
    """Yield a shard's samples in its order; members that hold texts are read."""
    shard = place.rpartition("/")[2]
    for key, group in itertools.groupby(_members(place, is_text), key=lambda part: part[0]):
        sample = _Sample(shard, key, {}, {})
        for _, suffix, member, text in group:
            if suffix in sample.members:
                raise ValueError(f"{place}: {member.name} stands there twice")
            sample.members[suffix] = member
            if text is not None:
                sample.texts[suffix] = text
        yield sample


def _members(place: str, is_text: Callable[[str], bool]) -> Iterator[tuple[str, str, Member, str | None]]:
    try:
        with opened(place) as file, tarfile.open(fileobj=file, mode="r:") as opened_archive:
            archive: Any = opened_archive
            for entry in archive:
                folder, slash, name = entry.name.rpartition("/")
                key, dot, suffix = name.partition(".")
                if entry.isfile() and dot and key and not (name.startswith(("__", "._")) or "/._" in entry.name):
                    member = Member(place, entry.name, entry.offset_data, entry.size, float(entry.mtime))
                    suffix = suffix.lower()
                    text = _decoded(member, archive.extractfile(entry).read()) if is_text(suffix) else None
                    yield f"{folder}{slash}{key}", suffix, member, text
                archive.members = []  # of a shard of a million files it would keep them all
    except tarfile.TarError as error:
        packed = re.search(r"\.(tar\.(gz|bz2|xz|zst)|tgz)", place) is not None
        hint = "it is packed, so that its members cannot be read one by one; unpack it (gunzip)" if packed else error
        raise ValueError(f"{place} cannot be read as a tar shard: {hint}") from None
    except OSError as error:
        raise ValueError(f"{place} cannot be read as a tar shard: {error}") from error


def _decoded(member: Member, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{member}: not UTF-8") from None
