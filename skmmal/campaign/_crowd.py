"""What several people, and a model that did not see their words, together say of labels and of these people.

A row with one class asks one question, a row with a set of labels one for each label. The sums are cleanlab's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skmmal.campaign._votes import latest

__all__ = ["Question", "active_scores", "annotator_quality", "needs_cleanlab", "said_by_everyone"]

ALPHA = 0.8
"""Weight of the lower scores where those of several labels become one."""


@dataclass
class Question:
    """What was asked of rows, and answered.

    Parameters
    ----------
    name : str
        The label that it is about; empty where rows have one class.
    classes : list of str
        What can be answered.
    votes : ndarray of shape (n_rows, n_voters)
        Positions in `classes`; NaN for nothing.
    probabilities : ndarray of shape (n_rows, n_classes)
        By a model that did not see these rows' labels; NaN where there is none.
    pool : ndarray of shape (n_pool, n_classes)
        The same for rows that nobody has answered.
    """

    name: str
    classes: list[str]
    votes: np.ndarray
    probabilities: np.ndarray
    pool: np.ndarray

    @property
    def usable(self) -> np.ndarray:
        """Rows that have a vote and probabilities."""
        return ~np.isnan(self.votes).all(axis=1) & ~np.isnan(self.probabilities).any(axis=1)


def needs_cleanlab(what: str) -> None:
    """Raise where cleanlab is not installed."""
    if importlib.util.find_spec("cleanlab") is None:
        raise ImportError(f"{what} needs cleanlab: pip install 'skmmal[noise]'")


def said_by_everyone(events: pd.DataFrame) -> pd.DataFrame:
    """Last label of every annotator about every id.

    Parameters
    ----------
    events : DataFrame
        In order of arrival.

    Returns
    -------
    DataFrame
        Indexed by id, a column for each annotator: labels, or NaN.
    """
    last = latest(events)
    last = last[last["state"] == "label"]
    if last.empty:
        return pd.DataFrame(index=pd.Index([], name="id"))
    return last.pivot(index="id", columns="annotator", values="label")


def active_scores(questions: Sequence[Question]) -> tuple[np.ndarray, np.ndarray]:
    """ActiveLab's scores: how sure it is what each row is, of rows that were labelled and of the pool, on one scale.

    Parameters
    ----------
    questions : sequence of Question
        Scores about several labels become one by an exponential moving average, which the lowest count most in.

    Returns
    -------
    labeled : ndarray of shape (n_rows,)
        From 0 to 1; NaN for rows without votes or probabilities.
    pool : ndarray of shape (n_pool,)
        From 0 to 1. The lowest of both are worth an answer most.

    References
    ----------
    .. [1] Goh and Mueller, "ActiveLab: active learning with re-labeling by multiple annotators", ICLR 2023 workshop on
       trustworthy ML, section 3.
    .. [2] Thyagarajan et al., "Identifying incorrect annotations in multi-label classification data", ICLR 2023
       workshop on trustworthy ML, section 3 (the moving average).
    """
    from cleanlab.multiannotator import get_active_learning_scores

    labeled = np.full((len(questions[0].votes), len(questions)), np.nan)
    pool = np.empty((len(questions[0].pool), len(questions)))
    for column, asked in enumerate(questions):
        rows = asked.usable
        votes = asked.votes[rows]
        votes = votes[:, ~np.isnan(votes).all(axis=0)]
        with _quiet():
            found = get_active_learning_scores(votes, asked.probabilities[rows], asked.pool)
        labeled[rows, column], pool[:, column] = found
    return _moving_average(labeled), _moving_average(pool)


def _moving_average(scores: np.ndarray) -> np.ndarray:
    """Exponential moving average of each row's scores, from the highest to the lowest; NaN are left out."""
    ordered = -np.sort(-scores, axis=1)
    mean = ordered[:, 0]
    for column in ordered[:, 1:].T:
        mean = np.where(np.isnan(column), mean, ALPHA * column + (1 - ALPHA) * mean)
    return mean


def annotator_quality(questions: Sequence[Question], annotators: Sequence[str]) -> pd.DataFrame:
    """CROWDLAB's judgement of annotators.

    Parameters
    ----------
    questions : sequence of Question
        A column of votes for each annotator.
    annotators : sequence of str
        Names of the columns.

    Returns
    -------
    DataFrame
        Indexed by annotator, the worst first: ``quality`` (about how often their labels are right, from 0 to 1; of
        several labels the mean, weighted by answers), ``with_consensus`` (share of their labels that are the consensus
        of all and the model), ``n`` (labels that were looked at), ``worst`` (the class, or label, in which they are
        worst). Empty where no row has two annotators.

    References
    ----------
    .. [1] Goh, Tkachenko and Mueller, "CROWDLAB: supervised learning to infer consensus labels and quality scores for
       data with multiple annotators", NeurIPS 2022 workshop on human in the loop learning, section 3.
    """
    from cleanlab.multiannotator import get_label_quality_multiannotator

    parts = []
    for asked in questions:
        rows = asked.usable
        votes = pd.DataFrame(asked.votes[rows], columns=list(annotators)).dropna(axis="columns", how="all")
        if not (votes.count(axis="columns") > 1).any():
            continue
        with _quiet():
            found = get_label_quality_multiannotator(votes, asked.probabilities[rows], return_detailed_quality=False)
        stats = found["annotator_stats"].rename_axis("annotator").reset_index()
        worst = [asked.classes[int(code)] for code in stats["worst_class"]] if not asked.name else asked.name
        parts.append(stats.assign(worst=worst))
    columns = ["quality", "with_consensus", "n", "worst"]
    if not parts:
        return pd.DataFrame(columns=columns, index=pd.Index([], name="annotator"))
    table = pd.concat(parts, ignore_index=True).rename(
        columns={
            "annotator_quality": "quality",
            "agreement_with_consensus": "with_consensus",
            "num_examples_labeled": "n",
        }
    )
    return _one_line_each(table)[columns].sort_values(["quality", "with_consensus"], kind="stable")


def _one_line_each(table: pd.DataFrame) -> pd.DataFrame:
    """Several questions about an annotator as one: means weighted by answers, and where they are worst."""
    table = table.sort_values(["annotator", "quality"], kind="stable")
    by = table.groupby("annotator")
    weights = table["n"] / by["n"].transform("sum")
    means = table[["quality", "with_consensus"]].mul(weights, axis=0).groupby(table["annotator"]).sum()
    return means.assign(n=by["n"].sum(), worst=by["worst"].first())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what cleanlab prints and warns of where annotators have few rows in common."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", UserWarning)
        yield
