"""Which strategy is better, and how sure we are: on tidy frames with strategy, seed, round and n_labeled."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from skmmal._arrays import number
from skmmal._names import did_you_mean
from skmmal.experiment._common_range import check_metric, check_once, comparable

__all__ = [
    "area_per_seed",
    "area_under_curve",
    "compare",
    "holm",
    "labels_saved",
    "labels_to_reach",
    "pairwise_matrix",
]

_RESAMPLES = 9999


def _check_curves(frame: pd.DataFrame, metric: str, x: str = "n_labeled") -> None:
    check_metric(frame, metric)
    if x not in frame.columns:
        known = [name for name in ("n_labeled", "n_groups", "cost") if name in frame.columns]
        raise ValueError(f"x: frame has no column {x!r}; curves can be over {known}")
    check_once(frame)


def _names(frame: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(frame["strategy"]))


def _by_seed(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Rounds × (strategy, seed)."""
    return frame.pivot(index="round", columns=["strategy", "seed"], values=metric)


# -------------------------------------------------------------------------------------------- pairwise matrix


def pairwise_matrix(
    frames: pd.DataFrame | Sequence[pd.DataFrame], metric: str = "accuracy", confidence: float = 0.9
) -> pd.DataFrame:
    """Share of the rounds in which one strategy beats another significantly, summed over experiments.

    For each round and pair of strategies, a two-sided t-test of the differences, paired by seed. A significant
    difference adds ``1 / L`` to the winner's row in the loser's column, L the number of rounds; one experiment thus
    adds at most 1. Of runs that have not ended, the `common_range` is compared, with a warning. Rounds in which all
    strategies have the same numbers (the first, from shared rows) are not counted.

    Parameters
    ----------
    frames : DataFrame or list of DataFrame
        ``results.frame`` of one experiment, or of several with the same strategies.
    metric : str, default="accuracy"
        Larger is better.
    confidence : float, default=0.9
        Significant: the two-sided p-value is below ``1 − confidence``.

    Returns
    -------
    DataFrame of shape (n_strategies, n_strategies)
        Row beats column. The mean of a column is how often that strategy is beaten.

    Raises
    ------
    ValueError
        Fewer than two common seeds, or experiments with different strategies.

    Notes
    -----
    With few seeds this test sees little; with many strategies some wins are chance (no correction is made, as in the
    papers). A difference of zero in every seed, or a missing value, is no win.

    References
    ----------
    .. [1] Ash et al., "Deep batch active learning by diverse, uncertain gradient lower bounds", ICLR 2020, section 4.
    .. [2] Shen et al., ACM MM 2023, figure 5: confidence 0.9, every round counted.

    Examples
    --------
    Two seeds, two rounds after the shared first one. In round 1 the differences are .10 and .12: mean .11,
    standard deviation .0141, t = √2 · .11 / .0141 = 11, beyond the critical 6.31 (one degree of freedom, 0.9). In
    round 2 they are .10 and −.02: t = 0.67, not significant. So ``a`` beats ``b`` in one of two rounds:

    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "strategy": ["a"] * 6 + ["b"] * 6, "seed": [0, 0, 0, 1, 1, 1] * 2, "round": [0, 1, 2] * 4,
    ...     "accuracy": [.50, .70, .80, .40, .72, .78, .50, .60, .70, .40, .60, .80],
    ... })
    >>> pairwise_matrix(frame)
         a    b
    a  0.0  0.5
    b  0.0  0.0
    """
    confidence = number(confidence, "confidence", 0, 1)
    frames = [frames] if isinstance(frames, pd.DataFrame) else frames
    if not isinstance(frames, list | tuple):
        raise TypeError(f"frames must be a DataFrame or a list of them, got {type(frames).__name__}")
    if not frames:
        raise ValueError("frames is empty; give at least one experiment")
    for frame in frames:
        check_metric(frame, metric)
        check_once(frame)
    names = _names(frames[0])
    total = pd.DataFrame(0.0, index=names, columns=names)
    for frame in frames:
        if set(_names(frame)) != set(names):
            raise ValueError(f"experiments with different strategies: {names} and {_names(frame)}")
        total += _wins(_by_seed(comparable(frame), metric), names, confidence)
    return total


