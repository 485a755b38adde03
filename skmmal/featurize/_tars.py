"""Tar shards as webdataset writes them: files whose names are equal up to the first dot are a sample."""

from __future__ import annotations

import glob
import itertools
import re
import tarfile
from collections.abc import Iterator
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
        Suffixes, with semicolons between, of which a sample has at most one. Default: those of the kind.
    id_column : str
        ``id`` for keys, or ``shard/key``.
    several : bool
        Whether a sample may have several such files: ``0.jpg``, ``1.jpg``, in the order of their suffixes.
    """
    if id_column not in (KEY, SHARD_KEY):
        raise ValueError(f"{pattern}: samples go by their keys, or --id-column {SHARD_KEY}, got {id_column!r}")
    suffixes = SUFFIXES[kind] if column in (None, kind) else tuple(str(column).lower().split(";"))
    ids: list[str] = []
    cells: list[Cell] = []
    shards: list[str] = []
    for shard in expanded(pattern):
        place = place_of(shard, "manifest") if is_url(shard) else shard
        name = place.rpartition("/")[2]
        for key, members in _samples(place):
            wanted = sorted(suffix for suffix in members if _is_of(suffix, suffixes, several))
            if len(wanted) > 1 and not several:
                raise ValueError(
                    f"{name}: sample {key!r} has {' and '.join(wanted)}; say which with --column, or take them "
                    "together with --views"
                )
            ids.append(f"{name}/{key}" if id_column == SHARD_KEY else key)
            shards.append(name)
            found = [_content(members[suffix], kind) for suffix in wanted]
            cells.append("" if not found else Views(tuple(found)) if several else found[0])
    if cells and not any(cells):
        raise ValueError(f"{pattern}: no sample has a file with the suffix {', '.join(suffixes)}; see --column")
    _check_keys(ids, shards)
    return ids, cells


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


def _samples(place: str) -> Iterator[tuple[str, dict[str, Member]]]:
    """Yield keys and members by suffix, in the shard's order."""
    for key, group in itertools.groupby(_members(place), key=lambda part: part[0]):
        found: dict[str, Member] = {}
        for _, suffix, member in group:
            if suffix in found:
                raise ValueError(f"{place}: {member.name} stands there twice")
            found[suffix] = member
        yield key, found


def _members(place: str) -> Iterator[tuple[str, str, Member]]:
    try:
        with opened(place) as file, tarfile.open(fileobj=file, mode="r:") as opened_archive:
            archive: Any = opened_archive
            for entry in archive:
                folder, slash, name = entry.name.rpartition("/")
                key, dot, suffix = name.partition(".")
                if entry.isfile() and dot and key and not (name.startswith(("__", "._")) or "/._" in entry.name):
                    member = Member(place, entry.name, entry.offset_data, entry.size, float(entry.mtime))
                    yield f"{folder}{slash}{key}", suffix.lower(), member
                archive.members = []  # of a shard of a million files it would keep them all
    except tarfile.TarError as error:
        packed = re.search(r"\.(tar\.(gz|bz2|xz|zst)|tgz)", place) is not None
        hint = "it is packed, so that its members cannot be read one by one; unpack it (gunzip)" if packed else error
        raise ValueError(f"{place} cannot be read as a tar shard: {hint}") from None
    except OSError as error:
        raise ValueError(f"{place} cannot be read as a tar shard: {error}") from error


def _content(member: Member, kind: str) -> str | Member:
    if kind != "text":
        return member
    try:
        return member.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{member}: not UTF-8") from None
