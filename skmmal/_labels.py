"""Labels as codes: the columns of their classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from skmmal._arrays import naming, off_device
from skmmal.modalities import MultimodalArray

__all__ = ["class_weights", "encode_labels", "known_codes", "known_indicator", "label_weights", "several_labels"]


def encode_labels(estimator: Any, y: Any, classes: Any, features: MultimodalArray) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the labels, and the classes they refer to."""
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None: labels are needed"
        )
    with naming("y"):
        y = column_or_1d(off_device(y), warn=True)
        check_consistent_length(features, y)
    absent = np.flatnonzero(pd.isna(y))
    if len(absent):
        raise ValueError(
            f"y is missing (None or NaN) in row {absent[0]} ({len(absent)} such rows); fit on labelled rows"
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"y is infinite in row {np.flatnonzero(~np.isfinite(y))[0]}; labels are classes")
    if classes is None:  # given classes say themselves what is a label, also where most of them have one row
        with naming("y"):
            check_classification_targets(y)
        names, codes = np.unique(y, return_inverse=True)
        return codes, names
    with naming("classes"):
        names = column_or_1d(off_device(classes))
    if pd.isna(names).any():
        raise ValueError(f"classes must not be None or NaN, got {list(names)}")
    if len(names) == 0 or len(pd.unique(names)) < len(names):
        raise ValueError(f"classes must be distinct and not empty, got {list(names)}")
    return known_codes(y, names, "y"), names


def known_codes(y: np.ndarray, classes: np.ndarray, argument: str) -> np.ndarray:
    """Codes of labels that must be among the classes; `argument` is their name in the error message."""
    try:
        codes = pd.Index(classes).get_indexer(pd.Index(y))
    except TypeError as error:
        raise TypeError(f"{argument} must hold numbers or text, one class for each row: {error}") from None
    unknown = np.flatnonzero(codes < 0)
    if len(unknown):
        raise ValueError(
            f"{argument} has the label {y[unknown[0]]!s} in row {unknown[0]}, which is not among the classes "
            f"{classes[:10].tolist()}{'...' if len(classes) > 10 else ''}"
        )
    return codes


def class_weights(class_weight: Any, codes: np.ndarray, classes: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    """Weight of each class, shape (K,), as scikit-learn's `LogisticRegression` has it.

    ``"balanced"`` is ``Σ w / (k Σ_class w)`` over the k classes that have rows, with w the sample weights; releases of
    scikit-learn before 1.7 count rows instead.
    """
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, str):
        totals = np.bincount(codes, weights=sample_weight, minlength=len(classes))
        shared = totals.sum() / np.count_nonzero(totals)
        return np.divide(shared, totals, out=np.zeros(len(classes)), where=totals > 0)
    with naming("class_weight"):
        weights = compute_class_weight(class_weight, classes=classes, y=classes[codes]).astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise ValueError(
            f"class_weight of the class {classes[wrong[0]]!s} is {weights[wrong[0]]}; weights are zero or positive"
        )
    return weights


# ------------------------------------------------------------------------------------------ several labels in a row


def several_labels(y: Any, classes: Any = None) -> tuple[np.ndarray, np.ndarray] | None:
    """Which labels each row has, float64 (n, L) with NaN where nobody knows, and their names.

    Parameters
    ----------
    y : object
        An indicator matrix, sparse or dense, or a DataFrame with a column for each label, is one; a vector is not.
    classes : array-like of shape (L,), optional
        Names of the labels; by default a DataFrame's columns, otherwise 0 to L − 1.

    Returns
    -------
    pair of ndarrays, or None
        ``None``: `y` is no indicator matrix, a row has one class.

    Raises
    ------
    ValueError
        A matrix of something else than zeros and ones, or as many names as it has not columns.
    """
    y = off_device(y)
    if not (sparse.issparse(y) or isinstance(y, pd.DataFrame)):
        try:
            y = np.asarray(y)
        except ValueError:  # lists of different lengths
            return None
    if len(y.shape) != 2:
        return None
    if not sparse.issparse(y) and y.shape[1] < 2 and classes is None:
        return None  # scikit-learn takes a single column as a vector
    names = y.columns.to_numpy() if isinstance(y, pd.DataFrame) else np.arange(y.shape[1])
    with naming("y"):
        states = _states(y)
    if classes is not None:
        given = np.asarray(off_device(classes))
        if given.shape != (states.shape[1],):
            raise ValueError(
                f"y has {states.shape[1]} columns, one for each label, and classes names {given.shape} of them"
            )
        names = given
    if len(pd.unique(names)) < len(names):
        raise ValueError(f"labels must have distinct names, got {list(names)}")
    return states, names


