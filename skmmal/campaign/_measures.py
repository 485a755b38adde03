"""How good predictions are on rows whose labels are known, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import r2_score

__all__ = ["Measures", "average_precisions", "measure_classes", "measure_numbers", "measure_sets", "wilson"]

N_RESAMPLES = 500
"""Of the rows, or of the groups, for a 95 % interval by the bootstrap's percentiles."""


@dataclass
class Measures:
    """Share of the rows that were predicted rightly, of how many, with a 95 % interval; and what else was measured.

    Of numbers there is no such share.
    """

    accuracy: float | None = None
    n: int = 0
    low: float | None = None
    high: float | None = None
    more: dict[str, float] = field(default_factory=dict)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share, after Wilson.

    Examples
    --------
    >>> [round(bound, 3) for bound in wilson(8, 10)]
    [0.49, 0.943]
    """
    interval = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def measure_classes(labels: Any, predicted: Any, units: Any = None) -> Measures:
    """Accuracy of predicted classes.

    Parameters
    ----------
    labels, predicted : sequence of str
        One class for each row.
    units : array-like of shape (n,), optional
        What was drawn at random, if that is not single rows: the group of each row. The interval is then Wilson's or
        the bootstrap's over groups, whichever reaches further.

    Returns
    -------
    Measures
    """
    return _share(np.asarray(predicted, dtype=object) == np.asarray(labels, dtype=object), units)


def _share(hits: np.ndarray, units: Any) -> Measures:
    if not len(hits):
        return Measures()
    low, high = wilson(int(hits.sum()), len(hits))
    if units is not None:  # rows of a group are alike; of few groups the bootstrap knows little
        least, most = _interval(_resampled(len(hits), units), lambda weights: weights @ hits / weights.sum(axis=1))
        low, high = min(low, least), max(high, most)
    return Measures(float(hits.mean()), len(hits), low, high)


def measure_sets(truth: np.ndarray, predicted: np.ndarray, scores: Any = None, units: Any = None) -> Measures:
    """Compare sets of labels.

    Parameters
    ----------
    truth, predicted : ndarray of shape (n, L)
        One, zero, and in `truth` NaN where nobody knows.
    scores : array-like of shape (n, L), optional
        Probabilities of the labels.
    units : array-like of shape (n,), optional
        What was drawn at random, if that is not single rows: the group of each row.

    Returns
    -------
    Measures
        ``accuracy`` is subset accuracy: the share of the rows, among those of which all labels are known, all of whose
        labels are right. ``more``: ``hamming_loss`` (share of the known labels that are wrong), and
        ``mean_average_precision`` over the ``n_labels`` labels that some row has, each with ``_low`` and ``_high``
        (bootstrap over rows or groups, percentiles).
    """
    known = ~np.isnan(truth)
    whole = known.all(axis=1)
    units = None if units is None else np.asarray(units)
    found = _share((truth == predicted)[whole].all(axis=1), None if units is None else units[whole])
    rows = known.any(axis=1)
    if not rows.any():
        return found
    truth, known, wrong = truth[rows], known[rows], ((truth != predicted) & known)[rows]
    weights = _resampled(len(truth), None if units is None else units[rows])
    n_wrong, n_known = wrong.sum(axis=1), known.sum(axis=1)
    low, high = _interval(weights, lambda weights: weights @ n_wrong / (weights @ n_known))
    loss = float(n_wrong.sum() / n_known.sum())
    found.more = {"hamming_loss": loss, "hamming_loss_low": low, "hamming_loss_high": high}
    if scores is not None:
        values = np.asarray(scores, dtype=np.float64)[rows]
        precisions = _mean_precision(truth, values, np.ones((1, len(truth))))
        if np.isfinite(precisions[0]):
            low, high = _interval(weights, lambda weights: _mean_precision(truth, values, weights))
            name = "mean_average_precision"
            found.more |= {name: float(precisions[0]), f"{name}_low": low, f"{name}_high": high}
            found.more["n_labels"] = int((truth == 1).any(axis=0).sum())
    return found


def measure_numbers(truth: np.ndarray, predicted: np.ndarray, units: Any = None) -> Measures:
    """Compare numbers.

    Parameters
    ----------
    truth, predicted : ndarray of float64, shape (n,)
    units : array-like of shape (n,), optional
        What was drawn at random, if that is not single rows: the group of each row.

    Returns
    -------
    Measures
        ``accuracy`` is ``None``: numbers are not right or wrong. ``more``: ``mae``, the mean absolute error, with
        ``mae_low`` and ``mae_high`` (bootstrap over rows or groups, percentiles), and ``r2``, the coefficient of
        determination (NaN where all numbers are the same).
    """
    if not len(truth):
        return Measures()
    errors = np.abs(truth - predicted)
    low, high = _interval(_resampled(len(truth), units), lambda weights: weights @ errors / weights.sum(axis=1))
    r2 = float(r2_score(truth, predicted)) if np.ptp(truth) > 0 else float("nan")
    return Measures(None, len(truth), more={"mae": float(errors.mean()), "mae_low": low, "mae_high": high, "r2": r2})


def _resampled(n: int, units: Any) -> np.ndarray:
    """How often each row is drawn, (N_RESAMPLES, n), where rows, or whole groups, are drawn with replacement."""
    codes = np.arange(n) if units is None else np.unique(units, return_inverse=True)[1]
    n_units = int(codes.max()) + 1
    rng = np.random.RandomState(0)  # the same rows give the same interval
    return rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=N_RESAMPLES)[:, codes]


def _interval(weights: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    with np.errstate(invalid="ignore"):
        values = statistic(weights)
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, [2.5, 97.5]) if len(values) else (np.nan, np.nan)
    return float(low), float(high)


def _mean_precision(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean average precision (B,) over the labels that some drawn row has; NaN where none has."""
    total, n = np.zeros(len(weights)), np.zeros(len(weights))
    for column in np.flatnonzero((truth == 1).any(axis=0)):
        known = ~np.isnan(truth[:, column])
        values = average_precisions(truth[known, column] == 1, scores[known, column], weights[:, known])
        total += np.nan_to_num(values)
        n += np.isfinite(values)
    return np.divide(total, n, out=np.full(len(weights), np.nan), where=n > 0)


def average_precisions(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision of a label under many weights of the rows at once.

    Parameters
    ----------
    truth : ndarray of bool, shape (n,)
    scores : ndarray of shape (n,)
    weights : ndarray of shape (B, n)

    Returns
    -------
    ndarray of shape (B,)
        Each as scikit-learn's `average_precision_score` with ``sample_weight``; NaN where the rows that have the label
        weigh nothing.
    """
    order = np.argsort(-scores, kind="stable")
    drawn = weights[:, order].astype(np.float64)
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # rows of one score come together
    n_hits = np.cumsum(drawn * truth[order], axis=1)[:, ends]
    n_drawn = np.cumsum(drawn, axis=1)[:, ends]
    precision = np.divide(n_hits, n_drawn, out=np.zeros(n_hits.shape), where=n_drawn > 0)
    gained = np.diff(n_hits, axis=1, prepend=0.0)
    n_positive = n_hits[:, -1]
    found = np.full(len(weights), np.nan)
    return np.divide((gained * precision).sum(axis=1), n_positive, out=found, where=n_positive > 0)
