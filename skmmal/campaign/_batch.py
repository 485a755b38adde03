"""A batch: which rows to label next, and the table that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skmmal._fitted import predicts_values
from skmmal.campaign._answers import answers_of_model
from skmmal.campaign._on_workers import Rows, ScaledRows
from skmmal.distributed import ShardedReading
from skmmal.modalities import presence_mask
from skmmal.query import QueryStrategy
from skmmal.query._class_balance import balance_classes, rows_to_balance
from skmmal.reading import Reading, read, read_with_labels

__all__ = [
    "RANDOM_SLICE", "RELABEL", "UNPROMPTED", "Pick", "batch_table", "choose", "in_modalities", "mix_in",
    "read_candidates",
]  # fmt: skip

RANDOM_SLICE = "random-slice"
"""What `chosen_by` says of a row that was drawn at random, to measure the accuracy."""
RELABEL = "relabel"
"""What it says of a labelled row that is handed out once more, because its label is doubted."""
UNPROMPTED = (RANDOM_SLICE, RELABEL)
"""Rows whose reason (`why`) does not tell what the model predicts."""


@dataclass
class Pick:
    """Rows picked, in order, with the strategy's score (NaN for none) and who picked them."""

    rows: np.ndarray
    scores: np.ndarray
    chosen_by: np.ndarray


def choose(
    strategy: QueryStrategy,
    model: Any,
    X: Rows,
    candidates: np.ndarray,
    labeled: np.ndarray,
    y: np.ndarray,
    n_instances: int | None,
    *,
    name: str,
    class_counts: Mapping[str, int] | None = None,
    reading: Reading | ShardedReading | None = None,
    asked: Mapping[str, Any] | None = None,
) -> Pick:
    """Let a strategy pick rows of X among the candidates.

    Parameters
    ----------
    strategy : QueryStrategy
        With its random state set.
    model : classifier
        Fitted, unless the strategy needs none.
    X : MultimodalArray
        All rows.
    candidates, labeled : ndarray of int
        Rows of X.
    y : ndarray of shape (n_labeled,)
        Labels of `labeled`.
    n_instances : int
        How many to pick; ``None``: as many as `asked` allows.
    name : str
        The strategy's, for `chosen_by`.
    class_counts : mapping of class to int, optional
        Labels of each class so far: the batch is balanced over the predicted classes (see `balance_classes`). Needs a
        fitted model.
    reading : Reading, optional
        What the model says of the candidates, with the labelled rows (see `skmmal.reading.read_with_labels`): for
        callers that ask it for more. By default it is made here.
    asked : mapping, optional
        What else the strategy's `query` is given: the groups of the candidates, their costs, a budget.

    Returns
    -------
    Pick

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal import LateFusionClassifier, MultimodalArray
    >>> from skmmal.campaign import choose
    >>> from skmmal.query import MarginSampling
    >>> X = MultimodalArray({"size": np.array([[0.0], [1.0], [2.0], [3.0]]), "age": np.zeros((4, 1))})
    >>> labeled, y = np.array([0, 3]), np.array(["small", "large"])
    >>> model = LateFusionClassifier().fit(X[labeled], y)
    >>> pick = choose(MarginSampling(), model, X, np.array([1, 2]), labeled, y, 1, name="margin")
    >>> pick.rows, pick.chosen_by
    (array([2]), array(['margin'], dtype=object))
    """
    if reading is None:
        reading = read_candidates(model, X, candidates, labeled, y)
    n_wanted = n_instances
    if class_counts is not None and n_instances is not None:
        n_wanted = rows_to_balance(n_instances, len(candidates))
    picked, scores = strategy.query(None, reading, n_wanted, **(asked or {}), return_scores=True)
    if class_counts is not None and n_instances is not None:
        answers = answers_of_model(model)
        if isinstance(reading, Reading):
            probabilities = reading.head.probabilities[picked]
        else:
            probabilities = model.predict_proba(X[candidates[picked]])
        predicted = answers.predicted(probabilities, model.classes_)
        rarest = [_rarest(answers.named(label), class_counts) for label in predicted]
        kept = balance_classes(rarest, class_counts, n_instances)
        picked, scores = picked[kept], scores[kept]
    return Pick(candidates[picked], np.asarray(scores, dtype=np.float64), np.full(len(picked), name, dtype=object))


def _rarest(names: Sequence[str], class_counts: Mapping[str, int]) -> str:
    """Class with fewest labels of those that a row is taken for; a row of none counts as the most frequent."""
    if not names:
        return max(class_counts, key=lambda name: class_counts[name])
    return min(names, key=lambda name: class_counts.get(str(name), 0))


def read_candidates(
    model: Any, X: Rows, candidates: np.ndarray, labeled: np.ndarray, y: Any
) -> Reading | ShardedReading:
    """Read the candidates, and the labelled rows that go with them; parameters as of `choose`."""
    known = (X[labeled], y) if len(labeled) else ()
    if isinstance(X, ScaledRows):
        return X.among(candidates).read(model, *known)
    return read_with_labels(model, X[candidates], *known)


