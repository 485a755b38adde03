"""The accuracy has found no new best for a while."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np

from skmmal._sklearn import Interval
from skmmal.stopping._accuracy import MEASURE, AccuracyCriterion, Measured
from skmmal.stopping._base import COUNT, Judgement


class Patience(AccuracyCriterion):
    """Stop when the accuracy has found no new best for some rounds.

    Parameters
    ----------
    patience : int, default=3
        How many rounds.
    min_gain : float, default=0.0
        A new best must be higher by more than this.
    measure : {"validation", "random-slice"}, default="validation"
        Rows that the accuracy is measured on.

    Examples
    --------
    >>> from skmmal.stopping import Patience, RoundState
    >>> scores = [0.7, 0.8, 0.8, 0.79, 0.8]
    >>> history = [RoundState(r, r, validation_accuracy=s, n_validation=9) for r, s in enumerate(scores)]
    >>> Patience(3).advise(history).stop
    True
    """

    name = "patience"
    main_parameter = "patience"
    _parameter_constraints: dict = {
        "patience": COUNT,
        "min_gain": [Interval(Real, 0, None, closed="left")],
        "measure": MEASURE,
    }

    def __init__(self, patience: int = 3, min_gain: float = 0.0, measure: str = "validation") -> None:
        self.patience = patience
        self.min_gain = min_gain
        self.measure = measure

    def _judge_measured(self, measured: Sequence[Measured], where: str) -> Judgement:
        best, waited = -np.inf, 0
        for _, accuracy, _ in measured:
            if accuracy > best + self.min_gain:
                best, waited = accuracy, 0
            else:
                waited += 1
        sentence = f"the best accuracy, {best:.3f}, is {waited} rounds old (patience: {self.patience})."
        return waited >= self.patience, float(waited), sentence
