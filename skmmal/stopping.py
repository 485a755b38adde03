"""When to stop labelling: criteria that look at the rounds so far and give advice. They halt nothing themselves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import entr
from sklearn.base import BaseEstimator
from sklearn.metrics import cohen_kappa_score
from sklearn.utils._param_validation import Interval, StrOptions

from skmmal._names import find_name
from skmmal._probabilities import check_distribution

__all__ = [
    "Advice",
    "Budget",
    "ClassificationChange",
    "ConfidenceThreshold",
    "MaxRounds",
    "OverallUncertainty",
    "Patience",
    "PerformanceChange",
    "PredictedFChange",
    "RoundState",
    "SelectedAccuracy",
    "StabilizingPredictions",
    "StoppingCriterion",
    "TargetAccuracy",
    "available_criteria",
    "get_criterion",
    "kappa",
]


@dataclass(frozen=True, eq=False)
class RoundState:
    """What a criterion may know of one round: its model, and what was measured with it.

    Parameters
    ----------
    round : int
    n_labeled : int
        Labels that the round's model was fitted on.
    predictions : Series, optional
        Predicted class of the rows of the stop set (the index) that have no label in this round. The stop set is the
        same in every round; two rounds are compared on the rows that both hold.
    mean_confidence, mean_entropy : float, optional
        Means over the unlabelled pool: largest probability, and entropy divided by log K (0 to 1).
    validation_accuracy, n_validation : float and int, optional
        On rows that are labelled and never trained on.
    random_accuracy, n_random : float and int, optional
        Of this round's model on a random slice of the next batch, known once its labels are there.
    batch_accuracy, n_batch : float and int, optional
        Of this round's model on the whole next batch, known once its labels are there.
    """

    round: int
    n_labeled: int
    predictions: pd.Series | None = None
    mean_confidence: float | None = None
    mean_entropy: float | None = None
    validation_accuracy: float | None = None
    n_validation: int = 0
    random_accuracy: float | None = None
    n_random: int = 0
    batch_accuracy: float | None = None
    n_batch: int = 0

    @classmethod
    def from_probabilities(
        cls, round: int, n_labeled: int, probabilities: Any, classes: Any, stop_rows: Any = None, **measured: Any
    ) -> RoundState:
        """Summarise a model by its probabilities on the unlabelled rows.

        Parameters
        ----------
        round, n_labeled : int
        probabilities : array-like of shape (n_rows, n_classes)
            Of every unlabelled row.
        classes : array-like of shape (n_classes,)
        stop_rows : mapping of row position to name, optional
            Which rows belong to the stop set, and what they are called in every round. Default: all, by position.
        **measured
            Further fields.

        Returns
        -------
        RoundState

        Raises
        ------
        ValueError
            Rows that are no distribution (logits, independent probabilities), or of another width than `classes`.

        Examples
        --------
        >>> state = RoundState.from_probabilities(1, 40, [[0.5, 0.5], [1.0, 0.0]], ["cat", "dog"])
        >>> state.mean_entropy, state.mean_confidence
        (0.5, 0.75)
        """
        classes = np.asarray(classes)
        if classes.ndim != 1 or len(classes) == 0:
            raise ValueError(f"classes must be a list of at least one class, got {classes!r}")
        probabilities = check_distribution(probabilities, n_classes=len(classes), argument="the unlabelled rows")
        if stop_rows is not None and not isinstance(stop_rows, Mapping):
            raise TypeError(f"stop_rows must map row positions to names, got {stop_rows!r}")
        rows = {i: i for i in range(len(probabilities))} if stop_rows is None else dict(stop_rows)
        for row in rows:
            if not isinstance(row, Integral) or not 0 <= int(row) < len(probabilities):
                raise ValueError(f"stop_rows: there is no row {row!r} among the {len(probabilities)} of probabilities")
        predicted = classes[probabilities[list(rows)].argmax(axis=1)] if len(rows) else classes[:0]
        has_rows = len(probabilities) > 0
        scale = np.log(len(classes)) if len(classes) > 1 else 1.0
        return cls(
            round,
            n_labeled,
            predictions=pd.Series(predicted, index=list(rows.values()), dtype=object),
            mean_confidence=float(probabilities.max(axis=1).mean()) if has_rows else None,
            mean_entropy=float(entr(probabilities).sum(axis=1).mean() / scale) if has_rows else None,
            **measured,
        )


@dataclass(frozen=True)
class Advice:
    """What a criterion says after the last round.

    Attributes
    ----------
    criterion : str
    stop : bool or None
        ``None``: nothing can be said yet.
    value : float or None
        What was measured.
    sentence : str
        The same in words.
    """

    criterion: str
    stop: bool | None
    value: float | None
    sentence: str


Judgement = tuple[bool | None, float | None, str]


class StoppingCriterion(BaseEstimator):
    """Base class: parameters as in scikit-learn, one verb `advise`, one hook `_judge`.

    A criterion keeps nothing between calls: it looks at the whole history each time, so it can be asked again after
    a crash, or about the past.
    """

    _parameter_constraints: dict = {}
    _threshold: str
    """The parameter that ``NAME=VALUE`` sets: how much is enough."""
    _watches_model = True
    """Whether a model that predicts one class only fools the criterion."""

    @abstractmethod
    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        """Whether to stop, the value measured, and a sentence; `history` holds `min_rounds` rounds or more."""

    def advise(self, history: Sequence[RoundState]) -> Advice:
        """Say whether to stop after the last round of the history.

        Parameters
        ----------
        history : sequence of RoundState
            In order, from the first round.

        Returns
        -------
        Advice

        Raises
        ------
        ValueError
            The rounds are not in order, or a parameter cannot be used.
        """
        self._validate_params()
        if not isinstance(history, Sequence) or not all(isinstance(state, RoundState) for state in history):
            raise TypeError("history must be a sequence of RoundState")
        history = list(history)
        numbers = [state.round for state in history]
        if any(later <= earlier for earlier, later in pairwise(numbers)):
            raise ValueError(f"history must be in the order of the rounds, found {numbers}")
        return Advice(self._name(), *self._guarded(history))

    def _guarded(self, history: list[RoundState]) -> Judgement:
        least = int(getattr(self, "min_rounds", 1))
        if len(history) < least:
            return None, None, f"{len(history)} of at least {least} rounds with a model are done; too early to say."
        predictions = history[-1].predictions
        if self._watches_model and predictions is not None and len(predictions) > 0 and predictions.nunique() < 2:
            return (
                False,
                None,
                f"the model predicts {predictions.iloc[0]!s} for every row; such a model looks stable and certain, and "
                "says nothing about when to stop.",
            )
        return self._judge(history)

    @classmethod
    def _name(cls) -> str:
        return next((name for name, kind in _CRITERIA.items() if kind is cls), cls.__name__)


_MIN_ROUNDS: dict = {"min_rounds": [Interval(Integral, 1, None, closed="left")]}
_SHARE = [Interval(Real, 0, 1, closed="both")]
_WINDOW = [Interval(Integral, 1, None, closed="left")]


# ------------------------------------------------------------------------------------------------------- budget


class Budget(StoppingCriterion):
    """Stop when so many labels are there.

    Parameters
    ----------
    max_labels : int, default=1000

    Examples
    --------
    >>> Budget(100).advise([RoundState(1, 120)]).stop
    True
    """

    _threshold = "max_labels"
    _watches_model = False
    _parameter_constraints: dict = {"max_labels": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, max_labels: int = 1000) -> None:
        self.max_labels = max_labels

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        n = history[-1].n_labeled
        if n >= self.max_labels:
            return True, float(n), f"{n} labels are there, the budget was {self.max_labels}."
        return False, float(n), f"{n} of {self.max_labels} labels are spent, {self.max_labels - n} are left."


class MaxRounds(StoppingCriterion):
    """Stop when so many rounds are done.

    Parameters
    ----------
    max_rounds : int, default=20
        Rounds with a model, the first one's included.

    Examples
    --------
    >>> MaxRounds(2).advise([RoundState(0, 40), RoundState(1, 80)]).stop
    True
    """

    _threshold = "max_rounds"
    _watches_model = False
    _parameter_constraints: dict = {"max_rounds": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, max_rounds: int = 20) -> None:
        self.max_rounds = max_rounds

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        n = len(history)
        if n >= self.max_rounds:
            return True, float(n), f"{n} rounds are done, the limit was {self.max_rounds}."
        return False, float(n), f"{n} of {self.max_rounds} rounds are done."


# ------------------------------------------------------------------------------------------ measured performance

_MEASURES = {
    "validation": ("validation_accuracy", "n_validation", "the validation rows"),
    "random-slice": ("random_accuracy", "n_random", "the random slices"),
}
_MEASURE = [StrOptions(set(_MEASURES))]


def _measured(history: Sequence[RoundState], measure: str) -> list[tuple[RoundState, float, int]]:
    """The rounds where the accuracy is known, with it and with the number of rows it is measured on."""
    field, count, _ = _MEASURES[measure]
    return [
        (state, float(getattr(state, field)), int(getattr(state, count)))
        for state in history
        if getattr(state, field) is not None
    ]


class TargetAccuracy(StoppingCriterion):
    """Stop when the accuracy on labelled rows that are never trained on reaches a target.

    Parameters
    ----------
    target : float, default=0.9
    measure : {"validation", "random-slice"}, default="validation"
        Validation rows, or the random slices of the batches (each judged by the model that had not seen it).

    Notes
    -----
    A small validation set says little: with 100 rows and an accuracy of 0.9 the standard error is 0.03. The accuracy
    in the sentence comes with the number of rows.

    Examples
    --------
    >>> TargetAccuracy(0.8).advise([RoundState(1, 40, validation_accuracy=0.85, n_validation=200)]).stop
    True
    """

    _threshold = "target"
    _watches_model = False
    _parameter_constraints: dict = {"target": _SHARE, "measure": _MEASURE}

    def __init__(self, target: float = 0.9, measure: str = "validation") -> None:
        self.target = target
        self.measure = measure

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        measured = _measured(history, self.measure)
        where = _MEASURES[self.measure][2]
        if not measured:
            return None, None, f"there is no accuracy on {where} yet."
        state, accuracy, n = measured[-1]
        verb = "reaches" if accuracy >= self.target else "is below"
        return (
            accuracy >= self.target,
            accuracy,
            f"accuracy {accuracy:.3f} on {n} of {where} (model of round {state.round}) {verb} the target "
            f"{self.target:g}.",
        )


class PerformanceChange(StoppingCriterion):
    """Stop when the accuracy no longer rises: the slope of the last rounds is about zero.

    Parameters
    ----------
    threshold : float, default=0.005
        Accuracy gained per round (slope of the least-squares line) that counts as none.
    window : int, default=4
        Rounds that the line goes through.
    measure : {"validation", "random-slice"}, default="validation"

    References
    ----------
    .. [1] Laws and Schütze, "Stopping criteria for active learning of named entity recognition", COLING 2008. They
       take the gradient of a smoothed estimate; the least-squares line is our smoothing.

    Examples
    --------
    >>> history = [RoundState(r, 40 * r, validation_accuracy=0.8, n_validation=100) for r in range(1, 5)]
    >>> PerformanceChange().advise(history).stop
    True
    """

    _threshold = "threshold"
    _watches_model = False
    _parameter_constraints: dict = {
        "threshold": [Interval(Real, 0, None, closed="left")],
        "window": [Interval(Integral, 2, None, closed="left")],
        "measure": _MEASURE,
    }

    def __init__(self, threshold: float = 0.005, window: int = 4, measure: str = "validation") -> None:
        self.threshold = threshold
        self.window = window
        self.measure = measure

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        measured = _measured(history, self.measure)
        if len(measured) < self.window:
            where = _MEASURES[self.measure][2]
            return None, None, f"the accuracy on {where} is known for {len(measured)} rounds, {self.window} are needed."
        last = measured[-self.window :]
        slope = float(np.polyfit([state.round for state, _, _ in last], [accuracy for _, accuracy, _ in last], 1)[0])
        stop = slope <= self.threshold
        return (
            stop,
            slope,
            f"over the last {self.window} rounds the accuracy changes by {slope:+.4f} per round, "
            + (
                f"no more than {self.threshold:g}: more labels hardly help."
                if stop
                else f"more than {self.threshold:g}."
            ),
        )


class Patience(StoppingCriterion):
    """Stop when the accuracy has found no new best for some rounds.

    Parameters
    ----------
    patience : int, default=3
    min_gain : float, default=0.0
        A new best must be higher by more than this.
    measure : {"validation", "random-slice"}, default="validation"

    Examples
    --------
    >>> scores = [0.7, 0.8, 0.8, 0.79, 0.8]
    >>> history = [RoundState(r, r, validation_accuracy=s, n_validation=9) for r, s in enumerate(scores)]
    >>> Patience(3).advise(history).stop
    True
    """

    _threshold = "patience"
    _watches_model = False
    _parameter_constraints: dict = {
        "patience": _WINDOW,
        "min_gain": [Interval(Real, 0, None, closed="left")],
        "measure": _MEASURE,
    }

    def __init__(self, patience: int = 3, min_gain: float = 0.0, measure: str = "validation") -> None:
        self.patience = patience
        self.min_gain = min_gain
        self.measure = measure

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        measured = _measured(history, self.measure)
        if not measured:
            return None, None, f"there is no accuracy on {_MEASURES[self.measure][2]} yet."
        best, waited = -np.inf, 0
        for _, accuracy, _ in measured:
            if accuracy > best + self.min_gain:
                best, waited = accuracy, 0
            else:
                waited += 1
        stop = waited >= self.patience
        sentence = f"the best accuracy, {best:.3f}, is {waited} rounds old (patience: {self.patience})."
        return stop, float(waited), sentence


class SelectedAccuracy(StoppingCriterion):
    """Stop when the model is right about the very rows it asked for.

    Parameters
    ----------
    threshold : float, default=0.9
        Accuracy, on the last batch that was labelled, of the model that chose it.
    min_labels : int, default=10
        Labels of that batch that must be there.
    min_rounds : int, default=2

    References
    ----------
    .. [1] Zhu, Wang and Hovy, "Multi-criteria-based strategy to stop active learning for data annotation",
       COLING 2008 (accuracy on the selected instances).

    Examples
    --------
    >>> history = [RoundState(1, 40, batch_accuracy=0.95, n_batch=40), RoundState(2, 80)]
    >>> SelectedAccuracy().advise(history).stop
    True
    """

    _threshold = "threshold"
    _parameter_constraints: dict = {"threshold": _SHARE, "min_labels": _WINDOW, **_MIN_ROUNDS}

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


# ---------------------------------------------------------------------------------------------------- stability


def kappa(first: pd.Series, second: pd.Series) -> float:
    """Cohen's κ between two models' predictions, on the rows that both predict.

    Parameters
    ----------
    first, second : Series
        Predicted classes; the index names the rows.

    Returns
    -------
    float
        NaN without common rows, or where both predict one and the same class only (agreement by chance is certain).

    Examples
    --------
    >>> kappa(pd.Series(list("aabb")), pd.Series(list("aabb")))
    1.0
    """
    for argument, values in (("first", first), ("second", second)):
        if not isinstance(values, pd.Series):
            raise TypeError(f"{argument} must be a Series of predicted classes, got {type(values).__name__}")
    both = first.index.intersection(second.index)
    a, b = (part.loc[both].map(_spelled).to_numpy(dtype=str) for part in (first, second))
    if len(both) == 0 or (len(np.unique(np.concatenate([a, b]))) < 2):
        return float("nan")
    return float(cohen_kappa_score(a, b))


def _successive(history: Sequence[RoundState], n: int) -> list[tuple[pd.Series, pd.Series]] | None:
    """The last `n` pairs of neighbouring rounds' predictions, on common rows; ``None`` where there are fewer."""
    if len(history) <= n:
        return None
    pairs = []
    for earlier, later in zip(history[-n - 1 : -1], history[-n:], strict=True):
        if earlier.predictions is None or later.predictions is None:
            return None
        both = earlier.predictions.index.intersection(later.predictions.index)
        if len(both) == 0:
            return None
        pairs.append((earlier.predictions.loc[both], later.predictions.loc[both]))
    return pairs


