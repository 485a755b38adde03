"""Who labels in an experiment: somebody who errs, skips rows, or is one of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skmmal._arrays import numeric
from skmmal._labels import several_labels as states_of
from skmmal._random import check_rng
from skmmal._sklearn import Interval

__all__ = ["Answers", "NoisyAnnotator", "answers_to", "check_annotator"]


class NoisyAnnotator(BaseEstimator):
    """Annotators who answer wrongly, or not at all.

    Parameters
    ----------
    error_rate : float or sequence of float, in [0, 1], default=0.0
        Share of an annotator's answers that are wrong: any other class, all of them equally often. A sequence has one
        for each annotator.
    skip_rate : float or sequence of float, in [0, 1], default=0.0
        Share of the rows that an annotator does not answer.
    confusion : array-like of shape (n_classes, n_classes), optional
        In place of `error_rate`: what is answered (column) to rows of each class (row), as probabilities; classes in
        sorted order. A matrix for all annotators.
    n_annotators : int, default=1
        How many answer each row, independently. The class with most answers counts; on ties one of these is drawn. A
        row without any answer is skipped.

    Notes
    -----
    In `run_experiment` a row gets the same answer whichever strategy asks for it in whichever round: answers follow
    from the seed of the run, so that strategies are compared under the same mistakes. A row that was skipped has been
    asked for, and counts in ``n_labeled``; it gets no label, and nobody asks for it again. Several annotators do not
    count several times.

    Any function ``(X, y, random_state)`` that returns labels and which rows have one may stand in its place, so that
    mistakes may depend on the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.experiment import NoisyAnnotator
    >>> y = np.arange(10_000) % 4
    >>> labels, answered = NoisyAnnotator(error_rate=0.2, skip_rate=0.1)(None, y, random_state=0)
    >>> f"{(labels != y)[answered].mean():.1f} {answered.mean():.1f}"
    '0.2 0.9'
    >>> labels, _ = NoisyAnnotator(error_rate=0.2, n_annotators=3)(None, y, random_state=0)
    >>> f"{(labels != y).mean():.1f}"
    '0.1'
    """

    _parameter_constraints: dict = {
        "error_rate": [Interval(Real, 0, 1, closed="both"), "array-like"],
        "skip_rate": [Interval(Real, 0, 1, closed="both"), "array-like"],
        "confusion": ["array-like", None],
        "n_annotators": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        error_rate: float | Sequence[float] = 0.0,
        skip_rate: float | Sequence[float] = 0.0,
        *,
        confusion: Any = None,
        n_annotators: int = 1,
    ) -> None:
        self.error_rate = error_rate
        self.skip_rate = skip_rate
        self.confusion = confusion
        self.n_annotators = n_annotators

    def __call__(self, X: Any, y: Any, random_state: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Label rows.

        Parameters
        ----------
        X : array-like
            The rows; these annotators do not look at them.
        y : array-like of shape (n_samples,)
            Their true classes.
        random_state : int, RandomState, Generator or None
            Draws the answers.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            The answers; where there is none, any class.
        answered : ndarray of bool, shape (n_samples,)
            Which rows have one.

        Raises
        ------
        TypeError, ValueError
            Rates or the matrix cannot be used.
        """
        self._validate_params()
        rng = check_rng(random_state)
        names, codes = np.unique(y, return_inverse=True)
        rows, votes = np.arange(len(codes)), np.zeros((len(codes), len(names)), dtype=int)
        errors, skips = (self._rates(name) for name in ("error_rate", "skip_rate"))
        for error, skip in zip(errors, skips, strict=True):
            below = np.cumsum(self._chances(error, len(names)), axis=1)[codes, :-1]
            said = (rng.random_sample(len(codes))[:, None] >= below).sum(axis=1)
            votes[rows, said] += rng.random_sample(len(codes)) >= skip
        most = (votes + rng.random_sample(votes.shape)).argmax(axis=1)  # less than one: ties are drawn
        return names[most], np.asarray(votes.any(axis=1))

    def _rates(self, name: str) -> np.ndarray:
        """A rate for each annotator."""
        given = np.asarray(getattr(self, name), dtype=float)
        if given.ndim > 1 or given.size not in (1, self.n_annotators) or not ((given >= 0) & (given <= 1)).all():
            raise ValueError(
                f"{name} must be a number from 0 to 1, or one for each of n_annotators={self.n_annotators}; got "
                f"{getattr(self, name)!r}"
            )
        return np.broadcast_to(given.ravel(), self.n_annotators)

    def _chances(self, error: float, n_classes: int) -> np.ndarray:
        """Probability of each answer (column) to each class (row)."""
        if self.confusion is None:
            wrong = error / (n_classes - 1) if n_classes > 1 else 0.0
            return np.where(np.eye(n_classes, dtype=bool), 1.0 - wrong * (n_classes - 1), wrong)
        if np.any(self.error_rate):
            raise ValueError("error_rate and confusion both say how often an answer is wrong: give one of them")
        matrix = np.asarray(self.confusion, dtype=float)
        if matrix.shape != (n_classes, n_classes):
            raise ValueError(f"confusion has shape {matrix.shape}, and there are {n_classes} classes")
        if not (matrix >= 0).all() or not np.allclose(matrix.sum(axis=1), 1.0):
            raise ValueError("confusion must hold probabilities, each row of which sums to one")
        return matrix / matrix.sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Answers:
    """Labels of all rows as they would be answered, and which rows have one."""

    labels: np.ndarray
    answered: np.ndarray

    def among(self, rows: np.ndarray) -> np.ndarray:
        """Those of some rows that have a label."""
        return rows[self.answered[rows]]


