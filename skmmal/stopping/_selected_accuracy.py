"""The model is right about what it asks for."""

from __future__ import annotations

from collections.abc import Sequence

from skmmal.stopping._base import COUNT, SHARE, Judgement, RoundState, StoppingCriterion


class SelectedAccuracy(StoppingCriterion):
    """Stop when the model is right about the very rows it asked for.

    Parameters
    ----------
    threshold : float, default=0.9
        Accuracy, on the last batch that was labelled, of the model that chose it.
    min_labels : int, default=10
        Labels of that batch that must be there.
    min_rounds : int, default=2
        Rounds with a model before anything is said.

    References
    ----------
    .. [1] Zhu, Wang and Hovy, "Multi-criteria-based strategy to stop active learning for data annotation",
       COLING 2008 (accuracy on the selected instances).

    Examples
    --------
    >>> from skmmal.stopping import RoundState, SelectedAccuracy
    >>> history = [RoundState(1, 40, batch_accuracy=0.95, n_batch=40), RoundState(2, 80)]
    >>> SelectedAccuracy().advise(history).stop
    True
    """

    name = "selected-accuracy"
    needs = ("batch_accuracy",)
    _parameter_constraints: dict = {"threshold": SHARE, "min_labels": COUNT, "min_rounds": COUNT}

    def __init__(self, threshold: float = 0.9, min_labels: int = 10, min_rounds: int = 2) -> None:
        self.threshold = threshold
        self.min_labels = min_labels
        self.min_rounds = min_rounds

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        known = [state for state in history if state.batch_accuracy is not None and state.n_batch >= self.min_labels]
        if not known:
            return None, None, f"no batch has {self.min_labels} labels yet that a model had predicted."
        state = known[-1]
        accuracy = float(state.batch_accuracy or 0.0)
        return (
            accuracy >= self.threshold,
            accuracy,
            f"the model of round {state.round} was right about {accuracy:.1%} of the {state.n_batch} labels it asked "
            f"for (threshold {self.threshold:.0%}).",
        )