def _too_few(n: int) -> Judgement:
    return None, None, f"{n + 1} rounds in a row with predictions on the stop set are needed."


class StabilizingPredictions(StoppingCriterion):
    """Stop when successive models agree: the mean of the last Cohen's κ reaches a threshold.

    Parameters
    ----------
    threshold : float, default=0.99
    window : int, default=3
        Pairs of neighbouring rounds.
    min_rounds : int, default=4

    Notes
    -----
    κ is taken on the rows of a fixed stop set that are unlabelled in both rounds. In a comparison of 13 criteria this
    one and `ClassificationChange` were the most reliable [2]_.

    References
    ----------
    .. [1] Bloodgood and Vijay-Shanker, "A method for stopping active learning based on stabilizing predictions and
       the need for user-adjustable stopping", CoNLL 2009.
    .. [2] Pullar-Strecker et al., "Hitting the target: stopping active learning at the cost-based optimum",
       Machine Learning, 2022.

    Examples
    --------
    >>> same = pd.Series(["cat", "dog", "cat"])
    >>> StabilizingPredictions().advise([RoundState(r, 40 * r, same) for r in range(1, 5)]).stop
    True
    """

    _threshold = "threshold"
    _parameter_constraints: dict = {"threshold": _SHARE, "window": _WINDOW, **_MIN_ROUNDS}

    def __init__(self, threshold: float = 0.99, window: int = 3, min_rounds: int = 4) -> None:
        self.threshold = threshold
        self.window = window
        self.min_rounds = min_rounds

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        pairs = _successive(history, self.window)
        if pairs is None:
            return _too_few(self.window)
        values = [kappa(first, second) for first, second in pairs]
        if np.isnan(values).any():
            return False, None, "a model of the last rounds predicts one class only; its agreement means nothing."
        mean = float(np.mean(values))
        shown = ", ".join(f"{value:.3f}" for value in values)
        verb = "reaches" if mean >= self.threshold else "is below"
        return (
            mean >= self.threshold,
            mean,
            f"successive models agree with κ = {shown}; their mean {mean:.3f} {verb} {self.threshold:g}.",
        )


