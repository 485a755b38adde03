"""The folder of a run: its configuration, and one record for every round, each written whole or not at all.

::

    config.json                              what determines the results
    units/STRATEGY/seed-S/round-R.json       chosen rows and metrics
    timings/STRATEGY/seed-S/round-R.json     seconds (they differ from run to run, so they lie apart)
    results.csv, selected.csv, classes.csv, timings.csv     written at the end
    sha256sums.txt                           checksums of these but the timings (``sha256sum -c`` knows the format)

The JSON files carry their own checksum.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import quote

from skmmal._paths import local_path
from skmmal._store import (
    SEAL,
    TEMPORARY,
    check_format,
    check_same,
    check_seal,
    dumps,
    parse_json,
    plain,
    sealed,
    write_file,
)
from skmmal._version import versions

__all__ = ["RunFolder", "read_config"]

FORMAT, VERSION = "skmmal-experiment", 2
CONFIG = "config.json"


class RunFolder:
    """Records of a run on disk. Workers write disjoint files, so it needs no lock."""

    def __init__(self, path: str | os.PathLike, version: int = VERSION) -> None:
        self.path = Path(path)
        self.version = version

    @classmethod
    def open(cls, path: str | os.PathLike, config: dict[str, Any]) -> RunFolder:
        """Create the folder, or go on with one that has the same configuration.

        Raises
        ------
        FileExistsError
            The folder holds something else.
        ValueError
            It holds a run with another configuration; the message shows the difference.
        """
        folder = cls(local_path(path, "results_dir").absolute())
        if folder.path.exists() and not folder.path.is_dir():
            raise FileExistsError(f"results_dir {path} is a file; give a folder")
        folder.path.mkdir(parents=True, exist_ok=True)
        for leftover in folder.path.rglob(f".*{TEMPORARY}*"):
            leftover.unlink(missing_ok=True)  # of a run that was killed while it wrote
        if not (folder.path / CONFIG).exists():
            if any(folder.path.iterdir()):
                raise FileExistsError(f"results_dir {path} holds other files and no {CONFIG}; give a new folder")
            _write_json(
                folder.path / CONFIG,
                {"format": FORMAT, "version": VERSION, "environment": versions(), "experiment": config},
            )
            return folder
        found = read_config(folder.path)
        _check_same(path, found, config)
        folder.version = found["version"]
        return folder

    def _file(self, part: str, name: str, seed: int, round_: int) -> Path:
        return self.path / part / quote(name, safe=" ()+") / f"seed-{seed}" / f"round-{round_:03d}.json"

    def write_record(self, name: str, seed: int, record: dict[str, Any]) -> None:
        """Write a round's record; its seconds first, so that no record is without them."""
        record = dict(record)
        for part, content in (("timings", record.pop("seconds")), ("units", record)):
            file = self._file(part, name, seed, record["round"])
            file.parent.mkdir(parents=True, exist_ok=True)
            _write_json(file, content)

    def read_unit(self, name: str, seed: int) -> list[dict[str, Any]]:
        """Records of a strategy and seed, from round 0 to the last before a gap."""
        records: list[dict[str, Any]] = []
        while os.path.lexists(file := self._file("units", name, seed, len(records))):
            record = _read_json(file, self.version)
            if record.get("round") != len(records):
                raise ValueError(f"{file} describes round {record.get('round')}; it was moved or edited")
            seconds = self._file("timings", name, seed, len(records))
            record["seconds"] = _read_json(seconds, self.version) if os.path.lexists(seconds) else {}
            records.append(record)
        return records


def read_config(path: Path) -> dict[str, Any]:
    """Configuration of a run's folder."""
    if not (path / CONFIG).is_file():
        raise FileNotFoundError(f"{path} is not the folder of a run: it holds no {CONFIG}")
    config = parse_json(path / CONFIG)
    check_format(config, path / CONFIG, FORMAT, VERSION)
    if config["version"] > 1:  # the first version had no checksums
        check_seal(config, path / CONFIG)
    if not isinstance(config.get("experiment"), dict) or not isinstance(config.get("environment"), dict):
        raise ValueError(f"{path / CONFIG} does not describe an experiment")
    return config


def _check_same(path: Any, found: dict[str, Any], config: dict[str, Any]) -> None:
    refusal = f"results_dir {path} holds a run with another configuration; give another folder, or repeat that one"
    check_same(found["experiment"], config, refusal)
    if found["environment"] != versions():
        warnings.warn(
            f"results_dir {path} was begun with {found['environment']}, it goes on with {versions()}; "
            "the last digits may differ",
            stacklevel=4,
        )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_file(path, dumps(sealed(plain(content, infinite=True)), infinite=True))


def _read_json(path: Path, version: int) -> dict[str, Any]:
    try:
        content = parse_json(path)
        if not isinstance(content, dict):
            raise ValueError(f"{path} holds no record of a round")
        if version > 1:
            check_seal(content, path)
    except ValueError as error:
        raise ValueError(f"{error}; remove it, and its round is run again") from None
    content.pop(SEAL, None)
    return content
