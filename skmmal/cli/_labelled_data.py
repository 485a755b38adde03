"""Features and labels from files, as the commands are given them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from skmmal.cli._shared import note

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from skmmal.experiment.sources import Features, Labelled

__all__ = ["Columns", "has_features", "labelled_data", "pool_table"]


class Columns(NamedTuple):
    """How a table of labels is read."""

    several_labels: bool = False
    separator: str = "|"
    group: str | None = None
    cost: str | None = None

    @property
    def beside(self) -> list[str]:
        """Columns beside the labels."""
        return [name for name in (self.group, self.cost) if name is not None]


def pool_table(pool: Labelled) -> pd.DataFrame:
    """What the row numbers of a run stand for."""
    import pandas as pd

    table = pd.DataFrame({"row": range(len(pool.ids)), "id": pool.ids})
    if isinstance(pool.y, pd.DataFrame):
        table = pd.concat([table, pool.y.reset_index(drop=True)], axis=1)
    else:
        table["label"] = pool.y
    named = {"group": pool.groups, "cost": pool.costs}
    return table.assign(**{name: values for name, values in named.items() if values is not None})


def labelled_data(
    dataset: str | None, features: Path | None, labels: Path | None, seed: int, columns: Columns
) -> Labelled:
    """Rows with ids and labels, by a data set's name or from files; rows that cannot be used are counted aloud."""
    import numpy as np

    from skmmal.experiment import sources

    if dataset is not None:
        return sources.load_dataset(dataset, seed)
    assert features is not None
    if labels is None:
        raise typer.BadParameter("--features needs --labels")
    cache = sources.load_features(features)
    y: Any
    if columns.several_labels:
        table, y = sources.read_label_sets(labels, columns.separator, columns.beside)
        without = y.isna().all(axis=1)
    else:
        table = sources.read_labels(labels, columns.beside)
        y, without = table["label"], table["label"] == ""
    if without.any():
        note(f"{int(without.sum())} lines of {labels} have no label; they are left out.")
        table, y = table[~without], y[~without]
    rows = sources.labelled_rows(cache, table, labels)
    if len(rows) < len(cache.ids):
        note(f"{len(cache.ids) - len(rows)} of {len(cache.ids)} rows have no label; they are left out.")
    usable = has_features(cache)[rows]
    rows, table, y = rows[usable], table[usable].reset_index(drop=True), y[usable].reset_index(drop=True)
    if not len(rows):
        raise ValueError(f"--labels {labels}: no labelled row has features; see skmmal info {features}")
    test = (table["split"] == "test").to_numpy() if "split" in table else None
    groups = None if columns.group is None else table[columns.group].to_numpy(dtype=str)
    costs = None if columns.cost is None else _numbers(table, columns.cost, labels)
    y = y if columns.several_labels else y.to_numpy(dtype=str)
    return sources.Labelled(cache.X[rows], y, np.asarray(cache.ids[rows]), test, groups, costs)


def _numbers(table: pd.DataFrame, column: str, path: Path) -> np.ndarray:
    """A column of numbers."""
    try:
        return table[column].to_numpy().astype(float)
    except ValueError as error:
        raise ValueError(f"--labels {path}: column {column!r} holds something else than numbers: {error}") from None


def has_features(cache: Features) -> np.ndarray:
    """Mask of the rows that have a modality; the others are counted aloud: their featurization failed."""
    from skmmal.experiment.sources import usable_rows

    usable = usable_rows(cache.X)
    if not usable.all():
        note(f"{int((~usable).sum())} of {len(usable)} rows have no modality at all; they are left out.")
    return usable