class ClassificationChange(StoppingCriterion):
    """Stop when the predictions no longer change from one round to the next.

    Parameters
    ----------
    threshold : float, default=0.0
        Share of the stop set that may change.
    min_rounds : int, default=3

    References
    ----------
    .. [1] Zhu, Wang and Hovy, COLING 2008 (classification change).

    Examples
    --------
    >>> history = [RoundState(r, r, pd.Series(["cat", "dog"])) for r in range(3)]
    >>> ClassificationChange().advise(history).stop
    True
    """

    _threshold = "threshold"
    _parameter_constraints: dict = {"threshold": _SHARE, **_MIN_ROUNDS}

    def __init__(self, threshold: float = 0.0, min_rounds: int = 3) -> None:
        self.threshold = threshold
        self.min_rounds = min_rounds

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        pairs = _successive(history, 1)
        if pairs is None:
            return _too_few(1)
        first, second = pairs[0]
        changed = int((first.map(_spelled) != second.map(_spelled)).sum())
        share = changed / len(first)
        return (
            share <= self.threshold,
            share,
            f"{changed} of {len(first)} predictions changed in the last round ({share:.1%}, "
            f"threshold {self.threshold:.1%}).",
        )


class PredictedFChange(StoppingCriterion):
    """Stop when the predicted change of the F-measure is small (two classes).

    ``ΔF = 1 − 2a / (2a + b + c)``, where `a` rows are positive in both rounds, and `b` and `c` flip either way.

    Parameters
    ----------
    positive : str, int or bool, optional
        The positive class. Default: the last of the two, numbers by value and strings by name.
    threshold : float, default=0.05
        Every one of the last `window` values must be below.
    window : int, default=3
    min_rounds : int, default=4

    References
    ----------
    .. [1] Altschuler and Bloodgood, "Stopping active learning based on predicted change of F measure for text
       classification", ICSC 2019.

    Examples
    --------
    >>> history = [RoundState(r, r, pd.Series(["no", "yes"])) for r in range(4)]
    >>> PredictedFChange("yes").advise(history).stop
    True
    """

    _threshold = "threshold"
    _parameter_constraints: dict = {
        "positive": [str, Real, "boolean", None],
        "threshold": _SHARE,
        "window": _WINDOW,
        **_MIN_ROUNDS,
    }

    def __init__(
        self,
        positive: str | float | bool | None = None,
        threshold: float = 0.05,
        window: int = 3,
        min_rounds: int = 4,
    ) -> None:
        self.positive = positive
        self.threshold = threshold
        self.window = window
        self.min_rounds = min_rounds

    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        pairs = _successive(history, self.window)
        if pairs is None:
            return _too_few(self.window)
        found = {_spelled(label) for pair in pairs for part in pair for label in part}
        if len(found) > 2:
            return None, None, f"the predicted change of F is defined for two classes; {len(found)} are predicted."
        positive = max(found, key=_order) if self.positive is None else _spelled(self.positive)
        is_positive = [[part.map(_spelled) == positive for part in pair] for pair in pairs]
        values = [_f_change(first, second) for first, second in is_positive]
        if np.isnan(values).any():
            return None, None, f"no row was predicted {positive} in one of the last rounds; ΔF is then 0/0."
        worst = max(values)
        return (
            worst < self.threshold,
            worst,
            f"the predicted change of F of {positive} is {', '.join(f'{value:.3f}' for value in values)} "
            f"(threshold {self.threshold:g}).",
        )


