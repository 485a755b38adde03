"""So many rounds are done."""

from __future__ import annotations

from collections.abc import Sequence

from skmmal.stopping._base import COUNT, Judgement, RoundState, StoppingCriterion


class MaxRounds(StoppingCriterion):
    """Stop when so many rounds are done.

    Parameters
    ----------
    max_rounds : int, default=20
        Rounds with a model, the first one's included.

    Examples
    --------
    >>> from skmmal.stopping import MaxRounds, RoundState
    >>> MaxRounds(2).advise([RoundState(0, 40), RoundState(1, 80)]).stop
    True
    """

    name = "max-rounds"
    main_parameter = "max_rounds"
    watches_model = False
    _parameter_constraints: dict = {"max_rounds": COUNT}

    def __init__(self, max_rounds: int = 20) -> None:
        self.max_rounds = max_rounds

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        n = len(history)
        if n >= self.max_rounds:
            return True, float(n), f"{n} rounds are done, the limit was {self.max_rounds}."
        return False, float(n), f"{n} of {self.max_rounds} rounds are done."
