"""The log of a campaign: one folder for every command that changed something, each there whole or not at all.

::

    log/000001-labels/      receipt.json  stamp.json  labels.csv
    log/000002-round-001/   receipt.json  stamp.json  next.csv  stop_set.csv  model/
    log/000003-undo/        receipt.json  stamp.json
    log/000004-retract/     receipt.json  stamp.json  retracted.csv
    log/000005-connect/     receipt.json  stamp.json
    log/000006-push/        receipt.json  stamp.json  pushed.csv

An entry is written under a temporary name, flushed, and renamed into place: the rename is the moment the command has
happened. Nothing is changed or deleted afterwards. Every receipt carries a checksum of itself, of its files, and of
the receipt before it, so that an edited, damaged or missing entry is noticed. Time and user lie apart, in stamp.json:
the same commands on the same data give the same bytes elsewhere.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skmmal._store import SEAL, TEMPORARY, digest, dumps, explained, fsync_folder, write_new
from skmmal.campaign._files import CampaignError, check_folder, read_checked, read_sealed, sealed

LOG, RECEIPT, STAMP = "log", "receipt.json", "stamp.json"
_NAME = re.compile(r"(\d{6,})-(round-\d{3,}|labels|undo|retract|connect|push)")


@dataclass(frozen=True, eq=False)
class Entry:
    """One entry: what was done (`receipt`), and who did it when (`stamp`)."""

    number: int
    kind: str
    path: Path
    receipt: dict[str, Any]
    stamp: dict[str, Any]
    parsed: dict[str, Any] = field(default_factory=dict)
    """What was made of the entry's files before: an entry never changes."""

    def read(self, name: str) -> bytes:
        """Content of one of the entry's files, checked."""
        return read_checked(self.path / name, self.receipt["files"][name])

    def verify(self) -> None:
        """Read every file of the entry and compare its checksum."""
        for name in self.receipt["files"]:
            self.read(name)


Known = dict[Path, tuple[Any, Entry]]
"""Entries that were read before, and the times and sizes of their files then."""


def read_log(folder: Path, seal: str, known: Known | None = None) -> list[Entry]:
    """Entries in order, every receipt checked; `seal` is the campaign's own checksum, where the chain begins.

    Entries in `known` whose files have not been touched since are not read again; new ones are put there.

    Raises
    ------
    CampaignError
        An entry is missing, damaged, edited, foreign, or a link.
    """
    log = folder / LOG
    if not log.exists() and not log.is_symlink():
        return []
    check_folder(log)
    found: dict[int, Path] = {}
    for path in sorted(log.iterdir()):
        if path.name.startswith("."):
            continue  # unfinished entries, and what desktops leave behind
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise CampaignError(f"{path} does not belong into the log of a campaign; move it elsewhere")
        number = int(match[1])
        if number in found:
            raise CampaignError(f"{path} and {found[number]} have the same number; one of them is foreign")
        found[number] = path
    entries: list[Entry] = []
    for expected, (number, path) in enumerate(sorted(found.items()), start=1):
        if number != expected:
            raise CampaignError(f"{log} holds entry {number} and no entry {expected}; restore it from a backup")
        entry = _known_entry(number, path, known)
        if entry.receipt.get("previous") != seal:
            raise CampaignError(
                f"{path / RECEIPT} does not follow the entry before it; one of the two was replaced or edited"
            )
        seal = entry.receipt[SEAL]
        entries.append(entry)
    return entries


def _known_entry(number: int, path: Path, known: Known | None) -> Entry:
    if known is None:
        return _read_entry(number, path)
    signature = _signature(path)
    if path not in known or known[path][0] != signature:
        known[path] = (signature, _read_entry(number, path))
    return known[path][1]


def _signature(path: Path) -> list[tuple[str, int, int, int]]:
    """Times, sizes and numbers of the files in an entry's folder."""
    found = []
    with os.scandir(path) as files:
        for file in files:
            about = file.stat(follow_symlinks=False)
            found.append((file.name, about.st_mtime_ns, about.st_size, about.st_ino))
    return sorted(found)