def _spelled(label: Any) -> str:
    """How a class is compared: a label that went through a file is a string, and numpy's scalars are no others."""
    value = label.item() if isinstance(label, np.generic) else label
    # a column with a gap makes floats of whole numbers
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _order(name: str) -> tuple[bool, float, str]:
    """Key of the order of classes: numbers by value, also as the strings that a file makes of them; then names."""
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name


def _f_change(first: pd.Series, second: pd.Series) -> float:
    both, flipped = int((first & second).sum()), int((first != second).sum())
    return float("nan") if both == flipped == 0 else 1.0 - 2.0 * both / (2.0 * both + flipped)


# -------------------------------------------------------------------------------------------------- uncertainty


class OverallUncertainty(StoppingCriterion):
    """Stop when the model is certain about the unlabelled pool: mean of ``H(p) / log K`` below a threshold.

    Parameters
    ----------
    threshold : float, default=0.05
    min_rounds : int, default=2

    Notes
    -----
    It trusts the probabilities. A model that is certain and wrong looks finished.

    References
    ----------
    .. [1] Zhu, Wang and Hovy, COLING 2008 (overall uncertainty).

    Examples
    --------
    >>> OverallUncertainty(min_rounds=1).advise([RoundState(1, 40, mean_entropy=0.2)]).stop
    False
    """

    _threshold = "threshold"
    _parameter_constraints: dict = {"threshold": _SHARE, **_MIN_ROUNDS}

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


