"""What the criteria share that look at a measured accuracy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from skmmal._sklearn import StrOptions
from skmmal.stopping._base import Judgement, RoundState, StoppingCriterion

_FIELDS = {
    "validation": ("validation_accuracy", "n_validation", "the validation rows"),
    "random-slice": ("random_accuracy", "n_random", "the random slices"),
}
MEASURE = [StrOptions(set(_FIELDS))]


class Measured(NamedTuple):
    """An accuracy: of which round's model, and on how many rows."""

    round: int
    accuracy: float
    n: int


class AccuracyCriterion(StoppingCriterion):
    """Judges the rounds whose accuracy is known, on the rows that the parameter `measure` names."""

    needs = ("validation_accuracy",)
    watches_model = False
    measure: str

    @abstractmethod
    def _judge_measured(self, measured: Sequence[Measured], where: str) -> Judgement:
        """Judge one round or more; `where` says on which rows they were measured."""

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        accuracy, count, where = _FIELDS[self.measure]
        measured = [
            Measured(state.round, float(getattr(state, accuracy)), int(getattr(state, count)))
            for state in history
            if getattr(state, accuracy) is not None
        ]
        if not measured:
            return None, None, f"there is no accuracy on {where} yet."
        return self._judge_measured(measured, where)