def check_annotator(annotator: Any, *, several_labels: bool = False) -> Any:
    """Refuse what cannot label.

    Parameters
    ----------
    annotator : callable or None
        As of `run_experiment`.
    several_labels : bool, default=False
        Whether rows have several labels.

    Returns
    -------
    callable or None
        The same.
    """
    if isinstance(annotator, type) or not (annotator is None or callable(annotator)):
        raise TypeError(
            "annotator must be a NoisyAnnotator or a function (X, y, random_state) that returns labels and which rows "
            f"have one; got {annotator!r}"
        )
    if several_labels and isinstance(annotator, NoisyAnnotator):
        raise ValueError(
            "NoisyAnnotator confuses the classes of rows that have one; for several labels a row give a function "
            "(X, y, random_state) that returns an indicator matrix and which rows have an answer"
        )
    return annotator


def answers_to(annotator: Any, X: Any, y: np.ndarray, classes: np.ndarray, random_state: int) -> Answers:
    """Ask an annotator about all rows.

    Parameters
    ----------
    annotator : callable or None
        ``None``: all answers are right.
    X : array-like
        Rows.
    y : ndarray of shape (n_samples,)
        Their true classes.
    classes : ndarray
        What may be answered.
    random_state : int
        For the annotator.

    Returns
    -------
    Answers

    Raises
    ------
    TypeError, ValueError
        It returned something else than a class and a boolean for each row.
    """
    if annotator is None:
        return Answers(y, np.ones(len(y), dtype=bool))
    returned = annotator(X, y, random_state=random_state)
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"annotator must return labels and which rows have one, got a {type(returned).__name__}")
    labels, answered = (np.asarray(part) for part in returned)
    if labels.shape != y.shape or answered.shape != y.shape[:1] or answered.dtype != bool:
        raise ValueError(
            f"annotator returned labels of shape {labels.shape}, and {answered.dtype} of shape {answered.shape} to say "
            f"which rows have one; expected a label and a boolean for each of {len(y)} rows"
        )
    if y.ndim == 2:
        found = states_of(labels)
        assert found is not None
        return Answers(found[0] if np.isnan(found[0]).any() else found[0].astype(np.intp), answered)
    if not classes.size:
        return Answers(numeric(labels, "annotator's answers", 1).astype(np.float64), answered)
    unknown = np.flatnonzero(answered & ~np.isin(labels, classes))
    if len(unknown):
        raise ValueError(f"annotator answered {labels[unknown[0]]!r} to row {unknown[0]}; the classes are {classes}")
    return Answers(labels, answered)
