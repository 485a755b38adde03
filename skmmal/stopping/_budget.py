"""So many labels are there."""

from __future__ import annotations

from collections.abc import Sequence

from skmmal.stopping._base import COUNT, Judgement, RoundState, StoppingCriterion


class Budget(StoppingCriterion):
    """Stop when so many labels are there.

    Parameters
    ----------
    max_labels : int, default=1000
        How many.

    Examples
    --------
    >>> from skmmal.stopping import Budget, RoundState
    >>> Budget(100).advise([RoundState(1, 120)]).stop
    True
    """

    name = "budget"
    main_parameter = "max_labels"
    watches_model = False
    _parameter_constraints: dict = {"max_labels": COUNT}

    def __init__(self, max_labels: int = 1000) -> None:
        self.max_labels = max_labels

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        n = history[-1].n_labeled
        if n >= self.max_labels:
            return True, float(n), f"{n} labels are there, the budget was {self.max_labels}."
        return False, float(n), f"{n} of {self.max_labels} labels are spent, {self.max_labels - n} are left."
