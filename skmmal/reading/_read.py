"""The one door to models: what is inside them, and the source that each is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skmmal._fitted import OpenedModel, check_estimator, known_fitted, open_model
from skmmal._labels import several_labels
from skmmal._targets import ONE_CLASS, SEVERAL_LABELS
from skmmal.modalities._rows import check_same_rows, rows_of
from skmmal.reading._committee import CommitteeSource
from skmmal.reading._labelled import LabelledSource
from skmmal.reading._model import ModelSource
from skmmal.reading._reading import Reading
from skmmal.reading._ready import ReadyModel
from skmmal.reading._rows import as_container, check_alike, check_labels, is_empty
from skmmal.reading._source import Source

__all__ = ["read", "read_with_labels"]


def read(model: Any, X: Any, *, y: Any = None, argument: str = "X") -> Reading:
    """Read rows with a model: one object for all that strategies, diagnostics and displays may ask about them.

    Parameters
    ----------
    model : classifier or None
        Anything with `predict_proba`. Pipelines, searches, learners, frozen and thresholded classifiers are looked
        through, however they are nested; committees are the consensus of their members. ``None``: there is no model,
        and the reading has features and presence only.
    X : array-like, DataFrame, mapping, MultimodalArray, or a sequence of texts or other things
        Rows as the model takes them. A `Reading` is returned as it is.
    y : array-like of shape (n_samples,), optional
        Labels of the rows.
    argument : str, default="X"
        What error messages call `X`.

    Returns
    -------
    Reading
        Nothing is computed yet: each answer is when it is first asked for, and once.

    Raises
    ------
    TypeError, ValueError
        `model` is no estimator, `X` holds no rows, or `y` does not go with it.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.reading import read
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> reading = read(LateFusionClassifier().fit(X[::2], y[::2]), X[1::2])
    >>> {name: head.probabilities.shape for name, head in reading.heads.items()}
    {'fused': (1000, 10), 'fou': (1000, 10), 'zer': (1000, 10)}
    >>> reading.contributions.shape, bool(reading.present.all())
    ((1000, 2), True)
    """
    if isinstance(X, Reading):
        return X
    opened = _opened(model)
    X = as_container(X, argument)
    check_labels(X, y, argument, "y")
    source = _source(ReadyModel(opened, X), X, model, argument)
    return Reading(source, y=_labels(y, source, "y"))


def read_with_labels(
    model: Any,
    X_pool: Any,
    X_labeled: Any = None,
    y_labeled: Any = None,
    *,
    candidates: np.ndarray | None = None,
) -> Reading:
    """Read a pool and the labelled rows that go with it (`Reading.labelled`).

    Parameters
    ----------
    model : classifier or None
        As for `read`.
    X_pool : as `X` of `read`, or a Reading
        Rows without labels.
    X_labeled : as `X` of `read`, or a Reading; optional
        Labelled rows, in the same columns.
    y_labeled : array-like of shape (n_labeled,), optional
        Their labels.
    candidates : ndarray of bool, optional
        Which rows of the pool may be picked.

    Returns
    -------
    Reading
        Of the pool. Where a Pipeline is not fitted, clones of its steps are, on all the rows.

    Raises
    ------
    TypeError, ValueError
        As of `read`; there are labels without rows, or labelled rows have other columns than the pool.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.reading import read_with_labels
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> clf = LateFusionClassifier().fit(X[::20], y[::20])
    >>> len(read_with_labels(clf, X[1:6], X[::20], y[::20]).labelled)
    100
    """
    X_labeled, y_labeled = (None if is_empty(each) else each for each in (X_labeled, y_labeled))
    check_labels(X_labeled, y_labeled)
    if isinstance(X_pool, Reading):
        return _with_labels(X_pool, X_labeled, y_labeled, candidates)
    check_same_rows({**rows_of(X_labeled, "X_labeled"), "y_labeled": y_labeled})
    opened = _opened(model)
    X_pool = as_container(X_pool, "X_pool")
    if X_labeled is not None:
        X_labeled = as_container(X_labeled, "X_labeled")
        check_alike(X_labeled, X_pool, by_name=bool(opened.steps))
    ready = ReadyModel(opened, X_pool, X_labeled, y_labeled)
    source, labelled = _source(ready, X_pool, model, "X_pool"), None
    source.ranks = True
    if X_labeled is not None:
        of_labelled = _source(ready, X_labeled, model, "X_labeled")
        y_labeled = _labels(y_labeled, source, "y_labeled")
        of_labelled.target, of_labelled.ranks = source.target, True
        labelled = Reading(LabelledSource(of_labelled, source), y=y_labeled)
    return Reading(source, candidates=candidates, labelled=labelled)


def _with_labels(pool: Reading, X_labeled: Any, y_labeled: Any, candidates: np.ndarray | None) -> Reading:
    """A reading that is there already, with other labelled rows and candidates."""
    if X_labeled is not None and not isinstance(X_labeled, Reading):
        raise TypeError(
            f"X_pool is a Reading, X_labeled a {type(X_labeled).__name__}: give a Reading of the labelled rows, too"
        )
    y_labeled = _labels(y_labeled, pool.source, "y_labeled")
    labelled = pool.labelled
    if X_labeled is not None:
        labelled = Reading(X_labeled.source, rows=X_labeled.rows_or_all, y=y_labeled)
    return Reading(pool.source, rows=pool.rows_or_all, y=pool.y, candidates=candidates, labelled=labelled)


def _labels(y: Any, source: Source, argument: str) -> Any:
    """Labels as a reading holds them: an indicator matrix in the order of the model's labels, of float.

    An indicator matrix says that rows have several labels, where the model does not.
    """
    found = several_labels(y)
    if found is None:
        if y is not None and source.target is SEVERAL_LABELS:
            raise ValueError(
                f"{source.name} was fitted on several labels a row, and {argument} is of shape {np.shape(y)}: give an "
                "indicator matrix, with a column for each label"
            )
        return y
    states, names = found
    if source.is_fitted:
        if source.target is ONE_CLASS and source.classes is not None and np.ndim(source.classes) == 1:
            raise ValueError(
                f"{argument} is an indicator matrix of shape {np.shape(y)}, and {source.name} was fitted on one class "
                "a row: fit it on an indicator matrix"
            )
        known = source.classes
        n_labels = states.shape[1] if known is None else len(known)
        if n_labels != states.shape[1]:
            raise ValueError(f"{argument} has {states.shape[1]} labels, {source.name} {n_labels}")
        if isinstance(y, pd.DataFrame) and known is not None and set(known) == set(names):
            states = states[:, pd.Index(names).get_indexer(pd.Index(known))]
    source.target = SEVERAL_LABELS
    return states


def _opened(model: Any) -> OpenedModel:
    if model is not None:
        check_estimator(model)
    return open_model(model)


def _source(model: ReadyModel, X: Any, whole: Any, argument: str) -> Source:
    """The source for a classifier of its kind."""
    options = {"argument": argument, "whole": whole, "reader": _member_source}
    if hasattr(model.final, "learner_list"):
        return CommitteeSource(model, X, **options)
    own: Any = getattr(type(model.final), "reading_source", None)
    fitted = model.searched and known_fitted(model.final) is True
    return (own if own is not None and fitted else ModelSource)(model, X, **options)


def _member_source(model: Any, X: Any) -> Source:
    return _source(ReadyModel(open_model(model), X), X, model, "X_pool")