def _read_entry(number: int, path: Path) -> Entry:
    check_folder(path)
    receipt, stamp = read_sealed(path / RECEIPT), read_sealed(path / STAMP)
    if receipt.get("entry") != number or f"{number:06d}-{_label(receipt)}" != path.name:
        raise CampaignError(f"{path / RECEIPT} describes entry {receipt.get('entry')}; it was moved")
    files = receipt.get("files")
    if not isinstance(files, dict) or not all(_is_inner(name) for name in files):
        raise CampaignError(f"{path / RECEIPT} names files outside its folder; refused")
    _check_contents(path, {RECEIPT, STAMP, *files})
    return Entry(number, receipt["kind"], path, receipt, stamp)


def _label(receipt: dict[str, Any]) -> str:
    kind = receipt.get("kind")
    return f"round-{int(receipt.get('round', 0)):03d}" if kind == "round" else str(kind)


def _is_inner(name: str) -> bool:
    return all(re.fullmatch(r"\w[\w.-]*", part) for part in name.split("/"))


def _check_contents(path: Path, expected: set[str]) -> None:
    for parent, folders, files in os.walk(path):
        for name in [*folders, *files]:
            full = Path(parent) / name
            inner = full.relative_to(path).as_posix()
            if full.is_symlink():
                raise CampaignError(f"{full} is a symbolic link; a campaign holds plain files only, refused")
            if not full.is_dir() and inner not in expected and not name.startswith("."):
                raise CampaignError(f"{full} does not belong there; move it elsewhere")
    for name in expected:
        if not (path / name).is_file():
            raise CampaignError(f"{path / name} is missing; restore it from a backup")


def append(
    folder: Path,
    entries: list[Entry],
    seal: str,
    receipt: dict[str, Any],
    stamp: dict[str, Any],
    fill: Callable[[Path], None] | None = None,
) -> Entry:
    """Add an entry; the caller holds the lock.

    Parameters
    ----------
    folder : Path
        The campaign's.
    entries : list of Entry
        Those there already.
    seal : str
        The campaign's checksum.
    receipt, stamp : dict
        The receipt has a ``kind`` (and a ``round``).
    fill : callable, optional
        Writes the entry's files into the folder it is given.

    Returns
    -------
    Entry
        As it was read back.
    """
    log = folder / LOG
    number = len(entries) + 1
    previous = entries[-1].receipt[SEAL] if entries else seal
    target = log / f"{number:06d}-{_label(receipt)}"
    temporary = log / f"{TEMPORARY}{secrets.token_hex(4)}"
    try:
        if not log.is_dir():
            log.mkdir()
            fsync_folder(folder)
        sweep(log)
        temporary.mkdir()
        if fill is not None:
            fill(temporary)
        paths = sorted(path for path in temporary.rglob("*") if path.is_file())
        files = {path.relative_to(temporary).as_posix(): digest(path.read_bytes()) for path in paths}
        head = {"kind": receipt["kind"], "entry": number, "previous": previous}
        write_new(temporary / RECEIPT, dumps(sealed({**head, **receipt, "files": files})))
        write_new(temporary / STAMP, dumps(sealed(stamp)))
        fsync_folder(temporary)
        os.rename(temporary, target)
        fsync_folder(log)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise explained(error, target) from error
        raise
    return _read_entry(number, target)


def sweep(log: Path) -> None:
    """Remove what a killed command left unfinished; the caller holds the lock."""
    for left in log.glob(f"{TEMPORARY}*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)


def effective(entries: list[Entry]) -> tuple[list[Entry], dict[int, int]]:
    """Entries that count, and for each undone entry the number of the entry that undid it.

    An undo that was itself undone does not count.
    """
    undone: dict[int, int] = {}
    for entry in reversed(entries):
        if entry.kind == "undo" and entry.number not in undone:
            undone[int(entry.receipt["undoes"])] = entry.number
    return [entry for entry in entries if entry.number not in undone], undone
