"""Reading a manifest: which samples there are, and where each one's file or text is."""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skmmal._paths import is_url, local_path, opened, place_of
from skmmal.featurize._cells import Cell, Held, Views, folder_of, located, written
from skmmal.featurize._parquet import is_parquet, read_parquet
from skmmal.featurize._saved import is_saved, read_saved
from skmmal.featurize._tables import ROW, Row, read_rows, read_text
from skmmal.featurize._tars import expanded, is_tar, read_tars

_HASHED_LINES = 1_000


@dataclass(frozen=True)
class Manifest:
    """Ids and one column of a manifest; an empty cell is an empty string, None that of a row that is not in it."""

    ids: list[str]
    cells: Sequence[Cell | None]
    root: Path

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of ids and cells as they are written: moving the files with their manifest keeps it."""
        return self.sha256_of_first(len(self.ids))

    def sha256_of_first(self, n_rows: int) -> str:
        """Hash of the manifest that has the first rows only."""
        digest, lines = hashlib.sha256(), itertools.islice(self._lines(), n_rows)
        while some := b"".join(itertools.islice(lines, _HASHED_LINES)):
            digest.update(some)
        return digest.hexdigest()

    @property
    def n_views(self) -> int:
        """The most files, or texts, that a row has."""
        return max((len(cell.parts) for cell in self.cells if isinstance(cell, Views)), default=1)

    def rows_of(self, sha256: str) -> int | None:
        """Return how many of the first rows a shorter manifest had, by its hash; None if it was another one."""
        digest = hashlib.sha256()
        for row, line in enumerate(self._lines()):
            digest.update(line)
            if digest.hexdigest() == sha256:
                return row + 1
        return None

    def in_order_of(self, ids: Sequence[str]) -> Manifest:
        """Return the rows in another order; an id that is not in this manifest has the cell None."""
        if list(ids) == self.ids:
            return self
        cells = dict(zip(self.ids, self.cells, strict=True))
        return Manifest([str(identifier) for identifier in ids], [cells.get(str(each)) for each in ids], self.root)

    def _lines(self) -> Iterator[bytes]:
        for identifier, cell in zip(self.ids, self.cells, strict=True):
            yield f"{identifier}\0{cell if type(cell) is str else written(cell)}\n".encode()


@dataclass(frozen=True)
class Wanted:
    """What is read of a manifest.

    Parameters
    ----------
    kind : {"image", "text", "audio", "video"}
        Of the items. All but texts are files.
    column : str, optional
        Default: the kind's name; of tar shards, the files whose suffix is of the kind.
    id_column : str
        ``:row`` takes the number of the row.
    several : bool
        Whether a cell may hold several files, or texts.
    separator : str, optional
        Between them, where a cell is a text.
    """

    kind: str
    column: str | None = None
    id_column: str = "id"
    several: bool = False
    separator: str | None = None

    @property
    def name(self) -> str:
        """Name of the column."""
        return self.column or self.kind

    @property
    def files(self) -> bool:
        """Whether cells name files."""
        return self.kind != "text"


def read_manifest(path: str | Path, wanted: Wanted) -> Manifest:
    """Read a manifest: a CSV, JSON Lines or Parquet table, a folder that ``datasets`` saved, or tar shards.

    A CSV's delimiter (comma, semicolon, tab, bar) is the one with which its header has both columns; it is UTF-8, or
    has a byte order mark. Names of columns may differ in case and surrounding spaces. Ids and texts are taken as
    they stand.

    Parameters
    ----------
    path : str or path
        A path or a URL. Shards, and tables in several files, are ``NAME-{000..127}.tar``, or ``FOLDER/*.parquet``.
    wanted : Wanted
        Parquet may hold the files themselves, as bytes or as Hugging Face's ``{"bytes", "path"}``; a saved data set
        does.

    Raises
    ------
    ValueError
        Not a manifest, a column is not there, no rows, a line whose number of fields is not the header's, a cell that
        is neither a string nor what may stand for a file, or an id that is empty or stands twice.
    """
    place: str | Path = place_of(path, "manifest") if is_url(path) else local_path(path, "manifest")
    root: str | Path
    if is_url(place):
        root = folder_of(str(place))
        _check_there(str(place))
    else:
        place = Path(place)
        root = place.parent
    if is_tar(place):
        ids, cells = read_tars(str(place), wanted.kind, wanted.column, wanted.id_column, wanted.several)
    elif is_saved(place):
        root = Path(place)
        ids, cells = _taken(f"{place}", read_saved(root, wanted.name, wanted.id_column, wanted.files), wanted, root)
    else:
        ids, cells = [], []
        files = _files(place)
        if isinstance(files[0], Path):
            root = files[0].parent
        for file in files:
            more_ids, more_cells = _taken(f"{file}", _rows(file, wanted), wanted, root)
            ids += more_ids
            cells += more_cells
        if wanted.id_column == ROW:
            ids = [str(row) for row in range(len(ids))]
    if not ids:
        raise ValueError(f"{place} has no rows")
    _check_ids(place, ids)
    return Manifest(ids, cells, root if isinstance(root, Path) else Path())


def read_lines(path: str | Path) -> Manifest:
    """Read a list of distinct texts, one on each line; empty lines are left out.

    Parameters
    ----------
    path : path
        A text file in UTF-8.

    Raises
    ------
    ValueError
        No such file, another encoding, no text, or one that stands there twice.
    """
    if not is_url(path) and not Path(path).is_file():
        raise ValueError(f"the manifest {path} is not a file")
    texts = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not texts:
        raise ValueError(f"{path} has no rows")
    _check_ids(path, texts)
    return Manifest(texts, texts, Path())


def _check_there(url: str) -> None:
    for place in expanded(url):
        try:
            with opened(place):
                pass
        except Exception as error:  # what stores behind URLs raise has no common kind
            raise ValueError(
                f"the manifest {place} cannot be read: {type(error).__name__}: {' '.join(str(error).split())}"
            ) from error


def _files(place: str | Path) -> list[str | Path]:
    """Return the tables that a path or a URL stands for: itself, or those in one folder that a pattern names."""
    if is_url(place):
        return [*expanded(str(place))]
    if Path(place).is_file() or not re.search(r"[*?{[]", str(place)):
        files = [Path(place)]
    else:
        files = [Path(name) for name in expanded(str(place))]
    for file in files:
        if not file.is_file():
            raise ValueError(f"the manifest {file} is not a file{_what_folder(file)}")
    if len({file.parent for file in files}) > 1:
        raise ValueError(f"{place} names tables in several folders; cells are paths relative to one")
    return [*files]


def _rows(file: str | Path, wanted: Wanted) -> Iterable[Row]:
    by_row = wanted.id_column == ROW
    id_column = wanted.name if by_row else wanted.id_column
    rows: Iterable[Row]
    if is_parquet(file):
        rows = read_parquet(file, id_column, wanted.name, wanted.files)
    else:
        rows = read_rows(file, id_column, wanted.name)
    return (row._replace(identifier=str(number)) for number, row in enumerate(rows)) if by_row else rows


def _what_folder(place: Path) -> str:
    if not place.is_dir():
        return ""
    if (place / "dataset_dict.json").is_file():
        splits = sorted(entry.name for entry in place.iterdir() if is_saved(entry))
        return f": it holds several splits of a data set; give one of them, such as {place / (splits or ['train'])[0]}"
    for kind, what in (("tar", "shards"), ("parquet", "tables")):
        if any(place.glob(f"*.{kind}")):
            return f": it is a folder; give the {what} in it as {place}/NAME-{{000..999}}.{kind} or {place}/*.{kind}"
    return ": it is a folder, and none that datasets' save_to_disk wrote"


def _taken(path: str, rows: Iterable[Row], wanted: Wanted, root: str | Path) -> tuple[list[str], list[Cell]]:
    """Return ids and cells of rows, or say in which one something else stands."""
    take = _takes_several(wanted, root) if wanted.several else _takes_one(wanted, root)
    ids: list[str] = []
    cells: list[Cell] = []
    for number, row in enumerate(rows):
        try:
            ids.append(_identifier(row.identifier, wanted.id_column))
            cells.append(take(row.cell))
        except ValueError as error:
            place = f"row {number}" if row.line is None else f"line {row.line}"
            raise ValueError(f"{path}, {place}: {error}") from None
    return ids, cells


def _takes_one(wanted: Wanted, root: str | Path) -> Callable[[Any], str | Held]:
    column, files = wanted.name, wanted.files

    def take(value: Any) -> str | Held:
        if value is None or value != value:
            return ""
        if isinstance(value, str):
            return located(value, root) if files else value
        if isinstance(value, Held):
            return value
        if files and isinstance(value, dict) and set(value) == {"bytes", "path"} and value["bytes"] is None:
            return take(value["path"])
        what = "a path, a file's bytes, or {'bytes', 'path'}" if files else "a text"
        hint = "; several of them go with --views" if isinstance(value, list) and not wanted.several else ""
        raise ValueError(f"column {column!r} must hold {what}, found {type(value).__name__} {_short(value)}{hint}")

    return take


def _takes_several(wanted: Wanted, root: str | Path) -> Callable[[Any], Cell]:
    one = _takes_one(wanted, root)

    def take(value: Any) -> Cell:
        if isinstance(value, str) and wanted.separator is not None:
            value = [part.strip() for part in value.split(wanted.separator)]
        if isinstance(value, list):
            parts = tuple(one(part) for part in value)
            return Views(parts) if any(not isinstance(part, str) or part.strip() for part in parts) else ""
        found = one(value)
        return found if found == "" else Views((found,))

    return take


def _identifier(value: Any, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "" if value != value else str(value)
    raise ValueError(
        f"an id is a text or a whole number, found {type(value).__name__} in column {column!r}; write the ids as texts"
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _check_ids(path: object, ids: list[str]) -> None:
    if len(set(ids)) == len(ids) and all(ids) and "".join(ids).isprintable():  # millions, as a rule
        return
    first: dict[str, int] = {}
    for row, identifier in enumerate(ids):
        if not identifier or "\n" in identifier or "\r" in identifier:
            raise ValueError(f"{path}, row {row}: an id is a non-empty text without line breaks, found {identifier!r}")
        if first.setdefault(identifier, row) != row:
            raise ValueError(
                f"{path}: id {identifier!r} stands in row {first[identifier]} and again in row {row}; "
                "ids must be distinct"
            )
