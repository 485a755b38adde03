"""What people say of a row, and what follows where several do: one class, a set of labels, or a number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import pandas as pd

from skmmal.campaign import _numbers, _set_votes, _votes
from skmmal.campaign._sets import join, named, split

__all__ = ["Annotations", "NumberAnnotations", "OneClassAnnotations", "SetAnnotations"]


class Annotations(ABC):
    """What is said of a row, kept as text."""

    @abstractmethod
    def named(self, label: str) -> list[str]:
        """Classes that a label names."""

    @abstractmethod
    def sure(self, label: str) -> list[str]:
        """Classes that a row of that label has for certain."""

    @abstractmethod
    def since(self, events: pd.DataFrame, first: Mapping[str, int]) -> pd.DataFrame:
        """Events as they are to be understood, where classes are known since some entry of the log."""

    @abstractmethod
    def resolve(self, events: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
        """Settle every id."""

    @abstractmethod
    def conflicts(self, events: pd.DataFrame, settled: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
        """Ids whose annotators disagree."""

    @abstractmethod
    def agreement(self, events: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
        """How far annotators agree."""

    @abstractmethod
    def known(self, settled: pd.DataFrame) -> pd.Series:
        """Labels of the ids that a model can learn from."""


class OneClassAnnotations(Annotations):
    """One of several classes."""

    def named(self, label: str) -> list[str]:
        return [label]

    def sure(self, label: str) -> list[str]:
        return [label]

    def since(self, events: pd.DataFrame, first: Mapping[str, int]) -> pd.DataFrame:
        return events

    def resolve(self, events: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
        return _votes.resolve(events)

    def conflicts(self, events: pd.DataFrame, settled: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
        return _votes.conflicts(events)

    def agreement(self, events: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
        return _votes.agreement(events)

    def known(self, settled: pd.DataFrame) -> pd.Series:
        return settled["label"][settled["state"] == "label"]


class SetAnnotations(Annotations):
    """Any of several labels, or none; see `_sets` for the text."""

    def named(self, label: str) -> list[str]:
        return named(label)

    def sure(self, label: str) -> list[str]:
        return split(label)[0]

    def since(self, events: pd.DataFrame, first: Mapping[str, int]) -> pd.DataFrame:
        """Nobody could say whether a row has a label that was not there yet."""
        sets = events["label"].where(events["state"] == "label")
        late = {name: entry for name, entry in first.items() if entry > events["entry"].min()}
        for name, entry in late.items():
            older = sets.notna() & (events["entry"] < entry)
            sets = sets.mask(older, sets.where(older, "").map(lambda text, name=name: _not_known(text, name)))
        return events.assign(label=sets.fillna(events["label"])) if late else events

    def resolve(self, events: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
        return _set_votes.resolve(events, classes)

    def conflicts(self, events: pd.DataFrame, settled: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
        return _set_votes.conflicts(events, settled, classes)

    def agreement(self, events: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
        return _set_votes.agreement(events, classes)

    def known(self, settled: pd.DataFrame) -> pd.Series:
        """Where annotators disagree about some labels, the others are known."""
        return settled["label"][settled["state"].isin(["label", "conflict"])]


class NumberAnnotations(Annotations):
    """A number; see `_numbers` for the text. Two that differ by more than the tolerance contradict each other."""

    def __init__(self, tolerance: float | None = None) -> None:
        self.tolerance = tolerance

    def named(self, label: str) -> list[str]:
        return []

    def sure(self, label: str) -> list[str]:
        return []

    def since(self, events: pd.DataFrame, first: Mapping[str, int]) -> pd.DataFrame:
        return events

    def resolve(self, events: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
        return _numbers.resolve(events, self.tolerance)

    def conflicts(self, events: pd.DataFrame, settled: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
        return _numbers.conflicts(events, settled, self.tolerance)

    def agreement(self, events: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
        return _numbers.agreement(events, self.tolerance)

    def known(self, settled: pd.DataFrame) -> pd.Series:
        return settled["label"][settled["state"] == "label"]


def _not_known(text: str, name: str) -> str:
    """A set that does not say whether a label is in it, unless it is."""
    yes, unknown = split(text)
    return text if name in yes else join(yes, [*unknown, name])
