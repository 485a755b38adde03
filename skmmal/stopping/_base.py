"""What a stopping criterion is: it looks at the rounds so far and gives advice. It halts nothing itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import entr
from sklearn.base import BaseEstimator

from skmmal._probabilities import check_distribution
from skmmal._sklearn import Interval

COUNT = [Interval(Integral, 1, None, closed="left")]
SHARE = [Interval(Real, 0, 1, closed="both")]


@dataclass(frozen=True, eq=False)
class RoundState:
    """What a criterion may know of one round: its model, and what was measured with it.

    Parameters
    ----------
    round : int
        Number of the round.
    n_labeled : int
        Labels that the round's model was fitted on.
    predictions : Series, optional
        Predicted class of the rows of the stop set (the index) that have no label in this round. The stop set is the
        same in every round; two rounds are compared on the rows that both hold.
    mean_confidence, mean_entropy : float, optional
        Means over the unlabelled pool: largest probability, and entropy divided by log K (0 to 1).
    validation_accuracy : float, optional
        On rows that are labelled and never trained on.
    n_validation : int, default=0
        How many rows those are.
    random_accuracy : float, optional
        Of this round's model on a random slice of the next batch, known once its labels are there.
    n_random : int, default=0
        Labelled rows of that slice.
    batch_accuracy : float, optional
        Of this round's model on the whole next batch, known once its labels are there.
    n_batch : int, default=0
        Labelled rows of that batch.

    Examples
    --------
    >>> from skmmal.stopping import RoundState
    >>> RoundState(3, 120, validation_accuracy=0.8, n_validation=50).n_labeled
    120
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
        """Summarize a model by its probabilities on the unlabelled rows.

        Parameters
        ----------
        round : int
            Number of the round.
        n_labeled : int
            Labels that the model was fitted on.
        probabilities : array-like of shape (n_rows, n_classes)
            Of every unlabelled row.
        classes : array-like of shape (n_classes,)
            What the columns stand for.
        stop_rows : mapping of row position to name, optional
            Which rows belong to the stop set, and what they are called in every round. Default: all, by position.
        **measured : float or int
            Further fields.

        Returns
        -------
        RoundState
            With `predictions`, `mean_confidence` and `mean_entropy`.

        Raises
        ------
        ValueError
            Rows that are no distribution (logits, independent probabilities), or of another width than `classes`.

        Examples
        --------
        >>> from skmmal.stopping import RoundState
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

    Parameters
    ----------
    criterion : str
        Its name.
    stop : bool or None
        ``None``: nothing can be said yet.
    value : float or None
        What was measured.
    sentence : str
        The same in words.

    Examples
    --------
    >>> from skmmal.stopping import Budget, RoundState
    >>> Budget(100).advise([RoundState(1, 120)])
    Advice(criterion='budget', stop=True, ...)
    """

    criterion: str
    stop: bool | None
    value: float | None
    sentence: str


Judgement = tuple[bool | None, float | None, str]
"""Whether to stop, the value measured, and a sentence."""


class StoppingCriterion(BaseEstimator):
    """Base class: parameters as in scikit-learn, one verb `advise`, one hook `_judge`.

    A criterion keeps nothing between calls: it looks at the whole history each time, so it can be asked again after
    a crash, or about the past.

    Attributes
    ----------
    name : str
        What `get_criterion` calls it; by default the name of the class.
    main_parameter : str
        The parameter that ``NAME=VALUE`` sets: how much is enough.
    needs : tuple of str
        Fields of `RoundState` without which it can say nothing, beside the number of labels.
    watches_model : bool
        Whether a model that predicts one class only fools the criterion.

    Examples
    --------
    >>> from skmmal.stopping import RoundState, StoppingCriterion
    >>> class EvenRounds(StoppingCriterion):
    ...     def _judge(self, history):
    ...         return history[-1].round % 2 == 0, None, f"round {history[-1].round}."
    >>> EvenRounds().advise([RoundState(2, 40)]).stop
    True
    """

    name: ClassVar[str]
    main_parameter: ClassVar[str] = "threshold"
    needs: ClassVar[tuple[str, ...]] = ()
    watches_model: ClassVar[bool] = True
    _parameter_constraints: dict = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in vars(cls):  # an heir of a criterion is another one, and must not pass for it
            cls.name = cls.__name__

    @abstractmethod
    def _judge(self, history: Sequence[RoundState]) -> Judgement:
        """Judge the last of `min_rounds` rounds or more."""

    def checked(self) -> Self:
        """Return the criterion, unless a parameter cannot be used.

        Returns
        -------
        StoppingCriterion
            Itself.

        Raises
        ------
        ValueError
            A parameter has a value that it cannot have.
        """
        self._validate_params()
        return self

    def advise(self, history: Sequence[RoundState]) -> Advice:
        """Say whether to stop after the last round of the history.

        Parameters
        ----------
        history : sequence of RoundState
            In order, from the first round.

        Returns
        -------
        Advice
            With `stop` None as long as nothing can be said.

        Raises
        ------
        ValueError
            The rounds are not in order, or a parameter cannot be used.
        """
        self.checked()
        if not isinstance(history, Sequence) or not all(isinstance(state, RoundState) for state in history):
            raise TypeError("history must be a sequence of RoundState")
        numbers = [state.round for state in history]
        if any(later <= earlier for earlier, later in pairwise(numbers)):
            raise ValueError(f"history must be in the order of the rounds, found {numbers}")
        return Advice(self.name, *self._guarded(list(history)))

    def _guarded(self, history: list[RoundState]) -> Judgement:
        least = int(getattr(self, "min_rounds", 1))
        if len(history) < least:
            return None, None, f"{len(history)} of at least {least} rounds with a model are done; too early to say."
        predictions = history[-1].predictions
        if self.watches_model and predictions is not None and len(predictions) > 0 and predictions.nunique() < 2:
            return (
                False,
                None,
                f"the model predicts {predictions.iloc[0]!s} for every row; such a model looks stable and certain, and "
                "says nothing about when to stop.",
            )
        return self._judge(history)
