"""The model is certain about the pool, by its largest probability."""

from __future__ import annotations

from collections.abc import Sequence

from skmmal.stopping._base import COUNT, SHARE, Judgement, RoundState, StoppingCriterion


class ConfidenceThreshold(StoppingCriterion):
    """Stop when the mean of the largest probability over the unlabelled pool reaches a threshold.

    Parameters
    ----------
    threshold : float, default=0.95
        Mean confidence that is enough.
    min_rounds : int, default=2
        Rounds with a model before anything is said.

    Notes
    -----
    It trusts the probabilities, as `OverallUncertainty` does.

    Examples
    --------
    >>> from skmmal.stopping import ConfidenceThreshold, RoundState
    >>> ConfidenceThreshold(0.9, min_rounds=1).advise([RoundState(1, 40, mean_confidence=0.93)]).stop
    True
    """

    name = "confidence"
    needs = ("mean_confidence",)
    _parameter_constraints: dict = {"threshold": SHARE, "min_rounds": COUNT}

    def __init__(self, threshold: float = 0.95, min_rounds: int = 2) -> None:
        self.threshold = threshold
        self.min_rounds = min_rounds

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        confidence = history[-1].mean_confidence
        if confidence is None:
            return None, None, "the confidence on the pool is not known."
        return (
            confidence >= self.threshold,
            confidence,
            f"the mean confidence over the pool is {confidence:.3f} (threshold {self.threshold:g}).",
        )
