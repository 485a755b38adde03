"""Labelled rows that are handed out once more, because another answer about them is worth more than one about new rows.

Doubted labels and new rows are put on one scale, ActiveLab's (see `_crowd.active_scores`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skmmal.campaign._batch import RELABEL, Pick
from skmmal.campaign._crowd import Question, active_scores, said_by_everyone
from skmmal.campaign._doubts import TooFewLabelsError
from skmmal.campaign._state import State
from skmmal.campaign._units import Limits, Units

__all__ = ["Scale", "on_one_scale", "questions", "take_again"]

N_FOLDS = 5


@dataclass
class Scale:
    """Rows with their scores on one scale: labelled ones that may be handed out once more, and new ones.

    Parameters
    ----------
    again, new : ndarray of int
        Rows of the features.
    again_scores, new_scores : ndarray of float
        From 0 to 1; the lowest are worth an answer most.
    """

    again: np.ndarray
    again_scores: np.ndarray
    new: np.ndarray
    new_scores: np.ndarray


def questions(
    state: State,
    estimator: Any,
    X: Any,
    ids: np.ndarray,
    held_out: Any,
    *,
    model: Any = None,
    pool: Any = None,
    seed: int = 0,
) -> tuple[np.ndarray, pd.DataFrame, list[Question]]:
    """What was asked of the labelled rows, with what everyone answered and what a model says that did not see it.

    Parameters
    ----------
    state : State
    estimator : LateFusionClassifier
        Fitted on folds.
    X : MultimodalArray
        All rows.
    ids : ndarray of str
        Of all rows.
    held_out : Series of str
        Ids of the validation rows, about which nothing is asked.
    model : LateFusionClassifier, optional
        Fitted on all labels: it has not seen rows whose annotators disagree.
    pool : ndarray of int, optional
        Rows that nobody has answered.
    seed : int, default=0
        Draws the folds.

    Returns
    -------
    rows : ndarray of int
        Of the features, those that somebody gave a label.
    votes : DataFrame
        What everyone said of them.
    questions : list of Question

    Raises
    ------
    ValueError
        There are too few labels to check any.
    """
    answers, classes = state.answers, state.classes
    votes = said_by_everyone(state.understood)
    names = pd.Index(ids)
    rows = np.flatnonzero(names.isin(votes.index) & ~names.isin(held_out))
    votes = votes.loc[names[rows]]
    known = answers.known(state.labels).reindex(names[rows])
    is_known = known.notna().to_numpy()
    own = np.full((len(rows), len(classes)), np.nan)
    own[is_known] = answers.unseen(
        estimator, X[rows[is_known]], known[is_known].to_numpy(dtype=str), classes, n_folds=N_FOLDS, seed=seed
    )
    if model is not None and not is_known.all():
        own[~is_known] = model.predict_proba(X[rows[~is_known]])
    of_pool = np.empty((0, len(classes))) if pool is None else model.predict_proba(X[pool])
    return rows, votes, answers.questions(votes, own, of_pool, classes)


def on_one_scale(
    state: State, estimator: Any, X: Any, ids: np.ndarray, held_out: Any, candidates: np.ndarray, model: Any, seed: int
) -> Scale:
    """Put labelled rows and candidates on ActiveLab's scale; parameters as of `questions`.

    Left out are rows that wait for another answer already, that an authority has settled, or whose label was confirmed
    by the same people when they were handed out once more. Where there are too few labels to check any, none is left.
    """
    try:
        rows, votes, asked = questions(state, estimator, X, ids, held_out, model=model, pool=candidates, seed=seed)
    except TooFewLabelsError:
        return Scale(np.empty(0, dtype=np.intp), np.empty(0), candidates, np.zeros(len(candidates)))
    scores, new_scores = active_scores(asked)
    closed = {*state.waiting, *_settled_by_authority(state), *_confirmed(state)}
    free = ~votes.index.isin(closed) & ~np.isin(rows, candidates) & ~np.isnan(scores)
    return Scale(rows[free], scores[free], candidates, new_scores)


def _settled_by_authority(state: State) -> set[str]:
    if "authority" not in state.events:
        return set()
    return set(state.events["id"][state.events["authority"] == "yes"])


def _confirmed(state: State) -> set[str]:
    """Rows that were handed out once more and got nothing but words that were there already."""
    found: set[str] = set()
    for entry, batch in zip(state.rounds, state.batches, strict=True):
        words = state.events[state.events["id"].isin(batch["id"][batch["chosen_by"] == RELABEL])]
        if words.empty:
            continue
        said = pd.MultiIndex.from_frame(words[["id", "annotator", "state", "label"]])
        is_later = (words["entry"] > entry.number).to_numpy()
        is_repeated = said.isin(said[~is_later])
        later = words["id"].to_numpy()
        found -= set(later[is_later & ~is_repeated])
        found |= set(later[is_later]) - set(later[is_later & ~is_repeated])
    return found


def take_again(scale: Scale, fraction: float, limits: Limits, left: Limits, units: Units) -> Pick:
    """Labelled rows that are among the first of all on the scale, at most a share of the batch.

    Parameters
    ----------
    scale : Scale
    fraction : float
        Share of the batch that they may be.
    limits : Limits
        Of the batch.
    left : Limits
        What is free of it.
    units : Units

    Returns
    -------
    Pick
        The most doubtful first; the score is one less that on the scale.
    """
    rows = np.concatenate([scale.again, scale.new])
    scores = np.concatenate([scale.again_scores, scale.new_scores])
    order = np.lexsort((rows, scores))
    first = order[: _how_many(rows[order], [limits], units)]
    again = first[first < len(scale.again)]
    again = again[: _how_many(rows[again], [limits.part(fraction), left], units)]
    return Pick(rows[again], 1.0 - scores[again], np.full(len(again), RELABEL, dtype=object))


def _how_many(rows: np.ndarray, limits: Sequence[Limits], units: Units) -> int:
    """How many rows, from the first on, are within all limits."""
    numbers = np.arange(1, len(rows) + 1)
    costs = np.zeros(len(rows)) if units.costs is None else np.cumsum(units.costs[rows])
    fits = np.ones(len(rows), dtype=bool)
    for limit in limits:
        for used, most in ((numbers, limit.n_units), (numbers, limit.max_rows), (costs, limit.budget)):
            if most is not None:
                fits &= used <= most
    return int(fits.sum())
