"""Whether choosing helps: the strategy's labels against labels that were drawn at random, on rows drawn at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import KFold

from skmmal.campaign._answers import can_be_learned
from skmmal.campaign._measures import wilson

__all__ = ["FEWEST", "Benefit", "compare_with_random"]

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the random labels' number: how many chosen ones are tried, to see how few are enough."""
FEWEST = 20
"""Labels drawn at random; with fewer nothing is said."""


@dataclass
class Benefit:
    """What choosing has brought, as far as the rows that were drawn at random can tell.

    Parameters
    ----------
    n_random, n_chosen : int
        Labels of rows that were drawn at random, and of those that the strategy chose.
    curve : DataFrame
        ``labels`` (how many a model was fitted on), ``random`` and ``chosen`` (accuracy on rows drawn at random that
        the model did not see; NaN where there are too few labels).
    accuracy, accuracy_low, accuracy_high : float
        Of a model that was fitted on all labels but the fold's, with its 95 % interval. Where rows have several labels,
        here and in all the others: the mean share of a row's labels that are right.
    difference, low, high : float
        Accuracy with chosen labels less that with as many random ones, and its 95 % interval.
    saved : float
        Share of the random labels that choosing would have spared; NaN where it does not come up to them.
    sentences : list of str
        The same in words.

    Notes
    -----
    The interval of the difference is that of a mean over rows, with the variance that Nadeau and Bengio correct for
    models that learn from overlapping rows ("Inference for the generalization error", Machine Learning 52, 2003,
    section 3.1), here of the random rows; which rows the strategy happened to choose is not in it.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmmal.campaign import Benefit
    >>> curve = pd.DataFrame({"labels": [40, 80], "random": [0.6, 0.7], "chosen": [0.66, 0.74]})
    >>> found = Benefit(80, 80, curve, 0.75, 0.65, 0.84, 0.04, 0.01, 0.07, 0.2, ["Choosing has helped so far."])
    >>> found.to_dict()["difference"], found.sentences[0]
    (0.04, 'Choosing has helped so far.')
    """

    n_random: int
    n_chosen: int
    curve: pd.DataFrame
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    difference: float
    low: float
    high: float
    saved: float
    sentences: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values.

        Returns
        -------
        dict
            The curve as a list of its lines.
        """
        return {**vars(self), "curve": self.curve.to_dict("records")}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Benefit:
        """Make it of what `to_dict` gave, also after it was JSON, in which NaN is null.

        Parameters
        ----------
        content : mapping
            Plain values.

        Returns
        -------
        Benefit
        """
        numbers: dict[str, Any] = {name: float("nan") if value is None else value for name, value in content.items()}
        return cls(**{**numbers, "curve": pd.DataFrame(content["curve"])})


def compare_with_random(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    is_random: np.ndarray,
    *,
    classes: Sequence[str] | None = None,
    n_folds: int = 5,
    seed: int = 0,
) -> Benefit:
    """Compare labels that were chosen with as many that were drawn at random.

    The rows drawn at random are divided into folds. For each fold one model learns from the other folds, and one from
    as many of the chosen rows, in the order in which they were labelled; both are asked about the fold.

    Parameters
    ----------
    estimator : classifier
        Cloned for every fit, with its random state set.
    X : MultimodalArray of shape (n_labeled, n_features)
        Labelled rows, in the order of their rounds.
    y : ndarray of shape (n_labeled,) or (n_labeled, n_classes)
        Their classes; or for each label one, zero, and NaN where it is not known.
    is_random : ndarray of bool, shape (n_labeled,)
        Rows of the random slices.
    classes : sequence of str, optional
        Names of the labels, where rows have several.
    n_folds : int, default=5
        Of the random rows.
    seed : int, default=0
        Draws the folds.

    Returns
    -------
    Benefit

    Raises
    ------
    ValueError
        There are too few labels of either kind.

    Notes
    -----
    Rows of later slices are drawn from what the strategy has left, so that easy regions are a little more frequent
    among them than among all rows.

    References
    ----------
    .. [1] Attenberg and Provost, "Inactive learning? Difficulties employing active learning in practice", SIGKDD
       Explorations 12(2), 2010 (on knowing whether it helps while it runs).
    """
    drawn, chosen = np.flatnonzero(is_random), np.flatnonzero(~is_random)
    n_folds = min(n_folds, len(drawn))
    n_train = len(drawn) - -(-len(drawn) // max(n_folds, 1))
    if len(drawn) < FEWEST or len(chosen) < n_train:
        raise ValueError(
            f"{len(drawn)} labels of rows drawn at random and {len(chosen)} of rows that were chosen are too few to "
            f"compare: at least {FEWEST} drawn ones (--random-fraction), and about as many chosen ones, are needed"
        )
    sizes = sorted({max(2, round(share * n_train)) for share in SHARES})
    hits = {(kind, size): np.full(len(drawn), np.nan) for kind in ("random", "chosen") for size in sizes}
    everything = np.zeros(len(drawn))
    for train, test in KFold(n_folds, shuffle=True, random_state=seed).split(drawn):
        fold = drawn[test]
        for size in sizes:
            for kind, rows in (("random", drawn[train]), ("chosen", chosen)):
                hits[kind, size][test] = _hits(estimator, X, y, rows[:size], fold, classes)
        everything[test] = _hits(estimator, X, y, np.setdiff1d(np.arange(len(y)), fold), fold, classes)
    curve = pd.DataFrame(
        [(size, hits["random", size].mean(), hits["chosen", size].mean()) for size in sizes],
        columns=["labels", "random", "chosen"],
    )
    differences = hits["chosen", sizes[-1]] - hits["random", sizes[-1]]
    return _judged(curve, differences, everything, n_folds, len(chosen), y.ndim > 1)


def _hits(
    estimator: Any, X: Any, y: np.ndarray, rows: np.ndarray, asked: np.ndarray, classes: Sequence[str] | None
) -> np.ndarray:
    """Whether a model of some rows is right about others, or about what share of their labels.

    Of one class only it says that class; of labels that all have or none, that.
    """
    if y.ndim > 1:
        if can_be_learned(y[rows]):
            model = clone(estimator).fit(X[rows], y[rows], classes=np.array(classes, dtype=str))
            said = model.predict_proba(X[asked]) > 0.5
        else:
            said = np.nan_to_num(y[rows]).any(axis=0)[None, :]
        right = np.where(np.isnan(y[asked]), np.nan, said == y[asked])
        return np.nanmean(right, axis=1)
    if len(np.unique(y[rows])) < 2:
        return (y[asked] == y[rows[0]]).astype(float)
    return (clone(estimator).fit(X[rows], y[rows]).predict(X[asked]) == y[asked]).astype(float)


def _mean_interval(shares: np.ndarray) -> tuple[float, float]:
    """95 % interval of a mean of shares."""
    half = stats.t.ppf(0.975, len(shares) - 1) * stats.sem(shares)
    return max(0.0, float(shares.mean() - half)), min(1.0, float(shares.mean() + half))


def _judged(
    curve: pd.DataFrame, differences: np.ndarray, hits: np.ndarray, n_folds: int, n_chosen: int, several: bool
) -> Benefit:
    n_random, difference = len(differences), float(differences.mean())
    # models of overlapping rows err together: a variance larger by the share of a fold in what the others learn from
    spread = stats.sem(differences) * np.sqrt(1.0 + n_folds / (n_folds - 1.0))
    half = float(stats.t.ppf(0.975, n_random - 1) * spread)
    low, high = difference - half, difference + half
    now_low, now_high = _mean_interval(hits) if several else wilson(int(hits.sum()), len(hits))
    last = curve.iloc[-1]
    enough = curve["labels"][curve["chosen"] >= last["random"]]
    saved = float(1 - enough.iloc[0] / last["labels"]) if len(enough) else float("nan")
    n = int(last["labels"])
    what = "Share of a row's labels that are right" if several else "Accuracy"
    lines = [
        f"{what} with {n_random + n_chosen} labels, on {n_random} rows drawn at random that the models did not see: "
        f"{hits.mean():.3f} (95 % interval {now_low:.3f} to {now_high:.3f}).",
        f"With {n} labels that were chosen it is {last['chosen']:.3f}, with {n} that were drawn at random "
        f"{last['random']:.3f}: {difference:+.3f} (95 % interval {low:+.3f} to {high:+.3f}).",
    ]
    if low > 0:
        lines.append(f"Choosing helps: {int(enough.iloc[0])} chosen labels do what {n} random ones do.")
    elif high < 0:
        lines.append(
            "Choosing does harm here: it is worse than drawing rows at random. Another strategy may do better."
        )
    else:
        lines.append("So far choosing does not beat drawing rows at random; the difference may be chance.")
    return Benefit(
        n_random,
        n_chosen,
        curve,
        float(hits.mean()),
        now_low,
        now_high,
        difference,
        low,
        high,
        saved,
        lines,
    )
