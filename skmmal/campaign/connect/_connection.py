"""The connection of a campaign to a project, as the log holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from skmmal._paths import local_path
from skmmal.campaign._events import read_table
from skmmal.campaign._files import CampaignError
from skmmal.campaign._folder import CampaignFolder
from skmmal.campaign._log import Entry
from skmmal.campaign._state import State
from skmmal.campaign.formats import read_data
from skmmal.campaign.formats._csv import csv_bytes
from skmmal.campaign.formats._data import as_data

__all__ = ["PUSHED", "Connection", "connection", "pushed", "pushed_csv", "read_items"]

PUSHED = "pushed.csv"
_COLUMNS = ("id", "task")


@dataclass(frozen=True)
class Connection:
    """What a campaign and a project of a server agree upon.

    Attributes
    ----------
    server : str
        Address.
    project : int
        Number of the project there.
    created : str
        When the project was made: another project that has its number is told by that.
    title : str
    fields : dict of str to str
        Column of the data to its kind: image, text, audio or video. Fixed for the life of the project.
    control : str
        Name of the control whose choice is the label.
    data : str or None
        Path of the table with what annotators are to see, from the campaign's folder; ``None``: it was a DataFrame.
    id_column, prefix : str
        See `read_data`.
    encoding : str or None
    local_files : str or None
        Folder on the server's machine that it gives out.
    """

    server: str
    project: int
    created: str
    title: str
    fields: dict[str, str]
    control: str
    data: str | None
    id_column: str
    prefix: str
    encoding: str | None
    local_files: str | None

    def to_receipt(self) -> dict[str, Any]:
        """What an entry of the log holds; the columns keep their order."""
        return {"kind": "connect", **asdict(self), "fields": [list(field) for field in self.fields.items()]}

    @classmethod
    def from_entry(cls, entry: Entry) -> Connection:
        """Read what `to_receipt` made."""
        try:
            known = {name: entry.receipt[name] for name in cls.__dataclass_fields__}
            return cls(**{**known, "fields": {str(name): str(kind) for name, kind in known["fields"]}})
        except (KeyError, TypeError, ValueError) as error:
            raise CampaignError(f"{entry.path}: the connection cannot be read ({error})") from None

    @property
    def link(self) -> str:
        """Address of the project in a browser."""
        return f"{self.server}/projects/{self.project}/data"

    def is_same_project(self, other: Connection) -> bool:
        """Whether it is the same project, though the server's address may be another one now."""
        return (self.project, self.created) == (other.project, other.created)

    def name(self, state: State) -> str:
        """By what annotations of this project are told from others': its number, as in the server's exports.

        Where the campaign was connected to another project of that number, on another server or before that one was set
        up anew, the time at which this one was made is part of it.
        """
        first = next((known for known in _connections(state) if known.project == self.project), self)
        return str(self.project) if self.is_same_project(first) else f"{self.project} ({self.created})"


def _connections(state: State) -> list[Connection]:
    """Those of all times, undone or not: their annotations may be there."""
    return [Connection.from_entry(entry) for entry in state.entries if entry.kind == "connect"]


def connection(state: State) -> Connection | None:
    """The connection that counts: the last one."""
    entries = [entry for entry in state.counting if entry.kind == "connect"]
    return Connection.from_entry(entries[-1]) if entries else None


def pushed(state: State, name: str) -> set[tuple[str, str]]:
    """Ids and task numbers that earlier pushes to a project have recorded."""
    known: set[tuple[str, str]] = set()
    for entry in state.counting:
        if entry.kind == "push" and entry.receipt["project"] == name:
            table = read_table(entry.read(PUSHED), entry.path / PUSHED, _COLUMNS)
            known.update(table[list(_COLUMNS)].itertuples(index=False, name=None))
    return known


def pushed_csv(tasks: Sequence[tuple[str, str]]) -> bytes:
    """Ids and task numbers as the bytes of a CSV file."""
    return csv_bytes(pd.DataFrame(tasks, columns=list(_COLUMNS)))


def read_items(campaign: CampaignFolder, to: Connection, data: Any = None) -> pd.DataFrame:
    """What annotators are to see, indexed by id.

    Parameters
    ----------
    campaign : CampaignFolder
    to : Connection
    data : path-like or DataFrame, optional
        Default: the table that the connection names.
    """
    if data is None:
        if to.data is None:
            raise ValueError("this campaign was connected with a DataFrame; give it again: data=...")
        data = campaign.folder / to.data
        if not data.exists():
            raise FileNotFoundError(f"what annotators are to see is no longer at {data}; say where: data (--data)")
    if isinstance(data, pd.DataFrame):
        return as_data(data, to.fields, to.id_column, to.prefix, base=to.local_files or "")
    path = local_path(data, "data")
    return read_data(path, to.fields, to.id_column, to.prefix, encoding=to.encoding, base=to.local_files or "")