def mix_in(pick: Pick, others: Pick, rng: np.random.RandomState, groups: np.ndarray | None = None) -> Pick:
    """Put other rows at random places among those picked; rows of a group stay together.

    At the end of the batch they might never be labelled, and the rows that are would no longer be a random sample.
    """
    if not len(others.rows):
        return pick
    n_picked, n_drawn = _lengths(pick.rows, groups), _lengths(others.rows, groups)
    n_units = len(n_picked) + len(n_drawn)
    is_drawn = np.zeros(n_units, dtype=bool)
    is_drawn[rng.permutation(n_units)[: len(n_drawn)]] = True
    lengths = np.empty(n_units, dtype=np.intp)
    lengths[is_drawn], lengths[~is_drawn] = n_drawn, n_picked
    places = np.repeat(is_drawn, lengths)
    n = len(places)
    rows = np.empty(n, dtype=np.intp)
    scores, chosen_by = np.empty(n), np.empty(n, dtype=object)
    for part, at in ((others, places), (pick, ~places)):
        rows[at], scores[at], chosen_by[at] = part.rows, part.scores, part.chosen_by
    return Pick(rows, scores, chosen_by)


def _lengths(rows: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """How many rows of each group stand in a row; one each without groups."""
    if groups is None or not len(rows):
        return np.ones(len(rows), dtype=np.intp)
    begins = np.flatnonzero(np.append(True, groups[rows][1:] != groups[rows][:-1]))
    return np.diff(np.append(begins, len(rows)))


# -------------------------------------------------------------------------------------------------------- table


def batch_table(ids: np.ndarray, pick: Pick, X: Rows, model: Any = None) -> pd.DataFrame:
    """Table of a batch, in the order of its rows.

    Parameters
    ----------
    ids : ndarray of str
        Of all rows of X.
    pick : Pick
        Rows of X, in their order.
    X : MultimodalArray
        All rows.
    model : LateFusionClassifier or regressor, optional
        Fitted; without one, what is predicted stays empty.

    Returns
    -------
    DataFrame
        ``id``, ``rank`` (from 1), ``score`` (the strategy's; higher is more wanted), ``chosen_by``, ``predicted``
        (where rows have several labels, those with bars between them), ``confidence`` (the largest probability; of
        several labels the mean over them of the probability of what is predicted), ``contribution_NAME`` for each
        modality (its share in that probability), ``why`` (a sentence). What is predicted stays empty for rows that are
        handed out once more because their label is doubted: the model has learned from it. Of a regressor there is
        neither confidence nor contributions.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal import MultimodalArray
    >>> from skmmal.campaign import batch_table, choose
    >>> from skmmal.query import CoreSet
    >>> X = MultimodalArray({"size": np.array([[0.0], [1.0], [9.0]])})
    >>> pick = choose(CoreSet(), None, X, np.arange(1, 3), np.arange(1), np.array(["small"]), 1, name="coreset")
    >>> batch_table(np.array(["a", "b", "c"]), pick, X)[["id", "rank", "score", "chosen_by"]]
      id  rank  score chosen_by
    0  c     1    9.0   coreset
    """
    features = X[pick.rows]
    columns: dict[str, Any] = {
        "id": ids[pick.rows],
        "rank": np.arange(1, len(pick.rows) + 1),
        "score": pick.scores,
        "chosen_by": pick.chosen_by,
    }
    names = list(X.modalities)
    present = presence_mask(features)
    if model is None:
        columns.update(predicted="", confidence=np.nan, **{f"contribution_{name}": np.nan for name in names})
        columns["why"] = [
            _REASONS.get(by, f"no model yet: {by} chose it from the features alone") for by in pick.chosen_by
        ]
        return pd.DataFrame(columns)
    if predicts_values(model):
        return pd.DataFrame({**columns, **_predicted_numbers(model, features, pick, present)})
    reading = read(model, features)
    probabilities, shares = reading.head.probabilities, reading.contributions
    answers = answers_of_model(model)
    columns["predicted"] = answers.predicted(probabilities, model.classes_)
    columns["confidence"] = answers.confidence(probabilities)
    columns.update({f"contribution_{name}": shares[:, m] for m, name in enumerate(names)})
    columns["why"] = [
        _REASONS[by]
        if by in UNPROMPTED
        else answers.in_words(probabilities[i], model.classes_) + in_modalities(shares[i], present[i], names)
        for i, by in enumerate(pick.chosen_by)
    ]
    table, again = pd.DataFrame(columns), pick.chosen_by == RELABEL
    table.loc[again, "predicted"] = ""
    table.loc[again, ["confidence", *(f"contribution_{name}" for name in names)]] = np.nan
    return table


def _predicted_numbers(model: Any, X: Rows, pick: Pick, present: np.ndarray) -> dict[str, Any]:
    """What a regressor predicts of the rows of a batch, and why they were chosen."""
    answers, names = answers_of_model(model), list(X.modalities)
    values = np.asarray(model.predict(X)) if len(X) else np.empty(0)
    nothing = np.full(len(names), np.nan)
    why = [
        _REASONS.get(by, answers.in_words(value, ()) + in_modalities(nothing, there, names))
        for by, value, there in zip(pick.chosen_by, values, present, strict=True)
    ]
    return {"predicted": answers.texts(values, ()), "why": why}


_REASONS = {
    RANDOM_SLICE: "drawn at random, to measure the accuracy without bias",
    RELABEL: "labelled before, and handed out once more: another answer is wanted",
}


def in_modalities(shares: np.ndarray, present: np.ndarray, names: Sequence[str]) -> str:
    """Which modality decides, or is not there."""
    if len(names) > 1:
        strongest = int(shares.argmax())
        absent = [name for name, is_present in zip(names, present, strict=True) if not is_present]
        if absent:
            return f"; without {', '.join(absent)}"
        if shares[strongest] >= 2 / 3:
            return f"; {names[strongest]} decides ({shares[strongest]:.0%})"
    return ""