def _wins(table: pd.DataFrame, names: list[str], confidence: float) -> pd.DataFrame:
    seeds = _common_seeds(table, names)
    values = np.stack([table[name][seeds].to_numpy(dtype=float) for name in names])  # (strategy, round, seed)
    shared = (values == values[:1]).all(axis=(0, 2))
    values = values[:, ~shared]
    wins = pd.DataFrame(0.0, index=names, columns=names)
    n_rounds = values.shape[1]
    if n_rounds == 0:
        return wins
    for (i, first), (j, second) in combinations(enumerate(names), 2):
        sign = _significant_sign(values[i] - values[j], confidence)
        wins.loc[first, second] = np.sum(sign > 0) / n_rounds
        wins.loc[second, first] = np.sum(sign < 0) / n_rounds
    return wins


def _significant_sign(differences: np.ndarray, confidence: float) -> np.ndarray:
    """For each row of (rounds, seeds): the sign of the mean where a t-test finds it, otherwise 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # equal differences: t is infinite, or 0/0 and no win
        test = stats.ttest_1samp(differences, 0.0, axis=1)
    return np.where(test.pvalue < 1 - confidence, np.sign(differences.mean(axis=1)), 0.0)


def _common_seeds(table: pd.DataFrame, names: list[str]) -> list[int]:
    seeds = sorted(set.intersection(*(set(table[name].columns) for name in names))) if table.size else []
    if len(seeds) < 2:
        raise ValueError(f"a t-test needs at least two seeds that all strategies share, found {seeds}")
    return seeds


# -------------------------------------------------------------------------------------------- learning curves


def area_per_seed(frame: pd.DataFrame, metric: str = "accuracy", x: str = "n_labeled") -> pd.DataFrame:
    """Normalised area under each learning curve, seeds × strategies.

    The trapezoid over the number of labels, divided by its range: a mean height between the first and the last point.

    Parameters
    ----------
    frame : DataFrame
        ``results.frame``.
    metric : str, default="accuracy"
        A column of the frame.
    x : str, default="n_labeled"
        The column that the area is over. Where a seed's curves do not begin and end at the same place (groups of
        unequal size, costs), what all of them have is compared.

    Returns
    -------
    DataFrame of shape (n_seeds, n_strategies)
        NaN for what is not compared.
    """
    _check_curves(frame, metric, x)
    areas = {}
    for seed, of_seed in comparable(frame).sort_values(["round", x]).groupby("seed"):
        curves = {
            name: (part[x].to_numpy(dtype=float), part[metric].to_numpy()) for name, part in of_seed.groupby("strategy")
        }
        low = max(at[0] for at, _ in curves.values())
        high = min(at[-1] for at, _ in curves.values())
        for name, (at, values) in curves.items():
            areas[seed, name] = _area(*_between(at, values, low, high))
    return _per_seed(areas, frame)


def _between(at: np.ndarray, values: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """The part of a curve within a range; between its points it is straight."""
    if at[0] == low and at[-1] == high:
        return at, values
    if low > high:
        return at[:1], np.full(1, np.nan)
    inside = (at > low) & (at < high)
    ends = np.interp([low, high], at, values)
    return np.concatenate([[low], at[inside], [high]]), np.concatenate([ends[:1], values[inside], ends[1:]])


def _per_seed(values: Mapping[Any, float], frame: pd.DataFrame) -> pd.DataFrame:
    """Seeds × strategies, all of the frame's; NaN for one that is not compared."""
    if not values:
        return pd.DataFrame(columns=_names(frame), dtype=float)
    return pd.Series(values).unstack().reindex(columns=_names(frame))


def _area(n_labeled: np.ndarray, values: np.ndarray) -> float:
    if n_labeled[0] == n_labeled[-1]:  # one point, or several at the same number of labels
        return float(values.mean())
    return float(np.trapezoid(values, n_labeled) / (n_labeled[-1] - n_labeled[0]))