def _states(y: Any) -> np.ndarray:
    if sparse.issparse(y):
        y = y.toarray()
    try:
        is_frame = isinstance(y, pd.DataFrame)
        states = y.to_numpy(np.float64, na_value=np.nan) if is_frame else np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "a matrix y must say with zeros and ones which labels a row has (NaN where nobody knows), found other "
            f"values: {error}"
        ) from None
    wrong = np.argwhere(~np.isnan(states) & (states != 0.0) & (states != 1.0))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            "a matrix y must say with zeros and ones which labels a row has (NaN where nobody knows), found "
            f"{states[row, column]:g} in row {row}, column {column}. Several outputs of several classes each are not "
            "served: fit a classifier for each column"
        )
    return states


def known_indicator(y: Any, classes: np.ndarray, argument: str) -> np.ndarray:
    """Indicator matrix of int whose columns are the labels `classes`; nothing in it may be unknown.

    Parameters
    ----------
    y : array-like, sparse matrix or DataFrame of shape (n, L)
    classes : ndarray of shape (L,)
        Names of the labels; a DataFrame's columns are brought into their order.
    argument : str
        The name of `y` in the error message.

    Returns
    -------
    ndarray of int, shape (n, L)
    """
    if isinstance(y, pd.DataFrame) and set(y.columns) == set(classes):
        y = y[list(classes)]
    found = several_labels(y, classes)
    if found is None:
        raise ValueError(f"{argument} must be an indicator matrix with the columns {classes[:10].tolist()}")
    states, _ = found
    absent = np.argwhere(np.isnan(states))
    if len(absent):
        row, column = absent[0]
        raise ValueError(
            f"{argument} does not say whether row {row} has the label {classes[column]!s} ({len(absent)} such entries)"
        )
    return states.astype(np.intp)


def label_weights(
    class_weight: Any, states: np.ndarray, names: np.ndarray, sample_weight: np.ndarray
) -> np.ndarray | None:
    """Factors (n, L) of the labels' losses; ``None``: all are one.

    Parameters
    ----------
    class_weight : "balanced", sequence of L dicts, dict of label to dict, or None
        ``"balanced"``: for each label as `class_weights` has it for the two classes "has it not" and "has it". A dict
        ``{0: …, 1: …}`` for every label says the factors of its two states.
    states : ndarray of shape (n, L)
    names : ndarray of shape (L,)
    sample_weight : ndarray of shape (n,)

    Returns
    -------
    ndarray of float64, shape (n, L), or None

    Raises
    ------
    ValueError
        It is of another form, or names a label that there is not.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, dict):
        unknown = [name for name in class_weight if name not in set(names)]
        if unknown:
            raise ValueError(
                f"class_weight names {unknown[0]!r}, which is not among the labels {list(names[:10])}; with several "
                "labels in a row it is 'balanced', or {label: {0: weight, 1: weight}}"
            )
        class_weight = [class_weight.get(name) for name in names]
    elif not isinstance(class_weight, str) and len(class_weight) != len(names):
        raise ValueError(f"class_weight has {len(class_weight)} entries, and there are {len(names)} labels")
    factors = np.ones(states.shape)
    for column, state in enumerate(states.T):
        of_label = class_weight if isinstance(class_weight, str) else class_weight[column]
        known = np.flatnonzero(~np.isnan(state))
        codes = state[known].astype(np.intp)
        two = np.array([0, 1])
        if of_label is not None and len(known):
            if isinstance(of_label, dict):
                of_states = np.array([of_label.get(0, 1.0), of_label.get(1, 1.0)], dtype=np.float64)
            else:
                of_states = class_weights(of_label, codes, two, sample_weight[known])
            if not (np.isfinite(of_states) & (of_states >= 0)).all():
                raise ValueError(
                    f"class_weight of the label {names[column]!s} is {of_label}; weights are zero or positive"
                )
            factors[known, column] = of_states[codes]
    return factors
