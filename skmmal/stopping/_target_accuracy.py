"""The accuracy is high enough."""

from __future__ import annotations

from collections.abc import Sequence

from skmmal.stopping._accuracy import MEASURE, AccuracyCriterion, Measured
from skmmal.stopping._base import SHARE, Judgement


class TargetAccuracy(AccuracyCriterion):
    """Stop when the accuracy on labelled rows that are never trained on reaches a target.

    Parameters
    ----------
    target : float, default=0.9
        Accuracy that is enough.
    measure : {"validation", "random-slice"}, default="validation"
        Validation rows, or the random slices of the batches (each judged by the model that had not seen it).

    Notes
    -----
    A small validation set says little: with 100 rows and an accuracy of 0.9 the standard error is 0.03. The accuracy
    in the sentence comes with the number of rows.

    Examples
    --------
    >>> from skmmal.stopping import RoundState, TargetAccuracy
    >>> TargetAccuracy(0.8).advise([RoundState(1, 40, validation_accuracy=0.85, n_validation=200)]).stop
    True
    """

    name = "target-accuracy"
    main_parameter = "target"
    _parameter_constraints: dict = {"target": SHARE, "measure": MEASURE}

    def __init__(self, target: float = 0.9, measure: str = "validation") -> None:
        self.target = target
        self.measure = measure

    def _judge_measured(self, measured: Sequence[Measured], where: str) -> Judgement:
        round_, accuracy, n = measured[-1]
        verb = "reaches" if accuracy >= self.target else "is below"
        return (
            accuracy >= self.target,
            accuracy,
            f"accuracy {accuracy:.3f} on {n} of {where} (model of round {round_}) {verb} the target {self.target:g}.",
        )