class ConfidenceThreshold(StoppingCriterion):
    """Stop when the mean of the largest probability over the unlabelled pool reaches a threshold.

    Parameters
    ----------
    threshold : float, default=0.95
    min_rounds : int, default=2

    Notes
    -----
    It trusts the probabilities, as `OverallUncertainty` does.

    Examples
    --------
    >>> ConfidenceThreshold(0.9, min_rounds=1).advise([RoundState(1, 40, mean_confidence=0.93)]).stop
    True
    """

    _threshold = "threshold"
    _parameter_constraints: dict = {"threshold": _SHARE, **_MIN_ROUNDS}

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


# ------------------------------------------------------------------------------------------------------ by name

_CRITERIA: dict[str, type[StoppingCriterion]] = {
    "budget": Budget,
    "classification-change": ClassificationChange,
    "confidence": ConfidenceThreshold,
    "max-rounds": MaxRounds,
    "overall-uncertainty": OverallUncertainty,
    "patience": Patience,
    "performance-change": PerformanceChange,
    "predicted-f-change": PredictedFChange,
    "selected-accuracy": SelectedAccuracy,
    "stabilizing-predictions": StabilizingPredictions,
    "target-accuracy": TargetAccuracy,
}


def available_criteria() -> list[str]:
    """Names that `get_criterion` knows.

    Examples
    --------
    >>> "budget" in available_criteria()
    True
    """
    return sorted(_CRITERIA)


