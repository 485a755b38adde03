"""The accuracy no longer rises."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np

from skmmal._sklearn import Interval
from skmmal.stopping._accuracy import MEASURE, AccuracyCriterion, Measured
from skmmal.stopping._base import Judgement


class PerformanceChange(AccuracyCriterion):
    """Stop when the accuracy no longer rises: the slope of the last rounds is about zero.

    Parameters
    ----------
    threshold : float, default=0.005
        Accuracy gained per round (slope of the least-squares line) that counts as none.
    window : int, default=4
        Rounds that the line goes through.
    measure : {"validation", "random-slice"}, default="validation"
        Rows that the accuracy is measured on.

    References
    ----------
    .. [1] Laws and Schütze, "Stopping criteria for active learning of named entity recognition", COLING 2008. They
       take the gradient of a smoothed estimate; the least-squares line is our smoothing.

    Examples
    --------
    >>> from skmmal.stopping import PerformanceChange, RoundState
    >>> history = [RoundState(r, 40 * r, validation_accuracy=0.8, n_validation=100) for r in range(1, 5)]
    >>> PerformanceChange().advise(history).stop
    True
    """

    name = "performance-change"
    _parameter_constraints: dict = {
        "threshold": [Interval(Real, 0, None, closed="left")],
        "window": [Interval(Integral, 2, None, closed="left")],
        "measure": MEASURE,
    }

    def __init__(self, threshold: float = 0.005, window: int = 4, measure: str = "validation") -> None:
        self.threshold = threshold
        self.window = window
        self.measure = measure

    def _judge_measured(self, measured: Sequence[Measured], where: str) -> Judgement:
        if len(measured) < self.window:
            return None, None, f"the accuracy on {where} is known for {len(measured)} rounds, {self.window} are needed."
        rounds, accuracies, _ = zip(*measured[-self.window :], strict=True)
        slope = float(np.polyfit(rounds, accuracies, 1)[0])
        stop = slope <= self.threshold
        verdict = (
            f"no more than {self.threshold:g}: more labels hardly help" if stop else f"more than {self.threshold:g}"
        )
        return (
            stop,
            slope,
            f"over the last {self.window} rounds the accuracy changes by {slope:+.4f} per round, {verdict}.",
        )
