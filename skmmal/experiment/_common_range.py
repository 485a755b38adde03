"""What of an experiment can be compared, also while some of its runs have not ended."""

from __future__ import annotations

import warnings

import pandas as pd

from skmmal._names import did_you_mean

__all__ = ["UnfinishedWarning", "check_metric", "check_once", "common_range", "comparable"]


def _check_frame(frame: pd.DataFrame) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame must be a DataFrame such as ExperimentResults.frame, got {type(frame).__name__}")
    for name in ("strategy", "seed", "round"):
        if name not in frame.columns:
            raise ValueError(f"frame has no column {name!r}; it has {list(frame.columns)}")
    if len(frame) == 0:
        raise ValueError("frame is empty")


def check_metric(frame: pd.DataFrame, metric: str) -> None:
    """Refuse a metric that the frame does not hold, and a frame that is none.

    Parameters
    ----------
    frame : DataFrame
        ``results.frame``.
    metric : str
        One of its columns.
    """
    _check_frame(frame)
    if not isinstance(metric, str):
        raise TypeError(f"metric must be a column's name, got {metric!r}")
    if metric not in frame.columns:
        known = [name for name in frame.columns if name not in ("strategy", "seed", "round", "n_labeled")]
        raise ValueError(f"metric {metric!r} was not measured; there are {known}{did_you_mean(metric, known)}")
    if not pd.api.types.is_numeric_dtype(frame[metric]):
        raise TypeError(f"metric {metric!r} must hold numbers, found dtype {frame[metric].dtype}")


def check_once(frame: pd.DataFrame) -> None:
    """Refuse several experiments in one frame.

    Parameters
    ----------
    frame : DataFrame
        ``results.frame``.
    """
    if frame.duplicated(["strategy", "seed", "round"]).any():
        raise ValueError("frame holds a strategy, seed and round twice; pass several experiments as a list")


class UnfinishedWarning(UserWarning):
    """Runs have different rounds or seeds: only what all of them have is compared.

    Examples
    --------
    >>> import warnings
    >>> from skmmal.experiment import UnfinishedWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", UnfinishedWarning)  # in here whole runs are compared or none
    """


def common_range(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the part of an experiment on which its strategies can be compared: seeds and rounds that all of them have.

    Where seeds have got differently far, those seeds and that last round are taken which keep most rounds, two seeds
    at least if that can be.

    Parameters
    ----------
    frame : DataFrame
        ``results.frame``, of a run that has ended or not.

    Returns
    -------
    part : DataFrame
        The frame itself if nothing is lacking; empty if the strategies share no seed.
    sentence : str
        What is left out, empty if nothing is.

    Examples
    --------
    ``b`` has not ended:

    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "strategy": ["a"] * 3 + ["b"] * 2, "seed": 0, "round": [0, 1, 2, 0, 1], "accuracy": [.5, .7, .8, .5, .6],
    ... })
    >>> part, sentence = common_range(frame)
    >>> int(part["round"].max())
    1
    >>> sentence
    'not all runs have ended: compared are rounds 0 to 1 (of 2) with the seeds [0], which all strategies have'
    """
    _check_frame(frame)
    check_once(frame)
    done = frame.assign(there=1).pivot(index="round", columns=["strategy", "seed"], values="there").fillna(0)
    lengths = done.cummin().sum().unstack("seed").fillna(0).astype(int)  # rounds of each run before its first gap
    rounds, shortest = done.index.to_numpy(), lengths.min(axis=0)
    if (lengths == len(rounds)).all(axis=None):
        return frame, ""
    choices = [(int((shortest >= n).sum()), int(n)) for n in set(shortest[shortest > 0])]
    if not choices:
        return frame.iloc[:0], f"the strategies {list(lengths.index)} share no seed: nothing is compared"
    _, n_rounds = max(choices, key=lambda choice: (min(choice[0], 2), choice[0] * choice[1], choice[1]))
    seeds = shortest.index[shortest >= n_rounds]
    part = frame[frame["seed"].isin(seeds) & frame["round"].isin(rounds[:n_rounds])]
    return part, (
        f"not all runs have ended: compared are rounds {rounds[0]} to {rounds[n_rounds - 1]} (of {rounds[-1]}) with "
        f"the seeds {seeds.tolist()}, which all strategies have"
    )


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the `common_range`, with a warning if it is not all.

    Parameters
    ----------
    frame : DataFrame
        ``results.frame``.

    Returns
    -------
    DataFrame
        The part that can be compared.
    """
    part, sentence = common_range(frame)
    if sentence:
        warnings.warn(sentence, UnfinishedWarning, stacklevel=3)
    return part