def get_criterion(name: str, **params: Any) -> StoppingCriterion:
    """Return a criterion by its name; ``NAME=VALUE`` sets its threshold.

    Parameters
    ----------
    name : str
        One of `available_criteria` or the class's name (case, hyphens and underscores do not matter), or such as
        ``"budget=500"``: what is enough for this criterion, such as the labels of a budget, the target of an accuracy,
        the rounds of a patience, the threshold of the others.
    **params
        The criterion's parameters.

    Returns
    -------
    StoppingCriterion

    Raises
    ------
    ValueError
        There is no such criterion, or the value does not fit.

    Examples
    --------
    >>> get_criterion("budget=500")
    Budget(max_labels=500)
    >>> get_criterion("predicted-f-change=0.1")
    PredictedFChange(threshold=0.1)
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    plain, equals, value = (part.strip() for part in name.partition("="))
    kind = _CRITERIA[find_name(plain, dict(sorted(_CRITERIA.items())), "stopping criterion")]
    if equals and kind._threshold in params:
        raise ValueError(f"{name!r} sets {kind._threshold}, and so does {kind._threshold}={params[kind._threshold]!r}")
    criterion = kind(**params, **({kind._threshold: _number(value)} if equals else {}))
    criterion._validate_params()
    return criterion


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def as_criteria(criteria: Any) -> list[StoppingCriterion]:
    """Criteria from objects, names, or a mix of them."""
    if isinstance(criteria, str | StoppingCriterion):
        criteria = [criteria]
    if isinstance(criteria, Mapping) or not hasattr(criteria, "__iter__"):
        raise TypeError(f"criteria must be a list of stopping criteria or their names, got {criteria!r}")
    found = [get_criterion(value) if isinstance(value, str) else value for value in criteria]
    for value in found:
        if not isinstance(value, StoppingCriterion):
            raise TypeError(f"criteria holds {value!r}, which is not a StoppingCriterion")
        value._validate_params()
    return found
