"""Which strategy is better over several data sets: average ranks, and whether they differ."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from skmmal._arrays import integer, number

__all__ = ["average_ranks", "critical_difference", "friedman"]


def average_ranks(scores: pd.DataFrame) -> pd.Series:
    """Average rank of each strategy over data sets; 1 is the best, ties share.

    Parameters
    ----------
    scores : DataFrame of shape (n_datasets, n_strategies)
        Larger is better; for example, the areas under the learning curves.

    Returns
    -------
    Series
        Sorted, the best first.

    Examples
    --------
    >>> import pandas as pd
    >>> average_ranks(pd.DataFrame({"a": [.9, .8], "b": [.7, .8]})).to_dict()
    {'a': 1.25, 'b': 1.75}
    """
    _check_scores(scores)
    return scores.rank(axis=1, ascending=False).mean().sort_values(kind="stable")


def _check_scores(scores: pd.DataFrame) -> None:
    if not isinstance(scores, pd.DataFrame) or not all(map(pd.api.types.is_numeric_dtype, scores.dtypes)):
        raise TypeError("scores must be a DataFrame of numbers, data sets × strategies")
    if scores.size == 0:
        raise ValueError(f"scores is empty, shape {scores.shape}")
    if scores.isna().to_numpy().any():
        raise ValueError("scores hold NaN: every strategy needs a score on every data set")


def friedman(scores: pd.DataFrame) -> float:
    """Return the p-value of Friedman's test that all strategies rank the same.

    Parameters
    ----------
    scores : DataFrame of shape (n_datasets, n_strategies)
        Three strategies or more.

    Returns
    -------
    float
        1 where all strategies have the same score on every data set.

    Examples
    --------
    >>> import pandas as pd
    >>> round(friedman(pd.DataFrame({"a": [.9, .8, .7], "b": [.7, .6, .5], "c": [.4, .3, .2]})), 3)
    0.05
    """
    _check_scores(scores)
    if scores.shape[1] < 3 or scores.shape[0] < 2:
        raise ValueError(f"Friedman's test needs 2 data sets and 3 strategies, found {scores.shape}")
    if (scores.nunique(axis=1) == 1).all():
        return 1.0  # equal everywhere: no difference, where the statistic is 0/0
    return float(stats.friedmanchisquare(*(scores[name] for name in scores)).pvalue)


def critical_difference(n_strategies: int, n_datasets: int, confidence: float = 0.95) -> float:
    """Nemenyi's critical difference of average ranks: ``q √(k (k + 1) / 6N)``.

    Two strategies whose average ranks differ by less cannot be told apart. Meaningful from about ten data sets on.

    Parameters
    ----------
    n_strategies : int
        Two or more.
    n_datasets : int
        That the ranks are means of.
    confidence : float, default=0.95
        Of the test.

    Returns
    -------
    float
        In ranks.

    References
    ----------
    .. [1] Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006, section 3.2.2.

    Examples
    --------
    Demšar's example, five classifiers on 30 data sets:

    >>> round(critical_difference(5, 30), 3)
    1.114
    """
    integer(n_strategies, "n_strategies", 2)
    integer(n_datasets, "n_datasets", 1)
    confidence = number(confidence, "confidence", 0, 1)
    q = stats.studentized_range.ppf(confidence, n_strategies, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(n_strategies * (n_strategies + 1) / (6 * n_datasets)))
