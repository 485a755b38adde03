"""Reading a manifest: which samples there are, and where each one's file or text is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Manifest:
    """Ids and one column of a manifest; an empty cell is an empty string."""

    ids: list[str]
    cells: list[str]
    root: Path

    @property
    def sha256(self) -> str:
        """Hash of ids and cells as they are written: moving the files with their manifest keeps it."""
        digest = hashlib.sha256()
        for identifier, cell in zip(self.ids, self.cells, strict=True):
            digest.update(f"{identifier}\0{cell}\n".encode())
        return digest.hexdigest()


def read_manifest(path: Path, column: str, id_column: str = "id") -> Manifest:
    """Read a CSV or Parquet manifest.

    Raises
    ------
    ValueError
        Not a table, a column is not there, no rows, or an id is empty or stands twice.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"the manifest {path} is not a file")
    table = _read_table(path)
    for name, option in ((id_column, "--id-column"), (column, "--column")):
        if name not in table.columns:
            raise ValueError(f"{path} has no column {name!r}; it has {list(table.columns)} (see {option})")
    if table.empty:
        raise ValueError(f"{path} has no rows")
    ids, cells = (_texts(table[name]) for name in (id_column, column))
    _check_ids(path, ids)
    return Manifest(ids, cells, path.parent)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path)
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        # "NA" and "null" are texts like any other
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # pandas' and pyarrow's parsing errors are ValueErrors
        raise ValueError(f"{path} cannot be read as a table: {error}") from error


def _texts(values: pd.Series) -> list[str]:
    return ["" if missing else str(value) for value, missing in zip(values, values.isna(), strict=True)]


def _check_ids(path: Path, ids: list[str]) -> None:
    first: dict[str, int] = {}
    for row, identifier in enumerate(ids):
        if not identifier or "\n" in identifier or "\r" in identifier:
            raise ValueError(f"{path}, row {row}: an id is a non-empty text without line breaks, found {identifier!r}")
        if first.setdefault(identifier, row) != row:
            raise ValueError(
                f"{path}: id {identifier!r} stands in row {first[identifier]} and again in row {row}; "
                "ids must be distinct"
            )