def area_under_curve(frame: pd.DataFrame, metric: str = "accuracy", x: str = "n_labeled") -> pd.DataFrame:
    """Area under the learning curve, normalised to the height of a flat curve of the same area.

    Of runs that have not ended, the `common_range` is compared, with an `UnfinishedWarning`; so it is below.

    Parameters
    ----------
    frame : DataFrame
        ``results.frame``.
    metric : str, default="accuracy"
        A column of the frame.
    x : str, default="n_labeled"
        The column that the area is over, as ``"cost"``. Where a seed's curves do not begin and end at the same place,
        the range that all of them have is compared.

    Returns
    -------
    DataFrame
        Indexed by strategy: ``mean`` over seeds, ``standard_error`` of that mean (NaN with one seed), ``n_seeds``.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "strategy": "a", "seed": [0, 0, 0, 1, 1, 1], "round": [0, 1, 2] * 2, "n_labeled": [10, 20, 30] * 2,
    ...     "accuracy": [.4, .6, .8, .4, .8, .8],
    ... })
    >>> area_under_curve(frame)
       mean  standard_error  n_seeds
    a  0.65            0.05        2
    """
    areas = area_per_seed(frame, metric, x)
    return pd.DataFrame({"mean": areas.mean(), "standard_error": areas.sem(), "n_seeds": areas.count()})


def labels_to_reach(frame: pd.DataFrame, target: float, metric: str = "accuracy", x: str = "n_labeled") -> pd.DataFrame:
    """Labels at which each curve first reaches `target`, between two rounds by linear interpolation.

    Parameters
    ----------
    frame : DataFrame
        ``results.frame``.
    target : float
        Value of the metric.
    metric : str, default="accuracy"
        A column of the frame.
    x : str, default="n_labeled"
        What is counted: ``"n_labeled"``, ``"cost"``, ``"n_groups"``.

    Returns
    -------
    DataFrame of shape (n_seeds, n_strategies)
        NaN where a run never reaches it.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "strategy": "a", "seed": [0, 0, 1, 1], "round": [0, 1] * 2, "n_labeled": [10, 20] * 2,
    ...     "accuracy": [.4, .6, .3, .4],
    ... })
    >>> labels_to_reach(frame, 0.5)["a"].tolist()
    [15.0, nan]
    """
    _check_curves(frame, metric, x)
    target = number(target, "target")
    curves = comparable(frame).sort_values(["round", x]).groupby(["seed", "strategy"])[[x, metric]]
    first = {key: _first_at(curve[x].to_numpy(dtype=float), curve[metric].to_numpy(), target) for key, curve in curves}
    return _per_seed(first, frame)


def _first_at(n_labeled: np.ndarray, values: np.ndarray, target: float) -> float:
    at = np.flatnonzero(values >= target)
    if len(at) == 0:
        return float("nan")
    i = at[0]
    if i == 0 or np.isnan(values[i - 1]):
        return float(n_labeled[i])
    share = (target - values[i - 1]) / (values[i] - values[i - 1])
    return float(n_labeled[i - 1] + share * (n_labeled[i] - n_labeled[i - 1]))


def labels_saved(
    frame: pd.DataFrame, target: float, metric: str = "accuracy", baseline: str = "random", x: str = "n_labeled"
) -> pd.DataFrame:
    """Labels each strategy needs for a target, and the share it saves against a baseline.

    Parameters
    ----------
    frame : DataFrame
        ``results.frame``.
    target : float
        Value of the metric that is to be reached.
    metric : str, default="accuracy"
        A column of the frame.
    baseline : str, default="random"
        Strategy whose labels are saved.
    x : str, default="n_labeled"
        What is counted, as in `labels_to_reach`.

    Returns
    -------
    DataFrame
        Indexed by strategy: ``labels`` (mean over the seeds that reach the target), ``reached`` (the share of the seeds
        that do), ``saved`` (``1 − labels / baseline's labels``, both summed over the seeds where both do),
        ``pairs`` (how many seeds those are).

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "strategy": ["a", "a", "random", "random"], "seed": 0, "round": [0, 1] * 2, "n_labeled": [10, 20] * 2,
    ...     "accuracy": [.4, .8, .4, .6],
    ... })
    >>> labels_saved(frame, 0.6)
            labels  reached  saved  pairs
    a         15.0      1.0   0.25      1
    random    20.0      1.0   0.00      1
    """
    needed = labels_to_reach(frame, target, metric, x)
    if baseline not in needed:
        raise ValueError(
            f"baseline {baseline!r} is not among the strategies {list(needed)}{did_you_mean(str(baseline), needed)}"
        )
    both = needed.notna().mul(needed[baseline].notna(), axis=0)
    spent = needed.where(both).sum(min_count=1)
    spent_by_baseline = both.mul(needed[baseline].fillna(0), axis=0).sum()
    return pd.DataFrame(
        {
            "labels": needed.mean(),
            "reached": needed.notna().mean(),
            "saved": 1.0 - spent / spent_by_baseline.where(spent_by_baseline > 0),
            "pairs": both.sum(),
        }
    )


