"""Items of several files, or texts: photographs of a product, takes of a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from skmmal.featurize._cells import Cell, Views, is_empty
from skmmal.featurize._encoding import Backbone
from skmmal.featurize._notes import Notes, remark
from skmmal.featurize._reading import Reader, Unit, failure

VIEWS = ("mean", "max", "tokens")


class ViewsReader(Reader):
    """Reads each of an item's views as another reader reads an item; a view that cannot be read is noted.

    Parameters
    ----------
    reader : Reader
        Of one view.
    apart : bool
        Whether views are kept apart (`Unit.slot` is the view's place), or are units of the item like any other.
    """

    def __init__(self, reader: Reader, apart: bool) -> None:
        self.reader, self.apart = reader, apart
        self.pads, self.whole_range, self.files_in = reader.pads, reader.whole_range, reader.files_in

    def fetch(self, cell: Cell) -> list[Any]:
        """Get the views that are there; in place of one that cannot be read stands why."""
        if is_empty(cell):
            raise ValueError("empty cell: no view given")
        parts = cell.parts if isinstance(cell, Views) else (cell,)
        return [None if is_empty(part) else self._fetch(part) for part in parts]

    def _fetch(self, part: Any) -> Any:
        try:
            return self.reader.fetch(part)
        except Exception as error:
            return error

    def decode(self, raw: list[Any], notes: dict[str, int]) -> Iterator[Unit]:
        """Give the units of every view."""
        bad: list[str] = []
        n_views = 0
        for place, view in enumerate(raw):
            if view is None:
                continue
            try:
                if isinstance(view, Exception):
                    raise view
                own = Notes()
                units = self._units(view, own, place)
                first = next(units, None)
                if first is None:
                    raise ValueError("nothing in it to encode")
            except Exception as error:
                what = failure(0, "", error, root=self.files_in)
                bad.append(f"view {place + 1}: {what.exception}: {what.message}")
                continue
            n_views += 1
            yield first
            yield from units
            _pass_on(own, notes, place)
        if not n_views:
            raise ValueError(f"not one of its {len(bad)} views can be read; {bad[0]}")
        if bad:
            remark(notes, "views", f"{n_views} of {n_views + len(bad)} are there; {'; '.join(bad)}")

    def _units(self, view: Any, notes: Notes, place: int) -> Iterator[Unit]:
        found: Iterable[Unit] = self.reader.decode(view, notes)
        return (replace(unit, slot=place) for unit in found) if self.apart else iter(found)

    def collate(self, units: Sequence[Unit]) -> dict[str, torch.Tensor]:
        """Make one batch of units, of whatever view."""
        return self.reader.collate(units)


def _pass_on(own: Notes, notes: dict[str, int], place: int) -> None:
    """Add what was noted about a view to the item's notes."""
    for kind, number in own.items():
        if kind in own.remarks:
            remark(notes, kind, f"view {place + 1}: {own.remarks[kind]}")
        else:
            notes[kind] = notes.get(kind, 0) + number


def over_views(backbone: Backbone, views: str, n_views: int) -> Backbone:
    """Return a backbone for items of several views.

    Parameters
    ----------
    backbone : Backbone
        Of one view.
    views : {"mean", "max", "tokens"}
        ``mean`` over the units of all views: images count equally, recordings by their duration. ``max`` of each
        column over the views. ``tokens`` keeps ``n_views`` rows, zero where an item has fewer.
    n_views : int
        The most that an item has.
    """
    apart = views != "mean"
    if apart and backbone.stack:
        raise ValueError(f"--views {views} is for one row per view; take --views mean with frames that are kept apart")
    width = backbone.width
    if views == "tokens":
        if not isinstance(width, int):
            raise ValueError("--views tokens makes a token of each view; do without --tokens")
        width = (n_views, width)
    about = {**backbone.description, "views": views} | ({"n_views": n_views} if views == "tokens" else {})
    reader = ViewsReader(backbone.reader, apart)
    return replace(
        backbone,
        width=width,
        reader=reader,
        description=about,
        stack=backbone.stack or views == "tokens",
        most_of=n_views if views == "max" else None,
    )
