"""The model is certain about the pool, by its entropy."""

from __future__ import annotations

from collections.abc import Sequence

from skmmal.stopping._base import COUNT, SHARE, Judgement, RoundState, StoppingCriterion


class OverallUncertainty(StoppingCriterion):
    """Stop when the model is certain about the unlabelled pool: mean of ``H(p) / log K`` below a threshold.

    Parameters
    ----------
    threshold : float, default=0.05
        Mean entropy, of its maximum, that is little enough.
    min_rounds : int, default=2
        Rounds with a model before anything is said.

    Notes
    -----
    It trusts the probabilities. A model that is certain and wrong looks finished.

    References
    ----------
    .. [1] Zhu, Wang and Hovy, COLING 2008 (overall uncertainty).

    Examples
    --------
    >>> from skmmal.stopping import OverallUncertainty, RoundState
    >>> OverallUncertainty(min_rounds=1).advise([RoundState(1, 40, mean_entropy=0.2)]).stop
    False
    """

    name = "overall-uncertainty"
    needs = ("mean_entropy",)
    _parameter_constraints: dict = {"threshold": SHARE, "min_rounds": COUNT}

    def __init__(self, threshold: float = 0.05, min_rounds: int = 2) -> None:
        self.threshold = threshold
        self.min_rounds = min_rounds

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        entropy = history[-1].mean_entropy
        if entropy is None:
            return None, None, "the entropy of the pool is not known."
        return (
            entropy < self.threshold,
            entropy,
            f"the mean entropy over the pool is {entropy:.3f} of its maximum (threshold {self.threshold:g}).",
        )