# ------------------------------------------------------------------------------------------------ paired tests


def compare(
    frame: pd.DataFrame, baseline: str = "random", metric: str = "accuracy", confidence: float = 0.95
) -> pd.DataFrame:
    """Paired tests of every strategy's area under the learning curve against a baseline's, over seeds.

    Parameters
    ----------
    frame : DataFrame
        ``results.frame``.
    baseline : str, default="random"
        Strategy that the others are compared with.
    metric : str, default="accuracy"
        A column of the frame.
    confidence : float, default=0.95
        Of the interval.

    Returns
    -------
    DataFrame
        Indexed by strategy (without the baseline): ``difference`` (mean), ``low`` and ``high`` (bootstrap interval of
        it, over seeds), ``t_pvalue``, ``wilcoxon_pvalue`` (two-sided), ``holm_pvalue`` (the t-test's, corrected for
        the number of strategies), ``wins``, ``ties``, ``losses`` (seeds).

    Notes
    -----
    A Wilcoxon test of n seeds cannot go below ``2 / 2ⁿ``: 0.0625 with five.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "strategy": ["a"] * 4 + ["random"] * 4, "seed": [0, 1, 2, 3] * 2, "round": 0, "n_labeled": 10,
    ...     "accuracy": [.6, .7, .8, .6, .5, .4, .5, .6],
    ... })
    >>> compare(frame)[["difference", "t_pvalue", "wins", "ties", "losses"]].round(3)
       difference  t_pvalue  wins  ties  losses
    a       0.175     0.102     3     1       0
    """
    confidence = number(confidence, "confidence", 0, 1)
    areas = area_per_seed(frame, metric)
    if not isinstance(baseline, str) or baseline not in areas:
        raise ValueError(
            f"baseline {baseline!r} is not among the strategies {list(areas)}{did_you_mean(str(baseline), areas)}"
        )
    rows = {}
    for name in areas.columns.drop(baseline):
        difference = (areas[name] - areas[baseline]).dropna().to_numpy()
        if len(difference) < 2:
            raise ValueError(f"{name!r} and {baseline!r} share {len(difference)} seeds; paired tests need two")
        rows[name] = {"difference": difference.mean(), **_paired(difference, confidence)}
    table = pd.DataFrame.from_dict(rows, orient="index")
    if len(table):
        table.insert(5, "holm_pvalue", holm(table["t_pvalue"].to_numpy()))
    return table


def _paired(difference: np.ndarray, confidence: float) -> dict[str, float]:
    counts = {
        "wins": int((difference > 0).sum()),
        "ties": int((difference == 0).sum()),
        "losses": int((difference < 0).sum()),
    }
    if np.ptp(difference) == 0:  # no spread: nothing to estimate, the sign is certain
        certain = 1.0 if difference[0] == 0 else 0.0
        wilcoxon = 1.0 if difference[0] == 0 else _signed_rank_pvalue(difference)
        return {
            "low": difference[0],
            "high": difference[0],
            "t_pvalue": certain,
            "wilcoxon_pvalue": wilcoxon,
            **counts,
        }
    interval = stats.bootstrap(
        (difference,),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return {
        "low": float(interval.low),
        "high": float(interval.high),
        "t_pvalue": float(stats.ttest_1samp(difference, 0.0).pvalue),
        "wilcoxon_pvalue": _signed_rank_pvalue(difference),
        **counts,
    }


def _signed_rank_pvalue(difference: np.ndarray) -> float:
    """Two-sided p-value of Wilcoxon's signed ranks, exact also with ties: every rank is as likely up as down.

    scipy's, where some differences are equal, takes seconds for 13 seeds and is not exact for more.
    """
    moved = difference[difference != 0]
    ranks = np.rint(2 * stats.rankdata(abs(moved))).astype(int)  # twice the ranks are whole numbers
    chances = np.ones(1)
    for rank in ranks:
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    found = ranks[moved > 0].sum()
    return min(1.0, 2 * float(min(chances[: found + 1].sum(), chances[found:].sum())))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction."""
    order = np.argsort(p)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected
